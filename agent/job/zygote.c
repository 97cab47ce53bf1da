#include "agent/job/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "agent/job/sandbox.h"
#include "agent/job/shim.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/protect.h"

#define FD_MIN  3
#define FD_MAX  4 /* a lock that the shim keeps */
#define FD_SAFE 16 /* above all that shims get; the agent's socket moves there */

/* A child of the agent, with this process's memory. Like fork(): one thread, so no
 * lock can be left behind. */
static pid_t fork_for_agent(void)
{
	unsigned long flags = CLONE_PARENT | SIGCHLD;

#if defined(__s390__)
	return (pid_t)syscall(SYS_clone, 0, flags, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
#endif
}

/* How many fds came. 0: the agent is gone. -1: something that is no request. */
static int receive(int agent_fd, int *ret_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FD_MAX)];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = sizeof byte };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof control.space };
	const struct cmsghdr *c;
	int count;
	ssize_t n;

	do {
		n = recvmsg(agent_fd, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	c = CMSG_FIRSTHDR(&message);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -1;
	count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (count < FD_MIN || count > FD_MAX)
		return -1; /* whatever came is closed when this process ends */
	memcpy(ret_fds, CMSG_DATA(c), sizeof(int) * (size_t)count);
	return count;
}

/* In the shim: each at its place. 0, or -1 with errno. */
static int place(const int *fds, int count)
{
	int high[FD_MAX];

	for (int i = 0; i < count; i++) {
		/* Out of the way first: the numbers may overlap. */
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_SAFE);
		if (high[i] < 0)
			return -1;
	}
	for (int i = 0; i < count; i++) {
		if (dup3(high[i], SHIM_FD_SPEC + i, O_CLOEXEC) < 0)
			return -1;
	}
	return 0;
}

/* What every shim and handler would do again: done here, it is theirs by birth. */
static void warm_up(void)
{
	struct mh_err err;
	CLEAN(json) struct json_object *doc = NULL;

	sandbox_learn_user();
	(void)!json_parse_object("{\"a\":[1]}", 9, &doc, &err); /* its seed */
}

int zygote_main(int (*run_shim)(void), char *option)
{
	int agent_fd = fcntl(ZYGOTE_FD, F_DUPFD_CLOEXEC, FD_SAFE);

	if (agent_fd < 0)
		return 1;
	(void)close(ZYGOTE_FD); /* lives on above */
	protect_process();
	warm_up();
	for (;;) {
		int fds[FD_MAX], answer;
		int got = receive(agent_fd, fds);

		if (got <= 0)
			return got < 0;
		answer = (int)fork_for_agent();
		if (answer == 0) {
			memset(option, 0, strlen(option));
			return place(fds, got) == 0 ? run_shim() : 1;
		}
		if (answer < 0)
			answer = -errno;
		for (int i = 0; i < got; i++)
			(void)close(fds[i]); /* the shim has its own */
		/* An agent that is gone is noticed above. */
		(void)!send(agent_fd, &answer, sizeof answer, MSG_NOSIGNAL);
	}
}
