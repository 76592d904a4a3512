/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `codex login` writes, read for an account of kind codex: the tokens, which are sealed, and whose they
 * are, which is not. The claims of a token are labels: nobody checks its signature, so one that cannot be
 * read harms nothing, and nothing that a claim says opens anything.
 */
#include <stdio.h>

#include "posthouse/json.h"
#include "posthouse/jwt.h"

#include "cli_priv.h"

#define ARENA_MAX  (8u << 20) /* a token is decoded in three steps, none longer than the file */
#define LABEL_MAX  128
#define SLACK      4096 /* names and an account id that the file spells otherwise or not at all */
#define PLACES_MAX 6    /* three in the id token, and where that is silent, three in the access token */

/* Names of one member, NULL at the end. The first is the one that is sealed. */
static const char *const access_token[] = {"access_token", "accessToken", NULL};
static const char *const refresh_token[] = {"refresh_token", "refreshToken", NULL};
static const char *const id_token[] = {"id_token", "idToken", NULL};
static const char *const account_id[] = {"account_id", "accountId", NULL};
static const char *const last_refresh[] = {"last_refresh", "lastRefresh", "lastRefreshAt", NULL};
static const char *const api_key[] = {"OPENAI_API_KEY", NULL};

/* Names of one claim. */
static const char *const account_claims[] = {"chatgpt_account_id", NULL};
static const char *const workspace_claims[] = {
	"workspace_id", "chatgpt_workspace_id", "organization_id", NULL};
static const char *const email_claims[] = {"email", NULL};
static const char *const person_claims[] = {"email", "chatgpt_user_id", "user_id", "sub", NULL};
static const char *const plan_claims[] = {"chatgpt_plan_type", NULL};

static struct ph_json_member find(struct ph_str object, const char *name)
{
	struct ph_str wanted = ph_str_c(name);
	struct ph_json_member m;

	if (object.n == 0 || !ph_json_find(object, &wanted, 1, &m))
		m.kind = PH_JSON_ABSENT;
	return m;
}

static struct ph_str object_in(struct ph_str object, const char *name)
{
	struct ph_json_member m = find(object, name);

	return m.kind == PH_JSON_OBJECT ? m.value : PH_STR_NONE;
}

/* The first of these members that is a string with something in it: its JSON, with the quotes. */
static struct ph_str string_in(struct ph_str object, const char *const *names)
{
	for (; *names; names++) {
		struct ph_json_member m = find(object, *names);

		if (m.kind == PH_JSON_STRING && m.value.n > 2)
			return m.value;
	}
	return PH_STR_NONE;
}

static struct ph_str text_of(struct ph_str json, struct ph_arena *a)
{
	struct ph_str text;

	return json.n > 0 && ph_json_text(json, a, &text) ? text : PH_STR_NONE;
}

/* ---- claims ---- */

/* The objects in which a claim may stand, in the order in which they are asked. */
struct claims {
	struct ph_str place[PLACES_MAX];
	size_t count;
	struct ph_arena *arena;
};

static void add_claims(struct claims *c, struct ph_str token)
{
	struct ph_str all = ph_jwt_claims(token, c->arena);

	c->place[c->count++] = object_in(all, "https://api.openai.com/auth");
	c->place[c->count++] = all;
	c->place[c->count++] = object_in(all, "https://api.openai.com/profile");
}

/* It is stored, shown, and part of an identity whose parts a space divides. */
static bool is_label(struct ph_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= LABEL_MAX;
}

static struct ph_str claim(const struct claims *c, const char *const *names)
{
	for (; *names; names++) {
		for (size_t i = 0; i < c->count; i++) {
			const char *const one[] = {*names, NULL};
			struct ph_str text = text_of(string_in(c->place[i], one), c->arena);

			if (is_label(text))
				return text;
		}
	}
	return PH_STR_NONE;
}

/* A refreshed token may lack the claim that named the organisation at login; its list names the same one. */
static struct ph_str default_organization(const struct claims *c)
{
	static const char *const id[] = {"id", NULL};

	for (size_t i = 0; i < c->count; i++) {
		struct ph_json_member list = find(c->place[i], "organizations");
		struct ph_str one, text;
		size_t offset = 0;

		while (list.kind == PH_JSON_ARRAY && ph_json_next(list.value, &offset, &one)) {
			text = text_of(string_in(one, id), c->arena);
			if (find(one, "is_default").kind == PH_JSON_TRUE && is_label(text))
				return text;
		}
	}
	return PH_STR_NONE;
}

/* ---- whose it is ---- */

static char *lower(struct ph_arena *a, struct ph_str s)
{
	char *text = (char *)ph_arena_dup(a, s).p;

	for (char *p = text; p && *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	return text ? text : (char *)"";
}

/*
 * The account, the workspace, the person: several people share the account id of a team, and one person may
 * have several workspaces. What no claim tells is left out.
 */
static void identify(struct ph_cli_login *ret, struct ph_str account, const struct claims *c)
{
	struct ph_str workspace = claim(c, workspace_claims), person = claim(c, person_claims);

	if (workspace.n == 0)
		workspace = default_organization(c);
	snprintf(ret->identity, sizeof(ret->identity), "%.*s%s%.*s%s%s", PH_STR_ARG(account),
		workspace.n > 0 ? " " : "", PH_STR_ARG(workspace), person.n > 0 ? " " : "",
		lower(c->arena, person));
}

/* ---- the file ---- */

struct file {
	struct ph_str all, tokens;
	const char *name;
	struct ph_arena arena;
};

static struct ph_str member(const struct file *f, const char *const *names)
{
	struct ph_str json = string_in(f->tokens, names);

	return json.n > 0 ? json : string_in(f->all, names);
}

static void put_member(struct ph_buf *b, const char *name, struct ph_str json)
{
	if (json.n > 0)
		ph_buf_printf(b, "%s\"%s\":%.*s", b->n > 1 ? "," : "", name, PH_STR_ARG(json));
}

static void put_document(struct ph_buf *b, const struct file *f, struct ph_str account)
{
	ph_buf_putc(b, '{');
	put_member(b, access_token[0], member(f, access_token));
	put_member(b, refresh_token[0], member(f, refresh_token));
	put_member(b, id_token[0], member(f, id_token));
	if (account.n > 0) {
		ph_buf_printf(b, ",\"%s\":\"", account_id[0]);
		ph_buf_json(b, account);
		ph_buf_putc(b, '"');
	}
	put_member(b, last_refresh[0], member(f, last_refresh));
	ph_buf_putc(b, '}');
}

static int refuse_tokenless(const struct file *f, struct ph_err *err)
{
	if (string_in(f->all, api_key).n > 0)
		return ph_fail(err, PH_E_CONFIG,
			"%.120s holds an API key and no login: add the key with --kind platform "
			"--api-key-file FILE, or log in with `codex login`",
			f->name);
	return ph_fail(err, PH_E_CONFIG,
		"%.120s holds no access token; log in with `codex login` and name the auth.json that it "
		"writes",
		f->name);
}

static int take(struct ph_cli_login *ret, struct file *f, struct ph_err *err)
{
	struct claims c = {.arena = &f->arena};
	struct ph_str access = text_of(member(f, access_token), &f->arena);
	struct ph_str account = text_of(member(f, account_id), &f->arena);

	if (access.n == 0)
		return refuse_tokenless(f, err);
	add_claims(&c, text_of(member(f, id_token), &f->arena));
	add_claims(&c, access);
	if (account.n == 0)
		account = claim(&c, account_claims);
	if (!ph_cli_is_word(access) || (account.n > 0 && (!ph_cli_is_word(account) || !is_label(account))))
		return ph_fail(err, PH_E_CONFIG,
			"%.120s: the access token or the account id is not one word of ASCII; log in again "
			"with `codex login`",
			f->name);
	if (account.n > 0)
		identify(ret, account, &c);
	ph_str_copy(ret->email, sizeof(ret->email), claim(&c, email_claims));
	ph_str_copy(ret->plan, sizeof(ret->plan), claim(&c, plan_claims));
	put_document(&ret->document, f, account);
	return 0;
}

int ph_cli_login_read(struct ph_cli_login *ret, struct ph_str text, const char *name, struct ph_err *err)
{
	struct file f = {.all = text, .name = name};
	struct ph_err why = {0};
	int r;

	memset(ret, 0, sizeof(*ret));
	ph_buf_init(&ret->document, PH_CLI_AUTH_JSON_MAX + SLACK);
	if (ph_json_check(text, &why) < 0 || ph_json_kind(ph_str_trim(text)) != PH_JSON_OBJECT)
		return ph_fail(err, PH_E_CONFIG,
			"%.120s is no JSON object%s%.60s; name the auth.json that `codex login` writes", name,
			why.detail[0] ? ": " : "", why.detail);
	f.tokens = object_in(text, "tokens");
	ph_arena_init(&f.arena, ARENA_MAX);
	r = take(ret, &f, err);
	ph_arena_deinit(&f.arena);
	return r;
}

void ph_cli_login_free(struct ph_cli_login *a)
{
	if (a->document.p)
		explicit_bzero(a->document.p, a->document.cap);
	ph_buf_deinit(&a->document);
}
