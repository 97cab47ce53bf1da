/*
 * The archive as bytes: reading at any place of a regular file, and what comes
 * out of it as one stream (gzip undone) for the tar reader.
 *
 * The gzip layer is zlib's, not libarchive's, because libarchive 3.6 does not
 * compare the checksum at the end of a gzip member: a damaged archive would
 * pass for a whole one.
 */
#ifndef MH_ARCHIVE_SOURCE_H
#define MH_ARCHIVE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "agent/archive/limits.h"
#include "lib/base/err.h"

struct source {
	int fd; /* borrowed; its file position is neither used nor moved */
	uint64_t size;
};

/* SYS when fd is not a regular file: a zip is read from its end. */
int source_open(struct source *s, int fd, struct mh_err *err) MH_MUST_CHECK;

/* Exactly len bytes from that place; PROTO when the file ends before. */
int source_read_at(const struct source *s, uint64_t offset, void *data, size_t len,
		   struct mh_err *err) MH_MUST_CHECK;

/* SHA-256 of the whole file, in hex. */
#define SOURCE_SHA256_SIZE 65
int source_sha256(const struct source *s, char ret_hex[SOURCE_SHA256_SIZE],
		  struct mh_err *err) MH_MUST_CHECK;

enum source_format { SOURCE_ZIP, SOURCE_TAR, SOURCE_TAR_GZ };
/* By content alone; PROTO when it is none of them. */
int source_detect(const struct source *s, enum source_format *ret,
		  struct mh_err *err) MH_MUST_CHECK;

#define STREAM_BLOCK (64 * 1024)

/*
 *	stream_new(&source, gzip, &limits, &st, err);
 *	while (stream_next(st, &data, &len, err) == 0 && len) ...
 *	stream_free(st);
 *
 * The end is only reached when the last gzip member's checksum and length are
 * right and nothing but zeros follows it.
 */
struct stream {
	const struct source *source; /* borrowed */
	const struct archive_limits *limits; /* borrowed */
	bool gzip;
	bool in_member; /* between a gzip member's first and last byte */
	uint64_t members; /* complete ones so far */
	uint64_t at; /* next byte of the source */
	uint64_t total; /* bytes that came out */
	uint64_t data_end; /* just past the last byte that was not zero */
	z_stream z;
	unsigned char in[STREAM_BLOCK];
	unsigned char out[STREAM_BLOCK];
};

int stream_new(const struct source *source, bool gzip,
	       const struct archive_limits *limits, struct stream **ret,
	       struct mh_err *err) MH_MUST_CHECK;
void stream_free(struct stream *st);
static inline void clean_stream(struct stream **st)
{
	stream_free(*st);
}

/* Some bytes, borrowed until the next call; *ret_len 0 is the end. */
int stream_next(struct stream *st, const void **ret_data, size_t *ret_len,
		struct mh_err *err) MH_MUST_CHECK;

#endif
