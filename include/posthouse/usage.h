/* SPDX-License-Identifier: Apache-2.0 */
/* What an account has left, as its upstream counts it. Data alone: upstream/ reads it, account/ keeps it. */
#ifndef POSTHOUSE_USAGE_H
#define POSTHOUSE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PH_USAGE_PRIMARY,
	PH_USAGE_SECONDARY,
	PH_USAGE_WINDOWS,
};

struct ph_usage_window {
	bool known;
	double used_percent;
	uint32_t minutes;  /* length of the window; 0 = not said */
	uint64_t resets_s; /* unix seconds, upstream's clock; 0 = not said */
};

struct ph_usage {
	struct ph_usage_window window[PH_USAGE_WINDOWS];
	char plan[32];      /* "" = not said */
	bool credits_known; /* it was said whether there are credits, */
	bool has_credits;   /* which go on where the secondary window has ended */
};

#endif
