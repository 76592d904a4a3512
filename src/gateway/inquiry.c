/* SPDX-License-Identifier: Apache-2.0 */
#include "inquiry.h"

#define HEAD_MAX (128 * 1024)

static void over(struct ph_inquiry *k)
{
	k->call = NULL;
	ph_timer_stop(&k->timer);
	k->done(k->arg);
	ph_buf_deinit(&k->body);
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	((struct ph_inquiry *)owner)->status = head->status;
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_buf_puts(&((struct ph_inquiry *)owner)->body, bytes);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_inquiry *k = owner;

	(void)err;
	if (status) {
		k->status = 0;
		k->why = status == -PH_E_UPSTREAM_CONNECT ? "unreachable" : "dropped";
	}
	over(k);
}

static void on_late(void *arg)
{
	struct ph_inquiry *k = arg;

	ph_call_cancel(k->call);
	k->status = 0;
	k->why = "silent";
	over(k);
}

void ph_inquiry_init(
	struct ph_inquiry *k, struct ph_gateway *g, size_t max, void (*done)(void *arg), void *arg)
{
	*k = (struct ph_inquiry){.g = g, .done = done, .arg = arg};
	ph_buf_init(&k->body, max);
	ph_timer_init(&k->timer, g->loop, on_late, k);
}

void ph_inquiry_start(struct ph_inquiry *k, const struct ph_account *a, const struct ph_url *base,
	struct ph_str path, uint64_t within_ms)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct ph_call_request r = {.base = base, .method = PH_STR("GET"), .path = path, .fresh = true};
	struct ph_buf head;

	k->status = 0;
	k->why = "";
	ph_buf_init(&head, HEAD_MAX);
	ph_account_own_headers(&head, a, PH_STR("application/json"));
	r.head = &head;
	k->call = ph_call_start(k->g->upstream, &r, &events, k);
	ph_timer_start(&k->timer, within_ms);
	ph_buf_deinit(&head);
}

bool ph_inquiry_runs(const struct ph_inquiry *k)
{
	return k->call != NULL;
}

void ph_inquiry_stop(struct ph_inquiry *k)
{
	if (k->call)
		ph_call_cancel(k->call);
	k->call = NULL;
	ph_timer_stop(&k->timer);
	ph_buf_deinit(&k->body);
}
