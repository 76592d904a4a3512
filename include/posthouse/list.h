/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked lists. A node that stands in no list points to itself, so that removal may be
 * repeated. */
#ifndef POSTHOUSE_LIST_H
#define POSTHOUSE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ph_list {
	struct ph_list *next, *prev;
};

#define PH_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define PH_LIST_EACH(it, head)          for (struct ph_list *it = (head)->next; it != (head); it = it->next)
/* The current node may be removed or freed in the body. */
#define PH_LIST_EACH_SAFE(it, head)                                                                          \
	for (struct ph_list *it = (head)->next, *it##_next = it->next; it != (head);                         \
		it = it##_next, it##_next = it->next)

static inline void ph_list_init(struct ph_list *l)
{
	l->next = l->prev = l;
}

static inline bool ph_list_empty(const struct ph_list *l)
{
	return l->next == l;
}

static inline void ph_list_remove(struct ph_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	ph_list_init(n);
}

static inline void ph_list_push_back(struct ph_list *head, struct ph_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void ph_list_push_front(struct ph_list *head, struct ph_list *n)
{
	ph_list_push_back(head->next, n);
}

/* From whichever list it stands in to the end of another. */
static inline void ph_list_move(struct ph_list *n, struct ph_list *head)
{
	ph_list_remove(n);
	ph_list_push_back(head, n);
}

/* The first node, removed, or NULL. */
static inline struct ph_list *ph_list_pop(struct ph_list *head)
{
	struct ph_list *n = head->next;

	if (n == head)
		return NULL;
	ph_list_remove(n);
	return n;
}

#endif
