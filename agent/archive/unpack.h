/*
 * From an archive into an empty directory.
 *
 *	struct unpack_result result;
 *	if (unpack_archive(&source, unpack_zip, dir_fd, &limits, &result, err) != 0)
 *		... the directory is empty again; archive_error_kind(err) says why
 *
 * What it makes: regular files, directories, and symbolic links that lead
 * nowhere but inside. Permission bits are kept, setuid, setgid and sticky bits
 * are not; owners are not. Hard links become copies. Nothing is written through
 * a symbolic link: links come after all files, and every path is opened by
 * beneath.h. A directory's own mode is set last, so that a read-only one can be
 * filled.
 *
 * The two readers (unpack_zip.c, unpack_tar.c) judge nothing; they hand what they
 * find to the functions below, which do.
 */
#ifndef MH_ARCHIVE_UNPACK_H
#define MH_ARCHIVE_UNPACK_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/archive/beneath.h"
#include "agent/archive/limits.h"
#include "agent/archive/source.h"
#include "agent/archive/tree.h"
#include "lib/base/err.h"

struct unpack_result {
	uint64_t bytes; /* of content */
	uint64_t entries; /* files, links and directories made */
};

struct unpack;
/* reader: one of those below. dir_fd is an empty directory, and stays the caller's.
 * The process's umask is 0 meanwhile. */
int unpack_archive(const struct source *source,
		   int (*reader)(struct unpack *u, struct mh_err *err), int dir_fd,
		   const struct archive_limits *limits, struct unpack_result *ret,
		   struct mh_err *err) MH_MUST_CHECK;
/* CONFIG when the archive is of another format than theirs. */
int unpack_zip(struct unpack *u, struct mh_err *err) MH_MUST_CHECK;
int unpack_tar(struct unpack *u, struct mh_err *err) MH_MUST_CHECK;

/* One run; for the readers. */
struct unpack {
	const struct archive_limits *limits;
	const struct source *source;
	struct beneath dir;
	struct tree tree;
	uint64_t bytes;
};

/* A name as the archive has it, with what else it says of the entry. */
struct unpack_entry {
	const char *name;
	size_t name_len;
	bool dos; /* names.h */
	mode_t mode; /* permission bits; others are dropped */
	int64_t mtime_s; /* -1: leave it */
};

int unpack_add_dir(struct unpack *u, const struct unpack_entry *e,
		   struct mh_err *err) MH_MUST_CHECK;
int unpack_add_link(struct unpack *u, const struct unpack_entry *e, const char *target,
		    size_t target_len, struct mh_err *err) MH_MUST_CHECK;
/* A copy of a file that is already unpacked. */
int unpack_add_copy(struct unpack *u, const struct unpack_entry *e, const char *of,
		    size_t of_len, struct mh_err *err) MH_MUST_CHECK;

/*
 * A file: begin, write any number of times with growing offsets (what is left out
 * are holes), end. unpack_file_done() frees it after success and failure alike.
 */
struct unpack_file {
	struct unpack *unpack;
	int fd; /* -1: none */
	int64_t mtime_s;
	uint64_t size;
	char *path; /* owned */
};
#define UNPACK_FILE_INIT                                                                 \
	{                                                                                \
		.unpack = NULL, .fd = -1, .path = NULL                                   \
	}

int unpack_file_begin(struct unpack *u, const struct unpack_entry *e,
		      struct unpack_file *ret, struct mh_err *err) MH_MUST_CHECK;
int unpack_file_write(struct unpack_file *f, uint64_t offset, const void *data,
		      size_t len, struct mh_err *err) MH_MUST_CHECK;
/* size: of the whole file, when a hole may end it; not smaller than what was written. */
int unpack_file_end(struct unpack_file *f, uint64_t size,
		    struct mh_err *err) MH_MUST_CHECK;
void unpack_file_done(struct unpack_file *f);
static inline void clean_unpack_file(struct unpack_file *f)
{
	unpack_file_done(f);
}

#endif
