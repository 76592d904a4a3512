/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that two readers could frame in two ways, one by one. Each is refused at every cut, and nothing of
 * the request hidden in it ("/evil") is ever told. Where a body follows a head, the head may be told before
 * the refusal.
 */
#include "ph_test.h"

#include "http1_log.h"

#include <stdio.h>

struct vector {
	const char *what;
	struct ph_str input;
};

#define V(what, in) {what, PH_STR(in)}
#define POST        "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED     POST "Transfer-Encoding: chunked\r\n\r\n"
#define EVIL        "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct vector bad_requests[] = {
	/* lengths */
	V("CL with TE", POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("TE with CL", POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" EVIL),
	V("two CL", POST "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" EVIL),
	V("the same CL twice", POST "Content-Length: 2\r\ncontent-length: 2\r\n\r\nhi"),
	V("a list of equal CL", POST "Content-Length: 2, 2\r\n\r\nhi"),
	V("a list of CL", POST "Content-Length: 0, 44\r\n\r\n" EVIL),
	V("CL with a plus", POST "Content-Length: +5\r\n\r\nhello"),
	V("CL with a minus", POST "Content-Length: -5\r\n\r\nhello"),
	V("CL in hex", POST "Content-Length: 0x5\r\n\r\nhello"),
	V("CL with an underscore", POST "Content-Length: 1_0\r\n\r\n0123456789"),
	V("CL with a blank inside", POST "Content-Length: 1 0\r\n\r\n0123456789"),
	V("CL with a fraction", POST "Content-Length: 5.0\r\n\r\nhello"),
	V("CL with an exponent", POST "Content-Length: 1e1\r\n\r\n0123456789"),
	V("CL without a value", POST "Content-Length:\r\n\r\n"),
	V("CL that is no number", POST "Content-Length: five\r\n\r\nhello"),
	V("CL in other digits", POST "Content-Length: \xd9\xa5\r\n\r\nhello"),
	V("CL above 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n"),
	V("CL above 2^64", POST "Content-Length: 18446744073709551621\r\n\r\nhello"),
	/* codings */
	V("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" EVIL),
	V("chunkedx", POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" EVIL),
	V("identity", POST "Transfer-Encoding: identity\r\n\r\n" EVIL),
	V("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked,", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked in quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked behind a vertical tab", POST "Transfer-Encoding: \x0b"
						"chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("chunked behind a no-break space", POST "Transfer-Encoding: \xc2\xa0"
						  "chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("TE without a value", POST "Transfer-Encoding:\r\n\r\n" EVIL),
	V("two TE", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("two TE that differ",
		POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" EVIL),
	V("TE in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL),
	/* line ends of the head; Z stands for any byte that llhttp 8.1.0 takes for LF */
	V("CVE-2023-30589", POST "x:\rZTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("CVE-2025-23167", "POST / HTTP/1.1\r\nHost: a\r\n\rZ" EVIL),
	V("CVE-2025-23167, with a CR", "POST / HTTP/1.1\r\nHost: a\r\n\r\r\n" EVIL),
	V("a bare CR in a value", POST "x: a\rb\r\n\r\n"),
	V("a bare CR in a name", POST "x\ry: a\r\n\r\n"),
	V("a bare CR in the target", "GET /\r/ HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a bare LF behind a field", "POST / HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n"),
	V("a bare LF behind the start line", "POST / HTTP/1.1\nHost: a\r\n\r\n"),
	V("a bare LF for the empty line", "POST / HTTP/1.1\r\nHost: a\r\n\n" EVIL),
	V("LF alone everywhere", "GET / HTTP/1.1\nHost: a\n\n"),
	V("LF CR", "GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
	V("CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
	V("a bare LF before the request", "\n" EVIL),
	V("two empty lines before the request", "\r\n\r\n" EVIL),
	V("NUL in a value", POST "x: a\0b\r\n\r\n"),
	V("NUL in a name", POST "x\0: a\r\n\r\n"),
	V("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a control character in a value", POST "x: a\x01\r\n\r\n"),
	V("DEL in a value", POST "x: a\x7f\r\n\r\n"),
	/* fields */
	V("a folded line", POST "x: a\r\n Content-Length: 5\r\n\r\nhello"),
	V("a folded line with a tab", POST "x: a\r\n\tContent-Length: 5\r\n\r\nhello"),
	V("a folded line of the first field", "POST / HTTP/1.1\r\n Host: a\r\n\r\n"),
	V("a blank before the request", " " EVIL),
	V("a blank before the colon", POST "Content-Length : 5\r\n\r\nhello"),
	V("a tab before the colon", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" EVIL),
	V("an empty name", POST ": a\r\n\r\n"),
	V("a name with a blank", POST "a b: c\r\n\r\n"),
	V("a name that is no token", POST "Content(Length): 5\r\n\r\n"),
	V("a name with a byte above 0x7f", POST "Content-L\xebngth: 5\r\n\r\n"),
	V("a field without a colon", POST "Content-Length\r\n\r\n"),
	V("two Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
	V("the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
	V("no Host", "GET / HTTP/1.1\r\n\r\n"),
	V("two Authorization", POST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
	/* start lines */
	V("HTTP/0.9", "GET /\r\n\r\n"),
	V("HTTP/0.9 with fields", "GET /\r\nHost: a\r\n\r\n"),
	V("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
	V("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
	V("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
	V("HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
	V("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n"),
	V("RTSP", "DESCRIBE / RTSP/1.0\r\n\r\n"),
	V("ICE", "SOURCE / ICE/1.0\r\n\r\n"),
	V("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	V("two blanks before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("two blanks behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a tab behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
	V("a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a byte above 0x7f in the target", "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("an unknown method", "FETCH / HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
	V("TLS instead of HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	/* chunk framing: the head is fine */
	V("CR Z behind a size", CHUNKED "1\rZa\r\n0\r\n\r\n" EVIL),
	V("CR Z behind an extension", CHUNKED "1;a\rZa\r\n0\r\n\r\n" EVIL),
	V("CR Z behind a chunk's data", CHUNKED "1\r\na\rZ0\r\n\r\n" EVIL),
	V("CR Z behind the last size", CHUNKED "0\rZ\r\n" EVIL),
	V("CR Z behind the last chunk", CHUNKED "0\r\n\rZ" EVIL),
	V("CR Z behind a trailer", CHUNKED "0\r\nx: y\rZ\r\n" EVIL),
	V("CR Z behind the trailers", CHUNKED "0\r\nx: y\r\n\rZ" EVIL),
	V("CR CR LF behind a size", CHUNKED "1\r\r\na\r\n0\r\n\r\n" EVIL),
	V("LF alone behind a size", CHUNKED "1\na\r\n0\r\n\r\n" EVIL),
	V("LF alone behind a chunk's data", CHUNKED "1\r\na\n0\r\n\r\n" EVIL),
	V("LF alone behind the last chunk", CHUNKED "0\r\n\n" EVIL),
	V("LF in an extension", CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n" EVIL),
	V("CR in an extension", CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n" EVIL),
	V("NUL in an extension", CHUNKED "1;\0\r\na\r\n0\r\n\r\n" EVIL),
	V("a size with a sign", CHUNKED "+1\r\na\r\n0\r\n\r\n" EVIL),
	V("a size with 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n" EVIL),
	V("a size with a blank before it", CHUNKED " 1\r\na\r\n0\r\n\r\n" EVIL),
	V("a size without digits", CHUNKED "\r\na\r\n0\r\n\r\n" EVIL),
	V("an extension without a size", CHUNKED ";a\r\na\r\n0\r\n\r\n" EVIL),
	V("a size above 2^64", CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n" EVIL),
	V("data longer than its size", CHUNKED "1\r\nab\r\n0\r\n\r\n" EVIL),
	V("no size at all", CHUNKED EVIL),
};

static const struct vector bad_answers[] = {
	V("CL with TE",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	V("two CL", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
	V("CL with a plus", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
	V("gzip as TE", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
	V("TE in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	V("CVE-2023-30589", "HTTP/1.1 200 OK\r\nx:\rZTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	V("CVE-2025-23167", "HTTP/1.1 204 OK\r\n\rZHTTP/1.1 200 /evil\r\n\r\n"),
	V("a bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n"),
	V("LF alone", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
	V("a folded line", "HTTP/1.1 200 OK\r\nx: a\r\n Content-Length: 5\r\n\r\nhello"),
	V("a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
	V("an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	V("HTTP/2", "HTTP/2 200\r\n\r\n"),
	V("HTTP/1.1 without a status", "HTTP/1.1\r\n\r\n"),
	V("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
	V("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
	V("a status below 100", "HTTP/1.1 099 OK\r\n\r\n"),
	V("a status above 599", "HTTP/1.1 600 OK\r\n\r\n"),
	V("a status with a sign", "HTTP/1.1 +20 OK\r\n\r\n"),
	V("two blanks before the status", "HTTP/1.1  200 OK\r\n\r\n"),
	V("101 to nothing", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
	V("a request", EVIL),
	V("CR Z in chunk framing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\rZa\r\n0\r\n\r\n"),
	V("CR Z behind the last chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\rZHTTP/1.1 200 /evil\r\n\r\n"),
	V("garbage", "\x00\x01\x02"),
};

static void check(const struct vector *v, size_t count, enum ph_http_side side)
{
	struct http1_how how = {.side = side};

	for (size_t i = 0; i < count; i++) {
		struct ph_buf log;
		struct ph_str events;

		ph_buf_init(&log, 1 << 20);
		http1_run(&v[i].input, 1, &log, &how);
		events = ph_buf_str(&log);
		if (!ph_str_ends(events, PH_STR("_BAD\n")) || ph_str_find(events, PH_STR("/evil")) >= 0 ||
			ph_str_find(events, PH_STR("done")) >= 0)
			fail_msg("%s was not refused:\n%.*s", v[i].what, PH_STR_ARG(events));
		ph_buf_deinit(&log);
		ph_test_cuts(v[i].input, http1_run, &how);
	}
}

static void test_requests(void **state)
{
	(void)state;
	check(bad_requests, PH_COUNT(bad_requests), PH_HTTP_REQUESTS);
}

static void test_answers(void **state)
{
	(void)state;
	check(bad_answers, PH_COUNT(bad_answers), PH_HTTP_ANSWERS);
}

/* The two CVEs hold for any byte that is not LF, not only for the letter of the vectors. */
static void test_any_byte_behind_a_cr(void **state)
{
	static const char *const formats[] = {
		"GET / HTTP/1.1\r\nHost: a\r\nx: y\r%cz: w\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r%c",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r%ca\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r%c0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r%c",
	};
	struct http1_how how = {.side = PH_HTTP_REQUESTS};

	(void)state;
	for (size_t f = 0; f < PH_COUNT(formats); f++) {
		for (int c = 0; c < 256; c++) {
			char text[160];
			int n = snprintf(text, sizeof(text), formats[f], c);
			struct ph_str input = {text, (size_t)n};
			struct ph_buf log;

			ph_buf_init(&log, 1 << 20);
			http1_run(&input, 1, &log, &how);
			assert_int_equal(c == '\n', ph_str_ends(ph_buf_str(&log), PH_STR("done\nend\n")));
			assert_int_equal(c != '\n', ph_str_ends(ph_buf_str(&log), PH_STR("_BAD\n")));
			ph_buf_deinit(&log);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_any_byte_behind_a_cr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
