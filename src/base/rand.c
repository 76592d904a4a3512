/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Randomness from OpenSSL's generator, drawn for many calls at once: a call of its own costs 7000
 * instructions and a system call, for 16 bytes as for 4096. Bytes that were handed out are erased, so that
 * memory tells nothing of them later; a child process begins with an empty pool, for what it inherits is its
 * parent's.
 */
#include "posthouse/crypt.h"

#include "base_priv.h"

#include <openssl/rand.h>
#include <pthread.h>

#define POOL_SIZE 4096
#define POOL_PART 256 /* a call for more goes to the generator */

static _Thread_local struct {
	unsigned char bytes[POOL_SIZE];
	size_t left; /* at the end of bytes */
} pool;

const char ph_base62[62 + 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void draw(unsigned char *at, size_t n)
{
	while (n > 0) {
		int part = n < 1u << 30 ? (int)n : 1 << 30;

		if (RAND_bytes(at, part) != 1)
			ph_die("no randomness from OpenSSL");
		at += part;
		n -= (size_t)part;
	}
}

static void forget(void)
{
	pool.left = 0;
}

static void watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, forget))
		ph_die("forks cannot be watched");
}

static void fill(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	draw(pool.bytes, POOL_SIZE);
	pool.left = POOL_SIZE;
}

void ph_rand(void *p, size_t n)
{
	unsigned char *from;

	if (n > POOL_PART) {
		draw(p, n);
		return;
	}
	if (n > pool.left)
		fill();
	from = pool.bytes + POOL_SIZE - pool.left;
	memcpy(p, from, n);
	explicit_bzero(from, n);
	pool.left -= n;
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
		size_t need = n - done < sizeof(bytes) ? n - done : sizeof(bytes);

		ph_rand(bytes, need);
		for (size_t i = 0; i < need; i++) {
			if (bytes[i] < 248)
				dst[done++] = ph_base62[bytes[i] % 62];
		}
	}
	dst[n] = '\0';
}
