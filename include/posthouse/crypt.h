/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness, digests, text encodings, and the sealing of upstream secrets. The only user of openssl/evp.h
 * and rand.h. */
#ifndef POSTHOUSE_CRYPT_H
#define POSTHOUSE_CRYPT_H

#include "posthouse/buf.h"

void ph_rand(void *p, size_t n);      /* cryptographic; dies if there is none */
uint64_t ph_rand_u64(void);           /* cryptographic */
void ph_rand_id(char *dst, size_t n); /* n characters of [0-9A-Za-z], then NUL: dst holds n + 1 */

void ph_sha1(struct ph_str s, uint8_t ret[20]); /* for protocols that want it; it protects nothing */
void ph_sha256(struct ph_str s, uint8_t ret[32]);
bool ph_equal(const void *a, const void *b, size_t n); /* constant time */
uint64_t ph_hash64(struct ph_str s, uint64_t seed);    /* not cryptographic, stable across versions */

void ph_hex(char *dst, const uint8_t *p, size_t n);       /* 2n characters, then NUL */
bool ph_unhex(uint8_t *dst, size_t n, struct ph_str hex); /* exactly 2n digits of either case */
int ph_base64(struct ph_buf *b, struct ph_str s);
int ph_base64url(struct ph_buf *b, struct ph_str s); /* without padding, as web tokens have it */
/* Standard alphabet, padding optional. False on anything else or above max. */
bool ph_unbase64(struct ph_str s, uint8_t *dst, size_t max, size_t *ret_n);

/*
 * API keys: "ph_", 43 characters of base62 (256 random bits), 6 characters of base62 checksum: the CRC-32
 * (zlib's) of the 46 characters before, most significant digit first, digits in the order 0-9 A-Z a-z. A typo
 * is refused without a question to the database.
 */
#define PH_KEY_LEN 52
void ph_key_make(char ret[PH_KEY_LEN + 1]);
bool ph_key_well_formed(struct ph_str key);

/*
 * Master keys: the first seals, all open. A sealed secret is
 *     1 byte version (1) | 8 bytes key id | 12 bytes nonce | ciphertext | 16 bytes tag
 * AES-256-GCM; the associated data bind it to its row: "table\0row\0" and the key id. The key id is the first
 * 8 bytes of SHA-256("posthouse master key" || key), so it tells which key is needed and nothing of the key.
 */
#define PH_MASTER_KEYS_MAX 8
struct ph_master_keys {
	int count;
	uint8_t key[PH_MASTER_KEYS_MAX][32];
	uint8_t id[PH_MASTER_KEYS_MAX][8];
};
/* Comma-separated base64 of 32 bytes each. -PH_E_CONFIG. */
int ph_master_keys_parse(struct ph_master_keys *ret, struct ph_str text, struct ph_err *err) PH_WARN_UNUSED;
/* Both append to out. -PH_E_CONFIG: no key, or not the one it was sealed with, or not this row's; nothing is
 * appended. */
int ph_seal(const struct ph_master_keys *k, const char *table, const char *row, struct ph_str plain,
	struct ph_buf *out) PH_WARN_UNUSED;
int ph_unseal(const struct ph_master_keys *k, const char *table, const char *row, struct ph_str sealed,
	struct ph_buf *out, struct ph_err *err) PH_WARN_UNUSED;

#endif
