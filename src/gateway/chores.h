/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_CHORES_H
#define POSTHOUSE_CHORES_H

struct ph_gateway;
struct ph_chores; /* owner: the gateway */
struct ph_chores *ph_chores_new(struct ph_gateway *g);
void ph_chores_start(struct ph_chores *all);             /* the node is registered */
struct ph_chores *ph_chores_free(struct ph_chores *all); /* returns NULL; before the member */

#endif
