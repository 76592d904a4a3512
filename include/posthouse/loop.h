/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one per node process, one thread. The only module that knows libuv.
 *
 * Lifetime, in seven sentences:
 *  1. What was opened must be closed; close takes effect later; after on_closed the object is gone.
 *  2. Nobody frees an object from inside its own callback chain: ph_loop_bury() frees at the end of the turn.
 *  3. Timers and deferred calls are embedded nodes: start, stop and restart are synchronous and cost nothing.
 *  4. No callback fires before the call that asked for it has returned, unless its comment says so.
 *  5. After a close no callback but on_closed fires.
 *  6. Names, compression and parsing of large bodies run on the thread pool; nothing else does.
 *  7. ph_loop_free() refuses to end while a handle lives, so that every test proves its module closes clean.
 */
#ifndef POSTHOUSE_LOOP_H
#define POSTHOUSE_LOOP_H

#include <sys/socket.h>

#include "posthouse/err.h"
#include "posthouse/list.h"
#include "posthouse/str.h"

struct ph_loop;

struct ph_loop *ph_loop_new(void);
/* Runs the close callbacks that are due, empties the graveyard and closes what the loop itself owns. Returns
 * the number of handles that others left open, timers that still run and jobs that the thread pool did not
 * finish within 5 s (then nothing is freed, so that a debugger can look), 0 when all is gone. loop may be
 * NULL. */
int ph_loop_free(struct ph_loop *loop) PH_WARN_UNUSED;
void ph_loop_run(struct ph_loop *loop); /* until ph_loop_stop(), or until nothing is left to wait for */
void ph_loop_stop(struct ph_loop *loop);
bool ph_loop_turn(struct ph_loop *loop); /* one turn without waiting: for tests. True while something lives */
uint64_t ph_loop_now_ms(const struct ph_loop *loop); /* monotonic, cached per turn of the loop */

/* fn(obj) at the end of this turn of the loop, when none of our callbacks is on the stack. */
void ph_loop_bury(struct ph_loop *loop, void *obj, void (*fn)(void *obj));

/* ---- timers: one wheel, 10 ms grain, never early ---- */
struct ph_timer {
	struct ph_list node;
	struct ph_loop *loop;
	uint64_t due_ms;
	void (*cb)(void *arg);
	void *arg;
};
void ph_timer_init(struct ph_timer *t, struct ph_loop *loop, void (*cb)(void *arg), void *arg);
void ph_timer_start(struct ph_timer *t, uint64_t after_ms); /* restarts a running one; fires once */
void ph_timer_stop(struct ph_timer *t);                     /* may be repeated */
bool ph_timer_active(const struct ph_timer *t);

/* ---- deferred calls: once, later in this turn of the loop, before it waits again ---- */
struct ph_defer {
	struct ph_list node;
	void (*cb)(void *arg);
	void *arg;
};
void ph_defer_init(struct ph_defer *d, void (*cb)(void *arg), void *arg);
void ph_defer_call(struct ph_loop *loop, struct ph_defer *d); /* scheduling twice calls once */
void ph_defer_cancel(struct ph_defer *d);

/* ---- signals ---- */
struct ph_signal;
/* cb(arg, signum) on the loop. Returns NULL if the signal cannot be watched. */
struct ph_signal *ph_signal_open(
	struct ph_loop *loop, int signum, void (*cb)(void *arg, int signum), void *arg);
void ph_signal_close(struct ph_signal *s); /* no callback afterwards; NULL is allowed */

/* ---- thread pool ---- */
/* work(arg) on a pool thread, then done(arg) on the loop. arg has to live until done() has run. */
void ph_work_start(struct ph_loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* ---- name resolution, off the loop; answers are cached for 30 s ---- */
#define PH_ADDRS_MAX 8
struct ph_addr {
	struct sockaddr_storage sa;
	socklen_t len;
};
struct ph_addrs {
	int count;
	struct ph_addr addr[PH_ADDRS_MAX];
};
struct ph_resolve;
/* cb(arg, 0 or -PH_E_NAME, addresses) exactly once, never before this call returns; not after
 * ph_resolve_cancel(). A literal address needs no thread. host is a C string without brackets. */
struct ph_resolve *ph_resolve_start(struct ph_loop *loop, const char *host, uint16_t port,
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs), void *arg);
void ph_resolve_cancel(struct ph_resolve *r); /* only between start and cb */
/* "127.0.0.1:8080", "[::1]:443" */
void ph_addr_text(const struct ph_addr *a, char *dst, size_t size);
/* "host:port" or "[v6]:port" to its parts; host without brackets. Port 0 passes, an empty host does not. 0 or
 * -PH_E_CONFIG. */
int ph_hostport_parse(
	struct ph_str text, char *host, size_t host_size, uint16_t *port, struct ph_err *err) PH_WARN_UNUSED;
bool ph_addr_is_loopback(const struct ph_addr *a);

/* ---- watching a descriptor that somebody else owns (libpq's) ---- */
enum {
	PH_READABLE = 1,
	PH_WRITABLE = 2
};
struct ph_watch;
/* status < 0: the poll itself failed and the watcher is already stopped; the owner must look at its
 * descriptor and either arm again or drop (a refused connect arrives so: libuv 1.44, EBADF with events 0). */
typedef void (*ph_watch_cb)(void *owner, int status, int events);
/* Arms *slot for fd. One watcher per generation of the socket: another fd replaces it. `fresh`: the socket
 * may be a new one behind an old number, so arm even where nothing seems to change. 0 or -PH_E_SOCKET. */
int ph_watch_arm(struct ph_watch **slot, struct ph_loop *loop, int fd, int mask, bool fresh, ph_watch_cb cb,
	void *owner) PH_WARN_UNUSED;
void ph_watch_pause(struct ph_watch *w); /* stops polling, keeps the watcher; NULL is allowed */
/* No callback afterwards; *slot = NULL. To be called before the descriptor is closed. */
void ph_watch_drop(struct ph_watch **slot);

#endif
