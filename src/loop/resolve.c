/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses. A literal address is read at once; a name is looked up on the thread pool, once for all
 * who ask at the same time, and the answer is kept for 30 seconds. Failures are not kept: whoever asks again
 * asks the name server.
 *
 * A look-up belongs to the loop, not to those who wait for it: one that is under way cannot be interrupted,
 * so when the last waiter cancels it just goes on, and its answer is there for the next.
 */
#include <assert.h>
#include <netdb.h>
#include <stdlib.h>

#include "loop_priv.h"

#define KEEP_MS   30000
#define NAMES_MAX 256
#define HOST_MAX  253 /* of a name in DNS */

/* Owner: loop->names. Busy while its request is under way, an entry of the cache afterwards. */
struct name {
	struct ph_list node;
	struct ph_list waiters; /* ph_resolve.node: those who want the answer that is under way */
	uv_getaddrinfo_t req;
	bool busy;
	uint64_t until_ms;
	struct ph_addrs addrs;
	char host[];
};

/* Owner: itself, from start to its callback or to cancel. */
struct ph_resolve {
	struct ph_list node; /* in a name's waiters, or alone when the answer is known */
	struct ph_defer answer;
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs);
	void *arg;
	uint16_t port;
	struct ph_addrs addrs; /* the answer, if it is known at the start; count 0 = failure */
};

static void set_port(struct ph_addr *a, uint16_t port)
{
	if (a->sa.ss_family == AF_INET)
		((struct sockaddr_in *)(void *)&a->sa)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)&a->sa)->sin6_port = htons(port);
}

/* Frees r, then calls back: the callback may start or cancel others. */
static void answer(struct ph_resolve *r, const struct ph_addrs *found)
{
	struct ph_addrs addrs = *found;
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs) = r->cb;
	void *arg = r->arg;

	for (int i = 0; i < addrs.count; i++)
		set_port(&addrs.addr[i], r->port);
	free(r);
	cb(arg, addrs.count > 0 ? 0 : -PH_E_NAME, &addrs);
}

static void on_answer(void *arg)
{
	struct ph_resolve *r = arg;
	struct ph_addrs addrs = r->addrs;

	answer(r, &addrs);
}

static bool read_literal(const char *host, struct ph_addrs *ret)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(ret, 0, sizeof(*ret));
	if (uv_ip4_addr(host, 0, &in) == 0) {
		memcpy(&ret->addr[0].sa, &in, sizeof(in));
		ret->addr[0].len = sizeof(in);
	} else if (uv_ip6_addr(host, 0, &in6) == 0) {
		memcpy(&ret->addr[0].sa, &in6, sizeof(in6));
		ret->addr[0].len = sizeof(in6);
	} else {
		return false;
	}
	ret->count = 1;
	return true;
}

static void copy_addrs(struct ph_addrs *ret, const struct addrinfo *ai)
{
	memset(ret, 0, sizeof(*ret));
	for (; ai && ret->count < PH_ADDRS_MAX; ai = ai->ai_next) {
		struct ph_addr *a = &ret->addr[ret->count];

		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
		a->len = ai->ai_addrlen;
		ret->count++;
	}
}

/* ---- look-ups ---- */
static void name_free(struct ph_loop *loop, struct name *name)
{
	assert(!name->busy && ph_list_empty(&name->waiters));
	ph_list_remove(&name->node);
	loop->name_count--;
	free(name);
}

static void on_addrinfo(uv_getaddrinfo_t *req, int status, struct addrinfo *ai)
{
	struct name *name = req->data;
	struct ph_loop *loop = req->loop->data;
	struct ph_list mark;
	struct ph_list *node;

	ph_loop_woke(loop);
	loop->jobs--;
	copy_addrs(&name->addrs, status == 0 ? ai : NULL);
	uv_freeaddrinfo(ai);
	name->until_ms = uv_now(&loop->uv) + KEEP_MS;
	/* still busy: callbacks that ask for the same name wait behind the mark, and the name is not thrown
	 * out */
	ph_list_push_back(&name->waiters, &mark);
	while ((node = ph_list_pop(&name->waiters)) != &mark)
		answer(PH_CONTAINER(node, struct ph_resolve, node), &name->addrs);
	while ((node = ph_list_pop(&name->waiters)) != NULL) {
		struct ph_resolve *r = PH_CONTAINER(node, struct ph_resolve, node);

		r->addrs = name->addrs;
		ph_defer_call(loop, &r->answer);
	}
	name->busy = false;
	if (name->addrs.count == 0)
		name_free(loop, name);
}

static struct name *name_find(struct ph_loop *loop, const char *host)
{
	PH_LIST_EACH (node, &loop->names) {
		struct name *name = PH_CONTAINER(node, struct name, node);

		if (strcmp(name->host, host) == 0)
			return name;
	}
	return NULL;
}

/* Makes room for one more: the oldest that nobody waits for. */
static void make_room(struct ph_loop *loop)
{
	for (struct ph_list *node = loop->names.prev; node != &loop->names; node = node->prev) {
		struct name *name = PH_CONTAINER(node, struct name, node);

		if (loop->name_count < NAMES_MAX)
			return;
		if (!name->busy) {
			name_free(loop, name);
			return;
		}
	}
}

/* Starts a look-up; NULL if libuv refuses. */
static struct name *name_ask(struct ph_loop *loop, const char *host)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	size_t size = strlen(host) + 1;
	struct name *name;

	make_room(loop);
	name = ph_alloc(sizeof(*name) + size);
	memcpy(name->host, host, size);
	ph_list_init(&name->waiters);
	name->req.data = name;
	if (uv_getaddrinfo(&loop->uv, &name->req, on_addrinfo, name->host, NULL, &hints) < 0) {
		free(name);
		return NULL;
	}
	name->busy = true;
	loop->jobs++;
	ph_list_push_front(&loop->names, &name->node);
	loop->name_count++;
	return name;
}

void ph_resolve_forget(struct ph_loop *loop)
{
	PH_LIST_EACH_SAFE (node, &loop->names)
		name_free(loop, PH_CONTAINER(node, struct name, node));
}

/* ---- asking ---- */
static void ask(struct ph_loop *loop, struct ph_resolve *r, const char *host)
{
	struct name *name = name_find(loop, host);

	if (name && !name->busy && name->until_ms <= uv_now(&loop->uv)) {
		name_free(loop, name);
		name = NULL;
	}
	if (!name)
		name = name_ask(loop, host);
	if (name && name->busy) {
		ph_list_push_back(&name->waiters, &r->node);
		return;
	}
	if (name)
		r->addrs = name->addrs;
	ph_defer_call(loop, &r->answer);
}

struct ph_resolve *ph_resolve_start(struct ph_loop *loop, const char *host, uint16_t port,
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs), void *arg)
{
	struct ph_resolve *r = ph_alloc(sizeof(*r));
	size_t n = strlen(host);

	assert(cb);
	ph_list_init(&r->node);
	ph_defer_init(&r->answer, on_answer, r);
	r->cb = cb;
	r->arg = arg;
	r->port = port;
	if (n == 0 || n > HOST_MAX || read_literal(host, &r->addrs))
		ph_defer_call(loop, &r->answer);
	else
		ask(loop, r, host);
	return r;
}

void ph_resolve_cancel(struct ph_resolve *r)
{
	ph_list_remove(&r->node);
	ph_defer_cancel(&r->answer);
	free(r);
}
