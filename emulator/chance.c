/* splitmix64: a good sequence for any seed, and nothing secret comes from it. */
#include "emulator/chance.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#define STEP 0x9e3779b97f4a7c15ULL

/* libsodium's source is the process's, and so is this. */
static _Atomic uint64_t state;
static bool seeded;

static uint64_t next(void)
{
	uint64_t z = atomic_fetch_add(&state, STEP) + STEP;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static const char *name(void)
{
	return "millhand-seeded";
}

static uint32_t next_u32(void)
{
	return (uint32_t)(next() >> 32);
}

static void fill(void *const buf, const size_t size)
{
	unsigned char *out = buf;

	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t bits = next();

		memcpy(out + at, &bits,
		       size - at < sizeof(bits) ? size - at : sizeof(bits));
	}
}

static struct randombytes_implementation source = {
	.implementation_name = name,
	.random = next_u32,
	.buf = fill,
};

void chance_seed(uint64_t seed)
{
	atomic_store(&state, seed);
	seeded = true;
	(void)randombytes_set_implementation(&source); /* always 0 */
}

bool chance_is_seeded(void)
{
	return seeded;
}

uint64_t chance_state(void)
{
	return atomic_load(&state);
}

void chance_restore(uint64_t at)
{
	atomic_store(&state, at);
}
