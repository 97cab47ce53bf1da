/*
 * An archive on its way out: collected into large writes, counted and hashed.
 *
 *	struct out o;
 *	out_init(&o, fd);
 *	if (out_write(&o, data, len, err) != 0) ...    any number of times
 *	if (out_flush(&o, err) != 0) ...               at the end
 *	out_result(&o, ...); out_done(&o);
 */
#ifndef MH_ARCHIVE_OUT_H
#define MH_ARCHIVE_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/sha256.h"

struct out {
	int fd; /* borrowed; may be a pipe */
	uint64_t bytes; /* all so far */
	struct sha256 hash; /* of all that was written */
	unsigned char *block; /* owned; OUT_BLOCK bytes, `used` of them wait */
	size_t used;
};

#define OUT_BLOCK (64 * 1024)

void out_init(struct out *o, int fd);
void out_done(struct out *o);

int out_write(struct out *o, const void *data, size_t len,
	      struct mh_err *err) MH_MUST_CHECK;
int out_flush(struct out *o, struct mh_err *err) MH_MUST_CHECK;

/* SHA-256 of all, in hex; nothing may be written after it. */
void out_sha256(struct out *o, char ret_hex[SHA256_HEX_SIZE]);

#endif
