/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in, what that costs, and what holds while the database is away. */
#include "fake_pg.h"

#include <stdio.h>

#include "posthouse/auth.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"

enum {
	KEY_ID,
	NAME,
	HASH,
	SNAPSHOTS,
	MODELS,
	ACCOUNTS,
	EXPIRES,
	LIMITED,
	COLS
};

struct made {
	char text[PH_KEY_LEN + 1];
	char header[PH_KEY_LEN + 8]; /* "Bearer " and the key */
	uint8_t hash[32];
};

static void make(struct made *k)
{
	ph_key_make(k->text);
	snprintf(k->header, sizeof k->header, "Bearer %s", k->text);
	ph_sha256(ph_str_c(k->text), k->hash);
}

static void row(struct ph_str *c, const struct made *k, const char *id)
{
	c[KEY_ID] = ph_str_c(id);
	c[NAME] = PH_STR("a name");
	c[HASH] = ph_str((const char *)k->hash, 32);
	c[SNAPSHOTS] = c[MODELS] = c[ACCOUNTS] = c[EXPIRES] = c[LIMITED] = PH_STR_NONE;
}

static int done_calls, done_status;

static void on_done(void *arg, int status)
{
	(void)arg;
	done_calls++;
	done_status = status;
}

static void load(struct ph_auth *a, const struct ph_str *cells, int rows)
{
	ph_auth_reload(a, on_done, NULL);
	fake_pg_rows(cells, rows, COLS);
	assert_int_equal(done_status, 0);
}

struct asked {
	int calls, status;
	int64_t id;
	struct ph_key *kept;
};

static void on_decided(void *arg, int status, struct ph_key *key)
{
	struct asked *x = arg;

	x->calls++;
	x->status = status;
	assert_true((status == 0) == (key != NULL));
	if (key) {
		x->id = key->id;
		x->kept = ph_key_ref(key);
	}
}

/* Checks a header: the id where memory lets it in, 0 where the database is asked, else a negative code. */
static int64_t check(struct ph_auth *a, const char *header, struct asked *x, struct ph_auth_wait **ret_wait)
{
	struct ph_key *key = NULL;
	struct ph_auth_wait *wait = NULL;
	struct ph_err err = {0};
	int64_t id;
	int rc = ph_auth_check(a, ph_str_c(header), on_decided, x, &key, &wait, &err);

	if (ret_wait)
		*ret_wait = wait;
	if (rc <= 0) {
		assert_null(key);
		assert_true((rc == 0) == (wait != NULL));
		assert_true(rc == 0 || err.code == -rc);
		return rc;
	}
	id = key->id;
	ph_key_unref(key);
	return id;
}

static void in_memory(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct made one, two;
	struct ph_str c[2 * COLS];
	struct ph_key *key = NULL;
	struct ph_auth_wait *wait;
	struct ph_err err;

	(void)state;
	make(&one);
	make(&two);
	row(c, &one, "1");
	row(c + COLS, &two, "2");
	c[SNAPSHOTS] = PH_STR("stored");
	c[MODELS] = PH_STR("gpt-a,gpt-b");
	c[ACCOUNTS] = PH_STR("5,9");
	assert_false(ph_auth_loaded(a));
	load(a, c, 2);
	assert_true(ph_auth_loaded(a));
	assert_int_equal(check(a, one.header, NULL, NULL), 1);
	assert_int_equal(check(a, two.header, NULL, NULL), 2);
	assert_int_equal(fake_pg_waiting(), 0);

	assert_int_equal(ph_auth_check(a, ph_str_c(one.header), on_decided, NULL, &key, &wait, &err), 1);
	assert_int_equal(key->snapshots, PH_KEY_SNAPSHOTS_STORED);
	assert_string_equal(key->name, "a name");
	assert_true(ph_key_allows_model(key, PH_STR("gpt-b")));
	assert_false(ph_key_allows_model(key, PH_STR("gpt-c")));
	assert_false(ph_key_allows_model(key, PH_STR("")));
	assert_true(ph_key_allows_account(key, 9));
	assert_false(ph_key_allows_account(key, 6));
	/* It lives as long as who holds it, also when the table is swapped and the key revoked. */
	load(a, c + COLS, 1);
	assert_int_equal(key->id, 1);
	assert_true(ph_key_allows_account(key, 5));
	ph_key_unref(key);
	assert_int_equal(check(a, two.header, NULL, NULL), 2);
	ph_auth_free(a);
}

static void headers(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct made k;
	struct ph_str c[COLS];
	char text[128];

	(void)state;
	make(&k);
	row(c, &k, "1");
	load(a, c, 1);
	snprintf(text, sizeof text, "bearer   %s  ", k.text);
	assert_int_equal(check(a, text, NULL, NULL), 1);
	snprintf(text, sizeof text, "BEARER %s", k.text);
	assert_int_equal(check(a, text, NULL, NULL), 1);
	const char *bad[] = {"", "Bearer", "Bearer ", "Basic dTpw", "Bearer x",
		"Bearer sk-proj-aaaaaaaaaaaaaaaaaaaaaaa", k.text, "Bearer,"};
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		assert_int_equal(check(a, bad[i], NULL, NULL), -PH_E_KEY_BAD);
	snprintf(text, sizeof text, "Bearer%s", k.text);
	assert_int_equal(check(a, text, NULL, NULL), -PH_E_KEY_BAD);
	snprintf(text, sizeof text, "Bearer %s%s", k.text, k.text);
	assert_int_equal(check(a, text, NULL, NULL), -PH_E_KEY_BAD);
	/* one letter wrong: the checksum refuses it without a question to the database */
	for (int i = 0; i < PH_KEY_LEN; i++) {
		snprintf(text, sizeof text, "Bearer %s", k.text);
		text[7 + i] = text[7 + i] == 'A' ? 'B' : 'A';
		assert_int_equal(check(a, text, NULL, NULL), -PH_E_KEY_BAD);
	}
	assert_int_equal(fake_pg_waiting(), 0);
	ph_auth_free(a);
}

static void an_unknown_key_costs_one_read(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made k;

	(void)state;
	load(a, NULL, 0);
	make(&k);
	assert_int_equal(check(a, k.header, &x, NULL), 0);
	assert_int_equal(x.calls, 0);
	assert_int_equal(fake_pg_first()->param_n, 32);
	assert_memory_equal(fake_pg_first()->param, k.hash, 32);
	fake_pg_rows(NULL, 0, COLS);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, -PH_E_KEY_BAD);
	for (int i = 0; i < 3; i++)
		assert_int_equal(check(a, k.header, &x, NULL), -PH_E_KEY_BAD);
	assert_int_equal(fake_pg_waiting(), 0);
	/* until the keys changed */
	load(a, NULL, 0);
	assert_int_equal(check(a, k.header, &x, NULL), 0);
	ph_auth_free(a); /* and whoever waits hears nothing any more */
	assert_int_equal(x.calls, 1);
	assert_int_equal(fake_pg_waiting(), 0);
}

/* A key that was created a moment ago on another node. */
static void a_new_key(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made k;
	struct ph_str c[COLS];

	(void)state;
	load(a, NULL, 0);
	make(&k);
	row(c, &k, "77");
	assert_int_equal(check(a, k.header, &x, NULL), 0);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(x.status, 0);
	assert_int_equal(x.id, 77);
	ph_key_unref(x.kept);
	ph_auth_free(a);
}

/* The read began before the key was made; the reload that the key caused ended before the read. */
static void a_late_no(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made k;
	struct ph_str c[COLS];
	struct ph_list late;

	(void)state;
	load(a, NULL, 0);
	make(&k);
	row(c, &k, "5");
	assert_int_equal(check(a, k.header, &x, NULL), 0);
	ph_list_init(&late);
	ph_list_move(fake_pg_calls.next, &late);
	load(a, c, 1);
	ph_list_move(late.next, &fake_pg_calls);
	fake_pg_rows(NULL, 0, COLS);
	assert_int_equal(x.status, -PH_E_KEY_BAD);
	assert_int_equal(check(a, k.header, &x, NULL), 5); /* the table counts before the negative cache */
	ph_auth_free(a);
}

static void the_database_is_away(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made known, unknown;
	struct ph_str c[COLS];

	(void)state;
	make(&known);
	make(&unknown);
	row(c, &known, "1");
	load(a, c, 1);
	ph_auth_reload(a, on_done, NULL);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(done_status, -PH_E_DATABASE_AWAY);
	assert_int_equal(check(a, known.header, NULL, NULL), 1); /* honoured all the same */
	assert_int_equal(check(a, unknown.header, &x, NULL), 0);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(x.status, -PH_E_DATABASE_AWAY);         /* never "unknown" */
	assert_int_equal(check(a, unknown.header, &x, NULL), 0); /* nor remembered as such */
	fake_pg_fails(PH_E_DATABASE_AWAY);
	ph_auth_free(a);
}

static void expiry(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made k;
	struct ph_str c[COLS];
	char past[32], future[32];

	(void)state;
	snprintf(past, sizeof past, "%llu", (unsigned long long)ph_clock_unix_ms() - 1000);
	snprintf(future, sizeof future, "%llu", (unsigned long long)ph_clock_unix_ms() + 60000);
	make(&k);
	row(c, &k, "1");
	c[EXPIRES] = ph_str_c(future);
	load(a, c, 1);
	assert_int_equal(check(a, k.header, NULL, NULL), 1);
	c[EXPIRES] = ph_str_c(past); /* it ran out while the node knew it */
	load(a, c, 1);
	assert_int_equal(check(a, k.header, NULL, NULL), -PH_E_KEY_BAD);
	assert_int_equal(fake_pg_waiting(), 0);
	load(a, NULL, 0);
	assert_int_equal(check(a, k.header, &x, NULL), 0);
	fake_pg_rows(c, 1, COLS);
	assert_int_equal(x.status, -PH_E_KEY_BAD);
	assert_int_equal(check(a, k.header, &x, NULL), -PH_E_KEY_BAD); /* without another read */
	ph_auth_free(a);
}

static void cancelled(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct ph_auth_wait *wait;
	struct made k;

	(void)state;
	load(a, NULL, 0);
	make(&k);
	assert_int_equal(check(a, k.header, &x, &wait), 0);
	ph_auth_cancel(wait);
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(x.calls, 0);
	ph_auth_free(a);
}

/* Guessing fills nothing without a bound. */
static void a_flood_of_unknown_keys(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);
	struct asked x = {0};
	struct made k;
	int reads = 0;

	(void)state;
	load(a, NULL, 0);
	for (int i = 0; i < 10000; i++) {
		make(&k);
		assert_int_equal(check(a, k.header, &x, NULL), 0);
		fake_pg_rows(NULL, 0, COLS);
		reads++;
		assert_int_equal(check(a, k.header, &x, NULL), -PH_E_KEY_BAD);
	}
	assert_int_equal(x.calls, reads);
	ph_auth_free(a);
}

static void authentication_off(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, true);
	struct ph_key *key = NULL;
	struct ph_auth_wait *wait;
	struct ph_err err;

	(void)state;
	assert_int_equal(ph_auth_check(a, PH_STR_NONE, on_decided, NULL, &key, &wait, &err), 1);
	assert_int_equal(key->id, 0);
	assert_true(ph_key_allows_model(key, PH_STR("any")));
	assert_true(ph_key_allows_account(key, 3));
	ph_auth_free(a);
	ph_key_unref(key); /* a turn may outlive the table */
}

static void reloads(void **state)
{
	struct ph_auth *a = ph_auth_new(NULL, NULL, false);

	(void)state;
	done_calls = 0;
	ph_auth_reload(a, on_done, NULL);
	ph_auth_reload(a, on_done, NULL);
	assert_int_equal(fake_pg_waiting(), 1);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(done_calls, 0);
	fake_pg_rows(NULL, 0, COLS);
	assert_int_equal(done_calls, 1);
	assert_int_equal(done_status, 0);
	ph_auth_reload(a, on_done, NULL);
	ph_auth_free(a);
	assert_int_equal(done_calls, 1);
	assert_int_equal(fake_pg_waiting(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_memory),
		cmocka_unit_test(headers),
		cmocka_unit_test(an_unknown_key_costs_one_read),
		cmocka_unit_test(a_new_key),
		cmocka_unit_test(a_late_no),
		cmocka_unit_test(the_database_is_away),
		cmocka_unit_test(expiry),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(a_flood_of_unknown_keys),
		cmocka_unit_test(authentication_off),
		cmocka_unit_test(reloads),
	};

	return cmocka_run_group_tests_name("auth.auth", tests, NULL, NULL);
}
