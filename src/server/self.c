/* SPDX-License-Identifier: Apache-2.0 */
/* What this process uses of its machine: descriptors and memory, measured every few seconds, not at each
 * scrape, because any worker may be asked for the figures of all. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "posthouse/metrics.h"
#include "server_priv.h"

#define EVERY_MS 10000

static int64_t count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the directory itself */
}

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long size = 0, resident = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lld %lld", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static void measure(void *arg)
{
	struct ph_self *s = arg;
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	ph_metric_set(PH_M_FDS_OPEN, 0, 0, count_descriptors());
	ph_metric_set(PH_M_FDS_MAX, 0, 0, (int64_t)limit.rlim_cur);
	ph_metric_set(PH_M_MEMORY_BYTES, 0, 0, resident_bytes());
	ph_timer_start(&s->timer, EVERY_MS);
}

void ph_self_start(struct ph_self *s, struct ph_loop *loop)
{
	ph_timer_init(&s->timer, loop, measure, s);
	measure(s);
}

void ph_self_stop(struct ph_self *s)
{
	ph_timer_stop(&s->timer);
}
