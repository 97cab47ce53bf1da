/*
 * Where the emulator's randomness comes from: the operating system, or, for tests that
 * compare answers byte for byte, a sequence that follows from a seed. Then ids, nonces,
 * credentials and keys can all be guessed: never beyond tests.
 *
 * It stands behind libsodium's randombytes, which is what all of the emulator uses.
 */
#ifndef MH_EMULATOR_CHANCE_H
#define MH_EMULATOR_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

/* From here on everything follows from the seed. Before any thread. */
void chance_seed(uint64_t seed);
bool chance_is_seeded(void);
/* Where the sequence stands, to begin there again. */
uint64_t chance_state(void);
void chance_restore(uint64_t state);

#endif
