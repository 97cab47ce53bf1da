/*
 * What comes out of an archive file as one stream, gzip undone, for the tar reader.
 *
 * The gzip layer is zlib's, not libarchive's, because libarchive 3.6 does not
 * compare the checksum at the end of a gzip member: a damaged archive would
 * pass for a whole one.
 */
#ifndef MH_ARCHIVE_STREAM_H
#define MH_ARCHIVE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "agent/archive/limits.h"
#include "agent/archive/source.h"
#include "lib/base/err.h"

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
