/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures by model, under the names that OpenTelemetry's conventions for generative AI give them (status
 * Development), in Prometheus' spelling. Names of models come from clients, so each worker counts the first
 * MODELS that were served by some account by themselves, and all others together. A row is one writer's, as
 * in metrics.c.
 */
#include "metrics_priv.h"

#include <string.h>

#define MODELS   32
#define NAME_MAX 96
#define TOKENS   14 /* bounds of token counts: powers of four */

enum histogram {
	DURATION,
	DURATION_FAILED,
	FIRST_CHUNK,
	INPUT,
	OUTPUT,
	HISTOGRAMS
};

/* clang-format off */
/* Fine where the gateway's own share lies, doubling above 10 ms. */
const struct ph_bound ph_bounds_seconds[PH_BOUNDS_SECONDS] = {
	{100000, "0.0001"},
	{200000, "0.0002"},
	{500000, "0.0005"},
	{1000000, "0.001"},
	{2500000, "0.0025"},
	{5000000, "0.005"},
	{10000000, "0.01"},
	{20000000, "0.02"},
	{40000000, "0.04"},
	{80000000, "0.08"},
	{160000000, "0.16"},
	{320000000, "0.32"},
	{640000000, "0.64"},
	{1280000000, "1.28"},
	{2560000000, "2.56"},
	{5120000000, "5.12"},
	{10240000000, "10.24"},
	{20480000000, "20.48"},
	{40960000000, "40.96"},
	{81920000000, "81.92"},
	{163840000000, "163.84"},
	{327680000000, "327.68"},
	{655360000000, "655.36"},
	{1310720000000, "1310.72"},
};
static const struct ph_bound tokens[TOKENS] = {
	{1, "1"}, {4, "4"}, {16, "16"}, {64, "64"}, {256, "256"}, {1024, "1024"}, {4096, "4096"}, {16384, "16384"},
	{65536, "65536"}, {262144, "262144"}, {1048576, "1048576"}, {4194304, "4194304"}, {16777216, "16777216"},
	{67108864, "67108864"},
};
/* clang-format on */

/* One per bucket, one for what is above, one for the sum. */
struct series {
	_Atomic int64_t slot[PH_BOUNDS_SECONDS + 2];
};

struct model {
	char name[NAME_MAX]; /* written before `used` says that it is there */
	struct series h[HISTOGRAMS];
	_Atomic int64_t cached, reasoning;
};

struct row {
	_Atomic int64_t used;
	struct model model[MODELS + 1]; /* the last: all others */
};

static struct {
	struct row *rows; /* NULL before init */
	int workers;
	int self;
} block = {.self = -1};

void ph_models_map(int workers)
{
	block.rows = ph_metrics_map((size_t)workers * sizeof *block.rows);
	block.workers = workers;
	for (int w = 0; w < workers; w++)
		memcpy(block.rows[w].model[MODELS].name, "other", 6);
}

void ph_models_worker(int worker)
{
	if (block.rows)
		block.self = worker;
}

static const struct ph_bound *bounds(enum histogram h, unsigned *n)
{
	*n = h >= INPUT ? TOKENS : PH_BOUNDS_SECONDS;
	return h >= INPUT ? tokens : ph_bounds_seconds;
}

static void observe(struct model *m, enum histogram h, uint64_t value)
{
	unsigned n;
	const struct ph_bound *b = bounds(h, &n);

	ph_slot_add(&m->h[h].slot[ph_bucket_of(b, n, value)], 1);
	ph_slot_add(&m->h[h].slot[n + 1], (int64_t)value);
}

static struct model *model_of(struct row *row, struct ph_str name)
{
	size_t used = (size_t)atomic_load_explicit(&row->used, memory_order_relaxed);

	for (size_t i = 0; i < used; i++)
		if (ph_str_eq(name, ph_str_c(row->model[i].name)))
			return &row->model[i];
	if (used == MODELS || name.n == 0 || name.n >= NAME_MAX)
		return &row->model[MODELS];
	memcpy(row->model[used].name, name.p, name.n);
	atomic_store_explicit(&row->used, (int64_t)used + 1, memory_order_release);
	return &row->model[used];
}

void ph_metrics_model_turn(struct ph_str model, const struct ph_model_turn *t)
{
	struct model *m;

	if (!block.rows || block.self < 0)
		return;
	m = model_of(&block.rows[block.self], model);
	observe(m, t->failed ? DURATION_FAILED : DURATION, t->duration_ns);
	if (t->first_chunk_ns)
		observe(m, FIRST_CHUNK, t->first_chunk_ns);
	if (t->input_tokens)
		observe(m, INPUT, t->input_tokens);
	if (t->output_tokens)
		observe(m, OUTPUT, t->output_tokens);
	ph_slot_add(&m->cached, (int64_t)t->cached_tokens);
	ph_slot_add(&m->reasoning, (int64_t)t->reasoning_tokens);
}

/* ---- Prometheus text format ---- */

/* The row's model of that name, or NULL. */
static const struct model *find(const struct row *row, const char *name)
{
	int64_t used = atomic_load_explicit(&row->used, memory_order_acquire);

	if (strcmp(name, "other") == 0)
		return &row->model[MODELS];
	for (int64_t i = 0; i < used; i++)
		if (strcmp(row->model[i].name, name) == 0)
			return &row->model[i];
	return NULL;
}

/* Calls fn for each model once, whichever workers know it. */
static void each_model(
	void (*fn)(struct ph_buf *out, const char *name, int which), struct ph_buf *out, int which)
{
	for (int w = 0; w < block.workers; w++) {
		int64_t used = atomic_load_explicit(&block.rows[w].used, memory_order_acquire);

		for (int64_t i = 0; i < used; i++) {
			const char *name = block.rows[w].model[i].name;
			bool told = false;

			for (int v = 0; v < w && !told; v++)
				told = find(&block.rows[v], name) != NULL;
			if (!told)
				fn(out, name, which);
		}
	}
	fn(out, "other", which);
}

static long long sum(const char *name, int h, unsigned slot)
{
	long long total = 0;

	for (int w = 0; w < block.workers; w++) {
		const struct model *m = find(&block.rows[w], name);

		if (m)
			total += atomic_load_explicit(&m->h[h].slot[slot], memory_order_relaxed);
	}
	return total;
}

static void put_labels(struct ph_buf *out, const char *name, int h)
{
	static const char *const extra[HISTOGRAMS] = {"", ",error_type=\"_OTHER\"", "",
		",gen_ai_token_type=\"input\"", ",gen_ai_token_type=\"output\""};

	ph_buf_puts(out, PH_STR("{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_"
				"request_model=\""));
	ph_metrics_put_escaped(out, ph_str_c(name), true);
	ph_buf_printf(out, "\"%s", extra[h]);
}

static const char *family(int h)
{
	static const char *const names[HISTOGRAMS] = {"gen_ai_client_operation_duration_seconds",
		"gen_ai_client_operation_duration_seconds",
		"gen_ai_client_operation_time_to_first_chunk_seconds", "gen_ai_client_token_usage",
		"gen_ai_client_token_usage"};

	return names[h];
}

static long long count(const char *name, int h)
{
	unsigned n;
	long long total = 0;

	bounds((enum histogram)h, &n);
	for (unsigned i = 0; i <= n; i++)
		total += sum(name, h, i);
	return total;
}

/* Nothing for a model that never did this; but failures from its first turn on: of a counter that begins
 * above zero, its first step is not seen. */
static void put_histogram(struct ph_buf *out, const char *name, int h)
{
	unsigned n;
	const struct ph_bound *b = bounds((enum histogram)h, &n);
	long long below = 0, total = sum(name, h, n + 1);

	if (h > DURATION_FAILED && !count(name, h))
		return;
	for (unsigned i = 0; i <= n; i++) {
		below += sum(name, h, i);
		ph_buf_printf(out, "%s_bucket", family(h));
		put_labels(out, name, h);
		ph_buf_printf(out, ",le=\"%s\"} %lld\n", i < n ? b[i].le : "+Inf", below);
	}
	ph_buf_printf(out, "%s_sum", family(h));
	put_labels(out, name, h);
	if (h < INPUT)
		ph_buf_printf(out, "} %lld.%09lld\n", total / 1000000000, total % 1000000000);
	else
		ph_buf_printf(out, "} %lld\n", total);
	ph_buf_printf(out, "%s_count", family(h));
	put_labels(out, name, h);
	ph_buf_printf(out, "} %lld\n", below);
}

/* Likewise, from the first turn on whose tokens were counted. */
static void put_counter(struct ph_buf *out, const char *name, int which)
{
	long long total = 0;

	for (int w = 0; w < block.workers; w++) {
		const struct model *m = find(&block.rows[w], name);

		if (m)
			total += atomic_load_explicit(
				which ? &m->reasoning : &m->cached, memory_order_relaxed);
	}
	if (!count(name, INPUT))
		return;
	ph_buf_printf(out, "gen_ai_client_inference_usage_%s_tokens_total",
		which ? "reasoning_output" : "cache_read_input");
	put_labels(out, name, DURATION);
	ph_buf_printf(out, "} %lld\n", total);
}

static void put_head(struct ph_buf *out, const char *name, const char *type, const char *help)
{
	ph_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void ph_models_print(struct ph_buf *out)
{
	put_head(out, family(DURATION), "histogram",
		"Turns by model, request complete to answer complete; error_type: those that failed.");
	each_model(put_histogram, out, DURATION);
	each_model(put_histogram, out, DURATION_FAILED);
	put_head(out, family(FIRST_CHUNK), "histogram",
		"Request complete to the first event of a streamed answer.");
	each_model(put_histogram, out, FIRST_CHUNK);
	put_head(out, family(INPUT), "histogram", "Tokens of a turn as upstream counted them.");
	each_model(put_histogram, out, INPUT);
	each_model(put_histogram, out, OUTPUT);
	put_head(out, "gen_ai_client_inference_usage_cache_read_input_tokens_total", "counter",
		"Input tokens that upstream read from its prompt cache.");
	each_model(put_counter, out, 0);
	put_head(out, "gen_ai_client_inference_usage_reasoning_output_tokens_total", "counter",
		"Output tokens that were spent on reasoning.");
	each_model(put_counter, out, 1);
}
