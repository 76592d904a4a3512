/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A login of kind codex as it is sealed with the account: a JSON object of strings, and what its renewal at
 * the token URL takes and brings (handbook, protocol 6.5 and 6.6). Pure.
 */
#ifndef POSTHOUSE_LOGIN_H
#define POSTHOUSE_LOGIN_H

#include "posthouse/arena.h"
#include "posthouse/buf.h"

#define PH_LOGIN_MAX       (60 * 1024) /* of the document, and of a renewal's answer */

#define PH_LOGIN_ISSUER    "https://auth.openai.com"
#define PH_TOKEN_PATH      "/oauth/token" /* behind the issuer */
#define PH_TOKEN_URL       PH_LOGIN_ISSUER PH_TOKEN_PATH
#define PH_LOGIN_CLIENT_ID "app_EMoamEEZ73f0CkXaXp7hrann" /* of Codex, whose logins these are */

/* Texts are borrowed from what was read, or decoded in the arena; empty = absent. Times are unix seconds;
 * 0 = not said. */
struct ph_login {
	struct ph_str access, refresh, id, account;
	uint64_t issued_s;  /* of the access token */
	uint64_t expires_s; /* likewise */
};

/* json was sealed, or is what will be. -PH_E_CONFIG without details, which would be parts of secrets: it is
 * no such document, or its access token or account is no word, which a header's value must be. */
int ph_login_read(struct ph_str json, struct ph_arena *a, struct ph_login *ret) PH_WARN_UNUSED;
/* The same as JSON. now_s: when it was renewed. */
void ph_login_write(const struct ph_login *l, uint64_t now_s, struct ph_buf *out);
/* When it is to be renewed: some minutes before its access token expires, and in any case before it is so old
 * that upstream forgets it. jitter, of 0 to 999 thousandths, is for making it earlier. */
uint64_t ph_login_due_s(uint64_t issued_s, uint64_t expires_s, unsigned jitter);

/* The body of the request to the token URL. */
void ph_grant_ask(struct ph_str refresh_token, struct ph_buf *out);

enum ph_grant {
	PH_GRANT_NEW,   /* here are the tokens */
	PH_GRANT_LATER, /* that may pass */
	PH_GRANT_NEVER, /* the login has ended: a person must log in */
};
/* What the token URL answered; status 0 = nothing that could be read. NEW: what it brought replaces the parts
 * of l, the rest stays. NEVER: word is its reason. */
enum ph_grant ph_grant_read(int status, struct ph_str body, uint64_t now_s, struct ph_arena *a,
	struct ph_login *l, const char **word);

#endif
