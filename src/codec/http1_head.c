/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a whole head that the guard has framed: start line, fields, and what they say about the body. Slices
 * point into the text. llhttp reads the same bytes afterwards and must come to the same framing (http1.c):
 * where two readers differ, nothing is believed.
 */
#include "codec_priv.h"

/* tchar of RFC 9110, section 5.6.2 */
static const bool token_char[256] = {
	['!'] = true,
	['#'] = true,
	['$'] = true,
	['%'] = true,
	['&'] = true,
	['\''] = true,
	['*'] = true,
	['+'] = true,
	['-'] = true,
	['.'] = true,
	['^'] = true,
	['_'] = true,
	['`'] = true,
	['|'] = true,
	['~'] = true,
	['0' ... '9'] = true,
	['A' ... 'Z'] = true,
	['a' ... 'z'] = true,
};

/* What the fields said, before it is judged as a whole. */
struct facts {
	bool host, authorization, transfer_encoding;
	bool close, keep_alive, upgrade; /* members of Connection */
	bool upgrade_field, h2c;         /* an Upgrade field, and what it offers */
};

static size_t token_length(struct ph_str s)
{
	size_t i = 0;

	while (i < s.n && token_char[(unsigned char)s.p[i]])
		i++;
	return i;
}

bool ph_is_token(struct ph_str s)
{
	return s.n > 0 && token_length(s) == s.n;
}

static bool is_printable(struct ph_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	}
	return true;
}

struct ph_str ph_head_get(const struct ph_head *h, struct ph_str name)
{
	for (size_t i = 0; i < h->header_count; i++) {
		if (ph_str_eq_nocase(h->headers[i].name, name))
			return h->headers[i].value;
	}
	return PH_STR_NONE;
}

/* The guard has seen to it that every line ends with CRLF. */
static struct ph_str next_line(struct ph_str *text)
{
	const char *lf = memchr(text->p, '\n', text->n);
	size_t n = (size_t)(lf - text->p);
	struct ph_str line = {text->p, n - 1};

	*text = ph_str_from(*text, n + 1);
	return line;
}

static int parse_version(struct ph_head *ret, struct ph_str s)
{
	if (!ph_str_eq(s, PH_STR("HTTP/1.1")) && !ph_str_eq(s, PH_STR("HTTP/1.0")))
		return -PH_E_HEAD_BAD;
	ret->minor = s.p[7] - '0';
	return 0;
}

/* METHOD SP target SP HTTP/1.x, with one space each. A tunnel (CONNECT) is not what we are. */
static int parse_request_line(struct ph_head *ret, struct ph_str line)
{
	ret->method = ph_str_split(&line, ' ');
	ret->target = ph_str_split(&line, ' ');
	if (!ph_is_token(ret->method) || ph_str_eq(ret->method, PH_STR("CONNECT")))
		return -PH_E_HEAD_BAD;
	if (ret->target.n == 0 || !is_printable(ret->target))
		return -PH_E_HEAD_BAD;
	return parse_version(ret, line);
}

/* HTTP/1.x SP three digits, and a reason that nobody reads. */
static int parse_status_line(struct ph_head *ret, struct ph_str line)
{
	struct ph_str version = ph_str_split(&line, ' ');
	struct ph_str digits = ph_str_split(&line, ' ');
	uint64_t status;

	if (digits.n != 3 || !ph_str_u64(digits, 599, &status) || status < 100)
		return -PH_E_HEAD_BAD;
	ret->status = (int)status;
	return parse_version(ret, version);
}

static void parse_connection(struct facts *f, struct ph_str value)
{
	while (value.n > 0) {
		struct ph_str option = ph_str_trim(ph_str_split(&value, ','));

		if (ph_str_eq_nocase(option, PH_STR("close")))
			f->close = true;
		else if (ph_str_eq_nocase(option, PH_STR("keep-alive")))
			f->keep_alive = true;
		else if (ph_str_eq_nocase(option, PH_STR("upgrade")))
			f->upgrade = true;
	}
}

static int parse_length(struct ph_head *ret, struct ph_str value)
{
	uint64_t length;

	if (ret->length >= 0 || !ph_str_u64(value, INT64_MAX, &length))
		return -PH_E_HEAD_BAD;
	ret->length = (int64_t)length;
	return 0;
}

static int parse_transfer_encoding(struct ph_head *ret, struct facts *f, struct ph_str value)
{
	if (f->transfer_encoding || !ph_str_eq_nocase(value, PH_STR("chunked")))
		return -PH_E_HEAD_BAD;
	f->transfer_encoding = ret->chunked = true;
	return 0;
}

static int only_once(bool *seen)
{
	if (*seen)
		return -PH_E_HEAD_BAD;
	*seen = true;
	return 0;
}

/* Clients that speak HTTP/2 (Java's, curl --http2) offer it with every request that has no body, and are
 * content with an answer in HTTP/1.1: RFC 9110, 7.8. */
static void note_upgrade(struct facts *f, struct ph_str value)
{
	f->upgrade_field = true;
	f->h2c = ph_str_eq_nocase(value, PH_STR("h2c"));
}

/* The few fields that say how to go on. Told apart by length first: most fields are none of them. */
static int note_field(struct ph_head *ret, struct facts *f, const struct ph_header *h)
{
	switch (h->name.n) {
	case 4:
		return ph_str_eq_nocase(h->name, PH_STR("host")) ? only_once(&f->host) : 0;
	case 6:
		if (ph_str_eq_nocase(h->name, PH_STR("expect")))
			ret->expect_continue = ph_str_eq_nocase(h->value, PH_STR("100-continue"));
		return 0;
	case 7:
		if (ph_str_eq_nocase(h->name, PH_STR("upgrade")))
			note_upgrade(f, h->value);
		return 0;
	case 10:
		if (ph_str_eq_nocase(h->name, PH_STR("connection")))
			parse_connection(f, h->value);
		return 0;
	case 13:
		return ph_str_eq_nocase(h->name, PH_STR("authorization")) ? only_once(&f->authorization) : 0;
	case 14:
		return ph_str_eq_nocase(h->name, PH_STR("content-length")) ? parse_length(ret, h->value) : 0;
	case 17:
		return ph_str_eq_nocase(h->name, PH_STR("transfer-encoding"))
			       ? parse_transfer_encoding(ret, f, h->value)
			       : 0;
	default:
		return 0;
	}
}

static int parse_field(struct ph_header *ret, struct ph_str line)
{
	size_t n = token_length(line);

	if (n == 0 || n == line.n || line.p[n] != ':')
		return -PH_E_HEAD_BAD;
	ret->name = ph_str(line.p, n);
	ret->value = ph_str_trim(ph_str_from(line, n + 1));
	return 0;
}

static bool answer_has_body(const struct ph_head *h, bool no_body)
{
	if (no_body || h->status < 200 || h->status == 204 || h->status == 304)
		return false;
	return h->length != 0; /* chunked, a length, or until the end of the stream */
}

static int judge(struct ph_head *ret, enum ph_http_side side, bool no_body, const struct facts *f)
{
	bool until_end;

	if (ret->chunked && (ret->length >= 0 || ret->minor == 0))
		return -PH_E_HEAD_BAD;
	if (side == PH_HTTP_REQUESTS && ret->minor == 1 && !f->host)
		return -PH_E_HEAD_BAD;
	ret->upgrade = f->upgrade && f->upgrade_field;
	if (side == PH_HTTP_REQUESTS) {
		ret->has_body = ret->chunked || ret->length > 0;
		ret->upgrade = ret->upgrade && !f->h2c && !ret->has_body;
		ret->expect_continue = ret->expect_continue && ret->has_body && ret->minor == 1;
	} else {
		ret->has_body = answer_has_body(ret, no_body);
		if (ret->status == 101 && !ret->upgrade)
			return -PH_E_HEAD_BAD;
		ret->upgrade = ret->status == 101;
	}
	until_end = ret->has_body && !ret->chunked && ret->length < 0;
	ret->keep_alive = !f->close && !until_end && (ret->minor == 1 || f->keep_alive);
	return 0;
}

int ph_head_parse(struct ph_head *ret, enum ph_http_side side, bool no_body, struct ph_str text,
	struct ph_header *fields)
{
	struct facts f = {0};
	struct ph_str line = next_line(&text);
	int r;

	*ret = (struct ph_head){.headers = fields, .length = -1};
	r = side == PH_HTTP_REQUESTS ? parse_request_line(ret, line) : parse_status_line(ret, line);
	while (r == 0 && (line = next_line(&text)).n > 0) {
		struct ph_header *h = &fields[ret->header_count++];

		r = parse_field(h, line);
		if (r == 0)
			r = note_field(ret, &f, h);
	}
	return r < 0 ? r : judge(ret, side, no_body, &f);
}
