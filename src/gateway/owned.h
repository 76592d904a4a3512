/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What upstreams keep for a key besides responses: files, conversations, batches ... Each is at one account,
 * and belongs to one scope; the database knows both from before the client has its id
 * (sql/functions/owned.sql).
 */
#ifndef POSTHOUSE_OWNED_H
#define POSTHOUSE_OWNED_H

#include "gateway_priv.h"

#define PH_OWNED_IDS_MAX 256 /* that one request may name */

/* ---- owned_paths.c: which paths carry ids where ---- */
struct ph_collection {
	struct ph_str kind;   /* its path behind the base, and what its rows say */
	const char *noun;     /* what one of them is called */
	bool listed;          /* GET on it is a list */
	bool runs;            /* a POST on it makes models run */
	struct ph_str filter; /* query parameter of that list, and member of what it shows; or empty */
};

enum ph_path_use {
	PH_PATH_CLOSED,    /* none of ours to relay */
	PH_PATH_NO_METHOD, /* there is such a path, but not with that method */
	PH_PATH_RELAY,
	PH_PATH_LIST, /* a collection: shown from our rows */
};

struct ph_path {
	enum ph_path_use use;
	const struct ph_collection *collection; /* NULL: upstream keeps nothing of it */
	struct ph_str id;                       /* of the resource, as it stands in the path; empty = none */
	bool creates;                           /* the answer is a new resource */
	bool object;                            /* the answer is a small one, that may tell more ids */
	bool removes;
	bool runs; /* it makes models run */
};
/* path: behind the base. */
void ph_path_read(struct ph_str method, struct ph_str path, struct ph_path *ret);
const struct ph_collection *ph_collection_of(struct ph_str kind);

/* ---- owned_names.c: ids in bodies ---- */
struct ph_owned_id {
	struct ph_str id;
	const char *noun;  /* for the words about it */
	const char *param; /* the member that names it, or "" */
};
struct ph_owned_ids {
	struct ph_owned_id list[PH_OWNED_IDS_MAX];
	size_t n;
	bool full;      /* there were more */
	bool forbidden; /* it asks for what cannot be told apart by key */
};
void ph_owned_name(struct ph_owned_ids *ids, struct ph_str id, const char *noun, const char *param);
/* The member, form field or query parameter `name` holds ids? Then what they are called, else NULL. */
const char *ph_owned_noun(struct ph_str name);
/* Ids that a request's JSON names, at whatever depth. Texts are decoded into the arena. */
void ph_owned_names(struct ph_str json, struct ph_arena *a, struct ph_owned_ids *ids);
/* The same for a turn's input or tools: what upstream would open for it, not what a history tells. */
void ph_owned_turn_names(struct ph_str json, struct ph_arena *a, struct ph_owned_ids *ids);
/* Whether the turn's member `name`, with its quotes, may hold some: without one, nothing needs to be walked.
 */
bool ph_owned_may_name(struct ph_str name, bool escaped);
/* Ids that an answer hands out: of resources that came about with the one it shows. Each with its kind. */
struct ph_minted {
	struct ph_str id, kind;
};
#define PH_MINTED_MAX 64
size_t ph_owned_minted(struct ph_str json, struct ph_arena *a, struct ph_minted ret[PH_MINTED_MAX]);

/* ---- owned.c ---- */
/* Where what a request names is kept. */
struct ph_owned_place {
	int64_t account; /* the one that keeps all of it; 0: nothing was named */
	int64_t home;    /* of the newest that the scope has; 0: it has none */
};
/* cb fires once, later; err: PH_E_RESOURCE_UNKNOWN, _IDS_MIXED, _DATABASE_AWAY, _DATABASE_ERROR. ids stay the
 * caller's until then. An account that the key may not use, or that is gone, keeps nothing for it. */
struct ph_owned_find;
typedef void (*ph_owned_cb)(void *arg, const struct ph_owned_place *place, const struct ph_err *err);
struct ph_owned_find *ph_owned_find(struct ph_gateway *g, const struct ph_key *key,
	const struct ph_owned_ids *ids, ph_owned_cb cb, void *arg);
void ph_owned_find_cancel(struct ph_owned_find *f);

/* Remembers, or forgets where account is 0. Written until it is done, whatever becomes of the request; cb
 * fires once, unless it was cancelled: 0 or a negative code. */
struct ph_owned_write;
struct ph_owned_write *ph_owned_write(struct ph_gateway *g, int64_t scope, int64_t account,
	const struct ph_minted *ids, size_t n, void (*cb)(void *arg, int status), void *arg);
void ph_owned_write_cancel(struct ph_owned_write *w);

/* ---- owned_list.c ---- */
void ph_owned_list_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path);

/* ---- owned_store.c: SQL ---- */
struct ph_owned_page {
	struct ph_str kind;
	const int64_t *accounts;
	size_t account_count;
	struct ph_str after, before; /* .p NULL = none */
	bool rising;
	size_t limit;
};
struct ph_pg_call *ph_owned_store_find(
	struct ph_pg *pg, int64_t scope, const struct ph_owned_ids *ids, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_owned_store_list(
	struct ph_pg *pg, int64_t scope, const struct ph_owned_page *page, ph_pg_cb cb, void *arg);
void ph_owned_store_add(struct ph_pg *pg, int64_t scope, int64_t account, const struct ph_minted *ids,
	size_t n, ph_pg_cb cb, void *arg);
void ph_owned_store_remove(
	struct ph_pg *pg, int64_t scope, const struct ph_minted *ids, size_t n, ph_pg_cb cb, void *arg);

#endif
