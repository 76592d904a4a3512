/* SPDX-License-Identifier: Apache-2.0 */
/* A login that waits for a person: what is sent, what is read, what is kept meanwhile. Pure but for
 * randomness. */
#ifndef POSTHOUSE_LOGIN_FLOW_H
#define POSTHOUSE_LOGIN_FLOW_H

#include "cli_priv.h"

#define PH_FLOW_WORD_MAX 256
#define PH_FLOW_TEXT_MAX 16384 /* of what is sent, of what is kept */
#define PH_CODE_MAX      4096  /* of an authorization code */

struct ph_cli_flow {
	uint8_t id[16];
	bool device;
	char issuer[512]; /* without a trailing slash */
	/* Browser: what ties the redirect to this flow, and the code to whoever began it. Device: verifier is
	 * told with the code. */
	char state[PH_FLOW_WORD_MAX], verifier[PH_FLOW_WORD_MAX], redirect[640];
	/* Device. */
	char device_id[PH_FLOW_WORD_MAX], user_code[PH_FLOW_WORD_MAX];
	uint64_t interval_s;
	uint64_t remaining_ms; /* of its life, as the database said last */
};

/* A new one; port: where the redirect arrives on the machine of the person's browser. */
void ph_cli_flow_browser(struct ph_cli_flow *f, const char *issuer, unsigned port);
void ph_cli_flow_device(struct ph_cli_flow *f, const char *issuer);

/* The page that a person opens. */
void ph_cli_flow_page(const struct ph_cli_flow *f, struct ph_buf *out);

/* What is sealed in the database until it is completed, and the way back, which sets all but id, issuer and
 * remaining_ms. False: it is no such document. */
void ph_cli_flow_write(const struct ph_cli_flow *f, struct ph_buf *out);
bool ph_cli_flow_read(struct ph_cli_flow *f, struct ph_str document);

enum ph_cli_redirect {
	PH_REDIRECT_NONE,    /* no query of a redirect */
	PH_REDIRECT_FOREIGN, /* of another login */
	PH_REDIRECT_REFUSED, /* the person, or the issuer, said no: err */
	PH_REDIRECT_CODE,
};
/* text: a redirect's query, or a whole URL. */
enum ph_cli_redirect ph_cli_flow_redirected(
	const struct ph_cli_flow *f, struct ph_str text, char code[PH_CODE_MAX], struct ph_err *err);

/* ---- bodies ---- */
void ph_cli_flow_ask_device(struct ph_buf *out);                        /* for a user code */
void ph_cli_flow_poll(const struct ph_cli_flow *f, struct ph_buf *out); /* whether it was entered */
void ph_cli_flow_exchange(const struct ph_cli_flow *f, const char *code, struct ph_buf *out); /* a form */

/* ---- answers ---- */
/* False: no user code is in it. */
bool ph_cli_flow_take_device(struct ph_cli_flow *f, struct ph_str json);

enum ph_cli_polled {
	PH_POLLED_WAIT, /* not yet; interval_s may have grown */
	PH_POLLED_CODE, /* and the verifier */
	PH_POLLED_OVER, /* err: expired or refused */
};
/* status 0: there was no answer. */
enum ph_cli_polled ph_cli_flow_polled(
	struct ph_cli_flow *f, int status, struct ph_str json, char code[PH_CODE_MAX], struct ph_err *err);

#endif
