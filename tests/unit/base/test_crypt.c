/* SPDX-License-Identifier: Apache-2.0 */
/* rand.c, digest.c and encode.c. */
#include "ph_test.h"

#include "posthouse/crypt.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void random_ids(void **state)
{
	unsigned seen[256] = {0};
	char id[101];

	(void)state;
	for (int i = 0; i < 620; i++) {
		ph_rand_id(id, 100);
		assert_int_equal(strlen(id), 100);
		for (int j = 0; j < 100; j++)
			seen[(unsigned char)id[j]]++;
	}
	for (int c = 1; c < 256; c++) {
		bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		/* 1000 expected; six standard deviations are 190 */
		assert_in_range(seen[c], letter ? 800 : 0, letter ? 1200 : 0);
	}
	ph_rand_id(id, 0);
	assert_string_equal(id, "");
}

static void a_child_has_other_randomness(void **state)
{
	int fd[2], status;
	uint64_t here, there = 0;
	pid_t pid;

	(void)state;
	ph_rand_u64();
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		there = ph_rand_u64();
		_exit(write(fd[1], &there, sizeof(there)) != sizeof(there));
	}
	here = ph_rand_u64();
	assert_int_equal(read(fd[0], &there, sizeof(there)), sizeof(there));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(here != there);
	close(fd[0]);
	close(fd[1]);
}

static void sha256(void **state)
{
	uint8_t digest[32];
	char hex[65];

	(void)state;
	ph_sha256(PH_STR("abc"), digest);
	ph_hex(hex, digest, 32);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ph_sha256(PH_STR_NONE, digest);
	ph_hex(hex, digest, 32);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_true(ph_equal("abc", "abc", 3));
	assert_false(ph_equal("abc", "abd", 3));
}

static void sha1(void **state)
{
	uint8_t digest[20];
	char hex[41];

	(void)state;
	ph_sha1(PH_STR("abc"), digest);
	ph_hex(hex, digest, 20);
	assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
	ph_sha1(PH_STR_NONE, digest);
	ph_hex(hex, digest, 20);
	assert_string_equal(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void hash64_is_stable_and_spreads(void **state)
{
	unsigned buckets[64] = {0};
	char text[32];

	(void)state;
	/* Written down once: other versions and byte orders must agree. */
	assert_true(ph_hash64(PH_STR("resp_0123456789"), 42) == UINT64_C(0x2656d464c649877b));
	assert_true(ph_hash64(PH_STR_NONE, 0) == UINT64_C(0xb98b148f3731bb98));
	assert_true(ph_hash64(PH_STR("a"), 0) != ph_hash64(PH_STR("a"), 1));
	assert_true(ph_hash64(PH_STR("a"), 0) != ph_hash64(PH_STR("a\0"), 0));
	for (int i = 0; i < 6400; i++) {
		snprintf(text, sizeof(text), "resp_%d", i);
		buckets[ph_hash64(ph_str_c(text), 7) % 64]++;
	}
	for (int i = 0; i < 64; i++)
		assert_in_range(buckets[i], 40, 160); /* 100 expected; six standard deviations */
}

static void hexadecimal(void **state)
{
	uint8_t bytes[3] = {0};

	(void)state;
	assert_true(ph_unhex(bytes, 3, PH_STR("00fFa9")));
	assert_memory_equal(bytes, "\x00\xff\xa9", 3);
	assert_false(ph_unhex(bytes, 3, PH_STR("00ffa")));
	assert_false(ph_unhex(bytes, 3, PH_STR("00ffa9a9")));
	assert_false(ph_unhex(bytes, 3, PH_STR("00ffag")));
	assert_false(ph_unhex(bytes, 3, PH_STR("00ff @")));
}

static void base64_both_ways(void **state)
{
	static const char *const known[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
	uint8_t out[16];
	struct ph_buf b;
	size_t n;

	(void)state;
	ph_buf_init(&b, 100);
	for (size_t i = 0; i < PH_COUNT(known); i++) {
		struct ph_str coded = ph_str_c(known[i][1]);

		ph_buf_reset(&b);
		assert_int_equal(ph_base64(&b, ph_str_c(known[i][0])), 0);
		ph_assert_str(ph_buf_str(&b), coded);
		assert_true(ph_unbase64(coded, out, sizeof(out), &n));
		ph_assert_str(ph_str((char *)out, n), ph_str_c(known[i][0]));
		while (ph_str_ends(coded, PH_STR("=")))
			coded.n--;
		assert_true(ph_unbase64(coded, out, sizeof(out), &n));
		ph_assert_str(ph_str((char *)out, n), ph_str_c(known[i][0]));
		ph_buf_reset(&b);
		assert_int_equal(ph_base64url(&b, ph_str_c(known[i][0])), 0);
		ph_assert_str(ph_buf_str(&b), coded);
	}
	ph_buf_reset(&b);
	ph_buf_puts(&b, PH_STR("+/="));
	assert_int_equal(ph_base64url(&b, PH_STR("\xfb\xff\xfe\xff")), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("+/=-__-_w")); /* what stood before stays */
	ph_buf_deinit(&b);
	ph_buf_init(&b, 3);
	assert_true(ph_base64url(&b, PH_STR("abcd")) < 0);
	ph_buf_deinit(&b);
}

static void base64_is_strict(void **state)
{
	static const char *const bad[] = {"Z", "Zg=", "Zg===", "Z===", "====", "=", "Zh==", "Zm9=", "Zm 9v",
		"Zm9v\n", "Zm-_", "Zg==Zg==", "Zm9vY"};
	uint8_t out[16];
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		assert_false(ph_unbase64(ph_str_c(bad[i]), out, sizeof(out), &n));
	assert_false(ph_unbase64(PH_STR("Zm9\0"), out, sizeof(out), &n));
	assert_false(ph_unbase64(PH_STR("Zm9vYmFy"), out, 5, &n));
	assert_int_equal(n, 99);
	assert_true(ph_unbase64(PH_STR("Zm9vYmFy"), out, 6, &n));
	assert_true(ph_unbase64(PH_STR("++//"), out, 3, &n));
	assert_memory_equal(out, "\xfb\xef\xff", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_ids),
		cmocka_unit_test(a_child_has_other_randomness),
		cmocka_unit_test(sha256),
		cmocka_unit_test(sha1),
		cmocka_unit_test(hash64_is_stable_and_spreads),
		cmocka_unit_test(hexadecimal),
		cmocka_unit_test(base64_both_ways),
		cmocka_unit_test(base64_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
