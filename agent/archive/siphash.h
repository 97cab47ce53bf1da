/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash for tables whose keys come from
 * outside. Who does not know the key cannot aim at one bucket.
 */
#ifndef MH_ARCHIVE_SIPHASH_H
#define MH_ARCHIVE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

uint64_t siphash(const void *data, size_t len, const unsigned char key[SIPHASH_KEY_SIZE]);

#endif
