/*
 * A zip's central directory, read and held against the members it lists.
 *
 *	struct zip_dir dir;
 *	if (zip_dir_read(&dir, &source, &limits, err) != 0) ...
 *	for (i = 0; i < dir.count; i++) use dir.members[i]
 *	zip_dir_done(&dir);
 *
 * Two readers must never see two archives in one file. So there is one way to
 * read it, and whatever allows a second is refused:
 *  - one end record, ending exactly where the file ends (its comment may not look
 *    like another one), the directory directly before it, with exactly as many
 *    entries as the end record says;
 *  - every member's local header says what its directory entry says: name,
 *    method, flags, sizes, checksum (also in the data descriptor where there is one);
 *  - members do not overlap each other or the directory, and no member hides in
 *    front of, between or behind the listed ones.
 */
#ifndef MH_ARCHIVE_ZIPDIR_H
#define MH_ARCHIVE_ZIPDIR_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/archive/limits.h"
#include "agent/archive/source.h"
#include "lib/base/err.h"

struct zip_member {
	char *name; /* as stored, not judged; may hold NUL bytes */
	size_t name_len;
	bool dos; /* made where the backslash separates */
	bool ends_in_slash;
	mode_t mode; /* with its S_IFMT bits when made on Unix, else 0 */
	int64_t mtime_s; /* -1: none */
	uint16_t method; /* enum zip_method (zipfmt.h), or one that is refused */
	uint16_t flags;
	uint32_t crc;
	uint64_t packed; /* bytes in the archive */
	uint64_t size; /* bytes when unpacked */
	uint64_t header_at; /* local header */
	uint64_t data_at;
};

struct zip_dir {
	struct zip_member *members; /* by their place in the file */
	uint32_t count;
	uint64_t total; /* sum of sizes */
};

/* PROTO, DENIED (overlaps), FULL (more entries or bytes than the limits allow). */
int zip_dir_read(struct zip_dir *ret, const struct source *source,
		 const struct archive_limits *limits, struct mh_err *err) MH_MUST_CHECK;
void zip_dir_done(struct zip_dir *dir);
static inline void clean_zip_dir(struct zip_dir *dir)
{
	zip_dir_done(dir);
}

#endif
