#include "emulator/s3/digest.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "lib/base/macros.h"

const struct checksum_name checksum_names[CHECKSUM_COUNT] = {
	{ DIGEST_CRC32, "x-amz-checksum-crc32", "CRC32", "ChecksumCRC32", 4 },
	{ DIGEST_CRC32C, "x-amz-checksum-crc32c", "CRC32C", "ChecksumCRC32C", 4 },
	{ DIGEST_CRC64NVME, "x-amz-checksum-crc64nvme", "CRC64NVME", "ChecksumCRC64NVME",
	  8 },
	{ DIGEST_SHA1, "x-amz-checksum-sha1", "SHA1", "ChecksumSHA1", 20 },
	{ DIGEST_SHA256, "x-amz-checksum-sha256", "SHA256", "ChecksumSHA256", 32 },
};

const struct checksum_name *checksum_by_header(const char *header)
{
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		if (strcasecmp(header, checksum_names[i].header) == 0)
			return &checksum_names[i];
	return NULL;
}

const struct checksum_name *checksum_by_algorithm(const char *algorithm)
{
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		if (strcasecmp(algorithm, checksum_names[i].algorithm) == 0)
			return &checksum_names[i];
	return NULL;
}

/*
 * All three CRCs are of the reflected kind with all bits set before and flipped
 * after, so one routine serves them: eight tables, eight bytes a step.
 */
static const struct {
	enum digest_kind kind;
	uint64_t polynomial; /* reflected */
	uint64_t ones;
} crc_kinds[] = {
	{ DIGEST_CRC32, 0xedb88320u, 0xffffffffu },
	{ DIGEST_CRC32C, 0x82f63b78u, 0xffffffffu },
	{ DIGEST_CRC64NVME, 0x9a6c9329ac4bc9b5u, UINT64_MAX },
};
static uint64_t crc_tables[ARRAY_LEN(crc_kinds)][8][256];

static void build_table(uint64_t table[8][256], uint64_t polynomial)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t r = i;

		for (int bit = 0; bit < 8; bit++)
			r = (r >> 1) ^ ((r & 1) ? polynomial : 0);
		table[0][i] = r;
	}
	for (unsigned i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = (table[k - 1][i] >> 8) ^
				      table[0][table[k - 1][i] & 0xff];
}

static void build_tables(void)
{
	for (size_t i = 0; i < ARRAY_LEN(crc_kinds); i++)
		build_table(crc_tables[i], crc_kinds[i].polynomial);
}

static uint64_t load_le64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = (v << 8) | p[i];
	return v;
}

static uint64_t crc_update(uint64_t table[8][256], uint64_t crc, const unsigned char *p,
			   size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = load_le64(p) ^ crc;

		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= table[7 - k][(v >> (8 * k)) & 0xff];
	}
	for (; len > 0; p++, len--)
		crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xff];
	return crc;
}

static const EVP_MD *evp_for(enum digest_kind kind)
{
	switch (kind) {
	case DIGEST_MD5:
		return EVP_md5();
	case DIGEST_SHA1:
		return EVP_sha1();
	case DIGEST_SHA256:
		return EVP_sha256();
	default:
		return NULL;
	}
}

void digests_init(struct digests *d, unsigned wanted)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	MH_ASSERT(pthread_once(&once, build_tables) == 0);
	*d = (struct digests){ .wanted = wanted };
	for (int kind = 0; kind < DIGEST_COUNT; kind++) {
		const EVP_MD *md = evp_for((enum digest_kind)kind);
		EVP_MD_CTX *evp;

		if ((wanted & DIGEST_BIT(kind)) == 0 || md == NULL)
			continue;
		evp = EVP_MD_CTX_new();
		MH_ASSERT(evp != NULL);
		/* MD5 is the ETag's format here and protects nothing. */
		EVP_MD_CTX_set_flags(evp, EVP_MD_CTX_FLAG_NON_FIPS_ALLOW);
		MH_ASSERT(EVP_DigestInit_ex(evp, md, NULL) == 1);
		d->evp[kind] = evp;
	}
	for (size_t i = 0; i < ARRAY_LEN(crc_kinds); i++)
		d->crc[crc_kinds[i].kind] = crc_kinds[i].ones;
}

void digests_update(struct digests *d, const void *data, size_t len)
{
	for (int kind = 0; kind < DIGEST_COUNT; kind++)
		if (d->evp[kind] != NULL)
			MH_ASSERT(EVP_DigestUpdate(d->evp[kind], data, len) == 1);
	for (size_t i = 0; i < ARRAY_LEN(crc_kinds); i++) {
		enum digest_kind kind = crc_kinds[i].kind;

		if ((d->wanted & DIGEST_BIT(kind)) != 0)
			d->crc[kind] = crc_update(crc_tables[i], d->crc[kind], data, len);
	}
}

size_t digests_end(struct digests *d, enum digest_kind kind,
		   unsigned char out[DIGEST_MAX_SIZE])
{
	unsigned len = 0;
	uint64_t crc;

	MH_ASSERT((d->wanted & DIGEST_BIT(kind)) != 0);
	d->wanted &= ~DIGEST_BIT(kind);
	if (d->evp[kind] != NULL) {
		MH_ASSERT(EVP_DigestFinal_ex(d->evp[kind], out, &len) == 1);
		EVP_MD_CTX_free(d->evp[kind]);
		d->evp[kind] = NULL;
		return len;
	}
	len = kind == DIGEST_CRC64NVME ? 8 : 4;
	crc = ~d->crc[kind];
	for (unsigned i = 0; i < len; i++)
		out[i] = (unsigned char)(crc >> (8 * (len - 1 - i)));
	return len;
}

void digests_done(struct digests *d)
{
	for (int kind = 0; kind < DIGEST_COUNT; kind++)
		EVP_MD_CTX_free(d->evp[kind]);
	*d = (struct digests){ 0 };
}

/* ---- joining CRCs ---- */

bool digest_is_crc(enum digest_kind kind)
{
	return kind == DIGEST_CRC32 || kind == DIGEST_CRC32C || kind == DIGEST_CRC64NVME;
}

/* The product of two polynomials, reduced; reflected: the top bit is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t polynomial, uint64_t top)
{
	uint64_t product = 0;

	for (uint64_t bit = top; bit != 0; bit >>= 1) {
		if ((a & bit) != 0)
			product ^= b;
		b = (b >> 1) ^ ((b & 1) != 0 ? polynomial : 0);
	}
	return product;
}

/* x to the power 8 * bytes: what so many bytes behind it multiply a CRC by. */
static uint64_t shift_by(int64_t bytes, uint64_t polynomial, uint64_t top)
{
	uint64_t power = top >> 8, result = top;

	for (; bytes > 0; bytes >>= 1) {
		if ((bytes & 1) != 0)
			result = multiply(result, power, polynomial, top);
		power = multiply(power, power, polynomial, top);
	}
	return result;
}

void digest_crc_join(enum digest_kind kind, unsigned char a[DIGEST_MAX_SIZE],
		     const unsigned char b[DIGEST_MAX_SIZE], int64_t b_len)
{
	size_t len = kind == DIGEST_CRC64NVME ? 8 : 4;
	uint64_t top = UINT64_C(1) << (8 * len - 1), first = 0, second = 0;

	MH_ASSERT(digest_is_crc(kind));
	for (size_t i = 0; i < len; i++) {
		first = first << 8 | a[i];
		second = second << 8 | b[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(crc_kinds); i++)
		if (crc_kinds[i].kind == kind)
			first = multiply(first,
					 shift_by(b_len, crc_kinds[i].polynomial, top),
					 crc_kinds[i].polynomial, top);
	first ^= second;
	for (size_t i = 0; i < len; i++)
		a[i] = (unsigned char)(first >> (8 * (len - 1 - i)));
}
