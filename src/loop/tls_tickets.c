/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that session tickets of clients are sealed with. They live in memory that is shared by all
 * processes forked after it was mapped, so that a client resumes its session at whichever worker the kernel
 * gives its next connection to; and they outlive every context, so that a renewed certificate costs nobody
 * his session.
 *
 * There is a new key every KEY_LIFE_MS, made by the first process that issues a ticket after that: it wins
 * the period by exchanging `due_ms`, writes the key and publishes its number. A winner that is killed in
 * between leaves the old key in use for one more period. The key before the newest is still accepted; the
 * slot that is written is the one of the key before that, which nobody has used for a whole period.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "posthouse/clock.h"
#include "posthouse/crypt.h"

#include "tls_priv.h"

#define KEY_LIFE_MS ((uint64_t)SESSION_LIFE_S * 1000)
/* A ticket is at most as old as the two keys that are accepted: no live session is refused for its key. */
#define SESSION_LIFE_S 7200
#define KEYS           3

#define NAME_SIZE      16
#define IV_SIZE        16 /* of AES in CBC mode */

struct ticket_key {
	unsigned char name[NAME_SIZE];
	unsigned char cipher[32], mac[32];
};

/* Owner: whoever made it; shared with children. */
struct ph_tls_tickets {
	_Atomic uint64_t due_ms; /* ph_clock_boot_ms() */
	atomic_uint newest;      /* number of the newest key */
	struct ticket_key key[KEYS];
};

static void make_key(struct ph_tls_tickets *t, unsigned number)
{
	ph_rand(&t->key[number % KEYS], sizeof(t->key[0]));
	atomic_store(&t->newest, number);
}

struct ph_tls_tickets *ph_tls_tickets_new(void)
{
	struct ph_tls_tickets *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (t == MAP_FAILED)
		ph_die("no shared memory for the keys of session tickets");
	for (unsigned i = 0; i < KEYS; i++)
		make_key(t, i);
	atomic_store(&t->due_ms, ph_clock_boot_ms() + KEY_LIFE_MS);
	return t;
}

struct ph_tls_tickets *ph_tls_tickets_free(struct ph_tls_tickets *t)
{
	if (t) {
		explicit_bzero(t, sizeof(*t));
		munmap(t, sizeof(*t));
	}
	return NULL;
}

void ph_tls_tickets_renew(struct ph_tls_tickets *t, uint64_t now_ms)
{
	uint64_t due = atomic_load(&t->due_ms);

	if (now_ms >= due && atomic_compare_exchange_strong(&t->due_ms, &due, now_ms + KEY_LIFE_MS))
		make_key(t, atomic_load(&t->newest) + 1);
}

static const struct ticket_key *key_of(const struct ph_tls_tickets *t, unsigned number)
{
	return &t->key[number % KEYS];
}

static bool has_name(const struct ticket_key *key, const unsigned char *name)
{
	return memcmp(key->name, name, NAME_SIZE) == 0;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	char digest[] = "SHA256";
	unsigned char bytes[sizeof(key->mac)];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, bytes, sizeof(bytes)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	bool ok;

	memcpy(bytes, key->mac, sizeof(bytes)); /* params are not const */
	ok = EVP_MAC_CTX_set_params(mac, params) == 1;
	explicit_bzero(bytes, sizeof(bytes));
	return ok;
}

/* What OpenSSL wants to hear: 1 go on; 2 the same, and issue a fresh ticket; 0 no such key; -1 a fault. */
static int on_ticket(
	SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	struct ph_tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct ticket_key *key;
	unsigned newest;

	ph_tls_tickets_renew(t, ph_clock_boot_ms());
	newest = atomic_load(&t->newest);
	key = key_of(t, newest);
	if (seal) {
		memcpy(name, key->name, NAME_SIZE);
		ph_rand(iv, IV_SIZE);
		return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) &&
				       set_mac(mac, key)
			       ? 1
			       : -1;
	}
	if (!has_name(key, name))
		key = key_of(t, newest + KEYS - 1);
	if (!has_name(key, name))
		return 0;
	if (!EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) || !set_mac(mac, key))
		return -1;
	return key == key_of(t, newest) ? 1 : 2;
}

void ph_tls_tickets_use(struct ph_tls_tickets *t, SSL_CTX *ctx)
{
	static const unsigned char context[] = "posthouse";

	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_timeout(ctx, SESSION_LIFE_S);
	/* the same in every context: a session of one is welcome in the next */
	SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1);
}
