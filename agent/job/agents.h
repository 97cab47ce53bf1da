/*
 * The agents that are connected to the shim: usually one, none while the agent is
 * down or being upgraded, two for a moment when it is replaced. Whoever does not
 * read, or sends what is no message, is disconnected; it may connect again.
 */
#ifndef MH_JOB_AGENTS_H
#define MH_JOB_AGENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

#define AGENTS_MAX 8

struct agents {
	int fds[AGENTS_MAX];
	size_t count;
};

void agents_done(struct agents *a);
/* Accepts one connection from a process of our own user or root. False when there
 * is none left to accept. *ret_fd: the new one, or -1 when it was turned away. */
bool agents_accept(struct agents *a, int listen_fd, int *ret_fd);
void agents_drop(struct agents *a, size_t index);
/* To one, to all; those that cannot take it are dropped. */
void agents_send(struct agents *a, int fd, struct json_object *message);
void agents_broadcast(struct agents *a, struct json_object *message);

#endif
