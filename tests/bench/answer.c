/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 answers with Content-Length or chunks; anything else is a fault of whoever sent it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench.h"

void answer_reset(struct answer *a)
{
	a->state = ANSWER_HEAD;
	a->status = 0;
	a->closes = false;
	a->left = a->bytes = 0;
	a->head_n = 0;
}

/* The value of a field in a head that ends with a NUL, or NULL. */
static const char *field(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " ");
	}
	return NULL;
}

static int read_head(struct answer *a)
{
	const char *length, *encoding, *connection;

	a->head[a->head_n] = '\0';
	if (strncmp(a->head, "HTTP/1.1 ", 9) != 0)
		return -1;
	a->status = (int)strtol(a->head + 9, NULL, 10);
	a->head_n = 0;
	connection = field(a->head, "connection");
	a->closes = connection && strncasecmp(connection, "close", 5) == 0;
	encoding = field(a->head, "transfer-encoding");
	if (encoding && strncasecmp(encoding, "chunked", 7) == 0) {
		a->state = ANSWER_CHUNK;
		return 0;
	}
	length = field(a->head, "content-length");
	if (!length)
		return -1;
	a->left = strtoull(length, NULL, 10);
	a->state = a->left ? ANSWER_BODY : ANSWER_DONE;
	return 0;
}

/* Takes bytes up to the end of what `end` closes; how many were taken, -1: it is too long. *whole: the end
 * came. */
static ssize_t collect(struct answer *a, const char *p, size_t n, const char *end, bool *whole)
{
	size_t end_n = strlen(end);

	for (size_t i = 0; i < n; i++) {
		if (a->head_n + 1 >= sizeof(a->head))
			return -1;
		a->head[a->head_n++] = p[i];
		if (p[i] == '\n' && a->head_n >= end_n &&
			memcmp(a->head + a->head_n - end_n, end, end_n) == 0) {
			*whole = true;
			return (ssize_t)i + 1;
		}
	}
	return (ssize_t)n;
}

static void read_size(struct answer *a)
{
	a->head[a->head_n] = '\0';
	a->left = strtoull(a->head, NULL, 16);
	a->head_n = 0;
	a->state = a->left ? ANSWER_DATA : ANSWER_TRAILER;
}

ssize_t answer_head(struct answer *a, const char *p, size_t n)
{
	bool whole = false;
	ssize_t used = collect(a, p, n, "\r\n\r\n", &whole);

	if (!whole)
		return used;
	a->head[a->head_n] = '\0';
	if (strncmp(a->head, "HTTP/1.1 ", 9) != 0)
		return -1;
	a->status = (int)strtol(a->head + 9, NULL, 10);
	a->state = ANSWER_DONE;
	return used;
}

/* One step: how many bytes it took, or -1. */
static ssize_t step(struct answer *a, const char *p, size_t n, answer_body body, void *arg)
{
	bool whole = false;
	ssize_t used;

	switch (a->state) {
	case ANSWER_HEAD:
		used = collect(a, p, n, "\r\n\r\n", &whole);
		return whole && read_head(a) ? -1 : used;
	case ANSWER_BODY:
	case ANSWER_DATA:
		if (n > a->left)
			n = (size_t)a->left;
		body(arg, p, n);
		a->bytes += n;
		a->left -= n;
		if (a->left == 0)
			a->state = a->state == ANSWER_BODY ? ANSWER_DONE : ANSWER_DATA_END;
		return (ssize_t)n;
	case ANSWER_CHUNK:
		used = collect(a, p, n, "\r\n", &whole);
		if (whole)
			read_size(a);
		return used;
	case ANSWER_DATA_END:
	case ANSWER_TRAILER:
		used = collect(a, p, n, "\r\n", &whole);
		if (!whole)
			return used;
		if (a->head_n != 2)
			return -1;
		a->head_n = 0;
		a->state = a->state == ANSWER_DATA_END ? ANSWER_CHUNK : ANSWER_DONE;
		return used;
	case ANSWER_DONE:
		break;
	}
	return -1;
}

int answer_feed(struct answer *a, const char *p, size_t n, answer_body body, void *arg)
{
	while (n > 0) {
		ssize_t used = step(a, p, n, body, arg);

		if (used < 0)
			return -1;
		p += used;
		n -= (size_t)used;
	}
	return a->state == ANSWER_DONE;
}
