/* SPDX-License-Identifier: Apache-2.0 */
/* The table against the interface that the project promises: names and defaults, word for word. */
#include "ph_test.h"

#include <ctype.h>
#include <stdio.h>

#include "config/config_priv.h"

#include "config_env.h"

/* The promise, one setting a line; a default of "-" is none, or one that the machine decides. */
static const char promised[] = "POSTHOUSE_DATABASE_URL -\n"
			       "POSTHOUSE_DATABASE_DIRECT_URL -\n"
			       "POSTHOUSE_DATA_DIR -\n"
			       "POSTHOUSE_LISTEN 127.0.0.1:8080\n"
			       "POSTHOUSE_ADMIN_LISTEN 127.0.0.1:9090\n"
			       "POSTHOUSE_WORKERS 1\n"
			       "POSTHOUSE_NODE_NAME -\n"
			       "POSTHOUSE_MASTER_KEY -\n"
			       "POSTHOUSE_AUTH required\n"
			       "POSTHOUSE_SNAPSHOTS all\n"
			       "POSTHOUSE_RETENTION 30d\n"
			       "POSTHOUSE_RETENTION_UNSTORED 1d\n"
			       "POSTHOUSE_MAX_BODY 64MiB\n"
			       "POSTHOUSE_CONNECT_TIMEOUT 5s\n"
			       "POSTHOUSE_FIRST_EVENT_TIMEOUT 120s\n"
			       "POSTHOUSE_IDLE_TIMEOUT 300s\n"
			       "POSTHOUSE_ANSWER_TIMEOUT 600s\n"
			       "POSTHOUSE_QUEUE_TIMEOUT 30s\n"
			       "POSTHOUSE_DRAIN_TIMEOUT 300s\n"
			       "POSTHOUSE_KEEPALIVE_INTERVAL 15s\n"
			       "POSTHOUSE_HOLD_TIMEOUT 10s\n"
			       "POSTHOUSE_POLL_INTERVAL 5s\n"
			       "POSTHOUSE_LEASE_TTL 15s\n"
			       "POSTHOUSE_USAGE_INTERVAL 60s\n"
			       "POSTHOUSE_MODELS_INTERVAL 5m\n"
			       "POSTHOUSE_UPSTREAM_TRANSPORT auto\n"
			       "POSTHOUSE_WEBSOCKET on\n"
			       "POSTHOUSE_TLS_CERT_FILE -\n"
			       "POSTHOUSE_TLS_KEY_FILE -\n"
			       "POSTHOUSE_UPSTREAM_CA_FILE -\n"
			       "POSTHOUSE_LOG_LEVEL info\n"
			       "POSTHOUSE_LOG_FORMAT json\n";

static const struct ph_setting *find(struct ph_str variable)
{
	for (size_t i = 0; i < ph_setting_count; i++)
		if (ph_str_eq(ph_str_c(ph_settings[i].variable), variable))
			return &ph_settings[i];
	return NULL;
}

static void test_every_promised_setting(void **state)
{
	struct ph_str rest = ph_str_c(promised);
	size_t n = 0;

	(void)state;
	for (; rest.n > 0; n++) {
		struct ph_str fallback = ph_str_split(&rest, '\n'), variable = ph_str_split(&fallback, ' ');
		const struct ph_setting *s = find(variable);

		if (s == NULL)
			fail_msg("%.*s is not in the table", PH_STR_ARG(variable));
		else if (ph_str_eq(fallback, PH_STR("-")))
			assert_null(s->fallback);
		else
			ph_assert_str(ph_str_c(s->fallback), fallback);
	}
	assert_int_equal(n, ph_setting_count); /* and nothing else */
}

static void test_rows_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < ph_setting_count; i++) {
		const struct ph_setting *s = &ph_settings[i];

		assert_true(ph_str_starts(ph_str_c(s->variable), PH_STR("POSTHOUSE_")));
		assert_true((s->fallback == NULL) == (s->unset != NULL));
		assert_true(s->doc && s->doc[0] && s->example && s->example[0]);
		assert_true(strlen(s->variable) < PH_FLAG_MAX);
		if (s->type == PH_SET_DURATION || s->type == PH_SET_SIZE || s->type == PH_SET_COUNT)
			assert_true(s->max > s->min);
		for (size_t j = i + 1; j < ph_setting_count; j++) {
			assert_string_not_equal(s->variable, ph_settings[j].variable);
			assert_int_not_equal(s->offset, ph_settings[j].offset);
		}
	}
}

static void test_examples_are_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < ph_setting_count; i++) {
		const struct ph_setting *s = &ph_settings[i];
		struct ph_config c = {0};
		struct ph_err err = {0};

		if (s->type == PH_SET_MASTER_KEY || s->type == PH_SET_FILE)
			continue; /* a command, and files of another machine */
		if (ph_setting_store(s, &c, s->variable, s->example, &err) != 0)
			fail_msg("%s: %s", s->variable, err.detail);
		ph_config_free(&c);
	}
}

/* Kubernetes gives these shapes to the variables of services. */
static void test_no_name_of_a_service_variable(void **state)
{
	(void)state;
	for (size_t i = 0; i < ph_setting_count; i++) {
		struct ph_str v = ph_str_c(ph_settings[i].variable);

		assert_false(ph_str_ends(v, PH_STR("_PORT")));
		assert_true(ph_str_find(v, PH_STR("_PORT_")) < 0);
		assert_true(ph_str_find(v, PH_STR("_SERVICE_")) < 0);
	}
}

static void test_flags(void **state)
{
	char flag[PH_FLAG_MAX];

	(void)state;
	for (size_t i = 0; i < ph_setting_count; i++) {
		ph_setting_flag(&ph_settings[i], flag);
		for (const char *p = flag; *p; p++)
			assert_true(islower((unsigned char)*p) || *p == '-');
		assert_int_equal(ph_config_is_flag(flag, false), !ph_settings[i].no_flag);
		assert_int_equal(
			ph_config_is_flag(flag, true), ph_settings[i].everywhere && !ph_settings[i].no_flag);
	}
	assert_true(ph_config_is_flag("max-body", false));
	assert_true(ph_config_is_flag("master-key-file", true));
	assert_true(ph_config_is_flag("database-url-file", true));
	assert_false(ph_config_is_flag("max-body-file", false));
	assert_false(ph_config_is_flag("max", false));
	assert_false(ph_config_is_flag("max-body-", false));
	assert_false(ph_config_is_flag("", false));
}

static void test_markdown(void **state)
{
	struct ph_buf b;
	size_t lines = 0;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	ph_config_markdown(&b);
	assert_false(b.failed);
	for (size_t i = 0; i < b.n; i++)
		lines += b.p[i] == '\n';
	assert_int_equal(lines, ph_setting_count + 2);
	assert_true(ph_str_starts(ph_buf_str(&b), PH_STR("| name | default | |\n|---|---|---|\n")));
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("\n| `POSTHOUSE_MAX_BODY` | 64MiB | ")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("(null)")) < 0);
	ph_buf_deinit(&b);
}

static void check_help(bool everywhere, size_t *ret_lines)
{
	struct ph_buf b;
	struct ph_str rest;

	ph_buf_init(&b, 1 << 20);
	ph_config_help(&b, everywhere);
	assert_false(b.failed);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("(null)")) < 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("  --database-url URL")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("  --master-key-file FILE")) >= 0);
	assert_true(ph_str_find(ph_buf_str(&b), PH_STR("--master-key ")) < 0);
	*ret_lines = 0;
	for (rest = ph_buf_str(&b); rest.n > 0; (*ret_lines)++)
		assert_true(ph_str_split(&rest, '\n').n <= 110);
	ph_buf_deinit(&b);
}

static void test_help(void **state)
{
	size_t all, everywhere;

	(void)state;
	check_help(false, &all);
	check_help(true, &everywhere);
	assert_true(all > ph_setting_count);
	assert_true(everywhere < all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_promised_setting),
		cmocka_unit_test(test_rows_are_complete),
		cmocka_unit_test(test_examples_are_valid),
		cmocka_unit_test(test_no_name_of_a_service_variable),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_markdown),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, clean_environment, NULL);
}
