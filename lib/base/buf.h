/*
 * Growable bytes with a maximum that is given at the start.
 *
 *	struct buf b;
 *	buf_init(&b, 64 * 1024);
 *	if (buf_add(&b, data, len, err) != 0) ...   PROTO when over the maximum
 *	use b.data, b.len (always NUL-terminated past len once something was added)
 *	buf_done(&b);
 *
 * or, in a scope, `CLEAN(buf) struct buf b = BUF_INIT(max);`.
 */
#ifndef MH_BASE_BUF_H
#define MH_BASE_BUF_H

#include <stddef.h>

#include "lib/base/err.h"

struct buf {
	char *data; /* owned; NULL while nothing was added */
	size_t len;
	size_t cap;
	size_t max; /* bytes this buffer may ever hold */
};

#define BUF_INIT(max_bytes)                                                              \
	{                                                                                \
		.data = NULL, .len = 0, .cap = 0, .max = (max_bytes)                     \
	}

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);
static inline void clean_buf(struct buf *b)
{
	buf_done(b);
}

/* Empties it, keeps the memory. */
void buf_clear(struct buf *b);

/* Room for len more bytes at once, where the maximum allows as much. */
void buf_reserve(struct buf *b, size_t len);

int buf_add(struct buf *b, const void *data, size_t len,
	    struct mh_err *err) MH_MUST_CHECK;

/* For text of the program's own making, whose size is bounded: going over the
 * maximum is a bug and aborts. */
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) MH_PRINTF(2, 3);

/* The text, or "" while nothing was added. Borrowed. */
const char *buf_text(const struct buf *b);

/* Hands the bytes (NUL-terminated) to the caller, who frees them; b is empty after. */
char *buf_steal(struct buf *b);

#endif
