/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A form that passes by: the same fields whole and in pieces, none of them nameless or longer than a value
 * may be, and nothing is told once a form was refused. The first byte says how to cut; the first line is the
 * content type, or where that is none of a form, the boundary is "b".
 */
#include "fuzz.h"

#include "posthouse/multipart.h"

struct told {
	struct ph_buf *log;
	bool refused;
};

static void on_field(void *arg, struct ph_str name, struct ph_str value)
{
	struct told *t = arg;

	REQUIRE(!t->refused && name.p != NULL && value.n <= PH_FIELD_VALUE_MAX);
	ph_buf_putc(t->log, '[');
	ph_buf_puts(t->log, name);
	ph_buf_puts(t->log, PH_STR("] ["));
	ph_buf_puts(t->log, value.p ? value : PH_STR("a file"));
	ph_buf_puts(t->log, PH_STR("]\n"));
}

static void run(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	const struct ph_str *type = arg;
	struct told t = {.log = log};
	struct ph_multipart *m = ph_multipart_new(*type, on_field, &t);

	if (!m)
		m = ph_multipart_new(PH_STR("multipart/form-data; boundary=b"), on_field, &t);
	REQUIRE(m != NULL);
	for (size_t i = 0; i < count && !t.refused; i++) {
		int rc = ph_multipart_feed(m, pieces[i]);

		REQUIRE(rc == 0 || rc == -PH_E_BODY_BAD);
		t.refused = rc != 0;
	}
	ph_buf_puts(log, t.refused ? PH_STR("refused") : PH_STR("taken"));
	REQUIRE(ph_multipart_free(m) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size}, type;
	uint8_t cut = fuzz_byte(&s);

	type = ph_str_trim(ph_str_split(&s, '\n'));
	fuzz_compare(s, cut, run, &type, &type);
	return 0;
}
