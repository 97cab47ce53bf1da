/*
 * The capabilities that a job of root keeps: those of an ordinary container, without
 * the making of device nodes. The others reach beyond the job: with them it could
 * unmount what hides the other jobs, load a module, write to a raw disk, set the
 * clock.
 */
#ifndef MH_JOB_CAPS_H
#define MH_JOB_CAPS_H

#include "lib/base/err.h"

/* For this process and all it starts, for good. Does nothing for other users. */
int caps_reduce(struct mh_err *err) MH_MUST_CHECK;

#endif
