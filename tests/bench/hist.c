/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies: buckets that are exact up to 127 and then seven bits wide, so no quantile is off by more than 1
 * %. */
#include <stdio.h>

#include "bench.h"

#define BITS 7

static size_t index_of(uint64_t v)
{
	unsigned shift;

	if (v < (1U << BITS))
		return (size_t)v;
	shift = 63U - (unsigned)__builtin_clzll(v) - BITS;
	return ((size_t)(shift + 1) << BITS) + (size_t)((v >> shift) & ((1U << BITS) - 1));
}

/* The middle of a bucket. */
static uint64_t value_of(size_t i)
{
	unsigned shift = (unsigned)(i >> BITS);
	uint64_t low = i & ((1U << BITS) - 1);

	if (shift == 0)
		return low;
	shift--;
	return ((low | (1U << BITS)) << shift) + ((UINT64_C(1) << shift) >> 1);
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->count++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	h->bucket[index_of(ns)]++;
}

uint64_t hist_at(const struct hist *h, double share)
{
	uint64_t rank = (uint64_t)(share * (double)h->count), seen = 0;

	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank)
			return value_of(i);
	}
	return h->max;
}

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

void hist_print(const char *name, const struct hist *h)
{
	printf("\"%s\":{\"count\":%llu,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
	       "\"max\":%.1f}",
		name, (unsigned long long)h->count, h->count ? us(h->sum) / (double)h->count : 0,
		us(hist_at(h, 0.5)), us(hist_at(h, 0.9)), us(hist_at(h, 0.99)), us(hist_at(h, 0.999)),
		us(h->max));
}
