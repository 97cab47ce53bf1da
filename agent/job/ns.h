/*
 * The job's own view of the machine, when we are root: it is process 2 of a PID
 * namespace whose process 1 is a copy of ours that only reaps, and in a mount
 * namespace where /proc shows its own processes, /dev/shm and /tmp are private, and
 * neither the jobs' directories nor the other jobs' workspaces are there.
 *
 * Not done for other users by way of a user namespace: in one, ssh refuses system
 * files that seem to belong to nobody, and a deployment cannot use its groups.
 *
 * The end of process 1 is the end of all of them: the kernel sees to it.
 */
#ifndef MH_JOB_NS_H
#define MH_JOB_NS_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/job/sandbox.h"
#include "agent/job/spec.h"

/* Forks into new PID and mount namespaces, with own_network also a network
 * namespace: the child's pid, 0 in the child, or -1 with errno. */
pid_t ns_fork(bool own_network);

/* In process 1. What cannot be had is said on standard error. jobdir is the job
 * directory's path. */
void ns_prepare(const struct spec *spec, const char *jobdir, bool own_network,
		struct sandbox_ground *ret);

/* In process 1: reaps whatever dies, until `handler` has; answers its wait status. */
int ns_reap_until(pid_t handler);

#endif
