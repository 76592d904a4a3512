/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 in both directions: bytes in, events out. Pure: no uv, no log, no clock.
 *
 * Heads are framed by a guard of our own before llhttp sees them, and chunk framing is checked beside it
 * (llhttp 8.1.0 of Debian 12 takes any byte after a CR for LF: CVE-2023-30589, CVE-2025-23167). Refused in
 * both directions: CR without LF, LF without CR, NUL, folded lines, a head above PH_HEAD_MAX, a field above
 * PH_FIELD_MAX, more than PH_HEADERS_MAX fields, Content-Length with Transfer-Encoding, a second Host,
 * Content-Length, Transfer-Encoding or Authorization, a Transfer-Encoding other than `chunked`, an HTTP
 * version other than 1.0 and 1.1. Requests of HTTP/1.1 need a Host. Trailers are dropped. An empty line
 * before a request is skipped, once; 1xx answers are skipped, at most eight in a row. CONNECT is refused.
 */
#ifndef POSTHOUSE_HTTP1_H
#define POSTHOUSE_HTTP1_H

#include "posthouse/buf.h"

#define PH_HEAD_MAX    (64 * 1024)
#define PH_FIELD_MAX   (16 * 1024)
#define PH_HEADERS_MAX 128

struct ph_header {
	struct ph_str name;
	struct ph_str value; /* trimmed */
};

/* Slices point into the parser and are valid until ph_http_next(), ph_http_drop_head() or deinit. */
struct ph_head {
	struct ph_str method; /* requests */
	struct ph_str target; /* requests: as sent */
	int status;           /* answers */
	int minor;            /* HTTP/1.minor */
	struct ph_header *headers;
	size_t header_count;
	int64_t length; /* Content-Length, or -1 */
	bool chunked;
	bool has_body;   /* chunked, a length above 0, or (answers) until the end of the stream */
	bool keep_alive; /* by version, Connection, and whether the body's end is known */
	bool upgrade; /* requests: Connection: upgrade, an Upgrade field but h2c's, no body; answers: 101 */
	bool expect_continue; /* Expect: 100-continue, and a body follows */
};

/* PH_STR_NONE if absent. name without regard to case. */
struct ph_str ph_head_get(const struct ph_head *h, struct ph_str name);

struct ph_http;

struct ph_http_events {
	/* Answers: not for 1xx, but for 101. */
	void (*on_head)(void *owner, const struct ph_head *head);
	/* Payload, without framing; valid during the call. */
	void (*on_body)(void *owner, struct ph_str bytes);
	/* The message is complete. ph_http_next() may be called from inside. */
	void (*on_done)(void *owner);
};

enum ph_http_side {
	PH_HTTP_REQUESTS, /* we are the server */
	PH_HTTP_ANSWERS,  /* we are the client */
};

struct ph_http *ph_http_new(enum ph_http_side side, const struct ph_http_events *events, void *owner);
struct ph_http *ph_http_free(struct ph_http *h); /* returns NULL. Not from inside a callback */

/*
 * Consumes bytes up to the end of one message. Returns the number consumed: less than bytes.n only after
 * on_done (feed the rest after ph_http_next()) or after ph_http_pause(). An upgrade head is a whole message:
 * on_done follows at once, and the rest belongs to the new protocol, or, where the upgrade is refused, to the
 * next message. Between on_done and ph_http_next() nothing is consumed. Negative: -PH_E_HEAD_BAD,
 * -PH_E_HEAD_TOO_LARGE, -PH_E_BODY_BAD; the connection must not be used further.
 */
long ph_http_feed(struct ph_http *h, struct ph_str bytes) PH_WARN_UNUSED;
/* From inside on_head or on_body: feed returns after it. Feed again, if need be nothing, to go on. */
void ph_http_pause(struct ph_http *h);
/* Ready for the next message on the connection; forgets the head. Gives its buffers back when idle. */
void ph_http_next(struct ph_http *h);
/* Its texts were read, and its body may last long: gives back all of a head but lengths and flags. From
 * inside on_head or later. */
void ph_http_drop_head(struct ph_http *h);
/* Answers: the request was HEAD, so no body follows whatever the head says. Before the head is fed. */
void ph_http_no_body(struct ph_http *h);
/* The peer ended. 0: between messages, or it completed an answer that lasts until the end (on_done fires);
 * else -PH_E_CLOSED: cut inside a message. */
int ph_http_finish(struct ph_http *h) PH_WARN_UNUSED;
bool ph_http_idle(const struct ph_http *h); /* no byte of a message was seen, no 1xx either */
bool ph_http_in_body(const struct ph_http *h);

/* Writers. Fields whose value holds CR, LF or NUL, or whose name is no token, are left out, and a target's
 * blanks and controls are percent-encoded: nobody can smuggle a line through us. */
void ph_http_put_status(struct ph_buf *b, int status);
void ph_http_put_request(struct ph_buf *b, struct ph_str method, struct ph_str target);
void ph_http_put_header(struct ph_buf *b, struct ph_str name, struct ph_str value);
void ph_http_put_length(struct ph_buf *b, uint64_t length);
void ph_http_put_end(struct ph_buf *b); /* the empty line */
/* One chunk is size line, payload, CRLF: put_chunk_head before the payload, "\r\n" behind it. */
void ph_http_put_chunk_head(struct ph_buf *b, size_t n);
#define PH_HTTP_LAST_CHUNK PH_STR("0\r\n\r\n")
const char *ph_http_reason(int status);

#endif
