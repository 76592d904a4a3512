/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following what changes: accounts, keys, settings. A topic has a version row; a notification is a hint that
 * it moved, and the poll finds what hints missed. Order on every connect: LISTEN, then read all, then follow.
 */
#include <stdlib.h>

#include "models.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"
#include "prices.h"

#define RETRY_MS 500

enum {
	ACCOUNTS,
	API_KEYS,
	SETTINGS,
	PRICES,
	MODELS,
	TOPICS,
	/* no topics: nothing is read again. Their places among the values of PH_M_NOTIFIES */
	SLOTS = TOPICS,
	NODES,
	OTHER
};
static const struct ph_str topic_names[TOPICS] = {
	[ACCOUNTS] = PH_STR_INIT("accounts"),
	[API_KEYS] = PH_STR_INIT("api_keys"),
	[SETTINGS] = PH_STR_INIT("settings"),
	[PRICES] = PH_STR_INIT("prices"),
	[MODELS] = PH_STR_INIT("models"),
};

/* Owner: the gateway. */
struct ph_follow {
	struct ph_gateway *g;
	int64_t version[TOPICS];    /* known here */
	struct ph_timer retry;      /* a read failed */
	struct ph_pg_call *reading; /* settings */
	struct ph_timer poll;       /* while nothing listens, since that connection polls else */
	struct ph_pg_call *polling;
	bool listening;
	bool settings_known;
	bool stale[TOPICS];    /* must be read again once the database is back */
	const char *overruled; /* a setting that is another one in the environment, or NULL */
	bool misses;           /* the last change was found by the poll, and no notification has come since */
};

static void read_topic(struct ph_follow *f, int topic);

static int topic_of(struct ph_str name)
{
	for (int i = 0; i < TOPICS; i++)
		if (ph_str_eq(name, topic_names[i]))
			return i;
	return TOPICS;
}

static void check_ready(struct ph_follow *f)
{
	struct ph_gateway *g = f->g;

	if (g->ready || ph_follow_unready(f))
		return;
	g->ready = true;
	g->on_ready(g->ready_arg);
}

const char *ph_follow_unready(const struct ph_follow *f)
{
	if (!f->settings_known)
		return "waiting for the database: its schema and settings have not been read yet";
	if (!ph_auth_loaded(f->g->auth))
		return "waiting for the database: the API keys have not been read yet";
	if (!ph_accounts_loaded(f->g->accounts))
		return "waiting for the database: the accounts have not been read yet";
	if (!ph_prices_loaded(f->g->prices))
		return "waiting for the database: the prices have not been read yet";
	return NULL;
}

static bool differ(double days, uint64_t ms)
{
	double seconds = days * 86400 - (double)(ms / 1000);

	return seconds > 0.5 || seconds < -0.5;
}

static void learn_retention(struct ph_follow *f, double days, double unstored_days)
{
	const struct ph_config *c = f->g->config;

	f->overruled = NULL;
	if (differ(days, c->retention_ms))
		f->overruled = "retention";
	else if (differ(unstored_days, c->retention_unstored_ms))
		f->overruled = "retention_unstored";
}

static void retry_later(struct ph_follow *f, int topic)
{
	f->stale[topic] = true;
	if (!ph_timer_active(&f->retry))
		ph_timer_start(&f->retry, RETRY_MS);
}

/* Any version that came while it was read has it read again: this one is what is here now. */
static void on_read(struct ph_follow *f, int topic, int status)
{
	if (status)
		retry_later(f, topic);
	else if (!f->stale[topic])
		ph_log(PH_LOG_DEBUG, "%.*s are as of version %lld", PH_STR_ARG(topic_names[topic]),
			(long long)f->version[topic]);
	check_ready(f);
}

static void on_accounts(void *arg, int status)
{
	on_read(arg, ACCOUNTS, status);
}

static void on_keys(void *arg, int status)
{
	on_read(arg, API_KEYS, status);
}

static void on_prices(void *arg, int status)
{
	struct ph_follow *f = arg;

	if (status)
		retry_later(f, PRICES);
	check_ready(f);
}

static void on_models(void *arg, int status)
{
	if (status)
		retry_later(arg, MODELS);
}

/* hello(): what the whole database says of itself. */
static void on_hello(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	enum {
		SCHEMA_VERSION,
		NEEDS_VERSION,
		TODAY,
		SERVER_VERSION,
		RETENTION,
		RETENTION_UNSTORED,
		STRATEGY
	};
	struct ph_follow *f = arg;

	f->reading = NULL;
	if (err || ph_pg_rows(r) == 0) {
		retry_later(f, SETTINGS);
		return;
	}
	learn_retention(f, ph_pg_float(r, 0, RETENTION), ph_pg_float(r, 0, RETENTION_UNSTORED));
	ph_continuity_set_retention(
		f->g->continuity, ph_pg_float(r, 0, RETENTION), ph_pg_float(r, 0, RETENTION_UNSTORED));
	if (!ph_accounts_set_strategy(f->g->accounts, ph_pg_str(r, 0, STRATEGY)))
		ph_log(PH_LOG_WARN,
			"the setting strategy is \"%.*s\", which this program does not know: accounts "
			"are chosen as before",
			PH_STR_ARG(ph_pg_str(r, 0, STRATEGY)));
	f->settings_known = true;
	on_read(f, SETTINGS, 0);
}

static void read_topic(struct ph_follow *f, int topic)
{
	f->stale[topic] = false;
	if (topic == ACCOUNTS)
		ph_accounts_reload(f->g->accounts, on_accounts, f);
	else if (topic == API_KEYS)
		ph_auth_reload(f->g->auth, on_keys, f);
	else if (topic == PRICES)
		ph_prices_reload(f->g->prices, on_prices, f);
	else if (topic == MODELS)
		ph_models_reload(f->g->models, on_models, f);
	else if (!f->reading)
		f->reading = ph_follow_store_hello(f->g->pg, on_hello, f);
	else
		retry_later(f, topic);
}

static void on_retry(void *arg)
{
	struct ph_follow *f = arg;

	for (int i = 0; i < TOPICS; i++)
		if (f->stale[i])
			read_topic(f, i);
}

/* Only strictly newer versions act; whoever told first. */
static bool moved(struct ph_follow *f, int topic, int64_t version)
{
	if (topic == TOPICS || version <= f->version[topic])
		return false;
	f->version[topic] = version;
	read_topic(f, topic);
	return true;
}

/* ---- hints ---- */

static void on_listening(void *arg)
{
	struct ph_follow *f = arg;

	f->listening = true;
	ph_metric_set(PH_M_LISTENING, 0, 0, 1);
	ph_timer_stop(&f->poll);
	for (int i = 0; i < TOPICS; i++)
		read_topic(f, i);
}

static void on_lost(void *arg)
{
	struct ph_follow *f = arg;

	ph_metric_set(PH_M_LISTENING, 0, 0, 0);
	f->listening = false;
	ph_timer_start(&f->poll, f->g->config->poll_interval_ms);
}

/* What is said of slots and nodes. */
static int on_other(struct ph_gateway *g, struct ph_str payload)
{
	if (ph_account_heard(g->accounts, payload))
		return SLOTS;
	if (!ph_str_eq(payload, PH_STR("nodes")))
		return OTHER;
	ph_member_beat(g->member);
	return NODES;
}

/* "topic version", or one of the above. */
static void on_notify(void *arg, struct ph_str payload)
{
	struct ph_follow *f = arg;
	struct ph_str rest = payload, name = ph_str_split(&rest, ' ');
	int topic = topic_of(name);
	uint64_t version;

	f->misses = false;
	if (topic == TOPICS)
		topic = on_other(f->g, payload);
	else if (ph_str_u64(rest, INT64_MAX, &version))
		moved(f, topic, (int64_t)version);
	ph_metric_add(PH_M_NOTIFIES, (unsigned)topic, 0, 1);
}

static void on_poll(void *arg, const struct ph_pg_result *r)
{
	struct ph_follow *f = arg;

	for (int row = 0; row < ph_pg_rows(r); row++) {
		int topic = topic_of(ph_pg_str(r, row, 0));
		bool known_before = topic < TOPICS && f->version[topic] > 0;

		if (moved(f, topic, ph_pg_int(r, row, 1)) && known_before) {
			f->misses = true;
			ph_metric_add(PH_M_NOTIFIES_MISSED, 0, 0, 1);
		}
	}
}

static void on_polled(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_follow *f = arg;

	f->polling = NULL;
	if (!f->listening)
		ph_timer_start(&f->poll, f->g->config->poll_interval_ms);
	if (!err)
		on_poll(f, r);
}

static void on_poll_timer(void *arg)
{
	struct ph_follow *f = arg;

	if (!f->polling)
		f->polling = ph_follow_store_topics(f->g->pg, on_polled, f);
}

bool ph_follow_listening(const struct ph_follow *f)
{
	return f->listening;
}

const char *ph_follow_overruled(const struct ph_follow *f)
{
	return f->overruled;
}

bool ph_follow_misses(const struct ph_follow *f)
{
	return f->misses;
}

struct ph_follow *ph_follow_new(struct ph_gateway *g)
{
	struct ph_follow *f = ph_alloc(sizeof *f);

	f->g = g;
	ph_timer_init(&f->retry, g->loop, on_retry, f);
	ph_timer_init(&f->poll, g->loop, on_poll_timer, f);
	return f;
}

void ph_follow_start(struct ph_follow *f)
{
	struct ph_pg_listen listen = {
		.channel = "posthouse",
		.poll_sql = ph_follow_store_poll,
		.poll_ms = f->g->config->poll_interval_ms,
		.on_follow = on_listening,
		.on_notify = on_notify,
		.on_poll = on_poll,
		.on_lost = on_lost,
		.arg = f,
	};

	ph_pg_listen(f->g->pg, &listen);
	/* Where the listener cannot connect the node still starts, and follows by polling. */
	ph_timer_start(&f->poll, f->g->config->poll_interval_ms);
	for (int i = 0; i < TOPICS; i++)
		read_topic(f, i);
}

struct ph_follow *ph_follow_free(struct ph_follow *f)
{
	if (!f)
		return NULL;
	ph_timer_stop(&f->retry);
	ph_timer_stop(&f->poll);
	if (f->polling)
		ph_pg_abandon(f->polling);
	if (f->reading)
		ph_pg_abandon(f->reading);
	free(f);
	return NULL;
}
