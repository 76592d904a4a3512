/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, as little of RFC 3986 as a gateway needs, and strict in that. */
#include "posthouse/url.h"

#include <stdio.h>

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_unreserved(char c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Printable ASCII without blanks, and none of `refused`. */
static bool is_clean(struct ph_str s, const char *refused)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr(refused, s.p[i]))
			return false;
	}
	return true;
}

/* ---- base URLs ---- */

static bool parse_scheme(struct ph_url *ret, struct ph_str *text)
{
	static const struct ph_str plain = {"http://", 7}, tls = {"https://", 8};

	ret->tls = ph_str_eq_nocase(ph_str(text->p, text->n < tls.n ? text->n : tls.n), tls);
	if (!ret->tls && !ph_str_eq_nocase(ph_str(text->p, text->n < plain.n ? text->n : plain.n), plain))
		return false;
	*text = ph_str_from(*text, ret->tls ? tls.n : plain.n);
	return true;
}

/* What may stand in a name or an IPv4 address, or between the brackets of an IPv6 address. */
static bool is_host(struct ph_str s, bool bracketed)
{
	for (size_t i = 0; i < s.n; i++) {
		if (bracketed ? hex_digit(s.p[i]) < 0 && s.p[i] != ':' && s.p[i] != '.'
			      : !is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != '_')
			return false;
	}
	return s.n > 0;
}

/* Cuts the host off the authority and leaves ":port" or nothing. */
static bool cut_host(struct ph_str *authority, struct ph_str *ret_host, bool *ret_bracketed)
{
	const char *end;

	*ret_bracketed = authority->n > 0 && authority->p[0] == '[';
	if (*ret_bracketed) {
		end = memchr(authority->p, ']', authority->n);
		if (end == NULL)
			return false;
		*ret_host = ph_str(authority->p + 1, (size_t)(end - authority->p) - 1);
		*authority = ph_str_from(*authority, ret_host->n + 2);
		return true;
	}
	end = authority->n > 0 ? memchr(authority->p, ':', authority->n) : NULL;
	*ret_host = ph_str(authority->p, end ? (size_t)(end - authority->p) : authority->n);
	*authority = ph_str_from(*authority, ret_host->n);
	return true;
}

static bool parse_port(struct ph_url *ret, struct ph_str port)
{
	uint64_t number = ret->tls ? 443 : 80;

	if (port.n > 0 &&
		(port.p[0] != ':' || !ph_str_u64(ph_str_from(port, 1), 65535, &number) || number == 0))
		return false;
	ret->port = (uint16_t)number;
	return true;
}

static void write_origin(struct ph_url *ret, bool bracketed)
{
	const char *open = bracketed ? "[" : "", *close = bracketed ? "]" : "";

	if (ret->port == (ret->tls ? 443 : 80))
		snprintf(ret->origin, sizeof(ret->origin), "%s%s%s", open, ret->host, close);
	else
		snprintf(ret->origin, sizeof(ret->origin), "%s%s%s:%u", open, ret->host, close, ret->port);
}

static int parse_authority(struct ph_url *ret, struct ph_str authority, struct ph_err *err)
{
	struct ph_str host;
	bool bracketed;

	if (authority.n > 0 && memchr(authority.p, '@', authority.n))
		return ph_fail(err, PH_E_PARAM_BAD, "a URL here must not hold a user or a password");
	if (!cut_host(&authority, &host, &bracketed) || !is_host(host, bracketed))
		return ph_fail(err, PH_E_PARAM_BAD, "the URL has no valid host name");
	if (host.n >= sizeof(ret->host))
		return ph_fail(err, PH_E_PARAM_BAD, "the URL's host name is longer than %zu bytes",
			sizeof(ret->host) - 1);
	if (!parse_port(ret, authority))
		return ph_fail(err, PH_E_PARAM_BAD, "the URL's port is not a number from 1 to 65535");
	ph_str_copy(ret->host, sizeof(ret->host), host);
	for (char *p = ret->host; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
	write_origin(ret, bracketed);
	return 0;
}

static int parse_path(struct ph_url *ret, struct ph_str path, struct ph_err *err)
{
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	if (!is_clean(path, "\\"))
		return ph_fail(
			err, PH_E_PARAM_BAD, "the URL's path holds a character that must be percent-encoded");
	if (path.n >= sizeof(ret->path))
		return ph_fail(err, PH_E_PARAM_BAD, "the URL's path is longer than %zu bytes",
			sizeof(ret->path) - 1);
	ph_str_copy(ret->path, sizeof(ret->path), path);
	return 0;
}

int ph_url_parse(struct ph_url *ret, struct ph_str text, struct ph_err *err)
{
	struct ph_url url = {0};
	struct ph_str authority;
	const char *slash;
	int r;

	if (!parse_scheme(&url, &text))
		return ph_fail(err, PH_E_PARAM_BAD, "a URL here must begin with http:// or https://");
	if (text.n > 0 && (memchr(text.p, '?', text.n) || memchr(text.p, '#', text.n)))
		return ph_fail(err, PH_E_PARAM_BAD, "a URL here must not hold a query or a fragment");
	slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	authority = ph_str(text.p, slash ? (size_t)(slash - text.p) : text.n);
	r = parse_authority(&url, authority, err);
	if (r == 0)
		r = parse_path(&url, ph_str_from(text, authority.n), err);
	if (r == 0)
		*ret = url;
	return r;
}

/* ---- request targets ---- */

/* "." or "..", also written with %2e: a relayed path must not climb out of an account's base URL. */
static bool is_dots(struct ph_str segment)
{
	size_t dots = 0;

	while (segment.n > 0) {
		bool escaped =
			ph_str_eq_nocase(ph_str(segment.p, segment.n < 3 ? segment.n : 3), PH_STR("%2e"));

		if (!escaped && segment.p[0] != '.')
			return false;
		segment = ph_str_from(segment, escaped ? 3 : 1);
		dots++;
	}
	return dots == 1 || dots == 2;
}

static bool has_dot_segment(struct ph_str path)
{
	while (path.n > 0) {
		if (is_dots(ph_str_split(&path, '/')))
			return true;
	}
	return false;
}

/* Leaves of an absolute form what follows the authority. */
static int cut_origin(struct ph_str *target)
{
	struct ph_url scheme;
	const char *end;

	if (target->n > 0 && target->p[0] == '/')
		return 0;
	if (!parse_scheme(&scheme, target) || target->n == 0 || strchr("/?", target->p[0]))
		return -PH_E_HEAD_BAD;
	for (end = target->p; end < target->p + target->n && *end != '/' && *end != '?';)
		end++;
	*target = ph_str_from(*target, (size_t)(end - target->p));
	return 0;
}

int ph_target_split(struct ph_str target, struct ph_str *path, struct ph_str *query)
{
	struct ph_str head;

	if (!is_clean(target, "#") || cut_origin(&target) < 0)
		return -PH_E_HEAD_BAD;
	head = ph_str_split(&target, '?');
	if (!is_clean(head, "\\") || has_dot_segment(head))
		return -PH_E_HEAD_BAD;
	*path = head.n > 0 ? head : PH_STR("/");
	*query = target;
	return 0;
}

/* ---- percent-encoding, queries ---- */

int ph_percent_decode(struct ph_str s, bool plus, char *dst, size_t size, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			int high = i + 1 < s.n ? hex_digit(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -PH_E_PARAM_BAD;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (c == '\0' || n + 1 >= size)
			return -PH_E_PARAM_BAD;
		dst[n++] = c;
	}
	if (size == 0)
		return -PH_E_PARAM_BAD;
	dst[n] = '\0';
	*ret_n = n;
	return 0;
}

void ph_percent_encode(struct ph_buf *b, struct ph_str s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_unreserved((char)c))
			ph_buf_putc(b, (char)c);
		else
			ph_buf_append(b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
	}
}

bool ph_query_get(struct ph_str query, struct ph_str name, struct ph_str *ret)
{
	while (query.n > 0) {
		struct ph_str value = ph_str_split(&query, '&');

		if (ph_str_eq(ph_str_split(&value, '='), name)) {
			*ret = value;
			return true;
		}
	}
	return false;
}
