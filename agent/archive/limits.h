/*
 * What one archive may cost, and the words for what went wrong with it.
 *
 * Errors of this program carry their report's kind in the error class
 * (docs/architecture.md, "millhand-archive"):
 *
 *	MH_E_PROTO   corrupt   the bytes break their format
 *	MH_E_DENIED  unsafe    well formed, but it reaches for what is not its own
 *	MH_E_FULL    limit     one of the limits below (sys_errno is 0)
 *	             space     ENOSPC or EDQUOT from the file system
 *	any other    system    the machine's or the caller's fault
 */
#ifndef MH_ARCHIVE_LIMITS_H
#define MH_ARCHIVE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct archive_limits {
	uint64_t bytes; /* of content, holes and copies of hard links included */
	uint64_t entries; /* files, links and directories, implied ones included */
	uint64_t ratio; /* content : archive; 0 = not looked at */
	uint64_t ratio_from; /* the ratio is judged once this many bytes came out */
	unsigned depth; /* components of a name */
	bool strict_case; /* refuse names that differ in ASCII case alone */
	/* of one zip member that is packed or unpacked as a whole in memory, which is
	 * twice as fast; longer ones pass in blocks */
	uint64_t whole_bytes;
};

/* Above what the service itself takes (7 GB and 100 000 files in one artifact,
 * semantics F), so that a limit met in practice is the service's. */
#define ARCHIVE_LIMITS_DEFAULT                                                           \
	{                                                                                \
		.bytes = 8ULL << 30, .entries = 500000, .ratio = 200,                    \
		.ratio_from = 100ULL << 20, .depth = 128, .strict_case = false,          \
		.whole_bytes = 4 << 20                                                   \
	}

/* The report's word for an error: "corrupt", "unsafe", "limit", "space", "system". */
const char *archive_error_kind(const struct mh_err *err);

/* FULL when so many content bytes out of an archive of so many bytes are too many. */
int archive_limits_ratio(const struct archive_limits *limits, uint64_t content_bytes,
			 uint64_t archive_bytes, struct mh_err *err) MH_MUST_CHECK;
/* FULL when `more` bytes on top of `used` go over the limit. */
int archive_limits_bytes(const struct archive_limits *limits, uint64_t used,
			 uint64_t more, struct mh_err *err) MH_MUST_CHECK;

#endif
