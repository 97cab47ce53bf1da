#include "lib/base/sha256.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/str.h"

#define BLOCK 64

static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* ---- in C ---- */

static uint32_t load_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void expand(const unsigned char *data, uint32_t w[64])
{
	for (int i = 0; i < 16; i++)
		w[i] = load_be32(data + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];
		uint32_t s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
		uint32_t s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

/* Round i of a block. Instead of moving the eight words along, the names move. */
static inline void do_round(uint32_t v[8], unsigned i, uint32_t input)
{
	uint32_t a = v[(0 - i) & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7];
	uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
	uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
	uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
	uint32_t t = v[(7 - i) & 7] + s1 + (g ^ (e & (f ^ g))) + input;

	v[(3 - i) & 7] += t;
	v[(7 - i) & 7] = t + s0 + ((a & b) | (c & (a | b)));
}

static void compress_portable(uint32_t h[8], const unsigned char *data, size_t blocks)
{
	uint32_t w[64], v[8];

	for (; blocks > 0; blocks--, data += BLOCK) {
		expand(data, w);
		memcpy(v, h, sizeof v);
		for (unsigned i = 0; i < 64; i += 8) {
			do_round(v, 0, round_constants[i] + w[i]);
			do_round(v, 1, round_constants[i + 1] + w[i + 1]);
			do_round(v, 2, round_constants[i + 2] + w[i + 2]);
			do_round(v, 3, round_constants[i + 3] + w[i + 3]);
			do_round(v, 4, round_constants[i + 4] + w[i + 4]);
			do_round(v, 5, round_constants[i + 5] + w[i + 5]);
			do_round(v, 6, round_constants[i + 6] + w[i + 6]);
			do_round(v, 7, round_constants[i + 7] + w[i + 7]);
		}
		for (int i = 0; i < 8; i++)
			h[i] += v[i];
	}
	explicit_bzero(w, sizeof w);
	explicit_bzero(v, sizeof v);
}

/* ---- by the processor ---- */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define LEAF1_ECX_NEEDED (bit_SSSE3 | bit_SSE4_1)
#define LEAF7_EBX_SHA    (1u << 29)

static bool has_instructions(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & LEAF1_ECX_NEEDED) != LEAF1_ECX_NEEDED)
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & LEAF7_EBX_SHA);
}

/* The instructions want the state as (a b e f) and (c d g h), and do two rounds each;
 * w holds the sixteen words of the schedule that the next rounds need. */
__attribute__((target("sha,sse4.1"))) static void compress_sha(uint32_t h[8],
							       const unsigned char *data,
							       size_t blocks)
{
	const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1,
					  2, 3);
	__m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(void *)h),
					0xb1);
	__m128i high = _mm_shuffle_epi32(
		_mm_loadu_si128((const __m128i *)(void *)(h + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(low, high, 8);
	__m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
	__m128i w[4];

	for (; blocks > 0; blocks--, data += BLOCK) {
		const __m128i abef_before = abef, cdgh_before = cdgh;

		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(
				_mm_loadu_si128((const __m128i *)(const void *)data + i),
				swap);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			const __m128i *k = (const __m128i *)(const void *)round_constants;
			__m128i sum = _mm_add_epi32(w[i & 3], _mm_loadu_si128(k + i));
			__m128i earlier;

			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
			sum = _mm_shuffle_epi32(sum, 0x0e);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, sum);
			if (i >= 12)
				continue;
			earlier = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
			sum = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
			w[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, earlier),
							w[(i + 3) & 3]);
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	low = _mm_shuffle_epi32(abef, 0x1b);
	high = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(low, high, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(high, low, 8));
}
#else
static bool has_instructions(void)
{
	return false;
}
#define compress_sha compress_portable
#endif

/* 0: not looked yet. Threads that look at the same time find the same. */
static enum { UNKNOWN, PORTABLE, BY_PROCESSOR } way;

static void compress(uint32_t h[8], const unsigned char *data, size_t blocks)
{
	int known = __atomic_load_n(&way, __ATOMIC_RELAXED);

	if (known == UNKNOWN) {
		known = has_instructions() ? BY_PROCESSOR : PORTABLE;
		__atomic_store_n(&way, known, __ATOMIC_RELAXED);
	}
	if (known == BY_PROCESSOR)
		compress_sha(h, data, blocks);
	else
		compress_portable(h, data, blocks);
}

void sha256_use_portable(void)
{
	__atomic_store_n(&way, PORTABLE, __ATOMIC_RELAXED);
}

/* ---- the hash ---- */

void sha256_init(struct sha256 *s)
{
	*s = (struct sha256){
		.h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
		       0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
	};
}

void sha256_update(struct sha256 *s, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t used = s->bytes % BLOCK;

	if (len == 0)
		return; /* data may be NULL then */
	s->bytes += len;
	if (used > 0) {
		size_t n = BLOCK - used < len ? BLOCK - used : len;

		memcpy(s->block + used, p, n);
		p += n;
		len -= n;
		if (used + n < BLOCK)
			return;
		compress(s->h, s->block, 1);
	}
	if (len >= BLOCK)
		compress(s->h, p, len / BLOCK);
	if (len % BLOCK)
		memcpy(s->block, p + len - len % BLOCK, len % BLOCK);
}

void sha256_final(struct sha256 *s, unsigned char ret[SHA256_SIZE])
{
	uint64_t bits = s->bytes * 8;
	size_t used = s->bytes % BLOCK;

	s->block[used++] = 0x80;
	if (used > BLOCK - 8) {
		memset(s->block + used, 0, BLOCK - used);
		compress(s->h, s->block, 1);
		used = 0;
	}
	memset(s->block + used, 0, BLOCK - 8 - used);
	for (int i = 0; i < 8; i++)
		s->block[BLOCK - 1 - i] = (unsigned char)(bits >> 8 * i);
	compress(s->h, s->block, 1);
	for (int i = 0; i < SHA256_SIZE; i++)
		ret[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
	explicit_bzero(s, sizeof *s);
}

void sha256(const void *data, size_t len, unsigned char ret[SHA256_SIZE])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_update(&s, data, len);
	sha256_final(&s, ret);
}

void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX_SIZE])
{
	unsigned char digest[SHA256_SIZE];

	sha256(data, len, digest);
	str_hex(digest, sizeof digest, ret);
}

/* ---- HMAC ---- */

static void begin_with(struct sha256 *s, const unsigned char key[BLOCK],
		       unsigned char pad)
{
	unsigned char block[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		block[i] = key[i] ^ pad;
	sha256_init(s);
	sha256_update(s, block, sizeof block);
	explicit_bzero(block, sizeof block);
}

void hmac_sha256_init(struct hmac_sha256 *m, const void *key, size_t key_len)
{
	unsigned char block[BLOCK] = { 0 };

	if (key_len > BLOCK)
		sha256(key, key_len, block);
	else if (key_len > 0)
		memcpy(block, key, key_len);
	begin_with(&m->inner, block, 0x36);
	begin_with(&m->outer, block, 0x5c);
	explicit_bzero(block, sizeof block);
}

void hmac_sha256_update(struct hmac_sha256 *m, const void *data, size_t len)
{
	sha256_update(&m->inner, data, len);
}

void hmac_sha256_final(struct hmac_sha256 *m, unsigned char ret[SHA256_SIZE])
{
	unsigned char digest[SHA256_SIZE];

	sha256_final(&m->inner, digest);
	sha256_update(&m->outer, digest, sizeof digest);
	sha256_final(&m->outer, ret);
	explicit_bzero(digest, sizeof digest);
}
