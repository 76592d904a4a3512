/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turns of this node that have been running longest, for the picture of the cluster: the request log says
 * what was slow, this what is. They are looked up when the picture is written; a turn keeps no account of
 * itself.
 */
#include "posthouse/clock.h"
#include "request_priv.h"
#include "traffic.h"

#define MOST     5
#define YOUNG_NS UINT64_C(1000000000) /* would be over before anybody has read of it */

static void put_text(struct ph_buf *out, const char *name, struct ph_str text)
{
	ph_buf_printf(out, "\"%s\":\"", name);
	ph_buf_json(out, text);
	ph_buf_puts(out, PH_STR("\","));
}

static void put_ms(struct ph_buf *out, const char *name, uint64_t ns)
{
	ph_buf_printf(out, "\"%s\":", name);
	ph_buf_ms(out, (int64_t)ns);
	ph_buf_putc(out, ',');
}

/* Its members are read by posthouse_admin.running_turns. */
static void put_turn(struct ph_buf *out, const struct ph_request *r, uint64_t age_ns)
{
	ph_buf_putc(out, '{');
	put_text(out, "request_id", ph_str_c(r->request_id));
	put_text(out, "model", r->body.model);
	put_text(out, "state", ph_str_c(ph_sm_name(&r->sm)));
	if (r->first_event_ns > r->body_ns)
		put_ms(out, "first_event_ms", r->first_event_ns - r->body_ns);
	put_ms(out, "age_ms", age_ns);
	ph_buf_printf(out, "\"key_id\":%lld,\"account_id\":%lld,\"attempts\":%u,\"shown\":%s}",
		r->door.key ? (long long)r->door.key->id : 0, (long long)r->account_id, r->attempts,
		r->shown ? "true" : "false");
}

/* The list has the oldest first: whatever stands behind a young one is young. */
void ph_running_put(const struct ph_gateway *g, struct ph_buf *out)
{
	uint64_t now = ph_clock_ns();
	size_t n = 0;

	PH_LIST_EACH (it, &g->requests) {
		const struct ph_request *r = PH_CONTAINER(it, struct ph_request, node);

		if (n == MOST || now - r->started_ns < YOUNG_NS)
			break;
		if (r->sm.state == REQ_DONE)
			continue; /* for the client; it waits to be written */
		ph_buf_putc(out, n++ ? ',' : '[');
		put_turn(out, r, now - r->started_ns);
	}
	if (n)
		ph_buf_putc(out, ']');
}
