/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from OpenSSL's generator, which notices a fork by itself. */
#include "posthouse/crypt.h"

#include "base_priv.h"

#include <openssl/rand.h>

const char ph_base62[62 + 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void ph_rand(void *p, size_t n)
{
	unsigned char *at = p;

	while (n > 0) {
		int part = n < 1u << 30 ? (int)n : 1 << 30;

		if (RAND_bytes(at, part) != 1)
			ph_die("no randomness from OpenSSL");
		at += part;
		n -= (size_t)part;
	}
}

uint64_t ph_rand_u64(void)
{
	uint64_t v;

	ph_rand(&v, sizeof(v));
	return v;
}

/* Bytes from 248 on are thrown away: 248 is four times 62, so that every character is equally likely. */
void ph_rand_id(char *dst, size_t n)
{
	size_t done = 0;

	while (done < n) {
		unsigned char bytes[64];

		ph_rand(bytes, sizeof(bytes));
		for (size_t i = 0; i < sizeof(bytes) && done < n; i++) {
			if (bytes[i] < 248)
				dst[done++] = ph_base62[bytes[i] % 62];
		}
	}
	dst[n] = '\0';
}
