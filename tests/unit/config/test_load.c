/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: where values come from, which source wins, and what is refused with which line. */
#include "ph_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "posthouse/config.h"

#include "config_env.h"

#define KEY   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_2 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static char folder[] = "/tmp/ph-config-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

/* A file of the test's own; the same name is used again and again. */
static const char *file_with(const char *text, size_t n)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/secret", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static void loads(struct ph_config *c, const struct ph_config_flag *flags, size_t count)
{
	struct ph_err err = {0};

	if (ph_config_load(c, flags, count, NULL, NULL, &err) != 0)
		fail_msg("%s", err.detail);
}

/* The refusal names what was written and gives an example; nothing is left behind. */
static void refused(const struct ph_config_flag *flag, const char *names, const char *says, int code)
{
	struct ph_config c;
	struct ph_err err = {0};

	assert_int_equal(ph_config_load(&c, flag, flag ? 1 : 0, NULL, NULL, &err), -code);
	assert_int_equal(err.code, code);
	if (strstr(err.detail, names) == NULL || strstr(err.detail, says) == NULL)
		fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.detail, names, says);
	assert_null(strchr(err.detail, '\n'));
	assert_null(c.listen);
	ph_config_free(&c);
}

static void collect(void *arg, const char *variable, const char *value, const char *origin)
{
	ph_buf_printf(arg, "%s=%s(%s)\n", variable, value, origin);
}

static void assert_shown(const struct ph_config *c, const char *line)
{
	struct ph_buf b;

	ph_buf_init(&b, 1 << 20);
	ph_config_each(c, collect, &b);
	if (ph_str_find(ph_buf_str(&b), ph_str_c(line)) < 0)
		fail_msg("no \"%s\" in:\n%.*s", line, PH_STR_ARG(ph_buf_str(&b)));
	ph_buf_deinit(&b);
}

/* ---- sources ---- */

static void test_defaults(void **state)
{
	struct ph_config c;
	char host[256];

	(void)state;
	gethostname(host, sizeof(host));
	loads(&c, NULL, 0);
	assert_null(c.database_url);
	assert_null(c.database_direct_url);
	assert_string_equal(c.listen, "127.0.0.1:8080");
	assert_string_equal(c.admin_listen, "127.0.0.1:9090");
	assert_int_equal(c.workers, 1);
	assert_string_equal(c.node_name, host);
	assert_null(c.master_key);
	assert_false(c.auth_off);
	assert_int_equal(c.snapshots, PH_SNAPSHOTS_ALL);
	assert_int_equal(c.retention_ms, UINT64_C(30) * 86400 * 1000);
	assert_int_equal(c.retention_unstored_ms, UINT64_C(86400) * 1000);
	assert_int_equal(c.max_body, UINT64_C(64) << 20);
	assert_int_equal(c.connect_timeout_ms, 5000);
	assert_int_equal(c.first_event_timeout_ms, 120000);
	assert_int_equal(c.idle_timeout_ms, 300000);
	assert_int_equal(c.answer_timeout_ms, 600000);
	assert_int_equal(c.queue_timeout_ms, 30000);
	assert_int_equal(c.drain_timeout_ms, 300000);
	assert_int_equal(c.keepalive_interval_ms, 15000);
	assert_int_equal(c.hold_timeout_ms, 10000);
	assert_int_equal(c.poll_interval_ms, 5000);
	assert_int_equal(c.lease_ttl_ms, 15000);
	assert_string_equal(c.upstream_transport, "auto");
	assert_true(c.websocket);
	assert_null(c.tls_cert_file);
	assert_null(c.upstream_ca_file);
	assert_int_equal(c.log_level, PH_LOG_INFO);
	assert_int_equal(c.log_format, PH_LOG_JSON);
	assert_shown(&c, "POSTHOUSE_MAX_BODY=64MiB(default)\n");
	assert_shown(&c, "POSTHOUSE_MASTER_KEY=unset(default)\n");
	ph_config_free(&c);
	ph_config_free(&c);
}

static void test_environment(void **state)
{
	struct ph_config c;

	(void)state;
	setenv("POSTHOUSE_MAX_BODY", "1MiB", 1);
	setenv("POSTHOUSE_WORKERS", "4", 1);
	setenv("POSTHOUSE_SNAPSHOTS", "none", 1);
	setenv("POSTHOUSE_AUTH", "off", 1);
	setenv("POSTHOUSE_WEBSOCKET", "off", 1);
	setenv("POSTHOUSE_UPSTREAM_TRANSPORT", "http", 1);
	setenv("POSTHOUSE_LOG_LEVEL", "debug", 1);
	setenv("POSTHOUSE_LOG_FORMAT", "text", 1);
	setenv("POSTHOUSE_QUEUE_TIMEOUT", "0", 1);
	loads(&c, NULL, 0);
	assert_int_equal(c.max_body, 1 << 20);
	assert_int_equal(c.workers, 4);
	assert_int_equal(c.snapshots, PH_SNAPSHOTS_NONE);
	assert_true(c.auth_off);
	assert_false(c.websocket);
	assert_string_equal(c.upstream_transport, "http");
	assert_int_equal(c.log_level, PH_LOG_DEBUG);
	assert_int_equal(c.log_format, PH_LOG_TEXT);
	assert_int_equal(c.queue_timeout_ms, 0);
	assert_shown(&c, "POSTHOUSE_WORKERS=4(environment)\n");
	assert_shown(&c, "POSTHOUSE_AUTH=off(environment)\n");
	ph_config_free(&c);
}

static void test_flag_wins(void **state)
{
	const struct ph_config_flag flags[] = {
		{"max-body", "2MiB"},
		{"listen", "0.0.0.0:80"},
		{"max-body", "3MiB"},
		{"database-url", "postgresql://flag/db"},
	};
	struct ph_config c;

	(void)state;
	setenv("POSTHOUSE_MAX_BODY", "nonsense that nobody reads", 1);
	setenv("POSTHOUSE_DATABASE_URL_FILE", "/nowhere", 1);
	loads(&c, flags, PH_COUNT(flags));
	assert_int_equal(c.max_body, 3 << 20);
	assert_string_equal(c.listen, "0.0.0.0:80");
	assert_string_equal(c.database_url, "postgresql://flag/db");
	assert_shown(&c, "POSTHOUSE_LISTEN=0.0.0.0:80(flag)\n");
	assert_shown(&c, "POSTHOUSE_DATABASE_URL=set(flag)\n");
	ph_config_free(&c);
}

static void test_database_sources(void **state)
{
	struct ph_config c;

	(void)state;
	setenv("PGHOST", "pg.example", 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "");
	assert_shown(&c, "POSTHOUSE_DATABASE_URL=set(PGHOST)\n");
	ph_config_free(&c);

	unsetenv("PGHOST");
	setenv("PGSERVICE", "mine", 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "");
	ph_config_free(&c);

	setenv("DATABASE_URL", "postgres://alias/db", 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "postgres://alias/db");
	assert_shown(&c, "POSTHOUSE_DATABASE_URL=set(DATABASE_URL)\n");
	ph_config_free(&c);

	setenv("POSTHOUSE_DATABASE_URL", "host=a,b dbname=c target_session_attrs=read-write", 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "host=a,b dbname=c target_session_attrs=read-write");
	ph_config_free(&c);
}

static void test_data_dir(void **state)
{
	struct ph_config c;
	char cwd[256], expected[300];

	(void)state;
	setenv("XDG_STATE_HOME", "/state", 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.data_dir, geteuid() == 0 ? "/var/lib/posthouse" : "/state/posthouse");
	ph_config_free(&c);
	unsetenv("XDG_STATE_HOME");

	setenv("POSTHOUSE_DATA_DIR", "here", 1);
	loads(&c, NULL, 0);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(expected, sizeof(expected), "%s/here", cwd);
	assert_string_equal(c.data_dir, expected);
	ph_config_free(&c);
}

/* ---- secrets ---- */

static void test_secret_from_file(void **state)
{
	struct ph_config c;

	(void)state;
	setenv("POSTHOUSE_MASTER_KEY_FILE", file_with(KEY "," KEY_2 "\n", sizeof(KEY "," KEY_2 "\n") - 1), 1);
	loads(&c, NULL, 0);
	assert_string_equal(c.master_key, KEY "," KEY_2);
	assert_shown(&c, "POSTHOUSE_MASTER_KEY=set(file)\n");
	ph_config_free(&c);
	assert_null(c.master_key);

	setenv("POSTHOUSE_DATABASE_URL_FILE", file_with("host=x password='a\n'", 20),
		1); /* only the last newline goes */
	unsetenv("POSTHOUSE_MASTER_KEY_FILE");
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "host=x password='a\n'");
	ph_config_free(&c);

	file_with("host=x\n\n", 8);
	loads(&c, NULL, 0);
	assert_string_equal(c.database_url, "host=x\n");
	ph_config_free(&c);
	unlink(getenv("POSTHOUSE_DATABASE_URL_FILE"));
}

static void test_secret_files_refused(void **state)
{
	static char big[20000];

	(void)state;
	setenv("POSTHOUSE_MASTER_KEY_FILE", "/nowhere/key", 1);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "No such file", PH_E_CONFIG);
	setenv("POSTHOUSE_MASTER_KEY_FILE", folder, 1);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "directory", PH_E_CONFIG);
	setenv("POSTHOUSE_MASTER_KEY_FILE", file_with("", 0), 1);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "is empty", PH_E_CONFIG);
	file_with("\n", 1);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "is empty", PH_E_CONFIG);
	file_with("ab\0cd", 5);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "cannot be read", PH_E_CONFIG);
	memset(big, 'A', sizeof(big));
	file_with(big, sizeof(big));
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "cannot be read", PH_E_CONFIG);
	file_with(KEY, sizeof(KEY) - 5);
	refused(NULL, "POSTHOUSE_MASTER_KEY_FILE", "urandom", PH_E_CONFIG);
	unlink(getenv("POSTHOUSE_MASTER_KEY_FILE"));
}

static void test_both_at_once(void **state)
{
	const struct ph_config_flag both[] = {{"database-url", "host=a"}, {"database-url-file", "/b"}};
	struct ph_config c;
	struct ph_err err = {0};

	(void)state;
	setenv("POSTHOUSE_MASTER_KEY", KEY, 1);
	setenv("POSTHOUSE_MASTER_KEY_FILE", "/nowhere/key", 1);
	refused(NULL, "POSTHOUSE_MASTER_KEY", "POSTHOUSE_MASTER_KEY_FILE", PH_E_CONFIG);
	clean_environment(NULL);
	setenv("POSTHOUSE_DATABASE_DIRECT_URL", "host=a", 1);
	setenv("POSTHOUSE_DATABASE_DIRECT_URL_FILE", "/nowhere", 1);
	refused(NULL, "POSTHOUSE_DATABASE_DIRECT_URL", "POSTHOUSE_DATABASE_DIRECT_URL_FILE", PH_E_CONFIG);
	clean_environment(NULL);
	assert_int_equal(ph_config_load(&c, both, 2, NULL, NULL, &err), -PH_E_USAGE);
	assert_non_null(strstr(err.detail, "--database-url-file"));
}

static void test_secrets_are_not_shown(void **state)
{
	static const char *const urls[] = {
		"mysql://u:hunter2@h/d", "hunter2", "postgresql+asyncpg://u:hunter2@h/d"};
	struct ph_config c;
	struct ph_err err = {0};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(urls); i++) {
		setenv("POSTHOUSE_DATABASE_URL", urls[i], 1);
		assert_int_equal(ph_config_load(&c, NULL, 0, NULL, NULL, &err), -PH_E_CONFIG);
		assert_null(strstr(err.detail, "hunter2"));
	}
	clean_environment(NULL);
	setenv("POSTHOUSE_MASTER_KEY", "aHVudGVyMg==", 1);
	assert_int_equal(ph_config_load(&c, NULL, 0, NULL, NULL, &err), -PH_E_CONFIG);
	assert_null(strstr(err.detail, "aHVudGVyMg"));
	assert_non_null(strstr(err.detail, "POSTHOUSE_MASTER_KEY"));
}

/* ---- refusals ---- */

static void test_bad_values(void **state)
{
	static const struct {
		const char *variable, *value, *says;
	} bad[] = {
		{"POSTHOUSE_LISTEN", "8080", "POSTHOUSE_LISTEN=127.0.0.1:8080"},
		{"POSTHOUSE_LISTEN", "host:99999", "POSTHOUSE_LISTEN=127.0.0.1:8080"},
		{"POSTHOUSE_ADMIN_LISTEN", "::1:90", "POSTHOUSE_ADMIN_LISTEN=127.0.0.1:9090"},
		{"POSTHOUSE_WORKERS", "0", "at least 1, at most 64; for example POSTHOUSE_WORKERS=2"},
		{"POSTHOUSE_WORKERS", "65", "at most 64"},
		{"POSTHOUSE_WORKERS", "two", "is not a whole number"},
		{"POSTHOUSE_WORKERS", "-1", "is not a whole number"},
		{"POSTHOUSE_WORKERS", "99999999999999999999", "is too large"},
		{"POSTHOUSE_MAX_BODY", "64MB", "is not a size; for example POSTHOUSE_MAX_BODY=64MiB"},
		{"POSTHOUSE_MAX_BODY", "1", "at least 1KiB, at most 512MiB"},
		{"POSTHOUSE_MAX_BODY", "17179869184GiB", "is too large"},
		{"POSTHOUSE_IDLE_TIMEOUT", "5 minutes",
			"is not a duration; for example POSTHOUSE_IDLE_TIMEOUT=300s"},
		{"POSTHOUSE_IDLE_TIMEOUT", "2d", "at most 1d"},
		{"POSTHOUSE_LEASE_TTL", "1s", "at least 2s"},
		{"POSTHOUSE_RETENTION", "", "is empty"},
		{"POSTHOUSE_SNAPSHOTS", "some",
			"is not one of all, stored, none; for example POSTHOUSE_SNAPSHOTS=all"},
		{"POSTHOUSE_AUTH", "yes", "is not one of required, off"},
		{"POSTHOUSE_WEBSOCKET", "true", "is not one of off, on"},
		{"POSTHOUSE_UPSTREAM_TRANSPORT", "carrier", "is not one of auto, http, websocket"},
		{"POSTHOUSE_LOG_LEVEL", "INFO", "is not one of error, warn, info, debug"},
		{"POSTHOUSE_LOG_FORMAT", "xml", "is not one of json, text"},
		{"POSTHOUSE_NODE_NAME", "a b", "for example POSTHOUSE_NODE_NAME=gateway-1"},
		{"POSTHOUSE_NODE_NAME", "a\nb", "a?b"},
		{"POSTHOUSE_UPSTREAM_CA_FILE", "/nowhere/ca.pem",
			"cannot be read (No such file or directory)"},
		{"POSTHOUSE_TLS_CERT_FILE", "/dev/null", "POSTHOUSE_TLS_KEY_FILE"},
		{"POSTHOUSE_DATABASE_URL", "", "is empty"},
		{"POSTHOUSE_DATABASE_URL", "mysql://h/d",
			"is not a PostgreSQL URL; for example "
			"POSTHOUSE_DATABASE_URL=postgresql://"},
		{"POSTHOUSE_DATABASE_URL", "db.example", "neither a URL nor key=value"},
		{"DATABASE_URL", "sqlite:///x", "is not a PostgreSQL URL"},
		{"POSTHOUSE_MASTER_KEY", "c2hvcnQ=", "urandom"},
		{"POSTHOUSE_MASTER_KEY", "", "is empty"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		clean_environment(NULL);
		setenv(bad[i].variable, bad[i].value, 1);
		refused(NULL, bad[i].variable, bad[i].says, PH_E_CONFIG);
	}
}

static void test_bad_flags(void **state)
{
	static const struct ph_config_flag bad[] = {
		{"max-body", "64MB"},
		{"workers", "0"},
		{"listen", "nowhere"},
		{"log-level", "loud"},
		{"drain-timeout", "soon"},
	};
	const struct ph_config_flag unknown = {"colour", "red"}, secret = {"master-key", KEY};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		char example[64];

		snprintf(example, sizeof(example), "for example --%s ", bad[i].name);
		refused(&bad[i], example, bad[i].value, PH_E_USAGE);
	}
	refused(&unknown, "--colour", "check-config", PH_E_USAGE);
	refused(&secret, "--master-key", "check-config", PH_E_USAGE); /* every user could read it */
}

static void test_sqlalchemy_urls(void **state)
{
	static const char *const drivers[] = {
		"postgresql+asyncpg", "postgresql+psycopg2", "postgres+psycopg"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(drivers); i++) {
		char url[128];

		snprintf(url, sizeof(url), "%s://user@db:5432/app?x=y", drivers[i]);
		setenv("POSTHOUSE_DATABASE_URL", url, 1);
		refused(NULL, drivers[i], "write postgresql://user@db:5432/app?x=y", PH_E_CONFIG);
	}
}

static void test_auth_off_needs_loopback(void **state)
{
	static const char *const good[] = {"127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"};
	static const char *const bad[] = {
		"0.0.0.0:80", "[::]:80", "10.0.0.1:80", "example.org:80", "128.0.0.1:80"};
	struct ph_config c;

	(void)state;
	setenv("POSTHOUSE_AUTH", "off", 1);
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		setenv("POSTHOUSE_LISTEN", good[i], 1);
		loads(&c, NULL, 0);
		ph_config_free(&c);
	}
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		setenv("POSTHOUSE_LISTEN", bad[i], 1);
		refused(NULL, "POSTHOUSE_AUTH=off", bad[i], PH_E_CONFIG);
	}
}

/* ---- warnings ---- */

static void keep(void *arg, const char *text)
{
	ph_buf_printf(arg, "%s\n", text);
}

static void test_unknown_variables(void **state)
{
	struct ph_config c;
	struct ph_buf b;

	(void)state;
	setenv("POSTHOUSE_LISTN", "127.0.0.1:1", 1);
	setenv("POSTHOUSE_MAX_BODY_SIZE", "1", 1);
	setenv("POSTHOUSE_LISTEN_FILE", "/x", 1); /* only secrets have one */
	setenv("POSTHOUSE_ADMIN_PORT", "9090", 1);
	ph_buf_init(&b, 1 << 16);
	assert_int_equal(ph_config_load(&c, NULL, 0, keep, &b, NULL), 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("POSTHOUSE_LISTN is not a setting; the nearest one is "
						       "POSTHOUSE_LISTEN\n")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("the nearest one is POSTHOUSE_MAX_BODY\n")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("POSTHOUSE_LISTEN_FILE is not")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("POSTHOUSE_ADMIN_PORT is not")) >= 0);
	ph_buf_deinit(&b);
	ph_config_free(&c);
}

static void test_service_variables_are_nobodys_mistake(void **state)
{
	static const char *const names[] = {"POSTHOUSE_PORT", "POSTHOUSE_SERVICE_HOST",
		"POSTHOUSE_SERVICE_PORT", "POSTHOUSE_SERVICE_PORT_HTTP", "POSTHOUSE_PORT_8080_TCP",
		"POSTHOUSE_PORT_8080_TCP_PROTO", "POSTHOUSE_PORT_8080_TCP_PORT",
		"POSTHOUSE_PORT_8080_TCP_ADDR", "POSTHOUSE_PORT_53_UDP_ADDR", "POSTHOUSE_ADMIN_SERVICE_HOST",
		"POSTHOUSE_ADMIN_SERVICE_PORT_METRICS", "POSTHOUSE_ADMIN_PORT",
		"POSTHOUSE_ADMIN_PORT_9090_TCP_ADDR"};
	struct ph_config c;
	struct ph_buf b;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(names); i++)
		setenv(names[i], "tcp://10.0.0.1:8080", 1);
	setenv("POSTHOUSE_MASTER_KEY", KEY, 1);
	setenv("POSTHOUSE_DATABASE_URL", "host=a", 1);
	ph_buf_init(&b, 1 << 16);
	assert_int_equal(ph_config_load(&c, NULL, 0, keep, &b, NULL), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR_NONE);
	ph_config_free(&c);

	setenv("DATABASE_URL", "host=b", 1);
	assert_int_equal(ph_config_load(&c, NULL, 0, keep, &b, NULL), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("DATABASE_URL is ignored, because another database is set\n"));
	ph_buf_deinit(&b);
	ph_config_free(&c);
}

static void test_password_in_a_flag(void **state)
{
	const struct ph_config_flag secret = {"database-url", "postgresql://u:hunter2@h/d"};
	const struct ph_config_flag plain = {"database-url", "postgresql://u@h/d"};
	struct ph_config c;
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 16);
	assert_int_equal(ph_config_load(&c, &plain, 1, keep, &b, NULL), 0);
	ph_config_free(&c);
	ph_assert_str(ph_buf_str(&b), PH_STR_NONE);
	assert_int_equal(ph_config_load(&c, &secret, 1, keep, &b, NULL), 0);
	ph_config_free(&c);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("--database-url-file")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("hunter2")) < 0);
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, clean_environment),
		cmocka_unit_test_setup(test_environment, clean_environment),
		cmocka_unit_test_setup(test_flag_wins, clean_environment),
		cmocka_unit_test_setup(test_database_sources, clean_environment),
		cmocka_unit_test_setup(test_data_dir, clean_environment),
		cmocka_unit_test_setup(test_secret_from_file, clean_environment),
		cmocka_unit_test_setup(test_secret_files_refused, clean_environment),
		cmocka_unit_test_setup(test_both_at_once, clean_environment),
		cmocka_unit_test_setup(test_secrets_are_not_shown, clean_environment),
		cmocka_unit_test_setup(test_bad_values, clean_environment),
		cmocka_unit_test_setup(test_bad_flags, clean_environment),
		cmocka_unit_test_setup(test_sqlalchemy_urls, clean_environment),
		cmocka_unit_test_setup(test_auth_off_needs_loopback, clean_environment),
		cmocka_unit_test_setup(test_unknown_variables, clean_environment),
		cmocka_unit_test_setup(test_service_variables_are_nobodys_mistake, clean_environment),
		cmocka_unit_test_setup(test_password_in_a_flag, clean_environment),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
