/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: the right to run turns on accounts that have max_streams, exact for the whole cluster.
 *
 * The database grants this node a block of slots of an account, for a time. While the block has room, turns
 * begin and end without a round trip; where it has none the node asks for more, at the database and, where
 * other nodes hold the rest, at these. What is idle for 250 ms goes back. A block is trusted until the moment
 * at which its last renewal was sent, plus the TTL, less a margin, on a clock that counts suspend; the clock
 * is looked at whenever a slot is taken, since a process that was stopped sees its timers late. A turn that
 * runs when its slot is lost runs on, is told to the database, and is counted as excess.
 *
 * Turns that find no slot wait in one queue per node: in order of arrival among those that want the same
 * account, for as long as their owner lets them. Accounts without max_streams have no block and cost nothing.
 */
#ifndef POSTHOUSE_LEASE_H
#define POSTHOUSE_LEASE_H

#include "posthouse/loop.h"
#include "posthouse/pg.h"

struct ph_account;
struct ph_accounts;
struct ph_choice;

/* The block of one account. Owner: the account. */
struct ph_lease {
	struct ph_accounts *r; /* NULL: the account is gone, or of no registry */
	uint32_t slots;        /* that turns of this node may use until valid_ms */
	uint64_t valid_ms;     /* on the clock of ph_clock_boot_ms() */
	int64_t version;       /* of the database's row; 0 = it has none of ours */
	uint32_t limit;        /* max_streams when it was last looked at */
	uint32_t wanted;       /* slots that the row says we need */
	uint32_t others;       /* slots of all other nodes, as last heard */
	uint32_t peak;         /* most turns at once since the last look at what is idle */
	uint32_t excess;       /* turns without a slot, as the metric counts them */
	bool starved;          /* the last answer was less than we need */
	bool over;             /* all nodes together hold more than the limit: no slot is used twice */
	bool untold;           /* the row may say more slots than there are here */
	bool yielded;          /* the last call gave a slot up while turns wait here */
	bool again;            /* something changed while the call was under way */
	bool freed;            /* ... namely that another node gave slots back */
	bool voided;           /* ... and what it may bring: it counts for nothing */
	struct ph_pg_call *call;
	uint64_t sent_ms, answered_ms; /* the last call, on the same clock */
	uint64_t tried_ms;             /* loop time of the last call */
	uint64_t try_ms;               /* ... before which a starved node does not try again */
	uint64_t pause_ms;             /* between tries; doubles */
	uint64_t asked_ms;             /* loop time at which we last asked other nodes */
	uint64_t asked_until_ms; /* another node is starved: a slot goes back with the next turn that ends */
	struct ph_timer retry, idle;
};

/* A running turn, with a slot where the account has a limit. NULL: none is free at once; wait for it. */
struct ph_account *ph_account_take(struct ph_account *a);
/* Its end. Wakes a turn that waits, later in this turn of the loop, or gives the slot to another node. */
void ph_account_release(struct ph_accounts *r, struct ph_account *a);

/* A turn that waits: cb fires when something may have changed; the waiter chooses again, with
 * ph_choice.queued, and either takes a slot and leaves, or waits on where it stands. */
struct ph_account_wait {
	struct ph_list node;
	void (*cb)(void *arg);
	void *arg;
	const struct ph_choice *choice; /* NULL: it wants no slot */
	int64_t account;                /* that it was chosen for, or 0: any that its choice allows */
};
void ph_account_wait_init(struct ph_account_wait *w, void (*cb)(void *arg), void *arg);
/* To the end of the queue, if it does not stand there. choice has to live as long as it waits. */
void ph_account_wait(
	struct ph_accounts *r, struct ph_account_wait *w, const struct ph_choice *choice, int64_t account);
void ph_account_wait_stop(struct ph_account_wait *w); /* may be repeated */
bool ph_account_waits(const struct ph_account_wait *w);

/* What other nodes and operators said: "slots_free 7", "slots_asked 7 <node>", "slots_void 7". False: it is
 * none of these. */
bool ph_account_heard(struct ph_accounts *r, struct ph_str payload);

#endif
