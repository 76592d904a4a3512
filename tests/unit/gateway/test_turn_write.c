/* SPDX-License-Identifier: Apache-2.0 */
/* A turn's body for an account: every edit of it is the JSON that jansson would make, and what is not edited
 * stays byte for byte. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "body_test.h"

/* What jansson makes of the same edit. */
static json_t *expected(struct ph_str text, const struct ph_body_plan *p)
{
	static const char *const refused[] = {"previous_response_id", "conversation", "background",
		"prompt_cache_options", "max_output_tokens", "metadata", "prompt_cache_retention",
		"safety_identifier", "temperature", "top_p", "truncation", "user"};
	json_t *root = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL), *list;
	const char *tier;
	char array[512];

	assert_non_null(root);
	json_object_del(root, "generate");
	if (!p->anchor)
		json_object_del(root, "previous_response_id");
	if (!p->codex)
		json_object_del(root, "client_metadata");
	for (size_t i = 0; p->codex && i < PH_COUNT(refused); i++)
		json_object_del(root, refused[i]);
	if (p->codex) {
		json_object_set_new(root, "store", json_false());
		json_object_set_new(root, "stream", json_true());
		tier = json_string_value(json_object_get(root, "service_tier"));
		if (tier && strcmp(tier, "fast") == 0)
			json_object_set_new(root, "service_tier", json_string("priority"));
	}
	for (size_t i = 0; i < p->omit_count; i++)
		json_object_del(root, p->omit[i].p);
	if (!p->items.p)
		return root;
	snprintf(array, sizeof array, "[%.*s]", PH_STR_ARG(p->items));
	list = json_loads(array, 0, NULL);
	assert_non_null(list);
	json_object_set_new(root, "input", list);
	return root;
}

static void check_edit(const struct world *w, struct ph_str text, const struct ph_body_plan *p)
{
	struct ph_buf out;
	json_t *is, *want;

	ph_buf_init(&out, 1 << 20);
	assert_int_equal(ph_turn_body_write(&w->b, p, &out), 0);
	is = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	want = expected(text, p);
	if (!is || !json_equal(is, want))
		fail_msg("%.*s\nwith anchor %d, codex %d, %zu omitted and items %.*s became\n%.*s",
			PH_STR_ARG(text), p->anchor, p->codex, p->omit_count, PH_STR_ARG(p->items),
			PH_STR_ARG(ph_buf_str(&out)));
	if (p->anchor && !p->items.p && !p->codex && !p->omit_count &&
		w->b.m[PH_B_CLIENT_METADATA].kind == PH_JSON_ABSENT &&
		w->b.m[PH_B_GENERATE].kind == PH_JSON_ABSENT)
		ph_assert_str(ph_buf_str(&out), text); /* byte for byte */
	json_decref(is);
	json_decref(want);
	ph_buf_deinit(&out);
}

static void check_edits(struct ph_str text)
{
	static const struct ph_str items[] = {
		{NULL, 0},
		PH_STR_INIT(""),
		PH_STR_INIT("{\"role\":\"user\",\"content\":\"x\"}"),
		PH_STR_INIT("{\"a\":[1,{}]},{\"b\":\"\\u00e9\"},\"s\""),
	};
	static const struct ph_str omit[] = {PH_STR_INIT("m1"), PH_STR_INIT("temperature")};
	struct world w;

	read_body(&w, text);
	if (w.rc)
		fail_msg("%.*s: %d %s", PH_STR_ARG(text), w.rc, w.err.detail);
	for (size_t i = 0; i < PH_COUNT(items); i++)
		for (int k = 0; k < 8; k++) {
			struct ph_body_plan p = {.account = 1,
				.anchor = k & 1,
				.codex = k & 2,
				.items = items[i],
				.omit = omit,
				.omit_count = k & 4 ? PH_COUNT(omit) : 0};

			check_edit(&w, text, &p);
		}
	done(&w);
}

static const char *const anchors[] = {"null", "\"\"", "\"resp_1\"", "\"a\\\"}{,\""};
static const char *const inputs[] = {"null", "\"\"", "\"},{\\\\\"", "[]", "[ ]",
	"[{\"role\":\"user\",\"content\":\"previous_response_id\"}]"};

/* Every order of the two among up to two other members, every value. */
static void every_position(void **state)
{
	static const char *const orders[] = {"p", "i", "pi", "ip", "xp", "px", "xi", "ix", "xpi", "xip",
		"pxi", "ixp", "pix", "ipx", "xpyi", "xiyp", "xpiy", "xipy", "pxyi", "ixyp", "pxiy", "ixpy",
		"xypi", "xyip", "x", "", "xy"};
	static const char *const spaces[] = {"", " ", "\n\t"};

	(void)state;
	for (size_t o = 0; o < PH_COUNT(orders); o++)
		for (size_t a = 0; a < PH_COUNT(anchors); a++)
			for (size_t i = 0; i < PH_COUNT(inputs); i++)
				for (size_t s = 0; s < PH_COUNT(spaces); s++) {
					struct ph_buf b;
					const char *sp = spaces[s];

					ph_buf_init(&b, 4096);
					ph_buf_printf(&b, "%s{%s", sp, sp);
					for (const char *p = orders[o]; *p; p++) {
						const char *name = *p == 'p'   ? "previous_response_id"
								   : *p == 'i' ? "input"
								   : *p == 'x' ? "tools"
									       : "metadata";
						const char *value =
							*p == 'p'   ? anchors[a]
							: *p == 'i' ? inputs[i]
							: *p == 'x' ? "[{\"input\":1},2]"
								    : "{\"previous_response_id\":\"y\"}";

						ph_buf_printf(&b, "%s\"%s\"%s:%s%s%s",
							p == orders[o] ? "" : ",", name, sp, sp, value, sp);
					}
					ph_buf_printf(&b, "}%s", sp);
					check_edits(ph_buf_str(&b));
					ph_buf_deinit(&b);
				}
}

static const char *const values[] = {"null", "true", "-1.5e3", "\"\"", "\"\\u0000\\ud83d\\ude00\"", "[]",
	"{}", "[1,[2,{\"input\":[]}]]", "{\"previous_response_id\":{\"a\":\",\"}}"};

/* Members that some kind of account must not see, or not as they are. */
static const struct named {
	const char *name, *value;
} known[] = {
	{"temperature", "0.1"},
	{"top_p", "1"},
	{"user", "\"u\""},
	{"truncation", "\"auto\""},
	{"metadata", "{\"a\":\"b\"}"},
	{"max_output_tokens", "7"},
	{"store", "true"},
	{"stream", "false"},
	{"background", "false"},
	{"generate", "true"},
	{"service_tier", "\"fast\""},
	{"client_metadata", "{\"a\":\"1\"}"},
	{"safety_identifier", "\"s\""},
	{"prompt_cache_retention", "\"24h\""},
	{"prompt_cache_options", "{}"},
	{"conversation", "null"},
};

static void put_space(struct ph_buf *b, uint64_t *seed)
{
	static const char *const s[] = {"", "", "", " ", "\n", "\t ", "\r\n"};

	ph_buf_puts(b, ph_str_c(s[ph_test_below(seed, PH_COUNT(s))]));
}

static void random_bodies(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t members = (size_t)ph_test_below(&seed, 9), named = (size_t)ph_test_below(&seed, 20);
		bool has_anchor = false, has_input = false;
		struct ph_buf b;

		ph_buf_init(&b, 4096);
		put_space(&b, &seed);
		ph_buf_putc(&b, '{');
		for (size_t i = 0; i < members; i++) {
			uint64_t what = ph_test_below(&seed, 4);
			const char *value = values[ph_test_below(&seed, PH_COUNT(values))];
			char name[32];

			snprintf(name, sizeof name, "m%zu", i);
			if (what == 0 && !has_anchor) {
				has_anchor = true;
				value = anchors[ph_test_below(&seed, PH_COUNT(anchors))];
				snprintf(name, sizeof name, "previous_response_i%s",
					ph_test_below(&seed, 2) ? "d" : "\\u0064");
			} else if (what == 1 && !has_input) {
				has_input = true;
				value = inputs[ph_test_below(&seed, PH_COUNT(inputs))];
				snprintf(name, sizeof name, "input");
			} else if (what == 2) {
				const struct named *n = &known[(named + i) % PH_COUNT(known)];

				snprintf(name, sizeof name, "%s", n->name);
				value = n->value;
			}
			put_space(&b, &seed);
			if (i)
				ph_buf_putc(&b, ',');
			put_space(&b, &seed);
			ph_buf_printf(&b, "\"%s\"", name);
			put_space(&b, &seed);
			ph_buf_putc(&b, ':');
			put_space(&b, &seed);
			ph_buf_puts(&b, ph_str_c(value));
		}
		put_space(&b, &seed);
		ph_buf_putc(&b, '}');
		put_space(&b, &seed);
		check_edits(ph_buf_str(&b));
		ph_buf_deinit(&b);
	}
}

static void no_room(void **state)
{
	struct ph_body_plan plan = {.account = 1};
	struct world w;
	struct ph_buf out;

	(void)state;
	read_body(&w, PH_STR("{\"input\":\"x\"}"));
	ph_buf_init(&out, 8);
	assert_int_equal(ph_turn_body_write(&w.b, &plan, &out), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&out);
	done(&w);
}

/* One account's routing mark goes back to that account, as it came; to no other. */
static void turn_state(void **state)
{
	static const struct {
		const char *metadata;
		const char *to_7, *to_8;
	} cases[] = {
		{"{\"x-codex-turn-state\":\"7.ts\"}", "{\"x-codex-turn-state\":\"ts\"}", "{}"},
		{"{\"a\":\"1\", \"x-codex-turn-state\":\"7.a.b\"}",
			"{\"a\":\"1\", \"x-codex-turn-state\":\"a.b\"}", "{\"a\":\"1\"}"},
		{"{\"x-codex-turn-state\":\"7.t\",\"a\":\"1\"}", "{\"x-codex-turn-state\":\"t\",\"a\":\"1\"}",
			"{\"a\":\"1\"}"},
		{"{\"x-codex-turn-state\":\"raw\"}", "{}", "{}"},
		{"{\"x-codex-turn-state\":5}", "{}", "{}"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++)
		for (int64_t account = 7; account < 9; account++) {
			struct ph_body_plan plan = {.account = account, .codex = true};
			char text[256], want[256];
			struct world w;
			struct ph_buf out;

			snprintf(text, sizeof text,
				"{\"store\":false,\"stream\":true,\"client_metadata\":%s}",
				cases[i].metadata);
			snprintf(want, sizeof want,
				"{\"store\":false,\"stream\":true,\"client_metadata\":%s}",
				account == 7 ? cases[i].to_7 : cases[i].to_8);
			read_body(&w, ph_str_c(text));
			ph_buf_init(&out, 4096);
			assert_int_equal(ph_turn_body_write(&w.b, &plan, &out), 0);
			ph_assert_str(ph_buf_str(&out), ph_str_c(want));
			ph_buf_deinit(&out);
			done(&w);
		}
}

/* What comes and goes as a frame: its manner is its own, the lane is ours. */
static void frames(void **state)
{
	static const struct {
		bool from, to, codex, anchor; /* a frame came, a frame goes */
		const char *text, *want;
	} cases[] = {
		{true, true, false, true,
			"{\"type\":\"response.create\",\"stream\":true,\"background\":true,\"stream_id\":"
			"\"a\","
			"\"generate\":false,\"previous_response_id\":\"r\"}",
			"{\"type\":\"response.create\",\"generate\":false,\"previous_response_id\":\"r\"}"},
		{true, true, true, true,
			"{\"type\":\"response.create\",\"previous_response_id\":\"r\",\"temperature\":1}",
			"{\"type\":\"response.create\",\"previous_response_id\":\"r\",\"store\":false}"},
		{true, false, false, false, "{\"type\":\"response.create\",\"stream_id\":\"a\",\"x\":1}",
			"{\"x\":1,\"stream\":true}"},
		{true, false, false, false, "{\"type\":\"response.create\",\"stream\":false}",
			"{\"stream\":true}"},
		{false, true, false, false, "{\"stream\":true,\"x\":1}",
			"{\"x\":1,\"type\":\"response.create\"}"},
		{false, true, false, false, "{}", "{\"type\":\"response.create\"}"},
		{false, false, false, false, "{\"type\":\"x\",\"stream_id\":\"a\",\"stream\":false}",
			"{\"type\":\"x\",\"stream_id\":\"a\",\"stream\":false}"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_body_plan plan = {.account = 1,
			.codex = cases[i].codex,
			.socket = cases[i].to,
			.anchor = cases[i].anchor};
		struct world w;
		struct ph_buf out;

		read_body(&w, ph_str_c(cases[i].text));
		w.b.frame = cases[i].from;
		ph_buf_init(&out, 4096);
		assert_int_equal(ph_turn_body_write(&w.b, &plan, &out), 0);
		ph_assert_str(ph_buf_str(&out), ph_str_c(cases[i].want));
		ph_buf_deinit(&out);
		done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_position),
		cmocka_unit_test(random_bodies),
		cmocka_unit_test(no_room),
		cmocka_unit_test(turn_state),
		cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests_name("gateway.turn_write", tests, NULL, NULL);
}
