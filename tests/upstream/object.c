/* SPDX-License-Identifier: Apache-2.0 */
/* Response objects, with every member that OpenAI's have, and the ciphertext of reasoning items. */
#include <stdio.h>

#include "posthouse/crypt.h"
#include "turn.h"

/* Members that repeat what was asked, or say what stands for nothing. */
static const struct {
	const char *name;
	int ask; /* -1: never asked */
	const char *otherwise;
} repeated[] = {
	{"previous_response_id", FAKE_ASK_PREVIOUS, "null"},
	{"instructions", FAKE_ASK_INSTRUCTIONS, "null"},
	{"tools", FAKE_ASK_TOOLS, "[]"},
	{"tool_choice", FAKE_ASK_TOOL_CHOICE, "\"auto\""},
	{"truncation", FAKE_ASK_TRUNCATION, "\"disabled\""},
	{"parallel_tool_calls", FAKE_ASK_PARALLEL, "true"},
	{"text", FAKE_ASK_TEXT, "{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"}"},
	{"top_p", FAKE_ASK_TOP_P, "1.0"},
	{"presence_penalty", FAKE_ASK_PENALTY_P, "0.0"},
	{"frequency_penalty", FAKE_ASK_PENALTY_F, "0.0"},
	{"top_logprobs", FAKE_ASK_TOP_LOGPROBS, "0"},
	{"temperature", FAKE_ASK_TEMPERATURE, "1.0"},
	{"reasoning", FAKE_ASK_REASONING, "{\"effort\":null,\"summary\":null}"},
	{"max_output_tokens", FAKE_ASK_MAX_OUTPUT, "null"},
	{"max_tool_calls", FAKE_ASK_MAX_CALLS, "null"},
	{"background", FAKE_ASK_BACKGROUND, "false"},
	{"service_tier", FAKE_ASK_TIER, "\"default\""},
	{"metadata", FAKE_ASK_METADATA, "{}"},
	{"safety_identifier", FAKE_ASK_SAFETY, "null"},
	{"prompt_cache_key", FAKE_ASK_CACHE_KEY, "null"},
	{"user", FAKE_ASK_USER, "null"},
};

void fake_object_members(struct fake_turn *t)
{
	struct ph_buf *b = &t->members;

	ph_buf_puts(b, PH_STR(",\"model\":"));
	fake_put_line(b, t->ask[FAKE_ASK_MODEL].value);
	ph_buf_puts(b, t->store ? PH_STR(",\"store\":true") : PH_STR(",\"store\":false"));
	for (size_t i = 0; i < sizeof(repeated) / sizeof(*repeated); i++) {
		const struct ph_json_member *m = &t->ask[repeated[i].ask];

		ph_buf_puts(b, PH_STR(",\""));
		ph_buf_puts(b, ph_str_c(repeated[i].name));
		ph_buf_puts(b, PH_STR("\":"));
		if (m->kind == PH_JSON_ABSENT || m->kind == PH_JSON_NULL)
			ph_buf_puts(b, ph_str_c(repeated[i].otherwise));
		else
			fake_put_line(b, m->value);
	}
}

static void put_usage(struct fake_turn *t, struct ph_buf *b)
{
	uint64_t in = t->warm ? 0 : t->context.bytes / 4 + 8, thought = t->reasoning ? 16 : 0,
		 out = t->warm ? 0 : t->output_tokens + thought;

	if (t->todo && t->todo->usage.p) {
		fake_put_line(b, t->todo->usage);
		return;
	}
	ph_buf_printf(b,
		"{\"input_tokens\":%llu,\"input_tokens_details\":{\"cached_tokens\":%llu},\"output_tokens\":%"
		"llu,"
		"\"output_tokens_details\":{\"reasoning_tokens\":%llu},\"total_tokens\":%llu}",
		(unsigned long long)in, (unsigned long long)(t->parent_bytes / 4), (unsigned long long)out,
		(unsigned long long)thought, (unsigned long long)(in + out));
}

void fake_object_failure(struct fake_do *d, struct ph_buf *b)
{
	if (d && d->error.p) {
		fake_put_line(b, d->error);
		return;
	}
	ph_buf_puts(b, PH_STR("{\"code\":"));
	fake_put_string(b, d && d->code.p ? d->code : PH_STR("server_error"));
	ph_buf_puts(b, PH_STR(",\"message\":"));
	fake_put_string(
		b, d && d->message.p ? d->message : PH_STR("The fake upstream failed as it was told."));
	ph_buf_putc(b, '}');
}

/* status, and the members that go with it */
static void put_status(struct fake_turn *t, struct ph_buf *b, enum fake_status status)
{
	static const char *const words[] = {"in_progress", "queued", "completed", "incomplete", "failed"};
	struct fake_do *d = t->todo;
	const char *reason = t->reason ? t->reason : "max_output_tokens";

	ph_buf_printf(b, ",\"status\":\"%s\"", words[status]);
	if (status == FAKE_COMPLETED)
		ph_buf_printf(b, ",\"completed_at\":%llu", (unsigned long long)t->created_at);
	else
		ph_buf_puts(b, PH_STR(",\"completed_at\":null"));
	ph_buf_puts(b, PH_STR(",\"error\":"));
	if (status == FAKE_STATUS_FAILED)
		fake_object_failure(d, b);
	else
		ph_buf_puts(b, PH_STR("null"));
	ph_buf_puts(b, PH_STR(",\"incomplete_details\":"));
	if (status == FAKE_STATUS_INCOMPLETE) {
		ph_buf_puts(b, PH_STR("{\"reason\":"));
		fake_put_string(b, d && d->reason.p && !t->reason ? d->reason : ph_str_c(reason));
		ph_buf_putc(b, '}');
	} else {
		ph_buf_puts(b, PH_STR("null"));
	}
}

static void put_output(struct fake_turn *t, struct ph_buf *b, enum fake_output output)
{
	if (output == FAKE_OUTPUT_ABSENT)
		return;
	if (output == FAKE_OUTPUT_NULL) {
		ph_buf_puts(b, PH_STR(",\"output\":null"));
		return;
	}
	ph_buf_puts(b, PH_STR(",\"output\":["));
	if (output == FAKE_OUTPUT_FULL)
		ph_buf_puts(b, ph_buf_str(&t->output));
	ph_buf_putc(b, ']');
}

void fake_object_put(struct fake_turn *t, struct ph_buf *b, enum fake_status status, enum fake_output output)
{
	ph_buf_puts(b, PH_STR("{\"id\":"));
	fake_put_string(b, ph_str_c(t->id));
	ph_buf_printf(b, ",\"object\":\"response\",\"created_at\":%llu", (unsigned long long)t->created_at);
	put_status(t, b, status);
	put_output(t, b, output);
	ph_buf_puts(b, PH_STR(",\"usage\":"));
	if (status == FAKE_COMPLETED || status == FAKE_STATUS_INCOMPLETE)
		put_usage(t, b);
	else
		ph_buf_puts(b, PH_STR("null"));
	ph_buf_puts(b, ph_buf_str(&t->members));
	ph_buf_putc(b, '}');
}

/* ---- ciphertext: "enc:NAME:TAG:MAC" ---- */

static uint64_t mac_of(struct ph_str tag)
{
	return ph_hash64(tag, 0x656e63);
}

void fake_object_encrypted(struct fake_turn *t, struct ph_buf *b)
{
	ph_buf_printf(b, "enc:%s:%s:%016llx", t->x->account->name, t->tag,
		(unsigned long long)mac_of(ph_str_c(t->tag)));
}

bool fake_encrypted_by(const struct fake_account *a, struct ph_str text)
{
	char mac[17];
	struct ph_str head = ph_str_split(&text, ':'), name = ph_str_split(&text, ':'),
		      tag = ph_str_split(&text, ':');

	snprintf(mac, sizeof(mac), "%016llx", (unsigned long long)mac_of(tag));
	return ph_str_eq(head, PH_STR("enc")) && ph_str_eq(name, ph_str_c(a->name)) &&
	       ph_str_eq(text, ph_str_c(mac));
}
