/* SPDX-License-Identifier: Apache-2.0 */
/* The log line is an interface: what stands in it, what is taken out, and what happens when nobody reads. */
#include "ph_test.h"

#include "posthouse/log.h"
#include "posthouse/metrics.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int saved, reader;
static char line[1 << 17];

/* Standard error becomes a pipe. */
static int capture(void **state)
{
	int fd[2];

	(void)state;
	saved = dup(STDERR_FILENO);
	if (pipe(fd) || dup2(fd[1], STDERR_FILENO) < 0)
		return -1;
	close(fd[1]);
	reader = fd[0];
	return fcntl(reader, F_SETFL, O_NONBLOCK);
}

static int release(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	return close(reader);
}

/* All that was written since the last call. */
static struct ph_str written(void)
{
	size_t n = 0;
	ssize_t got;

	do {
		got = read(reader, line + n, sizeof(line) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	line[n] = '\0';
	return ph_str(line, n);
}

static json_t *written_json(void)
{
	struct ph_str s = written();
	json_error_t err;
	json_t *tree = json_loadb(s.p, s.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &err);

	assert_int_equal(s.p[s.n - 1], '\n');
	if (!tree)
		fail_msg("%s in %s", err.text, s.p);
	return tree;
}

static void assert_text(json_t *tree, const char *name, const char *expected)
{
	const char *is = json_string_value(json_object_get(tree, name));

	assert_non_null(is);
	assert_string_equal(is, expected);
}

static void json_lines(void **state)
{
	const struct ph_field fields[] = {
		PH_F_STR("path", PH_STR("/v1/\"x\"\n")),
		PH_F_INT("bytes", -5),
		PH_F_MS("took_ms", 1234567),
		PH_F_BOOL("ok", true),
		PH_F_C("empty", ""),
		PH_F_C("null", NULL),
	};
	const char *ts;
	json_t *tree;

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_JSON, "one/3");
	ph_log_fields(PH_LOG_WARN, "turn", fields, PH_COUNT(fields));
	tree = written_json();
	assert_text(tree, "level", "warn");
	assert_text(tree, "msg", "turn");
	assert_text(tree, "node", "one/3");
	assert_text(tree, "path", "/v1/\"x\"\n");
	assert_int_equal(json_integer_value(json_object_get(tree, "bytes")), -5);
	assert_non_null(strstr(line, "\"took_ms\":1.235"));
	assert_true(json_is_true(json_object_get(tree, "ok")));
	assert_int_equal(json_object_size(tree), 8);
	ts = json_string_value(json_object_get(tree, "ts"));
	assert_int_equal(strlen(ts), strlen("2024-02-29T12:00:00.123456Z"));
	assert_int_equal(ts[10], 'T');
	assert_int_equal(ts[19], '.');
	assert_int_equal(ts[26], 'Z');
	json_decref(tree);
}

static void text_lines(void **state)
{
	const struct ph_field fields[] = {
		PH_F_C("a", "word"), PH_F_C("b", "two words"), PH_F_C("c", "x\ny"), PH_F_INT("d", 7)};

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "one");
	ph_log_fields(PH_LOG_INFO, "hello there", fields, PH_COUNT(fields));
	written();
	assert_string_equal(line + strlen("2024-02-29T12:00:00.123456Z"),
		" info  hello there node=one a=word b=\"two words\" c=\"x\\ny\" d=7\n");
	ph_log(PH_LOG_ERROR, "forged\n2024 info line");
	written();
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void levels(void **state)
{
	(void)state;
	ph_log_init(PH_LOG_WARN, PH_LOG_JSON, "");
	assert_true(ph_log_on(PH_LOG_ERROR) && ph_log_on(PH_LOG_WARN));
	assert_false(ph_log_on(PH_LOG_INFO) || ph_log_on(PH_LOG_DEBUG));
	ph_log(PH_LOG_INFO, "not %s", "this");
	ph_log_fields(PH_LOG_DEBUG, "nor this", NULL, 0);
	assert_int_equal(written().n, 0);
	ph_log(PH_LOG_WARN, "but %d", 1);
	assert_non_null(strstr(written().p, "\"msg\":\"but 1\"}"));
}

/* However long and ugly: one line of valid JSON of at most PIPE_BUF bytes; what does not fit is left out, and
 * it says so. */
static void long_lines_are_cut(void **state)
{
	static char text[20000];

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_JSON, "one");
	for (int c = 1; c < 256; c += 11) {
		struct ph_field fields[6];
		json_t *tree;

		memset(text, c, sizeof(text) - 1);
		for (size_t n = 0; n < PH_COUNT(fields); n++) {
			static const char *const names[] = {"a", "b", "c", "d", "e", "f"};

			fields[n] = PH_F_C(names[n], text);
		}
		fields[5] = PH_F_INT("short", 1);
		ph_log(PH_LOG_INFO, "%s", text);
		json_decref(written_json());
		ph_log_fields(PH_LOG_INFO, text, fields, PH_COUNT(fields));
		tree = written_json();
		assert_true(strlen(line) <= 4096);
		assert_int_equal(json_integer_value(json_object_get(tree, "short")), 1);
		assert_true(json_is_true(json_object_get(tree, "cut")));
		json_decref(tree);
	}
}

static size_t count_lines(struct ph_str s)
{
	size_t lines = 0;

	for (size_t i = 0; i < s.n; i++)
		lines += s.p[i] == '\n';
	return lines;
}

static void a_full_pipe_drops_and_counts(void **state)
{
	uint64_t before = ph_log_dropped(), sent = 0;

	(void)state;
	ph_metrics_init(1);
	ph_metrics_worker(0);
	ph_log_init(PH_LOG_INFO, PH_LOG_JSON, "one");
	alarm(20); /* a blocked write ends the test */
	while (ph_log_dropped() == before)
		ph_log(PH_LOG_INFO, "line %llu", (unsigned long long)++sent);
	ph_log(PH_LOG_INFO, "another");
	assert_true(ph_log_dropped() == before + 2);
	assert_int_equal(ph_metric_get(PH_M_LOG_DROPPED, 0, 0), 2);
	assert_int_equal(count_lines(written()), sent - 1); /* whole lines, all but the dropped */
	ph_log(PH_LOG_INFO, "after");
	assert_non_null(strstr(written().p, "after"));
	alarm(0);
}

static void held_lines_leave_together_and_in_order(void **state)
{
	struct ph_str s;

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "one");
	ph_log_hold(true);
	ph_log(PH_LOG_INFO, "first");
	ph_log(PH_LOG_WARN, "second");
	assert_int_equal(written().n, 0);
	ph_log_flush();
	s = written();
	assert_int_equal(count_lines(s), 2);
	assert_true(ph_str_find(s, PH_STR("first")) < ph_str_find(s, PH_STR("second")));
	ph_log_flush();
	assert_int_equal(written().n, 0);
	ph_log(PH_LOG_INFO, "before");
	ph_log(PH_LOG_ERROR, "an error is not held");
	s = written();
	assert_int_equal(count_lines(s), 2);
	assert_true(ph_str_find(s, PH_STR("before")) < ph_str_find(s, PH_STR("an error")));
	ph_log(PH_LOG_INFO, "last");
	assert_int_equal(written().n, 0);
	ph_log_hold(false);
	assert_int_equal(count_lines(written()), 1);
	ph_log(PH_LOG_INFO, "at once");
	assert_int_equal(count_lines(written()), 1);
}

/* More than fits is written on the way, in whole lines and at most PIPE_BUF bytes at a time. */
static void held_lines_are_bounded(void **state)
{
	static char text[400];
	size_t lines = 0, sent = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "one");
	ph_log_hold(true);
	while (sent < 50) {
		struct ph_str s;

		ph_log(PH_LOG_INFO, "%.*s", (int)(sent % 7 * 50), text);
		sent++;
		s = written();
		assert_true(s.n <= 4096 && (s.n == 0 || s.p[s.n - 1] == '\n'));
		lines += count_lines(s);
	}
	assert_true(lines > 25);
	ph_log_hold(false);
	assert_int_equal(lines + count_lines(written()), sent);
}

static void held_lines_that_nobody_takes_are_counted(void **state)
{
	uint64_t dropped;

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "one");
	alarm(20);
	for (dropped = ph_log_dropped(); ph_log_dropped() == dropped;)
		ph_log(PH_LOG_INFO, "filling the pipe");
	ph_log_hold(true);
	for (int i = 0; i < 5; i++)
		ph_log(PH_LOG_INFO, "nobody reads this");
	assert_int_equal(ph_log_dropped(), dropped + 1);
	ph_log_hold(false);
	assert_int_equal(ph_log_dropped(), dropped + 6);
	assert_true(ph_str_find(written(), PH_STR("nobody")) < 0);
	ph_log(PH_LOG_INFO, "after");
	assert_int_equal(count_lines(written()), 1);
	alarm(0);
}

/* What was held when the process died stands before its last words. */
static void dying_loses_no_line(void **state)
{
	struct ph_str s;
	int status;
	pid_t pid;

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "one");
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		ph_log_hold(true);
		ph_log(PH_LOG_INFO, "what led to it");
		ph_die("and the end");
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	s = written();
	assert_true(ph_str_find(s, PH_STR("what led to it")) > 0);
	assert_true(ph_str_find(s, PH_STR("and the end")) > ph_str_find(s, PH_STR("what led to it")));
}

#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
#define KEY "ph_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"

static void secrets_are_taken_out(void **state)
{
	static const char *const cases[][2] = {
		{"nothing here", "nothing here"},
		{"Authorization: Bearer abc.DEF-123_~+/=, next", "Authorization: Bearer ***, next"},
		{"bearer  x", "bearer  ***"},
		{"a bearer of news", "a bearer *** news"},
		{"forbearer x, Bearer", "forbearer x, Bearer"},
		{"key sk-proj-Abc_123-xyz789 and sk-12345678", "key sk-*** and sk-***"},
		{"risk-assessment task-12345678 sk-short", "risk-assessment task-12345678 sk-short"},
		{"key=" KEY ".", "key=ph_***"},
		{"ph_worker graph_0123456789012345678901234567",
			"ph_worker graph_0123456789012345678901234567"},
		{"\"" JWT "\"", "\"eyJ***\""},
		{"eyJ is short, keyJabcdefghijklmnopqrst", "eyJ is short, keyJabcdefghijklmnopqrst"},
		{"postgres://joe:s3cret@db:5432/x?y=z", "postgres://joe:***@db:5432/x?y=z"},
		{"postgres://:s3cret@db/x", "postgres://:***@db/x"},
		{"http://joe:p@ss:w@host/ and http://host:80/a@b",
			"http://joe:***@host/ and http://host:80/a@b"},
		{"http://joe@host:80", "http://joe@host:80"},
		{"Bearer " JWT " " KEY, "Bearer *** ph_***"},
		{"", ""},
	};
	char out[300];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		ph_log_redact(out, sizeof(out), ph_str_c(cases[i][0]));
		assert_string_equal(out, cases[i][1]);
	}
}

static void redaction_comes_before_the_cut(void **state)
{
	struct ph_str text = PH_STR("token " KEY " end");
	char out[64];

	(void)state;
	for (size_t size = 1; size < sizeof(out); size++) {
		memset(out, 'z', sizeof(out));
		ph_log_redact(out, size, text);
		assert_true(strlen(out) < size);
		assert_null(strstr(out, "012"));
		assert_memory_equal(out, "token ph_*** end", strlen(out));
	}
}

static void lines_are_redacted(void **state)
{
	const struct ph_field fields[] = {PH_F_C("auth", "Bearer abcdef")};

	(void)state;
	ph_log_init(PH_LOG_INFO, PH_LOG_JSON, "");
	ph_log(PH_LOG_INFO, "with %s", KEY);
	assert_non_null(strstr(written().p, "\"msg\":\"with ph_***\""));
	ph_log_fields(PH_LOG_INFO, "x", fields, 1);
	assert_non_null(strstr(written().p, "\"auth\":\"Bearer ***\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(json_lines, capture, release),
		cmocka_unit_test_setup_teardown(text_lines, capture, release),
		cmocka_unit_test_setup_teardown(levels, capture, release),
		cmocka_unit_test_setup_teardown(long_lines_are_cut, capture, release),
		cmocka_unit_test_setup_teardown(a_full_pipe_drops_and_counts, capture, release),
		cmocka_unit_test_setup_teardown(held_lines_leave_together_and_in_order, capture, release),
		cmocka_unit_test_setup_teardown(held_lines_are_bounded, capture, release),
		cmocka_unit_test_setup_teardown(held_lines_that_nobody_takes_are_counted, capture, release),
		cmocka_unit_test_setup_teardown(dying_loses_no_line, capture, release),
		cmocka_unit_test(secrets_are_taken_out),
		cmocka_unit_test(redaction_comes_before_the_cut),
		cmocka_unit_test_setup_teardown(lines_are_redacted, capture, release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
