/* SPDX-License-Identifier: Apache-2.0 */
/* Forms that pass by, in pieces of every size. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "posthouse/multipart.h"

#define TYPE PH_STR("multipart/form-data; boundary=XyZ")

static void on_field(void *arg, struct ph_str name, struct ph_str value)
{
	struct ph_buf *b = arg;

	ph_buf_printf(b, "%.*s=%.*s;", PH_STR_ARG(name), PH_STR_ARG(value.p ? value : PH_STR("<file>")));
}

static int read_in_pieces(struct ph_str body, size_t piece, struct ph_buf *out)
{
	struct ph_multipart *m = ph_multipart_new(TYPE, on_field, out);
	int rc = 0;

	assert_non_null(m);
	for (size_t at = 0; at < body.n && rc == 0; at += piece) {
		size_t n = body.n - at < piece ? body.n - at : piece;
		/* on its own page of memory, for the sanitizer to see */
		char *copy = ph_alloc(n);

		memcpy(copy, body.p + at, n);
		rc = ph_multipart_feed(m, ph_str(copy, n));
		free(copy);
	}
	ph_multipart_free(m);
	return rc;
}

static void check(struct ph_str body, int rc, const char *expected)
{
	struct ph_buf out;

	ph_buf_init(&out, 1 << 20);
	for (size_t piece = 1; piece <= body.n; piece++) {
		ph_buf_reset(&out);
		assert_int_equal(read_in_pieces(body, piece, &out), rc);
		if (!ph_str_eq(ph_buf_str(&out), ph_str_c(expected)))
			fail_msg("in pieces of %zu: %.*s", piece, PH_STR_ARG(ph_buf_str(&out)));
	}
	ph_buf_deinit(&out);
}

#define PART(head) "--XyZ\r\nContent-Disposition: form-data; " head "\r\n\r\n"

static void fields(void **state)
{
	(void)state;
	check(PH_STR(PART("name=\"purpose\"") "batch\r\n" PART(
		      "name=\"file\"; filename=\"a.txt\"\r\nContent-Type: "
		      "text/plain") "--Xy\r\nsome\n--XyZ-not\r\nbytes\r\n"
				    "--XyZ--\r\n"),
		0, "purpose=batch;file=<file>;");
	check(PH_STR("preamble\r\n" PART("name=a") "1\r\n2\r\n" PART("name=\"b\"") "\r\n" PART(
		      "NAME=\"c\"") "3\r\n--XyZ--"),
		0, "a=1\r\n2;b=;c=3;");
	check(PH_STR(PART("filename=\"name=x; y\"; name=\"f\"") "z\r\n--XyZ--\r\n"), 0, "f=<file>;");
	check(PH_STR(PART("name=\"cut\"") "no end"), 0, "");
}

/* Line ends alone are read as leniently as the most lenient upstream would. */
static void bare_line_ends(void **state)
{
	(void)state;
	check(PH_STR("--XyZ\nContent-Disposition: form-data; name=\"file_id\"\n\nfile-1\n--XyZ--\n"), 0,
		"file_id=file-1;");
	check(PH_STR(PART("name=\"f\"; filename=\"x\"") "data\n" PART(
		      "name=\"file_id\"") "file-1\r\n--XyZ--\r\n"),
		0, "f=<file>;file_id=file-1;");
}

static void what_cannot_be_read(void **state)
{
	(void)state;
	check(PH_STR("--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n--XyZ--\r\n"), -PH_E_BODY_BAD, "");
	check(PH_STR(PART("name*=utf-8''file_id; name=\"a\"") "x\r\n--XyZ--\r\n"), -PH_E_BODY_BAD, "");
	check(PH_STR("--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; "
		     "name=\"b\"\r\n\r\nx"),
		-PH_E_BODY_BAD, "");
}

static void long_values(void **state)
{
	struct ph_buf body, out;

	(void)state;
	ph_buf_init(&body, 1 << 20);
	ph_buf_init(&out, 1 << 20);
	for (size_t n = 1000; n <= 20000; n += 1000) {
		ph_buf_reset(&body);
		ph_buf_reset(&out);
		ph_buf_puts(&body, PH_STR(PART("name=\"long\"")));
		for (size_t i = 0; i < n; i++)
			ph_buf_putc(&body, 'v');
		ph_buf_puts(&body, PH_STR("\r\n" PART("name=\"next\"") "1\r\n--XyZ--\r\n"));
		assert_int_equal(read_in_pieces(ph_buf_str(&body), 333, &out), 0);
		assert_true(ph_str_ends(ph_buf_str(&out), PH_STR("next=1;")));
		assert_true(ph_str_starts(
			ph_buf_str(&out), n <= 1000 ? PH_STR("long=vv") : PH_STR("long=<file>;")));
	}
	ph_buf_deinit(&body);
	ph_buf_deinit(&out);
}

/* A file of any size keeps no more than a line's beginning. */
static void large_file(void **state)
{
	static char zeros[1 << 16];
	struct ph_buf out;
	struct ph_multipart *m;

	(void)state;
	ph_buf_init(&out, 1 << 20);
	m = ph_multipart_new(TYPE, on_field, &out);
	assert_int_equal(ph_multipart_feed(m, PH_STR(PART("name=\"file\"; filename=\"z\""))), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(ph_multipart_feed(m, ph_str(zeros, sizeof zeros)), 0);
	assert_int_equal(ph_multipart_feed(m, PH_STR("\r\n" PART("name=\"last\"") "1\r\n--XyZ--\r\n")), 0);
	assert_true(ph_str_eq(ph_buf_str(&out), PH_STR("file=<file>;last=1;")));
	ph_multipart_free(m);
	ph_buf_deinit(&out);
}

static void content_types(void **state)
{
	static const char *const none[] = {"", "application/json", "multipart/form-data",
		"multipart/form-data; boundary=", "multipart/mixed; boundary=x", "text/plain; boundary=x"};
	static const char *const good[] = {
		"multipart/form-data; boundary=x", "Multipart/Form-Data; charset=utf-8; Boundary=\"x y\""};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(none); i++)
		assert_null(ph_multipart_new(ph_str_c(none[i]), on_field, NULL));
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		struct ph_multipart *m = ph_multipart_new(ph_str_c(good[i]), on_field, NULL);

		assert_non_null(m);
		assert_null(ph_multipart_free(m));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(bare_line_ends),
		cmocka_unit_test(what_cannot_be_read),
		cmocka_unit_test(long_values),
		cmocka_unit_test(large_file),
		cmocka_unit_test(content_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
