/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake upstream: several accounts in one process, each knowing only what it was told. README.md is the
 * manual for those who write tests with it; this header is the map for those who change it.
 *
 *     server.c    listeners, connections, requests in order
 *     exchange.c  one request: whose account it is, what is scripted for it, who answers
 *     turn.h      POST /responses: how a turn is read, refused, answered and kept; socket.h  the same on
 * WebSocket chat.c      chat completions, as turns
 *     context.c   the conversation as the account sees it: entries, their hash, what is foreign or
 * unpaired rest.c      every other endpoint;  control.c  /_fake/... canned.c    answers made once, for
 * benchmarks answer.c    heads and framing;  play.c  pace, slices, back-pressure, the way a connection ends
 *     background.c  responses that run by themselves;  compact.c  compaction, and the count of tokens
 *     account.c   the accounts;  store.c  what platform accounts keep;  record.c  what was received
 *     script.c    what a test ordered;  walk.c  members of JSON objects
 *
 * An answer is made in whole before its first byte leaves: payload and steps, then head and framing around
 * them. So play.c alone knows time, and whatever a script orders is one of: other bytes, a wait between two
 * steps, an ending.
 */
#ifndef FAKE_H
#define FAKE_H

#include "posthouse/arena.h"
#include "posthouse/buf.h"
#include "posthouse/http1.h"
#include "posthouse/json.h"
#include "posthouse/list.h"
#include "posthouse/loop.h"
#include "posthouse/stream.h"

#define FAKE_BODY_MAX    ((size_t)128 << 20)
#define FAKE_ANSWER_MAX  ((size_t)512 << 20)
#define FAKE_PENDING_MAX ((size_t)1 << 20) /* pipelined bytes that wait for their turn */
#define FAKE_ECHO_MAX    1024              /* bytes of the last user text that an answer repeats */
#define FAKE_NAME_MAX    32
#define FAKE_ID_MAX      128
#define FAKE_TAG_MAX     80 /* name, run, number */

struct fake_server;
struct fake_conn;
struct fake_exchange;
struct fake_turn;
struct fake_lane;
struct fake_socket;

/* ---- accounts ---- */

enum fake_kind {
	FAKE_PLATFORM,
	FAKE_CODEX,
	FAKE_STATELESS
};

/* What an account found wrong in what it was sent. X(name, label, foreign): foreign = it belongs to another
 * account. */
#define FAKE_FINDINGS(X)                                                                                     \
	X(FOREIGN_RESPONSE, "foreign_response", true)                                                        \
	X(FOREIGN_CIPHERTEXT, "foreign_ciphertext", true)                                                    \
	X(FOREIGN_FILE, "foreign_file", true)                                                                \
	X(FOREIGN_ITEM, "foreign_item", true) /* a bare reasoning item or a reference */                     \
	X(FOREIGN_ID, "foreign_id", true)     /* an id on any other item: counted, not refused */            \
	X(FOREIGN_TURN_STATE, "foreign_turn_state", true) /* counted, not refused */                         \
	X(UNKNOWN_RESPONSE, "unknown_response", false)                                                       \
	X(UNKNOWN_CIPHERTEXT, "unknown_ciphertext", false)                                                   \
	X(UNKNOWN_FILE, "unknown_file", false)                                                               \
	X(UNKNOWN_ITEM, "unknown_item", false)                                                               \
	X(TOOL_PAIR, "tool_pair", false)                                                                     \
	X(REASONING_PAIR, "reasoning_pair", false)                                                           \
	X(PARAMETER, "parameter", false)                                                                     \
	X(MODEL, "model", false)                                                                             \
	X(JSON, "json", false)                                                                               \
	X(FRAME, "frame", false)       /* of a socket: no type, an unknown one, a bad or superfluous lane */ \
	X(PROTOCOL, "protocol", false) /* of a socket: what RFC 6455 forbids */

enum fake_finding {
#define X(name, label, foreign) FAKE_##name,
	FAKE_FINDINGS(X)
#undef X
	FAKE_FINDINGS_NR,
};

enum fake_mode {
	FAKE_UP,
	FAKE_DOWN,
	FAKE_LIMITED,
	FAKE_QUOTA,
	FAKE_OVERLOADED,
	FAKE_REVOKED,
	FAKE_DEACTIVATED,
	FAKE_REFUSE,
	FAKE_SILENT,
	FAKE_MODES_NR,
};
extern const char *const fake_mode_words[];

#define FAKE_CODES_MAX 32

struct fake_listener;

/* Owner: the server, from start to end. */
struct fake_token {
	char access[512];
	double expires_ms;
};

/* Of an account whose tokens expire. */
struct fake_login {
	uint64_t lives_s; /* each access token; 0 = it has no login */
	struct fake_token now, before;
	char refresh[64]; /* the only one that works */
	uint64_t issued, renewed, reused;
	bool revoked;
	/* One that a person is about to make. */
	struct {
		char code[64]; /* works once; "" = none */
		char challenge[64], redirect[512];
		char user_code[16], device_id[64]; /* "" = none was asked for */
		char verifier[64];                 /* of the device's code */
		uint64_t begun;
	} coming;
};

struct fake_account {
	struct ph_list node;
	struct fake_server *server;
	char name[FAKE_NAME_MAX + 1];
	enum fake_kind kind;
	char key[256];                  /* "" = takes anybody */
	struct fake_listener *listener; /* a port of its own, or NULL */
	enum fake_mode mode;
	uint64_t retry_after;      /* seconds that LIMITED and QUOTA tell */
	struct ph_list scripts;    /* ordered for coming requests, oldest first */
	struct fake_do *standing;  /* for all others, or NULL */
	struct fake_do *upgrading; /* likewise, for upgrades */
	struct fake_do *granting;  /* likewise, for its token URL */
	struct fake_do *polling;   /* likewise, for its usage endpoint */
	struct fake_do *listing;   /* likewise, for its list of models */
	struct fake_login login;
	char **models; /* the only ones it serves, or NULL */
	bool no_chat;  /* it has no chat completions */
	size_t model_count;
	uint64_t last_id; /* counts whatever ids it minted */
	uint64_t requests, turns, running, max_running, completed, cancelled, faulted, connections;
	uint64_t found[FAKE_FINDINGS_NR];
	size_t stored;                            /* responses that it keeps */
	double cancelled_at;                      /* when a peer last left early, or 0 */
	uint64_t upgrades, warmups, pings, pongs; /* the last two: received */
	size_t sockets;                           /* open */
	struct {
		uint16_t code;
		uint64_t count;
	} left[FAKE_CODES_MAX]; /* with which codes peers closed */
};

struct fake_account *fake_account_add(struct fake_server *s, struct ph_str spec, struct ph_err *err);
void fake_accounts_free(struct fake_server *s);
struct fake_account *fake_account_named(struct fake_server *s, struct ph_str name);
/* By bearer key, else the one account that has no key, else NULL. */
struct fake_account *fake_account_by_key(struct fake_server *s, struct ph_str authorization);
bool fake_account_opens(const struct fake_account *a, struct ph_str authorization);
/* The account that minted an id of ours ("rs_NAME_..", "file-NAME-..", "enc:NAME:.."), or NULL. */
struct fake_account *fake_account_of_id(struct fake_server *s, struct ph_str id);
bool fake_account_serves(const struct fake_account *a, struct ph_str model);
void fake_account_set_models(struct fake_account *a, struct ph_str array);
/* A new number of the account as text that its ids share: "NAME_<run><8 hex digits>". */
void fake_account_mint(struct fake_account *a, char *dst, size_t size);
void fake_account_reset(struct fake_account *a); /* counters, mode, scripts */
const char *fake_kind_word(enum fake_kind kind);
const char *fake_finding_word(enum fake_finding f);
bool fake_finding_foreign(enum fake_finding f);
double fake_now_ms(void); /* CLOCK_MONOTONIC, as Python's time.monotonic() * 1000 */

/* ---- logins ---- */

/* A new one, whose access tokens live so long; 0: none. */
void fake_login_start(struct fake_account *a, uint64_t lives_s);
void fake_login_expire(struct fake_account *a); /* all access tokens, now */
/* The code of the 401, or NULL. */
const char *fake_login_refuses(const struct fake_account *a, struct ph_str authorization);
void fake_login_put(const struct fake_account *a, struct ph_buf *b); /* as JSON */
/* Its issuer: the token URL, and what a person's login needs. False: no such path. */
bool fake_login_serve(struct fake_exchange *x);
void fake_usage_start(struct fake_exchange *x); /* GET /backend-api/wham/usage */

/* ---- JSON objects (validated before) ---- */

/* The next member; offset starts at 0. name is without quotes, escapes undecoded. */
bool fake_member_next(struct ph_str object, size_t *offset, struct ph_str *name, struct ph_str *value);
/* Where the value that begins at `at` ends, or 0 if it does not end in text. Needs no validation. */
size_t fake_value_end(struct ph_str text, size_t at);
/* Appends JSON bytes as one line: line ends between tokens become spaces. */
void fake_put_line(struct ph_buf *b, struct ph_str json);
/* "..." with escapes; null where s.p is NULL. */
void fake_put_string(struct ph_buf *b, struct ph_str s);

/* ---- scripts ---- */

enum fake_point {
	FAKE_AT_NONE,
	FAKE_AT_HEAD,
	FAKE_AT_OPEN,
	FAKE_AT_CREATED,
	FAKE_AT_ADDED,
	FAKE_AT_ITEM,
	FAKE_AT_ITEM_DONE,
	FAKE_AT_OUTPUT,
	FAKE_AT_CUT,
	FAKE_AT_TERMINAL,
	FAKE_AT_BODY
};
enum fake_fault {
	FAKE_NO_FAULT,
	FAKE_END,
	FAKE_EOF,
	FAKE_RESET,
	FAKE_SILENCE,
	FAKE_SHUT, /* "close" */
	FAKE_FAILED,
	FAKE_FAILED_BARE,
	FAKE_INCOMPLETE,
	FAKE_ERROR,
	FAKE_ERROR_NESTED,
	FAKE_ERROR_WRAPPED
};
enum fake_framing {
	FAKE_FRAMING_DEFAULT,
	FAKE_CHUNKED,
	FAKE_LENGTH,
	FAKE_UNTIL_EOF
};
enum fake_output {
	FAKE_OUTPUT_DEFAULT,
	FAKE_OUTPUT_FULL,
	FAKE_OUTPUT_EMPTY,
	FAKE_OUTPUT_NULL,
	FAKE_OUTPUT_ABSENT
};
enum fake_shape {
	FAKE_SHAPE_DEFAULT,
	FAKE_WRAPPED,
	FAKE_FLAT,
	FAKE_ALIAS,
	FAKE_TYPED,
	FAKE_UNTYPED,
	FAKE_BARE
};
enum fake_steer {
	FAKE_STEER_DEFAULT,
	FAKE_STEER_ACCEPTED,
	FAKE_STEER_FAILED,
	FAKE_STEER_UNSUPPORTED
};
enum fake_line_end {
	FAKE_LF,
	FAKE_CRLF,
	FAKE_CR
};

/* Numbers are FAKE_UNSET, texts and raws PH_STR_NONE, enums 0 where the script says nothing. README.md
 * explains each. */
#define FAKE_UNSET INT64_MIN

/* Owner: whoever holds a reference; slices point into its arena. */
struct fake_do {
	struct ph_list node; /* in an account's queue */
	int refs;
	int64_t count; /* requests that it is still for */
	bool any;      /* of every kind, not turns alone */
	bool upgrade;  /* upgrades alone */
	struct ph_arena arena;
	/* what is answered */
	int64_t status, retry_after, html, close, first_delay_ms;
	struct ph_str body, headers, informational, raw, content_type;
	int64_t framing, slice, slice_delay_ms;
	/* error texts of status answers and of events */
	struct ph_str code, message, type, param, reason, error;
	/* the turn's content */
	struct ph_str text, id, items, calls, usage;
	int64_t text_bytes, reasoning, say, odd, deltas, delta_bytes, delay_ms, stamp, obfuscation;
	int64_t output, sequence, queued, work_ms;
	struct ph_str before, events, after, skip;
	/* the stream's look */
	int64_t done, line_end, comments, pretty, no_event, bom;
	/* the fault */
	int64_t at, at_event, fault, for_ms, then;
	/* sockets */
	int64_t shape, error_status, fragment, pings, deaf, max_turns, steer, close_code;
	struct ph_str close_reason;
	/* benchmarks: canned.c */
	int64_t canned;
	struct fake_canned *cans[3]; /* JSON, stream, socket */
	/* markers only */
	struct ph_str on;
	int64_t times;
};

/* NULL with err filled on an unknown member, a wrong type or word: a typing error in a test must not pass for
 * a fault that did not happen. */
struct fake_do *fake_do_parse(struct ph_str json, struct ph_err *err);
struct fake_do *fake_do_ref(struct fake_do *d);
struct fake_do *fake_do_unref(struct fake_do *d); /* returns NULL; NULL is allowed */
/* What is ordered for this request: a marker in its text, the account's queue, its standing script. A
 * reference or NULL. -PH_E_PARAM_BAD for a marker that cannot be read. */
enum fake_for {
	FAKE_FOR_TURN,
	FAKE_FOR_UPGRADE,
	FAKE_FOR_OTHER
};
int fake_do_choose(struct fake_exchange *x, struct ph_str user_text, enum fake_for what, struct fake_do **ret,
	struct ph_err *err);
/* The number, or other where the script is NULL or says nothing: fake_do_int(d, d ? d->deltas : 0, 4) reads
 * badly, so members are named. */
#define FAKE_DO(d, member, other) ((d) && (d)->member != FAKE_UNSET ? (d)->member : (int64_t)(other))

struct fake_times {
	uint64_t hash;
	int64_t left;
};
#define FAKE_TIMES 4096

/* ---- what platform accounts keep ---- */

/* Owner: the store. */
struct fake_stored {
	struct ph_list by_age, in_bucket;
	struct fake_account *account;
	char id[FAKE_ID_MAX];
	char parent[FAKE_ID_MAX]; /* "" = none */
	struct ph_buf input;      /* this turn's own, elements of an array without brackets */
	struct ph_buf output;     /* likewise */
	struct ph_buf object;     /* the response object */
	uint64_t count, bytes;    /* of the context behind this turn */
	uint8_t hash[32];
	char last_user[FAKE_ECHO_MAX + 1];
	size_t last_user_n;
	/* of one that runs in the background */
	bool background, streamed;
	bool dead;             /* failed or cancelled: no anchor */
	double ready_ms;       /* when it has finished */
	struct ph_buf running; /* the response object until then */
	struct ph_buf events;  /* its stream */
};

/* Whether it can be continued, or read as finished. */
bool fake_stored_ready(const struct fake_stored *r);

#define FAKE_BUCKETS 65536
struct fake_store {
	struct ph_list by_age;
	struct ph_list *buckets;
	size_t count, max_count, bytes, max_bytes;
};

void fake_store_init(struct fake_store *t, size_t max_count, size_t max_bytes);
void fake_store_deinit(struct fake_store *t);
struct fake_stored *fake_store_add(
	struct fake_store *t, struct fake_account *a, struct ph_str id); /* replaces one of that id */
void fake_store_added(struct fake_store *t,
	struct fake_stored *r); /* its buffers are filled: drops the oldest past the bounds */
/* The account's own, or NULL. */
struct fake_stored *fake_store_get(struct fake_store *t, const struct fake_account *a, struct ph_str id);
void fake_store_drop(struct fake_store *t, struct fake_stored *r);
/* One outside the store: what a socket remembers. */
struct fake_stored *fake_stored_new(struct fake_account *a, struct ph_str id);
struct fake_stored *fake_stored_free(struct fake_stored *r); /* returns NULL; NULL is allowed */
/* An item that the account keeps, by its id: one of an answer, or "<prefix>_NAME_<number>_i<k>" of an input.
 */
bool fake_store_item(
	struct fake_store *t, const struct fake_account *a, struct ph_str item_id, struct ph_str *ret);

/* ---- the conversation that an account sees ---- */

struct fake_refusal {
	bool set;
	int status;
	bool detail; /* {"detail":"message"} instead of the envelope */
	const char *code;
	const char *param;
	char message[400];
};

struct fake_call {
	struct ph_str id;
	struct ph_str type;
};

struct fake_context {
	struct fake_account *account;
	struct ph_arena *arena;
	bool own;       /* what follows was made here: take it without questions */
	uint64_t count; /* entries */
	uint64_t bytes;
	uint8_t hash[32];
	struct ph_str last_user; /* at most FAKE_ECHO_MAX bytes */
	struct ph_str user_text; /* the whole last user text if nothing of the model or a tool stands behind
				    it, else empty */
	struct fake_call *calls; /* unanswered */
	size_t call_count, call_max;
	struct ph_str reasoning; /* id of the reasoning item just before, or empty */
	bool after_reasoning;
	struct ph_buf scratch;
	struct ph_buf *list;         /* entries as JSON strings, or NULL */
	struct fake_refusal refusal; /* the first */
};

void fake_context_init(struct fake_context *c, struct fake_account *a, struct ph_arena *arena);
void fake_context_deinit(struct fake_context *c);
void fake_context_resume(struct fake_context *c, const struct fake_stored *parent);
void fake_context_input(struct fake_context *c, struct ph_str input);    /* a string, an array, or nothing */
void fake_context_items(struct fake_context *c, struct ph_str elements); /* without brackets */
void fake_context_finish(struct fake_context *c); /* the end of the input: calls must be answered */
/* Counts what was found; with a message, also refuses (the first refusal stands). */
void fake_found(struct fake_context *c, enum fake_finding f);
void fake_refuse(struct fake_context *c, enum fake_finding f, int status, const char *code, const char *param,
	const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* ---- sending ---- */

enum fake_ending {
	FAKE_KEEP,   /* complete; the connection lives on */
	FAKE_CLOSE,  /* complete; FIN after it */
	FAKE_CUT,    /* FIN in the middle */
	FAKE_ABORT,  /* RST */
	FAKE_HOLD,   /* nothing more, until the peer leaves */
	FAKE_SWITCH, /* complete; what follows is a WebSocket's */
};

enum fake_wait {
	FAKE_WAITS_NOT,
	FAKE_WAITS_DRAIN, /* for the peer to read */
	FAKE_WAITS_DELAY, /* before a step */
	FAKE_WAITS_SLICE, /* between two slices */
	FAKE_WAITS_FLUSH, /* for the last bytes before an abort */
	FAKE_WAITS_TICK,  /* for the next turn of the loop */
	FAKE_WAITS_VOICE, /* for the end of another lane's message */
};

/* How far the turn's stream is. */
struct fake_progress {
	size_t items;    /* finished */
	uint64_t number; /* the next sequence_number */
};

struct fake_step {
	size_t end;                    /* of its bytes, in the payload and later in the wire form */
	uint64_t delay_ms;             /* before its bytes */
	size_t stamp;                  /* where 20 digits of nanoseconds are written as it leaves, or 0 */
	size_t made;                   /* its end in the payload, for ever */
	size_t lacks;                  /* bytes that its frame announces and that never come */
	struct fake_progress progress; /* behind it */
};

/* Owner: its exchange; memory is kept from one to the next. */
struct fake_play {
	struct ph_buf payload; /* the body without framing */
	struct ph_buf wire;
	struct fake_step *steps;
	size_t step_count, step_max, step;
	struct fake_progress progress;
	size_t terminal; /* the number of steps up to the terminal event, or 0 */
	size_t sent;
	bool waited; /* the delay of this step is over */
	enum fake_wait waits;
	enum fake_ending ending;
	struct ph_timer timer;
	struct ph_list tick; /* in server->ticking: goes on in the next turn of the loop */
};

void fake_play_init(struct fake_exchange *x);
void fake_play_deinit(struct fake_exchange *x);
void fake_play_reset(struct fake_exchange *x);
/* All payload since the last mark is one step. */
void fake_play_mark(struct fake_exchange *x, uint64_t delay_ms, size_t stamp);
void fake_play_start(
	struct fake_exchange *x); /* wire, steps and ending are ready; may end the exchange at once */
void fake_play_run(struct fake_exchange *x); /* goes on: drained, timer, tick */
void fake_play_tick(struct fake_server *s);  /* the turn of the loop that somebody waited for */

/* Head and framing around payload and steps, then fake_play_start(). The script's content type stands above
 * content_type. */
void fake_answer(struct fake_exchange *x, int status, const char *content_type, enum fake_framing framing);
void fake_answer_json(struct fake_exchange *x, int status, struct ph_str json);
void fake_answer_error(struct fake_exchange *x, int status, const char *type, const char *code,
	const char *param, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void fake_answer_refusal(struct fake_exchange *x, const struct fake_refusal *r);
void fake_answer_scripted(struct fake_exchange *x);                   /* status, body, raw of x->todo */
void fake_answer_scripted_error(struct fake_exchange *x, int status); /* the script's code and message */
/* The payload as a whole body, or broken in it as the script says. */
void fake_answer_plain(struct fake_exchange *x, int status, const char *content_type);
void fake_answer_nothing(struct fake_exchange *x, enum fake_ending ending);
/* 101 before whatever of the wire is ready. */
void fake_answer_switch(struct fake_exchange *x, struct ph_str accept);
/* Members of an object, each with a comma before it: the headers of an error that is told in a frame. */
void fake_put_error_headers(struct fake_exchange *x, struct ph_buf *b);
/* {"error":{..}} in the script's words. */
void fake_put_error(struct fake_do *d, struct ph_buf *b, int status);

/* ---- exchanges ---- */

/* A turn that is a chat completion. */
struct fake_chat {
	bool on, usage, store;
	uint64_t choices;
	struct ph_str metadata; /* JSON, or empty */
};

/* One request and its answer. Owner: its connection, one after the other; or the lane of a socket. */
struct fake_exchange {
	struct fake_server *server;
	struct fake_conn *conn;
	const struct ph_head *head;
	struct ph_str path; /* behind "/a/NAME" */
	struct ph_str query;
	struct ph_str body;  /* decoded */
	struct ph_buf plain; /* where a compressed body was decoded to */
	struct ph_arena arena;
	struct fake_account *account; /* NULL: control, or nobody's */
	struct fake_do *todo;
	struct fake_record *record;
	bool turn; /* counts as running */
	struct fake_chat chat;
	enum fake_kind_of_turn {
		FAKE_RESPONSE,
		FAKE_COMPACT,
		FAKE_TOKENS
	} asked;
	bool faulted;             /* mode or script made it fail */
	bool by_path;             /* the account was named by the path */
	char tag[FAKE_TAG_MAX];   /* of the turn, where its answer is to be kept; else empty */
	char stored[FAKE_ID_MAX]; /* response to forget again if the peer leaves early */
	struct fake_lane *lane;   /* of a socket, or NULL: HTTP */
	struct fake_stored *kept; /* what the lane remembers once the turn has ended */
	char anchor[FAKE_ID_MAX]; /* the response that the turn continues */
	bool refused;             /* it was answered with an error status */
	bool successor;           /* a steered response follows it without having been asked for */
	struct fake_turn *steerable;
	struct ph_buf next; /* the create of its successor */
	struct fake_play play;
};

void fake_exchange_start(struct fake_exchange *x, struct fake_account *of_port);
/* The end, however it came. */
void fake_exchange_end(struct fake_exchange *x, bool cancelled);
/* The turn of a create frame, which stands in the connection's body. */
void fake_exchange_create(struct fake_exchange *x);
void fake_turn_start(struct fake_exchange *x);
/* A chat's body becomes that of a turn. */
void fake_chat_read(struct fake_exchange *x);
struct fake_turn *fake_turn_free(struct fake_turn *t); /* returns NULL; NULL is allowed */
/* background.c: GET of one that runs, its stream, and its end by order */
void fake_background_get(struct fake_exchange *x, struct fake_stored *r);
void fake_background_stream(struct fake_exchange *x, struct fake_stored *r);
void fake_background_cancel(struct fake_exchange *x, struct fake_stored *r);
void fake_upgrade_start(struct fake_exchange *x);
void fake_rest_start(struct fake_exchange *x);
/* resource.c: what platform accounts keep besides responses. False: it is no such path. */
bool fake_resource_answer(struct fake_exchange *x);
struct fake_resource;
struct fake_resource *fake_conversation(struct fake_exchange *x, struct ph_str id);
/* Its items, joined; and more of them. */
void fake_conversation_put(
	struct fake_exchange *x, const struct fake_resource *conversation, struct ph_buf *items);
void fake_conversation_add(struct fake_resource *conversation, struct ph_str items);
void fake_resources_free(struct fake_server *s);
void fake_chat_keep(struct fake_exchange *x, const char *id, struct ph_str members);
void fake_control_start(struct fake_exchange *x);
/* The part of path behind prefix, or false. */
bool fake_path_under(struct ph_str path, struct ph_str prefix, struct ph_str *rest);
/* Whether mode or script answered instead of the endpoint. */
bool fake_exchange_overridden(struct fake_exchange *x);

/* Benchmarks: the answer that is about to leave is kept for later turns; a kept one is sent, or false. */
void fake_canned_keep(struct fake_exchange *x);
bool fake_canned_answer(struct fake_exchange *x);
struct fake_canned *fake_canned_free(struct fake_canned *c); /* returns NULL; NULL is allowed */

/* ---- what was received ---- */

/* Owner: the record log. */
struct fake_record {
	struct ph_list node;
	uint64_t number, conn;
	char account[FAKE_NAME_MAX + 1];
	struct ph_buf head; /* JSON: "method":..,"path":..,"headers":[[..]] */
	struct ph_buf body;
	struct ph_buf answer;
	struct ph_buf seen; /* JSON: what context.c made of it */
	int status;
	double arrived, started, ended; /* arrived: the head; started: the whole request */
	double left;                    /* the peer went before the end; 0 = it did not */
	size_t bytes;
	bool open; /* its exchange runs */
	bool socket, successor;
};
struct fake_log {
	struct ph_list records;
	bool on;
	uint64_t last; /* the newest one's number */
	size_t bytes, max_bytes;
};

void fake_log_init(struct fake_log *l, bool on, size_t max_bytes);
void fake_log_clear(struct fake_log *l); /* not those whose exchange runs */
void fake_record_start(struct fake_exchange *x);
void fake_record_end(struct fake_exchange *x, bool left);
/* {"requests":[..]} */
void fake_log_put(struct fake_log *l, struct ph_buf *b, struct ph_str account, uint64_t last, bool base64,
	bool answers);

/* ---- the server ---- */

struct fake_listener {
	struct ph_list node;
	struct fake_server *server;
	struct fake_account *account; /* whose port it is, or NULL */
	struct ph_addr addr;
	struct ph_listener *listener; /* NULL while refused */
};

struct fake_server {
	struct ph_loop *loop;
	struct ph_list accounts, conns, listeners;
	struct ph_list resources; /* of struct fake_resource */
	struct ph_list ticking;
	int tick_fd;
	struct ph_watch *tick;
	struct ph_signal *term, *intr;
	bool stopping;
	char run[33]; /* stands in every id, so that a later run mints others */
	struct fake_store store;
	struct fake_log log;
	struct fake_times times[FAKE_TIMES];
	uint64_t last_conn; /* the newest connection's number */
	uint64_t connections, connections_open, unauthorized, bad_http;
};

int fake_server_listen(
	struct fake_server *s, struct fake_account *of, struct ph_str hostport, struct ph_err *err);
void fake_server_stop(struct fake_server *s);
void fake_server_close_idle(struct fake_server *s, const struct fake_account *a, bool abort);
int fake_listener_refuse(struct fake_listener *l, bool refuse, struct ph_err *err);

struct fake_conn {
	struct ph_list node;
	struct fake_server *server;
	struct fake_account *of_port;
	struct fake_account *last; /* whose request came last */
	struct ph_stream *stream;
	struct ph_http *http;
	uint64_t number;
	double arrived; /* the head of the request */
	struct ph_buf pending, body;
	struct ph_timer linger;
	bool busy, pumping, request_done, closing, fin_sent;
	struct fake_exchange exchange;
	struct fake_socket *socket; /* after an upgrade, or NULL */
};

void fake_conn_finished(struct fake_conn *c); /* the exchange is over and the connection lives */
void fake_conn_fin(struct fake_conn *c);      /* FIN after what is queued, then the end */
void fake_conn_close(struct fake_conn *c, bool abort);
void fake_conn_switched(struct fake_conn *c); /* its 101 has left */

#endif
