/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status page: its files are compiled in, its figures come as /status.json. Whoever reaches the admin
 * listener may see it; it shows names of accounts, nodes and keys, never a secret and never a word of a
 * conversation.
 */
#include <stdlib.h>

#include "admin_priv.h"

#define JSON_MAX (5 * 1024 * 1024)

/* Owner: itself, until it has answered or the client has left. */
struct look {
	struct ph_status_wait wait;
	struct ph_exchange *x;
};

static void answer(struct ph_exchange *x, const struct ph_picture *p)
{
	struct ph_buf json;

	ph_buf_init(&json, JSON_MAX);
	ph_buf_printf(&json,
		"{\"age_ms\":%llu,\"database\":%s,\"write_state\":\"%s\",\"commit_ms\":%llu,\"remedies\":",
		(unsigned long long)p->age_ms, p->stale ? "\"away\"" : "\"up\"", p->write_state,
		(unsigned long long)p->commit_ms);
	ph_remedies_put(&json);
	ph_buf_printf(&json, ",\"cluster\":");
	ph_buf_puts(&json, p->json.n ? p->json : PH_STR("null"));
	ph_buf_putc(&json, '}');
	ph_admin_reply(x, json.failed ? 500 : 200, PH_STR("application/json"), ph_buf_str(&json));
	ph_buf_deinit(&json);
}

static void on_picture(struct ph_status_wait *w, const struct ph_picture *p)
{
	struct look *l = PH_CONTAINER(w, struct look, wait);

	answer(l->x, p);
	free(l);
}

static void on_nothing(void *h)
{
	(void)h;
}

static void on_body_failed(void *h, int code, const struct ph_err *err)
{
	(void)h;
	(void)code;
	(void)err; /* a body that nobody asked for */
}

static void on_gone(void *h)
{
	struct look *l = h;

	ph_gateway_status_cancel(&l->wait);
	free(l);
}

static const struct ph_handler handler = {on_nothing, on_body_failed, on_nothing, on_gone};

static void look(const struct ph_node_view *node, struct ph_exchange *x)
{
	struct look *l = ph_alloc(sizeof *l);

	l->x = x;
	l->wait.cb = on_picture;
	x->handler = &handler;
	x->h = l;
	ph_gateway_status(node->gateway, &l->wait);
}

bool ph_page_handle(const struct ph_node_view *node, struct ph_exchange *x)
{
	if (ph_str_eq(x->path, PH_STR("/status.json"))) {
		look(node, x);
		return true;
	}
	for (size_t i = 0; i < ph_page_file_count; i++) {
		const struct ph_page_file *f = &ph_page_files[i];

		if (ph_str_eq(x->path, ph_str_c(f->path))) {
			ph_admin_reply(x, 200, ph_str_c(f->type), ph_str(f->text, f->size));
			return true;
		}
	}
	return false;
}
