#include "agent/job/agents.h"

#include <sys/socket.h>

#include "agent/job/wire.h"

void agents_done(struct agents *a)
{
	while (a->count)
		agents_drop(a, a->count - 1);
}

void agents_drop(struct agents *a, size_t index)
{
	(void)close(a->fds[index]); /* nothing is buffered */
	a->fds[index] = a->fds[--a->count];
}

static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

bool agents_accept(struct agents *a, int listen_fd, int *ret_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	*ret_fd = -1;
	if (fd < 0)
		return false;
	if (a->count == AGENTS_MAX || !is_ours(fd)) {
		(void)close(fd);
		return true;
	}
	a->fds[a->count++] = fd;
	*ret_fd = fd;
	return true;
}

void agents_send(struct agents *a, int fd, struct json_object *message)
{
	struct mh_err err;

	if (wire_send(fd, message, MSG_DONTWAIT, &err) == 0)
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (a->fds[i] == fd) {
			agents_drop(a, i);
			return;
		}
	}
}

void agents_broadcast(struct agents *a, struct json_object *message)
{
	/* From the end: dropping moves the last one into the gap. */
	for (size_t i = a->count; i > 0; i--)
		agents_send(a, a->fds[i - 1], message);
}
