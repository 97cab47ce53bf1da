/*
 * From a directory (or a single file) into an archive.
 *
 *	struct pack_result result;
 *	if (pack_open("out/Dist", &from, err) == 0 &&
 *	    pack_archive(&from, PACK_ZIP, 1, &limits, &result, err) == 0) ...
 *
 * The same tree gives the same bytes: names in byte order, times in whole
 * seconds, no owners, no access times, no zone. Permission bits and symbolic
 * links are kept. What another stage would refuse to unpack is refused here
 * already, where its maker can see it: sockets, FIFOs and devices, symbolic links
 * that lead outside, names with control characters.
 *
 * libarchive marks names in a zip as UTF-8 only in a UTF-8 locale: the caller sets
 * LC_CTYPE to one before.
 *
 * After a failure, what went to the output is worth nothing.
 */
#ifndef MH_ARCHIVE_PACK_H
#define MH_ARCHIVE_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/archive/limits.h"
#include "lib/base/err.h"

enum pack_format { PACK_ZIP, PACK_TAR, PACK_TAR_GZ };

/* PROTO when it is none of "zip", "tar", "tar.gz". */
int pack_format_parse(const char *s, enum pack_format *ret,
		      struct mh_err *err) MH_MUST_CHECK;

struct pack_from {
	int fd; /* the directory, or the directory that holds the file */
	char *file; /* owned; base name of the single file, NULL for a directory */
};
#define PACK_FROM_INIT                                                                   \
	{                                                                                \
		.fd = -1, .file = NULL                                                   \
	}

/* A path whose last component is a symbolic link is DENIED. */
int pack_open(const char *path, struct pack_from *ret, struct mh_err *err) MH_MUST_CHECK;
void pack_close(struct pack_from *from);
static inline void clean_pack_from(struct pack_from *from)
{
	pack_close(from);
}

#define PACK_SHA256_SIZE 65
struct pack_result {
	uint64_t bytes; /* of the archive */
	uint64_t entries;
	char sha256[PACK_SHA256_SIZE];
};

/* Writes to out_fd, which may be a pipe. Of the limits, entries and depth count, and
 * bytes of content. */
int pack_archive(const struct pack_from *from, enum pack_format format, int out_fd,
		 const struct archive_limits *limits, struct pack_result *ret,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
