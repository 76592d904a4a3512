/* SPDX-License-Identifier: Apache-2.0 */
/* What the translations of chats share. All of it is pure. */
#ifndef POSTHOUSE_CHAT_PRIV_H
#define POSTHOUSE_CHAT_PRIV_H

#include "chat.h"

/* ---- chat_json.c ---- */

bool ph_chat_given(const struct ph_json_member *m); /* and not null */
bool ph_chat_is_empty(const struct ph_json_member *m);
bool ph_chat_is_word(const struct ph_json_member *m, const char *word);
uint64_t ph_chat_number(const struct ph_json_member *m);      /* 0 for what is none */
struct ph_str ph_chat_inside(const struct ph_json_member *m); /* a string's bytes between its quotes */
/* An object's members; of anything else there are none. */
void ph_chat_look(const struct ph_json_member *object, const struct ph_str *wanted, size_t n,
	struct ph_json_member *ret);
void ph_chat_read(struct ph_str text, const struct ph_str *wanted, size_t n, struct ph_json_member *ret);

/* ---- the request: chat_request.c, chat_messages.c ---- */

struct ph_chat_writing {
	struct ph_buf *out;
	struct ph_err *err;
	size_t message; /* the one that is written */
	size_t items;   /* written so far */
};

void ph_chat_put(struct ph_chat_writing *w, const char *text);
/* The value behind that text, if it was given. */
void ph_chat_put_pair(struct ph_chat_writing *w, const char *before, const struct ph_json_member *m);
/* Each element of an array, until one is refused. */
int ph_chat_each(struct ph_chat_writing *w, const struct ph_json_member *array,
	int (*write)(struct ph_chat_writing *w, const struct ph_json_member *element, size_t index));
/* What stands at that path is not as it must be; it cannot be translated. The error, negated. */
int ph_chat_bad(struct ph_chat_writing *w, const char *path, const char *what);
int ph_chat_cannot(struct ph_chat_writing *w, const char *path, const char *why);
int ph_chat_put_message(struct ph_chat_writing *w, const struct ph_json_member *message, size_t index);

/* ---- the answer: chat_object.c, chat_answer.c ---- */

enum {
	PH_CHAT_R_ID,
	PH_CHAT_R_CREATED,
	PH_CHAT_R_MODEL,
	PH_CHAT_R_STATUS,
	PH_CHAT_R_OUTPUT,
	PH_CHAT_R_USAGE,
	PH_CHAT_R_ERROR,
	PH_CHAT_R_INCOMPLETE,
	PH_CHAT_R_TIER,
	PH_CHAT_R_NR
};

enum {
	PH_CHAT_I_TYPE,
	PH_CHAT_I_CONTENT,
	PH_CHAT_I_CALL_ID,
	PH_CHAT_I_NAME,
	PH_CHAT_I_ARGUMENTS,
	PH_CHAT_I_NR
};
extern const struct ph_str ph_chat_response_names[PH_CHAT_R_NR];
extern const struct ph_str ph_chat_item_names[PH_CHAT_I_NR];

/* Up to the choices, which follow. m: of the response; NULL: nothing is known but the names. */
void ph_chat_put_head(struct ph_buf *out, const char *object, const struct ph_chat_names *names,
	const struct ph_json_member *m);
void ph_chat_put_usage(struct ph_buf *out, const struct ph_json_member *usage);
const char *ph_chat_finish_reason(const struct ph_json_member *incomplete, bool cut, unsigned calls);
/* {"error":{..}} of a response's error; returns the HTTP status that it would have had. */
int ph_chat_put_error(struct ph_buf *out, const struct ph_json_member *error);
/* Calls told() with each text and refusal of a message's content: the name in a chat, and the string as JSON.
 */
void ph_chat_each_text(const struct ph_json_member *content,
	void (*told)(void *arg, const char *name, const struct ph_json_member *text), void *arg);

#endif
