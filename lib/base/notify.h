/*
 * Talking to the service manager that started us: the datagrams of sd_notify(3),
 * without its library.
 *
 *	notify_init(&n);                           reads and forgets NOTIFY_SOCKET
 *	notify_send(&n, "READY=1\nSTATUS=polling");
 *	n.watchdog_ms > 0: it wants "WATCHDOG=1" at least so often
 *	notify_done(&n);
 *
 * Without a manager every call is nothing. Sending never blocks and never fails
 * loudly: a manager that does not listen is no reason to stop working.
 *
 * The variables are taken out of the environment, so that no child speaks for us.
 */
#ifndef MH_BASE_NOTIFY_H
#define MH_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/macros.h"

struct notify {
	int fd; /* -1: there is no manager */
	struct sockaddr_un address;
	socklen_t address_len;
	int64_t watchdog_ms; /* 0: none is set for this process */
};

#define NOTIFY_INIT                                                                      \
	{                                                                                \
		.fd = -1                                                                 \
	}

/* Answers false when NOTIFY_SOCKET names what cannot be a socket of a manager; n is
 * then as without one. */
bool notify_init(struct notify *n);
void notify_done(struct notify *n);

/* Lines "NAME=value" with a line end between them. True when the manager has it. */
bool notify_send(const struct notify *n, const char *fmt, ...) MH_PRINTF(2, 3);

#endif
