/*
 * Starts shims: by asking a zygote (agent/job/zygote.h), which is started with the
 * first job and lives as long as the agent; by starting millhand-job anew when there
 * is none, or it does not answer.
 *
 *	z = zygote_new("/usr/libexec/millhand/millhand-job");
 *	zygote_spawn(z, (const int[]){ spec, directory, socket }, 3, &pid, &err);
 *	zygote_reap(z);                      at each SIGCHLD
 *	zygote_free(z);                      shims live on
 *
 * Either way the shim is a child of the agent, in a session of its own, with signals
 * as by default, descriptors 3, 4, 5 (and 6: a lock that it keeps to its end), and an
 *environment without anything of the agent's own.
 */
#ifndef MH_AGENT_ZYGOTE_H
#define MH_AGENT_ZYGOTE_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define ZYGOTE_FDS_MIN 3
#define ZYGOTE_FDS_MAX 4

struct zygote;

struct zygote *zygote_new(const char *job_program) MH_MUST_CHECK;
void zygote_free(struct zygote *z);
/* Shims write to the agent's log: in JSON, or as text, which is how it begins. Those
 * that run go on as they do. */
void zygote_log_json(struct zygote *z, bool json);

/* Takes note of the shims that have ended. A SIGCHLD alone says when that can be done:
 * one that is traced shows its end on a pidfd long before it may be reaped. */
void zygote_reap(struct zygote *z);

/* fds are borrowed, and closed in no case. */
int zygote_spawn(struct zygote *z, const int *fds, int count, pid_t *ret,
		 struct mh_err *err) MH_MUST_CHECK;

/* Whether each shim that was ever started is known: true until a zygote failed to tell.
 */
bool zygote_is_sure(const struct zygote *z);

#endif
