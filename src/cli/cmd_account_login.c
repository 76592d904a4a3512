/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse account login: an account of kind codex from a person's login, in a browser or with a code that
 * is entered anywhere. What is begun is kept in the database, sealed, until it expires: another run of the
 * command, on this machine or any other, goes on with it, and all that wait hear when one has completed it.
 * The tokens are sealed here, bound to the account, before they leave the process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/json.h"
#include "posthouse/login.h"
#include "posthouse/url.h"

#include "login_store.h"
#include "login_wait.h"

#define BASE_URL     "https://chatgpt.com/backend-api/codex"
#define PORT         1455
#define LASTS_MS     (UINT64_C(15) * 60 * 1000)
#define LOOK_MS      2000 /* how it stands in the database */
#define TELL_MS      60000
#define ANSWER_MAX   (2 * PH_LOGIN_MAX)
#define FLOW_TABLE   "login_flows"
#define FORM_TYPE    "application/x-www-form-urlencoded"
#define JSON_TYPE    "application/json"
#define DEVICE_CODE  "/api/accounts/deviceauth/usercode"
#define DEVICE_TOKEN "/api/accounts/deviceauth/token"

struct login {
	const char *name;
	bool device;
	unsigned port;
	char base_url[1024]; /* "": leave what the account has */
	char issuer[512], token_url[1024];
	const struct ph_cli_target *target;
	struct ph_cli_session *s;
	struct ph_cli_flow flow;
	struct ph_cli_wait wait;
	uint64_t until_ms; /* of ph_clock_ms(): the flow expires */
	char code[PH_CODE_MAX];
};

/* ---- what the arguments say ---- */

static int check_url(const char *option, const char *text, struct ph_err *err)
{
	struct ph_err why = {0};
	struct ph_url url;

	if (ph_url_parse(&url, ph_str_c(text), &why) == 0)
		return 0;
	return ph_fail(err, PH_E_USAGE, "--%s: \"%.100s\" is no http or https URL (%.100s)", option, text,
		why.detail);
}

static int read_options(const struct ph_cli *c, struct login *l, struct ph_err *err)
{
	static const char *const urls[] = {"base-url", "issuer", "token-url"};
	int64_t port;

	l->name = c->args[0];
	l->device = ph_cli_has(c, "device");
	if (ph_cli_check_name(l->name, "me", err) < 0 ||
		ph_cli_number(c, "port", 1, 65535, PORT, &port, err) < 0)
		return -PH_E_USAGE;
	l->port = (unsigned)port;
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
		if (ph_cli_has(c, urls[i]) && check_url(urls[i], ph_cli_option(c, urls[i]), err) < 0)
			return -PH_E_USAGE;
	return 0;
}

static void cut_slash(char *url)
{
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		url[--n] = '\0';
}

/* The issuer is what stands before /oauth/token in the token URL, unless it is named. */
static int settle_urls(const struct ph_cli *c, struct login *l, struct ph_err *err)
{
	const char *issuer = ph_cli_option(c, "issuer"), *token = ph_cli_option(c, "token-url");
	const char *base = ph_cli_option(c, "base-url");
	struct ph_str url = ph_str_c(token ? token : l->target->token_url), path = PH_STR(PH_TOKEN_PATH);

	snprintf(l->base_url, sizeof l->base_url, "%s", base ? base : l->target->known ? "" : BASE_URL);
	if (issuer) {
		ph_str_copy(l->issuer, sizeof l->issuer, ph_str_c(issuer));
		cut_slash(l->issuer);
		snprintf(l->token_url, sizeof l->token_url, "%s%s", l->issuer, PH_TOKEN_PATH);
		if (token)
			ph_str_copy(l->token_url, sizeof l->token_url, ph_str_c(token));
		return 0;
	}
	if (url.n == 0)
		url = PH_STR(PH_TOKEN_URL);
	if (!ph_str_ends(url, path) || url.n - path.n >= sizeof l->issuer)
		return ph_fail(err, PH_E_USAGE,
			"the token URL %.200s does not end in %s, so the issuer is not known; write --issuer "
			"URL",
			url.p, PH_TOKEN_PATH);
	ph_str_copy(l->issuer, sizeof l->issuer, ph_str(url.p, url.n - path.n));
	ph_str_copy(l->token_url, sizeof l->token_url, url);
	return 0;
}

/* ---- the flow ---- */

static int ask(struct login *l, const char *url, const char *type, struct ph_buf *body, struct ph_buf *answer,
	struct ph_err *err)
{
	struct ph_err why = {0};
	int status = ph_cli_post(&l->s->config, url, type, body, answer, &why);

	if (status < 0)
		return ph_fail(err, -status, "%.200s does not answer: %.200s; check the network, or --issuer",
			url, why.detail);
	return status;
}

static void wipe(struct ph_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	ph_buf_deinit(b);
}

static int ask_device_code(struct login *l, struct ph_err *err)
{
	char url[640];
	struct ph_buf body, answer;
	int status;

	snprintf(url, sizeof url, "%s%s", l->issuer, DEVICE_CODE);
	ph_buf_init(&body, PH_FLOW_TEXT_MAX);
	ph_buf_init(&answer, ANSWER_MAX);
	ph_cli_flow_ask_device(&body);
	status = ask(l, url, JSON_TYPE, &body, &answer, err);
	if (status >= 0 && (status != 200 || !ph_cli_flow_take_device(&l->flow, ph_buf_str(&answer))))
		status = ph_fail(err, PH_E_CONFIG,
			"%.200s gave no device code (status %d); log in without --device, or check --issuer",
			url, status);
	wipe(&body);
	wipe(&answer);
	return status < 0 ? status : 0;
}

static void row_of(const struct login *l, struct ph_cli_login_row *row)
{
	memset(row, 0, sizeof *row);
	memcpy(row->id, l->flow.id, sizeof row->id);
	row->name = l->name;
	row->method = l->device ? "device" : "browser";
	row->issuer = l->issuer;
	row->lasts_ms = LASTS_MS;
}

/* The flow in the database becomes this run's. */
static int adopt(
	struct login *l, const struct ph_cli_login_row *row, struct ph_str sealed, struct ph_err *err)
{
	struct ph_buf document;
	char id[33];
	int r;

	ph_hex(id, row->id, sizeof row->id);
	ph_buf_init(&document, PH_FLOW_TEXT_MAX);
	r = ph_cli_session_unseal(l->s, FLOW_TABLE, id, sealed, &document, err);
	if (r == 0) {
		memset(&l->flow, 0, sizeof l->flow);
		memcpy(l->flow.id, row->id, sizeof l->flow.id);
		ph_str_copy(l->flow.issuer, sizeof l->flow.issuer, ph_str_c(l->issuer));
		l->until_ms = ph_clock_ms() + row->remaining_ms;
		if (!ph_cli_flow_read(&l->flow, ph_buf_str(&document)) || l->flow.device != l->device)
			r = ph_fail(err, PH_E_CONFIG,
				"the login that waits for this account cannot be read; wait 15 "
				"minutes, or choose another name");
	}
	wipe(&document);
	return r;
}

static int make(struct login *l, struct ph_cli_login_row *row, struct ph_buf *out, struct ph_err *err)
{
	struct ph_buf document, sealed;
	uint8_t key_id[8];
	char id[33];
	int r = 0;

	if (l->device) {
		ph_cli_flow_device(&l->flow, l->issuer);
		r = ask_device_code(l, err);
	} else {
		ph_cli_flow_browser(&l->flow, l->issuer, l->port);
	}
	if (r < 0)
		return r;
	row_of(l, row);
	ph_hex(id, row->id, sizeof row->id);
	ph_buf_init(&document, PH_FLOW_TEXT_MAX);
	ph_buf_init(&sealed, 2 * PH_FLOW_TEXT_MAX);
	ph_cli_flow_write(&l->flow, &document);
	r = ph_cli_session_seal(l->s, FLOW_TABLE, id, ph_buf_str(&document), &sealed, key_id, err);
	wipe(&document);
	row->sealed = ph_buf_str(&sealed);
	row->key_id = ph_str((const char *)key_id, sizeof key_id);
	if (r == 0)
		r = ph_cli_store_open_login(l->s->pg, row, out, err);
	if (r == 0)
		r = ph_fail(err, PH_E_CONFIG, "the login could not be begun; run the command again");
	ph_buf_deinit(&sealed);
	return r;
}

/* The one that waits already, else a new one. */
static int open_flow(struct login *l, struct ph_err *err)
{
	struct ph_cli_login_row row;
	struct ph_buf sealed;
	int r;

	row_of(l, &row);
	ph_buf_init(&sealed, 2 * PH_FLOW_TEXT_MAX);
	r = ph_cli_store_open_login(l->s->pg, &row, &sealed, err);
	if (r == 0)
		r = make(l, &row, &sealed, err);
	if (r > 0)
		r = adopt(l, &row, ph_buf_str(&sealed), err);
	ph_buf_deinit(&sealed);
	return r;
}

/* ---- waiting ---- */

static void invite(struct login *l)
{
	struct ph_buf page;

	ph_buf_init(&page, PH_FLOW_TEXT_MAX);
	ph_cli_flow_page(&l->flow, &page);
	fprintf(stderr, l->device ? "Open this page in any browser, log in, and enter the code:\n"
				  : "Open this page in a browser and log in:\n");
	ph_cli_say("%.*s", (int)page.n, page.p);
	if (l->device)
		ph_cli_say("%s", l->flow.user_code);
	else if (l->wait.taken)
		fprintf(stderr,
			"Port %u is taken on this machine, so the browser cannot be heard: when it ends at "
			"an "
			"address that\ndoes not open, paste that address here.\n",
			l->port);
	else
		fprintf(stderr,
			"If the browser runs on another machine, it ends at an address that does not open: "
			"paste that address here.\n");
	fflush(stdout);
	ph_buf_deinit(&page);
}

/* Another run may complete it. 0: it goes on waiting; 1: it is done. */
static int look(struct login *l, struct ph_err *err)
{
	enum ph_cli_stands stands;
	int r = ph_cli_store_look_login(l->s->pg, l->flow.id, &stands, err);

	if (r < 0)
		return r;
	switch (stands) {
	case PH_LOGIN_OPEN:
	case PH_LOGIN_TAKEN:
		return 0;
	case PH_LOGIN_DONE:
		ph_cli_say("account \"%s\": the login was completed by another run of this command", l->name);
		return 1;
	case PH_LOGIN_FAILED:
		return ph_fail(err, PH_E_CONFIG,
			"the login was not completed by the run that took it; run the command again");
	case PH_LOGIN_EXPIRED:
		return ph_fail(err, PH_E_CONFIG, "nobody logged in within 15 minutes; run the command again");
	default:
		return ph_fail(
			err, PH_E_CONFIG, "another login of \"%.100s\" has replaced this one", l->name);
	}
}

static void tell_time(const struct login *l, uint64_t *told_ms)
{
	uint64_t now = ph_clock_ms(), left = l->until_ms > now ? l->until_ms - now : 0;

	if (now - *told_ms < TELL_MS)
		return;
	*told_ms = now;
	fprintf(stderr, "waiting; %" PRIu64 " minutes are left\n", (left + 59999) / 60000);
}

static void sleep_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* Asks whether the person has entered the code. 0 not yet, 1 l->code is here. */
static int poll_device(struct login *l, struct ph_err *err)
{
	struct ph_buf body, answer;
	struct ph_err why = {0};
	enum ph_cli_polled polled;
	char url[640];
	int status;

	snprintf(url, sizeof url, "%s%s", l->issuer, DEVICE_TOKEN);
	ph_buf_init(&body, PH_FLOW_TEXT_MAX);
	ph_buf_init(&answer, ANSWER_MAX);
	ph_cli_flow_poll(&l->flow, &body);
	status = ph_cli_post(&l->s->config, url, JSON_TYPE, &body, &answer, &why);
	polled = ph_cli_flow_polled(&l->flow, status < 0 ? 0 : status, ph_buf_str(&answer), l->code, err);
	wipe(&body);
	wipe(&answer);
	return polled == PH_POLLED_CODE ? 1 : polled == PH_POLLED_OVER ? -err->code : 0;
}

static int wait_device(struct login *l, struct ph_err *err)
{
	uint64_t asked_ms = ph_clock_ms(), told_ms = asked_ms;

	for (;;) {
		uint64_t now = ph_clock_ms();
		int r;

		if (now - asked_ms >= l->flow.interval_s * 1000) {
			r = poll_device(l, err);
			asked_ms = ph_clock_ms();
			if (r)
				return r;
		}
		r = look(l, err);
		if (r)
			return r < 0 ? r : 2;
		tell_time(l, &told_ms);
		sleep_ms(l->flow.interval_s * 1000 < LOOK_MS ? l->flow.interval_s * 1000 : LOOK_MS);
	}
}

static int wait_browser(struct login *l, struct ph_err *err)
{
	uint64_t told_ms = ph_clock_ms();

	for (;;) {
		int r = look(l, err);

		if (r)
			return r < 0 ? r : 2;
		if (!ph_cli_wait_listens(&l->wait) && !l->wait.input)
			return ph_fail(err, PH_E_CONFIG,
				"port %u is taken and standard input has ended, so no redirect can arrive; "
				"free the "
				"port, or paste the redirected URL",
				l->port);
		tell_time(l, &told_ms);
		switch (ph_cli_wait_redirect(&l->wait, &l->flow, LOOK_MS, l->code, err)) {
		case PH_REDIRECT_CODE:
			return 1;
		case PH_REDIRECT_REFUSED:
			return -err->code;
		default:
			break;
		}
	}
}

/* ---- completing ---- */

static int seal_and_put(struct login *l, struct ph_cli_login *tokens, struct ph_err *err)
{
	struct ph_cli_account a = {.kind = "codex",
		.login = tokens,
		.max_streams = PH_CLI_LEAVE,
		.weight = PH_CLI_LEAVE,
		.max_used_percent = PH_CLI_LEAVE,
		.priority = PH_CLI_LEAVE};
	struct ph_cli_target found;
	int r;

	ph_str_copy(a.name, sizeof a.name, ph_str_c(l->name));
	r = ph_cli_store_account_id(l->s->pg, &a, 1, err);
	if (r == 0)
		r = ph_cli_store_login_target(l->s->pg, a.name, &found, err);
	if (r < 0)
		return r;
	a.base_url = l->base_url[0] ? l->base_url : found.known ? NULL : BASE_URL;
	a.token_url = strcmp(l->token_url, PH_TOKEN_URL) == 0 && !found.token_url[0] ? NULL : l->token_url;
	return ph_cli_account_put(l->s, a, ph_buf_str(&tokens->document), l->name, err);
}

static int take_tokens(struct login *l, struct ph_str json, struct ph_err *err)
{
	static const struct ph_str names[] = {PH_STR_INIT("access_token"), PH_STR_INIT("refresh_token")};
	struct ph_cli_login tokens;
	struct ph_json_member m[2];
	int r;

	if (ph_json_scan(json, names, 2, m, NULL) || m[0].kind != PH_JSON_STRING ||
		m[1].kind != PH_JSON_STRING)
		return ph_fail(err, PH_E_CONFIG, "%.200s answered without tokens; run the command again",
			l->token_url);
	r = ph_cli_login_read(&tokens, json, "the token URL's answer", err);
	if (r == 0)
		r = seal_and_put(l, &tokens, err);
	ph_cli_login_free(&tokens);
	return r;
}

static int exchange(struct login *l, struct ph_err *err)
{
	struct ph_buf body, answer;
	int status;

	ph_buf_init(&body, PH_FLOW_TEXT_MAX);
	ph_buf_init(&answer, ANSWER_MAX);
	ph_cli_flow_exchange(&l->flow, l->code, &body);
	status = ask(l, l->token_url, FORM_TYPE, &body, &answer, err);
	if (status == 200)
		status = take_tokens(l, ph_buf_str(&answer), err);
	else if (status >= 0)
		status = ph_fail(err, PH_E_CONFIG,
			"%.200s refused the code (status %d); run the command again", l->token_url, status);
	wipe(&body);
	wipe(&answer);
	return status;
}

/* One run alone spends the code. */
static int complete(struct login *l, struct ph_err *err)
{
	struct ph_err ignored = {0};
	bool mine = false;
	int r = ph_cli_store_take_login(l->s->pg, l->flow.id, &mine, err);

	while (r == 0 && !mine) {
		r = look(l, err);
		if (r == 0)
			sleep_ms(LOOK_MS / 4);
	}
	if (r)
		return r < 0 ? r : 0;
	r = exchange(l, err);
	if (ph_cli_store_end_login(l->s->pg, l->flow.id, r == 0, &ignored) < 0)
		ph_cli_warn("the login's end could not be noted: %s", ignored.detail);
	return r;
}

static int run(struct login *l, struct ph_err *err)
{
	int r = open_flow(l, err);

	if (r < 0)
		return r;
	if (!l->device)
		ph_cli_wait_open(&l->wait, l->port);
	invite(l);
	r = l->device ? wait_device(l, err) : wait_browser(l, err);
	if (!l->device)
		ph_cli_wait_close(&l->wait);
	return r == 1 ? complete(l, err) : r < 0 ? r : 0;
}

static int login(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct login *l = arg;
	struct ph_cli_target target;
	struct ph_master_keys keys;
	int r = ph_cli_session_keys(s, &keys, err);

	l->s = s;
	l->target = &target;
	if (r == 0)
		r = ph_cli_store_check_master_key(s->pg, &keys, err);
	explicit_bzero(&keys, sizeof keys);
	if (r == 0)
		r = ph_cli_store_login_target(s->pg, l->name, &target, err);
	if (r == 0 && target.known && strcmp(target.kind, "codex") != 0)
		r = ph_fail(err, PH_E_CONFIG,
			"account \"%.100s\" is of kind %s, which has no login; choose another name", l->name,
			target.kind);
	if (r == 0)
		r = settle_urls(c, l, err);
	return r == 0 ? run(l, err) : r;
}

int ph_cmd_account_login(const struct ph_cli *c)
{
	struct login *l = ph_alloc(sizeof *l);
	struct ph_err err = {0};
	int r = read_options(c, l, &err), status;

	status = r < 0 ? ph_cli_fail(&err) : ph_cli_with_session(c, login, l);
	explicit_bzero(l, sizeof *l);
	free(l);
	return status;
}
