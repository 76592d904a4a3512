/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay with a client's end and a machine of the test's own. Every stream is fed whole, cut at every
 * byte, and byte by byte: what the client gets is the same, and is what came but for the changes that relay.c
 * lists.
 */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/relay.c"

#include "gateway/relay_end.c"
#include "gateway/relay_show.c"

#include "gateway/collect.c"

/* ---- the machine, as far as the relay sees it ---- */

struct world {
	struct ph_loop *loop;
	struct ph_config config;
	struct ph_gateway g;
	struct ph_request r;
	struct ph_exchange x;
	struct ph_key key;
	struct ph_account account;
	struct ph_buf out; /* what the client got */
	int heads, finished;
	int began;      /* AWAIT -> RELAY */
	int result;     /* 1: the terminal event came; negative: the attempt failed */
	long room;      /* what push says */
	int reading;    /* what ph_call_read() was told last; -1 = nothing */
	char begun[64]; /* the response whose owner is being written */
	void (*on_begun)(void *arg, int status);
};

static struct world *world_of(struct ph_request *r)
{
	return PH_CONTAINER(r, struct world, r);
}

void ph_chat_forget(struct ph_chat *c)
{
	assert_null(c);
}

void ph_request_event(struct ph_request *r, int result)
{
	struct world *w = world_of(r);

	assert_int_equal(w->result, 0); /* nothing after the end of an attempt */
	if (result > 0 && !r->relay.ended) {
		w->began++;
		return;
	}
	w->result = result;
	if (result > 0)
		return;
	/* From inside the scanner, as the real one does. */
	if (r->shown)
		ph_relay_fail(r);
	ph_relay_close(r);
}

int ph_attempt_failure(struct ph_request *r, struct ph_str body, int status)
{
	struct ph_failed_answer a = {.status = status, .body = body};
	struct ph_failure f;

	ph_classify(&a, &f);
	return ph_fail(&r->fault, f.code, "account secret-name");
}

void ph_health_event(struct ph_gateway *g, struct ph_account *a, struct ph_str json)
{
	(void)g;
	(void)a;
	assert_int_equal(ph_json_kind(json), PH_JSON_OBJECT);
}

const char *ph_request_mode(const struct ph_request *r)
{
	(void)r;
	return "none";
}

bool ph_record_keeps(const struct ph_request *r)
{
	(void)r;
	return true;
}

void ph_attempt_pause(struct ph_request *r)
{
	world_of(r)->reading = false;
	r->paused = true;
}

void ph_attempt_resume(struct ph_request *r)
{
	world_of(r)->reading = true;
	r->paused = false;
}

bool ph_ask_answered(const struct ph_request *r)
{
	(void)r;
	return true;
}

void ph_record_begin(struct ph_request *r, struct ph_str id, void (*cb)(void *arg, int status))
{
	struct world *w = world_of(r);

	assert_null(w->on_begun);
	ph_str_copy(w->begun, sizeof w->begun, id);
	w->on_begun = cb;
	r->pending_commit++;
}

bool ph_request_owed(struct ph_request *r)
{
	r->pending_commit--;
	return true;
}

/* The writer has answered. */
static void begun(struct world *w)
{
	void (*cb)(void *arg, int status) = w->on_begun;

	w->on_begun = NULL;
	cb(&w->r, 0);
}

static bool end_read_body(void *end)
{
	(void)end;
	return true;
}

static void end_head(void *end, int status, const struct ph_buf *headers, int64_t length)
{
	struct world *w = end;

	(void)headers;
	assert_int_equal(status, 200);
	assert_int_equal(length, -1);
	assert_int_equal(w->out.n, 0);
	w->heads++;
}

static long end_push(void *end, struct ph_str bytes)
{
	struct world *w = end;

	assert_int_equal(w->heads, 1);
	assert_int_equal(w->finished, 0);
	ph_buf_puts(&w->out, bytes);
	return w->room;
}

static void end_finish(void *end)
{
	((struct world *)end)->finished++;
}

static const struct ph_head no_fields;
static const struct ph_exchange_ops ops = {
	.read_body = end_read_body, .head = end_head, .push = end_push, .finish = end_finish};

static void world_open(struct world *w)
{
	*w = (struct world){.room = 1000, .reading = -1};
	w->loop = ph_loop_new();
	w->config = (struct ph_config){
		.max_body = 1 << 20, .hold_timeout_ms = 60000, .keepalive_interval_ms = 60000};
	w->g = (struct ph_gateway){.loop = w->loop, .config = &w->config, .node = "n"};
	w->x = (struct ph_exchange){.head = &no_fields, .ops = &ops, .end = w};
	w->r.account = &w->account;
	w->r.g = &w->g;
	w->r.x = &w->x;
	w->r.door.key = &w->key;
	w->r.attempt.status = 200;
	w->r.attempt.call = (struct ph_call *)(void *)w;
	ph_buf_init(&w->r.attempt.headers, 1024);
	ph_buf_init(&w->out, 64 << 20);
	ph_buf_init(&w->g.event, 2 * w->config.max_body);
	ph_timer_init(&w->r.hold, w->loop, ph_relay_timer, &w->r);
	ph_collect_reset(&w->r.collect);
	ph_relay_open(&w->r, false);
}

static void world_close(struct world *w)
{
	ph_relay_close(&w->r);
	ph_collect_reset(&w->r.collect);
	ph_turn_body_free(&w->r.body);
	ph_buf_deinit(&w->out);
	ph_buf_deinit(&w->g.event);
	ph_buf_deinit(&w->r.attempt.headers);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

/* One read of upstream's connection, in memory that is gone afterwards. */
static void feed(struct world *w, struct ph_str bytes)
{
	char *copy = malloc(bytes.n ? bytes.n : 1);

	memcpy(copy, bytes.p, bytes.n);
	if (w->r.relay.sse) {
		int rc = ph_relay_feed(&w->r, ph_str(copy, bytes.n));

		if (rc && !w->result)
			ph_request_event(&w->r, rc);
	}
	memset(copy, '#', bytes.n);
	free(copy);
	ph_loop_turn(w->loop); /* the graveyard */
}

static void end_of_stream(struct world *w)
{
	if (w->r.relay.sse)
		ph_relay_finish_feed(&w->r);
	if (!w->result)
		ph_request_event(&w->r, -PH_E_UPSTREAM_DROPPED);
}

/* ---- streams, and what becomes of them ---- */

#define CREATED                                                                                              \
	"event: response.created\ndata: "                                                                    \
	"{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":"   \
	"\"in_progress\",\"error\":null,\"output\":[]}}\n\n"
#define PROGRESS                                                                                             \
	"event: response.in_progress\ndata: "                                                                \
	"{\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":{\"id\":\"resp_1\"}}\n\n"
#define DELTA(n)                                                                                             \
	"event: response.output_text.delta\ndata: "                                                          \
	"{\"type\":\"response.output_text.delta\",\"sequence_number\":" n ",\"delta\":\"h\\u00e9\"}\n\n"
#define ITEM(n)                                                                                              \
	"event: response.output_item.done\ndata: "                                                           \
	"{\"type\":\"response.output_item.done\",\"sequence_number\":" n                                     \
	",\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\"}}\n\n"
#define FULL(n)                                                                                              \
	"event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":" n           \
	",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[{\"id\":\"msg_1\",\"type\":"  \
	"\"message\"}]}}\n\n"
#define EMPTY(n)                                                                                             \
	"event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":" n           \
	",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[]}}\n\n"
#define DONE "data: [DONE]\n\n"
/* The end of a broken answer: the id that was shown, the next number. */
#define BROKEN(n)                                                                                            \
	"event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":" n                 \
	",\"response\":{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\","       \
	"\"message\":\"The upstream failed while it answered. Retry the "                                    \
	"request.\"},\"output\":[]}}\n\n" DONE

#define LIMIT(n)                                                                                             \
	"event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":" n                 \
	",\"response\":{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_"           \
	"exceeded\",\"message\":\"org-9 is at its limit\"}}}\n\n"
#define CONTEXT(n)                                                                                           \
	"event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":" n                 \
	",\"response\":{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"context_length_"       \
	"exceeded\",\"message\":\"too long\"}}}\n\n"

static const struct one {
	const char *story, *in, *out;
	int result;
} streams[] = {
	{"a plain stream passes as it is", CREATED PROGRESS DELTA("2") ITEM("3") FULL("4"),
		CREATED PROGRESS DELTA("2") ITEM("3") FULL("4") DONE, 1},
	{"upstream's own [DONE] is not doubled", CREATED DELTA("1") FULL("2") DONE,
		CREATED DELTA("1") FULL("2") DONE, 1},
	{"[DONE] twice, before the terminal event", CREATED DONE DELTA("1") DONE FULL("2"),
		CREATED DELTA("1") FULL("2") DONE, 1},
	{"[DONE] is no terminal event", CREATED DELTA("1") DONE, CREATED DELTA("1") BROKEN("2"),
		-PH_E_UPSTREAM_DROPPED},
	{"nothing behind the terminal event", CREATED DELTA("1") FULL("2") DELTA("3") FULL("4") ": c\n\n",
		CREATED DELTA("1") FULL("2") DONE, 1},
	{"the terminal event alone", FULL("0"), FULL("0") DONE, 1},
	{"only lifecycle events before it", CREATED PROGRESS FULL("2"), CREATED PROGRESS FULL("2") DONE, 1},
	{"incomplete",
		CREATED "data: "
			"{\"type\":\"response.incomplete\",\"response\":{\"id\":\"resp_1\",\"status\":"
			"\"incomplete\",\"output\":[{}]}}\n\n",
		CREATED "data: "
			"{\"type\":\"response.incomplete\",\"response\":{\"id\":\"resp_1\",\"status\":"
			"\"incomplete\",\"output\":[{}]}}\n\n" DONE,
		1},

	{"CRLF",
		"event: x\r\ndata: {\"type\":\"x\",\"sequence_number\":0}\r\n\r\ndata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\r\n\r\n",
		"event: x\r\ndata: {\"type\":\"x\",\"sequence_number\":0}\r\n\r\ndata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\r\n\r\n" DONE,
		1},
	{"CR alone",
		"event: x\rdata: {\"type\":\"x\"}\r\rdata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\r\r",
		"event: x\rdata: {\"type\":\"x\"}\r\rdata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\r\r" DONE,
		1},
	{"comments, ids, retries, unknown fields, blank lines",
		": hello\n\n" CREATED
		":\n\nid: 5\nretry: 10\nfoo: bar\ndata: {\"type\":\"x\"}\n\n\n\n" FULL("2"),
		": hello\n\n" CREATED
		":\n\nid: 5\nretry: 10\nfoo: bar\ndata: {\"type\":\"x\"}\n\n\n\n" FULL("2") DONE,
		1},
	{"a byte order mark", "\xef\xbb\xbf" CREATED DELTA("1") FULL("2"),
		"\xef\xbb\xbf" CREATED DELTA("1") FULL("2") DONE, 1},
	{"without event lines, without a space",
		"data:{\"type\":\"response.created\",\"response\":{}}\n\ndata:{\"type\":\"x\"}\n\ndata:{"
		"\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n",
		"data:{\"type\":\"response.created\",\"response\":{}}\n\ndata:{\"type\":\"x\"}\n\ndata:{"
		"\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n" DONE,
		1},
	{"data without content is no event", CREATED "data\n\ndata: \n\nevent: x\n\n" DELTA("1") FULL("2"),
		CREATED "data\n\ndata: \n\nevent: x\n\n" DELTA("1") FULL("2") DONE, 1},
	{"the JSON's type decides, not the event line",
		"event: response.completed\ndata: {\"type\":\"x\",\"sequence_number\":0}\n\nevent: x\ndata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n",
		"event: response.completed\ndata: {\"type\":\"x\",\"sequence_number\":0}\n\nevent: x\ndata: "
		"{\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n" DONE,
		1},
	{"the event line where the JSON has no type",
		"event: response.completed\ndata: {\"response\":{\"output\":[1]}}\n\n",
		"event: response.completed\ndata: {\"response\":{\"output\":[1]}}\n\n" DONE, 1},
	{"the type behind nested ones, and with escapes",
		"data: {\"a\":{\"type\":\"response.completed\"},\"type\":\"x\"}\n\ndata: "
		"{\"response\":{\"output\":[1]},\"\\u0074ype\":\"response.c\\u006fmpleted\"}\n\n",
		"data: {\"a\":{\"type\":\"response.completed\"},\"type\":\"x\"}\n\ndata: "
		"{\"response\":{\"output\":[1]},\"\\u0074ype\":\"response.c\\u006fmpleted\"}\n\n" DONE,
		1},
	{"data of several lines",
		"data: {\ndata:  \"type\":\"x\"\ndata: }\n\ndata: {\"type\":\ndata: "
		"\"response.completed\",\ndata: \"response\":{\"output\":[1]}}\n\n",
		"data: {\ndata:  \"type\":\"x\"\ndata: }\n\ndata: {\"type\":\ndata: "
		"\"response.completed\",\ndata: \"response\":{\"output\":[1]}}\n\n" DONE,
		1},
	{"U+2028 is no line end", "data: {\"type\":\"x\",\"d\":\"\xe2\x80\xa8\xc2\x85\"}\n\n" FULL("1"),
		"data: {\"type\":\"x\",\"d\":\"\xe2\x80\xa8\xc2\x85\"}\n\n" FULL("1") DONE, 1},

	{"type and number stand anywhere: found and shifted all the same",
		CREATED
		"data: {\"type\":\"codex.x\",\"sequence_number\":1}\n\n"
		"event: x\ndata: {\"type\":\"x\",\"sequence_number\":2}\n\n"
		"event: x\ndata: {\"type\":\"xy\",\"sequence_number\":3,\"d\":1}\n\n"
		"event: x\ndata: {\"type\": \"x\" , \"sequence_number\" : 4 , \"d\":1}\n\n"
		"event: x\ndata: {\"sequence_number\":5,\"d\":{\"type\":\"error\"},\"type\":\"x\"}\n\n"
		"event: x\ndata: {\"type\":\"x\",\"d\":[],\"sequence_\\u006eumber\":6}\n\n"
		"event: x\ndata: {\"type\":\"x\",\"sequence_number\":7.5,\"d\":1}\n\n"
		"event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":8,\"d\":1}\n\n"
		"event: codex.y\ndata: {\"type\":\"codex.y\",\"sequence_number\":9,\"d\":1}\n\n"
		"event: codex.y\ndata: {\"type\":\"x\",\"sequence_number\":10,\"d\":1}\n\n" FULL("11"),
		CREATED
		"event: x\ndata: {\"type\":\"x\",\"sequence_number\":1}\n\n"
		"event: x\ndata: {\"type\":\"xy\",\"sequence_number\":2,\"d\":1}\n\n"
		"event: x\ndata: {\"type\": \"x\" , \"sequence_number\" : 3 , \"d\":1}\n\n"
		"event: x\ndata: {\"sequence_number\":4,\"d\":{\"type\":\"error\"},\"type\":\"x\"}\n\n"
		"event: x\ndata: {\"type\":\"x\",\"d\":[],\"sequence_\\u006eumber\":5}\n\n"
		"event: x\ndata: {\"type\":\"x\",\"sequence_number\":7.5,\"d\":1}\n\n"
		"event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":7,\"d\":1}\n\n"
		"event: codex.y\ndata: {\"type\":\"x\",\"sequence_number\":8,\"d\":1}\n\n" FULL("9") DONE,
		1},
	{"an empty object is an event without a type", CREATED "data: {}\n\ndata: { }\n\n" FULL("3"),
		CREATED "data: {}\n\ndata: { }\n\n" FULL("3") DONE, 1},
	{"an object that breaks off where something is wanted",
		CREATED DELTA("1") "data: {\"type\":\"x\",\"d\"}\n\n", CREATED DELTA("1") BROKEN("2"),
		-PH_E_UPSTREAM_BAD},
	{"a comma before the end", CREATED DELTA("1") "data: {\"type\":\"x\",}\n\n",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_BAD},
	{"something behind the object", CREATED DELTA("1") "data: {\"type\":\"x\"} 1\n\n",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_BAD},
	{"no object at all behind a brace", CREATED DELTA("1") "data: {1}\n\n",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_BAD},

	{"telemetry is dropped, and leaves no gap in the numbers",
		"event: codex.rate_limits\ndata: "
		"{\"type\":\"codex.rate_limits\",\"plan\":\"pro\"}\n\n" CREATED
		"data: {\"type\":\"response.metadata\",\"sequence_number\":1,\"headers\":{}}\n\ndata: "
		"{\"type\":\"codex.whatever\"}\n\nevent: codex.x\ndata: {}\n\n" DELTA("2") FULL("3"),
		CREATED DELTA("1") FULL("2") DONE, 1},
	{"upstream's keepalive before anything is shown is dropped",
		CREATED "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":1}\n\n" DELTA(
			"2") "event: keepalive\ndata: "
			     "{\"type\":\"keepalive\",\"sequence_number\":3}\n\n" FULL("4"),
		CREATED DELTA("1") "event: keepalive\ndata: "
				   "{\"type\":\"keepalive\",\"sequence_number\":2}\n\n" FULL("3") DONE,
		1},

	{"an empty output is filled", CREATED ITEM("1") EMPTY("2"), CREATED ITEM("1") FULL("2") DONE, 1},
	{"and its number shifted, in either order",
		CREATED "data: {\"type\":\"response.metadata\",\"sequence_number\":1}\n\n" ITEM(
			"2") "data: {\"response\":{\"output\":[ "
			     "]},\"sequence_number\":3,\"type\":\"response.completed\"}\n\n",
		CREATED ITEM("1") "data: "
				  "{\"response\":{\"output\":[{\"id\":\"msg_1\",\"type\":\"message\"}]},"
				  "\"sequence_number\":2,\"type\":\"response.completed\"}\n\n" DONE,
		1},
	{"an absent one",
		CREATED ITEM("1") "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"a\"}}\n\n",
		CREATED ITEM("1") "data: "
				  "{\"type\":\"response.completed\",\"response\":{\"output\":[{\"id\":\"msg_"
				  "1\",\"type\":\"message\"}],\"id\":\"a\"}}\n\n" DONE,
		1},
	{"a null one, in data of several lines",
		CREATED ITEM("1") "event: response.completed\ndata: {\"type\":\"response.completed\",\ndata: "
				  "\"response\":{\ndata: \"output\":null}}\n\n",
		CREATED ITEM(
			"1") "event: response.completed\ndata: {\"type\":\"response.completed\", "
			     "\"response\":{ \"output\":[{\"id\":\"msg_1\",\"type\":\"message\"}]}}\n\n" DONE,
		1},
	{"items in the order of their index, the last of an index wins",
		CREATED
		"data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"n\":1}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"n\":9}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"n\":0}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":2}\n\n" EMPTY("5"),
		CREATED
		"data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"n\":1}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"n\":9}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"n\":0}}\n\n"
		"data: {\"type\":\"response.output_item.done\",\"output_index\":2}\n\n"
		"event: response.completed\ndata: "
		"{\"type\":\"response.completed\",\"sequence_number\":5,\"response\":{\"id\":\"resp_1\","
		"\"status\":\"completed\",\"output\":[{\"n\":0},{\"n\":1}]}}\n\n" DONE,
		1},
	{"an output that is not empty is taken at its word",
		CREATED ITEM("1") "data: {\"type\":\"response.completed\",\"response\":{\"output\":[7]}}\n\n",
		CREATED ITEM(
			"1") "data: {\"type\":\"response.completed\",\"response\":{\"output\":[7]}}\n\n" DONE,
		1},

	{"a failure that nobody saw yet", CREATED PROGRESS LIMIT("2"), "", -PH_E_UPSTREAM_LIMITED},
	{"also as the first event", LIMIT("0"), "", -PH_E_UPSTREAM_LIMITED},
	{"an error event, nested, flat, bare",
		"data: {\"type\":\"error\",\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}\n\n", "",
		-PH_E_UPSTREAM_FAILED},
	{"flat",
		CREATED "event: error\ndata: "
			"{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"x\"}\n\n",
		"", -PH_E_UPSTREAM_LIMITED},
	{"bare", "data: {\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}\n\n", "",
		-PH_E_UPSTREAM_FAILED},
	{"bare, as the Codex backend has it", "data: {\"detail\":{\"code\":\"deactivated_workspace\"}}\n\n",
		"", -PH_E_UPSTREAM_DENIED},
	{"pretty-printed",
		"data: {\ndata:   \"type\": \"error\",\ndata:   \"error\": {\"code\": "
		"\"usage_limit_reached\"}\ndata: }\n\n",
		"", -PH_E_UPSTREAM_LIMITED},
	{"one account's limit is nobody's business", CREATED DELTA("1") LIMIT("2"),
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_LIMITED},
	{"nor after an error event",
		CREATED DELTA("1") "data: {\"type\":\"error\",\"code\":\"usage_limit_reached\"}\n\n" DELTA(
			"3"),
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_LIMITED},
	{"what concerns the request is told as it came", CREATED CONTEXT("1"), CREATED CONTEXT("1") DONE, 1},
	{"also after something was shown", CREATED DELTA("1") CONTEXT("2") DONE,
		CREATED DELTA("1") CONTEXT("2") DONE, 1},
	{"with its number shifted",
		CREATED "data: {\"type\":\"response.metadata\",\"sequence_number\":1}\n\n" DELTA("2")
			CONTEXT("3"),
		CREATED DELTA("1") CONTEXT("2") DONE, 1},
	{"without created it is an answer of ours", CONTEXT("0"), "", -PH_E_UPSTREAM_REFUSED},

	{"an end before anything", "", "", -PH_E_UPSTREAM_DROPPED},
	{"an end while held", CREATED PROGRESS, "", -PH_E_UPSTREAM_DROPPED},
	{"an end after something was shown", CREATED DELTA("1"), CREATED DELTA("1") BROKEN("2"),
		-PH_E_UPSTREAM_DROPPED},
	{"half an event is not shown",
		CREATED DELTA("1") "event: response.output_text.delta\ndata: {\"type\":\"respon",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_DROPPED},
	{"nor a whole one without its blank line",
		CREATED DELTA("1") "data: {\"type\":\"x\",\"sequence_number\":2}\n",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_DROPPED},
	{"nor half a comment", CREATED DELTA("1") ": half a", CREATED DELTA("1") BROKEN("2"),
		-PH_E_UPSTREAM_DROPPED},
	{"but a terminal event counts",
		CREATED DELTA("1") "data: {\"type\":\"response.completed\",\"response\":{\"output\":[1]}}",
		CREATED DELTA(
			"1") "data: {\"type\":\"response.completed\",\"response\":{\"output\":[1]}}\n\n" DONE,
		1},
	{"not half of one",
		CREATED DELTA("1") "data: {\"type\":\"response.completed\",\"response\":{\"output\":[1]}",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_DROPPED},
	{"a terminal event without a response",
		CREATED DELTA("1") "data: {\"type\":\"response.completed\"}\n\n",
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_BAD},
	{"data that is no JSON, unseen", "data: <html>\n\n" CREATED, "", -PH_E_UPSTREAM_BAD},
	{"data that is no JSON, later", CREATED DELTA("1") "data: oops\n\n" DELTA("2"),
		CREATED DELTA("1") BROKEN("2"), -PH_E_UPSTREAM_BAD},
	{"an array is no event", "data: [1]\n\n", "", -PH_E_UPSTREAM_BAD},
	{"a created event over several lines, and an end",
		"data: {\"type\":\"response.created\",\"sequence_number\":0,\ndata: "
		"\"response\":{\"id\":\"resp_1\",\ndata: "
		"\"status\":\"in_progress\",\"error\":null,\"output\":[]}}\n\n" DELTA("1"),
		"data: {\"type\":\"response.created\",\"sequence_number\":0,\ndata: "
		"\"response\":{\"id\":\"resp_1\",\ndata: "
		"\"status\":\"in_progress\",\"error\":null,\"output\":[]}}\n\n" DELTA(
			"1") "event: response.failed\ndata: "
			     "{\"type\":\"response.failed\",\"sequence_number\":2,\"response\":{\"id\":"
			     "\"resp_1\", "
			     "\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"The "
			     "upstream failed while it answered. Retry the "
			     "request.\"},\"output\":[]}}\n\n" DONE,
		-PH_E_UPSTREAM_DROPPED},
	{"error before status, and neither",
		"data: "
		"{\"type\":\"response.created\",\"response\":{\"error\":null,\"id\":\"r\",\"status\":\"q\"}}"
		"\n\n" DELTA("1"),
		"data: "
		"{\"type\":\"response.created\",\"response\":{\"error\":null,\"id\":\"r\",\"status\":\"q\"}}"
		"\n\n" DELTA(
			"1") "event: response.failed\ndata: "
			     "{\"type\":\"response.failed\",\"sequence_number\":2,\"response\":{\"error\":{"
			     "\"code\":\"server_error\",\"message\":\"The upstream failed while it answered. "
			     "Retry the request.\"},\"id\":\"r\",\"status\":\"failed\"}}\n\n" DONE,
		-PH_E_UPSTREAM_DROPPED},
	{"numbers that begin at five",
		"data: "
		"{\"type\":\"response.created\",\"sequence_number\":5,\"response\":{\"id\":\"r\"}}\n\ndata: "
		"{\"type\":\"x\",\"sequence_number\":6}\n\n",
		"data: "
		"{\"type\":\"response.created\",\"sequence_number\":5,\"response\":{\"id\":\"r\"}}\n\ndata: "
		"{\"type\":\"x\",\"sequence_number\":6}\n\n"
		"event: response.failed\ndata: "
		"{\"type\":\"response.failed\",\"sequence_number\":7,\"response\":{\"status\":\"failed\","
		"\"error\":{\"code\":\"server_error\",\"message\":\"The upstream failed while it answered. "
		"Retry the request.\"},\"id\":\"r\"}}\n\n" DONE,
		-PH_E_UPSTREAM_DROPPED},
};

static void run_one(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	const struct one *s = arg;
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < count; i++)
		feed(&w, pieces[i]);
	if (!w.result)
		end_of_stream(&w);
	if (w.result == 1) {
		assert_int_equal(w.finished, 0); /* the terminal event waits for the commit */
		ph_relay_release(&w.r);
	}
	if (w.result != s->result)
		fail_msg("%s: result %d", s->story, w.result);
	if (!ph_str_eq(ph_buf_str(&w.out), ph_str_c(s->out)))
		fail_msg("%s: the client got\n%.*s\ninstead of\n%s", s->story, PH_STR_ARG(ph_buf_str(&w.out)),
			s->out);
	assert_int_equal(w.finished, s->out[0] ? 1 : 0);
	assert_int_equal(w.r.shown, s->out[0] ? 1 : 0);
	ph_buf_puts(log, ph_buf_str(&w.out));
	world_close(&w);
}

static void every_stream_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(streams); i++)
		ph_test_cuts(ph_str_c(streams[i].in), run_one, (void *)(uintptr_t)&streams[i]);
}

/* ---- what is held, and for how long ---- */

static void lifecycle_events_are_held(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(": c\n\n" CREATED PROGRESS));
	assert_int_equal(w.began, 1);
	assert_int_equal(w.heads, 0); /* the head too */
	assert_false(w.r.shown);
	assert_true(ph_timer_active(&w.r.hold));
	feed(&w, PH_STR(DELTA("2")));
	ph_assert_str(ph_buf_str(&w.out), PH_STR(": c\n\n" CREATED PROGRESS DELTA("2")));
	assert_true(w.r.shown);
	feed(&w, PH_STR(FULL("3")));
	assert_int_equal(w.result, 1);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(": c\n\n" CREATED PROGRESS DELTA("2")));
	assert_false(ph_timer_active(&w.r.hold)); /* no keepalive may come in between */
	ph_relay_release(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(": c\n\n" CREATED PROGRESS DELTA("2") FULL("3") DONE));
	world_close(&w);
}

static void telemetry_is_no_progress(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR("data: {\"type\":\"codex.rate_limits\"}\n\ndata: {\"type\":\"keepalive\"}\n\n: "
			"c\n\n"));
	assert_int_equal(w.began, 0);
	assert_int_equal(w.heads, 0);
	world_close(&w);
}

/* HOLD_TIMEOUT: what is held goes out, and a failure behind it is visible. */
static void the_hold_runs_out(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(CREATED));
	ph_relay_timer(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED));
	assert_true(w.r.shown);
	feed(&w, PH_STR(LIMIT("1")));
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED BROKEN("1")));
	world_close(&w);
}

/* ---- keepalives ---- */

#define KA(n) "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":" n "}\n\n"

static void keepalives_shift_the_numbers(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(CREATED DELTA("1")));
	assert_true(ph_timer_active(&w.r.hold));
	ph_relay_timer(&w.r);
	assert_true(ph_timer_active(&w.r.hold));
	ph_relay_timer(&w.r);
	feed(&w, PH_STR(DELTA("2")));
	ph_relay_timer(&w.r);
	feed(&w, PH_STR(ITEM("3") EMPTY("4")));
	ph_relay_release(&w.r);
	ph_assert_str(ph_buf_str(&w.out),
		PH_STR(CREATED DELTA("1") KA("2") KA("3") DELTA("4") KA("5") ITEM("6") FULL("7") DONE));
	world_close(&w);

	world_open(&w); /* and those of the end that we write */
	feed(&w, PH_STR(CREATED DELTA("1")));
	ph_relay_timer(&w.r);
	end_of_stream(&w);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED DELTA("1") KA("2") BROKEN("3")));
	world_close(&w);
}

/* Never inside an event, wherever the reads are cut. */
static void keepalives_between_events(void **state)
{
	const char *in = CREATED DELTA("1") "data: {\"type\":\"x\"}\r\n\r\n" FULL("3");

	(void)state;
	for (size_t cut = strlen(CREATED DELTA("1")); cut < strlen(in); cut++) {
		struct world w;
		struct ph_buf json;

		world_open(&w);
		feed(&w, ph_str(in, cut));
		ph_relay_timer(&w.r);
		feed(&w, ph_str_c(in + cut));
		ph_relay_release(&w.r);
		/* Without it the stream is the same. */
		ph_buf_init(&json, 1 << 20);
		for (size_t i = 0; i < w.out.n; i++) {
			if (ph_str_starts(ph_str_from(ph_buf_str(&w.out), i), PH_STR("event: keepalive\n"))) {
				assert_true(i == 0 || w.out.p[i - 1] == '\n' || w.out.p[i - 1] == '\r');
				i += strlen(KA("2")) - 1;
				continue;
			}
			ph_buf_putc(&json, w.out.p[i]);
		}
		assert_true(json.n >= strlen(in));
		ph_buf_deinit(&json);
		world_close(&w);
	}
}

static void no_keepalive_before_created(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR("data: {\"type\":\"x\"}\n\n"));
	ph_relay_timer(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR("data: {\"type\":\"x\"}\n\n"));
	world_close(&w);
}

/* Comments do not reset the idle timers of clients: they do not put our keepalive off. */
static void comments_do_not_count(void **state)
{
	struct world w;
	uint64_t due;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(CREATED DELTA("1")));
	due = w.r.hold.due_ms;
	usleep(30000);
	ph_loop_turn(w.loop);
	feed(&w, PH_STR(": c\n\n"));
	assert_int_equal(w.r.hold.due_ms, due);
	feed(&w, PH_STR(DELTA("2")));
	assert_true(w.r.hold.due_ms > due);
	world_close(&w);
}

/* ---- the client ---- */

static void a_slow_client_stops_upstream(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(CREATED DELTA("1")));
	assert_int_equal(w.reading, -1);
	w.room = 0;
	feed(&w, PH_STR(DELTA("2")));
	assert_int_equal(w.reading, 0);
	assert_true(w.r.paused);
	world_close(&w);
}

static void a_client_that_left(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	feed(&w, PH_STR(CREATED DELTA("1")));
	w.r.x = NULL;
	feed(&w, PH_STR(DELTA("2") FULL("3")));
	assert_int_equal(w.result, 1);
	ph_relay_release(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED DELTA("1")));
	assert_int_equal(w.finished, 0);
	world_close(&w);
}

static void an_event_above_the_limit(void **state)
{
	struct world w;
	struct ph_buf big;

	(void)state;
	for (int shown = 0; shown < 2; shown++) {
		world_open(&w);
		w.config.max_body = 4096;
		ph_relay_open(&w.r, false);
		if (shown)
			feed(&w, PH_STR(CREATED DELTA("1")));
		ph_buf_init(&big, 1 << 20);
		ph_buf_puts(&big, PH_STR("data: {\"type\":\""));
		for (int i = 0; i < 8000; i++)
			ph_buf_putc(&big, 'x');
		feed(&w, ph_buf_str(&big));
		assert_int_equal(w.result, -PH_E_UPSTREAM_BAD);
		ph_assert_str(
			ph_buf_str(&w.out), shown ? PH_STR(CREATED DELTA("1") BROKEN("2")) : PH_STR(""));
		ph_buf_deinit(&big);
		world_close(&w);
	}
}

/* One read of many events leaves in few writes, and large events pass in one piece. */
static void large_events(void **state)
{
	struct world w;
	struct ph_buf in;

	(void)state;
	world_open(&w);
	ph_buf_init(&in, 4 << 20);
	ph_buf_puts(&in, PH_STR(CREATED));
	for (int e = 0; e < 3; e++) {
		ph_buf_puts(&in, PH_STR("data: {\"type\":\"x\",\"b\":\""));
		for (int i = 0; i < 300000; i++)
			ph_buf_putc(&in, (char)('a' + i % 26));
		ph_buf_puts(&in, PH_STR("\"}\n\n"));
	}
	for (size_t at = 0; at < in.n; at += 65536)
		feed(&w, ph_str(in.p + at, in.n - at < 65536 ? in.n - at : 65536));
	ph_assert_str(ph_buf_str(&w.out), ph_buf_str(&in));
	ph_buf_deinit(&in);
	world_close(&w);
}

/* ---- background responses ---- */

static void background_open(struct world *w)
{
	world_open(w);
	w->r.body.background = true;
}

/* Nothing is shown, and upstream is not read, until it is written whose the response is; then all that came.
 */
static void a_background_response_has_an_owner_first(void **state)
{
	struct world w;

	(void)state;
	background_open(&w);
	feed(&w, PH_STR(CREATED PROGRESS DELTA("2")));
	assert_string_equal(w.begun, "resp_1");
	assert_false(w.reading);
	assert_int_equal(w.heads, 0);
	begun(&w);
	assert_true(w.reading);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED PROGRESS DELTA("2")));
	feed(&w, PH_STR(FULL("3")));
	assert_int_equal(w.result, 1);
	ph_relay_release(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED PROGRESS DELTA("2") FULL("3") DONE));
	world_close(&w);
	/* What came early does not show what is still held. */
	background_open(&w);
	feed(&w, PH_STR(CREATED));
	begun(&w);
	assert_int_equal(w.heads, 0);
	feed(&w, PH_STR(DELTA("1")));
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED DELTA("1")));
	world_close(&w);
}

/* The whole answer in one read: its commit comes behind the owner's in the writer's queue. */
static void a_background_response_that_ends_at_once(void **state)
{
	struct world w;

	(void)state;
	background_open(&w);
	feed(&w, PH_STR(CREATED DELTA("1") FULL("2")));
	assert_int_equal(w.result, 1);
	assert_int_equal(w.heads, 0);
	ph_relay_release(&w.r);
	begun(&w);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED DELTA("1") FULL("2") DONE));
	world_close(&w);
}

/* The hold time is the longest that a client waits for the database. */
static void an_owner_that_cannot_be_written(void **state)
{
	struct world w;

	(void)state;
	background_open(&w);
	feed(&w, PH_STR(CREATED PROGRESS));
	assert_int_equal(w.heads, 0);
	ph_relay_timer(&w.r);
	assert_true(w.reading);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED PROGRESS));
	begun(&w);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED PROGRESS));
	world_close(&w);
}

/* Who resumes it counts in upstream's numbers: nothing of ours comes between, and nothing is counted out. */
static void numbers_of_background_responses_stay(void **state)
{
	struct world w;

	(void)state;
	background_open(&w);
	feed(&w, PH_STR("data: {\"type\":\"codex.x\",\"sequence_number\":9}\n\n" CREATED));
	begun(&w);
	feed(&w, PH_STR(DELTA("1")));
	assert_false(ph_timer_active(&w.r.hold));
	feed(&w, PH_STR(FULL("2")));
	ph_relay_release(&w.r);
	ph_assert_str(ph_buf_str(&w.out), PH_STR(CREATED DELTA("1") FULL("2") DONE));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stream_at_every_cut),
		cmocka_unit_test(lifecycle_events_are_held),
		cmocka_unit_test(telemetry_is_no_progress),
		cmocka_unit_test(the_hold_runs_out),
		cmocka_unit_test(keepalives_shift_the_numbers),
		cmocka_unit_test(keepalives_between_events),
		cmocka_unit_test(no_keepalive_before_created),
		cmocka_unit_test(comments_do_not_count),
		cmocka_unit_test(a_slow_client_stops_upstream),
		cmocka_unit_test(a_client_that_left),
		cmocka_unit_test(an_event_above_the_limit),
		cmocka_unit_test(large_events),
		cmocka_unit_test(a_background_response_has_an_owner_first),
		cmocka_unit_test(a_background_response_that_ends_at_once),
		cmocka_unit_test(an_owner_that_cannot_be_written),
		cmocka_unit_test(numbers_of_background_responses_stay),
	};

	return cmocka_run_group_tests_name("gateway.relay", tests, NULL, NULL);
}
