/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line per event on standard error, JSON or text. The writer redacts (bearer tokens, API keys,
 * JWTs, passwords in URLs) and never blocks: a full pipe drops the lines and counts them. Bodies are never
 * logged. A message is cut to 511 bytes, a value to 1023, a line to 4096; fields that no longer fit are left
 * out and the line says "cut".
 */
#ifndef POSTHOUSE_LOG_H
#define POSTHOUSE_LOG_H

#include "posthouse/str.h"

enum ph_log_level {
	PH_LOG_ERROR, /* a promise is broken or the node cannot go on */
	PH_LOG_WARN,  /* someone should look today */
	PH_LOG_INFO,  /* what an operator wants to read back: starts, stops, turns */
	PH_LOG_DEBUG, /* what a developer wants to read back */
};

enum ph_log_format {
	PH_LOG_JSON,
	PH_LOG_TEXT,
};

struct ph_field {
	const char *name;
	enum {
		PH_FIELD_STR,
		PH_FIELD_INT,
		PH_FIELD_MS,
		PH_FIELD_BOOL
	} kind;
	struct ph_str s;
	int64_t i; /* PH_FIELD_MS: nanoseconds, printed as milliseconds with three decimals */
};

#define PH_F_STR(name, str)  ((struct ph_field){name, PH_FIELD_STR, str, 0})
#define PH_F_C(name, cstr)   ((struct ph_field){name, PH_FIELD_STR, ph_str_c(cstr), 0})
#define PH_F_INT(name, n)    ((struct ph_field){name, PH_FIELD_INT, PH_STR_NONE, (int64_t)(n)})
#define PH_F_MS(name, ns)    ((struct ph_field){name, PH_FIELD_MS, PH_STR_NONE, (int64_t)(ns)})
#define PH_F_BOOL(name, yes) ((struct ph_field){name, PH_FIELD_BOOL, PH_STR_NONE, (yes) ? 1 : 0})

void ph_log_init(enum ph_log_level level, enum ph_log_format format, const char *node);
bool ph_log_on(enum ph_log_level level);
void ph_log(enum ph_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* msg is a fixed phrase; what varies goes into fields. Empty strings are left out. */
void ph_log_fields(enum ph_log_level level, const char *msg, const struct ph_field *fields, size_t n);
uint64_t ph_log_dropped(void);
/*
 * While lines are held they leave together: at ph_log_flush(), when 4096 bytes of them wait, with the next
 * error (which is never held) or ph_die(), and when holding ends. Whoever owns the event loop holds them and
 * flushes before each wait; without a loop every line leaves at once. A process that ends by _exit() flushes
 * first.
 */
void ph_log_hold(bool hold);
void ph_log_flush(void);
/* Replaces secrets in s by "***". The result is cut to size - 1 bytes. Exposed for its test. */
void ph_log_redact(char *dst, size_t size, struct ph_str s);

#endif
