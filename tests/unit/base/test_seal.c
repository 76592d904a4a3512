/* SPDX-License-Identifier: Apache-2.0 */
/* key.c and seal.c. */
#include "ph_test.h"

#include "posthouse/crypt.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="

static struct ph_master_keys keys(const char *text)
{
	struct ph_master_keys k;
	struct ph_err err;

	assert_int_equal(ph_master_keys_parse(&k, ph_str_c(text), &err), 0);
	return k;
}

static void made_keys_are_well_formed(void **state)
{
	char key[PH_KEY_LEN + 1], other[PH_KEY_LEN + 1];

	(void)state;
	for (int i = 0; i < 100; i++) {
		ph_key_make(key);
		assert_int_equal(strlen(key), PH_KEY_LEN);
		assert_true(ph_key_well_formed(ph_str_c(key)));
	}
	ph_key_make(other);
	assert_string_not_equal(key, other);
	/* Python: zlib.crc32(b"ph_" + b"0" * 43) in base62. Other makers of keys must agree. */
	assert_true(ph_key_well_formed(PH_STR("ph_00000000000000000000000000000000000000000001W43vm")));
}

static void every_typo_is_refused(void **state)
{
	char key[PH_KEY_LEN + 2];

	(void)state;
	ph_key_make(key);
	for (size_t i = 0; i < PH_KEY_LEN; i++) {
		char right = key[i];

		for (int c = 0; c < 256; c++) {
			key[i] = (char)c;
			assert_int_equal(ph_key_well_formed(ph_str(key, PH_KEY_LEN)), key[i] == right);
		}
		key[i] = right;
		assert_false(ph_key_well_formed(ph_str(key, i)));
	}
	key[PH_KEY_LEN] = '0';
	assert_false(ph_key_well_formed(ph_str(key, PH_KEY_LEN + 1)));
	assert_false(ph_key_well_formed(PH_STR_NONE));
}

static void master_keys(void **state)
{
	static const char *const bad[] = {"", " ", ",", "," KEY_A, "AAEC", KEY_A "," KEY_A "x", "not base64",
		KEY_A "," KEY_A "," KEY_A "," KEY_A "," KEY_A "," KEY_A "," KEY_A "," KEY_A "," KEY_A};
	struct ph_master_keys k = keys(" " KEY_A " , " KEY_B "\n");
	struct ph_err err;

	(void)state;
	assert_int_equal(k.count, 2);
	for (int i = 0; i < 32; i++)
		assert_int_equal(k.key[0][i], i);
	assert_memory_not_equal(k.id[0], k.id[1], 8);
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		err.code = 0;
		assert_int_equal(ph_master_keys_parse(&k, ph_str_c(bad[i]), &err), -PH_E_CONFIG);
		assert_int_equal(err.code, PH_E_CONFIG);
		assert_null(strstr(err.detail, "AAEC"));
	}
	assert_int_equal(k.count, 2);
}

static void seal(const struct ph_master_keys *k, struct ph_str plain, struct ph_buf *out)
{
	ph_buf_init(out, 10000);
	assert_int_equal(ph_seal(k, "accounts", "7", plain, out), 0);
}

static void sealed_secrets_open_again(void **state)
{
	struct ph_master_keys one = keys(KEY_A), both = keys(KEY_B "," KEY_A), other = keys(KEY_B);
	struct ph_buf sealed, again, out;
	struct ph_err err;

	(void)state;
	seal(&one, PH_STR("sk-secret"), &sealed);
	assert_int_equal(sealed.n, 1 + 8 + 12 + 9 + 16);
	assert_int_equal(sealed.p[0], 1);
	assert_memory_equal(sealed.p + 1, one.id[0], 8);
	seal(&one, PH_STR("sk-secret"), &again);
	assert_memory_not_equal(sealed.p, again.p, sealed.n);
	ph_buf_init(&out, 100);
	ph_buf_puts(&out, PH_STR("before "));
	assert_int_equal(ph_unseal(&both, "accounts", "7", ph_buf_str(&sealed), &out, &err), 0);
	ph_assert_str(ph_buf_str(&out), PH_STR("before sk-secret"));
	assert_int_equal(ph_unseal(&other, "accounts", "7", ph_buf_str(&sealed), &out, &err), -PH_E_CONFIG);
	assert_int_equal(ph_unseal(&one, "accounts", "8", ph_buf_str(&sealed), &out, &err), -PH_E_CONFIG);
	assert_int_equal(ph_unseal(&one, "account", "s7", ph_buf_str(&sealed), &out, &err), -PH_E_CONFIG);
	ph_assert_str(ph_buf_str(&out), PH_STR("before sk-secret"));
	ph_buf_deinit(&out);
	ph_buf_deinit(&sealed);
	ph_buf_deinit(&again);
}

static void nothing_and_much_can_be_sealed(void **state)
{
	struct ph_master_keys k = keys(KEY_A), none = {.count = 0};
	struct ph_buf sealed, out;
	struct ph_err err;
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text));
	ph_buf_init(&out, 5000);
	seal(&k, PH_STR_NONE, &sealed);
	assert_int_equal(ph_unseal(&k, "accounts", "7", ph_buf_str(&sealed), &out, &err), 0);
	assert_int_equal(out.n, 0);
	ph_buf_deinit(&sealed);
	seal(&k, ph_str(text, sizeof(text)), &sealed);
	assert_int_equal(ph_unseal(&k, "accounts", "7", ph_buf_str(&sealed), &out, &err), 0);
	ph_assert_str(ph_buf_str(&out), ph_str(text, sizeof(text)));
	assert_int_equal(
		ph_unseal(&k, "accounts", "7", ph_buf_str(&sealed), &out, &err), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_seal(&none, "accounts", "7", PH_STR("x"), &sealed), -PH_E_CONFIG);
	ph_buf_deinit(&sealed);
	ph_buf_deinit(&out);
}

static void every_changed_bit_is_noticed(void **state)
{
	struct ph_master_keys k = keys(KEY_A);
	struct ph_buf sealed, out;
	struct ph_err err;

	(void)state;
	seal(&k, PH_STR("secret"), &sealed);
	ph_buf_init(&out, 100);
	for (size_t i = 0; i < sealed.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			sealed.p[i] = (char)(sealed.p[i] ^ 1 << bit);
			assert_int_equal(ph_unseal(&k, "accounts", "7", ph_buf_str(&sealed), &out, &err),
				-PH_E_CONFIG);
			sealed.p[i] = (char)(sealed.p[i] ^ 1 << bit);
		}
		assert_int_equal(
			ph_unseal(&k, "accounts", "7", ph_str(sealed.p, i), &out, &err), -PH_E_CONFIG);
	}
	assert_int_equal(out.n, 0);
	assert_int_equal(ph_unseal(&k, "accounts", "7", PH_STR_NONE, &out, &err), -PH_E_CONFIG);
	assert_int_equal(ph_unseal(&k, "accounts", "7", ph_buf_str(&sealed), &out, &err), 0);
	ph_buf_deinit(&sealed);
	ph_buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_keys_are_well_formed),
		cmocka_unit_test(every_typo_is_refused),
		cmocka_unit_test(master_keys),
		cmocka_unit_test(sealed_secrets_open_again),
		cmocka_unit_test(nothing_and_much_can_be_sealed),
		cmocka_unit_test(every_changed_bit_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
