#include "lib/base/macros.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mh_bug(const char *file, int line, const char *what)
{
	(void)fprintf(stderr, "bug: %s:%d: %s\n", file, line, what);
	abort();
}

void *mh_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

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
	copy = mh_alloc(n + 1);
	memcpy(copy, s, n);
	return copy;
}

char *mh_strdup(const char *s)
{
	return s ? mh_strndup(s, strlen(s)) : NULL;
}

char *mh_format(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		MH_BUG("out of memory");
	return text;
}
