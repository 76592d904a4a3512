/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed bodies: whole, cut anywhere, in several members, damaged, cut short, and far larger than they
 * look. */
#include "ph_test.h"

#include "posthouse/zip.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <zlib.h>

#define MAX  ((size_t)1 << 20)

#define TEXT "{\"model\":\"m\",\"input\":\"hello hello hello hello hello hello\"}"

static void gzip(struct ph_buf *b, struct ph_str plain)
{
	z_stream z = {0};
	char *to = ph_buf_room(b, plain.n + plain.n / 8 + 100);

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)plain.p;
	z.avail_in = (uInt)plain.n;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)(plain.n + plain.n / 8 + 100);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	ph_buf_wrote(b, z.total_out);
	deflateEnd(&z);
}

static void zstd(struct ph_buf *b, struct ph_str plain)
{
	assert_int_equal(ph_zstd_pack(plain, b), 0);
}

struct how {
	enum ph_encoding encoding;
	size_t max;
};

static void unzip(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	const struct how *how = arg;
	struct ph_buf out;
	struct ph_unzip *u;
	int r = 0;

	ph_buf_init(&out, how->max);
	u = ph_unzip_new(how->encoding, &out);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = ph_unzip_feed(u, pieces[i]);
	if (r == 0)
		r = ph_unzip_finish(u);
	if (r == 0)
		ph_buf_puts(log, ph_buf_str(&out));
	else
		ph_buf_puts(log, ph_str_c(ph_err_info(r)->name));
	u = ph_unzip_free(u);
	ph_buf_deinit(&out);
}

static void check(enum ph_encoding encoding, size_t max, struct ph_str input, struct ph_str expected)
{
	struct how how = {encoding, max};
	struct ph_buf log;

	ph_buf_init(&log, (size_t)64 << 20);
	unzip(&input, 1, &log, &how);
	ph_assert_str(ph_buf_str(&log), expected);
	ph_buf_deinit(&log);
	if (input.n < 2000)
		ph_test_cuts(input, unzip, &how);
}

static void test_encodings(void **state)
{
	static const struct {
		struct ph_str value;
		int encoding;
	} values[] = {
		{PH_STR(""), PH_IDENTITY},
		{PH_STR("identity"), PH_IDENTITY},
		{PH_STR("gzip"), PH_GZIP},
		{PH_STR("X-GZip"), PH_GZIP},
		{PH_STR("ZSTD"), PH_ZSTD},
		{PH_STR(" gzip\t"), PH_GZIP},
		{PH_STR("br"), -1},
		{PH_STR("deflate"), -1},
		{PH_STR("gzip, zstd"), -1},
		{PH_STR("gzip,"), -1},
		{PH_STR("gzip\0"), -1},
		{PH_STR("gzi"), -1},
		{PH_STR("*"), -1},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(values); i++) {
		enum ph_encoding e = PH_ZSTD;
		int r = ph_encoding_parse(values[i].value, &e);

		assert_int_equal(r, values[i].encoding < 0 ? -PH_E_ENCODING_UNKNOWN : 0);
		if (r == 0)
			assert_int_equal(e, values[i].encoding);
	}
}

typedef void packer(struct ph_buf *b, struct ph_str plain);

static void both(void (*test)(enum ph_encoding encoding, packer *pack))
{
	test(PH_GZIP, gzip);
	test(PH_ZSTD, zstd);
}

static void one_body(enum ph_encoding encoding, packer *pack)
{
	struct ph_buf b;

	ph_buf_init(&b, 1 << 20);
	pack(&b, PH_STR(TEXT));
	check(encoding, MAX, ph_buf_str(&b), PH_STR(TEXT));
	check(encoding, sizeof(TEXT) - 1, ph_buf_str(&b), PH_STR(TEXT)); /* the cap exactly */
	check(encoding, sizeof(TEXT) - 2, ph_buf_str(&b), PH_STR("BODY_TOO_LARGE"));
	check(encoding, 0, ph_buf_str(&b), PH_STR("BODY_TOO_LARGE"));
	/* an empty body is one that was packed, not one that is missing */
	ph_buf_reset(&b);
	pack(&b, PH_STR(""));
	check(encoding, MAX, ph_buf_str(&b), PH_STR(""));
	check(encoding, 0, ph_buf_str(&b), PH_STR(""));
	check(encoding, MAX, PH_STR(""), PH_STR("ENCODING_BAD"));
	ph_buf_deinit(&b);
}

static void members(enum ph_encoding encoding, packer *pack)
{
	struct ph_buf b;

	ph_buf_init(&b, 1 << 20);
	pack(&b, PH_STR("one "));
	pack(&b, PH_STR(""));
	pack(&b, PH_STR("two"));
	check(encoding, MAX, ph_buf_str(&b), PH_STR("one two"));
	check(encoding, 7, ph_buf_str(&b), PH_STR("one two"));
	check(encoding, 6, ph_buf_str(&b), PH_STR("BODY_TOO_LARGE"));
	ph_buf_deinit(&b);
}

static void cut_short(enum ph_encoding encoding, packer *pack)
{
	struct ph_buf b;

	ph_buf_init(&b, 1 << 20);
	pack(&b, PH_STR(TEXT));
	for (size_t n = 1; n < b.n; n++) {
		struct how how = {encoding, MAX};
		struct ph_buf log;

		ph_buf_init(&log, 4096);
		unzip(&(struct ph_str){b.p, n}, 1, &log, &how);
		ph_assert_str(ph_buf_str(&log), PH_STR("ENCODING_BAD"));
		ph_buf_deinit(&log);
	}
	ph_buf_deinit(&b);
}

static void garbage_behind(enum ph_encoding encoding, packer *pack)
{
	static const struct ph_str tails[] = {PH_STR("x"), PH_STR("\0"), PH_STR("\0\0\0\0\0\0\0\0\0\0"),
		PH_STR("\x1f"), PH_STR("\x28\xb5\x2f"), PH_STR("{\"model\":\"evil\"}\n\n")};

	for (size_t i = 0; i < PH_COUNT(tails); i++) {
		struct ph_buf b;

		ph_buf_init(&b, 1 << 20);
		pack(&b, PH_STR(TEXT));
		ph_buf_puts(&b, tails[i]);
		check(encoding, MAX, ph_buf_str(&b), PH_STR("ENCODING_BAD"));
		ph_buf_deinit(&b);
	}
}

/* A damaged byte gives an error or, where nothing checks it (a gzip header), the same bytes. zstd has no
 * checksum here: it must only not crash. */
static void damaged(enum ph_encoding encoding, packer *pack)
{
	struct how how = {encoding, MAX};
	struct ph_buf b;
	size_t refused = 0;

	ph_buf_init(&b, 1 << 20);
	pack(&b, PH_STR(TEXT));
	for (size_t i = 0; i < b.n; i++) {
		struct ph_buf log;

		ph_buf_init(&log, MAX);
		b.p[i] = (char)(b.p[i] ^ 0x55);
		unzip(&(struct ph_str){b.p, b.n}, 1, &log, &how);
		b.p[i] = (char)(b.p[i] ^ 0x55);
		refused += ph_str_eq(ph_buf_str(&log), PH_STR("ENCODING_BAD"));
		if (encoding == PH_GZIP && !ph_str_eq(ph_buf_str(&log), PH_STR(TEXT)))
			ph_assert_str(ph_buf_str(&log), PH_STR("ENCODING_BAD"));
		ph_buf_deinit(&log);
	}
	assert_true(
		refused >= (encoding == PH_GZIP ? b.n - 10 : 4)); /* all but the header; the magic number */
	ph_buf_deinit(&b);
}

static void other_formats(enum ph_encoding encoding, packer *pack)
{
	struct ph_buf b;

	(void)pack;
	ph_buf_init(&b, 1 << 20);
	(encoding == PH_GZIP ? zstd : gzip)(&b, PH_STR(TEXT));
	check(encoding, MAX, ph_buf_str(&b), PH_STR("ENCODING_BAD"));
	check(encoding, MAX, PH_STR("{\"model\":\"m\"}"), PH_STR("ENCODING_BAD"));
	/* zlib's wrapping of an empty body */
	check(encoding, MAX, PH_STR("\x78\x9c\x03\x00\x00\x00\x00\x01"), PH_STR("ENCODING_BAD"));
	ph_buf_deinit(&b);
}

static long peak_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

/* 256 MiB of zeros, in 256 members of a few KiB or less: what comes out stops at the cap, and memory with it.
 */
static void bomb(enum ph_encoding encoding, packer *pack)
{
	static const char zeros[1 << 20];
	struct ph_buf one, packed, out;
	struct ph_unzip *u;
	long before;
	int r = 0;

	ph_buf_init(&one, 4 << 20);
	ph_buf_init(&packed, (size_t)8 << 20);
	pack(&one, ph_str(zeros, sizeof(zeros)));
	for (int i = 0; i < 256; i++)
		ph_buf_puts(&packed, ph_buf_str(&one));
	ph_buf_deinit(&one);
	before = peak_kib();
	ph_buf_init(&out, MAX * 3 + 1);
	u = ph_unzip_new(encoding, &out);
	for (size_t at = 0; r == 0 && at < packed.n; at += 1000)
		r = ph_unzip_feed(u, ph_str(packed.p + at, packed.n - at < 1000 ? packed.n - at : 1000));
	assert_int_equal(r, -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_unzip_feed(u, PH_STR("x")), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_unzip_finish(u), -PH_E_BODY_TOO_LARGE);
	assert_true(out.n <= out.max);
	print_message("bomb of 256 MiB (%zu KiB packed): peak grew by %ld KiB\n", packed.n >> 10,
		peak_kib() - before);
	assert_true(peak_kib() - before < 64 * 1024);
	u = ph_unzip_free(u);
	ph_buf_deinit(&out);
	ph_buf_deinit(&packed);
}

static void large(enum ph_encoding encoding, packer *pack)
{
	const size_t size = (size_t)3 << 20;
	char *plain = malloc(size);
	struct ph_buf packed;
	uint64_t seed = 5;

	for (size_t i = 0; i < size; i++)
		plain[i] = (char)(ph_test_random(&seed) & 0x1f);
	ph_buf_init(&packed, (size_t)8 << 20);
	pack(&packed, ph_str(plain, size));
	check(encoding, size, ph_buf_str(&packed), ph_str(plain, size));
	check(encoding, size - 1, ph_buf_str(&packed), PH_STR("BODY_TOO_LARGE"));
	ph_buf_deinit(&packed);
	free(plain);
}

static void test_one_body(void **state)
{
	(void)state;
	both(one_body);
}

static void test_members(void **state)
{
	(void)state;
	both(members);
}

static void test_cut_short(void **state)
{
	(void)state;
	both(cut_short);
}

static void test_garbage_behind(void **state)
{
	(void)state;
	both(garbage_behind);
}

static void test_damaged(void **state)
{
	(void)state;
	both(damaged);
}

static void test_other_formats(void **state)
{
	(void)state;
	both(other_formats);
}

static void test_bomb(void **state)
{
	(void)state;
	both(bomb);
}

static void test_large(void **state)
{
	(void)state;
	both(large);
}

static void test_identity(void **state)
{
	(void)state;
	check(PH_IDENTITY, MAX, PH_STR(TEXT), PH_STR(TEXT));
	check(PH_IDENTITY, MAX, PH_STR(""), PH_STR(""));
	check(PH_IDENTITY, sizeof(TEXT) - 2, PH_STR(TEXT), PH_STR("BODY_TOO_LARGE"));
}

/* A frame may ask for a window of gigabytes before its first byte: refused above 128 MiB. */
static void test_zstd_window(void **state)
{
	static const struct ph_str window_128m =
		PH_STR("\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00"); /* empty last block */
	static const struct ph_str window_256m = PH_STR("\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00");

	(void)state;
	check(PH_ZSTD, MAX, window_128m, PH_STR(""));
	check(PH_ZSTD, MAX, window_256m, PH_STR("ENCODING_BAD"));
}

/* An empty frame of zstd 0.7, which libzstd would take whole and refuse in pieces; and a skippable frame. */
static void test_zstd_other_frames(void **state)
{
	static const struct ph_str old = PH_STR("\x27\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\0\xff\x40\x01");
	static const struct ph_str skippable = PH_STR("\x50\x2a\x4d\x18\x02\0\0\0hi");
	struct ph_buf b;

	(void)state;
	check(PH_ZSTD, MAX, old, PH_STR("ENCODING_BAD"));
	check(PH_ZSTD, MAX, skippable, PH_STR("ENCODING_BAD"));
	ph_buf_init(&b, MAX);
	zstd(&b, PH_STR(TEXT));
	ph_buf_puts(&b, old);
	check(PH_ZSTD, MAX, ph_buf_str(&b), PH_STR("ENCODING_BAD"));
	ph_buf_deinit(&b);
}

/* ---- snapshots ---- */

static void test_pack(void **state)
{
	struct ph_buf packed, out;

	(void)state;
	ph_buf_init(&packed, MAX);
	ph_buf_init(&out, MAX);
	ph_buf_puts(&packed, PH_STR("head"));
	assert_int_equal(ph_zstd_pack(PH_STR(TEXT), &packed), 0);
	ph_buf_puts(&out, PH_STR("<"));
	assert_int_equal(ph_zstd_unpack(ph_str_from(ph_buf_str(&packed), 4), &out), 0);
	assert_int_equal(out.n, sizeof(TEXT));
	assert_memory_equal(out.p + 1, TEXT, sizeof(TEXT) - 1);
	ph_buf_deinit(&packed);
	ph_buf_deinit(&out);
}

static void test_pack_nothing(void **state)
{
	struct ph_buf packed, out;

	(void)state;
	ph_buf_init(&packed, MAX);
	ph_buf_init(&out, MAX);
	assert_int_equal(ph_zstd_pack(PH_STR_NONE, &packed), 0);
	assert_int_equal(ph_zstd_unpack(ph_buf_str(&packed), &out), 0);
	assert_int_equal(out.n, 0);
	ph_buf_deinit(&packed);
	ph_buf_deinit(&out);
}

static void test_pack_room(void **state)
{
	struct ph_buf b;
	size_t bound = ph_zstd_bound(1000);
	char plain[1000] = {0};

	(void)state;
	for (size_t less = 0; less < 2; less++) {
		ph_buf_init(&b, bound - less);
		assert_int_equal(
			ph_zstd_pack(ph_str(plain, sizeof(plain)), &b), less ? -PH_E_BODY_TOO_LARGE : 0);
		ph_buf_deinit(&b);
	}
}

static void *pack_in_a_thread(void *arg)
{
	struct ph_buf packed, out;

	ph_buf_init(&packed, MAX);
	ph_buf_init(&out, MAX);
	*(int *)arg = ph_zstd_pack(PH_STR(TEXT), &packed) | ph_zstd_unpack(ph_buf_str(&packed), &out) |
		      (ph_str_eq(ph_buf_str(&out), PH_STR(TEXT)) ? 0 : 1);
	ph_buf_deinit(&packed);
	ph_buf_deinit(&out);
	return NULL;
}

/* Each thread has contexts of its own, and they go with it (LeakSanitizer sees to that). */
static void test_pack_in_threads(void **state)
{
	pthread_t threads[4];
	int results[4] = {-1, -1, -1, -1};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pack_in_a_thread, &results[i]), 0);
	for (size_t i = 0; i < PH_COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
}

static void test_unpack_refuses(void **state)
{
	struct ph_buf packed, out;

	(void)state;
	ph_buf_init(&packed, MAX);
	assert_int_equal(ph_zstd_pack(PH_STR(TEXT), &packed), 0);
	ph_buf_init(&out, sizeof(TEXT) - 2);
	assert_int_equal(ph_zstd_unpack(ph_buf_str(&packed), &out), -PH_E_BODY_TOO_LARGE);
	ph_buf_deinit(&out);
	ph_buf_init(&out, MAX);
	for (size_t n = 0; n < packed.n; n++)
		assert_int_equal(ph_zstd_unpack(ph_str(packed.p, n), &out), -PH_E_ENCODING_BAD);
	ph_buf_putc(&packed, 'x');
	assert_int_equal(ph_zstd_unpack(ph_buf_str(&packed), &out), -PH_E_ENCODING_BAD);
	assert_int_equal(ph_zstd_unpack(PH_STR(TEXT), &out), -PH_E_ENCODING_BAD);
	/* a length that is a lie costs nothing: 2^62 bytes */
	assert_int_equal(ph_zstd_unpack(PH_STR("\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x40\x01\0\0"), &out),
		-PH_E_BODY_TOO_LARGE);
	assert_int_equal(out.n, 0);
	ph_buf_deinit(&packed);
	ph_buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_one_body),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_garbage_behind),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_zstd_window),
		cmocka_unit_test(test_zstd_other_frames),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_pack_nothing),
		cmocka_unit_test(test_pack_room),
		cmocka_unit_test(test_pack_in_threads),
		cmocka_unit_test(test_unpack_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
