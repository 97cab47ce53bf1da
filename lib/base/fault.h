/*
 * Named kill points. In a build with --enable-fault-points,
 * MILLHAND_KILL_AT=name:n makes the process kill itself (SIGKILL) when it
 * passes the point `name` for the n-th time (n from 1; absent = 1), and
 * MILLHAND_STALL_AT=name:n makes it wait there for ever, as at a disk that does not
 * answer. In any other build the macro is nothing and the environment is not looked at.
 */
#ifndef MH_BASE_FAULT_H
#define MH_BASE_FAULT_H

#include "config.h"

#ifdef MH_FAULT_POINTS
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
