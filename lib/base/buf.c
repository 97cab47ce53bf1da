#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf)BUF_INIT(max_bytes);
}

void buf_done(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

/* Room for len more bytes and the NUL; the maximum was checked. */
static void buf_grow(struct buf *b, size_t len)
{
	size_t need = b->len + len + 1;
	size_t cap = b->cap ? b->cap : 64;

	if (need <= b->cap)
		return;
	while (cap < need)
		cap *= 2;
	b->data = mh_realloc(b->data, cap);
	b->cap = cap;
}

void buf_reserve(struct buf *b, size_t len)
{
	if (len > b->max - b->len)
		return;
	buf_grow(b, len);
	b->data[b->len] = '\0'; /* it is text, also while nothing is added */
}

int buf_add(struct buf *b, const void *data, size_t len, struct mh_err *err)
{
	if (len > b->max - b->len)
		return mh_err_set(err, MH_E_PROTO, "more than %zu bytes", b->max);
	buf_grow(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

static void buf_must_add(struct buf *b, const void *data, size_t len)
{
	struct mh_err err;

	if (buf_add(b, data, len, &err) != 0)
		MH_BUG("buffer of bounded text is full");
}

void buf_puts(struct buf *b, const char *s)
{
	buf_must_add(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_must_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	CLEAN(free) char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		MH_BUG("out of memory");
	buf_must_add(b, text, (size_t)len);
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_steal(struct buf *b)
{
	char *data = b->data ? b->data : mh_strdup("");

	b->data = NULL;
	b->len = b->cap = 0;
	return data;
}
