/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing of upstream secrets: AES-256-GCM with a random nonce. One master key seals far fewer than 2^32
 * secrets, which is the bound for random nonces of 96 bits. The associated data tie a sealed secret to its
 * row, so that nobody who can write the table can move one account's secret under another.
 */
#include "posthouse/crypt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define VERSION  1
#define KEY      32
#define ID       8
#define NONCE    12
#define TAG      16
#define HEAD     (1 + ID + NONCE)
#define AAD_MAX  512
#define TEXT_MAX (1u << 20) /* a credential is some kilobytes; EVP counts in int */

static void id_of(const uint8_t key[KEY], uint8_t ret[ID])
{
	static const char label[20] = "posthouse master key";
	uint8_t text[sizeof(label) + KEY], digest[32];

	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), key, KEY);
	ph_sha256(ph_str((const char *)text, sizeof(text)), digest);
	memcpy(ret, digest, ID);
	OPENSSL_cleanse(text, sizeof(text));
}

int ph_master_keys_parse(struct ph_master_keys *ret, struct ph_str text, struct ph_err *err)
{
	struct ph_master_keys k = {.count = 0};

	text = ph_str_trim(text);
	while (text.n > 0) {
		struct ph_str part = ph_str_trim(ph_str_split(&text, ','));
		size_t n = 0;

		if (k.count == PH_MASTER_KEYS_MAX)
			return ph_fail(err, PH_E_CONFIG, "more than %d master keys", PH_MASTER_KEYS_MAX);
		if (!ph_unbase64(part, k.key[k.count], KEY, &n) || n != KEY)
			return ph_fail(err, PH_E_CONFIG,
				"master key %d is not 32 bytes in base64 (make one: openssl rand -base64 32)",
				k.count + 1);
		id_of(k.key[k.count], k.id[k.count]);
		k.count++;
	}
	if (k.count == 0)
		return ph_fail(err, PH_E_CONFIG, "no master key (make one: openssl rand -base64 32)");
	*ret = k;
	OPENSSL_cleanse(&k, sizeof(k));
	return 0;
}

/* "table\0row\0" and the key id. */
static bool associate(EVP_CIPHER_CTX *c, const char *table, const char *row, const uint8_t id[ID])
{
	uint8_t aad[AAD_MAX];
	size_t nt = strlen(table) + 1, nr = strlen(row) + 1;
	int ignored;

	if (nt + nr + ID > sizeof(aad))
		return false;
	memcpy(aad, table, nt);
	memcpy(aad + nt, row, nr);
	memcpy(aad + nt + nr, id, ID);
	return EVP_CipherUpdate(c, NULL, &ignored, aad, (int)(nt + nr + ID)) == 1;
}

/* A context that knows key, nonce and associated data, or NULL. */
static EVP_CIPHER_CTX *start(bool seal, const uint8_t key[KEY], const uint8_t id[ID],
	const uint8_t nonce[NONCE], const char *table, const char *row)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
		associate(c, table, row, id))
		return c;
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

static bool encrypt(EVP_CIPHER_CTX *c, struct ph_str plain, uint8_t *out)
{
	int n = 0, end = 0;

	return EVP_CipherUpdate(c, out, &n, (const uint8_t *)(plain.p ? plain.p : ""), (int)plain.n) == 1 &&
	       EVP_CipherFinal_ex(c, out + n, &end) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, out + plain.n) == 1;
}

static bool decrypt(EVP_CIPHER_CTX *c, const uint8_t *text, size_t size, uint8_t *out)
{
	uint8_t tag[TAG];
	int n = 0, end = 0;

	memcpy(tag, text + size, TAG);
	return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
	       EVP_CipherUpdate(c, out, &n, text, (int)size) == 1 &&
	       EVP_CipherFinal_ex(c, out + n, &end) == 1;
}

int ph_seal(const struct ph_master_keys *k, const char *table, const char *row, struct ph_str plain,
	struct ph_buf *out)
{
	EVP_CIPHER_CTX *c;
	uint8_t *p;
	bool ok;

	if (k->count == 0)
		return -PH_E_CONFIG;
	if (plain.n > TEXT_MAX)
		return -PH_E_BODY_TOO_LARGE;
	p = (uint8_t *)ph_buf_room(out, HEAD + plain.n + TAG);
	if (!p)
		return -PH_E_BODY_TOO_LARGE;
	p[0] = VERSION;
	memcpy(p + 1, k->id[0], ID);
	ph_rand(p + 1 + ID, NONCE);
	c = start(true, k->key[0], k->id[0], p + 1 + ID, table, row);
	ok = c && encrypt(c, plain, p + HEAD);
	EVP_CIPHER_CTX_free(c);
	if (!ok)
		return -PH_E_INTERNAL;
	ph_buf_wrote(out, HEAD + plain.n + TAG);
	return 0;
}

static int key_of(const struct ph_master_keys *k, const uint8_t id[ID])
{
	for (int i = 0; i < k->count; i++) {
		if (memcmp(k->id[i], id, ID) == 0)
			return i;
	}
	return -1;
}

int ph_unseal(const struct ph_master_keys *k, const char *table, const char *row, struct ph_str sealed,
	struct ph_buf *out, struct ph_err *err)
{
	const uint8_t *p = (const uint8_t *)sealed.p;
	char hex[2 * ID + 1];
	size_t size = sealed.n - HEAD - TAG;
	EVP_CIPHER_CTX *c;
	uint8_t *plain;
	int key;
	bool ok;

	if (sealed.n < HEAD + TAG || size > TEXT_MAX || p[0] != VERSION)
		return ph_fail(err, PH_E_CONFIG, "the secret of %s '%s' has an unknown form", table, row);
	key = key_of(k, p + 1);
	ph_hex(hex, p + 1, ID);
	if (key < 0)
		return ph_fail(err, PH_E_CONFIG,
			"the secret of %s '%s' is sealed with master key %s, which this node does not have",
			table, row, hex);
	plain = (uint8_t *)ph_buf_room(out, size);
	if (!plain)
		return ph_fail(err, PH_E_BODY_TOO_LARGE, "the secret of %s '%s' is too large", table, row);
	c = start(false, k->key[key], p + 1, p + 1 + ID, table, row);
	ok = c && decrypt(c, p + HEAD, size, plain);
	EVP_CIPHER_CTX_free(c);
	if (!ok) {
		OPENSSL_cleanse(plain, size); /* unauthenticated */
		return ph_fail(err, PH_E_CONFIG,
			"the secret of %s '%s' was changed or belongs to another row", table, row);
	}
	ph_buf_wrote(out, size);
	return 0;
}
