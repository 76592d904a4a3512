/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that is relayed as it is: what its files share. pass.c leads it, from the ids that it names to an
 * account and its end; pass_body.c has its body, which is collected where it must be read, and else passes
 * by; pass_answer.c has what comes back.
 */
#ifndef POSTHOUSE_PASS_H
#define POSTHOUSE_PASS_H

#include "owned.h"
#include "posthouse/multipart.h"
#include "side.h"
#include "trace.h"

struct ph_pass {
	struct ph_path route;
	char trace_id[PH_TRACE_ID_N + 1]; /* the client's; empty = none */
	struct ph_str path;               /* behind /v1, with its query */
	struct ph_err why;                /* what ended it, for the client */

	/* the body of a request that is not collected: pass_body.c */
	bool streamed;
	bool complete;             /* all of it came */
	bool begun;                /* enough of it came to know where it goes */
	bool whole;                /* it went out in one piece */
	bool blocked;              /* the client was told to wait */
	bool gone;                 /* bytes of it left that are not kept: no other account can get them */
	int bad;                   /* it cannot go on, negated */
	struct ph_buf held;        /* what came before there was a connection */
	struct ph_multipart *form; /* what passes by is looked at, or NULL */
	struct ph_defer later;     /* outside the parser: begins, or ends it */

	/* where it goes */
	struct ph_owned_ids ids;
	struct ph_owned_find *find;
	int64_t pinned, home;
	struct ph_choice choice;
	struct ph_account *account; /* a reference */
	bool slot;                  /* and a running turn of it */
	struct ph_account_wait wait;
	int tries;
	int last;           /* what went wrong with the last account */
	int64_t account_id; /* the last one, for the log */

	/* the call */
	struct ph_call *call;
	bool connected;
	struct ph_timer timer;  /* a slot; progress of the body; the answer's head; silence; the commit */
	int64_t health_version; /* of the account, when it was asked */

	/* the answer: pass_answer.c */
	bool head_sent;
	bool paused;   /* the client is slower than upstream */
	int status;    /* of an answer that is kept back; 0: it passes */
	bool withheld; /* it may speak of the account rather than of the request */
	uint64_t after_ms;
	struct ph_buf headers, words;
	int told; /* the status that the client saw; 0: none of an upstream's */
	uint64_t bytes_in, bytes_out;
	struct ph_owned_write *writing[2];
};

/* pass.c */
void ph_pass_begin(struct ph_side *s); /* its body is known as far as needed */
void ph_pass_fail(struct ph_side *s, int code, const struct ph_err *err); /* ends it */
bool ph_pass_allows(const struct ph_side *s, struct ph_str model);        /* to the key */
void ph_pass_next(struct ph_side *s);   /* the account could not: another one */
void ph_pass_redial(struct ph_side *s); /* a connection had ended: once more */
void ph_pass_over(struct ph_side *s);   /* the answer is complete */

/* pass_body.c */
void ph_pass_admit(struct ph_side *s);      /* the client is known: how will its body be read? */
void ph_pass_body_ready(struct ph_side *s); /* the server has told all of it */
/* The ids and the model that the request names. */
int ph_pass_names(struct ph_side *s, struct ph_err *err) PH_WARN_UNUSED;
void ph_pass_send(struct ph_side *s, struct ph_call_request *r); /* starts the call */
bool ph_pass_again(const struct ph_pass *p);                     /* the body could go out once more */
void ph_pass_body_free(struct ph_pass *p);                       /* may be repeated */

/* pass_answer.c */
extern const struct ph_call_events ph_pass_events;
void ph_pass_connected(struct ph_side *s);   /* pass_body.c */
void ph_pass_drain(struct ph_side *s);       /* the client took what was queued */
void ph_pass_answer_late(struct ph_side *s); /* the commit takes too long */
void ph_pass_answer_cancel(struct ph_pass *p);

#endif
