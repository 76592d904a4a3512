/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt, told by a call of the test's own what an upstream could tell it, in every order that can come.
 */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/attempt.c"

#include "gateway/attempt_http.c"

static struct {
	struct ph_loop *loop;
	struct ph_config config;
	struct ph_gateway g;
	struct ph_account account;
	struct ph_exchange x;
	struct ph_request r;
	int result; /* the last that was not "done" */
	int opened, fed, finished;
	bool terminal_in_feed, terminal_in_finish;
	struct ph_buf sent;
	const struct ph_call_events *events;
	int calls, cancelled, abandoned;
	int heads; /* shown to the registry */
	enum ph_health_signal signal;
	int64_t secret;
	bool renews;
} w;

/* ---- the machine and the other organs ---- */

void ph_request_event(struct ph_request *r, int result)
{
	assert_int_equal(w.result, 0);
	if (result < 0)
		w.result = result;
	else
		r->sm.state++;
}

int64_t ph_prefer_home(const struct ph_request *r)
{
	return r->home;
}

void ph_relay_open(struct ph_request *r, bool messages)
{
	(void)r;
	assert_false(messages);
	w.opened++;
}

void ph_relay_close(struct ph_request *r)
{
	(void)r;
}

/* ---- no turn here is a chat ---- */

bool ph_chat_is_native(const struct ph_request *r, const struct ph_account *a)
{
	(void)a;
	assert_null(r->chat);
	return false;
}

void ph_chat_native(struct ph_chat *c, bool native)
{
	(void)native;
	assert_null(c);
}

int ph_chat_refused(struct ph_request *r)
{
	assert_null(r->chat);
	return 0;
}

bool ph_chat_missing(struct ph_request *r, int status, const struct ph_failure *f)
{
	(void)status;
	(void)f;
	assert_null(r->chat);
	return false;
}

struct ph_str ph_chat_text(const struct ph_chat *c)
{
	assert_null(c);
	return PH_STR_NONE;
}

void ph_chat_relay_open(struct ph_request *r)
{
	assert_null(r->chat);
}

bool ph_chat_relay_whole(struct ph_request *r, struct ph_str answer)
{
	(void)answer;
	assert_null(r->chat);
	return false;
}

static void terminal(struct ph_request *r)
{
	r->relay.ended = PH_TERMINAL_COMPLETED;
	while (r->sm.state < REQ_COMMIT)
		ph_request_event(r, 1);
}

int ph_relay_feed(struct ph_request *r, struct ph_str bytes)
{
	(void)bytes;
	w.fed++;
	if (w.terminal_in_feed)
		terminal(r);
	return 0;
}

void ph_relay_finish_feed(struct ph_request *r)
{
	w.finished++;
	if (w.terminal_in_finish)
		terminal(r);
}

struct ph_call *ph_call_start(struct ph_upstream *u, const struct ph_call_request *request,
	const struct ph_call_events *e, void *owner)
{
	(void)u;
	assert_ptr_equal(owner, &w.r);
	w.events = e;
	w.calls++;
	ph_buf_reset(&w.sent);
	ph_buf_puts(&w.sent, ph_buf_str(request->head));
	ph_buf_puts(&w.sent, PH_STR("\n"));
	ph_buf_puts(&w.sent, ph_buf_str(request->body));
	return (struct ph_call *)(void *)&w;
}

void ph_call_read(struct ph_call *c, bool on)
{
	(void)c;
	(void)on;
	fail();
}

uint64_t ph_call_progress_ms(const struct ph_call *c)
{
	(void)c;
	fail();
	return 0;
}

void ph_call_cancel(struct ph_call *c)
{
	(void)c;
	w.cancelled++;
}

void ph_call_abandon(struct ph_call *c)
{
	(void)c;
	w.abandoned++;
}

/* ---- the other transport, which is not asked for ---- */

bool ph_lane_wanted(struct ph_request *r)
{
	(void)r;
	return false;
}

bool ph_lane_fits(const struct ph_lane *lane, int64_t account)
{
	(void)lane;
	(void)account;
	return false;
}

int ph_warmup_needs_socket(struct ph_request *r)
{
	(void)r;
	return 0;
}

void ph_attempt_start_socket(struct ph_request *r, struct ph_buf *head, struct ph_buf *body, bool moving)
{
	(void)r;
	(void)head;
	(void)body;
	(void)moving;
	fail();
}

void ph_attempt_read_socket(struct ph_request *r, bool on)
{
	(void)r;
	(void)on;
	fail();
}

uint64_t ph_attempt_progress_socket(const struct ph_request *r)
{
	(void)r;
	fail();
	return 0;
}

void ph_attempt_drop_socket(struct ph_request *r)
{
	(void)r;
	fail();
}

void ph_attempt_finish_socket(struct ph_request *r)
{
	(void)r;
	fail();
}

/* ---- what is told to the registry of accounts ---- */

bool ph_health_failure(
	struct ph_gateway *g, struct ph_account *a, const struct ph_failure *f, const struct ph_asked *asked)
{
	(void)g;
	assert_ptr_equal(a, &w.account);
	ph_assert_str(asked->model, PH_STR("m"));
	w.signal = f->signal;
	w.secret = asked->secret;
	return w.renews && f->signal == PH_SIGNAL_EXPIRED;
}

void ph_health_head(struct ph_gateway *g, struct ph_account *a, const struct ph_head *h)
{
	(void)g;
	assert_ptr_equal(a, &w.account);
	w.heads += h != NULL;
}

bool ph_lease_eligible(const struct ph_request *r, const struct ph_account *a)
{
	(void)r;
	return a->state == PH_ACCOUNT_ACTIVE;
}

uint64_t ph_lease_returns_ms(const struct ph_request *r, const struct ph_account *a)
{
	(void)r;
	(void)a;
	return 0;
}

/* ---- one turn ---- */

static struct ph_header client_fields[] = {
	{PH_STR_INIT("Authorization"), PH_STR_INIT("Bearer client")},
	{PH_STR_INIT("User-Agent"), PH_STR_INIT("agent/1")},
	{PH_STR_INIT("Cookie"), PH_STR_INIT("c=1")},
	{PH_STR_INIT("X-Forwarded-For"), PH_STR_INIT("10.0.0.1")},
	{PH_STR_INIT("OpenAI-Organization"), PH_STR_INIT("org-client")},
};
static struct ph_head client_head = {.headers = client_fields, .header_count = PH_COUNT(client_fields)};
static char account_name[] = "acme-account";

static void begin_at(enum ph_account_kind kind, const char *body)
{
	memset(&w, 0, sizeof w);
	w.loop = ph_loop_new();
	w.config.max_body = 1 << 20;
	w.g = (struct ph_gateway){.loop = w.loop, .config = &w.config, .node = "n"};
	w.account = (struct ph_account){
		.refs = 1, .id = 7, .name = account_name, .kind = kind, .secret = PH_STR("sk-up")};
	w.x.head = &client_head;
	snprintf(w.x.request_id, sizeof w.x.request_id, "req_1");
	ph_buf_init(&w.sent, 1 << 20);
	w.r.g = &w.g;
	w.r.x = &w.x;
	w.r.account = &w.account;
	ph_arena_init(&w.r.arena, 1 << 20);
	ph_buf_init(&w.r.words, 1 << 24);
	ph_buf_init(&w.r.body.buf, 1 << 20);
	ph_buf_puts(&w.r.body.buf, ph_str_c(body));
	assert_int_equal(ph_turn_body_read(&w.r.body, &w.r.arena, &w.r.fault), 0);
	w.r.sm.state = REQ_CONNECT;
	assert_int_equal(ph_attempt_start(&w.r), 0);
	assert_int_equal(w.calls, 1);
}

static void begin(const char *body)
{
	begin_at(PH_PLATFORM, body);
}

static void finish(void)
{
	ph_attempt_end(&w.r);
	ph_collect_reset(&w.r.collect);
	ph_arena_deinit(&w.r.arena);
	ph_buf_deinit(&w.r.words);
	ph_turn_body_free(&w.r.body);
	ph_buf_deinit(&w.sent);
	assert_int_equal(ph_loop_free(w.loop), 0);
}

static void head(int status, const char *type)
{
	struct ph_header fields[] = {{PH_STR("content-type"), ph_str_c(type)},
		{PH_STR("openai-organization"), PH_STR("org-acme")},
		{PH_STR("x-ratelimit-limit-tokens"), PH_STR("9")},
		{PH_STR("openai-processing-ms"), PH_STR("5")}, {PH_STR("set-cookie"), PH_STR("a=b")}};
	struct ph_head h = {.status = status, .headers = fields, .header_count = PH_COUNT(fields)};

	w.events->on_head(&w.r, &h);
}

static void body(const char *text)
{
	w.events->on_body(&w.r, ph_str_c(text));
}

static void end(int code)
{
	struct ph_err err = {.code = code};

	w.events->on_end(&w.r, -code, code ? &err : NULL);
}

static bool holds(struct ph_buf *b, const char *text)
{
	return ph_str_find(ph_buf_str(b), ph_str_c(text)) >= 0;
}

#define STREAM "{\"model\":\"m\",\"stream\":true,\"input\":\"x\"}"
#define WHOLE  "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":null}"

static void what_is_sent(void **state)
{
	(void)state;
	begin(WHOLE);
	assert_true(holds(&w.sent, "authorization: Bearer sk-up\r\n"));
	assert_true(holds(&w.sent, "agent/1"));
	assert_true(holds(&w.sent, "\n{\"model\":\"m\",\"input\":\"x\"}")); /* null is no anchor */
	assert_false(holds(&w.sent, "client\r\n")); /* neither its key nor its organisation */
	assert_false(holds(&w.sent, "c=1"));
	assert_false(holds(&w.sent, "10.0.0.1"));
	finish();
}

static void in_order(void **state)
{
	(void)state;
	begin(STREAM);
	w.events->on_connected(&w.r);
	assert_int_equal(w.r.sm.state, REQ_SEND);
	w.events->on_sent(&w.r);
	assert_int_equal(w.r.sm.state, REQ_AWAIT);
	head(200, "text/event-stream; charset=utf-8");
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.r.sm.state, REQ_AWAIT); /* until the first event */
	assert_true(holds(&w.r.attempt.headers, "openai-processing-ms"));
	assert_false(holds(&w.r.attempt.headers, "org-acme"));
	assert_false(holds(&w.r.attempt.headers, "ratelimit"));
	assert_false(holds(&w.r.attempt.headers, "cookie"));
	body("data");
	assert_int_equal(w.fed, 1);
	end(0);
	assert_int_equal(w.finished, 1);
	assert_int_equal(w.result, -PH_E_UPSTREAM_DROPPED); /* a clean end is no terminal event */
	finish();
}

/* The answer overtakes the end of its request; what comes late moves nothing. */
static void overtaken(void **state)
{
	(void)state;
	for (int connected = 0; connected < 2; connected++) {
		begin(STREAM);
		if (connected)
			w.events->on_connected(&w.r);
		head(200, "text/event-stream");
		assert_int_equal(w.r.sm.state, REQ_AWAIT);
		if (!connected)
			w.events->on_connected(&w.r);
		w.events->on_sent(&w.r);
		assert_int_equal(w.r.sm.state, REQ_AWAIT);
		w.r.sm.state = REQ_RELAY; /* the first event came */
		w.events->on_sent(&w.r);
		assert_int_equal(w.r.sm.state, REQ_RELAY);
		finish();
	}
}

static void a_whole_answer(void **state)
{
	(void)state;
	begin(WHOLE);
	head(200, "application/json");
	assert_int_equal(w.r.sm.state, REQ_RELAY);
	body("{\"id\":\"resp_1\",\"status\":\"comp");
	body("leted\",\"output\":[]}\n");
	end(0);
	assert_int_equal(w.r.sm.state, REQ_COMMIT);
	assert_int_equal(w.r.relay.ended, PH_TERMINAL_COMPLETED);
	ph_assert_str(w.r.collect.id, PH_STR("resp_1"));
	ph_attempt_finish(&w.r);
	assert_int_equal(w.cancelled, 0);
	finish();

	const char *bad[] = {"", "[]", "{\"id\":", "<html>", "{} {}"};
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		begin(WHOLE);
		head(200, "application/json");
		body(bad[i]);
		end(0);
		assert_int_equal(w.result, -PH_E_UPSTREAM_BAD);
		finish();
	}
	begin(WHOLE);
	head(200, "application/json");
	body("{\"id\":\"r\",\"status\":\"completed\"}");
	end(PH_E_UPSTREAM_DROPPED); /* cut, whatever the bytes look like */
	assert_int_equal(w.result, -PH_E_UPSTREAM_DROPPED);
	finish();
	begin(WHOLE);
	head(200, "application/json");
	body("{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":"
	     "\"x\"}}");
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_LIMITED);
	finish();
}

/* A token that has expired is renewed once for each account; what the request went with is remembered. */
static void an_expired_token(void **state)
{
	(void)state;
	for (int renews = 0; renews < 2; renews++)
		for (uint8_t left = 0; left < 2; left++) {
			begin(STREAM);
			w.account.kind = PH_CODEX;
			w.r.attempt.secret_version = 7;
			w.renews = renews;
			w.r.left[PH_RENEW] = left;
			head(401, "application/json");
			body("{\"error\":{\"code\":\"token_expired\",\"message\":\"x\"}}");
			end(0);
			assert_int_equal(
				w.result, renews && left ? -PH_E_UPSTREAM_EXPIRED : -PH_E_UPSTREAM_DENIED);
			assert_int_equal(w.r.expired, renews && left ? 7 : 0);
			assert_int_equal(w.secret, 7);
			finish();
		}
}

/* What a client may be told of a refusal: the words, never the account. */
static void refusals(void **state)
{
	static const struct {
		int status;
		const char *type, *body;
		int code;
		const char *words;
		enum ph_health_signal signal;
	} cases[] = {
		{400, "application/json", "{\"error\":{\"message\":\"No\",\"param\":\"tools\"}}",
			PH_E_UPSTREAM_REFUSED, "{\"error\":{\"message\":\"No\",\"param\":\"tools\"}}",
			PH_SIGNAL_NONE},
		{400, "application/json", "{\"detail\":\"Unsupported parameter: top_p\"}",
			PH_E_UPSTREAM_REFUSED,
			"{\"error\":{\"message\":\"Unsupported parameter: "
			"top_p\",\"type\":\"invalid_request_error\","
			"\"param\":\"top_p\",\"code\":null}}",
			PH_SIGNAL_NONE},
		{400, "application/json", "{\"message\":\"flat\",\"code\":\"c\",\"param\":\"p\"}",
			PH_E_UPSTREAM_REFUSED,
			"{\"error\":{\"message\":\"flat\",\"type\":\"invalid_request_error\",\"param\":\"p\","
			"\"code\":\"c\"}}",
			PH_SIGNAL_NONE},
		{400, "text/html", "<html>host-7.internal</html>", PH_E_UPSTREAM_REFUSED, "", PH_SIGNAL_NONE},
		{429, "application/json", "", PH_E_UPSTREAM_LIMITED, "", PH_SIGNAL_LIMIT},
		{500, "text/html", "<html>", PH_E_UPSTREAM_FAILED, "", PH_SIGNAL_FAULT},
		{302, "text/html", "", PH_E_UPSTREAM_FAILED, "", PH_SIGNAL_FAULT},
		{204, "text/html", "", PH_E_UPSTREAM_FAILED, "", PH_SIGNAL_FAULT},
		{200, "application/json", "{\"error\":{\"code\":\"rate_limit_exceeded\"}}",
			PH_E_UPSTREAM_LIMITED, "", PH_SIGNAL_LIMIT},
		{200, "text/html", "<html>a page where events were asked for</html>", PH_E_UPSTREAM_FAILED,
			"", PH_SIGNAL_FAULT},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++)
		for (int cut = 0; cut < 2; cut++) {
			begin(STREAM);
			head(cases[i].status, cases[i].type);
			assert_int_equal(w.r.sm.state, REQ_AWAIT);
			body(cases[i].body);
			end(cut ? PH_E_UPSTREAM_DROPPED : 0);
			assert_int_equal(w.result, -cases[i].code);
			assert_int_equal(w.signal, cases[i].signal);
			assert_int_equal(w.heads, 1);
			if (cases[i].words[0] || cases[i].code == PH_E_UPSTREAM_REFUSED)
				ph_assert_str(ph_buf_str(&w.r.words), ph_str_c(cases[i].words));
			assert_false(holds(&w.r.words, account_name));
			assert_int_equal(w.opened, 0);
			finish();
		}
}

/* The Codex backend streams only: a client that wants one object gets the terminal event's. */
static void collected(void **state)
{
	(void)state;
	begin_at(PH_CODEX, WHOLE);
	assert_true(holds(&w.sent, "accept: text/event-stream\r\n"));
	assert_true(holds(&w.sent, "\"store\":false"));
	assert_true(holds(&w.sent, "\"stream\":true"));
	assert_true(holds(&w.sent, "\"input\":[{\"role\":\"user\",\"content\":\"x\"}]"));
	head(200, "text/event-stream");
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.r.sm.state, REQ_AWAIT); /* until the first event */
	assert_true(w.r.attempt.collected);
	assert_true(holds(&w.r.attempt.headers, "content-type: application/json\r\n"));
	assert_false(holds(&w.r.attempt.headers, "event-stream"));
	body("data");
	assert_int_equal(w.fed, 1);
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_DROPPED);
	finish();
	begin_at(PH_CODEX, STREAM);
	head(200, "text/event-stream");
	assert_false(w.r.attempt.collected);
	finish();
}

/* What that backend refuses is left out, once for each name; what the client did not send cannot be. */
static void omitted(void **state)
{
	static const char *const refusal = "{\"detail\":\"Unsupported parameter: verbosity\"}";

	(void)state;
	begin_at(PH_CODEX, "{\"model\":\"m\",\"input\":[],\"verbosity\":1}");
	assert_true(holds(&w.sent, "verbosity"));
	head(400, "application/json");
	body(refusal);
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_PARAMETER);
	w.result = 0;
	w.r.sm.state = REQ_CONNECT;
	assert_int_equal(ph_attempt_start(&w.r), 0);
	assert_false(holds(&w.sent, "verbosity"));
	head(400, "application/json");
	body(refusal);
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_REFUSED);
	assert_true(holds(&w.r.words, "\"param\":\"verbosity\""));
	finish();
	begin_at(PH_CODEX, "{\"model\":\"m\",\"input\":[]}");
	head(400, "application/json");
	body(refusal);
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_REFUSED);
	finish();
}

static void an_endless_refusal(void **state)
{
	char *block = malloc(100001);

	(void)state;
	memset(block, 'x', 100000);
	block[100000] = '\0';
	begin(STREAM);
	head(400, "text/plain");
	for (int i = 0; i < 30; i++)
		body(block);
	end(0);
	assert_int_equal(w.result, -PH_E_UPSTREAM_REFUSED);
	finish();
	free(block);
}

static void failures_of_the_call(void **state)
{
	const int codes[] = {
		PH_E_UPSTREAM_CONNECT, PH_E_UPSTREAM_STALE, PH_E_UPSTREAM_DROPPED, PH_E_UPSTREAM_BAD};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(codes); i++) {
		begin(STREAM);
		end(codes[i]);
		assert_int_equal(w.result, -codes[i]);
		finish();
	}
	begin(STREAM); /* after the terminal event the end is nobody's business */
	head(200, "text/event-stream");
	w.terminal_in_feed = true;
	body("data");
	assert_int_equal(w.r.sm.state, REQ_COMMIT);
	end(PH_E_UPSTREAM_DROPPED);
	assert_int_equal(w.result, 0);
	finish();
	begin(STREAM); /* it came without its blank line */
	head(200, "text/event-stream");
	w.terminal_in_finish = true;
	end(PH_E_UPSTREAM_DROPPED);
	assert_int_equal(w.result, 0);
	assert_int_equal(w.r.sm.state, REQ_COMMIT);
	finish();
}

static void the_end_of_an_attempt(void **state)
{
	(void)state;
	begin(STREAM);
	ph_attempt_end(&w.r);
	assert_int_equal(w.cancelled, 1);
	assert_null(w.r.attempt.call);
	ph_attempt_end(&w.r); /* may be repeated */
	assert_int_equal(w.cancelled, 1);
	finish();
	begin(STREAM);
	ph_attempt_finish(&w.r);
	assert_int_equal(w.abandoned, 1);
	assert_int_equal(w.cancelled, 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(in_order),
		cmocka_unit_test(overtaken),
		cmocka_unit_test(a_whole_answer),
		cmocka_unit_test(an_expired_token),
		cmocka_unit_test(refusals),
		cmocka_unit_test(collected),
		cmocka_unit_test(omitted),
		cmocka_unit_test(an_endless_refusal),
		cmocka_unit_test(failures_of_the_call),
		cmocka_unit_test(the_end_of_an_attempt),
	};

	return cmocka_run_group_tests_name("gateway.attempt", tests, NULL, NULL);
}
