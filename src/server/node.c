/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node: a loop, its database connections, the gateway, two listeners, and an orderly end.
 *
 *     STARTING -> SERVING -> DRAINING -> FINISHING -> CLIENTS -> DATABASE -> GATEWAY -> over
 *
 * STARTING   clients are refused until it is ready, for at most a second, then told 503
 * DRAINING   unready, idle connections closed, sessions of WebSockets told, still accepting: a balancer needs
 *            a moment to see it
 * FINISHING  the listener is closed, turns run out and sockets close, at most DRAIN_TIMEOUT
 * CLIENTS    connections are closed; DATABASE the writer's queue is emptied; GATEWAY the rest
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "server_priv.h"

#define ACCEPT_ON_MS    3000
#define LATE_MS         1000 /* a node that is not ready by then says so to clients itself */
#define LOOK_MS         50   /* how often the drain looks whether all is over */
#define FLUSH_MS        1000 /* for the last bytes of turns that were cut */
#define WRITES_GRACE_MS 10000
#define PING_MS         20000
#define READERS         2
#define MAPPED_FROM     (4 * 1024 * 1024)  /* bytes of a block that is the kernel's again once it is free */
#define FREE_KEPT       (32 * 1024 * 1024) /* bytes at the top of the heap */

static const char plain_answer[] = "HTTP/1.1 400 Bad Request\r\n"
				   "content-type: text/plain\r\n"
				   "content-length: 39\r\n"
				   "connection: close\r\n"
				   "\r\n"
				   "This port speaks TLS: write https://.\r\n";

enum node_state {
	NODE_STARTING,
	NODE_SERVING,
	NODE_DRAINING,
	NODE_FINISHING,
	NODE_CLIENTS,
	NODE_DATABASE,
	NODE_GATEWAY,
	NODE_NR,
};

#define B(n) PH_SM_BIT(NODE_##n)
static const struct ph_sm_state node_states[NODE_NR] = {
	[NODE_STARTING] = {"STARTING", B(SERVING) | B(DRAINING) | B(CLIENTS)},
	[NODE_SERVING] = {"SERVING", B(DRAINING) | B(CLIENTS)},
	[NODE_DRAINING] = {"DRAINING", B(FINISHING) | B(CLIENTS)},
	[NODE_FINISHING] = {"FINISHING", B(CLIENTS)},
	[NODE_CLIENTS] = {"CLIENTS", B(DATABASE)},
	[NODE_DATABASE] = {"DATABASE", B(GATEWAY)},
	[NODE_GATEWAY] = {"GATEWAY", 0},
};

struct node {
	struct ph_sm sm;
	const struct ph_node_options *o;
	struct ph_loop *loop;
	struct ph_pg *pg;
	struct ph_gateway *gateway;
	struct ph_node_view view;
	struct ph_door_keeper clients, admins;
	struct ph_listener *listener, *admin_listener;
	struct ph_signal *term, *interrupt, *hup;
	struct ph_timer timer;
	struct ph_self self;
	uint64_t drain_until_ms;
	int status; /* what the process exits with */
};

/* ---- the end ---- */

static void on_gateway_closed(void *arg)
{
	struct node *n = arg;

	ph_signal_close(n->term);
	ph_signal_close(n->interrupt);
	ph_signal_close(n->hup);
	ph_self_stop(&n->self);
	ph_loop_stop(n->loop);
}

static void on_pg_closed(void *arg)
{
	struct node *n = arg;

	ph_sm_move(&n->sm, NODE_GATEWAY);
	n->pg = NULL;
	ph_gateway_close(n->gateway, on_gateway_closed, n);
}

static void on_clients_gone(void *arg)
{
	struct node *n = arg;

	if (n->sm.state != NODE_CLIENTS || n->clients.client_count || n->admins.client_count)
		return;
	ph_sm_move(&n->sm, NODE_DATABASE);
	ph_gateway_leave(n->gateway);
	ph_pg_close(n->pg, WRITES_GRACE_MS, on_pg_closed, n);
}

static void close_clients(struct node *n)
{
	ph_timer_stop(&n->timer);
	ph_sm_move(&n->sm, NODE_CLIENTS);
	ph_listener_close(n->listener);
	ph_listener_close(n->admin_listener);
	n->listener = n->admin_listener = NULL;
	n->clients.on_empty = n->admins.on_empty = on_clients_gone;
	ph_keeper_close_all(&n->clients);
	ph_keeper_close_all(&n->admins);
	on_clients_gone(n);
}

static void on_fatal(void *arg)
{
	struct node *n = arg;

	n->status = 1;
	n->view.draining = true;
	close_clients(n);
}

/* ---- drain ---- */

/* Sockets without a turn are on their way out: their sessions were told. */
static void finish_turns(struct node *n)
{
	bool running = ph_gateway_turns(n->gateway) > 0 || n->clients.busy > 0;

	if (!running && n->clients.sockets == 0) {
		close_clients(n);
		return;
	}
	if (ph_loop_now_ms(n->loop) < n->drain_until_ms) {
		ph_timer_start(&n->timer, LOOK_MS);
		return;
	}
	if (running && n->status == 0) {
		size_t cut = ph_gateway_cut(n->gateway);

		ph_log(PH_LOG_WARN, "drain: %zu turns were cut at the end of the drain timeout", cut);
		n->status = 1;
		n->drain_until_ms = ph_loop_now_ms(n->loop) + FLUSH_MS;
		ph_timer_start(&n->timer, LOOK_MS);
		return;
	}
	close_clients(n);
}

static void on_signal(void *arg, int signum)
{
	struct node *n = arg;

	if (n->view.draining) {
		ph_log(PH_LOG_WARN, "second signal %d: ending at once", signum);
		ph_log_flush();
		_exit(1);
	}
	n->view.draining = true;
	n->drain_until_ms = ph_loop_now_ms(n->loop) + n->o->config->drain_timeout_ms;
	ph_log(PH_LOG_INFO, "draining: %zu turns run", ph_gateway_turns(n->gateway));
	ph_sm_move(&n->sm, NODE_DRAINING);
	ph_keeper_drain(&n->clients);
	ph_timer_start(&n->timer, ACCEPT_ON_MS);
}

/* ---- TLS ---- */

struct ph_tls *ph_node_tls_new(
	const struct ph_config *config, struct ph_tls_tickets *tickets, struct ph_err *err)
{
	const struct ph_tls_server_options options = {
		config->tls_cert_file, config->tls_key_file, tickets, plain_answer};

	return ph_tls_server_new(&options, err);
}

static void log_certificate(const struct ph_tls *tls, const char *file)
{
	time_t until = (time_t)ph_tls_server_valid_until(tls);
	bool expired = (uint64_t)until * 1000 < ph_clock_unix_ms();
	char text[32];
	struct tm tm;

	gmtime_r(&until, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	ph_log_fields(expired ? PH_LOG_WARN : PH_LOG_INFO,
		expired ? "TLS: the certificate has expired: renew it and send SIGHUP"
			: "TLS: certificate read",
		(const struct ph_field[]){PH_F_C("file", file), PH_F_C("valid_until", text)}, 2);
}

/* New connections get what the files hold now; a pair that cannot be used changes nothing. */
static void read_certificate(struct node *n)
{
	const struct ph_node_options *o = n->o;
	struct ph_err err = {0};
	struct ph_tls *tls = ph_node_tls_new(o->config, o->tickets, &err);

	if (!tls) {
		ph_log(PH_LOG_ERROR, "TLS: the certificate in use stays: %s", err.detail);
		ph_metric_add(PH_M_RELOADS_FAILED, 0, 0, 1);
		return;
	}
	log_certificate(tls, o->config->tls_cert_file);
	ph_gateway_certificate(n->gateway, ph_tls_server_valid_until(tls));
	ph_listener_tls(n->listener, tls);
	ph_tls_free(tls);
}

static void on_hup(void *arg, int signum)
{
	struct node *n = arg;

	(void)signum;
	if (!n->o->tls)
		ph_log(PH_LOG_INFO, "SIGHUP: no setting of this node can be changed while it runs");
	else if (n->listener)
		read_certificate(n);
}

/* ---- serving ---- */

static void on_client(void *owner, struct ph_stream *s)
{
	ph_client_open(owner, s);
}

/* A WebSocket would be closed as soon as it is open: clients come back sooner where it never was. */
static void handle_client(void *arg, struct ph_exchange *x)
{
	struct node *n = arg;

	if (x->head->upgrade && n->view.draining)
		ph_gateway_refuse(n->gateway, x, PH_E_DRAINING, NULL);
	else
		ph_gateway_handle(n->gateway, x);
}

static void refuse_client(void *arg, struct ph_exchange *x, int code, const struct ph_err *err)
{
	ph_gateway_refuse(((struct node *)arg)->gateway, x, code, err);
}

static void refuse_bytes(void *arg, int code, const struct ph_err *err, struct ph_buf *out)
{
	ph_gateway_refusal(((struct node *)arg)->gateway, code, err, out);
}

static void handle_admin(void *arg, struct ph_exchange *x)
{
	struct node *n = arg;

	n->o->admin_handle(&n->view, x);
}

static void keeper_init(
	struct node *n, struct ph_door_keeper *k, void (*handle)(void *arg, struct ph_exchange *x))
{
	*k = (struct ph_door_keeper){
		.loop = n->loop,
		.handle = handle,
		.refusal = refuse_bytes,
		.refuse = refuse_client,
		.arg = n,
		.max_body = n->o->config->max_body,
		.idle_timeout_ms = n->o->config->idle_timeout_ms,
		.ping_ms = PING_MS,
	};
	ph_keeper_init(k);
}

/* Not before the node is ready, or is late: a balancer that did not notice a restart tries another node when
 * it is refused, and would pass on a 503. */
static void open_clients(struct node *n)
{
	struct ph_err err = {0};

	if (n->listener || n->sm.state > NODE_SERVING)
		return;
	n->listener = ph_listener_open(n->loop, &n->o->listen, on_client, &n->clients, &err);
	if (!n->listener) {
		ph_log(PH_LOG_ERROR, "%s", err.detail);
		on_fatal(n);
		return;
	}
	ph_listener_tls(n->listener, n->o->tls);
	if (n->o->tls)
		read_certificate(n);
}

static void on_ready(void *arg)
{
	struct node *n = arg;
	char text[80];

	n->view.started = true;
	ph_metric_set(PH_M_READY, 0, 0, 1);
	if (n->sm.state == NODE_STARTING) {
		ph_sm_move(&n->sm, NODE_SERVING);
		ph_timer_stop(&n->timer);
	}
	open_clients(n);
	ph_addr_text(&n->o->listen, text, sizeof text);
	ph_log(PH_LOG_INFO, "ready: serving on %s", text);
}

static void on_timer(void *arg)
{
	struct node *n = arg;

	if (n->sm.state == NODE_STARTING) {
		open_clients(n);
		return;
	}
	if (n->sm.state == NODE_DRAINING) {
		ph_sm_move(&n->sm, NODE_FINISHING);
		ph_listener_close(n->listener);
		n->listener = NULL;
		ph_keeper_close_idle(&n->clients);
	}
	finish_turns(n);
}

static int open_listeners(struct node *n, struct ph_err *err)
{
	keeper_init(n, &n->clients, handle_client);
	n->clients.max_streams = PH_TURNS_MAX;
	n->clients.counted = true;
	keeper_init(n, &n->admins, handle_admin);
	n->admins.max_body = 4096;
	n->admin_listener = ph_listener_open(n->loop, &n->o->admin, on_client, &n->admins, err);
	return n->admin_listener ? 0 : -1;
}

static int node_open(struct node *n, struct ph_err *err)
{
	const struct ph_node_options *o = n->o;
	char application[300];
	struct ph_pg_options pg = {o->dsn, o->direct_dsn, READERS, application, ph_gateway_warm_sql};
	struct ph_gateway_options gateway = {n->loop, NULL, o->config, o->keys, o->name};

	snprintf(application, sizeof application, "posthouse node %s", o->name);
	n->pg = ph_pg_open(n->loop, &pg);
	if (!n->pg)
		return ph_fail(err, PH_E_CONFIG, "the database URL cannot be read");
	gateway.pg = n->pg;
	n->gateway = ph_gateway_new(&gateway, err);
	if (!n->gateway)
		return -1;
	n->view.gateway = n->gateway;
	n->view.workers = o->config->workers;
	if (open_listeners(n, err))
		return -1;
	n->term = ph_signal_open(n->loop, SIGTERM, on_signal, n);
	n->interrupt = ph_signal_open(n->loop, SIGINT, on_signal, n);
	n->hup = ph_signal_open(n->loop, SIGHUP, on_hup, n);
	ph_timer_start(&n->timer, LATE_MS);
	ph_self_start(&n->self, n->loop);
	return 0;
}

/* What a turn gives back is the next one's. By themselves these limits follow the blocks that happen to be
 * freed, and large bodies were given back to the kernel and taken again, page by page, with each turn. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
	mallopt(M_TRIM_THRESHOLD, FREE_KEPT);
}

int ph_node_run(const struct ph_node_options *options)
{
	struct node n = {.o = options};
	struct ph_err err = {0};

	signal(SIGPIPE, SIG_IGN);
	keep_memory();
	ph_metrics_worker(options->worker);
	n.loop = ph_loop_new();
	ph_timer_init(&n.timer, n.loop, on_timer, &n);
	ph_sm_init(&n.sm, "node", node_states, NODE_NR, NODE_STARTING);
	if (node_open(&n, &err)) {
		ph_log(PH_LOG_ERROR, "the node cannot start: %s", err.detail);
		return 1;
	}
	ph_gateway_start(n.gateway, on_ready, on_fatal, &n);
	ph_loop_run(n.loop);
	if (ph_loop_free(n.loop))
		ph_log(PH_LOG_ERROR, "handles were left open at the end");
	ph_log(PH_LOG_INFO, "ended with status %d", n.status);
	return n.status;
}
