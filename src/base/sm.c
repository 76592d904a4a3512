/* SPDX-License-Identifier: Apache-2.0 */
/* The mover of checked state machines. Each move is one line of the debug log. */
#include "posthouse/sm.h"

#include "posthouse/clock.h"
#include "posthouse/err.h"
#include "posthouse/log.h"

#include <assert.h>

void ph_sm_init(
	struct ph_sm *sm, const char *what, const struct ph_sm_state *table, unsigned count, unsigned start)
{
	assert(count <= 32 && start < count);
	*sm = (struct ph_sm){.table = table, .what = what, .state = start, .count = count};
	if (ph_log_on(PH_LOG_DEBUG))
		sm->since_ns = ph_clock_ns();
}

bool ph_sm_may(const struct ph_sm *sm, unsigned to)
{
	return to < sm->count && (sm->table[sm->state].next & PH_SM_BIT(to)) != 0;
}

static void trace(struct ph_sm *sm, unsigned to)
{
	uint64_t now = ph_clock_ns();
	const struct ph_field fields[] = {
		PH_F_C("machine", sm->what),
		PH_F_C("from", sm->table[sm->state].name),
		PH_F_C("to", sm->table[to].name),
		PH_F_MS("spent_ms", now - sm->since_ns),
	};

	ph_log_fields(PH_LOG_DEBUG, "state", fields, sizeof(fields) / sizeof(fields[0]));
	sm->since_ns = now;
}

void ph_sm_move(struct ph_sm *sm, unsigned to)
{
	if (!ph_sm_may(sm, to)) {
		ph_die("%s: no edge from %s to %s", sm->what, ph_sm_name(sm),
			to < sm->count ? sm->table[to].name : "a state outside the table");
	}
	if (ph_log_on(PH_LOG_DEBUG))
		trace(sm, to);
	sm->state = to;
}

const char *ph_sm_name(const struct ph_sm *sm)
{
	return sm->table[sm->state].name;
}
