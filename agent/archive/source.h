/*
 * The archive as bytes: reading at any place of a regular file.
 *
 *	struct source s;
 *	if (source_open(&s, STDIN_FILENO, err) != 0) ...
 *	if (source_load(&s, err) != 0) ...        small ones: into memory, once
 *	source_read_at(&s, offset, data, len, err);
 *	source_close(&s);
 *
 * It is read, never mapped: a file that shrinks meanwhile ends too early, and does not
 * kill the program by a signal.
 */
#ifndef MH_ARCHIVE_SOURCE_H
#define MH_ARCHIVE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct source {
	int fd; /* borrowed; its file position is neither used nor moved */
	uint64_t size;
	unsigned char *whole; /* owned; all of it, or NULL */
};

/* SYS when fd is not a regular file: a zip is read from its end. */
int source_open(struct source *s, int fd, struct mh_err *err) MH_MUST_CHECK;
/* What is not larger than SOURCE_WHOLE_MAX is held in memory from now on: one call
 * to the kernel instead of several for each member. */
#define SOURCE_WHOLE_MAX (8 << 20)
int source_load(struct source *s, struct mh_err *err) MH_MUST_CHECK;
void source_close(struct source *s);
static inline void clean_source(struct source *s)
{
	source_close(s);
}

/* Exactly len bytes from that place; PROTO when the file ends before. */
int source_read_at(const struct source *s, uint64_t offset, void *data, size_t len,
		   struct mh_err *err) MH_MUST_CHECK;
/* The same bytes where they lie in memory, else read into scratch. *ret is borrowed
 * from either. */
int source_view_at(const struct source *s, uint64_t offset, void *scratch, size_t len,
		   const unsigned char **ret, struct mh_err *err) MH_MUST_CHECK;

/* SHA-256 of the whole file, in hex. */
#define SOURCE_SHA256_SIZE 65
int source_sha256(const struct source *s, char ret_hex[SOURCE_SHA256_SIZE],
		  struct mh_err *err) MH_MUST_CHECK;

/* By its first four bytes. */
bool source_is_zip(const struct source *s);

enum source_format { SOURCE_ZIP, SOURCE_TAR, SOURCE_TAR_GZ };
/* By content alone; PROTO when it is none of them. */
int source_detect(const struct source *s, enum source_format *ret,
		  struct mh_err *err) MH_MUST_CHECK;

#endif
