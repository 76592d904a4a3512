/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of API keys. The checksum finds typing errors, it proves nothing: CRC-32 (the one of zlib and of
 * RFC 1952) of the 46 characters before it, as six base62 digits, the most significant first, in the order
 * 0-9 A-Z a-z.
 */
#include "posthouse/crypt.h"

#include "base_priv.h"

#define PREFIX   3
#define SECRET   43
#define CHECKSUM 6

static uint32_t crc32_of(const char *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t)p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

static void checksum(const char *key, char ret[CHECKSUM])
{
	uint32_t crc = crc32_of(key, PREFIX + SECRET);

	for (int i = CHECKSUM - 1; i >= 0; i--) {
		ret[i] = ph_base62[crc % 62];
		crc /= 62;
	}
}

void ph_key_make(char ret[PH_KEY_LEN + 1])
{
	_Static_assert(PREFIX + SECRET + CHECKSUM == PH_KEY_LEN, "parts of a key");
	memcpy(ret, "ph_", PREFIX);
	ph_rand_id(ret + PREFIX, SECRET);
	checksum(ret, ret + PREFIX + SECRET);
	ret[PH_KEY_LEN] = '\0';
}

bool ph_key_well_formed(struct ph_str key)
{
	char expected[CHECKSUM];

	if (key.n != PH_KEY_LEN || !ph_str_starts(key, PH_STR("ph_")))
		return false;
	for (size_t i = PREFIX; i < key.n; i++) {
		if (!memchr(ph_base62, key.p[i], 62))
			return false;
	}
	checksum(key.p, expected);
	return memcmp(expected, key.p + PREFIX + SECRET, CHECKSUM) == 0;
}
