/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over JSON bytes, without a tree: validates what every turn must not carry upstream, and reports
 * where named top-level members stand. jansson reads what must be understood; this reads what is only
 * relayed.
 *
 * Refused: nesting above PH_JSON_DEPTH, unclosed strings, control characters and invalid UTF-8 inside
 * strings, bad structure, anything after the value, a duplicate of a wanted member. Member names are compared
 * after decoding of escapes ("\u006dodel" is "model").
 *
 * The grammar of numbers and literals is checked inside wanted members, at any depth. Elsewhere only their
 * first byte and their character set are: `01`, `1.e` and `nulls` pass. Accepted everywhere, though jansson
 * refuses it: a lone surrogate escape, "\u0000" in a member name, a number too large for a double or for 64
 * bits.
 */
#ifndef POSTHOUSE_JSON_H
#define POSTHOUSE_JSON_H

#include "posthouse/arena.h"
#include "posthouse/buf.h"

#define PH_JSON_DEPTH 512

enum ph_json_kind {
	PH_JSON_ABSENT,
	PH_JSON_NULL,
	PH_JSON_FALSE,
	PH_JSON_TRUE,
	PH_JSON_NUMBER,
	PH_JSON_STRING,
	PH_JSON_ARRAY,
	PH_JSON_OBJECT,
};

struct ph_json_member {
	enum ph_json_kind kind; /* PH_JSON_ABSENT where the object has no such member */
	bool escaped;           /* a string that holds a backslash */
	struct ph_str value;    /* the value's bytes: a string with its quotes, an array with its brackets */
	size_t start, end; /* of the member within the text: from the quote of its name to behind its value */
	size_t comma_before; /* offset of the comma that precedes the member, or SIZE_MAX */
	size_t comma_after;  /* offset of the comma that follows it, or SIZE_MAX */
};

/*
 * Scans `text`, which must be one JSON object with nothing but white space around it, for `count` member
 * names; ret[i] belongs to names[i]. err->param names a duplicated member. 0, -PH_E_JSON_BAD (err->detail
 * says where and what). Offsets count from the start of `text`. A member is cut out with one comma: from
 * start to behind comma_after, or where it is the last, from comma_before to end.
 */
int ph_json_scan(struct ph_str text, const struct ph_str *names, size_t count, struct ph_json_member *ret,
	struct ph_err *err) PH_WARN_UNUSED;

/*
 * Who is shown the parts of a list while it is passed, so that nobody walks it again: of each element that is
 * an object its members (name with its quotes, and value), and then each element. What is shown is valid, and
 * duplicates are shown as they come; what stands behind it may yet be refused.
 *
 * on_name, or NULL: the names of all members of the text, at whatever depth, with their quotes, each before
 * its value. Of ph_json_scan_list() only.
 */
struct ph_json_watch {
	void (*on_member)(void *arg, struct ph_str name, struct ph_str value);
	void (*on_element)(void *arg, struct ph_str element);
	void (*on_name)(void *arg, struct ph_str name, bool escaped);
	void *arg;
};
/* ph_json_scan() that shows the array in the member names[list], if it is one. */
int ph_json_scan_list(struct ph_str text, const struct ph_str *names, size_t count, size_t list,
	const struct ph_json_watch *watch, struct ph_json_member *ret, struct ph_err *err) PH_WARN_UNUSED;

/* ph_json_scan() for text that was validated before as part of a larger one: skips the UTF-8 check; a
 * duplicate keeps the last. False if it is no object. */
bool ph_json_find(struct ph_str text, const struct ph_str *names, size_t count, struct ph_json_member *ret);

/* Validates any JSON value, with the rules above. */
int ph_json_check(struct ph_str text, struct ph_err *err) PH_WARN_UNUSED;

enum ph_json_kind ph_json_kind(struct ph_str value); /* by its first byte */

/*
 * Elements of an array that was validated before. Start with offset 0; each call sets ret to the next
 * element's bytes and returns true, or false at the end.
 */
bool ph_json_next(struct ph_str array, size_t *offset, struct ph_str *ret);

/* The same for the inside of an array: values and commas, without brackets. watch: is shown the members of an
 * element that is an object, in the same pass, or NULL; its on_element is not called. */
bool ph_json_next_bare(
	struct ph_str list, size_t *offset, const struct ph_json_watch *watch, struct ph_str *ret);

/* Members of an object that was validated before, likewise: name with its quotes, and value. */
bool ph_json_pair(struct ph_str object, size_t *offset, struct ph_str *ret_name, struct ph_str *ret_value);

/* The text of a string value, without quotes. Borrowed where nothing was escaped, else decoded into the
 * arena. A lone surrogate becomes U+FFFD. False if value is no string or the arena is full. */
bool ph_json_text(struct ph_str value, struct ph_arena *a, struct ph_str *ret);
/* Whether a string value's decoded text equals s, without allocation. */
bool ph_json_text_is(struct ph_str value, struct ph_str s);
/* A non-negative integer without fraction or exponent. */
bool ph_json_u64(struct ph_str value, uint64_t *ret);

#endif
