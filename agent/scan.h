/*
 * Reading a part of a file on the loop, a slice a turn, so that hashing gigabytes
 * keeps nobody waiting.
 *
 *	s = scan_start(loop, &(struct scan_job){ .fd = fd, .len = n, .feed = f, ... });
 *	... feed(ctx, data, len) for each slice, then done(ctx, NULL) once
 *	scan_stop(s);                       before done only; no callback will come
 *
 * done is told an error when the file cannot be read or is shorter. Callbacks never
 * come from inside scan_start(); the scan is gone when done is called.
 */
#ifndef MH_AGENT_SCAN_H
#define MH_AGENT_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/net/loop.h"

struct scan_job {
	int fd; /* borrowed until done */
	int64_t offset, len;
	void (*feed)(void *ctx, const void *data, size_t len);
	void (*done)(void *ctx, const struct mh_err *err); /* NULL: all was read */
	void *ctx;
};

struct scan;
struct scan *scan_start(struct loop *loop, const struct scan_job *job) MH_MUST_CHECK;
/* NULL is none. */
void scan_stop(struct scan *scan);

#endif
