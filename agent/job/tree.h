/*
 * The processes of a job, found through /proc: everything that descends from one
 * process. What loses its parent is adopted by the next subreaper (the shim), so it
 * still descends from the shim, whatever session or group it made for itself.
 */
#ifndef MH_JOB_TREE_H
#define MH_JOB_TREE_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Sends the signal to every living descendant of root, root itself excepted.
 * *ret_count: how many there were. Zombies do not count. A process whose id was
 * taken over by another in between is never hit (pidfd and start time). Fails
 * where /proc cannot be read. */
int tree_signal(pid_t root, int signal_number, size_t *ret_count,
		struct mh_err *err) MH_MUST_CHECK;

#endif
