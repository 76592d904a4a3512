/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse snapshot ...: what is kept of a conversation, for the operator who looks after it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli_priv.h"

static int check_key_option(const struct ph_cli *c, struct ph_err *err)
{
	if (ph_cli_has(c, "key"))
		return 0;
	return ph_fail(
		err, PH_E_USAGE, "--key is missing; write --key NAME: `posthouse key list` shows them");
}

/* ---- chain ---- */

static int chain(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	const char *key = ph_cli_option(c, "key");
	struct ph_buf rows;
	int r = ph_cli_store_chain(s->pg, key, c->args[0], &rows, err);

	(void)arg;
	if (r == 0 && ph_str_eq(ph_buf_str(&rows), PH_STR("[]")))
		r = ph_fail(err, PH_E_RESPONSE_UNKNOWN,
			"key \"%.100s\" has no response \"%.100s\"; check both names", key, c->args[0]);
	else if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows),
			"hop response parent account model status created input_bytes output_bytes flags",
			err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_snapshot_chain(const struct ph_cli *c)
{
	struct ph_err err = {0};

	if (check_key_option(c, &err) < 0)
		return ph_cli_fail(&err);
	return ph_cli_with_session(c, chain, NULL);
}

/* ---- show ---- */

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

/* Items are stored joined by commas, without brackets. */
static json_t *items(const struct ph_buf *joined)
{
	struct ph_buf b;
	json_t *array;

	ph_buf_init(&b, joined->n + 2);
	ph_buf_putc(&b, '[');
	ph_buf_puts(&b, ph_buf_str(joined));
	ph_buf_putc(&b, ']');
	array = json_loadb(b.p, b.n, JSON_ALLOW_NUL, NULL);
	ph_buf_deinit(&b);
	return array;
}

static json_t *object(const struct ph_cli_snapshot *snapshot, const char *response_id)
{
	time_t seconds = (time_t)(snapshot->created_ms / 1000);
	char created[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o?}", "response", response_id, "parent",
		text_or_null(snapshot->parent), "account", text_or_null(snapshot->account), "model",
		text_or_null(snapshot->model), "status", text_or_null(snapshot->status), "created", created,
		"input", items(&snapshot->input), "output", items(&snapshot->output), "envelope",
		snapshot->envelope.n
			? json_loadb(snapshot->envelope.p, snapshot->envelope.n, JSON_ALLOW_NUL, NULL)
			: NULL);
}

static void print_list(const json_t *o, const char *name)
{
	const json_t *list = json_object_get(o, name), *item;
	size_t i;

	ph_cli_say("\n%s: %zu item%s", name, json_array_size(list), json_array_size(list) == 1 ? "" : "s");
	json_array_foreach((json_t *)list, i, item)
	{
		char *text = json_dumps(item, JSON_INDENT(2));

		ph_cli_say("%s", text ? text : "?");
		free(text);
	}
}

static void print_card(const json_t *o)
{
	static const char *const names[] = {"response", "parent", "account", "model", "status", "created"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = json_string_value(json_object_get(o, names[i]));

		ph_cli_say("%-10s%s", names[i], text ? text : "-");
	}
	print_list(o, "input");
	print_list(o, "output");
}

static int print(const struct ph_cli *c, const struct ph_cli_snapshot *snapshot, struct ph_err *err)
{
	json_t *o = object(snapshot, c->args[0]);
	char *text;

	if (o == NULL)
		return ph_fail(err, PH_E_JSON_BAD,
			"the snapshot's items cannot be read as JSON: its row is damaged");
	if (ph_cli_has(c, "json")) {
		text = json_dumps(o, JSON_INDENT(2));
		ph_cli_say("%s", text ? text : "");
		free(text);
	} else {
		print_card(o);
	}
	json_decref(o);
	return 0;
}

static int show(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_cli_snapshot snapshot;
	int r = ph_cli_store_snapshot(s->pg, ph_cli_option(c, "key"), c->args[0], &snapshot, err);

	(void)arg;
	if (r == 0) {
		r = print(c, &snapshot, err);
		ph_cli_snapshot_free(&snapshot);
	}
	return r;
}

int ph_cmd_snapshot_show(const struct ph_cli *c)
{
	struct ph_err err = {0};

	if (check_key_option(c, &err) < 0)
		return ph_cli_fail(&err);
	return ph_cli_with_session(c, show, NULL);
}
