/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse usage: turns, tokens and cost by key, account or model, by hour or day. */
#include <stdio.h>

#include "story.h"
#include "view.h"

#define HOURLY_S (INT64_C(24) * 3600)
#define DAILY_S  (INT64_C(7) * 86400)

struct question {
	enum ph_usage_by by;
	bool daily;
	int64_t since_s;
};

static int read_by(const struct ph_cli *c, struct question *q, struct ph_err *err)
{
	static const char *const names[] = {
		[PH_USAGE_BY_KEY] = "key", [PH_USAGE_BY_ACCOUNT] = "account", [PH_USAGE_BY_MODEL] = "model"};
	struct ph_str values[PH_CLI_OPTIONS_MAX];
	size_t n = ph_cli_options(c, "by", values, PH_CLI_OPTIONS_MAX);

	q->daily = true;
	for (size_t i = 0; i < n; i++) {
		bool known = false;

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (ph_str_eq(values[i], ph_str_c(names[k]))) {
				q->by = (enum ph_usage_by)k;
				known = true;
			}
		if (ph_str_eq(values[i], PH_STR("hour")) || ph_str_eq(values[i], PH_STR("day")))
			q->daily = values[i].p[0] == 'd';
		else if (!known)
			return ph_fail(err, PH_E_USAGE,
				"--by: \"%.*s\" is not one of key, account, model, hour, day; for example "
				"--by model --by hour",
				(int)(values[i].n < 40 ? values[i].n : 40), values[i].p);
	}
	return 0;
}

static int show(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	static const char *const names[] = {[PH_USAGE_BY_KEY] = "key_name",
		[PH_USAGE_BY_ACCOUNT] = "account",
		[PH_USAGE_BY_MODEL] = "model"};
	const struct question *q = arg;
	char columns[200];
	struct ph_buf rows;
	int r = ph_view_read_usage(s->pg, q->by, q->daily, q->since_s, &rows, err);

	snprintf(columns, sizeof(columns),
		"%s %s requests failed replayed input_tokens cached_tokens output_tokens reasoning_tokens "
		"cost "
		"unpriced mean_ms",
		q->daily ? "day" : "hour", names[q->by]);
	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows), columns, err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_usage(const struct ph_cli *c)
{
	struct question q = {0};
	struct ph_err err = {0};

	if (read_by(c, &q, &err) < 0 || ph_cli_since(c, q.daily ? DAILY_S : HOURLY_S, &q.since_s, &err) < 0)
		return ph_cli_fail(&err);
	return ph_cli_with_session(c, show, &q);
}
