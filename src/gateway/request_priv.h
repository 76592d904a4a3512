/* SPDX-License-Identifier: Apache-2.0 */
/* The turn: what its files share. request.c is the machine; the others are its organs. */
#ifndef POSTHOUSE_REQUEST_PRIV_H
#define POSTHOUSE_REQUEST_PRIV_H

#include "gateway_priv.h"
#include "lane.h"
#include "posthouse/prefer.h"
#include "posthouse/sm.h"
#include "posthouse/sse.h"
#include "renew.h"
#include "trace.h"

/* ---- turn_body.c: what a turn's body asks for ---- */
enum {
	PH_B_MODEL,
	PH_B_INPUT,
	PH_B_STREAM,
	PH_B_STORE,
	PH_B_PREVIOUS,
	PH_B_CONVERSATION,
	PH_B_BACKGROUND,
	PH_B_CACHE_KEY,
	PH_B_CACHE_OPTIONS,
	PH_B_GENERATE,
	PH_B_CLIENT_METADATA,
	PH_B_SERVICE_TIER,
	PH_B_MAX_OUTPUT_TOKENS,
	PH_B_METADATA,
	PH_B_CACHE_RETENTION,
	PH_B_SAFETY_IDENTIFIER,
	PH_B_TEMPERATURE,
	PH_B_TOP_P,
	PH_B_TRUNCATION,
	PH_B_USER,
	PH_B_TYPE,
	PH_B_STREAM_ID,
	PH_B_TOOLS,
	PH_B_INCLUDE,
	PH_B_NR,
};
extern const struct ph_str ph_turn_body_names[PH_B_NR];

struct ph_turn_body {
	struct ph_buf buf;        /* the client's bytes, taken over from the exchange */
	struct ph_json_member *m; /* PH_B_NR of them, within buf */
	char *own;           /* what is not within buf: the message that a string became, or what was kept */
	struct ph_str model; /* decoded; empty = none */
	struct ph_str previous; /* decoded and trimmed; empty = no anchor */
	struct ph_str
		compared; /* comparison_response_id: another response that the request names; empty = none */
	struct ph_str conversation; /* upstream's, that the turn is a part of; empty = none */
	struct ph_str items;        /* the inside of the input array; a string has become a user message */
	bool stream, store, background;
	bool generate;   /* false: a warm-up, which is to be continued but not to be answered */
	bool references; /* items hold item_references */
	bool carried;    /* items hold what an account may have made */
	bool named;      /* a member somewhere may hold ids of what an upstream keeps */
	bool dropped;    /* the items are gone: see ph_turn_body_shrink() */
	bool upstreams;  /* the conversation is: what it holds is not known here */
	bool frame;      /* it came as response.create: a stream, whatever it says of itself */
};
/* The one pass over the bytes in buf: they are a JSON object, its members are in m, and what its items are is
 * noted. On failure m is NULL. */
int ph_turn_body_scan(struct ph_turn_body *b, struct ph_err *err) PH_WARN_UNUSED;
/* Reads what the members say, behind a scan if there was none. Needs the arena of the turn for decoded text.
 */
int ph_turn_body_read(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err) PH_WARN_UNUSED;
/* No other account will get it: frees all but what the turn is recorded by, while the answer lasts. items:
 * keep them too. */
void ph_turn_body_shrink(struct ph_turn_body *b, bool items);
void ph_turn_body_free(struct ph_turn_body *b);

/* ---- turn_write.c: the same for an account ---- */
#define PH_OMIT_MAX 4

struct ph_body_plan {
	int64_t account;
	bool codex;          /* the terms of the Codex backend */
	bool socket;         /* written as response.create, for a WebSocket */
	bool anchor;         /* previous_response_id stays */
	struct ph_str items; /* the inside of an array, in place of the input; .p NULL: the client's own */
	const struct ph_str *omit; /* members that the account refused */
	size_t omit_count;         /* at most PH_OMIT_MAX */
	struct ph_str also;        /* a member that the client left out, as JSON; or empty */
};
/* 0 or -PH_E_CHAIN_TOO_LARGE: out is full. */
int ph_turn_body_write(
	const struct ph_turn_body *b, const struct ph_body_plan *plan, struct ph_buf *out) PH_WARN_UNUSED;

/* ---- ask.c: what a request asks for, where it is no ordinary turn ---- */
enum ph_ask_kind {
	PH_ASK_RESPONSE,
	PH_ASK_COMPACT,
	PH_ASK_TOKENS,
};
/* Takes what came as a turn's body for what was asked. */
int ph_ask_read(struct ph_request *r) PH_WARN_UNUSED;
int ph_ask_kinds(const struct ph_request *r); /* of accounts that can: bit set of 1 << kind; 0 = all */
/* 0, or the refusal where no account of the key is of such a kind. Negated. */
int ph_ask_possible(struct ph_request *r) PH_WARN_UNUSED;
const char *ph_ask_name(const struct ph_request *r);   /* for the log */
struct ph_str ph_ask_path(const struct ph_request *r); /* at the account, behind its base URL */
/* A compact call goes to the Codex backend as a turn that ends in a trigger. */
bool ph_ask_is_trigger(const struct ph_request *r);
void ph_ask_plan(const struct ph_request *r, struct ph_body_plan *plan);
int ph_ask_put_trigger(const struct ph_request *r, struct ph_buf *items) PH_WARN_UNUSED;
/* Whether what came is what was asked for: a compaction holds what it is for. */
bool ph_ask_answered(const struct ph_request *r);
/* The answer of a compact call, where it came as a turn's. */
void ph_ask_put_compaction(const struct ph_request *r, struct ph_buf *out);

/* ---- event.c: one event of an answer ---- */
enum {
	PH_EV_TYPE,
	PH_EV_NUMBER,
	PH_EV_RESPONSE,
	PH_EV_INDEX,
	PH_EV_ITEM,
	PH_EV_NR
};

enum ph_event_class {
	PH_EVENT_OTHER,
	PH_EVENT_CREATED,
	PH_EVENT_LIFECYCLE,
	PH_EVENT_ITEM_DONE,
	PH_EVENT_TELEMETRY, /* one account's; dropped */
	PH_EVENT_KEEPALIVE, /* upstream's own */
	PH_EVENT_COMPLETED,
	PH_EVENT_INCOMPLETE,
	PH_EVENT_FAILED,
	PH_EVENT_ERROR,
};

/* Slices are of the unit. */
struct ph_event {
	const struct ph_sse_unit *unit;
	enum ph_event_class class;
	struct ph_str name;                /* its type, as far as it holds no escapes */
	struct ph_json_member m[PH_EV_NR]; /* absent ones too where nothing is wanted of the event */
};
/* A message of a WebSocket is a unit that is all data. False: its data is no JSON object. */
bool ph_event_read(const struct ph_sse_unit *u, struct ph_event *e);

/* ---- relay.c: upstream's events to the client ---- */
enum ph_relay_phase {
	PH_RELAY_HELD,  /* lifecycle events are kept back, with the head */
	PH_RELAY_SHOWN, /* something of the answer was handed to the client */
	PH_RELAY_ENDED, /* the terminal event is kept back until the commit */
};

enum ph_terminal {
	PH_TERMINAL_NONE,
	PH_TERMINAL_COMPLETED,
	PH_TERMINAL_INCOMPLETE,
	PH_TERMINAL_FAILED,
	PH_TERMINAL_ERROR,
};

/* Owner: the turn. One per attempt; what was shown outlives it. */
struct ph_relay {
	struct ph_sse *sse; /* NULL where messages of a WebSocket come */
	bool open;          /* events are taken; false behind the last one that counts */
	bool raw;           /* SSE from end to end: bytes pass as they came */
	enum ph_relay_phase phase;
	struct ph_buf held;     /* lifecycle events, before anything is shown */
	struct ph_buf terminal; /* the terminal event as it will be shown */
	char *created;          /* the response object of response.created */
	size_t created_n;
	struct ph_str fed; /* the read that is being scanned */
	const char *run_p; /* consecutive units of this read that pass as they are */
	size_t run_n;
	int64_t shift;       /* between upstream's sequence numbers and those shown */
	int64_t next_number; /* that an event of ours would carry */
	bool saw_created;
	bool saw_event;
	bool heard;     /* an event was in this read */
	bool finishing; /* upstream ended: what comes is the last unit, without its blank line */
	bool gated;     /* nothing is shown before it is written whose the response is */
	bool due;       /* and then it is to be */
	enum ph_terminal ended;
};

/* ---- relay_put.c: events that the relay writes ---- */
/* How a client reads its events. */
struct ph_dress {
	enum ph_framing framing;
	struct ph_str stream_id; /* as JSON; empty = none */
};
/* A span of an event's JSON, and what stands there instead. */
struct ph_patch {
	size_t from, to;
	struct ph_str with;
};
struct ph_patch ph_patch_of(const struct ph_sse_unit *u, const struct ph_json_member *m, struct ph_str with);
/* The unit as it came, with spans of its JSON replaced, in their order. */
void ph_patch_put(struct ph_buf *out, const struct ph_sse_unit *u, const struct ph_patch *p, size_t n);
/* The same for a client with another framing than upstream's. */
void ph_patch_put_dressed(struct ph_buf *out, const struct ph_dress *d, const struct ph_event *e,
	const struct ph_patch *p, size_t n);
/* An event of ours: a JSON object of one line. */
void ph_put_event(struct ph_buf *out, const struct ph_dress *d, struct ph_str type, struct ph_str json);
/* response.failed with the response object that was shown in `created`. */
void ph_put_failed_event(struct ph_buf *out, const struct ph_dress *d, struct ph_str created, int64_t number);

/* ---- collect.c: what the turn produced ---- */
/* Owner: the turn. One per attempt. */
struct ph_collect {
	struct ph_str *items; /* of response.output_item.done, by output_index; copies */
	size_t item_count, item_cap;
	size_t bytes;
	struct ph_buf response;                  /* the terminal response object */
	struct ph_arena texts;                   /* what of these had to be decoded */
	struct ph_str id, status, output, model; /* within `response`, or joined in `joined` */
	struct ph_buf joined;                    /* items joined, where the terminal output was empty */
	struct ph_str output_value;              /* where the output stands in `response`; or none */
	struct ph_buf envelope;
	bool output_missing; /* the terminal event's output was absent or empty, and items came */
	uint64_t input_tokens, cached_tokens, output_tokens, reasoning_tokens;
};
#define PH_COLLECT_MAX (256u * 1024 * 1024)
void ph_collect_reset(struct ph_collect *c);
void ph_collect_item(struct ph_collect *c, struct ph_str index, struct ph_str item);
/* The terminal response object. False: it is no response. */
bool ph_collect_response(struct ph_collect *c, struct ph_str response);
/* A whole JSON answer, likewise; judged in the same pass. */
bool ph_collect_answer(struct ph_collect *c, struct ph_str answer);
/* The response object with `[]` for its output, so that the items can be put back where they stood. */
struct ph_str ph_collect_envelope(struct ph_collect *c);
/* The response object with the collected items as its output. */
void ph_collect_filled(const struct ph_collect *c, struct ph_str response, struct ph_buf *out);

/* ---- the turn ---- */
enum ph_request_state {
	REQ_AUTH,
	REQ_BODY,
	REQ_RESOLVE,
	REQ_LIMIT,
	REQ_LEASE,
	REQ_CONNECT,
	REQ_SEND,
	REQ_AWAIT,
	REQ_RELAY,
	REQ_COMMIT,
	REQ_REJECT,
	REQ_SETTLE,
	REQ_DONE,
	REQ_NR,
};

#define PH_STEERS_MAX 8

enum ph_continuity_mode {
	PH_MODE_NONE,
	PH_MODE_LIVE,
	PH_MODE_FORWARDED,
	PH_MODE_REPLAYED,
};

/* What one attempt learned; zeroed before the next (a successful retry must not report an old error). */
struct ph_attempt {
	struct ph_call *call; /* over HTTP */
	bool socket;          /* on the lane's WebSocket */
	bool reused;          /* which carried a turn before */
	int status;           /* HTTP, once the head came */
	bool chat;            /* of a chat, which the account answers itself: chat.h */
	bool events;          /* the answer is a stream of events */
	bool collected;       /* which the client gets as one object */
	bool refused;         /* the answer is an error: its body is collected */
	bool open;            /* sent, and its outcome not counted yet */
	bool had_anchor, had_reasoning;
	int64_t health_version;   /* of the account, when the attempt began */
	int64_t secret_version;   /* likewise */
	uint64_t after_ms;        /* that a refusal's head told */
	struct ph_buf headers;    /* of the answer, as the client may see them */
	struct ph_str turn_state; /* kind codex: its routing mark, as a Codex client sees it */
	bool turn_state_shown;    /* in an event */
	struct ph_buf body;       /* an error's body, or a whole answer */
	uint64_t sent_ns;
};

struct ph_request {
	struct ph_sm sm;
	struct ph_list node; /* in ph_gateway.requests */
	struct ph_gateway *g;
	struct ph_exchange *x; /* NULL once the client's end is finished or gone */
	struct ph_dress dress; /* how the client reads events */
	struct ph_lane *lane;  /* what this turn shares with those before and behind it; or NULL */
	struct ph_chat *chat;  /* it is a chat completion: chat.h; or NULL */
	struct ph_door door;
	struct ph_arena arena;
	enum ph_ask_kind ask;
	struct ph_turn_body body;
	uint8_t turn[16];
	char request_id[136];
	char trace_id[PH_TRACE_ID_N + 1]; /* the client's; empty = none */

	int err; /* negated; what went wrong last */
	struct ph_err fault;
	uint8_t left[PH_REMEDY_NR]; /* ways back that are not spent */
	bool client_gone;
	bool counted; /* among the running turns */

	/* RESOLVE */
	struct ph_chain_read *reading;
	struct ph_chain *chain;
	struct ph_items_read *finding;
	struct ph_item_id *ids; /* that the input names or carries; in the arena */
	size_t id_count;
	struct ph_found *found; /* what is known of them, or NULL */
	bool ids_known;
	bool looked_behind; /* compaction items: once */
	bool compared_known;
	struct ph_owner_ask *asking; /* of a background response, what became of it */
	bool asked_owner;
	enum ph_continuity_mode mode;
	bool denied;                /* an account denied its own id: never ask it again */
	bool owner_away;            /* the owner became busy or unusable: replay */
	bool live;                  /* the lane's socket can go on from the anchor */
	bool live_lost;             /* it could not after all */
	bool unknown;               /* the anchor is known upstream at best: forwarded once, never replayed */
	bool fold;                  /* the snapshot must hold the whole context */
	bool fold_read;             /* the chain was read whole although its account could go on by itself */
	int64_t bound_to;           /* the one account that can read an item of this turn; 0 = none */
	struct ph_owned_ids *owned; /* what the turn names of what upstreams keep; in the arena */
	struct ph_owned_find *owning;
	bool owned_known; /* bound_to is where it is kept */
	int64_t stay;     /* the account that a repaired request goes back to; 0 = any */

	/* LIMIT */
	struct ph_reservation *reserving;
	bool reserved;        /* its end is to be settled with the key's limits */
	uint8_t reserver[16]; /* this node, as the reservation has it */
	unsigned looks;       /* again, because of turns that run */

	/* LEASE */
	struct ph_choice choice;
	struct ph_account *account; /* taken: a running turn of it */
	int64_t account_id;         /* the last one taken, for the log */
	const char *chosen;         /* why this account, in one word (sql/README.md) */
	struct ph_account_wait wait;
	uint64_t queued_since_ns, queued_ns; /* waiting for a slot; in all */
	struct ph_prefer_wait preference;
	size_t asked;    /* about its preference, so far: once more for each account that was tried */
	bool prefers;    /* choice.preferred is its answer */
	int64_t home;    /* where the conversation was, as far as is known; 0 = nowhere */
	unsigned rounds; /* times the whole pool was tried */
	bool paused;     /* the client is slower than upstream: reading stopped */
	bool resting;    /* waits before the next round */
	struct ph_renew_wait renewal;
	int64_t expired;   /* version of the secret that was refused: its renewal is waited for; 0 = none */
	bool failed;       /* an account failed, and not for a limit */
	uint64_t after_ms; /* the earliest end of a block */

	/* CONNECT to RELAY */
	struct ph_buf words; /* what upstream last refused the request with, and its status */
	int words_status;
	struct ph_attempt attempt;
	struct ph_relay relay;
	struct ph_collect collect;
	unsigned attempts;
	bool strip;          /* send without ciphertext */
	struct ph_str *omit; /* members that the account refused; in the arena */
	size_t omit_count;
	bool fresh; /* on a new connection */
	bool shown; /* something of the answer was handed to the client */
	bool head_sent;

	struct ph_timer timer; /* the state's deadline */
	struct ph_timer hold;  /* HOLD_TIMEOUT, then KEEPALIVE_INTERVAL */
	uint64_t started_ns, body_ns, first_event_ns, terminal_ns;
	uint64_t bytes_in, bytes_out;
	struct ph_str *steers; /* sent on, and not answered yet; in the arena */
	size_t steer_count;
	struct ph_buf steered;      /* the items of those that were accepted */
	struct ph_buf stored_items; /* the input with references resolved, for the snapshot */
	int pending_commit;         /* callbacks that the writer still owes */
	bool released;              /* COMMIT is over for the client */
	bool answered_here;         /* a warm-up that no upstream took */
	const char *outcome;
	int http_status;
};

/* request.c */
void ph_request_event(struct ph_request *r, int result); /* the only door: 1 = done, negative = failed */
/* The writer has answered one of the turn's writes. False: the turn is over, and gone. */
bool ph_request_owed(struct ph_request *r);
const char *ph_request_mode(const struct ph_request *r);
bool ph_request_cut(struct ph_request *r); /* ends it now; false: it was ending anyway */

/* request_end.c: the last states */
int ph_request_commit(struct ph_request *r);
int ph_request_reject(struct ph_request *r);
int ph_request_settle(struct ph_request *r);
void ph_request_release(struct ph_request *r); /* the client gets the end of its answer; may be repeated */

/* resolve.c */
int ph_resolve_start_turn(struct ph_request *r);
void ph_resolve_go_on(struct ph_request *r); /* one look-up is over: the next, or the machine */
void ph_resolve_again(struct ph_request *r); /* its timer: an id that nobody knew is looked for once more */
void ph_resolve_cancel_turn(struct ph_request *r);

/* owned_turn.c: what a turn names that one account keeps: a conversation, files, containers ... */
int ph_turn_owned(
	struct ph_request *r); /* 1: bound_to is set, if it names any; 0: waits; or a negative code */
void ph_turn_owned_cancel(struct ph_request *r);
void ph_turn_own(struct ph_request *r); /* remembers what its answer hands out; before the commit */
void ph_turn_own_chat(struct ph_request *r);

/* warmup.c: a turn that asks for no answer; its end, as upstream would have told it */
bool ph_warmup_is_ours(const struct ph_request *r); /* to answer, as things stand */
/* Its account takes none: the error that has it answered here, or, where that is no use, told. Negated. */
int ph_warmup_needs_socket(struct ph_request *r);
void ph_warmup_start(struct ph_request *r);
void ph_warmup_release(struct ph_request *r);

/* limit.c: what the key may use */
int ph_limit_start(struct ph_request *r);
void ph_limit_again(struct ph_request *r);  /* its timer */
void ph_limit_cancel(struct ph_request *r); /* may be repeated; what was asked for is given back */

/* lease.c */
int ph_lease_start(struct ph_request *r);
int ph_lease_late(struct ph_request *r); /* what was waited for did not come in time */
/* Whether the account could serve this turn, if it has a slot. */
bool ph_lease_eligible(const struct ph_request *r, const struct ph_account *a);
uint64_t ph_lease_returns_ms(
	const struct ph_request *r, const struct ph_account *a); /* end of its block, or 0 */
void ph_lease_cancel(struct ph_request *r);
void ph_lease_release(struct ph_request *r);
void ph_lease_failed(
	struct ph_request *r); /* the account failed this turn: not again, unless the pool is small */

/* prefer.c: the account that the conversation stays on */
bool ph_prefer_start(struct ph_request *r);         /* false: it waits, and goes on in LEASE */
void ph_prefer_answered(void *arg);                 /* of struct ph_request */
int64_t ph_prefer_home(const struct ph_request *r); /* where it was before this turn, or 0 */
/* live, owner, bound, preferred, chosen, moved: sql/README.md. As it is about to go there. */
const char *ph_prefer_why(const struct ph_request *r, const struct ph_account *a);

/* attempt.c */
#define PH_REFUSE_MAX (1024 * 1024) /* of an error's body; the rest is ignored */
int ph_attempt_start(struct ph_request *r);
/* The account has no WebSocket after all, or it cannot take the request: the same attempt over HTTP. */
int ph_attempt_without_socket(struct ph_request *r);
void ph_attempt_pause(struct ph_request *r); /* the client is slower than upstream */
void ph_attempt_resume(struct ph_request *r);
uint64_t ph_attempt_idle_ms(const struct ph_request *r); /* since a byte moved, either way */
void ph_attempt_drop(struct ph_request *r);   /* ends what runs upstream, without another word of it */
void ph_attempt_end(struct ph_request *r);    /* drops what is left of the attempt; may be repeated */
void ph_attempt_finish(struct ph_request *r); /* the answer is whole: the connection may live on */
/* Classified, negated; what it says of the account is told to the registry. */
int ph_attempt_failure(struct ph_request *r, struct ph_str body, int status);
int ph_attempt_ended_early(struct ph_request *r); /* without a terminal event; negated */
/* An answer can overtake the end of its request: what was waited for has happened. */
void ph_attempt_catch_up(struct ph_request *r);

/* turn_state.c */
/* True: ret is what that account issued. */
bool ph_turn_state_of(struct ph_str seen, int64_t account, struct ph_str *ret);
void ph_turn_state_note(struct ph_request *r, struct ph_str issued); /* of the attempt's head; may be empty */
void ph_turn_state_hear(struct ph_request *r, struct ph_str json);   /* of response.metadata */
/* For a client on a WebSocket that was not told yet; else nothing. */
void ph_turn_state_put_event(struct ph_request *r, struct ph_buf *out);

/* steer.c */
/* A client's response.steer. NULL: it went to the account; else the error's code. */
const char *ph_request_steer(struct ph_request *r, struct ph_str json);
struct ph_str ph_steer_running_id(const struct ph_request *r); /* that the client was shown; as JSON */
/* Notes what an event says of a steer. True: it refuses the steer of these words, and is nothing else. */
bool ph_steer_answered(struct ph_request *r, const struct ph_event *e, struct ph_str *refused);
/* response.steer.failed. input and previous as JSON, or empty. */
void ph_steer_put_failed(struct ph_buf *out, const struct ph_dress *d, struct ph_str input,
	struct ph_str previous, const char *code);
/* The answer is whole: if the account goes on by itself, the lane's next turn is that. */
void ph_steer_plan_successor(struct ph_request *r);

/* attempt_http.c and attempt_socket.c; body is taken over, head is for their header lines */
void ph_attempt_start_http(struct ph_request *r, struct ph_buf *head, struct ph_buf *body, bool moved);
void ph_attempt_start_socket(struct ph_request *r, struct ph_buf *head, struct ph_buf *body, bool moved);
void ph_attempt_read_socket(struct ph_request *r, bool on);
uint64_t ph_attempt_progress_socket(const struct ph_request *r);
void ph_attempt_drop_socket(struct ph_request *r);
void ph_attempt_finish_socket(struct ph_request *r);

/* relay.c, relay_show.c, relay_end.c */
void ph_relay_open(struct ph_request *r, bool messages); /* of a WebSocket, or bytes of a stream */
void ph_relay_close(struct ph_request *r);
int ph_relay_feed(struct ph_request *r, struct ph_str bytes) PH_WARN_UNUSED;
int ph_relay_message(struct ph_request *r, struct ph_str json) PH_WARN_UNUSED;
void ph_relay_finish_feed(struct ph_request *r); /* upstream ended: a last unit without its blank line */
void ph_relay_release(struct ph_request *r);     /* the terminal event and [DONE] */
void ph_relay_fail(struct ph_request *r);        /* a well-formed end for a broken answer */
void ph_relay_timer(void *arg);
/* A stream of another kind, whose units somebody else reads. Each is the start of the answer, hence begun,
 * and then held like a lifecycle event, shown with all that is held, or put behind the terminal ones. */
void ph_relay_open_with(
	struct ph_request *r, void (*on_foreign)(void *owner, const struct ph_sse_unit *unit));
void ph_relay_begin(struct ph_request *r);
void ph_relay_hold(struct ph_request *r, struct ph_str raw);
void ph_relay_show(struct ph_request *r, struct ph_str raw);
void ph_relay_end(struct ph_request *r);                       /* it is whole */
void ph_relay_fault(struct ph_request *r, struct ph_str json); /* upstream says that it failed */
void ph_relay_break(struct ph_request *r, const char *why);    /* it cannot be understood */

/* record.c */
/* The lane, if there is one, remembers what it commits. */
void ph_record_commit(struct ph_request *r, bool keep, void (*cb)(void *arg, int status));
bool ph_record_keeps(const struct ph_request *r); /* policy: is a finished turn kept? */
/* A background turn: whose it is, and what it continues. */
void ph_record_begin(struct ph_request *r, struct ph_str id, void (*cb)(void *arg, int status));
void ph_record_log(struct ph_request *r);

/* ---- observe.c: its share of the metrics, once ---- */
void ph_observe_turn(const struct ph_request *r);

#endif
