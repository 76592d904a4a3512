/* SPDX-License-Identifier: Apache-2.0 */
/* Every shape of failure that is known, from classify.txt: a new one is a new line there. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "posthouse/upstream.h"

static const char *const code_names[] = {"OK",
#define X(name, http, remedy, blame, metric, type, code, text) #name,
	PH_ERRORS(X)
#undef X
};

static int code_of(struct ph_str name)
{
	for (int i = 0; i < PH_E_NR; i++)
		if (ph_str_eq(name, ph_str_c(code_names[i])))
			return i;
	return -1;
}

static void load(struct ph_buf *b, const char *path)
{
	FILE *f = fopen(path, "r");
	char piece[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		ph_buf_append(b, piece, n);
	fclose(f);
}

/* The body in a block of its own size, so that a read past it is seen; ␊ becomes a line end. */
static struct ph_str body_of(struct ph_str text)
{
	static const char sign[] = "\xe2\x90\x8a";
	char *p = malloc(text.n + 1), *exact;
	size_t n = 0;

	for (size_t i = 0; i < text.n;) {
		if (text.n - i >= 3 && memcmp(text.p + i, sign, 3) == 0) {
			p[n++] = '\n';
			i += 3;
		} else {
			p[n++] = text.p[i++];
		}
	}
	exact = malloc(n ? n : 1);
	memcpy(exact, p, n);
	free(p);
	return ph_str(exact, n);
}

/* One line of the file, taken apart. */
struct shape {
	struct ph_failed_answer answer; /* its body is the shape's */
	struct ph_str code, param, signal;
	uint64_t after_ms, resets_s;
};

/* "quota+5000@1700003600": each number may be missing, and is then expected to be 0. */
static bool split_signal(struct ph_str text, struct shape *ret)
{
	struct ph_str time = text, span = ph_str_split(&time, '@');

	ret->signal = ph_str_split(&span, '+');
	return (span.n == 0 || ph_str_u64(span, UINT64_MAX, &ret->after_ms)) &&
	       (time.n == 0 || ph_str_u64(time, UINT64_MAX, &ret->resets_s));
}

static bool read_shape(struct ph_str line, struct shape *ret)
{
	struct ph_str status = ph_str_split(&line, ' '), flags = ph_str_split(&line, ' ');
	struct ph_str code = ph_str_split(&line, ' '), signal = ph_str_split(&line, ' ');
	uint64_t n;

	*ret = (struct shape){.param = code};
	ret->code = ph_str_split(&ret->param, ':');
	if (!ph_str_u64(status, 599, &n) || code_of(ret->code) < 0 || !split_signal(signal, ret))
		return false;
	ret->answer = (struct ph_failed_answer){
		.status = (int)n,
		.body = body_of(line),
		.had_anchor = memchr(flags.p, 'a', flags.n) != NULL,
		.had_reasoning = memchr(flags.p, 'r', flags.n) != NULL,
		.renewable = memchr(flags.p, 'c', flags.n) != NULL,
	};
	return true;
}

static void one_line(struct ph_str line, int number)
{
	struct ph_str body;
	struct shape s;
	struct ph_failure f;

	if (!read_shape(line, &s))
		fail_msg("classify.txt:%d: cannot be read", number);
	body = s.answer.body;
	memset(&f, 0xa5, sizeof f);
	ph_classify(&s.answer, &f);
	if (f.code != code_of(s.code) || !ph_str_eq(ph_str_c(ph_signal_name(f.signal)), s.signal))
		fail_msg("classify.txt:%d: is %s %s: %.*s", number, code_names[f.code],
			ph_signal_name(f.signal), PH_STR_ARG(line));
	if (f.after_ms != s.after_ms || f.resets_s != s.resets_s)
		fail_msg("classify.txt:%d: over in %llu ms, at %llu: %.*s", number,
			(unsigned long long)f.after_ms, (unsigned long long)f.resets_s, PH_STR_ARG(line));
	if (s.param.n && !ph_str_eq(ph_str_c(f.param), s.param))
		fail_msg("classify.txt:%d: names \"%s\": %.*s", number, f.param, PH_STR_ARG(line));
	if (f.error.n && (f.error.p < body.p || f.error.p + f.error.n > body.p + body.n))
		fail_msg("classify.txt:%d: the error is not within the body", number);
	free((void *)(uintptr_t)body.p);
}

static void every_known_shape(void **state)
{
	struct ph_buf file;
	struct ph_str rest;
	int number = 0, shapes = 0;

	(void)state;
	ph_buf_init(&file, 1 << 20);
	load(&file, PH_TEST_DATA "/unit/upstream/classify.txt");
	for (rest = ph_buf_str(&file); rest.n;) {
		struct ph_str line = ph_str_split(&rest, '\n');

		number++;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		one_line(line, number);
		shapes++;
	}
	assert_true(shapes > 250);
	ph_buf_deinit(&file);
}

/* Whatever is cut off, the classifier answers, and reads nothing behind the end. */
static void every_shape_cut_short(void **state)
{
	struct ph_buf file;
	struct ph_str rest;

	(void)state;
	ph_buf_init(&file, 1 << 20);
	load(&file, PH_TEST_DATA "/unit/upstream/classify.txt");
	for (rest = ph_buf_str(&file); rest.n;) {
		struct ph_str line = ph_str_split(&rest, '\n');

		for (size_t cut = 0; cut <= line.n; cut++) {
			struct ph_str body = body_of(ph_str_from(line, cut));
			struct ph_failed_answer a = {.status = 400, .body = body, .had_anchor = true};
			struct ph_failure f;

			ph_classify(&a, &f);
			assert_true(f.code > 0 && f.code < PH_E_NR);
			body.n -= body.n / 2;
			a.body = body;
			ph_classify(&a, &f);
			assert_true(f.code > 0 && f.code < PH_E_NR);
			free((void *)(uintptr_t)body.p);
		}
	}
	ph_buf_deinit(&file);
}

static void the_words_for_the_client(void **state)
{
	struct ph_failed_answer a = {.status = 400};
	struct ph_failure f;

	(void)state;
	a.body = PH_STR(
		"{\"error\":{\"message\":\"Unsupported Value\",\"param\":\"tools\",\"code\":\"bad\"}}");
	ph_classify(&a, &f);
	assert_string_equal(f.message, "Unsupported Value"); /* in its own case */
	assert_string_equal(f.param, "tools");
	assert_string_equal(f.word, "bad");
	ph_assert_str(
		f.error, PH_STR("{\"message\":\"Unsupported Value\",\"param\":\"tools\",\"code\":\"bad\"}"));
	a.body = PH_STR("<html>a page of host proxy-7.internal</html>");
	ph_classify(&a, &f);
	assert_string_equal(f.message, ""); /* no words of the API */
}

/* ---- heads ---- */

static uint64_t after(const char *const *pairs)
{
	struct ph_header fields[16];
	struct ph_head head = {.headers = fields};

	for (size_t i = 0; pairs[i]; i += 2)
		fields[head.header_count++] = (struct ph_header){ph_str_c(pairs[i]), ph_str_c(pairs[i + 1])};
	return ph_retry_after_ms(&head);
}
#define AFTER(...) after((const char *const[]){__VA_ARGS__, NULL})

static void what_heads_say(void **state)
{
	(void)state;
	assert_int_equal(AFTER("x", "y"), 0);
	assert_int_equal(AFTER("Retry-After", "7"), 7000);
	assert_int_equal(AFTER("retry-after", "0.25"), 250);
	assert_int_equal(AFTER("retry-after", "1.9999"), 1999);
	assert_int_equal(AFTER("retry-after", "-1"), 0);
	assert_int_equal(AFTER("retry-after", "soon"), 0);
	assert_int_equal(AFTER("retry-after", ""), 0);
	assert_int_equal(AFTER("retry-after-ms", "120", "retry-after", "7"), 120);
	assert_int_equal(AFTER("retry-after-ms", "x", "retry-after", "7"), 7000);
	assert_int_equal(AFTER("retry-after", "99999999999"), UINT64_C(366) * 86400000);
	assert_int_equal(AFTER("retry-after", "99999999999999999999999"), 0);
	/* a date counts from the answer's own date; alone it would count from our clock */
	assert_int_equal(AFTER("date", "Sun, 22 Nov 2026 16:00:00 GMT", "retry-after",
				 "Sun, 22 Nov 2026 16:01:30 GMT"),
		90000);
	assert_int_equal(AFTER("date", "Sun, 22 Nov 2026 16:00:00 GMT", "retry-after",
				 "Sun, 22 Nov 2026 15:00:00 GMT"),
		0);
	assert_int_equal(AFTER("retry-after", "Sun, 22 Nov 2026 16:01:30 GMT"), 0);
	/* the dimension that is used up */
	assert_int_equal(
		AFTER("x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "6m0s"), 360000);
	assert_int_equal(
		AFTER("x-ratelimit-remaining-requests", "5", "x-ratelimit-reset-requests", "6m0s"), 0);
	assert_int_equal(AFTER("x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "12ms",
				 "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1.5s"),
		1500);
	assert_int_equal(AFTER("x-ratelimit-limit-tokens", "-1", "x-ratelimit-remaining-tokens", "0",
				 "x-ratelimit-reset-tokens", "1s"),
		0);
	assert_int_equal(AFTER("x-ratelimit-limit-tokens", "0", "x-ratelimit-remaining-tokens", "0",
				 "x-ratelimit-reset-tokens", "1s"),
		0);
	assert_int_equal(
		AFTER("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1h2m3.5s"), 3723500);
}

/* What the head said counts where the body says nothing, and not before it. */
static void head_and_body(void **state)
{
	struct ph_failed_answer a = {.status = 429, .head_after_ms = 9000};
	struct ph_failure f;

	(void)state;
	a.body = PH_STR("{\"error\":{\"message\":\"Please try again in 3s.\"}}");
	ph_classify(&a, &f);
	assert_int_equal(f.after_ms, 9000);
	a.body = PH_STR("{\"error\":{\"message\":\"x\",\"resets_in_seconds\":4}}");
	ph_classify(&a, &f);
	assert_int_equal(f.after_ms, 4000);
	/* a time in upstream's clock, and a span beside it: who knows the clock chooses */
	a.body = PH_STR("{\"error\":{\"message\":\"x\",\"resets_at\":1700000060}}");
	ph_classify(&a, &f);
	assert_int_equal(f.after_ms, 9000);
	assert_int_equal(f.resets_s, 1700000060);
}

/* ---- words ---- */

static const char *word(const char *body)
{
	struct ph_failed_answer a = {.status = 429, .body = ph_str_c(body)};
	static struct ph_failure f;

	ph_classify(&a, &f);
	return f.word;
}

static void the_word_that_operators_see(void **state)
{
	(void)state;
	assert_string_equal(word("{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}"),
		"rate_limit_exceeded");
	assert_string_equal(word("{\"error\":{\"type\":\"usage_limit_reached\"}}"), "usage_limit_reached");
	/* the one that decided */
	assert_string_equal(
		word("{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"usage_limit_reached\"}}"),
		"usage_limit_reached");
	assert_string_equal(
		word("{\"error\":{\"code\":\"new_one\",\"type\":\"invalid_request_error\"}}"), "new_one");
	/* a type that is not used as a code, a number, and a sentence are none */
	assert_string_equal(word("{\"error\":{\"type\":\"invalid_request_error\"}}"), "");
	assert_string_equal(word("{\"error\":{\"code\":429}}"), "");
	assert_string_equal(word("{\"error\":{\"code\":\"<b>Too many</b>\"}}"), "");
	assert_string_equal(word("{\"error\":\"quota_exceeded\"}"), "quota_exceeded");
	assert_string_equal(word("{\"error\":\"the quota_exceeded\"}"), "");
	assert_string_equal(word("{\"error\":\"Forbidden\"}"), "");
	assert_string_equal(word("quota_exceeded"), "");
}

static bool says_missing(int status, const char *body)
{
	struct ph_failed_answer a = {.status = status, .body = ph_str_c(body)};
	struct ph_failure f;

	ph_classify(&a, &f);
	return ph_path_missing(status, &f);
}

static void a_path_that_is_not_there(void **state)
{
	(void)state;
	assert_true(says_missing(404, "404 page not found"));
	assert_true(says_missing(404, "{\"detail\":\"Not Found\"}"));
	assert_true(says_missing(405, "{\"detail\":\"Method Not Allowed\"}"));
	assert_true(says_missing(501, ""));
	assert_true(says_missing(404,
		"{\"error\":{\"code\":404,\"message\":\"File Not Found\",\"type\":\"not_found_error\"}}"));
	assert_true(says_missing(404, "{\"error\":{\"message\":\"Invalid URL (POST /v1/files)\","
				      "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"));
	assert_true(says_missing(404, "{\"error\":{\"message\":\"No.\",\"code\":\"unknown_url\"}}"));
	assert_false(says_missing(404, "{\"error\":{\"message\":\"No such file.\",\"param\":\"file_id\"}}"));
	assert_false(says_missing(404, "{\"error\":{\"message\":\"No.\",\"code\":\"model_not_found\"}}"));
	assert_false(says_missing(404, "{\"error\":\"model 'x' not found, try pulling it first\"}"));
	assert_false(says_missing(404, "{\"error\":{\"message\":\"No.\",\"code\":\"voice_not_found\"}}"));
	assert_false(says_missing(400, "{\"detail\":\"Not Found\"}"));
}

static void every_signal_has_its_own_name(void **state)
{
	(void)state;
	for (int i = 0; i < PH_SIGNAL_NR; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(ph_signal_name((enum ph_health_signal)i),
				ph_signal_name((enum ph_health_signal)k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_shape),
		cmocka_unit_test(every_shape_cut_short),
		cmocka_unit_test(the_words_for_the_client),
		cmocka_unit_test(what_heads_say),
		cmocka_unit_test(head_and_body),
		cmocka_unit_test(the_word_that_operators_see),
		cmocka_unit_test(a_path_that_is_not_there),
		cmocka_unit_test(every_signal_has_its_own_name),
	};

	return cmocka_run_group_tests_name("upstream.classify", tests, NULL, NULL);
}
