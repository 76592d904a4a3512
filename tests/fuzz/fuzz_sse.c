/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE: the same events whole and in pieces, no byte lost, and the same as a plain reading of the
 * specification gives. The first byte says how to cut.
 */
#include "fuzz.h"

#include "../unit/codec/sse_log.h"

/* WHATWG HTML 9.2.6, line by line, on the whole stream; but a last unit without its blank line counts. */
struct plain {
	struct ph_buf *log;
	struct ph_buf event, data;
	size_t data_lines;
};

static void plain_dispatch(struct plain *p)
{
	if (p->data_lines > 0) {
		ph_buf_putc(p->log, '[');
		ph_buf_puts(p->log, ph_buf_str(&p->event));
		ph_buf_puts(p->log, PH_STR("] ["));
		ph_buf_puts(p->log, ph_buf_str(&p->data));
		ph_buf_puts(p->log, PH_STR("]\n"));
	}
	ph_buf_reset(&p->event);
	ph_buf_reset(&p->data);
	p->data_lines = 0;
}

static void plain_line(struct plain *p, struct ph_str line)
{
	struct ph_str value = line, name = ph_str_split(&value, ':');

	if (value.n > 0 && value.p[0] == ' ')
		value = ph_str_from(value, 1);
	if (line.n == 0) {
		plain_dispatch(p);
	} else if (ph_str_eq(name, PH_STR("event"))) {
		ph_buf_reset(&p->event);
		ph_buf_puts(&p->event, value);
	} else if (ph_str_eq(name, PH_STR("data"))) {
		if (p->data_lines++ > 0)
			ph_buf_putc(&p->data, '\n');
		ph_buf_puts(&p->data, value);
	}
}

static void plain_reading(struct ph_str s, struct ph_buf *log)
{
	struct plain p = {.log = log};
	size_t from = 0;

	ph_buf_init(&p.event, (size_t)64 << 20);
	ph_buf_init(&p.data, (size_t)64 << 20);
	if (ph_str_starts(s, PH_STR("\xef\xbb\xbf")))
		s = ph_str_from(s, 3);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\n' && s.p[i] != '\r')
			continue;
		plain_line(&p, ph_str(s.p + from, i - from));
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			i++;
		from = i + 1;
	}
	if (from < s.n)
		plain_line(&p, ph_str_from(s, from));
	plain_dispatch(&p);
	ph_buf_deinit(&p.event);
	ph_buf_deinit(&p.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};
	uint8_t cut = fuzz_byte(&s);
	size_t max = s.n + 1, small = cut;
	struct ph_buf scanned, plain, ignored;

	fuzz_compare(s, cut, sse_run, &max, &max);
	ph_buf_init(&scanned, (size_t)64 << 20);
	ph_buf_init(&plain, (size_t)64 << 20);
	ph_buf_init(&ignored, (size_t)64 << 20);
	sse_run(&s, 1, &scanned, &max);
	plain_reading(s, &plain);
	REQUIRE(ph_str_eq(ph_buf_str(&scanned), ph_buf_str(&plain)));
	sse_run(&s, 1, &ignored, &small);
	ph_buf_deinit(&scanned);
	ph_buf_deinit(&plain);
	ph_buf_deinit(&ignored);
	return 0;
}
