/* SPDX-License-Identifier: Apache-2.0 */
/* What we make of a conninfo, and that no message about one quotes it. */
#include "pg_test.h"

static int setup(void **state)
{
	static const char *const names[] = {"PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE",
		"PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "PGTARGETSESSIONATTRS", "PGGSSENCMODE",
		"PGOPTIONS"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(names); i++)
		unsetenv(names[i]);
	return 0;
}

static const char *option(const struct ph_pg_dsn *d, const char *keyword)
{
	for (int i = 0; i < d->option_count; i++)
		if (strcmp(d->options[i].keyword, keyword) == 0)
			return d->options[i].value;
	return "";
}

static struct ph_pg_dsn *parse(const char *text)
{
	struct ph_err err = {0};
	struct ph_pg_dsn *d = ph_pg_dsn_new(text, "app", &err);

	if (!d)
		fail_msg("%s: %s", text, err.detail);
	return d;
}

static void test_a_url(void **state)
{
	struct ph_pg_dsn *d = parse(
		"postgresql://me:p%40ss@db.example:6432/mine?sslmode=verify-full&application_name=theirs");

	(void)state;
	assert_int_equal(d->place_count, 1);
	assert_string_equal(d->place[0].host, "db.example");
	assert_string_equal(d->place[0].addr, "");
	assert_string_equal(d->place[0].port, "6432");
	assert_string_equal(option(d, "user"), "me");
	assert_string_equal(option(d, "password"), "p@ss");
	assert_string_equal(option(d, "dbname"), "mine");
	assert_string_equal(option(d, "sslmode"), "verify-full");
	assert_string_equal(option(d, "application_name"), "app");
	assert_string_equal(option(d, "client_encoding"), "UTF8");
	assert_string_equal(option(d, "gssencmode"), "disable");
	assert_string_equal(option(d, "tcp_user_timeout"), "5000");
	assert_string_equal(option(d, "keepalives_idle"), "3");
	assert_string_equal(option(d, "host"), "");
	assert_false(d->want_writable);
	ph_pg_dsn_free(d);
}

static void test_what_is_asked_for_wins(void **state)
{
	struct ph_pg_dsn *d = parse("host=h gssencmode=prefer tcp_user_timeout=1234 keepalives_idle=60");

	(void)state;
	assert_string_equal(option(d, "gssencmode"), "prefer");
	assert_string_equal(option(d, "tcp_user_timeout"), "1234");
	assert_string_equal(option(d, "keepalives_idle"), "60");
	ph_pg_dsn_free(d);
	setenv("PGGSSENCMODE", "require", 1);
	d = parse("host=h");
	assert_string_equal(option(d, "gssencmode"), "require");
	ph_pg_dsn_free(d);
	unsetenv("PGGSSENCMODE");
}

static void test_lists(void **state)
{
	struct ph_pg_dsn *d = parse("postgresql://u@a:1,[::1]:2,c/x");

	(void)state;
	assert_int_equal(d->place_count, 3);
	assert_string_equal(d->place[0].host, "a");
	assert_string_equal(d->place[0].port, "1");
	assert_string_equal(d->place[1].host, "::1");
	assert_string_equal(d->place[1].port, "2");
	assert_string_equal(d->place[2].host, "c");
	assert_string_equal(option(d, "target_session_attrs"), "read-write"); /* a node writes */
	assert_true(d->want_writable);
	ph_pg_dsn_free(d);
	d = parse("host=/var/run,b hostaddr=,10.0.0.1 port=7 target_session_attrs=primary");
	assert_int_equal(d->place_count, 2);
	assert_string_equal(d->place[0].host, "/var/run");
	assert_string_equal(d->place[0].addr, "");
	assert_string_equal(d->place[0].port, "7");
	assert_string_equal(d->place[1].addr, "10.0.0.1");
	assert_string_equal(d->place[1].port, "7");
	assert_true(d->want_primary);
	assert_false(d->want_writable);
	ph_pg_dsn_free(d);
}

static void test_environment_and_service(void **state)
{
	struct ph_pg_dsn *d;
	char path[] = "/tmp/ph-test-service-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	(void)state;
	assert_non_null(f);
	fputs("[prod]\nhost=svc1,svc2\nport=7000\nuser=svc\nsslmode=require\n", f);
	fclose(f);
	setenv("PGHOST", "env", 1);
	setenv("PGPORT", "7777", 1);
	d = parse("");
	assert_string_equal(d->place[0].host, "env");
	assert_string_equal(d->place[0].port, "7777");
	ph_pg_dsn_free(d);
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	setenv("PGSERVICEFILE", path, 1);
	d = parse("service=prod user=other");
	assert_int_equal(d->place_count, 2);
	assert_string_equal(d->place[1].host, "svc2");
	assert_string_equal(d->place[1].port, "7000");
	assert_string_equal(option(d, "user"), "other");
	assert_string_equal(option(d, "sslmode"), "require");
	assert_string_equal(option(d, "service"), "");
	ph_pg_dsn_free(d);
	unsetenv("PGSERVICEFILE");
	remove(path);
}

/* libpq's own messages quote the place that it could not read. */
static void test_messages_never_quote(void **state)
{
	static const char *const bad[] = {
		"postgresql//me:secret@h/d",
		"host=h password=sec ret",
		"host=h password=sec secret=1",
		"postgresql://me:secret/d",
		"postgresql://me:se%zzcret@h/d",
		"postgresql://me:pass@secret@h/d",
		"postgresql://me@[::1/secret",
		"host=a,b,c port=1,2 password=secret",
		"host=h port=0 password=secret",
		"host=h port=65536 password=secret",
		"host=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 password=secret",
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct ph_err err = {0};

		if (ph_pg_dsn_new(bad[i], NULL, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, PH_E_CONFIG);
		assert_null(strstr(err.detail, "secret"));
		assert_null(strstr(err.detail, "sec "));
		assert_true(strlen(err.detail) > 20);
	}
}

/* ---- names ---- */

static struct ph_pg_names names;
static bool found;

static void on_found(void *arg)
{
	(void)arg;
	found = true;
}

static bool is_found(void *arg)
{
	(void)arg;
	return found;
}

static void test_names(void **state)
{
	struct ph_pg_dsn *d = parse("host=/sock,localhost,no-such-host.invalid,10.1.2.3,named "
				    "hostaddr=,,,,10.9.9.9 port=1,2,3,4,5");
	struct bench b;
	int n;

	(void)state;
	bench_loop(&b);
	found = false;
	assert_false(ph_pg_names_start(&names, b.loop, d, on_found, NULL));
	bench_run(&b, is_found, NULL, 20000);
	n = names.place_count;
	assert_in_range(n, 4, 5); /* localhost has one address or two, no-such-host none */
	assert_string_equal(names.place[0].host, "/sock");
	assert_string_equal(names.place[0].addr, "");
	assert_string_equal(names.place[1].host, "localhost");
	assert_string_equal(names.place[1].port, "2");
	assert_true(strcmp(names.place[1].addr, "127.0.0.1") == 0 || strcmp(names.place[1].addr, "::1") == 0);
	assert_string_equal(names.place[n - 2].addr, "10.1.2.3");
	assert_string_equal(names.place[n - 1].host, "named");
	assert_string_equal(names.place[n - 1].addr, "10.9.9.9");
	ph_pg_names_stop(&names);
	ph_pg_names_stop(&names);
	assert_false(ph_pg_names_start(&names, b.loop, d, on_found, NULL)); /* and stopped on the way */
	ph_pg_names_stop(&names);
	ph_pg_dsn_free(d);
	d = parse("host=/sock,@abstract");
	assert_true(ph_pg_names_start(&names, b.loop, d, on_found, NULL));
	assert_int_equal(names.place_count, 2);
	ph_pg_names_stop(&names);
	ph_pg_dsn_free(d);
	bench_wait(&b, 50);
	assert_int_equal(ph_loop_free(b.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_url),
		cmocka_unit_test(test_what_is_asked_for_wins),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_environment_and_service),
		cmocka_unit_test(test_messages_never_quote),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
