/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chat completions. A chat is a turn of the machine (request.c) whose client's end is chat.c's. To an account
 * that has the path it goes as it came (chat_relay.c); for any other it is translated to a request of the
 * Responses API (chat_request.c), and the answer back (chat_answer.c). docs/chat.md is the table of members.
 */
#ifndef POSTHOUSE_CHAT_H
#define POSTHOUSE_CHAT_H

#include "gateway_priv.h"

struct ph_request;
struct ph_chat;

/* ---- chat_request.c: pure ---- */

/* What a chat asks of its answer, whoever gives it. */
struct ph_chat_asked {
	struct ph_str model; /* as JSON, within the text; empty = none */
	bool stream;
	bool usage; /* of a stream: told at its end */
	bool store; /* to be read again later */
	bool valid; /* it is a request, whether or not it can be translated */
};

/*
 * Reads a request for a chat completion, and appends the same request in the words of the Responses API. As
 * spans of the client's bytes: nothing is printed anew, so numbers and schemas stay as they were written.
 * -PH_E_CHAT_MEMBER: the Responses API has no place for what err names; -PH_E_JSON_BAD, -PH_E_PARAM_BAD and
 * _MISSING: what err names is not as it must be. What out holds then is of no use.
 */
int ph_chat_request_write(struct ph_str text, struct ph_buf *out, struct ph_chat_asked *asked,
	struct ph_err *err) PH_WARN_UNUSED;

/* ---- chat_answer.c: pure ---- */

struct ph_chat_item;

/* A streamed answer on its way from events to chunks. */
struct ph_chat_answer {
	bool usage;                 /* asked for */
	struct ph_buf head;         /* what every chunk begins with, up to its choices */
	bool begun;                 /* the role was told */
	bool ended;                 /* completely: with a finish_reason and [DONE] */
	struct ph_chat_item *items; /* by output_index */
	size_t item_count;
	size_t last; /* the newest of them */
	unsigned calls;
};

/* What an answer is called that does not say it itself. */
struct ph_chat_names {
	const char *id;      /* without prefix */
	struct ph_str model; /* as JSON, or empty */
	uint64_t created_s;
};

void ph_chat_answer_init(struct ph_chat_answer *a, bool usage, const struct ph_chat_names *names);
void ph_chat_answer_deinit(struct ph_chat_answer *a);
/* Appends what the client gets for one event of the Responses API: chunks, an error, a comment, or nothing.
 */
void ph_chat_answer_event(struct ph_chat_answer *a, struct ph_str event, struct ph_buf *out);
/* A whole response as a completion. The HTTP status: 200, or of a failed one what stands for its error. */
int ph_chat_answer_whole(struct ph_str response, const struct ph_chat_names *names, struct ph_buf *out);
/* An error's envelope, whose param is told in the words of the request. */
void ph_chat_answer_error(struct ph_str envelope, struct ph_buf *out);
/* The event that a broken answer ends with. */
#define PH_CHAT_BROKEN                                                                                       \
	PH_STR("data: {\"error\":{\"message\":\"The upstream failed while it answered. Retry the "           \
	       "request.\",\"type\":\"server_error\",\"param\":null,\"code\":\"server_error\"}}\n\n")
#define PH_CHAT_ALIVE PH_STR(": keep-alive\n\n")

/* ---- chat.c: the client's end ---- */

void ph_chat_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path);
struct ph_chat *ph_chat_free(struct ph_chat *c); /* by its turn, at the end; returns NULL */
/* The client's bytes go to the chat, and their translation stands in the body. */
int ph_chat_take(struct ph_request *r, struct ph_buf *body) PH_WARN_UNUSED;
struct ph_str ph_chat_text(const struct ph_chat *c); /* the client's bytes */
void ph_chat_forget(struct ph_chat *c);              /* nobody will get them again */
/* 1: it can be served; negated: why not. */
int ph_chat_choose(struct ph_request *r);
/* The account answers it itself, as far as is known. */
bool ph_chat_is_native(const struct ph_request *r, const struct ph_account *a);
/* What goes to the client from now on is a chat's answer already. */
void ph_chat_native(struct ph_chat *c, bool native);
/* For an account without the path: 0, or it cannot be translated, negated. */
int ph_chat_refused(struct ph_request *r);
/* Its account keeps it, under the id that was collected. */
bool ph_chat_is_stored(const struct ph_request *r);
/* The status says that the account has no such path. It is remembered. */
bool ph_chat_missing(struct ph_request *r, int status, const struct ph_failure *f);

/* ---- chat_relay.c: an account's own chunks ---- */

void ph_chat_relay_open(struct ph_request *r);
/* A whole answer, for its usage. False: it is none. */
bool ph_chat_relay_whole(struct ph_request *r, struct ph_str answer);

#endif
