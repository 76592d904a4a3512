/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking twin: connecting within a time, over several hosts, and its words when it cannot. */
#include <unistd.h>

#include "pg_test.h"

static void test_refused(void **state)
{
	struct ph_err err = {0};
	char dsn[128], port[16];

	(void)state;
	snprintf(port, sizeof(port), "%d", ph_test_free_port());
	snprintf(dsn, sizeof(dsn), "postgresql://me:secret@127.0.0.1:%s/x", port);
	assert_null(ph_pgs_open(dsn, 5, &err));
	assert_int_equal(err.code, PH_E_DATABASE_AWAY);
	assert_non_null(strstr(err.detail, "127.0.0.1"));
	assert_non_null(strstr(err.detail, port));
	assert_null(strstr(err.detail, "secret"));
}

static void test_silent(void **state)
{
	struct ph_err err = {0};
	char dsn[128];
	int port;
	int fd = silent_listener(&port);
	uint64_t start = ph_clock_ms();

	(void)state;
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=me password=secret dbname=x", port);
	assert_null(ph_pgs_open(dsn, 1, &err));
	assert_in_range(ph_clock_ms() - start, 900, 3000);
	assert_int_equal(err.code, PH_E_DATABASE_AWAY);
	assert_non_null(strstr(err.detail, "127.0.0.1"));
	assert_null(strstr(err.detail, "secret"));
	close(fd);
}

static void test_silent_then_good(void **state)
{
	struct ph_err err = {0};
	struct ph_pgs *s;
	char dsn[160];
	int port, fd;

	(void)state;
	NEED_SERVER();
	fd = silent_listener(&port);
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1,localhost port=%d,%d user=postgres dbname=postgres", port,
		server->port);
	s = ph_pgs_open(dsn, 2, &err);
	if (!s)
		fail_msg("%s", err.detail);
	assert_null(ph_pgs_close(s));
	close(fd);
}

static void test_who_is_refused_and_why(void **state)
{
	struct ph_err err = {0};
	char dsn[256];

	(void)state;
	NEED_SERVER();
	snprintf(dsn, sizeof(dsn), "%s dbname=nowhere password=secret", ph_test_server_dsn(server));
	assert_null(ph_pgs_open(dsn, 5, &err));
	assert_non_null(strstr(err.detail, "nowhere"));
	assert_null(strstr(err.detail, "secret"));
	assert_null(ph_pgs_open("host=", 5, NULL)); /* err may be NULL */
	assert_null(ph_pgs_close(NULL));
}

static void test_a_connection_that_dies(void **state)
{
	struct ph_err err = {0};
	struct ph_pgs *s;

	(void)state;
	NEED_SERVER();
	s = ph_pgs_open(ph_test_server_dsn(server), 5, &err);
	assert_non_null(s);
	assert_null(ph_pgs_query(s, "select pg_terminate_backend(pg_backend_pid())", NULL, 0, &err));
	assert_int_equal(err.code, PH_E_DATABASE_AWAY);
	assert_true(strlen(err.detail) > 10);
	assert_null(ph_pgs_query(s, "select 1", NULL, 0, &err));
	assert_int_equal(err.code, PH_E_DATABASE_AWAY);
	assert_string_equal(err.sqlstate, "");
	assert_int_equal(ph_pgs_script(s, "select 1", &err), -PH_E_DATABASE_AWAY);
	ph_pgs_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_silent_then_good),
		cmocka_unit_test(test_who_is_refused_and_why),
		cmocka_unit_test(test_a_connection_that_dies),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
