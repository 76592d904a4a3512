/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is stored: one response by its id. */
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/json.h"

#define DECODED_MAX (256 * 1024 * 1024)

struct ph_response_read {
	struct ph_pg_call *call;
	bool hide;
	ph_response_cb cb;
	void *arg;
};

static int fill_response(struct ph_response *ret, const struct ph_pg_result *r, struct ph_arena *a)
{
	enum {
		RESPONSE_ID,
		PARENT_ID,
		ACCOUNT,
		DAY,
		CLASS,
		FLAGS,
		TURN_STATUS,
		CREATED,
		CODEC,
		INPUT,
		OUTPUT,
		ENVELOPE
	};
	int64_t codec = ph_pg_int(r, 0, CODEC);
	int rc;

	ret->id = ph_pg_str(r, 0, RESPONSE_ID);
	ret->account = ph_pg_int(r, 0, ACCOUNT);
	ret->day = (int32_t)ph_pg_int(r, 0, DAY);
	ret->class = (int32_t)ph_pg_int(r, 0, CLASS);
	ret->flags = (int)ph_pg_int(r, 0, FLAGS);
	rc = ph_body_decode(a, codec, ph_pg_str(r, 0, INPUT), &ret->input);
	if (rc == 0)
		rc = ph_body_decode(a, codec, ph_pg_str(r, 0, OUTPUT), &ret->output);
	if (rc == 0)
		rc = ph_body_decode(a, codec, ph_pg_str(r, 0, ENVELOPE), &ret->envelope);
	return rc;
}

static void on_response(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_response_read *read = arg;
	struct ph_response response = {.account = 0};
	struct ph_err unreadable = {.code = PH_E_INTERNAL, .detail = "a stored response cannot be decoded"};
	struct ph_arena arena;
	bool there = !err && ph_pg_rows(r) > 0;

	ph_arena_init(&arena, DECODED_MAX);
	if (there && read->hide) {
		response.account = ph_pg_int(r, 0, 0);
		response.flags = (int)ph_pg_int(r, 0, 1);
	} else if (there && fill_response(&response, r, &arena)) {
		err = &unreadable;
	}
	read->cb(read->arg, there && !err ? &response : NULL, err);
	ph_arena_deinit(&arena);
	free(read);
}

static struct ph_response_read *read_new(bool hide, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = ph_alloc(sizeof *read);

	read->hide = hide;
	read->cb = cb;
	read->arg = arg;
	return read;
}

struct ph_response_read *ph_response_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = read_new(false, cb, arg);

	read->call = ph_snapshot_store_read(c, scope, id, on_response, read);
	return read;
}

struct ph_response_read *ph_response_hide(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = read_new(true, cb, arg);

	read->call = ph_snapshot_store_hide(c, scope, id, on_response, read);
	return read;
}

void ph_response_cancel(struct ph_response_read *read)
{
	ph_pg_abandon(read->call);
	free(read);
}
