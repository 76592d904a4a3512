/* SPDX-License-Identifier: Apache-2.0 */
/* What a JSON web token says. Nobody checks its signature here: its claims are labels, and open nothing. */
#ifndef POSTHOUSE_JWT_H
#define POSTHOUSE_JWT_H

#include "posthouse/arena.h"

/* The claims: a JSON object, checked, in the arena. None where it is no such token, or the arena is full. */
struct ph_str ph_jwt_claims(struct ph_str token, struct ph_arena *a);

#endif
