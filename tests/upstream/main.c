/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the fake upstream. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake.h"

static const char usage[] =
	"usage: fake-upstream --account NAME:KIND[:KEY]... [option]...\n"
	"  --listen ADDRESS       default 127.0.0.1:0\n"
	"  --account-listen NAME=ADDRESS\n"
	"                         a port of the account's own, which can refuse connections\n"
	"  --do JSON              stands for every turn of all accounts, as POST /_fake/account {\"do\":..}\n"
	"  --chunk BYTES          short for --do '{\"delta_bytes\":BYTES}'\n"
	"  --run TEXT             letters and digits in every id, so that a later run mints others\n"
	"  --keep N               stored responses at most (default 200000)\n"
	"  --keep-mib N           their bytes at most (default 1024)\n"
	"  --record-mib N         recorded requests and answers at most (default 256)\n"
	"  --no-record            records nothing\n"
	"KIND: platform, codex, stateless. Controls are under /_fake: see README.md.\n";

struct options {
	struct ph_str listen, standing, run;
	struct ph_str own[128]; /* --account-listen */
	size_t own_count;
	uint64_t keep, keep_mib, record_mib;
	bool no_record;
	char chunk[64];
};

static int bad_usage(const char *what)
{
	fprintf(stderr, "fake-upstream: %s\n%s", what, usage);
	return 2;
}

static int read_option(struct fake_server *s, struct options *o, int option, struct ph_err *err)
{
	struct ph_str value = ph_str_c(optarg);

	switch (option) {
	case 'l':
		o->listen = value;
		return 0;
	case 'a':
		return fake_account_add(s, value, err) ? 0 : -PH_E_USAGE;
	case 'o':
		if (o->own_count < sizeof(o->own) / sizeof(*o->own))
			o->own[o->own_count++] = value;
		return 0;
	case 'd':
		o->standing = value;
		return 0;
	case 'c':
		snprintf(o->chunk, sizeof(o->chunk), "{\"delta_bytes\":%.*s}",
			value.n < 20 ? (int)value.n : 20, value.p);
		o->standing = ph_str_c(o->chunk);
		return 0;
	case 'r':
		o->run = value;
		return 0;
	case 'k':
		return ph_str_u64(value, 1u << 30, &o->keep) && o->keep
			       ? 0
			       : ph_fail(err, PH_E_USAGE, "--keep: a number above 0");
	case 'K':
		return ph_str_u64(value, 1u << 20, &o->keep_mib)
			       ? 0
			       : ph_fail(err, PH_E_USAGE, "--keep-mib: a number");
	case 'R':
		return ph_str_u64(value, 1u << 20, &o->record_mib)
			       ? 0
			       : ph_fail(err, PH_E_USAGE, "--record-mib: a number");
	case 'n':
		o->no_record = true;
		return 0;
	default:
		return ph_fail(err, PH_E_USAGE, "unknown option");
	}
}

static int read_options(struct fake_server *s, struct options *o, int argc, char **argv, struct ph_err *err)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"account", required_argument, NULL, 'a'},
		{"account-listen", required_argument, NULL, 'o'},
		{"do", required_argument, NULL, 'd'},
		{"chunk", required_argument, NULL, 'c'},
		{"run", required_argument, NULL, 'r'},
		{"keep", required_argument, NULL, 'k'},
		{"keep-mib", required_argument, NULL, 'K'},
		{"record-mib", required_argument, NULL, 'R'},
		{"no-record", no_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	int option, result = 0;

	opterr = 0;
	while (!result && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		result = read_option(s, o, option, err);
	if (!result && optind < argc)
		result = ph_fail(err, PH_E_USAGE, "unexpected argument \"%s\"", argv[optind]);
	if (!result && ph_list_empty(&s->accounts))
		result = ph_fail(err, PH_E_USAGE, "--account is needed");
	for (size_t i = 0; !result && i < o->run.n; i++)
		if (!strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", o->run.p[i]) ||
			i >= sizeof(s->run) - 1)
			result = ph_fail(err, PH_E_USAGE, "--run: at most 32 letters and digits");
	ph_str_copy(s->run, sizeof(s->run), o->run);
	return result;
}

static int set_standing(struct fake_server *s, struct ph_str json, struct ph_err *err)
{
	PH_LIST_EACH (n, &s->accounts) {
		struct fake_account *a = PH_CONTAINER(n, struct fake_account, node);

		if (!json.n)
			return 0;
		a->standing = fake_do_parse(json, err);
		if (!a->standing)
			return -PH_E_USAGE;
	}
	return 0;
}

static int listen_all(struct fake_server *s, struct options *o, struct ph_err *err)
{
	char text[64];
	int result;

	for (size_t i = 0; i < o->own_count; i++) {
		struct ph_str address = o->own[i], name = ph_str_split(&address, '=');
		struct fake_account *a = fake_account_named(s, name);

		if (!a)
			return ph_fail(
				err, PH_E_USAGE, "--account-listen: no account \"%.*s\"", PH_STR_ARG(name));
		result = fake_server_listen(s, a, address, err);
		if (result)
			return result;
		ph_addr_text(&a->listener->addr, text, sizeof(text));
		printf("account %s on %s\n", a->name, text);
	}
	result = fake_server_listen(s, NULL, o->listen, err);
	if (result)
		return result;
	ph_addr_text(&PH_CONTAINER(s->listeners.prev, struct fake_listener, node)->addr, text, sizeof(text));
	printf("listening on %s\n", text);
	fflush(stdout);
	return 0;
}

static void on_signal(void *arg, int signum)
{
	(void)signum;
	fake_server_stop(arg);
}

static struct fake_server *server_new(void)
{
	struct fake_server *s = ph_alloc(sizeof(*s));

	s->loop = ph_loop_new();
	s->tick_fd = -1;
	ph_list_init(&s->accounts);
	ph_list_init(&s->conns);
	ph_list_init(&s->resources);
	ph_list_init(&s->listeners);
	ph_list_init(&s->ticking);
	return s;
}

/* The number of handles that are still open. */
static int server_free(struct fake_server *s)
{
	int left = ph_loop_free(s->loop);
	struct ph_list *n;

	while ((n = ph_list_pop(&s->listeners)))
		free(PH_CONTAINER(n, struct fake_listener, node));
	fake_log_clear(&s->log);
	fake_store_deinit(&s->store);
	fake_resources_free(s);
	fake_accounts_free(s);
	free(s);
	return left;
}

static int serve(struct fake_server *s, struct options *o)
{
	struct ph_err err = {0};
	int result = set_standing(s, o->standing, &err);

	fake_store_init(&s->store, o->keep, o->keep_mib << 20);
	fake_log_init(&s->log, !o->no_record, o->record_mib << 20);
	if (!result) {
		s->term = ph_signal_open(s->loop, SIGTERM, on_signal, s);
		s->intr = ph_signal_open(s->loop, SIGINT, on_signal, s);
		result = listen_all(s, o, &err);
	}
	if (result) {
		fprintf(stderr, "fake-upstream: %s\n", err.detail);
		fake_server_stop(s);
	}
	ph_loop_run(s->loop);
	return result ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.listen = PH_STR("127.0.0.1:0"), .keep = 200000, .keep_mib = 1024, .record_mib = 256};
	struct fake_server *s;
	struct ph_err err = {0};
	int result, left;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	s = server_new();
	if (read_options(s, &o, argc, argv, &err)) {
		result = bad_usage(err.detail);
		fake_store_init(&s->store, 1, 1);
		fake_log_init(&s->log, false, 0);
	} else {
		result = serve(s, &o);
	}
	left = server_free(s);
	if (left > 0)
		fprintf(stderr, "fake-upstream: %d handles were left open\n", left);
	return left > 0 ? 1 : result;
}
