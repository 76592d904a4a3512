/* SPDX-License-Identifier: Apache-2.0 */
/* All blocks of this node, as its heartbeat, other nodes and operators see them. */
#include "account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"

void ph_leases_void(struct ph_accounts *r, enum ph_lease_loss why)
{
	PH_LIST_EACH (it, &r->all)
		ph_lease_void(PH_CONTAINER(it, struct ph_account, node), why);
}

void ph_leases_settle(struct ph_accounts *r)
{
	PH_LIST_EACH (it, &r->all)
		ph_lease_settle(PH_CONTAINER(it, struct ph_account, node));
}

static bool is_listed(const struct ph_account *a)
{
	return a->max_streams && (a->running || a->lease.version);
}

void ph_leases_list(struct ph_accounts *r, struct ph_buf *accounts, struct ph_buf *running)
{
	const char *comma = "";

	ph_buf_putc(accounts, '{');
	ph_buf_putc(running, '{');
	PH_LIST_EACH (it, &r->all) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!is_listed(a))
			continue;
		ph_buf_printf(accounts, "%s%lld", comma, (long long)a->id);
		ph_buf_printf(running, "%s%u", comma, a->running);
		comma = ",";
	}
	ph_buf_putc(accounts, '}');
	ph_buf_putc(running, '}');
}

bool ph_leases_told(const struct ph_accounts *r)
{
	PH_LIST_EACH (it, &r->all) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->max_streams && a->running && !a->lease.version)
			return false;
	}
	return true;
}

static int row_of(const struct ph_pg_result *rows, int64_t account)
{
	for (int row = 0; row < ph_pg_rows(rows); row++)
		if (ph_pg_int(rows, row, PH_BEAT_ACCOUNT) == account)
			return row;
	return -1;
}

/* What was answered after the heartbeat was sent is newer than what the heartbeat saw. */
static void renewed(struct ph_account *a, const struct ph_pg_result *rows, uint64_t sent_ms)
{
	struct ph_lease *l = &a->lease;
	int row = row_of(rows, a->id);
	int64_t version = row < 0 ? 0 : ph_pg_int(rows, row, PH_BEAT_VERSION);

	if (l->call || l->answered_ms >= sent_ms)
		return;
	if (version != l->version)
		ph_lease_void(a, PH_LOST_LAPSED);
	else if (version)
		l->valid_ms = sent_ms + ph_member_trust_ms(l->r->member);
	l->version = version;
	l->untold = version && ph_pg_int(rows, row, PH_BEAT_SLOTS) > l->slots;
	ph_lease_settle(a);
}

void ph_leases_renewed(struct ph_accounts *r, const struct ph_pg_result *rows, uint64_t sent_ms)
{
	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->max_streams || a->lease.version)
			renewed(a, rows, sent_ms);
	}
}

/* ---- what is said ---- */

static void slots_void(struct ph_account *a)
{
	ph_lease_void(a, PH_LOST_OPERATOR);
	ph_lease_settle(a);
}

bool ph_account_heard(struct ph_accounts *r, struct ph_str payload)
{
	static const struct {
		struct ph_str word;
		void (*heard)(struct ph_account *a);
	} words[] = {
		{PH_STR_INIT("slots_free"), ph_lease_free},
		{PH_STR_INIT("slots_asked"), ph_lease_asked},
		{PH_STR_INIT("slots_void"), slots_void},
	};
	struct ph_str rest = payload, word = ph_str_split(&rest, ' '), account = ph_str_split(&rest, ' ');
	uint64_t id;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		struct ph_account *a;

		if (!ph_str_eq(word, words[i].word))
			continue;
		a = ph_str_u64(account, INT64_MAX, &id) ? ph_accounts_find(r, (int64_t)id) : NULL;
		if (a && r->member && !ph_member_is(r->member, rest))
			words[i].heard(a);
		return true;
	}
	return false;
}
