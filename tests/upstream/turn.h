/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn, while its answer is made or for as long as it may be steered:
 *
 *     turn.c    reads it, refuses what that kind of account refuses, keeps what it keeps
 *     object.c  response objects, ciphertext;  items.c  the items of the answer
 *     events.c  the stream of a turn, with its faults
 */
#ifndef FAKE_TURN_H
#define FAKE_TURN_H

#include "fake.h"

enum fake_ask {
	FAKE_ASK_MODEL,
	FAKE_ASK_INPUT,
	FAKE_ASK_PREVIOUS,
	FAKE_ASK_STREAM,
	FAKE_ASK_STORE,
	FAKE_ASK_INCLUDE,
	FAKE_ASK_CONVERSATION,
	FAKE_ASK_INSTRUCTIONS,
	FAKE_ASK_TOOLS,
	FAKE_ASK_TOOL_CHOICE,
	FAKE_ASK_TRUNCATION,
	FAKE_ASK_PARALLEL,
	FAKE_ASK_TEXT,
	FAKE_ASK_TOP_P,
	FAKE_ASK_TEMPERATURE,
	FAKE_ASK_TOP_LOGPROBS,
	FAKE_ASK_REASONING,
	FAKE_ASK_MAX_OUTPUT,
	FAKE_ASK_MAX_CALLS,
	FAKE_ASK_BACKGROUND,
	FAKE_ASK_TIER,
	FAKE_ASK_METADATA,
	FAKE_ASK_SAFETY,
	FAKE_ASK_CACHE_KEY,
	FAKE_ASK_PENALTY_P,
	FAKE_ASK_PENALTY_F,
	FAKE_ASK_USER,
	FAKE_ASK_CACHE_RETENTION,
	FAKE_ASK_CACHE_OPTIONS,
	FAKE_ASK_CLIENT_METADATA,
	FAKE_ASK_GENERATE,
	FAKE_ASK_NR,
};

struct fake_turn {
	struct fake_exchange *x;
	struct fake_do *todo;
	struct ph_json_member ask[FAKE_ASK_NR];
	struct fake_context context;
	char parent[FAKE_ID_MAX]; /* that it continues, or "" */
	uint64_t parent_bytes;
	char tag[FAKE_TAG_MAX]; /* "NAME_0000002a": what the ids of this turn share */
	char id[FAKE_ID_MAX];
	bool stream, store, reasoning, sealed;
	bool warm;          /* generate:false: nothing is generated */
	const char *reason; /* of an incomplete end, before the script's */
	uint64_t created_at, seen_bytes, output_tokens;
	struct ph_str text;    /* what the message says */
	struct ph_buf members; /* of the response object: those that stay the same through the turn */
	struct ph_buf output;  /* finished items, joined by commas */
	struct ph_buf object;  /* the final response object */
	size_t items;          /* in output */
	bool finished;         /* a completed or incomplete end was made */
};

/* Stores and remembers what became of it, if it may be continued. Once more: in place of what was kept. */
void fake_turn_keep(struct fake_turn *t);

/* Writes a response object. output NULL leaves the member out. */
enum fake_status {
	FAKE_IN_PROGRESS,
	FAKE_QUEUED,
	FAKE_COMPLETED,
	FAKE_STATUS_INCOMPLETE,
	FAKE_STATUS_FAILED
};
void fake_object_members(struct fake_turn *t);
void fake_object_put(struct fake_turn *t, struct ph_buf *b, enum fake_status status, enum fake_output output);
void fake_object_failure(struct fake_do *d, struct ph_buf *b);     /* the error of a failed one */
void fake_object_encrypted(struct fake_turn *t, struct ph_buf *b); /* "enc:..." without quotes */
bool fake_encrypted_by(const struct fake_account *a, struct ph_str text);
/* Plays the turn into payload and steps; fills output, object, finished and the play's ending. Without
 * stream, only the items are made. */
void fake_events_make(struct fake_turn *t);

/* ---- the stream ---- */

/* Owner: fake_events_make(). */
struct fake_emitter {
	struct fake_turn *t;
	struct fake_do *d;
	struct fake_play *play;
	struct ph_buf event; /* the JSON of one */
	uint64_t number, emitted;
	uint64_t delay_ms; /* before the next event */
	bool stopped;      /* a fault ended the stream */
	bool struck;       /* the fault has happened */
};

/* {"type":TYPE,"sequence_number":N: members are appended to e->event, finish ends it. False: nobody would see
 * it. */
bool fake_event_begin(struct fake_emitter *e, const char *type);
void fake_event_finish(struct fake_emitter *e, const char *type);
/* The point is there at which a fault may be ordered. */
void fake_event_reach(struct fake_emitter *e, enum fake_point point);
/* How far the stream is behind the newest step. */
void fake_event_progress(struct fake_emitter *e);
void fake_items_make(struct fake_emitter *e);

/* The turn as a chat completion. */
void fake_chat_answer(struct fake_turn *t);

#endif
