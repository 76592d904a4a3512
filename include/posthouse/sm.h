/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked state machines: a table of states, each with a name and the set of states it may move to, and one
 * mover that asserts the edge. Events never change a state; one function per machine does, through
 * ph_sm_move().
 */
#ifndef POSTHOUSE_SM_H
#define POSTHOUSE_SM_H

#include <stdbool.h>
#include <stdint.h>

#define PH_SM_BIT(state) (UINT32_C(1) << (state))

struct ph_sm_state {
	const char *name;
	uint32_t next; /* PH_SM_BIT() of each allowed successor */
};

struct ph_sm {
	const struct ph_sm_state *table;
	const char *what; /* "turn", "pg": for the trace line */
	unsigned state;
	unsigned count;    /* states in the table */
	uint64_t since_ns; /* monotonic time of the last move; kept where the debug log shows it */
};

void ph_sm_init(
	struct ph_sm *sm, const char *what, const struct ph_sm_state *table, unsigned count, unsigned start);
bool ph_sm_may(const struct ph_sm *sm, unsigned to);
/* Dies on an edge that the table lacks, in every build: a wrong state is a wrong answer to somebody. */
void ph_sm_move(struct ph_sm *sm, unsigned to);
const char *ph_sm_name(const struct ph_sm *sm);

#endif
