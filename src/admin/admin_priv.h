/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_ADMIN_PRIV_H
#define POSTHOUSE_ADMIN_PRIV_H

#include "posthouse/admin.h"

/* A whole answer, which may load nothing from elsewhere. */
void ph_admin_reply(struct ph_exchange *x, int status, struct ph_str type, struct ph_str body);

/* page.c: whether the path is the page's, or one of its parts; then it is answered, perhaps later. */
bool ph_page_handle(const struct ph_node_view *node, struct ph_exchange *x);

/* Made from src/admin/page/: its files as they are. */
struct ph_page_file {
	const char *path, *type;
	const char *text;
	size_t size;
};
extern const struct ph_page_file ph_page_files[];
extern const size_t ph_page_file_count;

/* remedy.c: what an operator should know of errors, by their names in the request log: {"name":"text",...} */
void ph_remedies_put(struct ph_buf *b);

#endif
