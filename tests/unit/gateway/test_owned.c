/* SPDX-License-Identifier: Apache-2.0 */
/* Which paths carry ids where, and which members name them. */
#include "ph_test.h"

#include <stdio.h>

#include "gateway/owned.h"

#define S(text) PH_STR(text)

static void paths(void **state)
{
	static const struct {
		const char *method, *path;
		enum ph_path_use use;
		const char *kind, *id;
		bool creates, object, removes;
	} all[] = {
		{"GET", "/files", PH_PATH_LIST, "files", "", false, false, false},
		{"POST", "/files", PH_PATH_RELAY, "files", "", true, true, false},
		{"PUT", "/files", PH_PATH_NO_METHOD, "files", "", false, false, false},
		{"HEAD", "/files", PH_PATH_NO_METHOD, "files", "", false, false, false},
		{"GET", "/files/file-1", PH_PATH_RELAY, "files", "file-1", false, true, false},
		{"HEAD", "/files/file-1", PH_PATH_RELAY, "files", "file-1", false, false, false},
		{"DELETE", "/files/file-1", PH_PATH_RELAY, "files", "file-1", false, true, true},
		{"PATCH", "/files/file-1", PH_PATH_NO_METHOD, "files", "file-1", false, true, false},
		{"GET", "/files/file-1/content", PH_PATH_RELAY, "files", "file-1", false, false, false},
		{"GET", "/files//content", PH_PATH_CLOSED, "files", "", false, false, false},
		{"GET", "/files/a//b", PH_PATH_CLOSED, "files", "a", false, false, false},
		{"GET", "/files/a/%2F..%2Fb", PH_PATH_CLOSED, "files", "a", false, false, false},
		{"GET", "/files/a/x%5cb", PH_PATH_CLOSED, "files", "a", false, false, false},
		{"GET", "/filesystem", PH_PATH_CLOSED, "", "", false, false, false},
		{"GET", "/conversations", PH_PATH_NO_METHOD, "conversations", "", false, false, false},
		{"POST", "/conversations/c/items", PH_PATH_RELAY, "conversations", "c", false, true, false},
		{"DELETE", "/conversations/c/items/m", PH_PATH_RELAY, "conversations", "c", false, false,
			false},
		{"POST", "/fine_tuning/jobs", PH_PATH_RELAY, "fine_tuning/jobs", "", true, true, false},
		{"GET", "/fine_tuning/jobs/j/events", PH_PATH_RELAY, "fine_tuning/jobs", "j", false, false,
			false},
		{"GET", "/fine_tuning/checkpoints/c/permissions", PH_PATH_CLOSED, "", "", false, false,
			false},
		{"GET", "/chat/completions", PH_PATH_LIST, "chat/completions", "", false, false, false},
		{"DELETE", "/chat/completions/c", PH_PATH_RELAY, "chat/completions", "c", false, true, true},
		{"GET", "/chat/completions/c/messages", PH_PATH_RELAY, "chat/completions", "c", false, false,
			false},
		{"GET", "/chat/sessions", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/videos/v/remix", PH_PATH_RELAY, "videos", "v", true, true, false},
		{"POST", "/audio/speech", PH_PATH_RELAY, "", "", false, false, false},
		{"GET", "/audio/speech", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/fine_tuning/alpha/graders/run", PH_PATH_RELAY, "", "", false, false, false},
		{"POST", "/things/thing_1/run", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/things/ABC", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/things/", PH_PATH_RELAY, "", "", false, false, false},
		{"POST", "/things//x", PH_PATH_CLOSED, "", "", false, false, false},
		{"GET", "/things", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/responses/compact", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/organization/admin_keys", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/realtime/client_secrets", PH_PATH_CLOSED, "", "", false, false, false},
		{"POST", "/", PH_PATH_CLOSED, "", "", false, false, false},
	};
	struct ph_path p;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(all); i++) {
		ph_path_read(ph_str_c(all[i].method), ph_str_c(all[i].path), &p);
		if (p.use != all[i].use || !ph_str_eq(p.id, ph_str_c(all[i].id)) ||
			!ph_str_eq(p.collection ? p.collection->kind : S(""), ph_str_c(all[i].kind)))
			fail_msg("%s %s: %d, '%.*s'", all[i].method, all[i].path, p.use, PH_STR_ARG(p.id));
		if (p.use != PH_PATH_RELAY)
			continue;
		if (p.creates != all[i].creates || p.object != all[i].object || p.removes != all[i].removes)
			fail_msg("%s %s: creates %d, object %d, removes %d", all[i].method, all[i].path,
				p.creates, p.object, p.removes);
	}
}

static void what_makes_models_run(void **state)
{
	static const struct {
		const char *method, *path;
		bool runs;
	} all[] = {
		{"POST", "/batches", true},
		{"GET", "/batches/b", false},
		{"POST", "/evals/e/runs", true},
		{"DELETE", "/evals/e", false},
		{"POST", "/fine_tuning/jobs", true},
		{"POST", "/videos", true},
		{"POST", "/files", false},
		{"POST", "/conversations/c/items", false},
		{"POST", "/embeddings", true},
		{"POST", "/anything/else", true},
	};
	struct ph_path p;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(all); i++) {
		ph_path_read(ph_str_c(all[i].method), ph_str_c(all[i].path), &p);
		assert_int_equal(p.use, PH_PATH_RELAY);
		if (p.runs != all[i].runs)
			fail_msg("%s %s: %d", all[i].method, all[i].path, p.runs);
	}
}

/* The ids in their order, joined by commas. */
static void named(void (*read)(struct ph_str, struct ph_arena *, struct ph_owned_ids *), const char *json,
	const char *expected)
{
	static struct ph_owned_ids ids;
	struct ph_arena a;
	struct ph_buf b;

	ids.n = 0;
	ids.full = ids.forbidden = false;
	ph_arena_init(&a, 1 << 20);
	ph_buf_init(&b, 1 << 20);
	assert_int_equal(ph_json_check(ph_str_c(json), NULL), 0);
	read(ph_str_c(json), &a, &ids);
	for (size_t i = 0; i < ids.n; i++)
		ph_buf_printf(&b, "%s%.*s", i ? "," : "", PH_STR_ARG(ids.list[i].id));
	if (ids.forbidden)
		ph_buf_puts(&b, S("!"));
	if (!ph_str_eq(ph_buf_str(&b), ph_str_c(expected)))
		fail_msg("%s: '%.*s'", json, PH_STR_ARG(ph_buf_str(&b)));
	ph_buf_deinit(&b);
	ph_arena_deinit(&a);
}

static void names_in_requests(void **state)
{
	static const char *const all[][2] = {
		{"{\"input_file_id\":\"f1\",\"endpoint\":\"/v1/responses\"}", "f1"},
		{"{\"training_file\":\"f1\",\"validation_file\":\"f2\"}", "f1,f2"},
		{"{\"file_ids\":[\"f1\",\"f2\",\"f1\"]}", "f1,f2"},
		{"{\"tool_resources\":{\"file_search\":{\"vector_store_ids\":[\"v\"]}}}", "v"},
		{"{\"a\":[{\"b\":[{\"file_id\":\"deep\"}]}]}", "deep"},
		{"{\"file_id\":\"a\",\"file_id\":\"b\"}", "a,b"},
		{"{\"file\\u005fid\":\"hidden\"}", "hidden"},
		{"{\"file_id\":\"f\\u0031\"}", "f1"},
		{"{\"file_id\":null,\"container\":{\"type\":\"auto\",\"file_ids\":[\"x\"]}}", "x"},
		{"{\"conversation\":{\"id\":\"c\"}}", "c"},
		{"{\"source\":{\"type\":\"file_id\",\"id\":\"f\"}}", "f"},
		{"{\"source\":{\"type\":\"responses\",\"model\":\"m\"}}", "!"},
		{"{\"source\":{\"type\":\"stored_completions\"}}", "!"},
		{"{\"metadata\":{\"file_id\":\"a note\"}}", ""},
		{"{\"file_id\":\"\"}", ""},
		{"{\"text\":\"{\\\"file_id\\\":\\\"x\\\"}\"}", ""},
		{"\"file_id\"", ""},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(all); i++)
		named(ph_owned_names, all[i][0], all[i][1]);
}

/* A history tells of files that nobody opens any more; a function may call its arguments as it likes. */
static void names_in_turns(void **state)
{
	static const char *const all[][2] = {
		{"[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}]", "f"},
		{"[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{\"type\":\"input_"
		 "image\","
		 "\"file_id\":\"f\"}]}]",
			"f"},
		{"[{\"content\":[{\"type\":\"input_file\",\"file\\u005fid\":\"hidden\"}]}]", "hidden"},
		{"[{\"content\":[{\"type\":\"input_file\",\"\\u0066ile_id\":\"hidden\"}]}]", "hidden"},
		{"[{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"t\","
		 "\"annotations\":[{"
		 "\"type\":\"file_citation\",\"file_id\":\"f\"}]}]}]",
			""},
		{"[{\"type\":\"file_search_call\",\"results\":[{\"file_id\":\"f\"}]}]", ""},
		{"[{\"type\":\"code_interpreter_call\",\"container_id\":\"c\"}]", ""},
		{"[{\"role\":\"user\",\"content\":\"say \\\"file_id\\\":\\\"x\\\" twice\"}]", ""},
		{"[{\"previous_response_id\":\"r\",\"a_id\":\"x\"}]", ""},
		{"\"a file_id\"", ""},
	};
	static const char *const tools[][2] = {
		{"[{\"type\":\"file_search\",\"vector_store_ids\":[\"v\",\"w\"]}]", "v,w"},
		{"[{\"type\":\"code_interpreter\",\"container\":\"c\"}]", "c"},
		{"[{\"type\":\"code_interpreter\",\"container\":{\"type\":\"auto\",\"file_ids\":[\"f\"]}}]",
			"f"},
		{"[{\"type\":\"image_generation\",\"input_image_mask\":{\"file_id\":\"f\"}}]", "f"},
		{"[{\"type\":\"function\",\"name\":\"n\",\"parameters\":{\"default\":{\"file_id\":\"x\"}}}]",
			""},
		{"[{\"type\":\"function\",\"name\":\"n\",\"container\":\"x\",\"file_id\":\"y\"}]", ""},
		{"[]", ""},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(all); i++)
		named(ph_owned_turn_names, all[i][0], all[i][1]);
	for (size_t i = 0; i < PH_COUNT(tools); i++)
		named(ph_owned_turn_names, tools[i][0], tools[i][1]);
}

/* What is not seen in passing is not walked. */
static void names_seen_in_passing(void **state)
{
	static const char *const some[] = {"file_id", "file_ids", "vector_store_id", "vector_store_ids",
		"container", "container_id", "skill_id"};
	static const char *const others[] = {
		"", "id", "type", "call_id", "content", "file_idx", "files", "input_file_id"};
	char quoted[64];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(some); i++) {
		snprintf(quoted, sizeof quoted, "\"%s\"", some[i]);
		assert_true(ph_owned_may_name(ph_str_c(quoted), false));
	}
	for (size_t i = 0; i < PH_COUNT(others); i++) {
		snprintf(quoted, sizeof quoted, "\"%s\"", others[i]);
		assert_false(ph_owned_may_name(ph_str_c(quoted), false));
	}
	assert_true(ph_owned_may_name(S("\"f\\u0069le_id\""), true));
}

static void more_than_a_request_may_name(void **state)
{
	static struct ph_owned_ids ids;
	char text[PH_OWNED_IDS_MAX + 1][16];

	(void)state;
	ids.n = 0;
	ids.full = false;
	for (int i = 0; i <= PH_OWNED_IDS_MAX; i++) {
		assert_false(ids.full);
		snprintf(text[i], sizeof text[i], "id%d", i);
		ph_owned_name(&ids, ph_str_c(text[i]), "File", "");
	}
	assert_int_equal(ids.n, PH_OWNED_IDS_MAX);
	assert_true(ids.full);
}

static void answers(void **state)
{
	static const char *const all[][2] = {
		{"{\"id\":\"batch\",\"output_file_id\":\"o\",\"error_file_id\":\"e\"}", "o,e"},
		{"{\"id\":\"batch\",\"output_file_id\":null}", ""},
		{"{\"id\":\"job\",\"result_files\":[\"r\",\"s\"]}", "r,s"},
		{"{\"id\":\"upload\",\"file\":{\"id\":\"f\",\"object\":\"file\"}}", "f"},
		{"{\"id\":\"x\",\"nested\":{\"output_file_id\":\"o\"}}", ""},
	};
	struct ph_minted ids[PH_MINTED_MAX];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(all); i++) {
		struct ph_arena a;
		struct ph_buf b;
		size_t n;

		ph_arena_init(&a, 1 << 20);
		ph_buf_init(&b, 1 << 20);
		n = ph_owned_minted(ph_str_c(all[i][0]), &a, ids);
		for (size_t k = 0; k < n; k++) {
			ph_buf_printf(&b, "%s%.*s", k ? "," : "", PH_STR_ARG(ids[k].id));
			assert_true(ph_str_eq(ids[k].kind, S("files")));
		}
		assert_true(ph_str_eq(ph_buf_str(&b), ph_str_c(all[i][1])));
		ph_buf_deinit(&b);
		ph_arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(what_makes_models_run),
		cmocka_unit_test(names_in_requests),
		cmocka_unit_test(names_in_turns),
		cmocka_unit_test(names_seen_in_passing),
		cmocka_unit_test(more_than_a_request_may_name),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
