/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing what a node has of PostgreSQL: the pool, the writer, the listener. */
#include <assert.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/log.h"

static struct ph_pg_dsn *read_dsn(const char *text, const char *application)
{
	struct ph_err err = {0};
	struct ph_pg_dsn *d = ph_pg_dsn_new(text, application, &err);

	if (!d)
		ph_log_fields(PH_LOG_ERROR, "cannot use the database URL",
			(struct ph_field[]){PH_F_C("detail", err.detail)}, 1);
	return d;
}

static void pg_free(void *obj)
{
	struct ph_pg *pg = obj;

	if (pg->direct != pg->dsn)
		ph_pg_dsn_free(pg->direct);
	ph_pg_dsn_free(pg->dsn);
	free(pg);
}

/* ---- closing ---- */

static void shut(void *arg)
{
	struct ph_pg *pg = arg;

	ph_timer_stop(&pg->grace);
	ph_defer_cancel(&pg->close_defer);
	if (pg->listening)
		ph_pg_listener_close(&pg->listener);
	ph_pg_writer_close(&pg->writer);
	ph_pg_pool_close(&pg->pool);
	ph_loop_bury(pg->loop, pg, pg_free);
	pg->on_closed(pg->on_closed_arg);
}

void ph_pg_writer_empty(struct ph_pg *pg)
{
	if (pg->closing && ph_pg_write_queued(pg) == 0)
		ph_defer_call(pg->loop, &pg->close_defer);
}

void ph_pg_close(struct ph_pg *pg, uint64_t grace_ms, void (*on_closed)(void *arg), void *arg)
{
	assert(!pg->closing);
	pg->closing = true;
	pg->on_closed = on_closed;
	pg->on_closed_arg = arg;
	ph_timer_start(&pg->grace, grace_ms);
	ph_pg_writer_empty(pg);
}

/* ---- opening ---- */

struct ph_pg *ph_pg_open(struct ph_loop *loop, const struct ph_pg_options *options)
{
	struct ph_pg_dsn *dsn = read_dsn(options->dsn, options->application);
	struct ph_pg_dsn *direct = dsn;
	struct ph_pg *pg;

	if (dsn && options->direct_dsn && strcmp(options->direct_dsn, options->dsn) != 0)
		direct = read_dsn(options->direct_dsn, options->application);
	if (!dsn || !direct) {
		ph_pg_dsn_free(dsn);
		return NULL;
	}
	pg = ph_alloc(sizeof(*pg));
	pg->loop = loop;
	pg->dsn = dsn;
	pg->direct = direct;
	dsn->pooled = direct != dsn;
	pg->warm_sql = options->warm_sql;
	ph_timer_init(&pg->grace, loop, shut, pg);
	ph_defer_init(&pg->close_defer, shut, pg);
	ph_pg_pool_init(&pg->pool, pg, options->readers);
	ph_pg_writer_init(&pg->writer, pg);
	ph_pg_pool_start(&pg->pool);
	ph_pg_writer_start(&pg->writer);
	return pg;
}
