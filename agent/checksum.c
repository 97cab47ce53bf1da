#include "agent/checksum.h"

#include <endian.h>
#include <string.h>

#include "lib/base/str.h"

const char *const checksum_names[] = { "sha256", "crc64nvme", "crc32c", "crc32", NULL };

/* All three are of one form: reflected, begun with ones, inverted at the end. */
struct crc {
	const char *name;
	uint64_t polynomial; /* reflected */
	size_t size; /* bytes */
};
static const struct crc crcs[] = {
	{ "crc64nvme", UINT64_C(0x9a6c9329ac4bc9b5), 8 },
	{ "crc32c", 0x82f63b78, 4 },
	{ "crc32", 0xedb88320, 4 },
};

/* [k][b]: what byte b does to a CRC that k more bytes follow. One set per kind. */
static uint64_t tables[ARRAY_LEN(crcs)][8][256];

static void make_table(size_t kind)
{
	uint64_t(*t)[256] = tables[kind];

	if (t[0][1] != 0)
		return;
	for (uint64_t b = 0; b < 256; b++) {
		uint64_t v = b;

		for (int bit = 0; bit < 8; bit++)
			v = (v >> 1) ^ (v & 1 ? crcs[kind].polynomial : 0);
		t[0][b] = v;
	}
	for (size_t k = 1; k < 8; k++) {
		for (size_t b = 0; b < 256; b++)
			t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
	}
}

static uint64_t ones(const struct crc *crc)
{
	return crc->size == 8 ? UINT64_MAX : UINT32_MAX;
}

bool checksum_begin(struct checksum *c, const char *name)
{
	*c = (struct checksum){ 0 };
	if (strcmp(name, "sha256") == 0) {
		sha256_init(&c->sha256);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(crcs); i++) {
		if (strcmp(name, crcs[i].name) != 0)
			continue;
		make_table(i);
		c->crc = &crcs[i];
		c->value = ones(c->crc);
		return true;
	}
	return false;
}

static void update_crc(struct checksum *c, const unsigned char *p, size_t len)
{
	uint64_t(*t)[256] = tables[c->crc - crcs];
	uint64_t v = c->value;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t x;

		memcpy(&x, p, 8);
		x = le64toh(x) ^ v;
		v = t[7][x & 0xff] ^ t[6][(x >> 8) & 0xff] ^ t[5][(x >> 16) & 0xff] ^
		    t[4][(x >> 24) & 0xff] ^ t[3][(x >> 32) & 0xff] ^
		    t[2][(x >> 40) & 0xff] ^ t[1][(x >> 48) & 0xff] ^ t[0][x >> 56];
	}
	for (; len > 0; len--, p++)
		v = (v >> 8) ^ t[0][(v ^ *p) & 0xff];
	c->value = v;
}

void checksum_update(struct checksum *c, const void *data, size_t len)
{
	if (c->crc)
		update_crc(c, data, len);
	else
		sha256_update(&c->sha256, data, len);
}

char *checksum_end(struct checksum *c)
{
	unsigned char bytes[SHA256_SIZE];
	size_t size = SHA256_SIZE;

	if (c->crc) {
		uint64_t v = c->value ^ ones(c->crc);

		size = c->crc->size;
		for (size_t i = 0; i < size; i++) /* the high byte first */
			bytes[i] = (unsigned char)(v >> (8 * (size - 1 - i)));
	} else {
		sha256_final(&c->sha256, bytes);
	}
	return str_base64(bytes, size);
}
