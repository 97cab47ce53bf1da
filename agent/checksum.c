#include "agent/checksum.h"

#include <endian.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_FOLDING 1
#endif

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

/* --- arithmetic of polynomials, reflected: the highest bit is the lowest power --------
 */

static uint64_t top_bit(const struct crc *crc)
{
	return UINT64_C(1) << (8 * crc->size - 1);
}

static uint64_t times_x(const struct crc *crc, uint64_t v)
{
	return v >> 1 ^ (v & 1 ? crc->polynomial : 0);
}

static uint64_t multiply(const struct crc *crc, uint64_t a, uint64_t b)
{
	uint64_t product = 0;

	for (uint64_t bit = top_bit(crc); bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = times_x(crc, b);
	}
	return product;
}

/* x to that power. */
static uint64_t power_of_x(const struct crc *crc, uint64_t n)
{
	uint64_t result = top_bit(crc), square = times_x(crc, top_bit(crc));

	for (; n; n >>= 1) {
		if (n & 1)
			result = multiply(crc, result, square);
		square = multiply(crc, square, square);
	}
	return result;
}

#ifdef HAVE_FOLDING
/* --- by the processor's carry-less multiplication --------------------------------------
 *
 * 64 bytes at a time are folded into four registers: what stands in one counts x^512 as
 * much as what comes 64 bytes later, which is the remainder of that power times it. The
 * last 16 bytes that are left of it all are a message with the same remainder, and go
 * the way of any other.
 */
#define FOLD_BYTES 64
#define FOLD_FROM  128 /* shorter ones are not worth it */

struct fold {
	uint64_t by_512[2], by_128[2]; /* for the first and the second half */
};
static struct fold folds[ARRAY_LEN(crcs)];

/* A product of two reflected halves comes out one power too high. */
static uint64_t fold_factor(const struct crc *crc, uint64_t power)
{
	return power_of_x(crc, power - 1) << (64 - 8 * crc->size);
}

static void make_fold(size_t kind)
{
	const struct crc *crc = &crcs[kind];

	folds[kind] = (struct fold){
		.by_512 = { fold_factor(crc, 512 + 64), fold_factor(crc, 512) },
		.by_128 = { fold_factor(crc, 128 + 64), fold_factor(crc, 128) },
	};
}

#define FOLDING __attribute__((target("pclmul,sse4.1")))

FOLDING static inline __m128i fold_on(__m128i x, __m128i factors, __m128i next)
{
	return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(x, factors, 0x00),
						 _mm_clmulepi64_si128(x, factors, 0x11)));
}

FOLDING static inline __m128i load(const unsigned char *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

/* The bytes of *p but the last few, with the CRC so far; answers 16 that stand for them.
 */
FOLDING static void fold(const struct fold *f, uint64_t crc, const unsigned char **p,
			 size_t *len, unsigned char ret[16])
{
	const __m128i far = _mm_set_epi64x((int64_t)f->by_512[1], (int64_t)f->by_512[0]);
	const __m128i near = _mm_set_epi64x((int64_t)f->by_128[1], (int64_t)f->by_128[0]);
	const unsigned char *at = *p, *end = *p + *len;
	__m128i x0 = _mm_xor_si128(load(at), _mm_cvtsi64_si128((int64_t)crc));
	__m128i x1 = load(at + 16), x2 = load(at + 32), x3 = load(at + 48);

	for (at += FOLD_BYTES; end - at >= FOLD_BYTES; at += FOLD_BYTES) {
		x0 = fold_on(x0, far, load(at));
		x1 = fold_on(x1, far, load(at + 16));
		x2 = fold_on(x2, far, load(at + 32));
		x3 = fold_on(x3, far, load(at + 48));
	}
	x1 = fold_on(x0, near, x1);
	x2 = fold_on(x1, near, x2);
	x3 = fold_on(x2, near, x3);
	_mm_storeu_si128((__m128i *)ret, x3);
	*p = at;
	*len = (size_t)(end - at);
}

static bool can_fold(void)
{
	return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#endif

/* --- one checksum ----------------------------------------------------------------------
 */

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
#ifdef HAVE_FOLDING
		if (folds[i].by_128[0] == 0)
			make_fold(i);
#endif
		c->crc = &crcs[i];
		c->value = ones(c->crc);
		return true;
	}
	return false;
}

static uint64_t update_by_table(const struct crc *crc, uint64_t v, const unsigned char *p,
				size_t len)
{
	uint64_t(*t)[256] = tables[crc - crcs];

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
	return v;
}

static void update_crc(struct checksum *c, const unsigned char *p, size_t len)
{
#ifdef HAVE_FOLDING
	if (len >= FOLD_FROM && can_fold()) {
		unsigned char folded[16];

		fold(&folds[c->crc - crcs], c->value, &p, &len, folded);
		c->value = update_by_table(c->crc, 0, folded, sizeof(folded));
	}
#endif
	c->value = update_by_table(c->crc, c->value, p, len);
}

void checksum_update(struct checksum *c, const void *data, size_t len)
{
	if (c->crc)
		update_crc(c, data, len);
	else
		sha256_update(&c->sha256, data, len);
}

bool checksum_can_join(const struct checksum *c)
{
	return c->crc != NULL;
}

void checksum_join(struct checksum *c, const struct checksum *next, uint64_t len)
{
	uint64_t mask = ones(c->crc);
	uint64_t moved = multiply(c->crc, c->value ^ mask, power_of_x(c->crc, 8 * len));

	c->value = moved ^
		   next->value; /* of which one is inverted, as the sum is to be */
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
