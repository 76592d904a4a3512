/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node as a member of the cluster: it is registered under an id that is new at every start, says every
 * third of the lease TTL that it is there, which renews all its leases in the same statement, and does
 * periodic work that is one node's at a time.
 */
#ifndef POSTHOUSE_MEMBER_H
#define POSTHOUSE_MEMBER_H

#include "posthouse/pg.h"

struct ph_accounts;
struct ph_member;

/* name outlives it. accounts: whose leases it renews; it must not outlive them. */
struct ph_member *ph_member_new(
	struct ph_loop *loop, struct ph_pg *pg, const char *name, uint64_t lease_ttl_ms);
void ph_member_join(struct ph_member *m, struct ph_accounts *accounts);
struct ph_member *ph_member_free(struct ph_member *m); /* returns NULL; no callback afterwards */

/* done(arg, NULL or the fault) once; to be repeated until it was well. From then on heartbeats go by
 * themselves, and a node that was forgotten comes back under a new id. */
void ph_member_register(struct ph_member *m, void (*done)(void *arg, const struct ph_err *err), void *arg);
void ph_member_beat(struct ph_member *m);            /* says that it is there, and hears what is new, now */
const char *ph_member_id(const struct ph_member *m); /* 16 bytes: this start of the node */
bool ph_member_draining(const struct ph_member *m);  /* an operator drains this node */
bool ph_member_away(const struct ph_member *m);      /* the database has not answered for 2 s */
/* The last word, on the writer's queue: what the node held is free at once. Nothing follows it. */
void ph_member_leave(struct ph_member *m);

/*
 * Periodic work. When it is due, and no other node has it, work(arg) is called; it ends with ph_job_done(). A
 * node that dies, or is not done after hold_ms, has lost it: then another one does the work, so what is done
 * must bear being done twice.
 */
struct ph_job {
	struct ph_member *member;
	const char *name; /* of the work: the same on all nodes */
	uint64_t hold_ms;
	void (*work)(void *arg);
	void *arg;
	int64_t epoch;    /* of our claim; 0 = it is not ours */
	uint64_t next_ms; /* when it was done: after that it is due again */
	struct ph_pg_call *call;
	struct ph_timer timer;
};
void ph_job_init(struct ph_job *j, struct ph_member *m, const char *name, uint64_t hold_ms,
	void (*work)(void *arg), void *arg);
void ph_job_start(struct ph_job *j); /* tries to get it, now and whenever it is due */
void ph_job_done(
	struct ph_job *j, uint64_t next_ms); /* due again after that, for whichever node comes first */
void ph_job_stop(struct ph_job *j);          /* no callback afterwards; may be repeated */

#endif
