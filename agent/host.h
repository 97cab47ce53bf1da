/*
 * The host's limits: how much room there must be before jobs are taken, the room that
 * is kept back for results, and how many jobs the descriptors are enough for.
 *
 *	host_measure(fd, &space, &err);              a file system, by a directory of it
 *	host_judge(&limits, &space, was_low)         what it lacks
 *	host_reserve_make(state_fd, &err)            once, and again when it was given
 *back host_reserve_give(state_fd)                  when a commit finds no space
 *	host_raise_files(), host_jobs_by_files(entries)   at the start
 *
 * Who was low is so until there is a fourth more than the limit (as a share of the disk,
 * the limit itself): a disk at its limit would let jobs in one by one, each of which
 *fills it again.
 */
#ifndef MH_AGENT_HOST_H
#define MH_AGENT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct host_space {
	int64_t bytes, bytes_all; /* free for us, and in all */
	int64_t inodes, inodes_all; /* all: 0 where the file system has no such limit */
};

struct host_limits {
	int64_t bytes;
	int64_t bytes_percent, inodes_percent; /* 0: any */
};

enum host_lack { HOST_LACKS_NOTHING, HOST_LACKS_BYTES, HOST_LACKS_INODES };
const char *host_lack_name(enum host_lack lack);

int host_measure(int fd, struct host_space *ret, struct mh_err *err) MH_MUST_CHECK;
enum host_lack host_judge(const struct host_limits *limits,
			  const struct host_space *space, bool was_low);

/* The reserve: a file of real blocks in the state directory. SQLite's log needs a few
 * pages for an outcome, and giving them back is the one way to space that does not
 * depend on anybody else. */
#define HOST_RESERVE_BYTES (512 << 10)
/* FULL when there is no space for it; what there was of it stays. */
int host_reserve_make(int state_fd, struct mh_err *err) MH_MUST_CHECK;
/* A shim without an agent takes of it (agent/job/shim_finish.c). */
bool host_reserve_is_whole(int state_fd);
/* False when there was none. */
bool host_reserve_give(int state_fd);

/* Raises the soft limit of descriptors to the hard one; a handler gets a low one again
 * (agent/job/sandbox.h). What cannot be raised stays. */
void host_raise_files(void);
/* How many jobs at once the limit is enough for, besides what is open now and a poll of
 * each entry: at least 1. */
int64_t host_jobs_by_files(int64_t entries);

#endif
