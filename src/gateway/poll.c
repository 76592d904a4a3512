/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What accounts are asked without a client: how much a login has left, which also keeps one alive that nobody
 * uses, and which models there are. Each is a job of its own for each account, so that one node asks, and
 * another one goes on when it dies. What the answers mean is elsewhere: the usage is the registry's, the
 * lists are models.c's, and of a refusal only what speaks of the login counts (handbook, protocol 5.1).
 */
#include "poll.h"

#include <stdio.h>
#include <stdlib.h>

#include "inquiry.h"
#include "models.h"
#include "posthouse/metrics.h"
#include "renew.h"

#define TICK_MS       1000
#define HOLD_MS       30000
#define USAGE_ASK_MS  10000
#define MODELS_ASK_MS 15000
#define USAGE_MAX     (256 * 1024)
#define REFUSED_MS    300000 /* the endpoint is not for this account, or not there */
#define RENEWED_MS    5000   /* asked again with the new token */
#define UNANSWERED_MS 60000  /* a list that could not be had */
#define IDLE_MS       30000  /* an account that cannot be asked now */
#define GRACE_MS      60000 /* at most: a node that has just come, or an account, is left in peace for so long */
#define JITTER_PART   10

/* The catalogue's format is of the client that asks for it: this one is known to be understood. */
#define CATALOGUE_PATH "/models?client_version=0.169.0"

/* Label values of PH_M_POLLS. */
enum {
	OF_USAGE,
	OF_MODELS
};
enum {
	WAS_OK,
	WAS_REFUSED,
	WAS_FAILED
};

/* Owner: the gateway. */
struct ph_polls {
	struct ph_gateway *g;
	struct ph_list list; /* of struct poll: one for each account */
	struct ph_timer tick;
};

struct poll {
	struct ph_list node;
	struct ph_polls *ps;
	struct ph_account *a; /* a reference */
	char usage_name[40], models_name[40];
	struct ph_job usage, models;
	struct ph_inquiry usage_ask, models_ask;
	struct ph_pg_call *noting, *putting;
	bool usage_begun, models_begun;
	uint64_t since_ms; /* loop time at which the account was first seen */
	uint64_t usage_next_ms;
	uint64_t models_next_ms;
	int64_t secret; /* version that was polled with */
	int64_t health; /* likewise */
};

static uint64_t about(uint64_t ms)
{
	uint64_t part = ms / JITTER_PART;

	return part ? ms - part + ph_rand_u64() % (2 * part) : ms;
}

static bool can_ask(const struct ph_account *a)
{
	return !a->sealed_badly && (ph_account_usable(a) || ph_account_blocked(a));
}

/* ---- usage ---- */

static void on_noted(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct poll *p = arg;

	(void)rows;
	p->noting = NULL;
	if (!err || err->code != PH_E_CANCELLED)
		ph_job_done(&p->usage, p->usage_next_ms);
}

static void note(struct poll *p, const char *result, const char *email, uint64_t next_ms)
{
	struct ph_gateway *g = p->ps->g;
	uint64_t now = ph_loop_now_ms(g->loop);
	struct ph_poll_note n = {
		.account = p->a->id,
		.result = result,
		.email = email,
		.renews = p->a->renew_ms > 0,
		.renew_ms = p->a->renew_ms > now ? p->a->renew_ms - now : 0,
		.node = g->node,
	};

	p->usage_next_ms = about(next_ms);
	p->noting = ph_poll_store_note(g->pg, &n, on_noted, p);
}

/* A refusal judges the login, the endpoint, or nothing that matters. Whether turns are served is for turns to
 * find out, but for what says that the login itself is at an end; a static token may simply be none for this
 * endpoint. */
static uint64_t refused(struct poll *p)
{
	struct ph_gateway *g = p->ps->g;
	struct ph_failed_answer answer = {.status = p->usage_ask.status,
		.body = ph_buf_str(&p->usage_ask.body),
		.renewable = p->a->renewable};
	struct ph_asked asked = {.version = p->health, .secret = p->secret};
	struct ph_failure f;

	ph_classify(&answer, &f);
	if (f.signal == PH_SIGNAL_EXPIRED)
		return ph_renew_ask(g, p->a, p->secret) ? RENEWED_MS : REFUSED_MS;
	if (p->a->renewable && (f.signal == PH_SIGNAL_REAUTH || f.signal == PH_SIGNAL_DISABLED ||
				       f.signal == PH_SIGNAL_SUSPENDED))
		ph_health_failure(g, p->a, &f, &asked);
	return REFUSED_MS;
}

static void on_usage(void *arg)
{
	struct poll *p = arg;
	struct ph_gateway *g = p->ps->g;
	uint64_t next_ms = g->config->usage_interval_ms;
	int status = p->usage_ask.status;
	char email[160] = "", word[32];
	struct ph_usage usage;
	unsigned was = WAS_FAILED;

	snprintf(word, sizeof word, status ? "status %d" : "%.0d%s", status, p->usage_ask.why);
	if (status == 200 && ph_usage_of_answer(ph_buf_str(&p->usage_ask.body),
				     ph_accounts_unix_s(g->accounts), &usage, email, sizeof email)) {
		ph_account_usage(g->accounts, p->a, &usage);
		was = WAS_OK;
		snprintf(word, sizeof word, "ok");
	} else if (status / 100 == 4 && status != 408 && status != 429) {
		next_ms = refused(p);
		was = WAS_REFUSED;
	} else if (status == 200) {
		next_ms = REFUSED_MS;
		snprintf(word, sizeof word, "no usage");
	}
	ph_metric_add(PH_M_POLLS, OF_USAGE, was, 1);
	note(p, word, email, next_ms);
}

/* The endpoint stands beside the API: https://chatgpt.com/backend-api/codex has it in /backend-api/wham. */
static void ask_usage(void *arg)
{
	static const struct ph_str codex = PH_STR_INIT("/codex");
	struct poll *p = arg;
	struct ph_url base = p->a->base;
	struct ph_str path = ph_str_c(base.path);

	if (!can_ask(p->a)) {
		ph_job_done(&p->usage, IDLE_MS);
		return;
	}
	if (ph_str_ends(path, codex))
		base.path[path.n - codex.n] = '\0';
	p->secret = p->a->secret_version;
	p->health = p->a->health.version;
	ph_inquiry_start(&p->usage_ask, p->a, &base, PH_STR("/wham/usage"), USAGE_ASK_MS);
}

/* ---- models ---- */

static void on_put(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct poll *p = arg;

	(void)rows;
	p->putting = NULL;
	if (!err || err->code != PH_E_CANCELLED)
		ph_job_done(&p->models, p->models_next_ms);
}

static void on_models(void *arg)
{
	struct poll *p = arg;
	struct ph_gateway *g = p->ps->g;
	bool codex = p->a->kind == PH_CODEX, good;
	struct ph_models_put put = {.account = p->a->id,
		.job = p->models_name,
		.epoch = p->models.epoch,
		.codex = codex,
		.node = ph_member_id(g->member),
		.node_name = g->node};
	struct ph_buf list;

	ph_buf_init(&list, PH_MODELS_LIST_MAX);
	good = p->models_ask.status == 200 && !p->models_ask.body.failed &&
	       ph_models_take(ph_buf_str(&p->models_ask.body), codex, &list);
	p->models_next_ms = about(good ? g->config->models_interval_ms : UNANSWERED_MS);
	put.list = good ? ph_buf_str(&list) : PH_STR_NONE;
	ph_metric_add(PH_M_POLLS, OF_MODELS,
		good                              ? WAS_OK
		: p->models_ask.status / 100 == 4 ? WAS_REFUSED
						  : WAS_FAILED,
		1);
	p->putting = ph_poll_store_models(g->pg, &put, on_put, p);
	ph_buf_deinit(&list);
}

static void ask_models(void *arg)
{
	struct poll *p = arg;

	if (!can_ask(p->a)) {
		ph_job_done(&p->models, IDLE_MS);
		return;
	}
	ph_inquiry_start(&p->models_ask, p->a, &p->a->base,
		p->a->kind == PH_CODEX ? PH_STR(CATALOGUE_PATH) : PH_STR("/models"), MODELS_ASK_MS);
}

/* ---- one for each account ---- */

static void stop(struct poll *p)
{
	ph_job_stop(&p->usage);
	ph_job_stop(&p->models);
	ph_inquiry_stop(&p->usage_ask);
	ph_inquiry_stop(&p->models_ask);
	if (p->noting)
		ph_pg_abandon(p->noting);
	if (p->putting)
		ph_pg_abandon(p->putting);
	ph_list_remove(&p->node);
	ph_account_unref(p->a);
	free(p);
}

static void begin(struct ph_polls *ps, struct ph_account *a)
{
	struct ph_gateway *g = ps->g;
	struct poll *p = ph_alloc(sizeof *p);

	p->ps = ps;
	p->a = ph_account_ref(a);
	p->secret = a->secret_version;
	p->since_ms = ph_loop_now_ms(g->loop);
	snprintf(p->usage_name, sizeof p->usage_name, "usage %lld", (long long)a->id);
	snprintf(p->models_name, sizeof p->models_name, "models %lld", (long long)a->id);
	ph_job_init(&p->usage, g->member, p->usage_name, HOLD_MS, ask_usage, p);
	ph_job_init(&p->models, g->member, p->models_name, HOLD_MS, ask_models, p);
	ph_inquiry_init(&p->usage_ask, g, USAGE_MAX, on_usage, p);
	ph_inquiry_init(&p->models_ask, g, PH_MODELS_LIST_MAX, on_models, p);
	ph_list_push_back(&ps->list, &p->node);
	ph_models_apply(g->models, a);
}

static bool is_polled(const struct ph_polls *ps, const struct ph_account *a)
{
	PH_LIST_EACH (it, &ps->list)
		if (PH_CONTAINER(it, struct poll, node)->a == a)
			return true;
	return false;
}

/* Whether work of that interval may begin: after one of them, or the grace, whichever is shorter. */
static bool is_time(const struct poll *p, uint64_t interval_ms)
{
	uint64_t grace = interval_ms < GRACE_MS ? interval_ms : GRACE_MS;

	return interval_ms && ph_loop_now_ms(p->ps->g->loop) - p->since_ms >= grace;
}

static void start_jobs(struct poll *p)
{
	const struct ph_config *c = p->ps->g->config;

	if (!p->usage_begun && p->a->kind == PH_CODEX && is_time(p, c->usage_interval_ms)) {
		p->usage_begun = true;
		ph_job_start(&p->usage);
	}
	if (!p->models_begun && c->models_interval_ms &&
		(ph_models_awaited(p->ps->g->models) || is_time(p, c->models_interval_ms))) {
		p->models_begun = true;
		ph_job_start(&p->models);
	}
}

/* An account that was changed has its work due at once, which nobody says to those that sleep. */
static void look_at(struct poll *p)
{
	start_jobs(p);
	if (p->a->secret_version != p->secret && !ph_inquiry_runs(&p->usage_ask) && p->a->kind == PH_CODEX) {
		p->secret = p->a->secret_version;
		ph_job_hurry(&p->usage);
	}
	if (!ph_models_known(p->ps->g->models, p->a->id))
		ph_job_hurry(&p->models);
}

static void on_tick(void *arg)
{
	struct ph_polls *ps = arg;

	ph_timer_start(&ps->tick, TICK_MS);
	PH_LIST_EACH_SAFE (it, &ps->list) {
		struct poll *p = PH_CONTAINER(it, struct poll, node);

		if (p->a->state == PH_ACCOUNT_GONE)
			stop(p);
		else
			look_at(p);
	}
	PH_LIST_EACH (it, ph_accounts_list(ps->g->accounts)) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!is_polled(ps, a))
			begin(ps, a);
	}
}

void ph_polls_look(struct ph_polls *ps)
{
	PH_LIST_EACH (it, &ps->list)
		look_at(PH_CONTAINER(it, struct poll, node));
}

struct ph_polls *ph_polls_new(struct ph_gateway *g)
{
	struct ph_polls *ps = ph_alloc(sizeof *ps);

	ps->g = g;
	ph_list_init(&ps->list);
	ph_timer_init(&ps->tick, g->loop, on_tick, ps);
	return ps;
}

void ph_polls_start(struct ph_polls *ps)
{
	on_tick(ps);
}

struct ph_polls *ph_polls_free(struct ph_polls *ps)
{
	ph_timer_stop(&ps->tick);
	while (!ph_list_empty(&ps->list))
		stop(PH_CONTAINER(ps->list.next, struct poll, node));
	free(ps);
	return NULL;
}
