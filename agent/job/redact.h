/*
 * Blots secrets out of a stream of bytes.
 *
 *	struct redact r = REDACT_INIT;
 *	redact_add(&r, "hunter2hunter2");
 *	redact_feed(&r, bytes, len, sink, ctx);    as often as bytes come
 *	redact_flush(&r, sink, ctx);               at the end
 *	redact_done(&r);
 *
 * Each run of bytes covered by a secret comes out as ****, wherever the stream is
 * cut into pieces. Bytes that may be the beginning of a secret are held back until
 * more come or the stream ends; all others go through at once.
 *
 * Values under 6 bytes are not taken: they would blot out ordinary words. Of a value
 * with several lines, each line of at least 6 bytes is a secret too, because
 * programs print such values line by line.
 */
#ifndef MH_JOB_REDACT_H
#define MH_JOB_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"

#define REDACT_MIN_BYTES 6

struct redact_secret {
	char *text; /* owned */
	size_t len;
	unsigned int uses; /* how many values have it */
};

struct redact {
	struct redact_secret *secrets; /* owned */
	size_t count;
	bool first[256]; /* bytes that begin a secret */
	struct buf held; /* undecided bytes */
	size_t covered; /* of held, the first so many belong to a secret already */
	bool in_secret; /* the last byte that was decided was covered */
};

/* Held bytes are fewer than the longest secret, plus one piece of input. */
#define REDACT_INIT                                                                      \
	{                                                                                \
		.held = BUF_INIT(1024 * 1024)                                            \
	}
#define REDACT_FEED_MAX (64 * 1024)

typedef void (*redact_sink)(void *ctx, const char *data, size_t len);

void redact_done(struct redact *r);
/* Copies the value. A value over 64 KiB is taken by its first 64 KiB. */
void redact_add(struct redact *r, const char *value);
/* Undoes one redact_add() of this value. */
void redact_remove(struct redact *r, const char *value);
/* len <= REDACT_FEED_MAX. */
void redact_feed(struct redact *r, const char *data, size_t len, redact_sink sink,
		 void *ctx);
void redact_flush(struct redact *r, redact_sink sink, void *ctx);

/* One whole text; the caller frees the answer. The stream's state is not touched. */
char *redact_text(const struct redact *r, const char *text) MH_MUST_CHECK;

#endif
