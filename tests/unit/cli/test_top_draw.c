/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of `top`: what it shows, in what order, and that it keeps within any terminal. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/top.h"

static char shown[1 << 18];

static const char *draw(const struct ph_top *t, size_t rows, size_t columns)
{
	struct ph_buf b;

	ph_buf_init(&b, sizeof(shown) - 1);
	ph_top_draw(t, rows, columns, &b);
	assert_false(b.failed);
	memcpy(shown, b.p, b.n);
	shown[b.n] = '\0';
	ph_buf_deinit(&b);
	return shown;
}

static json_t *load(const char *text)
{
	json_t *v = json_loads(text, 0, NULL);

	assert_non_null(v);
	return v;
}

static void fill(struct ph_top *t)
{
	memset(t, 0, sizeof(*t));
	snprintf(t->clock, sizeof(t->clock), "2031-05-07T12:34:56.789+00:00");
	t->lag_ms = 1.25;
	t->nodes = load(
		"[{\"name\":\"n1\",\"state\":\"alive\",\"version\":\"0.1.0\",\"running\":1,\"turns\":3,"
		"\"slots\":4,"
		"\"silent_for\":\"00:00:01.5\",\"report\":[{\"check\":\"clock\",\"status\":\"warn\"},"
		"{\"check\":\"streams\",\"status\":\"ok\"}]},"
		"{\"name\":\"n2\",\"state\":\"silent\",\"version\":\"0.1.0\",\"running\":0,\"slots\":0}]");
	t->accounts =
		load("[{\"name\":\"zeta\",\"kind\":\"codex\",\"state\":\"active\",\"health\":\"exhausted\","
		     "\"health_reason\":\"usage_limit\",\"health_until\":\"2031-05-07T13:00:00+00:00\","
		     "\"max_streams\":8,\"used_percent\":97},"
		     "{\"name\":\"alpha\",\"kind\":\"platform\",\"state\":\"paused\",\"health\":\"active\","
		     "\"health_reason\":null,\"max_streams\":null,\"used_percent\":null}]");
	t->leases = load("[{\"account\":\"zeta\",\"running\":2},{\"account\":\"zeta\",\"running\":3}]");
	t->traffic = load(
		"[{\"turns\":120,\"replayed\":30,\"failed\":6,\"first_event_ms\":210,\"duration_ms\":3200}]");
	t->running = load(
		"[{\"started\":\"2031-05-07T12:33:56+00:00\",\"duration_ms\":60000.5,\"first_event_ms\":null,"
		"\"key_name\":\"k3\",\"model\":\"m\",\"account\":\"zeta\",\"state\":\"await\"},"
		"{\"started\":\"2031-05-07T12:33:16+00:00\",\"duration_ms\":100000,\"first_event_ms\":900,"
		"\"key_name\":\"k4\",\"model\":\"m\",\"account\":\"alpha\",\"state\":\"relay\"}]");
	t->slowest = load(
		"[{\"started\":\"2031-05-07T12:30:00+00:00\",\"duration_ms\":9000,\"first_event_ms\":100,"
		"\"key_name\":\"k1\",\"model\":\"m\",\"account\":\"zeta\",\"outcome\":\"completed\"},"
		"{\"started\":\"2031-05-07T12:31:00+00:00\",\"duration_ms\":5000,\"first_event_ms\":4000,"
		"\"key_name\":\"k2\",\"model\":\"m\",\"account\":\"alpha\",\"outcome\":\"failed\","
		"\"error\":\"upstream_busy\"}]");
}

static void empty(struct ph_top *t)
{
	json_decref(t->nodes);
	json_decref(t->accounts);
	json_decref(t->leases);
	json_decref(t->traffic);
	json_decref(t->running);
	json_decref(t->slowest);
}

static void before(const char *text, const char *first, const char *second)
{
	const char *a = strstr(text, first), *b = strstr(text, second);

	assert_non_null(a);
	assert_non_null(b);
	assert_true(a < b);
}

static void test_what_it_says(void **state)
{
	struct ph_top t;
	const char *text;

	(void)state;
	fill(&t);
	text = draw(&t, 24, 80);
	assert_non_null(strstr(text, "posthouse  12:34:56  nodes 2  accounts 2  database 1.2 ms\n"));
	assert_non_null(
		strstr(text, "2.00 turns/s  25 % replayed  5 % failed  first event 210 ms  total 3.20 s\n"));
	assert_non_null(
		strstr(text, "n1                alive     0.1.0           3      4  00:00:01  clock\n"));
	assert_non_null(strstr(text, "5/8  [########]  97%  13:00  usage_limit\n"));
	assert_non_null(strstr(text, "alpha           platform   paused         -\n"));
	assert_non_null(
		strstr(text, "12:33:56    60.0 s         -  k3        m            zeta       await\n"));
	assert_non_null(strstr(text, "upstream_busy"));
	assert_non_null(strstr(text, "q end\n"));
	assert_null(strchr(text, '\033'));
	empty(&t);
}

static void test_order(void **state)
{
	struct ph_top t;

	(void)state;
	fill(&t);
	before(draw(&t, 24, 80), "alpha ", "zeta ");
	t.accounts_by = PH_TOP_BY_USED;
	before(draw(&t, 24, 80), "zeta ", "alpha ");
	t.accounts_by = PH_TOP_BY_RUNNING;
	before(draw(&t, 24, 80), "zeta ", "alpha ");
	before(draw(&t, 24, 80), "k4", "k3"); /* what runs, whatever ended slower */
	before(shown, "k3", "k1");
	before(shown, "k1", "k2");
	t.turns_by = PH_TOP_BY_TOTAL;
	before(draw(&t, 24, 80), "k1", "k2");
	assert_null(strstr(shown, "k3"));
	t.turns_by = PH_TOP_BY_FIRST;
	before(draw(&t, 24, 80), "k2", "k1");
	t.turns_by = PH_TOP_BY_TIME;
	before(draw(&t, 24, 80), "k2", "k1");
	empty(&t);
}

static size_t lines_within(const char *text, size_t columns)
{
	size_t lines = 0;

	while (*text) {
		size_t n = strcspn(text, "\n");

		assert_true(n <= columns);
		assert_int_equal(text[n], '\n');
		text += n + 1;
		lines++;
	}
	return lines;
}

/* A quiet cluster is shown whole: nobody needs the room that is kept for turns. */
static void test_without_turns(void **state)
{
	struct ph_top t;

	(void)state;
	fill(&t);
	json_array_clear(t.running);
	json_array_clear(t.slowest);
	for (size_t rows = 0; rows <= 13; rows += 13) {
		const char *text = draw(&t, rows, 80);

		assert_non_null(strstr(text, "\nn2 "));
		assert_non_null(strstr(text, "\nzeta "));
		assert_null(strstr(text, "more\n"));
		assert_non_null(strstr(text, "\nSLOWEST "));
	}
	empty(&t);
}

/* Many rows, and every size of a terminal that somebody may have. */
static void test_any_size(void **state)
{
	struct ph_top t;

	(void)state;
	fill(&t);
	for (int i = 0; i < 60; i++) {
		json_array_append_new(
			t.nodes, load("{\"name\":\"a-node-with-a-name-that-is-long\",\"state\":\"alive\"}"));
		json_array_append_new(t.accounts, load("{\"name\":\"\\u001b[31mred\",\"state\":\"active\"}"));
		json_array_append_new(t.running, load("{\"model\":\"m\"}"));
		json_array_append_new(t.slowest, load("{\"model\":\"m\"}"));
	}
	for (size_t rows = 1; rows <= 60; rows++)
		for (size_t columns = 1; columns <= 140; columns += 3)
			assert_true(lines_within(draw(&t, rows, columns), columns) <= rows);
	assert_non_null(strstr(draw(&t, 24, 80), "more\n"));
	assert_null(strchr(shown, '\033'));
	assert_null(strstr(draw(&t, 0, 80), "more\n")); /* a pipe gets all of it */
	empty(&t);
}

static void test_before_the_first_look(void **state)
{
	struct ph_top t = {.fault = "no route to host", .paused = true};

	(void)state;
	assert_non_null(strstr(draw(&t, 24, 80), "PAUSED  database: no route to host"));
	t.help = true;
	assert_non_null(strstr(draw(&t, 24, 80), "pause, and go on"));
	assert_true(lines_within(draw(&t, 24, 80), 80) <= 24);
}

static void test_colour_changes_no_text(void **state)
{
	static char plain[sizeof(shown)], bare[sizeof(shown)];
	struct ph_top t;
	size_t n = 0;

	(void)state;
	fill(&t);
	memcpy(plain, draw(&t, 24, 80), sizeof(plain));
	t.colour = true;
	draw(&t, 24, 80);
	for (const char *p = shown; *p; p++) {
		if (*p == '\033')
			p += strcspn(p, "m");
		else
			bare[n++] = *p;
	}
	bare[n] = '\0';
	assert_string_not_equal(shown, plain);
	for (char *a = plain, *b = bare; *a || *b;) { /* but for blanks at the end of a line */
		if (*a == *b) {
			a += *a != '\0';
			b += *b != '\0';
		} else {
			assert_int_equal(*b, ' ');
			b++;
		}
	}
	empty(&t);
}

static void test_metric(void **state)
{
	static const char text[] =
		"# HELP posthouse_streams_active x\n# TYPE posthouse_streams_active gauge\n"
		"posthouse_streams_active{transport=\"http\"} 3\n"
		"posthouse_streams_active{transport=\"websocket\"} 4\n"
		"posthouse_streams_active_more 100\nposthouse_ready 1\n";

	(void)state;
	assert_true(ph_top_metric(ph_str_c(text), "posthouse_streams_active") == 7);
	assert_true(ph_top_metric(ph_str_c(text), "posthouse_ready") == 1);
	assert_true(ph_top_metric(ph_str_c(text), "posthouse_absent") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_says),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_without_turns),
		cmocka_unit_test(test_any_size),
		cmocka_unit_test(test_before_the_first_look),
		cmocka_unit_test(test_colour_changes_no_text),
		cmocka_unit_test(test_metric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
