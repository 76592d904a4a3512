/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MAX (16u << 20)
#define SHORT   96 /* cut in three at every pair up to this length */

struct cutter {
	struct ph_str input;
	void (*run)(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg);
	void *arg;
	struct ph_buf whole; /* the log of the input in one piece */
};

static struct ph_str piece(struct ph_str s, size_t from, size_t to)
{
	char *p = malloc(to - from);

	if (to > from)
		memcpy(p, s.p + from, to - from);
	return ph_str(p, to - from);
}

/* Cuts the input at the given ascending offsets and compares the log. */
static void check(struct cutter *c, const size_t *cuts, size_t count, struct ph_buf *log)
{
	struct ph_str *pieces = calloc(count + 1, sizeof(*pieces));
	size_t from = 0;

	for (size_t i = 0; i <= count; i++) {
		size_t to = i < count ? cuts[i] : c->input.n;

		pieces[i] = piece(c->input, from, to);
		from = to;
	}
	c->run(pieces, count + 1, log, c->arg);
	for (size_t i = 0; i <= count; i++)
		free((void *)(uintptr_t)pieces[i].p);
	free(pieces);
}

static void compare(struct cutter *c, const size_t *cuts, size_t count)
{
	struct ph_buf log;

	ph_buf_init(&log, LOG_MAX);
	check(c, cuts, count, &log);
	if (!ph_str_eq(ph_buf_str(&log), ph_buf_str(&c->whole))) {
		print_error("cut in %zu pieces", count + 1);
		for (size_t i = 0; i < count && i < 2; i++)
			print_error(", at %zu", cuts[i]);
		print_error("\nwhole:\n%.*s\ncut:\n%.*s\n", PH_STR_ARG(ph_buf_str(&c->whole)),
			PH_STR_ARG(ph_buf_str(&log)));
		fail_msg("the events depend on where the input was cut");
	}
	ph_buf_deinit(&log);
}

void ph_test_cuts(struct ph_str input,
	void (*run)(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg), void *arg)
{
	struct cutter c = {.input = input, .run = run, .arg = arg};
	size_t *every = calloc(input.n + 1, sizeof(*every));

	ph_buf_init(&c.whole, LOG_MAX);
	check(&c, NULL, 0, &c.whole);
	for (size_t i = 1; i < input.n; i++) {
		every[i - 1] = i;
		compare(&c, &i, 1);
		for (size_t j = i + 1; input.n <= SHORT && j < input.n; j++)
			compare(&c, (size_t[]){i, j}, 2);
	}
	if (input.n > 1)
		compare(&c, every, input.n - 1);
	free(every);
	ph_buf_deinit(&c.whole);
}

void ph_assert_str(struct ph_str is, struct ph_str expected)
{
	if (!ph_str_eq(is, expected))
		fail_msg("is:       \"%.*s\"\nexpected: \"%.*s\"", PH_STR_ARG(is), PH_STR_ARG(expected));
}

uint64_t ph_test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t ph_test_below(uint64_t *state, uint64_t limit)
{
	return ph_test_random(state) % limit;
}

bool ph_test_dies(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct rlimit no_core = {0, 0};
		int null = open("/dev/null", O_WRONLY);

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(null, STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}
