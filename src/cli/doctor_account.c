/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts: whether their secrets open here, how they stand, and whether their upstreams answer with
 * these credentials. The question is for the list of models: it costs nothing and needs the credential.
 */
#include <stdio.h>

#include "ask.h"
#include "doctor.h"
#include "posthouse/account.h"
#include "table.h"
#include "view.h"

#define UPSTREAMS_MS 15000

void ph_doctor_secrets(struct ph_doctor *d)
{
	struct ph_err err = {0};
	struct ph_pg_result *rows = ph_doctor_store_accounts(d->session.pg, &err);
	int closed = 0;

	if (rows == NULL) {
		ph_doctor_fail(d, "log in as posthouse_node, or as the schema's owner", "%s", err.detail);
		return;
	}
	for (int row = 0; row < ph_pg_rows(rows); row++) {
		struct ph_account *a = ph_account_read(rows, row, &d->keys, &err);

		if (a->sealed_badly) {
			closed++;
			ph_doctor_fail(d,
				"set POSTHOUSE_MASTER_KEY to the key that it was sealed with, or write the "
				"secret again "
				"with `posthouse account add`",
				"account %.100s: %s", a->name, err.detail);
		}
		if (ph_account_usable(a) && d->account_count < PH_DOCTOR_ACCOUNTS_MAX)
			d->accounts[d->account_count++] = a;
		else
			ph_account_unref(a);
	}
	if (closed == 0 && ph_pg_rows(rows) > 0)
		ph_doctor_ok(d, "the master key opens the secrets of all %d accounts", ph_pg_rows(rows));
	ph_pg_result_free(rows);
}

/* ---- how they stand ---- */

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static const struct {
	const char *state;
	bool fails;
	const char *remedy;
} ill[] = {
	{"paused", false, "`posthouse account resume` puts it back to work"},
	{"draining", false,
		"`posthouse account remove` when its turns have ended, or `posthouse account resume`"},
	{"cooling", false, "nothing: it comes back by itself; more accounts would carry more"},
	{"exhausted", false,
		"nothing: it comes back when its window resets; `posthouse account resume` tries now"},
	{"reauth", true, "log in again and write the login with `posthouse account add`"},
	{"disabled", true, "give it a new credential with `posthouse account add`, or remove it"},
};

/* True: it can take turns. */
static bool judge(struct ph_doctor *d, const json_t *row)
{
	const char *state = text_of(row, "state"), *health = text_of(row, "health"), *until;
	const char *worse = strcmp(state, "active") == 0 ? health : state;

	until = text_of(row, "health_until");
	for (size_t i = 0; i < sizeof(ill) / sizeof(ill[0]); i++) {
		if (strcmp(worse, ill[i].state) != 0)
			continue;
		(ill[i].fails ? ph_doctor_fail : ph_doctor_warn)(d, ill[i].remedy,
			"%.100s is %s%s%.60s%s%.19s", text_of(row, "name"), worse,
			worse == health ? ": " : "", worse == health ? text_of(row, "health_reason") : "",
			worse == health && until[0] ? ", until " : "", worse == health ? until : "");
		return false;
	}
	ph_doctor_ok(d, "%.100s is active", text_of(row, "name"));
	return true;
}

void ph_doctor_accounts(struct ph_doctor *d)
{
	static const char more[] = "add one with `posthouse account add`";
	struct ph_err err = {0};
	struct ph_buf text;
	json_t *rows = NULL, *row;
	size_t i, able = 0;

	if (ph_view_read(d->session.pg, PH_VIEW_ACCOUNTS, NULL, 0, &text, &err) == 0)
		rows = ph_cli_parse_rows(ph_buf_str(&text), &err);
	ph_buf_deinit(&text);
	if (rows == NULL) {
		ph_doctor_fail(d, "log in as posthouse_node, posthouse_operator or posthouse_viewer", "%s",
			err.detail);
		return;
	}
	json_array_foreach(rows, i, row) able += judge(d, row);
	if (json_array_size(rows) == 0)
		ph_doctor_fail(d, more, "there is no account");
	else if (able == 0)
		ph_doctor_fail(d, more, "no account can take a turn now");
	json_decref(rows);
}

/* ---- their upstreams ---- */

static void put_head(struct ph_ask *q, const struct ph_account *a)
{
	if (a->secret.n > 0) {
		ph_buf_puts(&q->head, PH_STR("authorization: Bearer "));
		ph_buf_puts(&q->head, a->secret);
		ph_buf_puts(&q->head, PH_STR("\r\n"));
	}
	if (a->upstream_id.n > 0)
		ph_http_put_header(&q->head, PH_STR("chatgpt-account-id"), a->upstream_id);
	ph_http_put_header(&q->head, PH_STR("accept"), PH_STR("application/json"));
	for (size_t i = 0; i < a->header_count; i++)
		ph_http_put_header(&q->head, a->headers[2 * i], a->headers[2 * i + 1]);
}

/* Whether {"data":[{"id":MODEL}]} names it; true as well where the answer is of another shape. */
static bool offers(struct ph_str answer, struct ph_str model)
{
	json_t *root = json_loadb(answer.p ? answer.p : "", answer.n, 0, NULL), *entry;
	const json_t *list = json_object_get(root, "data");
	bool found = !json_is_array(list) || json_array_size(list) == 0;
	size_t i;

	json_array_foreach((json_t *)list, i, entry)
	{
		const char *id = json_string_value(json_object_get(entry, "id"));

		found = found || (id && ph_str_eq(ph_str_c(id), model));
	}
	json_decref(root);
	return found;
}

static void judge_models(struct ph_doctor *d, const struct ph_account *a, const struct ph_ask *q)
{
	for (size_t i = 0; i < a->model_count; i++)
		if (!offers(ph_buf_str(&q->answer), a->models[i]))
			ph_doctor_warn(d, "write its --model options again with `posthouse account add`",
				"%.100s is said to serve %.*s, which its upstream does not list", a->name,
				(int)(a->models[i].n < 80 ? a->models[i].n : 80), a->models[i].p);
}

static void judge_upstream(struct ph_doctor *d, const struct ph_account *a, const struct ph_ask *q)
{
	unsigned long long ms = q->ms;

	if (q->status == 0)
		ph_doctor_fail(d, "see that its base URL is right and that this machine may reach it",
			"%.100s cannot be reached at %.160s: %.200s", a->name, a->base.origin, q->why);
	else if (q->status == 401 || q->status == 403)
		ph_doctor_fail(d, "give it a credential that works with `posthouse account add`",
			"%.100s: the upstream refuses its credential (%d)", a->name, q->status);
	else if (q->status == 429)
		ph_doctor_warn(d, "nothing: it comes back by itself",
			"%.100s: the upstream limits it now (429)", a->name);
	else if (q->status >= 500)
		ph_doctor_warn(d, "wait, and see the upstream's status page",
			"%.100s: the upstream fails (%d)", a->name, q->status);
	else if (q->status != 200)
		ph_doctor_ok(d,
			"%.100s answers in %llu ms, without a list of models (%d): its credential was not "
			"tried",
			a->name, ms, q->status);
	else {
		ph_doctor_ok(d, "%.100s answers in %llu ms and takes the credential", a->name, ms);
		judge_models(d, a, q);
	}
}

void ph_doctor_upstreams(struct ph_doctor *d)
{
	struct ph_ask *list = ph_alloc((d->account_count + 1) * sizeof(*list));
	struct ph_err err = {0};

	for (size_t i = 0; i < d->account_count; i++) {
		ph_ask_init(&list[i], "GET", "/models");
		list[i].name = d->accounts[i]->name;
		list[i].base = d->accounts[i]->base;
		put_head(&list[i], d->accounts[i]);
	}
	if (ph_asks_run(list, d->account_count, &d->session.config, UPSTREAMS_MS, &err) < 0)
		ph_doctor_fail(d, "correct POSTHOUSE_UPSTREAM_CA_FILE", "%s", err.detail);
	else
		for (size_t i = 0; i < d->account_count; i++)
			judge_upstream(d, d->accounts[i], &list[i]);
	for (size_t i = 0; i < d->account_count; i++)
		ph_ask_free(&list[i]);
	free(list);
}
