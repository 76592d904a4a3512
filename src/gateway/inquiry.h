/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_INQUIRY_H
#define POSTHOUSE_INQUIRY_H

#include "gateway_priv.h"

/* A GET to an account that no client asked for, with a deadline for the whole of it. Owner: whoever asks. */
struct ph_inquiry {
	struct ph_gateway *g;
	struct ph_call *call; /* while it runs */
	struct ph_timer timer;
	int status;         /* of the answer; 0: there was none */
	struct ph_buf body; /* may have failed: too large */
	const char *why;    /* there was none; one word */
	void (*done)(void *arg);
	void *arg;
};
void ph_inquiry_init(
	struct ph_inquiry *k, struct ph_gateway *g, size_t max, void (*done)(void *arg), void *arg);
/* base: the account's, or what stands beside it. done(arg) once, never before this returns; body is valid
 * during that. */
void ph_inquiry_start(struct ph_inquiry *k, const struct ph_account *a, const struct ph_url *base,
	struct ph_str path, uint64_t within_ms);
bool ph_inquiry_runs(const struct ph_inquiry *k);
void ph_inquiry_stop(struct ph_inquiry *k); /* done() is not called; may be repeated */

#endif
