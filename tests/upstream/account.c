/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts: who they are, how a request finds its own, whose an id is. Names are letters and digits, so
 * that ids can carry them: "resp_NAME_..", "file-NAME-..", "enc:NAME:..".
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake.h"
#include "posthouse/clock.h"

static const char *const kind_words[] = {"platform", "codex", "stateless"};
const char *const fake_mode_words[] = {
	"up", "down", "limited", "quota", "overloaded", "revoked", "deactivated", "refuse", "silent", NULL};

const char *fake_kind_word(enum fake_kind kind)
{
	return kind_words[kind];
}

const char *fake_finding_word(enum fake_finding f)
{
	static const char *const words[] = {
#define X(name, label, foreign) label,
		FAKE_FINDINGS(X)
#undef X
	};
	return words[f];
}

bool fake_finding_foreign(enum fake_finding f)
{
	static const bool foreigns[] = {
#define X(name, label, foreign) foreign,
		FAKE_FINDINGS(X)
#undef X
	};
	return foreigns[f];
}

double fake_now_ms(void)
{
	return (double)ph_clock_ns() / 1e6;
}

static bool name_ok(struct ph_str name)
{
	if (name.n == 0 || name.n > FAKE_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]))
			return false;
	return true;
}

static bool kind_of(struct ph_str word, enum fake_kind *ret)
{
	for (int k = FAKE_PLATFORM; k <= FAKE_STATELESS; k++) {
		if (!ph_str_eq(word, ph_str_c(kind_words[k])))
			continue;
		*ret = (enum fake_kind)k;
		return true;
	}
	return false;
}

/* spec: NAME:KIND[:KEY] */
struct fake_account *fake_account_add(struct fake_server *s, struct ph_str spec, struct ph_err *err)
{
	struct ph_str whole = spec;
	struct ph_str name = ph_str_split(&spec, ':'), word = ph_str_split(&spec, ':');
	enum fake_kind kind;

	if (!name_ok(name) || !kind_of(word, &kind) || spec.n >= sizeof((struct fake_account *)0)->key) {
		ph_fail(err, PH_E_USAGE,
			"--account \"%.*s\": NAME:KIND[:KEY], NAME of letters and digits, KIND platform, "
			"codex or stateless",
			PH_STR_ARG(whole));
		return NULL;
	}
	if (fake_account_named(s, name)) {
		ph_fail(err, PH_E_USAGE, "--account \"%.*s\" is given twice", PH_STR_ARG(name));
		return NULL;
	}
	struct fake_account *a = ph_alloc(sizeof(*a));
	a->server = s;
	a->kind = kind;
	a->retry_after = 60;
	ph_str_copy(a->name, sizeof(a->name), name);
	ph_str_copy(a->key, sizeof(a->key), spec);
	ph_list_init(&a->scripts);
	ph_list_push_back(&s->accounts, &a->node);
	return a;
}

static void models_free(struct fake_account *a)
{
	for (size_t i = 0; i < a->model_count; i++)
		free(a->models[i]);
	free(a->models), a->models = NULL;
	a->model_count = 0;
}

static void scripts_free(struct fake_account *a)
{
	struct ph_list *n;

	while ((n = ph_list_pop(&a->scripts)))
		fake_do_unref(PH_CONTAINER(n, struct fake_do, node));
	a->standing = fake_do_unref(a->standing);
	a->upgrading = fake_do_unref(a->upgrading);
	a->granting = fake_do_unref(a->granting);
}

void fake_accounts_free(struct fake_server *s)
{
	struct ph_list *n;

	while ((n = ph_list_pop(&s->accounts))) {
		struct fake_account *a = PH_CONTAINER(n, struct fake_account, node);

		scripts_free(a);
		models_free(a);
		free(a);
	}
}

void fake_account_reset(struct fake_account *a)
{
	scripts_free(a);
	models_free(a);
	a->mode = FAKE_UP;
	a->no_chat = false;
	a->retry_after = 60;
	a->requests = a->turns = a->completed = a->cancelled = a->faulted = a->connections = 0;
	a->max_running = a->running;
	a->upgrades = a->warmups = a->pings = a->pongs = 0;
	memset(a->left, 0, sizeof(a->left));
	a->cancelled_at = 0;
	memset(a->found, 0, sizeof(a->found));
}

struct fake_account *fake_account_named(struct fake_server *s, struct ph_str name)
{
	PH_LIST_EACH (n, &s->accounts) {
		struct fake_account *a = PH_CONTAINER(n, struct fake_account, node);

		if (ph_str_eq(name, ph_str_c(a->name)))
			return a;
	}
	return NULL;
}

static bool bearer(struct ph_str authorization, struct ph_str *ret)
{
	if (authorization.n < 7 || !ph_str_eq_nocase(ph_str(authorization.p, 7), PH_STR("bearer ")))
		return false;
	*ret = ph_str_trim(ph_str_from(authorization, 7));
	return true;
}

struct fake_account *fake_account_by_key(struct fake_server *s, struct ph_str authorization)
{
	struct fake_account *open = NULL;
	struct ph_str key = PH_STR_NONE;
	size_t opens = 0;

	bearer(authorization, &key);
	PH_LIST_EACH (n, &s->accounts) {
		struct fake_account *a = PH_CONTAINER(n, struct fake_account, node);

		if (a->key[0] && ph_str_eq(key, ph_str_c(a->key)))
			return a;
		if (!a->key[0]) {
			open = a;
			opens++;
		}
	}
	return opens == 1 ? open : NULL;
}

bool fake_account_opens(const struct fake_account *a, struct ph_str authorization)
{
	struct ph_str key = PH_STR_NONE;

	return !a->key[0] || (bearer(authorization, &key) && ph_str_eq(key, ph_str_c(a->key)));
}

struct fake_account *fake_account_of_id(struct fake_server *s, struct ph_str id)
{
	for (size_t i = 0; i < id.n && i < 8; i++) {
		if (id.p[i] != '_' && id.p[i] != '-' && id.p[i] != ':')
			continue;
		struct ph_str rest = ph_str_from(id, i + 1);
		struct ph_str name = ph_str_split(&rest, id.p[i]);

		return rest.n ? fake_account_named(s, name) : NULL;
	}
	return NULL;
}

bool fake_account_serves(const struct fake_account *a, struct ph_str model)
{
	for (size_t i = 0; i < a->model_count; i++)
		if (ph_str_eq(model, ph_str_c(a->models[i])))
			return true;
	return !a->models;
}

void fake_account_set_models(struct fake_account *a, struct ph_str array)
{
	struct ph_str element, text;
	struct ph_arena arena;
	size_t offset = 0;

	models_free(a);
	ph_arena_init(&arena, 65536);
	while (ph_json_kind(array) == PH_JSON_ARRAY && ph_json_next(array, &offset, &element)) {
		if (!ph_json_text(element, &arena, &text))
			continue;
		a->models = ph_realloc(a->models, (a->model_count + 1) * sizeof(*a->models));
		a->models[a->model_count] = ph_alloc(text.n + 1);
		memcpy(a->models[a->model_count++], text.p, text.n);
	}
	ph_arena_deinit(&arena);
}

void fake_account_mint(struct fake_account *a, char *dst, size_t size)
{
	snprintf(dst, size, "%s_%s%08llx", a->name, a->server->run, (unsigned long long)++a->last_id);
}
