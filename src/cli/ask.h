/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests of a short command: several at once, one deadline for all. */
#ifndef POSTHOUSE_CLI_ASK_H
#define POSTHOUSE_CLI_ASK_H

#include "posthouse/upstream.h"

#include "cli_priv.h"

/* Owner: the caller, who fills the first part, runs it and frees it. */
struct ph_ask {
	const char *name; /* for progress; NULL: none is shown */
	struct ph_url base;
	const char *method, *path;
	struct ph_buf head; /* header lines; wiped with the ask */
	struct ph_buf body;
	bool has_body;

	struct ph_call *call;
	struct ph_asks *asks;
	int status;           /* of the answer; 0: none came */
	bool ours;            /* a node of posthouse answered */
	char node[160];       /* its name */
	char continuity[32];  /* as a turn's answer says it */
	struct ph_buf answer; /* cut at its maximum */
	uint64_t ms;          /* until the answer was complete */
	char why[320];        /* there is none */
};

void ph_ask_init(struct ph_ask *a, const char *method, const char *path);
void ph_ask_free(struct ph_ask *a);
/* Where a listener of this machine is reached: one that listens everywhere is asked on loopback. */
int ph_ask_listener(struct ph_ask *a, const char *listen, struct ph_err *err) PH_WARN_UNUSED;
/* Runs all at once until the last has ended or timeout_ms have passed. Faults of single ones stand in `why`.
 */
int ph_asks_run(struct ph_ask *list, size_t n, const struct ph_config *config, uint64_t timeout_ms,
	struct ph_err *err) PH_WARN_UNUSED;

#endif
