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

/* A byte at a time, by its halves: two lookups that need not wait for each other. */
static uint32_t crc32_of(const char *p, size_t n)
{
	static const uint32_t low[16] = {0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419,
		0x706af48f, 0xe963a535, 0x9e6495a3, 0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988,
		0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91};
	static const uint32_t high[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190,
		0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t)p[i];
		crc = crc >> 8 ^ low[crc & 15] ^ high[crc >> 4 & 15];
	}
	return ~crc;
}

static bool is_base62(char c)
{
	char letter = (char)(c | 0x20);

	return (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z');
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
		if (!is_base62(key.p[i]))
			return false;
	}
	checksum(key.p, expected);
	return memcmp(expected, key.p + PREFIX + SECRET, CHECKSUM) == 0;
}
