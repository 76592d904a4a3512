/* SPDX-License-Identifier: Apache-2.0 */
/* Which handler serves which path: one table, first match. */
#include "chat.h"
#include "owned.h"

/*
 * path stands behind the base. In it, {id} is one segment, and * at the end whatever is left: that word,
 * decoded, is what the handler is given, else the path itself. A word that cannot be decoded, or is longer
 * than any id, arrives empty: it is as unknown as any other.
 */
struct route {
	const char *method;
	struct ph_str path;
	unsigned label; /* PH_ROUTE_x */
	void (*serve)(struct ph_gateway *g, struct ph_exchange *x, struct ph_str word);
};

static void create_response(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_request_open(g, x);
}

static void compact(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_request_open_compact(g, x);
}

static void count_tokens(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_request_open_tokens(g, x);
}

static void list_models(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_models_list(g, x, PH_STR_NONE);
}

static void get_usage(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_usage_get(g, x);
}

/* An id of a model may have slashes in it. */
static void get_model(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	struct ph_err err = {0};

	if (id.n)
		ph_models_list(g, x, id);
	else
		ph_reply_error(g, x, PH_E_MODEL_UNKNOWN, &err, 0, NULL);
}

/* Other paths: owned_paths.c. Those of them that stand here have one method. */
static const struct route routes[] = {
	{"POST", PH_STR_INIT("/responses"), PH_ROUTE_RESPONSES, create_response},
	{"POST", PH_STR_INIT("/responses/compact"), PH_ROUTE_RESPONSES, compact},
	{"POST", PH_STR_INIT("/responses/input_tokens"), PH_ROUTE_RESPONSES, count_tokens},
	{"GET", PH_STR_INIT("/responses/{id}"), PH_ROUTE_RESPONSE, ph_responses_get},
	{"POST", PH_STR_INIT("/responses/{id}/cancel"), PH_ROUTE_RESPONSE, ph_responses_cancel},
	{"DELETE", PH_STR_INIT("/responses/{id}"), PH_ROUTE_RESPONSE, ph_responses_delete},
	{"GET", PH_STR_INIT("/responses/{id}/input_items"), PH_ROUTE_INPUT_ITEMS, ph_responses_items},
	{"GET", PH_STR_INIT("/usage"), PH_ROUTE_OTHER, get_usage},
	{"GET", PH_STR_INIT("/models"), PH_ROUTE_MODELS, list_models},
	{"GET", PH_STR_INIT("/models/*"), PH_ROUTE_MODELS, get_model},
	{"POST", PH_STR_INIT("/chat/completions"), PH_ROUTE_CHAT, ph_chat_open},
	{"GET", PH_STR_INIT("/chat/completions"), PH_ROUTE_CHAT, ph_owned_list_open},
	{"GET", PH_STR_INIT("/wham/usage"), PH_ROUTE_OTHER, ph_pool_usage},
	{"GET", PH_STR_INIT("/api/codex/usage"), PH_ROUTE_OTHER, ph_pool_usage},
	{"POST", PH_STR_INIT("/embeddings"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/moderations"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/audio/speech"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/audio/transcriptions"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/audio/translations"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/images/generations"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/images/edits"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/images/variations"), PH_ROUTE_RELAY, ph_pass_open},
	{"POST", PH_STR_INIT("/completions"), PH_ROUTE_RELAY, ph_pass_open},
};

/* What stands behind /v1, /backend-api/codex or /backend-api/codex/v1; false for other paths. */
static bool behind_base(struct ph_str path, struct ph_str *ret)
{
	static const struct ph_str bases[] = {PH_STR_INIT("/backend-api/codex/v1/"),
		PH_STR_INIT("/backend-api/codex/"), PH_STR_INIT("/v1/")};

	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		if (!ph_str_starts(path, bases[i]))
			continue;
		*ret = ph_str_from(path, bases[i].n - 1);
		if (ret->n > 1 && ret->p[ret->n - 1] == '/')
			ret->n--;
		return true;
	}
	return false;
}

static bool matches(struct ph_str pattern, struct ph_str path, struct ph_str *ret_word)
{
	struct ph_str want, got;

	*ret_word = PH_STR_NONE;
	while (pattern.n && path.n) {
		want = ph_str_split(&pattern, '/');
		if (ph_str_eq(want, PH_STR("*"))) {
			*ret_word = path;
			return true;
		}
		got = ph_str_split(&path, '/');
		if (ph_str_eq(want, PH_STR("{id}")) && got.n)
			*ret_word = got;
		else if (!ph_str_eq(want, got))
			return false;
	}
	return pattern.n == 0 && path.n == 0;
}

static void refuse(struct ph_gateway *g, struct ph_exchange *x, int code)
{
	struct ph_err err = {.code = code};
	size_t method = x->head->method.n < 16 ? x->head->method.n : 16;
	size_t path = x->path.n < 128 ? x->path.n : 128;

	if (code == PH_E_METHOD_BAD || code == PH_E_ROUTE_UNKNOWN)
		ph_fail(&err, code, "(%.*s %.*s)", (int)method, x->head->method.p, (int)path, x->path.p);
	ph_reply_error(g, x, code, &err, 0, NULL);
}

/* Whether this path has that method. */
static bool has_method(struct ph_str path, const char *method)
{
	struct ph_str word;
	struct ph_path read;
	bool ours = false;

	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		if (!matches(routes[i].path, path, &word))
			continue;
		ours = true;
		if (strcmp(routes[i].method, method) == 0)
			return true;
	}
	ph_path_read(ph_str_c(method), path, &read);
	return !ours && (read.use == PH_PATH_RELAY || read.use == PH_PATH_LIST);
}

static void refuse_method(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE"};
	struct ph_buf allowed, header;

	ph_buf_init(&allowed, 64);
	ph_buf_init(&header, 128);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (has_method(path, methods[i]))
			ph_buf_printf(&allowed, "%s%s", allowed.n ? ", " : "", methods[i]);
	ph_http_put_header(&header, PH_STR("allow"), ph_buf_str(&allowed));
	x->marks = ph_buf_str(&header);
	refuse(g, x, PH_E_METHOD_BAD);
	x->marks = PH_STR_NONE;
	ph_buf_deinit(&allowed);
	ph_buf_deinit(&header);
}

static void serve(struct ph_gateway *g, struct ph_exchange *x, const struct route *route, struct ph_str path,
	struct ph_str raw)
{
	char space[2 * PH_RESPONSE_ID_MAX];
	struct ph_str word = {.p = space};

	x->route = route->label;
	if (raw.n && ph_percent_decode(raw, false, space, sizeof space, &word.n))
		word.n = 0;
	route->serve(g, x, raw.n ? word : path);
}

/* What upstreams keep for a key, and paths that are not known here. */
static void serve_other(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_path read;

	ph_path_read(x->head->method, path, &read);
	switch (read.use) {
	case PH_PATH_RELAY:
		ph_pass_open(g, x, path);
		return;
	case PH_PATH_LIST:
		ph_owned_list_open(g, x, path);
		return;
	case PH_PATH_NO_METHOD:
		refuse_method(g, x, path);
		return;
	case PH_PATH_CLOSED:
		refuse(g, x, PH_E_ROUTE_UNKNOWN);
	}
}

static void route(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	int code = PH_E_ROUTE_UNKNOWN;

	if (ph_courtesy_has(path)) {
		ph_courtesy_open(g, x, path);
		return;
	}
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		struct ph_str word;

		if (!matches(routes[i].path, path, &word))
			continue;
		code = PH_E_METHOD_BAD;
		if (ph_str_eq(x->head->method, ph_str_c(routes[i].method))) {
			serve(g, x, &routes[i], path, word);
			return;
		}
	}
	if (code == PH_E_ROUTE_UNKNOWN)
		serve_other(g, x, path);
	else
		refuse_method(g, x, path);
}

/* Codex clients call the backend's other services beside the API, and some with its base in front. */
static bool beside_base(struct ph_gateway *g, struct ph_exchange *x)
{
	static const struct ph_str backend = PH_STR_INIT("/backend-api");
	struct ph_str path = x->path;

	if (!ph_str_starts(path, backend))
		return false;
	path = ph_str_from(path, backend.n);
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	if (ph_str_eq(path, PH_STR("/wham/usage")) || ph_str_eq(path, PH_STR("/api/codex/usage")))
		ph_pool_usage(g, x, path);
	else if (ph_courtesy_has(path))
		ph_courtesy_open(g, x, path);
	else
		return false;
	return true;
}

static void upgrade(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	x->route = PH_ROUTE_RESPONSES;
	if (ph_str_eq(x->head->method, PH_STR("GET")) && ph_str_eq(path, PH_STR("/responses")))
		ph_session_open(g, x);
	else
		refuse(g, x, PH_E_UPGRADE_REFUSED);
}

void ph_gateway_handle(struct ph_gateway *g, struct ph_exchange *x)
{
	struct ph_str path = PH_STR_NONE;

	x->route = PH_ROUTE_OTHER;
	if (x->head->upgrade && !g->config->websocket)
		refuse(g, x, PH_E_UPGRADE_REFUSED);
	else if (!g->ready)
		refuse(g, x, PH_E_DATABASE_AWAY);
	else if (!x->head->upgrade && beside_base(g, x))
		return;
	else if (!behind_base(x->path, &path))
		refuse(g, x, PH_E_ROUTE_UNKNOWN);
	else if (x->head->upgrade)
		upgrade(g, x, path);
	else
		route(g, x, path);
}
