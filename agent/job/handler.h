/*
 * The handler: a fork of the shim that becomes the job. It keeps four descriptors,
 * enters the sandbox, loads the plugin, runs it, sends the outcome over its channel
 * and ends. With namespaces a process 1 stands between it and the shim (ns.h).
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
	HANDLER_STATUS = 6, /* process 1 writes the handler's wait status here */
};

struct handler_start {
	const struct spec *spec;
	const char *jobdir; /* path, for hiding it; may be NULL */
	int log_fd, channel_fd, cancel_fd, document_fd;
	int status_fd; /* -1 without namespaces */
	bool namespaces, own_network;
	uid_t trusted_uid; /* may own plugins, besides root */
};

/* In the child, right after fork. */
MH_NORETURN void handler_main(const struct handler_start *start);

#endif
