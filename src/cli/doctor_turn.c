/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation of two turns, the second at another node where there is one: kept by us alone (store:false),
 * so that only what we stored can answer it. It costs a few tokens, and so is asked for by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask.h"
#include "doctor.h"

#define TURN_MS      60000
#define URLS_MAX     2
#define KEY_FILE_MAX 65536

struct talk {
	struct ph_str url[URLS_MAX];
	size_t urls; /* 0: the listener of this machine */
	struct ph_buf key;
	const char *model;
};

static int read_key(struct talk *t, const char *file, struct ph_err *err)
{
	bool stdin_is_it = strcmp(file, "-") == 0;
	int fd = stdin_is_it ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC), r;

	ph_buf_init(&t->key, KEY_FILE_MAX);
	if (fd < 0)
		return ph_fail(
			err, PH_E_USAGE, "--key-file: %.200s cannot be opened (%s)", file, strerror(errno));
	r = ph_config_read_secret(fd, &t->key);
	if (!stdin_is_it)
		close(fd);
	if (r < 0 || !ph_cli_is_word(ph_buf_str(&t->key)))
		return ph_fail(err, PH_E_USAGE, "--key-file: %.200s holds no API key", file);
	return 0;
}

static int aim(struct ph_doctor *d, const struct talk *t, size_t turn, struct ph_ask *q, struct ph_err *err)
{
	if (t->urls == 0)
		return ph_ask_listener(q, d->session.config.listen, err);
	return ph_url_parse(&q->base, t->url[turn < t->urls ? turn : t->urls - 1], err);
}

static void put_body(struct ph_ask *q, const struct talk *t, const char *anchor)
{
	ph_buf_puts(&q->body, PH_STR("{\"model\":\""));
	ph_buf_json(&q->body, ph_str_c(t->model));
	ph_buf_puts(&q->body, PH_STR("\",\"store\":false,\"max_output_tokens\":64,\"input\":\""));
	ph_buf_puts(&q->body, anchor ? PH_STR("And again, please.\"") : PH_STR("Say the word: ready.\""));
	if (anchor) {
		ph_buf_puts(&q->body, PH_STR(",\"previous_response_id\":\""));
		ph_buf_json(&q->body, ph_str_c(anchor));
		ph_buf_putc(&q->body, '"');
	}
	ph_buf_putc(&q->body, '}');
	q->has_body = true;
}

/* The response's id in ret, or what went wrong in why. */
static bool read_answer(const struct ph_ask *q, char *ret, size_t size, char *why, size_t why_size)
{
	json_t *root = json_loadb(q->answer.p ? q->answer.p : "", q->answer.n, 0, NULL);
	const char *id = json_string_value(json_object_get(root, "id"));
	const char *message = json_string_value(json_object_get(json_object_get(root, "error"), "message"));

	if (q->status == 200 && id)
		ph_str_copy(ret, size, ph_str_c(id));
	else if (q->status == 0)
		snprintf(why, why_size, "%.200s", q->why);
	else
		snprintf(why, why_size, "%d %.180s", q->status, message ? message : "without a message");
	json_decref(root);
	return q->status == 200 && id;
}

static bool take_turn(struct ph_doctor *d, const struct talk *t, size_t turn, struct ph_ask *q, char *id,
	size_t size, char *why, size_t why_size)
{
	struct ph_err err = {0};

	if (aim(d, t, turn, q, &err) < 0) {
		ph_str_copy(why, why_size, ph_str_c(err.detail));
		return false;
	}
	ph_buf_puts(&q->head, PH_STR("authorization: Bearer "));
	ph_buf_puts(&q->head, ph_buf_str(&t->key));
	ph_buf_puts(&q->head, PH_STR("\r\n"));
	ph_http_put_header(&q->head, PH_STR("content-type"), PH_STR("application/json"));
	put_body(q, t, turn > 0 ? id : NULL);
	if (ph_asks_run(q, 1, &d->session.config, TURN_MS, &err) < 0) {
		ph_str_copy(why, why_size, ph_str_c(err.detail));
		return false;
	}
	return read_answer(q, id, size, why, why_size);
}

static const char *remedy_of(int status)
{
	switch (status) {
	case 401:
		return "give it a key that `posthouse key create` printed and that was not revoked";
	case 404:
		return "see which models accounts serve (`posthouse account list`), and give an account this "
		       "one "
		       "(`posthouse account add --model`)";
	case 429:
		return "`posthouse requests --failed` says what is at its limit: raise that "
		       "(set_account_limit()), or add an account";
	case 503:
		return "see that an account serves this model and can take turns (`posthouse account list`); "
		       "`posthouse requests --failed` says which one refused it, and why";
	default:
		return "`posthouse requests --failed` says which account refused it, and why";
	}
}

static void talk(struct ph_doctor *d, const struct talk *t)
{
	struct ph_ask first, second;
	char id[256] = "", why[240] = "";

	ph_ask_init(&first, "POST", "/v1/responses");
	ph_ask_init(&second, "POST", "/v1/responses");
	first.name = "the first turn";
	second.name = "the second turn";
	if (!take_turn(d, t, 0, &first, id, sizeof(id), why, sizeof(why)))
		ph_doctor_fail(d, remedy_of(first.status), "the first turn fails: %s", why);
	else if (!take_turn(d, t, 1, &second, id, sizeof(id), why, sizeof(why)))
		ph_doctor_fail(d, "see that both nodes use one database and that POSTHOUSE_SNAPSHOTS is all",
			"the second turn, at node %.80s, fails: %s", second.node, why);
	else if (strcmp(second.continuity, "none") == 0 || second.continuity[0] == '\0')
		ph_doctor_fail(d, "see that --url names nodes of posthouse",
			"the second turn did not continue the first");
	else
		ph_doctor_ok(d, "begun at %.80s in %llu ms, %s at %.80s in %llu ms", first.node,
			(unsigned long long)first.ms, second.continuity, second.node,
			(unsigned long long)second.ms);
	ph_ask_free(&first);
	ph_ask_free(&second);
}

void ph_doctor_turn(struct ph_doctor *d)
{
	struct talk t = {.model = ph_cli_option(d->c, "turn")};
	struct ph_err err = {0};

	if (t.model == NULL)
		return;
	t.urls = ph_cli_options(d->c, "url", t.url, URLS_MAX);
	if (t.urls > URLS_MAX)
		t.urls = URLS_MAX;
	if (read_key(&t, ph_cli_option(d->c, "key-file"), &err) < 0)
		ph_doctor_fail(d, "give it the file with a key that `posthouse key create` printed", "%s",
			err.detail);
	else
		talk(d, &t);
	if (t.key.p)
		explicit_bzero(t.key.p, t.key.n);
	ph_buf_deinit(&t.key);
}
