/* SPDX-License-Identifier: Apache-2.0 */
/* Writes heads and chunk sizes. What could end a line early never reaches the wire. */
#include "codec_priv.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{499, "Client Closed Request"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{529, "Overloaded"},
};

const char *ph_http_reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

static char *put(char *to, struct ph_str s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

void ph_http_put_status(struct ph_buf *b, int status)
{
	ph_buf_puts(b, PH_STR("HTTP/1.1 "));
	ph_buf_i64(b, status);
	ph_buf_putc(b, ' ');
	ph_buf_puts(b, ph_str_c(ph_http_reason(status)));
	ph_buf_puts(b, PH_STR("\r\n"));
}

/* A byte that cannot stand in a request line is percent-encoded there: the line stays one line. */
static void put_target(struct ph_buf *b, struct ph_str target)
{
	size_t from = 0;

	for (size_t i = 0; i < target.n; i++) {
		unsigned char c = (unsigned char)target.p[i];

		if (c > 0x20 && c < 0x7f)
			continue;
		ph_buf_append(b, target.p + from, i - from);
		ph_buf_printf(b, "%%%02X", (unsigned)c);
		from = i + 1;
	}
	ph_buf_append(b, target.p + from, target.n - from);
}

void ph_http_put_request(struct ph_buf *b, struct ph_str method, struct ph_str target)
{
	ph_buf_puts(b, ph_is_token(method) ? method : PH_STR("GET"));
	ph_buf_putc(b, ' ');
	put_target(b, target.n > 0 ? target : PH_STR("/"));
	ph_buf_puts(b, PH_STR(" HTTP/1.1\r\n"));
}

static bool holds_line_end(struct ph_str s)
{
	return s.n > 0 && (memchr(s.p, '\r', s.n) || memchr(s.p, '\n', s.n) || memchr(s.p, '\0', s.n));
}

void ph_http_put_header(struct ph_buf *b, struct ph_str name, struct ph_str value)
{
	size_t n = name.n + 2 + value.n + 2;
	char *to;

	if (!ph_is_token(name) || holds_line_end(value))
		return;
	to = ph_buf_room(b, n);
	if (to == NULL)
		return;
	to = put(to, name);
	to = put(to, PH_STR(": "));
	to = put(to, value);
	put(to, PH_STR("\r\n"));
	ph_buf_wrote(b, n);
}

void ph_http_put_length(struct ph_buf *b, uint64_t length)
{
	char text[PH_INT_TEXT];
	size_t n = ph_u64_text(text, length);

	ph_http_put_header(b, PH_STR("content-length"), ph_str(text, n));
}

void ph_http_put_end(struct ph_buf *b)
{
	ph_buf_puts(b, PH_STR("\r\n"));
}

void ph_http_put_chunk_head(struct ph_buf *b, size_t n)
{
	char hex[2 * sizeof(n)];
	size_t i = sizeof(hex);

	do
		hex[--i] = "0123456789abcdef"[n % 16];
	while (n /= 16);
	ph_buf_append(b, hex + i, sizeof(hex) - i);
	ph_buf_puts(b, PH_STR("\r\n"));
}
