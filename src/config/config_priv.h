/* SPDX-License-Identifier: Apache-2.0 */
/* The settings table and what reads it; private to src/config. */
#ifndef POSTHOUSE_CONFIG_PRIV_H
#define POSTHOUSE_CONFIG_PRIV_H

#include "posthouse/config.h"

enum ph_setting_type {
	PH_SET_DATABASE,   /* conninfo or URI */
	PH_SET_MASTER_KEY, /* comma-separated base64 keys */
	PH_SET_DIR,        /* made absolute */
	PH_SET_FILE,       /* must be readable */
	PH_SET_NODE,       /* goes into a header: visible ASCII */
	PH_SET_ADDRESS,    /* host:port */
	PH_SET_DURATION,   /* uint64_t, milliseconds */
	PH_SET_SIZE,       /* uint64_t, bytes */
	PH_SET_COUNT,      /* uint64_t */
	PH_SET_WORD,       /* char *, one of `words` */
	PH_SET_ENUM,       /* an enum whose values are the places in `words` */
	PH_SET_SWITCH,     /* bool: the place in `words` */
};

struct ph_setting {
	const char *variable;
	enum ph_setting_type type;
	size_t offset;        /* of the member of struct ph_config */
	const char *fallback; /* the default as text; NULL: none, or computed */
	const char *unset;    /* what the default is called where fallback is NULL */
	const char *words;    /* "a|b|c" */
	uint64_t min, max;    /* DURATION, SIZE, COUNT */
	const char *example;
	const char *doc;
	bool secret;     /* NAME_FILE too; the value is never shown */
	bool no_flag;    /* only NAME_FILE has a flag: an argument is visible to every user of the machine */
	bool everywhere; /* a flag of every command, not of serve and check-config alone */
};

extern const struct ph_setting ph_settings[];
extern const size_t ph_setting_count;

static inline void *ph_setting_at(const struct ph_setting *s, struct ph_config *c)
{
	return (char *)c + s->offset;
}

static inline const void *ph_setting_in(const struct ph_setting *s, const struct ph_config *c)
{
	return (const char *)c + s->offset;
}

bool ph_setting_is_text(const struct ph_setting *s); /* the member is a char * that the configuration owns */

/* The flag's name without dashes: POSTHOUSE_MAX_BODY is max-body. */
#define PH_FLAG_MAX 48
void ph_setting_flag(const struct ph_setting *s, char dst[PH_FLAG_MAX]);

/* The place of word in "a|b|c", or -1; and the word at a place. */
int ph_word_find(const char *words, const char *word);
struct ph_str ph_word_at(const char *words, unsigned place);

/* NULL, or what is wrong with text: "is not a duration", "is too large". */
const char *ph_duration_read(const char *text, uint64_t *ret_ms);
const char *ph_size_read(const char *text, uint64_t *ret);
const char *ph_count_read(const char *text, uint64_t *ret);
void ph_size_text(uint64_t n, char *dst, size_t size);
void ph_number_text(
	const struct ph_setting *s, uint64_t n, char *dst, size_t size); /* DURATION, SIZE, COUNT */

/* Stores text in the setting's member. `label` is what the user wrote: a variable, a flag, a file's variable.
 */
int ph_setting_store(const struct ph_setting *s, struct ph_config *c, const char *label, const char *text,
	struct ph_err *err) PH_WARN_UNUSED;

/* What no single setting can tell. */
int ph_config_cross_check(const struct ph_config *c, struct ph_err *err) PH_WARN_UNUSED;

/* One warning for each POSTHOUSE_ variable that nothing reads. */
void ph_config_unknown(char *const *env, void (*warn)(void *arg, const char *text), void *arg);

#endif
