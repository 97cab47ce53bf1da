/*
 * Small building blocks that every other file may use: array lengths, scope
 * clean-up, moving ownership, attributes, and the one way to stop on a bug.
 *
 * Scope clean-up: declare `CLEAN(free) char *p = NULL;` and the value is
 * released when p leaves its scope. To hand p to a longer-lived owner, write
 * `*ret = STEAL_PTR(p);` on the last lines of the function.
 */
#ifndef MH_BASE_MACROS_H
#define MH_BASE_MACROS_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define MH_PRINTF(fmt_index, args_index)                                                 \
	__attribute__((format(printf, fmt_index, args_index)))
#define MH_MUST_CHECK __attribute__((warn_unused_result))
#define MH_NORETURN   __attribute__((noreturn))
#define MH_UNUSED     __attribute__((unused))

/* CLEAN(x) calls clean_x(&variable) at the end of the scope. */
#define CLEAN(kind) __attribute__((cleanup(clean_##kind)))

static inline void clean_free(void *pp)
{
	void **p = pp;

	free(*p);
}

static inline void clean_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* only reading, or errors were checked before */
}

#define STEAL_PTR(p)                                                                     \
	(__extension__({                                                                 \
		__typeof__(p) stolen_ = (p);                                             \
		(p) = NULL;                                                              \
		stolen_;                                                                 \
	}))

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}
#define STEAL_FD(fd) steal_fd(&(fd))

/* A state that cannot happen: says where, and aborts. Never compiled out. */
MH_NORETURN void mh_bug(const char *file, int line, const char *what);
#define MH_BUG(what) mh_bug(__FILE__, __LINE__, (what))
#define MH_ASSERT(cond)                                                                  \
	do {                                                                             \
		if (!(cond))                                                             \
			MH_BUG(#cond);                                                   \
	} while (0)

/* Memory for small things: these abort when there is none (the ledger and the
 * store make a restart safe). Sizes that come from outside are capped first. */
void *mh_alloc(size_t size) MH_MUST_CHECK; /* zeroed */
void *mh_realloc(void *p, size_t size) MH_MUST_CHECK;
char *mh_strdup(const char *s) MH_MUST_CHECK; /* NULL in, NULL out */
char *mh_strndup(const char *s, size_t n) MH_MUST_CHECK;
char *mh_format(const char *fmt, ...) MH_PRINTF(1, 2) MH_MUST_CHECK;
/* Strings one after the other: a tenth of what mh_format() costs. */
#define mh_concat(...) mh_concat_until_null(__VA_ARGS__, (char *)NULL)
char *mh_concat_until_null(const char *first, ...)
	__attribute__((sentinel)) MH_MUST_CHECK;

#endif
