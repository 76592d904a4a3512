/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_CLOCK_H
#define POSTHOUSE_CLOCK_H

#include <stdint.h>

uint64_t ph_clock_ns(void);      /* monotonic; for durations */
uint64_t ph_clock_ms(void);      /* the same in milliseconds */
uint64_t ph_clock_boot_ms(void); /* counts suspend; for trust in what a database clock granted */
uint64_t ph_clock_unix_ms(void); /* wall clock; for people and for wire formats, never for decisions */

#endif
