/*
 * sandbox.network = false.
 *
 * In a network namespace of its own a job has a loopback device and nothing else.
 * Where no such namespace can be had, a seccomp filter refuses sockets that could
 * reach the network, loopback included: socket() of any family but local and
 * netlink answers EACCES.
 */
#ifndef MH_JOB_NETDENY_H
#define MH_JOB_NETDENY_H

#include "lib/base/err.h"

/* Starts the loopback device of a fresh network namespace. */
int netdeny_loopback_up(struct mh_err *err) MH_MUST_CHECK;
/* Needs no_new_privs; for this process and its children, for good. */
int netdeny_filter(struct mh_err *err) MH_MUST_CHECK;

#endif
