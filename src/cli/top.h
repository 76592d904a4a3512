/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse top: what a look brings, how it is drawn, and the terminal that it is drawn on. */
#ifndef POSTHOUSE_CLI_TOP_H
#define POSTHOUSE_CLI_TOP_H

#include <jansson.h>

#include "cli_priv.h"

#define PH_TOP_ADMINS_MAX 16

enum ph_top_accounts {
	PH_TOP_BY_NAME,
	PH_TOP_BY_USED,
	PH_TOP_BY_RUNNING,
	PH_TOP_ACCOUNT_SORTS
};
enum ph_top_turns {
	PH_TOP_RUNNING,  /* those that run, the longest first; then those that ended, by total time */
	PH_TOP_BY_TOTAL, /* those that ended, and below */
	PH_TOP_BY_FIRST,
	PH_TOP_BY_TIME,
	PH_TOP_TURN_SORTS
};

/* What a node's admin listener said. */
struct ph_top_admin {
	const char *url;
	bool reached;
	double ready, streams, connections, queue;
};

/* One look. The arrays are rows of views, NULL until the first look. */
struct ph_top {
	json_t *nodes, *accounts, *leases, *traffic, *running, *slowest;
	struct ph_top_admin admin[PH_TOP_ADMINS_MAX];
	size_t admins;
	double lag_ms;   /* of the shortest question to the database */
	char clock[32];  /* the database's */
	char fault[240]; /* why the rest is old; "" where it is not */
	enum ph_top_accounts accounts_by;
	enum ph_top_turns turns_by;
	bool paused, help, colour;
};

/* ---- top_draw.c: pure ---- */
/* At most so many lines of at most so many characters, each ended by a newline; rows 0: as many as it takes.
 */
void ph_top_draw(const struct ph_top *t, size_t rows, size_t columns, struct ph_buf *out);
/* What is shown of turns: while none runs, those that ended. */
enum ph_top_turns ph_top_turns_shown(const struct ph_top *t);
/* The sum of a metric's samples in Prometheus' text format. */
double ph_top_metric(struct ph_str text, const char *name);

/* ---- top_terminal.c: one at a time ---- */
enum ph_key {
	PH_KEY_NONE, /* the time is over */
	PH_KEY_RESIZED,
	PH_KEY_END = -1, /* a signal, or the terminal is gone */
};
int ph_terminal_open(struct ph_err *err) PH_WARN_UNUSED; /* refuses what is no terminal */
void ph_terminal_close(void);                            /* as it was; may be repeated */
void ph_terminal_size(size_t *ret_rows, size_t *ret_columns);
void ph_terminal_show(const struct ph_buf *frame);
/* A character, or one of the above. */
int ph_terminal_key(uint64_t timeout_ms);
int ph_terminal_signal(void); /* that ended it, or 0 */

#endif
