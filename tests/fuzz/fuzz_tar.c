/*
 * The tar reader. The headers' checksums are mended first, or nearly every mutation would
 * end at one; an input of odd length goes through gzip besides.
 */
#include <stdio.h>

#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/unpacking.h"

#define BLOCK        512
#define MAGIC_AT     257
#define CHECKSUM_AT  148
#define CHECKSUM_LEN 8
#define INPUT_MAX    (64 * 1024)

static void mend_checksums(uint8_t *data, size_t size)
{
	for (uint8_t *b = data; size >= BLOCK; b += BLOCK, size -= BLOCK) {
		unsigned sum = 0;
		char octal[CHECKSUM_LEN];

		if (memcmp(b + MAGIC_AT, "ustar", 5) != 0)
			continue;
		memset(b + CHECKSUM_AT, ' ', CHECKSUM_LEN);
		for (size_t i = 0; i < BLOCK; i++)
			sum += b[i];
		(void)snprintf(octal, sizeof(octal), "%06o", sum & 0777777);
		memcpy(b + CHECKSUM_AT, octal, 7);
	}
}

/* One gzip member. */
static void try_gzipped(uint8_t *data, size_t size)
{
	uint8_t packed[INPUT_MAX + 1024];
	z_stream z = { .next_in = data,
		       .avail_in = (uInt)size,
		       .next_out = packed,
		       .avail_out = sizeof(packed) };
	int fd;

	MH_ASSERT(deflateInit2(&z, 1, Z_DEFLATED, 9 + 16, 1, Z_DEFAULT_STRATEGY) == Z_OK);
	MH_ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END);
	(void)deflateEnd(&z); /* only frees */
	fd = unpacking_file(packed, sizeof(packed) - z.avail_out);
	(void)unpacking_try(fd); /* either is right */
	(void)close(fd); /* only read */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size < INPUT_MAX ? size : INPUT_MAX };
	CLEAN(fd) int fd = -1;
	CLEAN(free) char *copy = NULL;

	size = in.left;
	copy = fuzz_rest(&in);
	mend_checksums((uint8_t *)copy, size);
	fd = unpacking_file(copy, size);
	(void)unpacking_try(fd); /* either is right */
	if (size % 2)
		try_gzipped((uint8_t *)copy, size);
	return 0;
}
