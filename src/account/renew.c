/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renewal of a login's tokens, as far as it is the registry's: when it is due, who may do it, and what
 * came of it. How upstream is asked is the gateway's. Times of tokens are compared with the database's clock,
 * which is the same for all nodes.
 */
#include <stdio.h>

#include "account_priv.h"
#include "posthouse/log.h"
#include "posthouse/login.h"

#define HOLD_MS 30000 /* more than the whole exchange may take */

void ph_renew_clock(struct ph_accounts *r, uint64_t unix_ms)
{
	r->clock_ms = ph_loop_now_ms(r->loop);
	r->unix_ms = unix_ms;
}

static uint64_t unix_ms(const struct ph_accounts *r)
{
	return r->unix_ms ? r->unix_ms + (ph_loop_now_ms(r->loop) - r->clock_ms) : 0;
}

uint64_t ph_accounts_unix_s(const struct ph_accounts *r)
{
	return unix_ms(r) / 1000;
}

/* Not all nodes at the same moment: mostly the first has done it when the second comes. */
void ph_renew_plan(struct ph_accounts *r, struct ph_account *a)
{
	uint64_t due_ms, now_ms = unix_ms(r);

	a->renew_ms = 0;
	if (!a->renewable)
		return;
	due_ms = ph_login_due_s(a->issued_s, a->expires_s, (unsigned)(ph_rand_u64() % 1000)) * 1000;
	a->renew_ms = ph_loop_now_ms(r->loop) + 1 + (due_ms > now_ms ? due_ms - now_ms : 0);
}

struct ph_pg_call *ph_account_claim(
	struct ph_accounts *r, const struct ph_renewing *n, ph_pg_cb cb, void *arg)
{
	return ph_account_store_claim(r->pg, n, ph_member_id(r->member), HOLD_MS, cb, arg);
}

static void take_over(struct ph_accounts *r, struct ph_account *a, const struct ph_pg_result *rows)
{
	int64_t version = ph_pg_int(rows, 0, PH_REFRESH_VERSION);
	struct ph_err err = {0};

	if (version <= a->secret_version || a->state == PH_ACCOUNT_GONE)
		return;
	a->secret_version = version;
	if (ph_account_fill_secret(
		    a, ph_pg_str(rows, 0, PH_REFRESH_SEALED), ph_accounts_unix_s(r), r->keys, &err))
		ph_log(PH_LOG_ERROR, "account %s cannot be used: %s", a->name, err.detail);
	ph_renew_plan(r, a);
	ph_accounts_wake(r);
}

struct ph_claimed ph_account_claimed(
	struct ph_accounts *r, struct ph_account *a, const struct ph_pg_result *rows)
{
	static const char *const words[] = {"gone", "changed", "held", "resting", "claimed"};
	struct ph_claimed c = {.result = PH_CLAIM_GONE};

	if (ph_pg_rows(rows) == 0)
		return c;
	for (int i = PH_CLAIM_CHANGED; i <= PH_CLAIM_OURS; i++)
		if (ph_str_eq(ph_pg_str(rows, 0, PH_REFRESH_RESULT), ph_str_c(words[i])))
			c.result = (enum ph_claim)i;
	c.epoch = ph_pg_int(rows, 0, PH_REFRESH_EPOCH);
	c.wait_ms = (uint64_t)ph_pg_int(rows, 0, PH_REFRESH_WAIT_MS);
	c.sealed = ph_pg_str(rows, 0, PH_REFRESH_SEALED);
	c.token_url = ph_pg_str(rows, 0, PH_REFRESH_TOKEN_URL);
	if (c.result == PH_CLAIM_CHANGED)
		take_over(r, a, rows);
	return c;
}

struct ph_pg_call *ph_account_renewed(struct ph_accounts *r, const struct ph_renewing *n,
	struct ph_str sealed, uint64_t rest_ms, ph_pg_cb cb, void *arg)
{
	struct ph_str key_id = ph_str((const char *)r->keys->id[0], sizeof r->keys->id[0]);

	return ph_account_store_renewed(r->pg, n, ph_member_id(r->member), sealed, key_id, rest_ms, cb, arg);
}

struct ph_pg_call *ph_account_not_renewed(
	struct ph_accounts *r, const struct ph_renewing *n, const char *reason, ph_pg_cb cb, void *arg)
{
	return ph_account_store_not_renewed(r->pg, n, ph_member_id(r->member), reason, r->node, cb, arg);
}

int ph_account_unseal(struct ph_accounts *r, const struct ph_account *a, struct ph_str sealed,
	struct ph_buf *plain, struct ph_err *err)
{
	char row[24];

	snprintf(row, sizeof row, "%lld", (long long)a->id);
	return ph_unseal(r->keys, "accounts", row, sealed, plain, err);
}

int ph_account_seal(
	struct ph_accounts *r, const struct ph_account *a, struct ph_str plain, struct ph_buf *sealed)
{
	char row[24];

	snprintf(row, sizeof row, "%lld", (long long)a->id);
	return ph_seal(r->keys, "accounts", row, plain, sealed);
}
