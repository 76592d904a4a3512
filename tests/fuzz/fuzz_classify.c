/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an upstream's failure means, for any bytes: the answer is whole, it is the same twice, and it asks for
 * nothing that the request cannot give. The input is a line as in tests/unit/upstream/classify.txt; what is
 * expected there is skipped.
 */
#include "fuzz.h"

#include "posthouse/upstream.h"

static bool is_text(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static void check_body(struct ph_str body, struct ph_str error)
{
	if (error.n)
		REQUIRE(error.p >= body.p && error.p + error.n <= body.p + body.n && error.p[0] == '{');
}

static void check(const struct ph_failed_answer *a, const struct ph_failure *f)
{
	bool account = f->code == PH_E_UPSTREAM_LIMITED || f->code == PH_E_UPSTREAM_DENIED ||
		       f->code == PH_E_UPSTREAM_FAILED || f->code == PH_E_UPSTREAM_BUSY ||
		       f->code == PH_E_UPSTREAM_CANNOT || f->code == PH_E_UPSTREAM_CONNECT;

	REQUIRE(f->code > 0 && f->code < PH_E_NR && f->signal < PH_SIGNAL_NR);
	REQUIRE(account || f->signal == PH_SIGNAL_NONE); /* content is no account's fault */
	REQUIRE(a->had_anchor || f->code != PH_E_ANCHOR_LOST);
	REQUIRE(a->had_reasoning || f->code != PH_E_REASONING_REFUSED);
	REQUIRE(a->renewable || f->signal != PH_SIGNAL_EXPIRED);
	REQUIRE(is_text(f->message, sizeof f->message) && is_text(f->word, sizeof f->word));
	REQUIRE(is_text(f->param, sizeof f->param) && !strpbrk(f->word, " \n\"'<>"));
	check_body(a->body, f->error);
	if (f->code == PH_E_UPSTREAM_PARAMETER)
		REQUIRE(f->param[0] && !strpbrk(f->param, "[]") &&
			strcmp(f->param, "previous_response_id") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str line = {(const char *)data, size};
	struct ph_str status = ph_str_split(&line, ' '), flags = ph_str_split(&line, ' ');
	struct ph_failed_answer a = {0};
	struct ph_failure first, second;
	struct ph_usage usage;
	uint64_t n = 0;

	ph_str_split(&line, ' ');
	ph_str_split(&line, ' ');
	ph_str_u64(status, 999, &n);
	a.status = (int)n;
	a.body = line;
	a.had_anchor = ph_str_find(flags, PH_STR("a")) >= 0;
	a.had_reasoning = ph_str_find(flags, PH_STR("r")) >= 0;
	a.renewable = ph_str_find(flags, PH_STR("c")) >= 0;
	memset(&first, 0, sizeof first);
	memset(&second, 0, sizeof second);
	ph_classify(&a, &first);
	ph_classify(&a, &second);
	check(&a, &first);
	REQUIRE(first.code == second.code && first.signal == second.signal);
	REQUIRE(first.after_ms == second.after_ms && first.resets_s == second.resets_s);
	REQUIRE(strcmp(first.message, second.message) == 0 && strcmp(first.param, second.param) == 0);
	if (ph_usage_of_event(line, &usage))
		REQUIRE(usage.window[0].used_percent <= 100 && usage.window[1].used_percent <= 100);
	return 0;
}
