/*
 * What the handler gives up before it loads its plugin (design section 5).
 *
 *	sandbox_base(spec)             environment, limits, masks: cannot fail a job
 *	sandbox_enter(spec, ...)       no_new_privs, Landlock, user, network
 *
 * Runs in the handler, between fork and dlopen. What the kernel does not offer is
 * said in one line on standard error, which is the job's log; what the agent's
 * configuration asked for by name (user, write, network) and cannot be had fails.
 */
#ifndef MH_JOB_SANDBOX_H
#define MH_JOB_SANDBOX_H

#include <stdbool.h>

#include "agent/job/spec.h"
#include "lib/base/err.h"

/* Signals as a program expects them, umask, resource limits, clean environment. */
int sandbox_base(const struct spec *spec, struct mh_err *err) MH_MUST_CHECK;

/* In the zygote: what this user is called, so that no job has to look it up. */
void sandbox_learn_user(void);

struct sandbox_ground {
	bool own_pids; /* in a PID namespace of its own */
	bool few_pids; /* which takes spec.processes of them and no more */
	bool own_network; /* in a network namespace of its own */
	bool own_shm; /* /dev/shm is private to the job */
	bool own_tmp; /* /tmp and /var/tmp are the job's own tmp directory */
	bool read_only; /* all else of the host's files is mounted read-only */
};

/* CONFIG when the configuration asks for what cannot be. */
int sandbox_enter(const struct spec *spec, const struct sandbox_ground *ground,
		  struct mh_err *err) MH_MUST_CHECK;

/* Become the user; PDEATHSIG is lost by that and set again. Used for the archive
 * program as well. Nothing when the user stays. */
int sandbox_become(const struct spec *spec, struct mh_err *err) MH_MUST_CHECK;

/* SIGKILL for this process when its parent dies. peer_fd is a socket whose other end
 * only the parent holds: if the parent died before, it tells, and we leave. */
void sandbox_die_with_parent(int peer_fd);

/* Memory of this process cannot be read by others of its user, nor dumped. */
void sandbox_hide_memory(void);

/* Signal mask empty, every handler default: what a new program expects. */
void sandbox_reset_signals(void);

/* Closes every descriptor from `first` on. */
void sandbox_close_from(unsigned int first);

#endif
