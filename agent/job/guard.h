/*
 * The guard: where there are no namespaces, it stands between the shim and the handler,
 * as process 1 does where there are. The shim ends what a job leaves behind; should the
 * shim be killed itself, the guard does it: it is told of the shim's end by a signal, it
 * is the subreaper of all that the handler starts, and it goes last.
 *
 * Killed alone, it takes the handler along, and the shim ends the rest.
 */
#ifndef MH_JOB_GUARD_H
#define MH_JOB_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

/* Before the handler is forked: -1 with errno when it cannot be. Orphans of a job that
 * may leave some behind (detach) are none of its business. */
int guard_prepare(bool detach);

/* Reaps until `handler` has ended and answers its wait status. Does not return when
 * the shim, which was its parent, is gone: then all that descends from here is killed. */
int guard_until(pid_t handler, pid_t shim);

#endif
