#include "agent/archive/siphash.h"

struct state {
	uint64_t a, b, c, d;
};

static uint64_t load(const unsigned char *p, size_t bytes)
{
	uint64_t x = 0;

	for (size_t i = 0; i < bytes; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void stir(struct state *s, int rounds)
{
	while (rounds-- > 0) {
		s->a += s->b;
		s->c += s->d;
		s->b = rotate(s->b, 13) ^ s->a;
		s->d = rotate(s->d, 16) ^ s->c;
		s->a = rotate(s->a, 32);
		s->c += s->b;
		s->a += s->d;
		s->b = rotate(s->b, 17) ^ s->c;
		s->d = rotate(s->d, 21) ^ s->a;
		s->c = rotate(s->c, 32);
	}
}

static void take(struct state *s, uint64_t word)
{
	s->d ^= word;
	stir(s, 2);
	s->a ^= word;
}

uint64_t siphash(const void *data, size_t len, const unsigned char key[SIPHASH_KEY_SIZE])
{
	const uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);
	/* "somepseudorandomlygeneratedbytes" */
	struct state s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			   k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	const unsigned char *p = data;
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8)
		take(&s, load(p, 8));
	take(&s, (uint64_t)len << 56 | load(p, left));
	s.c ^= 0xff;
	stir(&s, 4);
	return s.a ^ s.b ^ s.c ^ s.d;
}
