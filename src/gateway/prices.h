/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_PRICES_H
#define POSTHOUSE_PRICES_H

#include "gateway_priv.h"

/* What a turn used, as upstream counted it; cached ones are among the input. */
struct ph_tokens {
	uint64_t input, cached, output;
};

/* What models cost, as the database has it. Owner: the gateway. */
struct ph_prices *ph_prices_new(struct ph_gateway *g);
struct ph_prices *ph_prices_free(struct ph_prices *p); /* returns NULL; no callback afterwards */
/* done(arg, 0 or negative), once; one that is asked for while another runs is run once more after it. */
void ph_prices_reload(struct ph_prices *p, void (*done)(void *arg, int status), void *arg);
bool ph_prices_loaded(const struct ph_prices *p);
/* Billionths of a US dollar; negative: the model has no price. */
int64_t ph_price_of(const struct ph_prices *p, struct ph_str model, const struct ph_tokens *used);

#endif
