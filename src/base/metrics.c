/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared block: one line of heartbeats, then for each worker a row of 64-bit slots. A family takes one
 * slot per label set; a histogram, for each value of its one label, one per bucket, one for what is above the
 * last, and one for the sum. All accesses are relaxed atomics: a slot has one writer, and a reader that sees
 * one slot newer than its neighbour is off by one observation.
 */
#include "metrics_priv.h"

#include "posthouse/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

struct family {
	const char *name, *help;
	enum ph_metric_type type;
	const char *label[2], *values[2];
};

static const struct family families[PH_M_NR] = {
#define X(id, name, type, l1, v1, l2, v2, help) [PH_M_##id] = {name, help, PH_##type, {l1, l2}, {v1, v2}},
	PH_METRICS(X)
#undef X
};

static const struct ph_bound counts[] = {
	{1, "1"},
	{2, "2"},
	{5, "5"},
	{10, "10"},
	{20, "20"},
	{50, "50"},
	{100, "100"},
	{200, "200"},
	{500, "500"},
	{1000, "1000"},
	{2000, "2000"},
	{5000, "5000"},
	{10000, "10000"},
	{20000, "20000"},
	{50000, "50000"},
	{100000, "100000"},
	{200000, "200000"},
	{500000, "500000"},
	{1000000, "1000000"},
	{2000000, "2000000"},
	{5000000, "5000000"},
	{10000000, "10000000"},
	{20000000, "20000000"},
	{50000000, "50000000"},
	{100000000, "100000000"},
};

#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static struct {
	_Atomic int64_t *slots; /* NULL before init */
	_Atomic uint64_t *beats;
	uint64_t started_s;
	int workers;
	int self;                          /* -1: this process writes nothing */
	unsigned row;                      /* slots in a row */
	unsigned first[PH_M_NR];           /* of each family within a row */
	unsigned label_values[PH_M_NR][2]; /* how many values each label has, 1 where there is no label */
} block = {.self = -1};

static bool is_histogram(enum ph_metric m)
{
	return families[m].type == PH_HISTOGRAM_SECONDS || families[m].type == PH_HISTOGRAM_COUNT;
}

static unsigned bounds(enum ph_metric m, const struct ph_bound **ret)
{
	bool of_seconds = families[m].type == PH_HISTOGRAM_SECONDS;

	*ret = of_seconds ? ph_bounds_seconds : counts;
	return of_seconds ? PH_BOUNDS_SECONDS : COUNTS;
}

static unsigned count_values(struct ph_str values)
{
	unsigned n = 1;

	for (size_t i = 0; i < values.n; i++)
		n += values.p[i] == '|';
	return n;
}

static unsigned slots_of(enum ph_metric m)
{
	const struct ph_bound *b;

	return block.label_values[m][0] * (is_histogram(m) ? bounds(m, &b) + 2 : block.label_values[m][1]);
}

void *ph_metrics_map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		ph_die("no shared memory for metrics: %zu bytes", size);
	return p;
}

void ph_metrics_init(int workers)
{
	size_t size, slots = 0;
	char *p;

	assert(workers > 0 && workers <= PH_WORKERS_MAX);
	if (block.slots)
		return;
	for (int m = 0; m < PH_M_NR; m++) {
		block.label_values[m][0] = count_values(ph_str_c(families[m].values[0]));
		block.label_values[m][1] = count_values(ph_str_c(families[m].values[1]));
		block.first[m] = (unsigned)slots;
		slots += slots_of((enum ph_metric)m);
	}
	block.row = (unsigned)((slots + PH_SLOTS_LINE - 1) / PH_SLOTS_LINE * PH_SLOTS_LINE);
	block.workers = workers;
	block.started_s = ph_clock_unix_ms() / 1000;
	size = (PH_WORKERS_MAX + block.row * (size_t)workers) * sizeof(int64_t);
	p = ph_metrics_map(size);
	block.beats = (_Atomic uint64_t *)(void *)p;
	block.slots = (_Atomic int64_t *)(void *)(p + PH_WORKERS_MAX * sizeof(uint64_t));
	ph_models_map(workers);
}

static _Atomic int64_t *slot_of(int worker, enum ph_metric m, unsigned i)
{
	return &block.slots[(size_t)worker * block.row + block.first[m] + i];
}

/* A slot of this process, or NULL where there is no block. */
static _Atomic int64_t *own(enum ph_metric m, unsigned i)
{
	return block.slots && block.self >= 0 ? slot_of(block.self, m, i) : NULL;
}

static int64_t sum(enum ph_metric m, unsigned i)
{
	int64_t total = 0;

	for (int w = 0; block.slots && w < block.workers; w++)
		total += atomic_load_explicit(slot_of(w, m, i), memory_order_relaxed);
	return total;
}

void ph_metrics_worker_gone(int worker)
{
	if (!block.slots)
		return;
	assert(worker >= 0 && worker < block.workers);
	for (int m = 0; m < PH_M_NR; m++) {
		for (unsigned i = 0; families[m].type == PH_GAUGE && i < slots_of((enum ph_metric)m); i++)
			atomic_store_explicit(slot_of(worker, (enum ph_metric)m, i), 0, memory_order_relaxed);
	}
}

void ph_metrics_worker(int worker)
{
	if (block.slots)
		block.self = worker;
	ph_models_worker(worker);
	ph_metrics_worker_gone(worker); /* whoever had its slots before */
}

/* Which label set of the family; a value outside of its list is a mistake of ours, and counts as the first.
 */
static unsigned label_set(enum ph_metric m, unsigned i, unsigned j)
{
	unsigned n1 = block.label_values[m][0], n2 = block.label_values[m][1];

	assert(!block.slots || (!is_histogram(m) && i < n1 && j < n2));
	return i < n1 && j < n2 ? i * n2 + j : 0;
}

void ph_metric_add(enum ph_metric m, unsigned i, unsigned j, int64_t n)
{
	_Atomic int64_t *slot = own(m, label_set(m, i, j));

	if (slot)
		ph_slot_add(slot, n);
}

void ph_metric_set(enum ph_metric m, unsigned i, unsigned j, int64_t n)
{
	_Atomic int64_t *slot = own(m, label_set(m, i, j));

	if (slot)
		atomic_store_explicit(slot, n, memory_order_relaxed);
}

unsigned ph_bucket_of(const struct ph_bound *b, unsigned n, uint64_t value)
{
	unsigned from = 0, to = n;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (value > b[middle].value)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

void ph_metric_observe_in(enum ph_metric m, unsigned label, uint64_t value)
{
	const struct ph_bound *b;
	unsigned n = bounds(m, &b);
	_Atomic int64_t *first = own(m, label * (n + 2));

	assert(is_histogram(m));
	if (!first || label >= block.label_values[m][0])
		return;
	ph_slot_add(first + ph_bucket_of(b, n, value), 1);
	ph_slot_add(first + n + 1, (int64_t)value);
}

void ph_metric_observe(enum ph_metric m, uint64_t value)
{
	ph_metric_observe_in(m, 0, value);
}

int64_t ph_metric_get(enum ph_metric m, unsigned i, unsigned j)
{
	return sum(m, label_set(m, i, j));
}

void ph_metrics_beat(void)
{
	if (block.slots && block.self >= 0)
		atomic_store_explicit(&block.beats[block.self], ph_clock_ms(), memory_order_relaxed);
}

uint64_t ph_metrics_oldest_beat_ms(void)
{
	uint64_t now = ph_clock_ms(), oldest = 0;

	for (int w = 0; block.slots && w < block.workers; w++) {
		uint64_t beat = atomic_load_explicit(&block.beats[w], memory_order_relaxed);

		if (beat && beat < now && now - beat > oldest)
			oldest = now - beat;
	}
	return oldest;
}

uint64_t ph_metrics_started_s(void)
{
	return block.started_s;
}

/* ---- Prometheus text format ---- */

/* Inside of a label value: backslash, quote and line feed are escaped; in a help text the quote is not. */
void ph_metrics_put_escaped(struct ph_buf *out, struct ph_str s, bool quotes)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n') {
			ph_buf_puts(out, PH_STR("\\n"));
			continue;
		}
		if (s.p[i] == '\\' || (quotes && s.p[i] == '"'))
			ph_buf_putc(out, '\\');
		ph_buf_putc(out, s.p[i]);
	}
}

/* The labels of a sample; more: another one behind them, or "". */
static void put_labels(struct ph_buf *out, enum ph_metric m, const unsigned chosen[2], const char *more)
{
	char before = '{';

	for (int label = 0; label < 2; label++) {
		struct ph_str values = ph_str_c(families[m].values[label]), value = PH_STR_NONE;

		if (!families[m].label[label])
			continue;
		for (unsigned i = 0; i <= chosen[label]; i++)
			value = ph_str_split(&values, '|');
		ph_buf_printf(out, "%c%s=\"", before, families[m].label[label]);
		ph_metrics_put_escaped(out, value, true);
		ph_buf_putc(out, '"');
		before = ',';
	}
	if (*more)
		ph_buf_printf(out, "%c%s", before, more);
	if (*more || before == ',')
		ph_buf_putc(out, '}');
}

static void put_plain(struct ph_buf *out, enum ph_metric m)
{
	unsigned n1 = block.label_values[m][0], n2 = block.label_values[m][1];

	for (unsigned i = 0; i < n1; i++) {
		for (unsigned j = 0; j < n2; j++) {
			ph_buf_puts(out, ph_str_c(families[m].name));
			put_labels(out, m, (unsigned[2]){i, j}, "");
			ph_buf_putc(out, ' ');
			ph_buf_i64(out, ph_metric_get(m, i, j));
			ph_buf_putc(out, '\n');
		}
	}
}

static void put_bucket(
	struct ph_buf *out, enum ph_metric m, const unsigned chosen[2], const char *le, long long below)
{
	char bound[64];

	snprintf(bound, sizeof bound, "le=\"%s\"", le);
	ph_buf_printf(out, "%s_bucket", families[m].name);
	put_labels(out, m, chosen, bound);
	ph_buf_printf(out, " %lld\n", below);
}

static void put_histogram(struct ph_buf *out, enum ph_metric m, unsigned label)
{
	const char *name = families[m].name;
	const unsigned chosen[2] = {label, 0};
	const struct ph_bound *b;
	unsigned n = bounds(m, &b), first = label * (n + 2);
	long long below = 0, total = sum(m, first + n + 1);

	for (unsigned i = 0; i <= n; i++) {
		below += sum(m, first + i);
		put_bucket(out, m, chosen, i < n ? b[i].le : "+Inf", below);
	}
	ph_buf_printf(out, "%s_sum", name);
	put_labels(out, m, chosen, "");
	if (families[m].type == PH_HISTOGRAM_SECONDS)
		ph_buf_printf(out, " %lld.%09lld\n", total / 1000000000, total % 1000000000);
	else
		ph_buf_printf(out, " %lld\n", total);
	ph_buf_printf(out, "%s_count", name);
	put_labels(out, m, chosen, "");
	ph_buf_printf(out, " %lld\n", below);
}

void ph_metrics_print(struct ph_buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "histogram"};

	for (int i = 0; i < PH_M_NR; i++) {
		enum ph_metric m = (enum ph_metric)i;

		ph_buf_printf(out, "# HELP %s ", families[m].name);
		ph_metrics_put_escaped(out, ph_str_c(families[m].help), false);
		ph_buf_printf(out, "\n# TYPE %s %s\n", families[m].name, types[families[m].type]);
		for (unsigned label = 0; is_histogram(m) && label < block.label_values[m][0]; label++)
			put_histogram(out, m, label);
		if (!is_histogram(m))
			put_plain(out, m);
	}
	ph_models_print(out);
}
