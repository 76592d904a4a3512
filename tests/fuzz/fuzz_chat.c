/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chats, translated both ways. Whatever a client sends becomes a request that is JSON, or is refused by name;
 * whatever events an upstream sends, each of them JSON, become chunks that are JSON, with nothing behind the
 * end; and so does a whole answer. Each line of the input is a request, an event and a response at once.
 */
#include "fuzz.h"

#include "gateway/chat.h"

#define ROOM ((size_t)64 << 20)

static const struct ph_chat_names names = {"req_1", PH_STR_INIT("\"asked\""), 1700000000};

static bool is_object(struct ph_str s)
{
	return ph_json_check(s, NULL) == 0 && ph_json_kind(ph_str_trim(s)) == PH_JSON_OBJECT;
}

static void request(struct ph_str text)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("store"), PH_STR_INIT("input")};
	struct ph_chat_asked asked = {.valid = false};
	struct ph_json_member m[2];
	struct ph_err err = {0};
	struct ph_buf out;
	int rc;

	ph_buf_init(&out, ROOM);
	rc = ph_chat_request_write(text, &out, &asked, &err);
	if (rc) {
		REQUIRE(err.code == -rc);
		REQUIRE(rc != -PH_E_CHAT_MEMBER || err.param[0]);
	} else {
		REQUIRE(asked.valid && is_object(ph_buf_str(&out)));
		REQUIRE(ph_json_scan(ph_buf_str(&out), wanted, 2, m, NULL) == 0);
		REQUIRE(m[0].kind == PH_JSON_FALSE && m[1].kind == PH_JSON_ARRAY);
	}
	if (asked.model.n)
		REQUIRE(asked.model.p >= text.p && asked.model.p + asked.model.n <= text.p + text.n);
	ph_buf_deinit(&out);
}

/* Comments, and data that is an object each, or [DONE], which is the last. */
static void check_chunks(struct ph_str chunks, bool ended)
{
	bool done = false;

	while (chunks.n) {
		struct ph_str line = ph_str_split(&chunks, '\n');

		if (line.n == 0 || line.p[0] == ':')
			continue;
		REQUIRE(!done && ph_str_starts(line, PH_STR("data: ")));
		done = ph_str_eq(line, PH_STR("data: [DONE]"));
		REQUIRE(done || is_object(ph_str_from(line, 6)));
	}
	REQUIRE(done == ended);
}

static void events(struct ph_str text)
{
	struct ph_chat_answer a;
	struct ph_buf out;

	ph_buf_init(&out, ROOM);
	ph_chat_answer_init(&a, text.n % 2, &names);
	while (text.n) {
		struct ph_str line = ph_str_split(&text, '\n');

		if (is_object(line))
			ph_chat_answer_event(&a, ph_str_trim(line), &out);
	}
	check_chunks(ph_buf_str(&out), a.ended);
	ph_chat_answer_deinit(&a);
	ph_buf_deinit(&out);
}

static void whole(struct ph_str response)
{
	struct ph_buf out;
	int status;

	ph_buf_init(&out, ROOM);
	status = ph_chat_answer_whole(response, &names, &out);
	REQUIRE((status == 200 || (status >= 400 && status < 600)) && is_object(ph_buf_str(&out)));
	ph_buf_reset(&out);
	ph_chat_answer_error(response, &out);
	REQUIRE(is_object(ph_buf_str(&out)));
	ph_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};

	events(s);
	while (s.n) {
		struct ph_str line = ph_str_split(&s, '\n');

		request(line);
		if (is_object(line))
			whole(ph_str_trim(line));
	}
	return 0;
}
