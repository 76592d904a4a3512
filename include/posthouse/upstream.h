/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to upstreams over HTTP/1.1, on pooled connections, and what an upstream's failure means.
 *
 * A call is one request and its answer. It ends exactly once: by on_end, or by ph_call_cancel(), after which
 * no callback fires. A call that is cancelled, or whose answer was not complete, takes its connection with
 * it.
 */
#ifndef POSTHOUSE_UPSTREAM_H
#define POSTHOUSE_UPSTREAM_H

#include "posthouse/http1.h"
#include "posthouse/stream.h"
#include "posthouse/url.h"
#include "posthouse/usage.h"

struct ph_upstream;
struct ph_call;

struct ph_upstream_options {
	const char *ca_file;         /* NULL = the system's */
	uint64_t connect_timeout_ms; /* name, TCP and TLS together */
};
struct ph_upstream *ph_upstream_new(
	struct ph_loop *loop, const struct ph_upstream_options *options, struct ph_err *err);
/* Closes idle connections, and WebSockets that are left, whose owners hear nothing of it; running calls must
 * be over. on_closed(arg) when every connection is gone. */
void ph_upstream_close(struct ph_upstream *u, void (*on_closed)(void *arg), void *arg);

struct ph_call_request {
	const struct ph_url *base;
	struct ph_str method;
	struct ph_str path; /* appended to the base's path; with its query */
	struct ph_buf
		*head; /* header lines, without Host, Content-Length and Connection: those are the call's */
	struct ph_buf *body; /* taken over: left empty. NULL = no body, no Content-Length */
	bool fresh;          /* not on a pooled connection */
};

struct ph_call_events {
	void (*on_connected)(void *owner);
	void (*on_sent)(void *owner); /* the kernel has taken the request's last byte */
	void (*on_head)(void *owner, const struct ph_head *head); /* slices valid during the call */
	void (*on_body)(void *owner, struct ph_str bytes);
	/* 0: the answer was complete. -PH_E_UPSTREAM_CONNECT: no connection came about, nothing was sent.
	 * -PH_E_UPSTREAM_STALE: a pooled connection ended before a byte of an answer. -PH_E_UPSTREAM_DROPPED:
	 * ended inside the exchange. -PH_E_UPSTREAM_BAD: no HTTP. The call is gone when this returns. */
	void (*on_end)(void *owner, int status, const struct ph_err *err);
};

/* events NULL: nobody listens, as if abandoned at once. Never NULL; faults arrive through on_end, never
 * before this returns. Strings of r are copied. */
struct ph_call *ph_call_start(struct ph_upstream *u, const struct ph_call_request *r,
	const struct ph_call_events *events, void *owner);
/* A call whose body its owner sends as it comes: r->body is NULL, and on_sent is never told. It goes out on a
 * connection of its own, so that no body is lost to one that had ended. An answer may come, and end the call,
 * before the body is complete; then the connection carries nothing more. */
struct ph_call_upload {
	int64_t length;                /* of the body; -1: it goes in chunks */
	void (*on_drain)(void *owner); /* what was pushed has left */
};
struct ph_call *ph_call_upload(struct ph_upstream *u, const struct ph_call_request *r,
	const struct ph_call_upload *upload, const struct ph_call_events *events, void *owner);
/* From on_connected on. Copies; returns the room left: zero or less: stop until on_drain. */
long ph_call_push(struct ph_call *c, struct ph_str bytes);
void ph_call_push_end(struct ph_call *c); /* the body is complete */

void ph_call_read(struct ph_call *c, bool on); /* back-pressure: stops and resumes reading the answer */
uint64_t ph_call_progress_ms(const struct ph_call *c); /* loop time of the last byte that moved, either way */
void ph_call_cancel(struct ph_call *c);
/* The rest of the answer is of no interest: no callback any more; the connection is pooled if the answer ends
 * within a second, else closed. */
void ph_call_abandon(struct ph_call *c);

/* ---- WebSockets to accounts (handbook, protocol section 3) ---- */

/*
 * One WebSocket to an upstream: opened for an owner, handed from owner to owner, never pooled here. It ends
 * exactly once: by on_refused or on_end, after which it is gone, or by ph_upsocket_close(), after which no
 * callback fires. Any callback may close it. The deadline for connecting holds for the answer to the upgrade
 * as well. Pings are answered here; a ping of ours goes out after 20 s of reading without a byte from
 * upstream, and 20 s later the socket counts as dropped.
 */
struct ph_upsocket;

struct ph_upsocket_request {
	const struct ph_url *base;
	struct ph_str path;  /* appended to the base's path; with its query */
	struct ph_buf *head; /* header lines, without Host, Connection, Upgrade and Sec-WebSocket-* */
	size_t max_message;
};

struct ph_upsocket_events {
	void (*on_open)(void *owner, const struct ph_head *head); /* 101; slices valid during the call */
	/* Any other answer to the upgrade, whole (its body cut to 64 KiB). */
	void (*on_refused)(void *owner, const struct ph_head *head, struct ph_str body);
	/* The kernel has taken the last byte of what was sent last, or never will: then on_end follows. */
	void (*on_sent)(void *owner);
	void (*on_text)(void *owner, struct ph_str message); /* valid during the call */
	/* -PH_E_UPSTREAM_CONNECT: no connection came about, or no answer to the upgrade in time.
	 * -PH_E_UPSTREAM_DROPPED: ended, with or without a close frame, or silent to a ping.
	 * -PH_E_UPSTREAM_BAD: no WebSocket, or a message above the maximum. err says which, with the close
	 * code and reason. */
	void (*on_end)(void *owner, int status, const struct ph_err *err);
};

/* Never NULL; no callback before this returns. Strings of r are copied. A socket that is not open yet may
 * already be sent to. */
struct ph_upsocket *ph_upsocket_open(struct ph_upstream *u, const struct ph_upsocket_request *r,
	const struct ph_upsocket_events *events, void *owner);
/* Whoever has it now; it hears nothing of what others sent. events NULL: nobody; reading is on, and what
 * comes meanwhile but codex.* events closes the connection. With nobody the socket outlives its connection:
 * it is not alive then, and waits to be closed, or for an owner, who is told on_end (also of a refusal). */
void ph_upsocket_set_owner(struct ph_upsocket *s, const struct ph_upsocket_events *events, void *owner);
/* One text message; text is taken over: left empty. on_sent comes later, never before this returns. */
void ph_upsocket_send(struct ph_upsocket *s, struct ph_buf *text);
/* Back-pressure; on at first. Off: no message is handed over, also none of the read that is being fed, and an
 * end waits behind the messages that came before it. On again: what had been read is handed over later in the
 * turn of the loop, before anything else is read; where it went off and on inside the same callback, when
 * that returns. */
void ph_upsocket_read(struct ph_upsocket *s, bool on);
bool ph_upsocket_alive(const struct ph_upsocket *s);         /* open, and nothing says that it ended */
uint64_t ph_upsocket_opened_ms(const struct ph_upsocket *s); /* loop time of on_open */
/* As ph_call_progress_ms(), of messages: pings and pongs are no progress. */
uint64_t ph_upsocket_progress_ms(const struct ph_upsocket *s);
/* Close frame 1000 where it can be sent; the connection ends with the peer's, or within a second. */
void ph_upsocket_close(struct ph_upsocket *s);

/* ---- the classifier: what a failure means. Pure ---- */

/* What a failure says of the account, whatever becomes of the request (handbook, protocol 5.1). */
enum ph_health_signal {
	PH_SIGNAL_NONE,      /* nothing */
	PH_SIGNAL_LIMIT,     /* a rate limit: it cools until the reset */
	PH_SIGNAL_SLOW_DOWN, /* it cools shortly */
	PH_SIGNAL_QUOTA,     /* a usage window, credit, a spending limit: it is exhausted until the reset */
	PH_SIGNAL_PLAN,      /* its plan lacks this product */
	PH_SIGNAL_EXPIRED,   /* its token is no longer taken, but may be renewed */
	PH_SIGNAL_REAUTH,    /* its session ended: a person must log in */
	PH_SIGNAL_DISABLED,  /* its credential or the account itself was revoked */
	PH_SIGNAL_SUSPENDED, /* its workspace is deactivated, which passes */
	PH_SIGNAL_FAULT,     /* 5xx: three in a row count */
	PH_SIGNAL_OVERLOAD,  /* that base URL is overloaded for that model */
	PH_SIGNAL_MODEL,     /* it does not have the model */
	PH_SIGNAL_CLIENT,    /* it does not take this family of clients */
	PH_SIGNAL_PLACE,     /* the base URL does not take this node's address */
	PH_SIGNAL_NR,
};
/* One word, for logs and metrics: "none", "limit", "slow_down" and so on. */
const char *ph_signal_name(enum ph_health_signal signal);

#define PH_SAID_MAX 512
struct ph_failure {
	int code; /* PH_E_x, not negated: its remedy decides what the turn does */
	enum ph_health_signal signal;
	uint64_t resets_s;   /* unix seconds at which upstream says it is over; 0 = it did not say. In
				upstream's clock */
	uint64_t after_ms;   /* the span until then, where upstream said a span; 0 = it did not say */
	struct ph_str error; /* the error object within the given bytes, or none */
	/* What it said, decoded and cut; empty where it did not. For a client's eyes only where the code is
	 * PH_E_UPSTREAM_REFUSED, _PARAMETER or _CANNOT: other words may describe an account. */
	char message[PH_SAID_MAX];
	char word[96];  /* its code, or its type where that is used as one; of letters, digits, "_", "-" and
			   "." */
	char param[96]; /* its param; with PH_E_UPSTREAM_PARAMETER always the member that is not supported */
};

struct ph_failed_answer {
	int status;             /* HTTP status, or 0 for an event */
	struct ph_str body;     /* the body, or the event's JSON */
	uint64_t head_after_ms; /* ph_retry_after_ms() of its head; 0 for an event */
	bool had_anchor;        /* the request named a previous_response_id */
	bool had_reasoning;     /* the request carried reasoning or compaction items */
	bool renewable;         /* the account's token expires and is renewed (kind codex) */
};
/* What a head says of coming back: retry-after-ms, retry-after (seconds, or a date against the answer's own
 * Date), x-ratelimit-reset-* of what is used up. In milliseconds; 0 = nothing usable; at most 366 days. */
uint64_t ph_retry_after_ms(const struct ph_head *head);
void ph_classify(const struct ph_failed_answer *a, struct ph_failure *ret);
/* The status and what came with it say that the upstream has no such path. Asked of paths that name nothing
 * which could be missing itself. */
bool ph_path_missing(int status, const struct ph_failure *f);

/* ---- usage windows: what an account has left, in the words of the Codex backend (handbook,
 * protocol 4.1, 3.3) ---- */
/* False: it says nothing of usage. */
bool ph_usage_of_head(const struct ph_head *head, struct ph_usage *ret);
bool ph_usage_of_event(struct ph_str json, struct ph_usage *ret); /* codex.rate_limits */
/* The usage endpoint's answer (6.7). now_s: for resets that are told as spans; email: "" where it tells none.
 */
bool ph_usage_of_answer(
	struct ph_str json, uint64_t now_s, struct ph_usage *ret, char *email, size_t email_size);

#endif
