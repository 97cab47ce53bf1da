/*
 * The checksums that a store may tell of an object, by the names of its headers
 * (x-amz-checksum-<name>): sha256, crc64nvme, crc32c, crc32.
 *
 *	struct checksum c;
 *	if (checksum_begin(&c, "crc32c")) ...     false: not one of those
 *	checksum_update(&c, data, len);
 *	char *base64 = checksum_end(&c);          the caller frees it
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
char *checksum_end(struct checksum *c) MH_MUST_CHECK;

#endif
