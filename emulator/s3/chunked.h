/*
 * The aws-chunked body (x-amz-content-sha256: STREAMING-...): pieces with their
 * size in hex, perhaps a signature each, and perhaps trailing headers:
 *
 *	400;chunk-signature=<hex>\r\n<1024 bytes>\r\n
 *	0;chunk-signature=<hex>\r\n
 *	x-amz-checksum-crc32:AAAAAA==\r\n
 *	\r\n
 *
 * It lies inside of whatever transfer coding HTTP uses. Bytes may come cut
 * anywhere.
 */
#ifndef MH_EMULATOR_S3_CHUNKED_H
#define MH_EMULATOR_S3_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

#define CHUNKED_TRAILERS_MAX      8
#define CHUNKED_TRAILER_SIGNATURE "x-amz-trailer-signature"

struct chunked_sink {
	/* Decoded bytes. */
	int (*data)(void *ctx, const void *data, size_t len, struct mh_err *err);
	/* After the bytes of each chunk, the empty last one included; signature "" when
	 * the chunk had none. May be NULL. */
	int (*chunk_end)(void *ctx, const char *signature, struct mh_err *err);
	void *ctx;
};

struct chunked {
	struct chunked_sink sink;
	int state; /* enum in chunked.c */
	struct buf line;
	int64_t left; /* bytes of the chunk still to come */
	bool last; /* the chunk under way is the empty one */
	char signature[65];
	int64_t total; /* decoded so far */
	char *trailers[CHUNKED_TRAILERS_MAX]; /* "name:value", owned */
	size_t trailer_count;
};

void chunked_init(struct chunked *c, const struct chunked_sink *sink);
/* PROTO for a broken encoding; or the sink's error. Not to be called again after -1. */
int chunked_feed(struct chunked *c, const void *data, size_t len,
		 struct mh_err *err) MH_MUST_CHECK;
/* The last chunk came, whole. */
bool chunked_is_complete(const struct chunked *c);
/* A trailing header's value by name (any case), or NULL. Borrowed. */
const char *chunked_trailer(const struct chunked *c, const char *name);
/* The trailers as they are signed: "name:value\n" each, names in lower case, without the
 * signature itself. The caller frees it. */
char *chunked_signed_trailers(const struct chunked *c) MH_MUST_CHECK;
void chunked_done(struct chunked *c);

#endif
