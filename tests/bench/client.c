/* SPDX-License-Identifier: Apache-2.0 */
/* bench-client: options, and the mode that they are for. README.md says what each mode does. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define REQUEST_MAX ((size_t)16 << 20)

static const struct mode *const modes[] = {
	&mode_turns, &mode_streams, &mode_hold, &mode_slow, &mode_chains, &mode_shakes};

static const char usage[] =
	"usage: bench-client turns|streams|hold|slow|chains|shakes --to HOST:PORT --connections N\n"
	"  [--ca FILE [--resume 1]] [--upgrade FILE]\n"
	"  [--request FILE] [--seconds S] [--rate N] [--status N] [--repeat N] [--events N]\n"
	"  [--path PATH --key KEY --extra MEMBERS --depth N --step N --bytes N]";

static char *read_file(const char *name, size_t *n)
{
	FILE *f = fopen(name, "rb");
	char *p = malloc(REQUEST_MAX);

	if (!f || !p)
		bench_die("%s cannot be read", name);
	*n = fread(p, 1, REQUEST_MAX, f);
	fclose(f);
	return p;
}

static void take_address(struct options *o, char *address)
{
	char *colon = strrchr(address, ':');

	if (!colon)
		bench_die("--to HOST:PORT");
	*colon = '\0';
	o->host = address;
	o->port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

static void take(struct options *o, const char *name, char *value)
{
	const struct {
		const char *name;
		uint64_t *at;
	} numbers[] = {{"connections", &o->connections}, {"repeat", &o->repeat}, {"depth", &o->depth},
		{"step", &o->step}, {"bytes", &o->bytes}, {"rate", &o->rate}, {"events", &o->events},
		{"resume", &o->resume}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (strcmp(name, numbers[i].name) == 0)
			*numbers[i].at = strtoull(value, NULL, 10);
	if (strcmp(name, "to") == 0)
		take_address(o, value);
	else if (strcmp(name, "request") == 0)
		o->request = read_file(value, &o->request_n);
	else if (strcmp(name, "upgrade") == 0)
		o->upgrade = read_file(value, &o->upgrade_n);
	else if (strcmp(name, "seconds") == 0)
		o->seconds = strtod(value, NULL);
	else if (strcmp(name, "status") == 0)
		o->status = (int)strtol(value, NULL, 10);
	else if (strcmp(name, "path") == 0)
		o->path = value;
	else if (strcmp(name, "key") == 0)
		o->key = value;
	else if (strcmp(name, "extra") == 0)
		o->extra = value;
	else if (strcmp(name, "ca") == 0)
		o->ca = value;
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const char *const names[] = {"to", "connections", "request", "seconds", "rate", "status",
		"repeat", "events", "path", "key", "extra", "depth", "step", "bytes", "ca", "resume",
		"upgrade"};
	struct option options[sizeof(names) / sizeof(*names) + 1] = {{NULL, 0, NULL, 0}};
	int at, c;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		options[i] = (struct option){names[i], required_argument, NULL, 0};
	while ((c = getopt_long(argc, argv, "", options, &at)) == 0)
		take(o, names[at], optarg);
	if (c != -1 || !o->host || !o->connections)
		bench_die("%s", usage);
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.o = {.status = 200, .path = "/v1/responses", .key = "none", .extra = "", .step = 1}};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(argv[1], modes[i]->name) == 0)
			b.mode = modes[i];
	if (!b.mode)
		bench_die("%s", usage);
	read_options(&b.o, argc - 1, argv + 1);
	b.conn_max = b.conn_target = b.o.connections;
	if (b.o.ca)
		tls_start(b.o.ca);
	else if (b.mode == &mode_shakes)
		bench_die("%s", usage);
	if (b.o.upgrade)
		socket_start(&b.o);
	bench_run(&b);
	tls_end();
	free(b.o.upgrade);
	free(b.o.request);
	return 0;
}
