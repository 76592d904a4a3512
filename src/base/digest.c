/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, SHA-1, comparison in constant time, and the hash of hash tables. */
#include "posthouse/crypt.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

/* One context for all calls of a thread: EVP_Digest() looks the algorithm up and makes one each time, which
 * takes three times as long as the digest of a key. */
void ph_sha256(struct ph_str s, uint8_t ret[32])
{
	static _Thread_local EVP_MD_CTX *context;
	bool ok;

	if (!context)
		context = EVP_MD_CTX_new();
	ok = context &&
	     EVP_DigestInit_ex(context, EVP_MD_CTX_get0_md(context) ? NULL : EVP_sha256(), NULL) == 1;
	ok = ok && EVP_DigestUpdate(context, s.p ? s.p : "", s.n) == 1;
	if (!ok || EVP_DigestFinal_ex(context, ret, NULL) != 1)
		ph_die("no SHA-256 in OpenSSL");
}

void ph_sha1(struct ph_str s, uint8_t ret[20])
{
	if (EVP_Digest(s.p ? s.p : "", s.n, ret, NULL, EVP_sha1(), NULL) != 1)
		ph_die("no SHA-1 in OpenSSL");
}

bool ph_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

static uint64_t load(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes at a time, each mixed by the halves of a 128-bit product. The constants are primes near
 * 2^64/phi. */
uint64_t ph_hash64(struct ph_str s, uint64_t seed)
{
	const uint64_t k1 = UINT64_C(0x9e3779b97f4a7c15), k2 = UINT64_C(0xd6e8feb86659fd93);
	uint64_t h = fold(seed ^ k1, k2 ^ s.n);
	size_t i = 0;

	for (; s.n - i >= 8; i += 8)
		h = fold(h ^ load(s.p + i, 8), k1) ^ k2;
	if (i < s.n)
		h = fold(h ^ load(s.p + i, s.n - i), k1) ^ k2;
	return fold(h ^ k2, k1);
}
