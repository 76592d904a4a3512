/* SPDX-License-Identifier: Apache-2.0 */
/* A turn's body: what it is read as, and that every edit of it is the JSON that jansson would make. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/request_priv.h"

struct world {
	struct ph_arena arena;
	struct ph_turn_body b;
	struct ph_err err;
	int rc;
};

static void read_body(struct world *w, struct ph_str text)
{
	memset(w, 0, sizeof *w);
	ph_arena_init(&w->arena, 1 << 20);
	ph_buf_init(&w->b.buf, 1 << 20);
	ph_buf_puts(&w->b.buf, text);
	w->rc = ph_turn_body_read(&w->b, &w->arena, &w->err);
}

static void done(struct world *w)
{
	ph_buf_deinit(&w->b.buf);
	ph_arena_deinit(&w->arena);
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *param;
	} bad[] = {
		{"", PH_E_JSON_BAD, ""},
		{"[]", PH_E_JSON_BAD, ""},
		{"{\"model\":\"m\"", PH_E_JSON_BAD, ""},
		{"{} x", PH_E_JSON_BAD, ""},
		{"{\"model\":1}", PH_E_PARAM_BAD, "model"},
		{"{\"model\":[\"m\"]}", PH_E_PARAM_BAD, "model"},
		{"{\"model\":\"a\",\"model\":\"b\"}", PH_E_JSON_BAD, "model"},
		{"{\"input\":1}", PH_E_PARAM_BAD, "input"},
		{"{\"input\":{}}", PH_E_PARAM_BAD, "input"},
		{"{\"input\":[],\"in\\u0070ut\":[]}", PH_E_JSON_BAD, "input"},
		{"{\"stream\":\"true\"}", PH_E_PARAM_BAD, "stream"},
		{"{\"stream\":1}", PH_E_PARAM_BAD, "stream"},
		{"{\"store\":\"no\"}", PH_E_PARAM_BAD, "store"},
		{"{\"background\":0}", PH_E_PARAM_BAD, "background"},
		{"{\"previous_response_id\":5}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":{}}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":\"a\\u0000b\"}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":\"a\",\"previous_response_id\":\"b\"}", PH_E_JSON_BAD,
			"previous_response_id"},
		{"{\"previous_response_id\":\"a\",\"conversation\":\"c\"}", PH_E_ANCHOR_BAD,
			"previous_response_id"},
		{"{\"conversation\":\"c\"}", PH_E_PARAM_BAD, "conversation"},
		{"{\"prompt_cache_options\":{\"comparison_response_id\":5}}", PH_E_PARAM_BAD,
			"prompt_cache_options"},
	};
	struct world w;
	struct ph_buf b;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		read_body(&w, ph_str_c(bad[i].text));
		if (w.rc != -bad[i].code || strcmp(w.err.param, bad[i].param) != 0)
			fail_msg("%s: %d, param '%s'", bad[i].text, w.rc, w.err.param);
		done(&w);
	}
	ph_buf_init(&b, 4096);
	for (int n = PH_RESPONSE_ID_MAX; n <= PH_RESPONSE_ID_MAX + 1; n++) {
		ph_buf_reset(&b);
		ph_buf_printf(&b, "{\"previous_response_id\":\"%0*d\"}", n, 7);
		read_body(&w, ph_buf_str(&b));
		assert_int_equal(w.rc, n > PH_RESPONSE_ID_MAX ? -PH_E_ANCHOR_BAD : 0);
		done(&w);
	}
	ph_buf_deinit(&b);
}

static void understood(void **state)
{
	struct world w;

	(void)state;
	read_body(&w, PH_STR("{}"));
	assert_int_equal(w.rc, 0);
	assert_true(w.b.store); /* unless it says no */
	assert_false(w.b.stream);
	assert_false(w.b.background);
	assert_int_equal(w.b.model.n + w.b.previous.n + w.b.items.n + w.b.compared.n, 0);
	done(&w);
	read_body(&w, PH_STR("{\"model\":\"g\\u0070t\",\"stream\":true,\"store\":false,\"background\":null,"
			     "\"previous_response_id\":\"  resp_1\\n\",\"input\":\"h\\\"i\\n\"}"));
	assert_int_equal(w.rc, 0);
	ph_assert_str(w.b.model, PH_STR("gpt"));
	ph_assert_str(w.b.previous, PH_STR("resp_1"));
	assert_true(w.b.stream);
	assert_false(w.b.store);
	ph_assert_str(w.b.items, PH_STR("{\"role\":\"user\",\"content\":\"h\\\"i\\n\"}"));
	done(&w);
	const char *blank[] = {"null", "\"\"", "\"  \\t\""};
	for (size_t i = 0; i < PH_COUNT(blank); i++) {
		char text[128];

		snprintf(text, sizeof text, "{\"previous_response_id\":%s,\"conversation\":null}", blank[i]);
		read_body(&w, ph_str_c(text));
		assert_int_equal(w.rc, 0);
		assert_int_equal(w.b.previous.n, 0);
		done(&w);
	}
	read_body(&w, PH_STR("{\"input\":[ {\"type\":\"item_reference\",\"id\":\"i\"} ],"
			     "\"prompt_cache_options\":{\"comparison_response_id\":\"resp_2\"}}"));
	assert_true(w.b.references);
	ph_assert_str(w.b.items, PH_STR("{\"type\":\"item_reference\",\"id\":\"i\"}"));
	ph_assert_str(w.b.compared, PH_STR("resp_2"));
	done(&w);
	read_body(&w, PH_STR("{\"input\":[\n]}"));
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.b.items.n, 0);
	done(&w);
}

/* ---- edits ---- */

/* What jansson makes of the same edit. */
static json_t *expected(struct ph_str text, bool anchor, struct ph_str items)
{
	json_t *root = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL), *list;
	bool dropped = false;
	char array[512];

	assert_non_null(root);
	if (!anchor)
		dropped = json_object_del(root, "previous_response_id") == 0;
	if (!items.p || (!json_object_get(root, "input") && !dropped))
		return root;
	snprintf(array, sizeof array, "[%.*s]", PH_STR_ARG(items));
	list = json_loads(array, 0, NULL);
	assert_non_null(list);
	json_object_set_new(root, "input", list);
	return root;
}

static void check_edit(const struct world *w, struct ph_str text, bool anchor, struct ph_str items)
{
	struct ph_buf out;
	json_t *is, *want;

	ph_buf_init(&out, 1 << 20);
	assert_int_equal(ph_turn_body_write(&w->b, anchor, items, &out), 0);
	is = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	want = expected(text, anchor, items);
	if (!is || !json_equal(is, want))
		fail_msg("%.*s\nwith anchor %d and items %.*s became\n%.*s", PH_STR_ARG(text), anchor,
			PH_STR_ARG(items), PH_STR_ARG(ph_buf_str(&out)));
	if (anchor && !items.p)
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
	struct world w;

	read_body(&w, text);
	if (w.rc)
		fail_msg("%.*s: %d %s", PH_STR_ARG(text), w.rc, w.err.detail);
	for (size_t i = 0; i < PH_COUNT(items); i++) {
		check_edit(&w, text, false, items[i]);
		check_edit(&w, text, true, items[i]);
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
		size_t members = (size_t)ph_test_below(&seed, 7);
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
	struct world w;
	struct ph_buf out;

	(void)state;
	read_body(&w, PH_STR("{\"input\":\"x\"}"));
	ph_buf_init(&out, 8);
	assert_int_equal(ph_turn_body_write(&w.b, true, PH_STR_NONE, &out), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&out);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(understood),
		cmocka_unit_test(every_position),
		cmocka_unit_test(random_bodies),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests_name("gateway.turn_body", tests, NULL, NULL);
}
