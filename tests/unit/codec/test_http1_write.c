/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is what the parser of the other side reads, and nobody smuggles a line through it. */
#include "ph_test.h"

#include "http1_log.h"

static void expect(struct ph_buf *b, struct ph_str text)
{
	ph_assert_str(ph_buf_str(b), text);
	ph_buf_reset(b);
}

static void test_pieces(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 4096);
	ph_http_put_status(&b, 200);
	expect(&b, PH_STR("HTTP/1.1 200 OK\r\n"));
	ph_http_put_status(&b, 429);
	expect(&b, PH_STR("HTTP/1.1 429 Too Many Requests\r\n"));
	ph_http_put_status(&b, 599);
	expect(&b, PH_STR("HTTP/1.1 599 Unknown\r\n"));
	ph_http_put_request(&b, PH_STR("POST"), PH_STR("/v1/responses?a=b"));
	expect(&b, PH_STR("POST /v1/responses?a=b HTTP/1.1\r\n"));
	ph_http_put_header(&b, PH_STR("x-a"), PH_STR("b c"));
	expect(&b, PH_STR("x-a: b c\r\n"));
	ph_http_put_header(&b, PH_STR("x-a"), PH_STR_NONE);
	expect(&b, PH_STR("x-a: \r\n"));
	ph_http_put_length(&b, 0);
	expect(&b, PH_STR("content-length: 0\r\n"));
	ph_http_put_length(&b, UINT64_MAX);
	expect(&b, PH_STR("content-length: 18446744073709551615\r\n"));
	ph_http_put_end(&b);
	expect(&b, PH_STR("\r\n"));
	ph_http_put_chunk_head(&b, 1);
	expect(&b, PH_STR("1\r\n"));
	ph_http_put_chunk_head(&b, 0xabcdef0);
	expect(&b, PH_STR("abcdef0\r\n"));
	ph_buf_deinit(&b);
}

static void test_nothing_is_smuggled(void **state)
{
	static const struct ph_str bad_values[] = {
		PH_STR("a\r\nx: y"), PH_STR("a\nb"), PH_STR("a\r"), PH_STR("a\0b")};
	static const struct ph_str bad_names[] = {
		PH_STR(""), PH_STR("a b"), PH_STR("a:"), PH_STR("a\r\nb"), PH_STR("\xff")};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 4096);
	for (size_t i = 0; i < PH_COUNT(bad_values); i++)
		ph_http_put_header(&b, PH_STR("x"), bad_values[i]);
	for (size_t i = 0; i < PH_COUNT(bad_names); i++)
		ph_http_put_header(&b, bad_names[i], PH_STR("x"));
	expect(&b, PH_STR(""));
	ph_http_put_request(&b, PH_STR("GET"), PH_STR("/ HTTP/1.1\r\nx: y\r\n\0\x7f\xe4/"));
	expect(&b, PH_STR("GET /%20HTTP/1.1%0D%0Ax:%20y%0D%0A%00%7F%E4/ HTTP/1.1\r\n"));
	ph_http_put_request(&b, PH_STR("GET /evil HTTP/1.1\r\n"), PH_STR_NONE);
	expect(&b, PH_STR("GET / HTTP/1.1\r\n"));
	ph_buf_deinit(&b);
}

static void test_round_trip(void **state)
{
	struct http1_how how = {.side = PH_HTTP_ANSWERS, .headers = true};
	struct ph_buf b, log;
	struct ph_str whole;

	(void)state;
	ph_buf_init(&b, 4096);
	ph_buf_init(&log, 4096);
	ph_http_put_status(&b, 200);
	ph_http_put_header(&b, PH_STR("transfer-encoding"), PH_STR("chunked"));
	ph_http_put_end(&b);
	for (size_t n = 1; n < 40; n += 19) {
		ph_http_put_chunk_head(&b, n);
		for (size_t i = 0; i < n; i++)
			ph_buf_putc(&b, 'x');
		ph_buf_puts(&b, PH_STR("\r\n"));
	}
	ph_buf_puts(&b, PH_HTTP_LAST_CHUNK);
	whole = ph_buf_str(&b);
	http1_run(&whole, 1, &log, &how);
	expect(&log,
		PH_STR("200 1.1 length=-1 chunked body keep-alive\n  transfer-encoding=[chunked]\n"
		       "body xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\ndone\nend\n"));
	ph_buf_deinit(&b);
	ph_buf_deinit(&log);
}

static void test_full_buffer(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 20);
	ph_http_put_status(&b, 200);
	ph_http_put_header(&b, PH_STR("content-type"), PH_STR("application/json"));
	ph_http_put_end(&b);
	assert_true(b.failed);
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_nothing_is_smuggled),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
