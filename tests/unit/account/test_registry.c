/* SPDX-License-Identifier: Apache-2.0 */
/* The node's copy of the accounts, against a database that says what the test tells it to. */
#include "fake_pg.h"

#include "account/account_priv.h"
#include "posthouse/metrics.h"

enum {
	COLS = PH_ACCOUNT_COLUMNS
};

static struct ph_master_keys keys;
static int done_calls, done_status;

static void on_done(void *arg, int status)
{
	(void)arg;
	done_calls++;
	done_status = status;
}

struct world {
	struct ph_loop *loop;
	struct ph_accounts *r;
	struct ph_buf sealed;
};

static void world_open(struct world *w)
{
	struct ph_err err = {0};

	done_calls = done_status = 0;
	w->loop = ph_loop_new();
	assert_int_equal(
		ph_master_keys_parse(&keys, PH_STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &err), 0);
	w->r = ph_accounts_new(w->loop, NULL, &keys, "node-1");
	ph_buf_init(&w->sealed, 4096);
	assert_int_equal(ph_seal(&keys, "accounts", "7", PH_STR("sk-secret"), &w->sealed), 0);
}

static void world_close(struct world *w)
{
	ph_accounts_free(w->r);
	ph_buf_deinit(&w->sealed);
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

static void row(struct ph_str *c, const char *id, const char *name, const char *kind, const char *state)
{
	const char *text[COLS] = {id, name, kind, "https://API.example/v1/", "", "3", "2", "-1", "", state,
		"{}", "active", "0", "4", "0", "0", "0"};

	for (int i = 0; i < COLS; i++)
		c[i] = ph_str_c(text[i]);
}

static void what_a_row_says(void **state)
{
	struct world w;
	struct ph_str c[COLS];
	struct ph_account *a;

	(void)state;
	world_open(&w);
	assert_false(ph_accounts_loaded(w.r));
	ph_accounts_reload(w.r, on_done, NULL);
	assert_int_equal(done_calls, 0);
	row(c, "7", "one", "codex", "active");
	c[PH_ACCOUNT_SEALED] = ph_buf_str(&w.sealed);
	c[PH_ACCOUNT_MODELS] = PH_STR("gpt-a,gpt-b");
	c[PH_ACCOUNT_HEADERS] = PH_STR("{\"x-a\":\"1\",\"skip\":5,\"x-b\":\"t\\u0077o\"}");
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(done_calls, 1);
	assert_int_equal(done_status, 0);
	assert_true(ph_accounts_loaded(w.r));
	a = ph_accounts_find(w.r, 7);
	assert_non_null(a);
	assert_null(ph_accounts_find(w.r, 8));
	assert_string_equal(a->name, "one");
	assert_int_equal(a->kind, PH_CODEX);
	assert_string_equal(a->base.host, "api.example");
	assert_string_equal(a->base.path, "/v1");
	ph_assert_str(a->secret, PH_STR("sk-secret"));
	assert_int_equal(a->max_streams, 3);
	assert_int_equal(a->weight, 2);
	assert_int_equal(a->priority, -1);
	assert_true(ph_account_usable(a));
	assert_true(ph_account_serves(a, PH_STR("gpt-b")));
	assert_false(ph_account_serves(a, PH_STR("gpt")));
	assert_int_equal(a->header_count, 2);
	ph_assert_str(a->headers[2], PH_STR("x-b"));
	ph_assert_str(a->headers[3], PH_STR("two"));
	world_close(&w);
}

/* Accounts that cannot be used are kept, say why in the log, and come back when the row is mended. */
static void rows_that_cannot_be_used(void **state)
{
	struct world w;
	struct ph_str c[COLS];

	(void)state;
	world_open(&w);
	for (int fault = 0; fault < 6; fault++) {
		ph_accounts_reload(w.r, on_done, NULL);
		row(c, "8", "two", "platform", "active");
		if (fault == 0)
			c[PH_ACCOUNT_SEALED] = ph_buf_str(&w.sealed); /* of another row */
		if (fault == 1)
			c[PH_ACCOUNT_KIND] = PH_STR("strange");
		if (fault == 2)
			c[PH_ACCOUNT_BASE_URL] = PH_STR("ftp://x");
		if (fault == 3)
			c[PH_ACCOUNT_STATE] = PH_STR("strange");
		if (fault == 4)
			c[PH_ACCOUNT_SEALED] = PH_STR("garbage");
		if (fault == 5)
			c[PH_ACCOUNT_HEALTH] = PH_STR("strange");
		fake_pg_rows(c, 1, COLS);
		assert_int_equal(done_status, 0);
		assert_non_null(ph_accounts_find(w.r, 8));
		assert_false(ph_account_usable(ph_accounts_find(w.r, 8)));
		ph_accounts_reload(w.r, on_done, NULL);
		row(c, "8", "two", "platform", "active");
		fake_pg_rows(c, 1, COLS);
		assert_true(ph_account_usable(ph_accounts_find(w.r, 8)));
	}
	world_close(&w);
}

static void seal(struct world *w, const char *secret)
{
	ph_buf_reset(&w->sealed);
	assert_int_equal(ph_seal(&keys, "accounts", "7", ph_str_c(secret), &w->sealed), 0);
}

/* The login that `account add --auth-json` stored, or a bearer in plain. */
static void logins(void **state)
{
	static const struct {
		const char *kind, *secret, *bearer, *id;
		bool bad;
	} cases[] = {
		{"codex",
			"{\"access_token\":\"ey.a\",\"refresh_token\":\"r\",\"id_token\":\"i\",\"account_"
			"id\":\"acc-1\","
			"\"last_refresh\":\"2026-01-01T00:00:00Z\"}",
			"ey.a", "acc-1", false},
		{"codex", "{\"access_token\":\"ey\\/a\"}", "ey/a", "", false},
		{"codex", "{\"access_token\":\"ey\",\"account_id\":null}", "ey", "", false},
		{"codex", "plain", "plain", "", false},
		{"platform", "{\"access_token\":\"x\"}", "{\"access_token\":\"x\"}", "", false},
		{"codex", "{\"access_token\":", "", "", true},
		{"codex", "{}", "", "", true},
		{"codex", "{\"access_token\":\"\"}", "", "", true},
		{"codex", "{\"access_token\":5}", "", "", true},
		{"codex", "{\"access_token\":\"a\\r\\nx-evil: 1\"}", "", "", true},
		{"codex", "{\"access_token\":\"a\",\"account_id\":\"b c\"}", "", "", true},
	};
	struct world w;
	struct ph_str c[COLS];

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		const struct ph_account *a;

		seal(&w, cases[i].secret);
		ph_accounts_reload(w.r, on_done, NULL);
		row(c, "7", "one", cases[i].kind, "active");
		c[PH_ACCOUNT_SEALED] = ph_buf_str(&w.sealed);
		fake_pg_rows(c, 1, COLS);
		a = ph_accounts_find(w.r, 7);
		assert_int_equal(a->sealed_badly, cases[i].bad);
		assert_int_equal(ph_account_usable(a), !cases[i].bad);
		ph_assert_str(a->secret, ph_str_c(cases[i].bearer));
		ph_assert_str(a->upstream_id, ph_str_c(cases[i].id));
	}
	world_close(&w);
}

/* An operator's word stands before what nodes found; times are the database's. */
static void health_of_a_row(void **state)
{
	struct world w;
	struct ph_str c[COLS];
	const struct ph_account *a;

	(void)state;
	world_open(&w);
	row(c, "1", "one", "platform", "active");
	c[PH_ACCOUNT_HEALTH] = PH_STR("exhausted");
	c[PH_ACCOUNT_REMAINING_MS] = PH_STR("5000");
	c[PH_ACCOUNT_STRIKES] = PH_STR("2");
	c[PH_ACCOUNT_USED_PERCENT] = PH_STR("97");
	c[PH_ACCOUNT_USED_MS] = PH_STR("9000");
	ph_accounts_reload(w.r, on_done, NULL);
	fake_pg_rows(c, 1, COLS);
	a = ph_accounts_find(w.r, 1);
	assert_int_equal(a->state, PH_ACCOUNT_EXHAUSTED);
	assert_true(ph_account_blocked(a));
	assert_false(ph_account_usable(a));
	assert_int_equal(a->health.version, 4);
	assert_int_equal(a->health.strikes, 2);
	assert_int_equal(a->health.until_ms - ph_loop_now_ms(w.loop), 5000);
	assert_int_equal(a->health.used_percent, 97);
	assert_true(a->health.nearly_exhausted);
	assert_int_equal(a->health.used_until_ms - ph_loop_now_ms(w.loop), 9000);
	c[PH_ACCOUNT_STATE] = PH_STR("draining");
	ph_accounts_reload(w.r, on_done, NULL);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(a->state, PH_ACCOUNT_DRAINING);
	assert_int_equal(a->health.state, PH_ACCOUNT_EXHAUSTED);
	assert_false(ph_account_blocked(a));
	c[PH_ACCOUNT_STATE] = PH_STR("active");
	ph_accounts_reload(w.r, on_done, NULL);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(a->state, PH_ACCOUNT_EXHAUSTED);
	world_close(&w);
}

static bool heard_of(const char *changes)
{
	char line[96];
	struct ph_buf out;
	bool ret;

	snprintf(line, sizeof line, "\nposthouse_health_propagation_seconds_count %s\n", changes);
	ph_buf_init(&out, 1 << 20);
	ph_metrics_print(&out);
	ret = ph_str_find(ph_buf_str(&out), ph_str_c(line)) >= 0;
	ph_buf_deinit(&out);
	return ret;
}

/* Of changes that others made, and that came while this node looked. */
static void how_long_a_change_took(void **state)
{
	static const struct {
		const char *version, *by, *changes;
	} looks[] = {
		{"4", "node-2", "0"},                       /* the first one */
		{"4", "node-2", "0"}, {"5", "node-1", "0"}, /* its own */
		{"6", "node-2", "1"}, {"7", "", "2"},       /* an operator's */
	};
	struct world w;
	struct ph_str c[COLS];

	(void)state;
	ph_metrics_init(1);
	ph_metrics_worker(0);
	world_open(&w);
	row(c, "1", "one", "platform", "active");
	c[PH_ACCOUNT_CHANGED_US] = PH_STR("2000");
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
		c[PH_ACCOUNT_VERSION] = ph_str_c(looks[i].version);
		c[PH_ACCOUNT_CHANGED_BY] = ph_str_c(looks[i].by);
		ph_accounts_reload(w.r, on_done, NULL);
		fake_pg_rows(c, 1, COLS);
		assert_true(heard_of(looks[i].changes));
	}
	world_close(&w);
}

static void in_place_and_gone(void **state)
{
	struct world w;
	struct ph_str c[2 * COLS];
	struct ph_account *a, *b;

	(void)state;
	world_open(&w);
	ph_accounts_reload(w.r, on_done, NULL);
	row(c, "1", "one", "platform", "active");
	row(c + COLS, "2", "two", "platform", "active");
	c[PH_ACCOUNT_MAX_STREAMS] = c[COLS + PH_ACCOUNT_MAX_STREAMS] = PH_STR_NONE;
	fake_pg_rows(c, 2, COLS);
	a = ph_account_take(ph_accounts_find(w.r, 1));
	b = ph_account_take(ph_accounts_find(w.r, 2));
	a->health.faults = 1;
	ph_accounts_reload(w.r, on_done, NULL);
	row(c, "1", "renamed", "platform", "paused");
	fake_pg_rows(c, 1, COLS); /* the other one was removed while a turn ran on it */
	assert_ptr_equal(ph_accounts_find(w.r, 1), a);
	assert_string_equal(a->name, "renamed");
	assert_int_equal(a->state, PH_ACCOUNT_PAUSED);
	assert_int_equal(a->running, 1);
	assert_int_equal(a->health.faults, 1);
	assert_null(ph_accounts_find(w.r, 2));
	assert_int_equal(b->state, PH_ACCOUNT_GONE);
	assert_string_equal(b->name, "two"); /* for its log line */
	ph_account_release(w.r, b);
	ph_account_release(w.r, a);
	world_close(&w);
}

static void reloads(void **state)
{
	struct world w;
	struct ph_str c[COLS];

	(void)state;
	world_open(&w);
	row(c, "1", "one", "platform", "active");
	ph_accounts_reload(w.r, on_done, NULL);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(done_status, -PH_E_DATABASE_AWAY);
	assert_false(ph_accounts_loaded(w.r));
	/* Asked for while one runs: what it reads may be older than the reason, so once more. */
	ph_accounts_reload(w.r, on_done, NULL);
	ph_accounts_reload(w.r, on_done, NULL);
	ph_accounts_reload(w.r, on_done, NULL);
	assert_int_equal(fake_pg_waiting(), 1);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(done_calls, 1);
	assert_int_equal(fake_pg_waiting(), 1);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(done_calls, 2);
	assert_int_equal(fake_pg_waiting(), 0);
	/* A failed read leaves what is known. */
	ph_accounts_reload(w.r, on_done, NULL);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_non_null(ph_accounts_find(w.r, 1));
	/* and freeing abandons */
	ph_accounts_reload(w.r, on_done, NULL);
	world_close(&w);
}

static void on_woken(void *arg)
{
	(*(int *)arg)++;
}

/* A new account may be what the waiting turns wait for. */
static void a_reload_wakes(void **state)
{
	struct world w;
	struct ph_str c[COLS];
	struct ph_account_wait wait;
	int woken = 0;

	(void)state;
	world_open(&w);
	ph_account_wait_init(&wait, on_woken, &woken);
	ph_account_wait(w.r, &wait, NULL, 0);
	ph_accounts_reload(w.r, on_done, NULL);
	row(c, "1", "one", "platform", "active");
	fake_pg_rows(c, 1, COLS);
	ph_loop_turn(w.loop);
	assert_int_equal(woken, 1);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_row_says),
		cmocka_unit_test(rows_that_cannot_be_used),
		cmocka_unit_test(logins),
		cmocka_unit_test(health_of_a_row),
		cmocka_unit_test(how_long_a_change_took),
		cmocka_unit_test(in_place_and_gone),
		cmocka_unit_test(reloads),
		cmocka_unit_test(a_reload_wakes),
	};

	return cmocka_run_group_tests_name("account.registry", tests, NULL, NULL);
}
