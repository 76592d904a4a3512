/* SPDX-License-Identifier: Apache-2.0 */
/* The three clocks. A clock that the kernel refuses is a broken machine, not an error to pass on. */
#include "posthouse/clock.h"

#include "posthouse/err.h"

#include <time.h>

static uint64_t read_ns(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		ph_die("clock_gettime(%d) failed", (int)id);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t ph_clock_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t ph_clock_ms(void)
{
	return ph_clock_ns() / 1000000u;
}

uint64_t ph_clock_boot_ms(void)
{
	return read_ns(CLOCK_BOOTTIME) / 1000000u;
}

uint64_t ph_clock_unix_ms(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000u;
}
