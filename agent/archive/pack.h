/*
 * From a directory (or a single file) into an archive.
 *
 *	struct pack_result result;
 *	if (pack_open("out/Dist", &from, err) == 0 &&
 *	    pack_archive(&from, &pack_zip, PACK_ZIP, 1, &limits, &result, err) == 0) ...
 *
 * The same tree gives the same bytes: names in byte order, times in whole
 * seconds, no owners, no access times, no zone. Permission bits and symbolic
 * links are kept. What another stage would refuse to unpack is refused here
 * already, where its maker can see it: sockets, FIFOs and devices, symbolic links
 * that lead outside, names with control characters.
 *
 * After a failure, what went to the output is worth nothing.
 */
#ifndef MH_ARCHIVE_PACK_H
#define MH_ARCHIVE_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/archive/beneath.h"
#include "agent/archive/limits.h"
#include "agent/archive/out.h"
#include "agent/archive/tree.h"
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

struct pack_result {
	uint64_t bytes; /* of the archive */
	uint64_t entries;
	char sha256[SHA256_HEX_SIZE];
};

struct packer;
/* Writes to out_fd, which may be a pipe. Of the limits, entries and depth count, and
 * bytes of content. packer: one of those below, for formats that it can write. */
int pack_archive(const struct pack_from *from, const struct packer *packer,
		 enum pack_format format, int out_fd, const struct archive_limits *limits,
		 struct pack_result *ret, struct mh_err *err) MH_MUST_CHECK;

/* One run; for the writers. */
struct pack {
	const struct archive_limits *limits;
	const struct packer *packer;
	enum pack_format format;
	struct beneath dir;
	struct tree tree; /* what is to be packed, from index 1 on, in that order */
	uint64_t content_bytes;
	struct out out;
};

struct packer {
	/* Whether the format can hold the name, which unpacking would take. */
	int (*check_name)(const char *path, struct mh_err *err);
	/* The whole tree into p->out. */
	int (*write)(struct pack *p, struct mh_err *err);
};
extern const struct packer pack_zip; /* PACK_ZIP */
extern const struct packer pack_tar; /* PACK_TAR, PACK_TAR_GZ */

/* A file of the tree for reading; what took its place meanwhile is refused. */
int pack_open_file(struct pack *p, const char *path, int *ret_fd,
		   struct mh_err *err) MH_MUST_CHECK;
/* The file's next len bytes, in one piece; SYS when it has become shorter. */
int pack_read_file(int fd, const char *path, void *data, size_t len,
		   struct mh_err *err) MH_MUST_CHECK;

#endif
