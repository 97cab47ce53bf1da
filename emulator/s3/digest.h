/*
 * Several digests of one stream of bytes: MD5 for the ETag, SHA-256 for
 * x-amz-content-sha256, and the x-amz-checksum-* of S3.
 *
 *	struct digests d;
 *	digests_init(&d, DIGEST_BIT(DIGEST_MD5) | DIGEST_BIT(DIGEST_CRC32));
 *	digests_update(&d, data, len);   any number of times
 *	len = digests_end(&d, DIGEST_MD5, out);
 *	digests_done(&d);
 */
#ifndef MH_EMULATOR_S3_DIGEST_H
#define MH_EMULATOR_S3_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_kind {
	DIGEST_MD5,
	DIGEST_SHA1,
	DIGEST_SHA256,
	DIGEST_CRC32,
	DIGEST_CRC32C,
	DIGEST_CRC64NVME,
	DIGEST_COUNT
};
#define DIGEST_BIT(kind) (1u << (kind))
#define DIGEST_MAX_SIZE  32

/* How S3 names a checksum. */
struct checksum_name {
	enum digest_kind kind;
	const char *header; /* "x-amz-checksum-crc32" */
	const char *algorithm; /* "CRC32" */
	const char *element; /* "ChecksumCRC32" */
	size_t size; /* bytes */
};
#define CHECKSUM_COUNT 5
extern const struct checksum_name checksum_names[CHECKSUM_COUNT];
const struct checksum_name *checksum_by_header(const char *header); /* any case; NULL */
const struct checksum_name *checksum_by_algorithm(const char *algorithm);

struct digests {
	unsigned wanted; /* DIGEST_BITs */
	void *evp[DIGEST_COUNT]; /* EVP_MD_CTX of the first three */
	uint64_t crc[DIGEST_COUNT];
};

void digests_init(struct digests *d, unsigned wanted);
void digests_update(struct digests *d, const void *data, size_t len);
/* Big-endian bytes into out; answers how many. The digest takes no more bytes. */
size_t digests_end(struct digests *d, enum digest_kind kind,
		   unsigned char out[DIGEST_MAX_SIZE]);
void digests_done(struct digests *d);

bool digest_is_crc(enum digest_kind kind);
/* The CRC of a followed by b, from both and the length of b; big-endian bytes as
 * digests_end gives them. */
void digest_crc_join(enum digest_kind kind, unsigned char a[DIGEST_MAX_SIZE],
		     const unsigned char b[DIGEST_MAX_SIZE], int64_t b_len);

#endif
