/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the tests matters: there is one block per process, and the first test runs without it. */
#include "ph_test.h"

#include "posthouse/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void without_a_block_nothing_happens(void **state)
{
	(void)state;
	ph_metric_add(PH_M_TURNS, 1, 2, 5);
	ph_metric_set(PH_M_CONNECTIONS, 0, 0, 5);
	ph_metric_observe(PH_M_PG_WAIT_SECONDS, 5);
	ph_metrics_beat();
	ph_metrics_worker(0);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 1, 2), 0);
	assert_int_equal(ph_metrics_oldest_beat_ms(), 0);
	ph_metrics_init(3);
	ph_metrics_init(1);                 /* ignored */
	ph_metric_add(PH_M_TURNS, 1, 2, 5); /* the parent: no worker */
	assert_int_equal(ph_metric_get(PH_M_TURNS, 1, 2), 0);
}

static void worker(int number)
{
	ph_metrics_worker(number);
	for (int i = 0; i < 1000; i++)
		ph_metric_add(PH_M_TURNS, 3, 1, 1);
	ph_metric_add(PH_M_TURNS, 3, 4, 10 * number);
	ph_metric_set(PH_M_STREAMS, 1, 0, 7);
	ph_metric_add(PH_M_STREAMS, 1, 0, -2);
	ph_metric_observe(PH_M_CHAIN_DEPTH, 5);
	ph_metrics_beat();
	_exit(0);
}

static void run_workers(void)
{
	for (int i = 0; i < 3; i++) {
		if (fork() == 0)
			worker(i);
	}
	for (int i = 0; i < 3; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
}

static void any_process_sees_the_sum(void **state)
{
	(void)state;
	run_workers();
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 1), 3000);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 4), 30);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 2), 0);
	assert_int_equal(ph_metric_get(PH_M_STREAMS, 1, 0), 15);
	assert_int_equal(ph_metric_get(PH_M_STREAMS, 0, 0), 0);
	usleep(3000);
	assert_in_range(ph_metrics_oldest_beat_ms(), 2, 60000);
}

static void the_gauges_of_an_ended_worker_are_zero(void **state)
{
	(void)state;
	ph_metrics_worker_gone(2);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 1), 3000);
	assert_int_equal(ph_metric_get(PH_M_STREAMS, 1, 0), 10);
	ph_metric_add(PH_M_TURNS, 3, 1, 1); /* who said so is still no worker */
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 1), 3000);
}

static void a_restarted_worker_keeps_counters_and_zeroes_gauges(void **state)
{
	(void)state;
	ph_metrics_worker(1);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 1), 3000);
	assert_int_equal(ph_metric_get(PH_M_STREAMS, 1, 0), 5);
	ph_metric_add(PH_M_TURNS, 3, 1, 1);
	assert_int_equal(ph_metric_get(PH_M_TURNS, 3, 1), 3001);
}

static struct ph_buf out;

static bool printed(const char *text)
{
	struct ph_buf needle;
	bool found;

	ph_buf_init(&needle, 1000);
	ph_buf_printf(&needle, "\n%s\n", text);
	found = ph_str_find(ph_buf_str(&out), ph_buf_str(&needle)) >= 0;
	ph_buf_deinit(&needle);
	if (!found)
		print_error("not printed: %s\n", text);
	return found;
}

static void print(void)
{
	ph_buf_reset(&out);
	ph_buf_putc(&out, '\n');
	ph_metrics_print(&out);
	assert_false(out.failed);
}

static void labels_and_types_are_printed(void **state)
{
	(void)state;
	print();
	assert_true(printed("# TYPE posthouse_turns_total counter"));
	assert_true(
		printed("# HELP posthouse_turns_total Turns by how they were continued and how they ended."));
	assert_true(printed("posthouse_turns_total{continuity=\"replayed\",outcome=\"incomplete\"} 3001"));
	assert_true(printed("posthouse_turns_total{continuity=\"replayed\",outcome=\"client_gone\"} 30"));
	assert_true(printed("posthouse_turns_total{continuity=\"none\",outcome=\"completed\"} 0"));
	assert_true(printed("# TYPE posthouse_streams_active gauge"));
	assert_true(printed("posthouse_streams_active{transport=\"websocket\"} 5"));
	assert_true(printed("posthouse_chains_broken_total 0"));
	assert_true(printed("# TYPE posthouse_replay_chain_depth histogram"));
}

/* The labels stand in the order of the enumeration that chooses them, and there is one for each value. */
static void every_remedy_has_its_label(void **state)
{
	static const char *const names[PH_REMEDY_NR] = {[PH_GIVE_UP] = "none",
		[PH_OTHER_ACCOUNT] = "other_account",
		[PH_REDIAL] = "redial",
		[PH_REPLAY] = "replay",
		[PH_STRIP] = "strip",
		[PH_OMIT] = "omit",
		[PH_WAIT_FOR] = "wait_for",
		[PH_RENEW] = "renew",
		[PH_TRANSLATE] = "translate"};
	char line[80];

	(void)state;
	for (unsigned i = 0; i < PH_REMEDY_NR; i++)
		ph_metric_add(PH_M_RETRIES, i, 0, 100 + i);
	print();
	for (unsigned i = 0; i < PH_REMEDY_NR; i++) {
		snprintf(line, sizeof(line), "posthouse_retries_total{remedy=\"%s\"} %u", names[i], 100 + i);
		assert_true(printed(line));
	}
}

static void a_histogram_may_have_a_label(void **state)
{
	(void)state;
	ph_metric_observe_in(PH_M_PHASE_SECONDS, 4, 3000000);
	ph_metric_observe_in(PH_M_PHASE_SECONDS, 4, 3000000000);
	print();
	assert_true(printed("posthouse_phase_seconds_bucket{phase=\"commit\",le=\"0.0025\"} 0"));
	assert_true(printed("posthouse_phase_seconds_bucket{phase=\"commit\",le=\"0.005\"} 1"));
	assert_true(printed("posthouse_phase_seconds_bucket{phase=\"commit\",le=\"+Inf\"} 2"));
	assert_true(printed("posthouse_phase_seconds_sum{phase=\"commit\"} 3.003000000"));
	assert_true(printed("posthouse_phase_seconds_count{phase=\"relay\"} 0"));
}

static void figures_by_model(void **state)
{
	const struct ph_model_turn well = {false, 2000000000, 50000000, 100, 60, 7, 3},
				   badly = {true, 1000000, 0, 0, 0, 0, 0},
				   uncached = {false, 1000000, 0, 5, 0, 1, 0};
	char name[128];

	(void)state;
	ph_metrics_model_turn(PH_STR("gpt-\"5\""), &well);
	ph_metrics_model_turn(PH_STR("gpt-\"5\""), &badly);
	ph_metrics_model_turn(PH_STR("uncached"), &uncached);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "m%d", i);
		ph_metrics_model_turn(ph_str_c(name), &well);
	}
	memset(name, 'x', sizeof name);
	ph_metrics_model_turn(ph_str(name, sizeof name), &well); /* too long to be told */
	print();
#define MODEL                                                                                                \
	"{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-"        \
	"\\\"5\\\"\""
	assert_true(printed("gen_ai_client_operation_duration_seconds_bucket" MODEL ",le=\"2.56\"} 1"));
	assert_true(
		printed("gen_ai_client_operation_duration_seconds_count" MODEL ",error_type=\"_OTHER\"} 1"));
	assert_true(printed("gen_ai_client_token_usage_sum" MODEL ",gen_ai_token_type=\"input\"} 100"));
	assert_true(printed("gen_ai_client_inference_usage_cache_read_input_tokens_total" MODEL "} 60"));
	assert_true(printed("gen_ai_client_operation_time_to_first_chunk_seconds_sum" MODEL "} 0.050000000"));
#undef MODEL
	/* told from the first turn on, or a rate would not see its first step */
	assert_true(
		printed("gen_ai_client_inference_usage_cache_read_input_tokens_total{gen_ai_operation_name="
			"\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"uncached\"} 0"));
	assert_true(printed("gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=\"chat\","
			    "gen_ai_provider_name=\"openai\",gen_ai_request_model=\"uncached\",error_type=\"_"
			    "OTHER\"} 0"));
	/* 32 by name; the others, and the long one, together */
	assert_true(printed("gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=\"chat\","
			    "gen_ai_provider_name=\"openai\",gen_ai_request_model=\"other\"} 11"));
}

static void histograms(void **state)
{
	(void)state;
	print();
	assert_true(printed("posthouse_replay_chain_depth_bucket{le=\"2\"} 0"));
	assert_true(printed("posthouse_replay_chain_depth_bucket{le=\"5\"} 3"));
	assert_true(printed("posthouse_replay_chain_depth_bucket{le=\"100000000\"} 3"));
	assert_true(printed("posthouse_replay_chain_depth_bucket{le=\"+Inf\"} 3"));
	assert_true(printed("posthouse_replay_chain_depth_sum 15"));
	assert_true(printed("posthouse_replay_chain_depth_count 3"));
	ph_metric_observe(PH_M_WRITE_SECONDS, 0);
	ph_metric_observe(PH_M_WRITE_SECONDS, 100000);
	ph_metric_observe(PH_M_WRITE_SECONDS, 100001);
	ph_metric_observe(PH_M_WRITE_SECONDS, UINT64_C(655360000000));
	ph_metric_observe(PH_M_WRITE_SECONDS, UINT64_C(655360000001));
	print();
	assert_true(printed("posthouse_snapshot_write_seconds_bucket{le=\"0.0001\"} 2"));
	assert_true(printed("posthouse_snapshot_write_seconds_bucket{le=\"0.0002\"} 3"));
	assert_true(printed("posthouse_snapshot_write_seconds_bucket{le=\"327.68\"} 3"));
	assert_true(printed("posthouse_snapshot_write_seconds_bucket{le=\"655.36\"} 4"));
	assert_true(printed("posthouse_snapshot_write_seconds_bucket{le=\"+Inf\"} 5"));
	assert_true(printed("posthouse_snapshot_write_seconds_sum 1310.720200002"));
	assert_true(printed("posthouse_snapshot_write_seconds_count 5"));
}

/* Each line is a comment or `name{labels} integer-or-decimal`; each bound is above the one before it. */
static void the_text_is_well_formed(void **state)
{
	struct ph_str rest, line;
	double last = 0;

	(void)state;
	print();
	rest = ph_str_from(ph_buf_str(&out), 1);
	while (rest.n > 0) {
		ptrdiff_t bound;
		struct ph_str name;

		line = ph_str_split(&rest, '\n');
		if (ph_str_starts(line, PH_STR("# HELP ")) || ph_str_starts(line, PH_STR("# TYPE ")))
			line = ph_str_from(line, 7);
		assert_true(
			ph_str_starts(line, PH_STR("posthouse_")) || ph_str_starts(line, PH_STR("gen_ai_")));
		if (line.p[-1] != '\n')
			continue;
		bound = ph_str_find(line, PH_STR("le=\""));
		if (bound >= 0 && ph_str_find(line, PH_STR("+Inf")) < 0) {
			double le = strtod(line.p + bound + 4, NULL);

			assert_true(le > last);
			last = le;
		} else {
			last = 0;
		}
		name = ph_str_split(&line, ' ');
		assert_true(ph_str_find(name, PH_STR("{")) < 0 || ph_str_ends(name, PH_STR("\"}")));
		assert_true(line.n > 0);
		for (size_t i = 0; i < line.n; i++)
			assert_true((line.p[i] >= '0' && line.p[i] <= '9') || line.p[i] == '.');
	}
	ph_buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_block_nothing_happens),
		cmocka_unit_test(any_process_sees_the_sum),
		cmocka_unit_test(the_gauges_of_an_ended_worker_are_zero),
		cmocka_unit_test(a_restarted_worker_keeps_counters_and_zeroes_gauges),
		cmocka_unit_test(labels_and_types_are_printed),
		cmocka_unit_test(every_remedy_has_its_label),
		cmocka_unit_test(histograms),
		cmocka_unit_test(a_histogram_may_have_a_label),
		cmocka_unit_test(figures_by_model),
		cmocka_unit_test(the_text_is_well_formed),
	};

	ph_buf_init(&out, 1u << 20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
