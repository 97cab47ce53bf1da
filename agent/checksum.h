/*
 * The checksums that a store may tell of an object, by the names of its headers
 * (x-amz-checksum-<name>): sha256, crc64nvme, crc32c, crc32.
 *
 *	struct checksum c;
 *	if (checksum_begin(&c, "crc32c")) ...     false: not one of those
 *	checksum_update(&c, data, len);
 *	char *base64 = checksum_end(&c);          the caller frees it
 *
 * The CRCs (not sha256) of two stretches make that of both: pieces of an object may be
 * taken in any order. On x86-64 they cost next to nothing.
 */
#ifndef MH_AGENT_CHECKSUM_H
#define MH_AGENT_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/macros.h"
#include "lib/base/sha256.h"

/* NULL-terminated, the strongest first. */
extern const char *const checksum_names[];

struct crc;
struct checksum {
	const struct crc *crc; /* NULL: sha256 */
	uint64_t value;
	struct sha256 sha256;
};

bool checksum_begin(struct checksum *c, const char *name);
void checksum_update(struct checksum *c, const void *data, size_t len);
/* *c, then the `len` bytes of *next, which is of the same kind. */
bool checksum_can_join(const struct checksum *c);
void checksum_join(struct checksum *c, const struct checksum *next, uint64_t len);
char *checksum_end(struct checksum *c) MH_MUST_CHECK;

#endif
