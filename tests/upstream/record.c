/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was received, byte for byte, and what was answered: the last requests, as many as fit. The body's
 * buffer is taken over from the connection, so that recording costs no copy.
 */
#include <stdlib.h>

#include "fake.h"
#include "posthouse/crypt.h"

#define RECORDS_MAX 20000

void fake_log_init(struct fake_log *l, bool on, size_t max_bytes)
{
	*l = (struct fake_log){.on = on, .max_bytes = max_bytes};
	ph_list_init(&l->records);
}

static void record_free(struct fake_log *l, struct fake_record *r)
{
	l->bytes -= r->bytes;
	ph_list_remove(&r->node);
	ph_buf_deinit(&r->head);
	ph_buf_deinit(&r->body);
	ph_buf_deinit(&r->answer);
	ph_buf_deinit(&r->seen);
	free(r);
}

void fake_log_clear(struct fake_log *l)
{
	PH_LIST_EACH_SAFE (n, &l->records) {
		struct fake_record *r = PH_CONTAINER(n, struct fake_record, node);

		if (!r->open)
			record_free(l, r);
	}
}

static void trim(struct fake_log *l)
{
	PH_LIST_EACH_SAFE (n, &l->records) {
		struct fake_record *r = PH_CONTAINER(n, struct fake_record, node);

		if (l->bytes <= l->max_bytes && r->number + RECORDS_MAX > l->last)
			return;
		if (!r->open)
			record_free(l, r);
	}
}

static void put_head(struct ph_buf *b, const struct ph_head *head)
{
	ph_buf_puts(b, PH_STR("\"method\":"));
	fake_put_string(b, head->method);
	ph_buf_puts(b, PH_STR(",\"path\":"));
	fake_put_string(b, head->target);
	ph_buf_puts(b, PH_STR(",\"headers\":["));
	for (size_t i = 0; i < head->header_count; i++) {
		ph_buf_puts(b, i ? PH_STR(",[") : PH_STR("["));
		fake_put_string(b, head->headers[i].name);
		ph_buf_putc(b, ',');
		fake_put_string(b, head->headers[i].value.p ? head->headers[i].value : PH_STR(""));
		ph_buf_putc(b, ']');
	}
	ph_buf_putc(b, ']');
}

void fake_record_start(struct fake_exchange *x)
{
	struct fake_log *l = &x->server->log;

	if (!l->on)
		return;
	struct fake_record *r = ph_alloc(sizeof(*r));
	r->number = ++l->last;
	r->conn = x->conn->number;
	r->arrived = x->conn->arrived;
	r->started = fake_now_ms();
	r->open = true;
	r->socket = x->lane != NULL;
	r->successor = x->successor;
	if (x->account)
		ph_str_copy(r->account, sizeof(r->account), ph_str_c(x->account->name));
	ph_buf_init(&r->head, (size_t)1 << 20);
	put_head(&r->head, x->head);
	r->body = x->conn->body;
	ph_buf_init(&x->conn->body, FAKE_BODY_MAX);
	ph_buf_init(&r->answer, FAKE_ANSWER_MAX);
	ph_buf_init(&r->seen, FAKE_ANSWER_MAX);
	ph_list_push_back(&l->records, &r->node);
	x->record = r;
}

void fake_record_end(struct fake_exchange *x, bool left)
{
	struct fake_log *l = &x->server->log;
	struct fake_record *r = x->record;

	if (!r)
		return;
	x->record = NULL;
	r->ended = fake_now_ms();
	r->left = left ? r->ended : 0;
	r->open = false;
	ph_buf_deinit(&r->answer);
	r->answer = x->play.payload;
	ph_buf_init(&x->play.payload, FAKE_ANSWER_MAX);
	r->bytes = sizeof(*r) + r->head.cap + r->body.cap + r->answer.cap + r->seen.cap;
	l->bytes += r->bytes;
	trim(l);
}

static void put_bytes(struct ph_buf *b, const char *name, struct ph_str bytes, bool base64)
{
	ph_buf_printf(b, ",\"%s\":\"", name);
	if (base64)
		ph_base64(b, bytes);
	else
		ph_buf_json(b, bytes);
	ph_buf_putc(b, '"');
}

static void put_sha256(struct ph_buf *b, const char *name, struct ph_str bytes)
{
	uint8_t hash[32];
	char hex[65];

	ph_sha256(bytes, hash);
	ph_hex(hex, hash, sizeof(hash));
	ph_buf_printf(b, ",\"%s\":\"%s\"", name, hex);
}

static void put_time(struct ph_buf *b, const char *name, double ms)
{
	if (ms > 0)
		ph_buf_printf(b, ",\"%s\":%.3f", name, ms);
	else
		ph_buf_printf(b, ",\"%s\":null", name);
}

static void put_record(struct ph_buf *b, const struct fake_record *r, bool base64, bool answers)
{
	ph_buf_printf(b, "{\"number\":%llu,\"connection\":%llu,\"account\":", (unsigned long long)r->number,
		(unsigned long long)r->conn);
	fake_put_string(b, r->account[0] ? ph_str_c(r->account) : PH_STR_NONE);
	ph_buf_printf(b, ",\"transport\":\"%s\",\"successor\":%s,", r->socket ? "websocket" : "http",
		r->successor ? "true" : "false");
	ph_buf_puts(b, ph_buf_str(&r->head));
	put_bytes(b, "body", ph_buf_str(&r->body), base64);
	put_sha256(b, "sha256", ph_buf_str(&r->body));
	ph_buf_printf(b, ",\"status\":%d,\"running\":%s", r->status, r->open ? "true" : "false");
	put_time(b, "arrived", r->arrived);
	put_time(b, "started", r->started);
	put_time(b, "ended", r->ended);
	put_time(b, "left", r->left);
	ph_buf_puts(b, PH_STR(",\"seen\":"));
	ph_buf_puts(b, r->seen.n ? ph_buf_str(&r->seen) : PH_STR("null"));
	if (answers) {
		put_bytes(b, "answer", ph_buf_str(&r->answer), base64);
		put_sha256(b, "answer_sha256", ph_buf_str(&r->answer));
	}
	ph_buf_putc(b, '}');
}

static bool wanted(const struct fake_record *r, struct ph_str account)
{
	return !account.n || ph_str_eq(account, ph_str_c(r->account));
}

void fake_log_put(
	struct fake_log *l, struct ph_buf *b, struct ph_str account, uint64_t last, bool base64, bool answers)
{
	struct ph_list *from = &l->records;
	uint64_t count = 0;

	while (from->prev != &l->records && count < last) {
		from = from->prev;
		if (wanted(PH_CONTAINER(from, struct fake_record, node), account))
			count++;
	}
	if (count == 0)
		from = l->records.prev->next;
	count = 0;
	ph_buf_puts(b, PH_STR("{\"requests\":["));
	for (; from != &l->records; from = from->next) {
		const struct fake_record *r = PH_CONTAINER(from, struct fake_record, node);

		if (!wanted(r, account))
			continue;
		if (count++)
			ph_buf_putc(b, ',');
		put_record(b, r, base64, answers);
	}
	ph_buf_puts(b, PH_STR("]}"));
}
