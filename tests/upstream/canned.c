/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canned answers, for benchmarks: a standing script with "canned" has its answer made once for streams and
 * once for JSON, and every later turn gets those bytes with fresh ids. The request is then not read at all,
 * but for the words "stream":true near one of its ends, so that a benchmark measures the gateway and not this
 * program.
 *
 * Ids have a fixed width, so what changes stands at known places and the length never changes.
 */
#include <stdlib.h>

#include "socket.h"

#define NEAR 4096 /* bytes at each end of the body in which "stream" is looked for */

/* Owner: its script. */
struct fake_canned {
	struct ph_buf wire;
	struct fake_step *steps;
	size_t step_count;
	size_t *tags; /* where the turn's tag stands in wire */
	size_t tag_count;
	size_t tag_n;
	enum fake_ending ending;
};

struct fake_canned *fake_canned_free(struct fake_canned *c)
{
	if (!c)
		return NULL;
	ph_buf_deinit(&c->wire);
	free(c->steps);
	free(c->tags);
	free(c);
	return NULL;
}

static bool says_stream(struct ph_str s)
{
	return ph_str_find(s, PH_STR("\"stream\":true")) >= 0 ||
	       ph_str_find(s, PH_STR("\"stream\": true")) >= 0;
}

static bool wants_stream(struct ph_str body)
{
	if (body.n <= 2 * NEAR)
		return says_stream(body);
	return says_stream(ph_str(body.p, NEAR)) || says_stream(ph_str_from(body, body.n - NEAR));
}

static struct fake_canned **slot_of(struct fake_do *d, const struct fake_exchange *x)
{
	return &d->cans[x->lane ? 2 : wants_stream(x->body)];
}

static void find_tags(struct fake_canned *c, struct ph_str tag)
{
	struct ph_str wire = ph_buf_str(&c->wire);
	size_t at = 0;
	ptrdiff_t next;

	c->tag_n = tag.n;
	while ((next = ph_str_find(ph_str_from(wire, at), tag)) >= 0) {
		c->tags = ph_realloc(c->tags, (c->tag_count + 1) * sizeof(*c->tags));
		c->tags[c->tag_count++] = at + (size_t)next;
		at += (size_t)next + tag.n;
	}
}

void fake_canned_keep(struct fake_exchange *x)
{
	const struct fake_play *p = &x->play;
	struct fake_canned *c = ph_alloc(sizeof(*c)), **slot = slot_of(x->todo, x);

	ph_buf_init(&c->wire, FAKE_ANSWER_MAX);
	ph_buf_puts(&c->wire, ph_buf_str(&p->wire));
	c->step_count = p->step_count;
	c->steps = ph_alloc(c->step_count * sizeof(*c->steps));
	memcpy(c->steps, p->steps, c->step_count * sizeof(*c->steps));
	c->ending = p->ending;
	find_tags(c, ph_str_c(x->tag));
	fake_canned_free(*slot);
	*slot = c;
}

bool fake_canned_answer(struct fake_exchange *x)
{
	struct fake_account *a = x->account;
	struct fake_play *p = &x->play;
	const struct fake_canned *c;
	char tag[FAKE_TAG_MAX];

	if (!a->standing || !FAKE_DO(a->standing, canned, false) || a->mode != FAKE_UP ||
		!ph_list_empty(&a->scripts) || !x->head->keep_alive || (x->lane && x->lane->id[0]))
		return false;
	c = *slot_of(a->standing, x);
	if (!c)
		return false;
	fake_account_mint(a, tag, sizeof(tag));
	ph_buf_puts(&p->wire, ph_buf_str(&c->wire));
	for (size_t i = 0; i < c->tag_count; i++)
		memcpy(p->wire.p + c->tags[i], tag, c->tag_n);
	p->step_count = 0;
	for (size_t i = 0; i < c->step_count; i++) {
		fake_play_mark(x, c->steps[i].delay_ms, c->steps[i].stamp);
		p->steps[i].end = c->steps[i].end;
	}
	p->ending = c->ending;
	x->todo = fake_do_ref(a->standing);
	fake_play_start(x);
	return true;
}
