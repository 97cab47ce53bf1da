/*
 * What a fuzz target is: libFuzzer's function, which must return 0 for any bytes, and
 * aborts when something does not hold.
 */
#ifndef MH_TESTS_FUZZ_H
#define MH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
