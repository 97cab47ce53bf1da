/*
 * kill(-1, ...) signals every process of the user: the agent, its shims, the other
 * jobs. Where neither a PID namespace nor Landlock (ABI 6) keeps signals inside, a
 * seccomp filter refuses this one call. It is a wall against accidents: who wants to
 * can still signal one process after the other.
 */
#ifndef MH_JOB_KILLDENY_H
#define MH_JOB_KILLDENY_H

#include "lib/base/err.h"

/* Needs no_new_privs; for this process and its children, for good. */
int killdeny_filter(struct mh_err *err) MH_MUST_CHECK;

#endif
