#include "lib/base/macros.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mh_bug(const char *file, int line, const char *what)
{
	(void)fprintf(stderr, "bug: %s:%d: %s\n", file, line, what);
	abort();
}

/* glibc keeps freed small pieces at hand for malloc(), not for calloc(). */
#define AT_HAND_BYTES 1024

static void *take(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		MH_BUG("out of memory");
	return p;
}

void *mh_alloc(size_t size)
{
	void *p;

	if (size <= AT_HAND_BYTES)
		return memset(take(size), 0, size);
	p = calloc(1, size);
	if (!p)
		MH_BUG("out of memory");
	return p;
}

void *mh_realloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		MH_BUG("out of memory");
	return q;
}

char *mh_strndup(const char *s, size_t n)
{
	char *copy;

	if (!s)
		return NULL;
	n = strnlen(s, n);
	copy = take(n + 1);
	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *mh_strdup(const char *s)
{
	return s ? mh_strndup(s, strlen(s)) : NULL;
}

char *mh_concat_until_null(const char *first, ...)
{
	size_t len = 0;
	const char *part;
	char *text, *end;
	va_list ap;

	va_start(ap, first);
	for (part = first; part; part = va_arg(ap, const char *))
		len += strlen(part);
	va_end(ap);
	text = end = take(len + 1);
	va_start(ap, first);
	for (part = first; part; part = va_arg(ap, const char *))
		end = stpcpy(end, part);
	va_end(ap);
	*end = '\0';
	return text;
}

char *mh_format(const char *fmt, ...)
{
	char shorter[256]; /* as most are: then nothing has to grow */
	char *text;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(shorter, sizeof shorter, fmt, ap);
	va_end(ap);
	if (len < 0)
		MH_BUG("a format that cannot be printed");
	if ((size_t)len < sizeof shorter)
		return mh_strndup(shorter, (size_t)len);
	text = take((size_t)len + 1);
	va_start(ap, fmt);
	(void)vsnprintf(text, (size_t)len + 1, fmt, ap); /* the length is known */
	va_end(ap);
	return text;
}
