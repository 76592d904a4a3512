/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a turn: the parameters of posthouse.commit_turn() and log_turns(), and stored bodies packed where
 * it pays. */
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "posthouse/json.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"
#include "posthouse/zip.h"

/* Below this zstd costs the node more than the bytes cost the database: 31 us for 8 KB, twice a relayed
 * request. */
#define PACK_MIN    (16 * 1024)
#define BODY_MAX    (256 * 1024 * 1024)
#define INDEXED_MAX 32767 /* items of one output: their places are two-byte numbers */

/* A stored body: the turn's own bytes, or packed. */
struct body {
	struct ph_str bytes;
	struct ph_buf packed;
};

/* Everything that one commit borrows until ph_pg_write() has copied it. */
struct draft {
	struct ph_arena arena;
	struct ph_buf context, ids;
	struct body input, output, envelope, runs;
	int codec;
};

struct commit {
	struct ph_defer hopeless;
	void (*cb)(void *arg, int status);
	void *arg;
	uint64_t started_ns;
};

int ph_body_decode(struct ph_arena *a, int64_t codec, struct ph_str stored, struct ph_str *ret)
{
	struct ph_buf plain;
	int rc;

	*ret = stored;
	if (codec == PH_IDENTITY || stored.n == 0)
		return 0;
	if (codec != PH_ZSTD)
		return -PH_E_INTERNAL;
	ph_buf_init(&plain, a->max - a->used);
	rc = ph_zstd_unpack(stored, &plain);
	if (rc == 0) {
		*ret = ph_arena_dup(a, ph_buf_str(&plain));
		rc = ret->p ? 0 : -PH_E_BODY_TOO_LARGE;
	}
	ph_buf_deinit(&plain);
	if (rc == -PH_E_BODY_TOO_LARGE)
		return -PH_E_CHAIN_TOO_LARGE;
	return rc ? -PH_E_INTERNAL : 0;
}

/* ---- the draft ---- */

static int put_body(const struct draft *d, struct body *b, struct ph_str plain)
{
	b->bytes = plain;
	if (d->codec != PH_ZSTD || !plain.n)
		return 0;
	ph_buf_init(&b->packed, BODY_MAX);
	if (ph_zstd_pack(plain, &b->packed))
		return -PH_E_CHAIN_TOO_LARGE;
	b->bytes = ph_buf_str(&b->packed);
	return 0;
}

/* The id that an item can be found by, or an empty one. PostgreSQL's text holds no NUL. */
static struct ph_str index_id(struct draft *d, struct ph_str item)
{
	struct ph_item it;
	struct ph_str id;

	if (!ph_item_look(item, &it) || !ph_json_text(it.m[PH_ITEM_ID], &d->arena, &id))
		return PH_STR("");
	if (id.n > PH_ITEM_ID_MAX || memchr(id.p, '\0', id.n))
		return PH_STR("");
	return id;
}

/* One id for each item of the output: an item's place in the list is how it is found again. */
static void put_ids(struct draft *d, struct ph_str output)
{
	struct ph_str *ids = NULL, item;
	size_t n = 0, cap = 0, used = 0;

	for (size_t at = 0; n < INDEXED_MAX && ph_items_next(output, &at, &item); n++) {
		if (n == cap) {
			cap = cap ? 2 * cap : 16;
			ids = ph_realloc(ids, cap * sizeof *ids);
		}
		ids[n] = index_id(d, item);
		if (ids[n].n)
			used = n + 1;
	}
	ph_pg_text_array(&d->ids, ids, used);
	free(ids);
}

static int put_bodies(struct draft *d, const struct ph_turn_record *t)
{
	int rc = t->fold ? ph_runs_write(t->parent, &d->context) : 0;

	d->codec = d->context.n + t->input.n + t->output.n >= PACK_MIN ? PH_ZSTD : PH_IDENTITY;
	if (rc == 0)
		rc = put_body(d, &d->runs, ph_buf_str(&d->context));
	if (rc == 0)
		rc = put_body(d, &d->input, t->input);
	if (rc == 0)
		rc = put_body(d, &d->output, t->output);
	if (rc == 0)
		rc = put_body(d, &d->envelope, t->envelope);
	return rc;
}

/* Rows that say where an id is must be there before the client hears of it; else only the log gets one. */
static bool kept_or_owned(const struct ph_turn_record *t)
{
	return t->keep || t->stored_upstream;
}

static int draft_init(struct draft *d, const struct ph_turn_record *t)
{
	*d = (struct draft){.codec = PH_IDENTITY};
	ph_arena_init(&d->arena, BODY_MAX);
	ph_buf_init(&d->context, BODY_MAX);
	ph_buf_init(&d->ids, BODY_MAX);
	if (kept_or_owned(t))
		put_ids(d, t->output);
	return t->keep ? put_bodies(d, t) : 0;
}

static void draft_deinit(struct draft *d)
{
	ph_arena_deinit(&d->arena);
	ph_buf_deinit(&d->context);
	ph_buf_deinit(&d->input.packed);
	ph_buf_deinit(&d->output.packed);
	ph_buf_deinit(&d->envelope.packed);
	ph_buf_deinit(&d->runs.packed);
	ph_buf_deinit(&d->ids);
}

int ph_turn_flags(const struct ph_turn_record *t)
{
	bool partial = t->partial || (t->parent && !t->fold && t->parent->flags & PH_TURN_PARTIAL);
	struct ph_items_facts facts;
	int flags = 0;

	flags |= t->stored_upstream ? PH_TURN_STORED : 0;
	flags |= partial ? PH_TURN_PARTIAL : 0;
	flags |= t->fold ? PH_TURN_SELF : 0;
	flags |= t->output.n == 0 ? PH_TURN_NO_OUTPUT : 0;
	flags |= t->compaction ? PH_TURN_COMPACTION : 0;
	if (t->parent) {
		ph_items_look(t->input, &facts);
		flags |= facts.output_like ? PH_TURN_INPUT_OUTPUTS : 0;
	}
	return flags;
}

static struct ph_pg_param text_or_null(struct ph_str s)
{
	return s.n ? PH_P_STR(s) : PH_P_NULL;
}

static struct ph_pg_param c_or_null(const char *s)
{
	if (!s)
		return PH_P_NULL;
	return PH_P_STR(ph_str_c(s));
}

/* What names the parent's row; all of it is NULL for a turn that has none to be read with. */
struct link {
	struct ph_pg_param id, day, class, until;
	int depth; /* of the turn */
};

/* With an if: gcc 14 evaluates the operands of compound literals in both branches of a conditional
 * expression. */
static struct link link_to(const struct ph_chain *parent)
{
	struct link l = {PH_P_NULL, PH_P_NULL, PH_P_NULL, PH_P_NULL, 1};

	if (!parent)
		return l;
	l.id = PH_P_STR(parent->id);
	l.depth = parent->depth + 1;
	if (parent->day == PH_DAY_UNKNOWN)
		return l;
	l.day = PH_P_DATE(parent->day);
	l.class = PH_P_INT4(parent->class);
	l.until = PH_P_DATE(parent->until);
	return l;
}

/* In the order of sql/README.md. */
static void fill(
	struct ph_pg_param p[PH_COMMIT_PARAMS], const struct ph_turn_record *t, const struct draft *d)
{
	const struct link parent = link_to(t->fold ? NULL : t->parent);
	const struct ph_pg_param all[PH_COMMIT_PARAMS] = {
		PH_P_UUID(t->turn),
		PH_P_STR(ph_str_c(t->node)),
		PH_P_INT8(t->scope),
		PH_P_STR(ph_str_c(t->request_id)),
		PH_P_STR(ph_str_c(t->route)),
		text_or_null(t->model),
		t->account ? PH_P_INT8(t->account) : PH_P_NULL,
		PH_P_STR(ph_str_c(t->continuity)),
		PH_P_STR(ph_str_c(t->outcome)),
		PH_P_INT4(t->status),
		c_or_null(t->error),
		PH_P_INT4(t->attempts),
		PH_P_INT4(t->hops),
		PH_P_INT8(t->chain_bytes),
		PH_P_BOOL(t->stream),
		PH_P_INT8(t->duration_us),
		PH_P_INT8(t->first_event_us),
		PH_P_INT8(t->bytes_in),
		PH_P_INT8(t->bytes_out),
		PH_P_INT8(t->input_tokens),
		PH_P_INT8(t->cached_tokens),
		PH_P_INT8(t->output_tokens),
		PH_P_INT8(t->reasoning_tokens),
		t->cost_nanos >= 0 ? PH_P_INT8(t->cost_nanos) : PH_P_NULL,
		PH_P_INT8(t->queued_us),
		c_or_null(t->transport),
		c_or_null(t->chosen),
		text_or_null(t->anchor),
		t->limited ? PH_P_UUID(t->limited) : PH_P_NULL,
		text_or_null(t->response_id),
		PH_P_BOOL(t->keep),
		PH_P_BOOL(t->stored_upstream),
		PH_P_INT4(t->class),
		parent.id,
		parent.day,
		parent.class,
		parent.until,
		PH_P_INT4(t->keep ? ph_turn_flags(t) : 0),
		PH_P_STR(t->turn_status.n ? t->turn_status : PH_STR("completed")),
		PH_P_INT4(parent.depth),
		PH_P_INT4(d->codec),
		PH_P_BYTES(d->input.bytes),
		PH_P_BYTES(d->output.bytes),
		d->runs.bytes.n ? PH_P_BYTES(d->runs.bytes) : PH_P_NULL,
		PH_P_BYTES(d->envelope.bytes),
		PH_P_STR(ph_buf_str(&d->ids)),
	};

	memcpy(p, all, sizeof all);
}

static void on_written(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct commit *w = arg;

	if (err) {
		ph_metric_add(PH_M_SNAPSHOTS_LOST, 0, 0, 1);
		ph_log(PH_LOG_ERROR, "a turn could not be written: %s (SQLSTATE %s)", err->detail,
			err->sqlstate);
	} else {
		ph_metric_observe(PH_M_WRITE_SECONDS, ph_clock_ns() - w->started_ns);
		if (ph_pg_rows(r) && ph_str_eq(ph_pg_str(r, 0, 0), PH_STR("conflict")))
			ph_metric_add(PH_M_CONFLICTS, 0, 0, 1);
	}
	w->cb(w->arg, err ? -err->code : 0);
	free(w);
}

static void on_hopeless(void *arg)
{
	struct commit *w = arg;

	ph_metric_add(PH_M_SNAPSHOTS_LOST, 0, 0, 1);
	w->cb(w->arg, -PH_E_CHAIN_TOO_LARGE);
	free(w);
}

void ph_continuity_commit(struct ph_continuity *c, const struct ph_turn_record *t,
	void (*cb)(void *arg, int status), void *arg, size_t *ret_bytes)
{
	struct commit *w = ph_alloc(sizeof *w);
	struct ph_pg_param p[PH_COMMIT_PARAMS];
	struct draft d;
	size_t bytes;

	w->cb = cb;
	w->arg = arg;
	w->started_ns = ph_clock_ns();
	if (draft_init(&d, t)) {
		ph_defer_init(&w->hopeless, on_hopeless, w);
		ph_defer_call(c->loop, &w->hopeless);
	} else {
		fill(p, t, &d);
		if (kept_or_owned(t))
			ph_snapshot_store_commit(c, p, on_written, w);
		else
			ph_snapshot_store_log(c, p, on_written, w);
	}
	bytes = d.runs.bytes.n + d.input.bytes.n + d.output.bytes.n;
	if (ret_bytes)
		*ret_bytes = bytes;
	ph_metric_add(PH_M_SNAPSHOT_BYTES, 0, 0, (int64_t)bytes);
	draft_deinit(&d);
}

/* ---- a turn in the background: all but what it will have added ---- */

static void fill_begin(
	struct ph_pg_param p[PH_BEGIN_PARAMS], const struct ph_turn_record *t, const struct draft *d)
{
	const struct link parent = link_to(t->fold ? NULL : t->parent);
	const struct ph_pg_param all[PH_BEGIN_PARAMS] = {
		PH_P_INT8(t->scope),
		PH_P_STR(t->response_id),
		PH_P_UUID(t->turn),
		PH_P_INT8(t->account),
		PH_P_BOOL(t->keep),
		PH_P_INT4(t->class),
		text_or_null(t->model),
		parent.id,
		parent.day,
		parent.class,
		parent.until,
		PH_P_INT4(t->parent ? t->parent->flags : 0),
		PH_P_INT4(t->parent ? t->parent->depth : 0),
		PH_P_BOOL(t->fold),
		PH_P_BOOL(t->partial),
		PH_P_INT4(d->codec),
		PH_P_BYTES(d->input.bytes),
		d->runs.bytes.n ? PH_P_BYTES(d->runs.bytes) : PH_P_NULL,
	};

	memcpy(p, all, sizeof all);
}

void ph_background_begin(
	struct ph_continuity *c, const struct ph_turn_record *t, void (*cb)(void *arg, int status), void *arg)
{
	struct commit *w = ph_alloc(sizeof *w);
	struct ph_turn_record begun = *t;
	struct ph_pg_param p[PH_BEGIN_PARAMS];
	struct draft d;

	begun.output = begun.envelope = PH_STR_NONE;
	w->cb = cb;
	w->arg = arg;
	w->started_ns = ph_clock_ns();
	if (draft_init(&d, &begun)) {
		ph_defer_init(&w->hopeless, on_hopeless, w);
		ph_defer_call(c->loop, &w->hopeless);
	} else {
		fill_begin(p, &begun, &d);
		ph_snapshot_store_begin(c, p, on_written, w);
	}
	draft_deinit(&d);
}
