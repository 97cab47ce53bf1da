/*
 * The handler: a fork of the shim that becomes the job. It keeps four descriptors,
 * enters the sandbox, loads the plugin, runs it, sends the outcome over its channel
 * and ends. Between it and the shim stands process 1 of the namespaces (ns.h), or where
 * there are none a guard (guard.h).
 */
#ifndef MH_JOB_HANDLER_H
#define MH_JOB_HANDLER_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/job/spec.h"

/* What the child finds, whatever the numbers were in the shim. */
enum handler_fd {
	HANDLER_CHANNEL = 3, /* SOCK_SEQPACKET to the shim */
	HANDLER_CANCEL = 4, /* eventfd, readable once cancelled */
	HANDLER_DOCUMENT = 5, /* job document, sealed memfd */
	HANDLER_STATUS = 6, /* process 1 or the guard writes its wait status here */
};

struct handler_start {
	const struct spec *spec;
	const char *jobdir; /* path, for hiding it; may be NULL */
	int log_fd, channel_fd, cancel_fd, document_fd, status_fd;
	pid_t shim_pid;
	bool namespaces, own_network;
	uid_t trusted_uid; /* may own plugins, besides root */
};

/* In the child, right after fork. */
MH_NORETURN void handler_main(const struct handler_start *start);

#endif
