#include "emulator/builtin/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/base/clock.h"

#define READ_BYTES   16384
#define FIRST_FREE   16 /* descriptors are lifted over the numbers the program gets */
#define GROUP_KILLED 128
#define POLL_MAX_MS  60000
#define LOOK_MAX_MS  50 /* between two looks at a program that has no pidfd */

/* One descriptor of the program that is collected here. */
struct collector {
	struct buf *into;
	int read_fd; /* -1: at its end, or never open */
	int write_fd;
};

struct run {
	const struct spawn_request *request;
	struct collector collectors[SPAWN_OUTPUTS]; /* of 1, 2 and 3 */
	pid_t pid;
	int pid_fd;
	int64_t end_ms; /* monotonic */
};

static int lift_fd(int *fd, struct mh_err *err)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE);

	if (high < 0)
		return mh_err_sys(err, "cannot move a descriptor");
	clean_fd(fd);
	*fd = high;
	return 0;
}

static int open_collector(struct collector *c, struct mh_err *err)
{
	int fds[2];

	if (c->into == NULL)
		return 0;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return mh_err_sys(err, "cannot make a pipe");
	c->read_fd = fds[0];
	c->write_fd = fds[1];
	if (lift_fd(&c->write_fd, err) != 0)
		return -1;
	if (fcntl(c->read_fd, F_SETFL, O_NONBLOCK) != 0)
		return mh_err_sys(err, "cannot set up a pipe");
	return 0;
}

static void close_fd(int *fd)
{
	clean_fd(fd);
	*fd = -1;
}

static void run_done(struct run *run)
{
	for (int i = 0; i < SPAWN_OUTPUTS; i++) {
		close_fd(&run->collectors[i].read_fd);
		close_fd(&run->collectors[i].write_fd);
	}
	close_fd(&run->pid_fd);
}

/* The results of these calls can only be ENOMEM or a bad number: the spawn would say. */
static void set_fds(const struct run *run, int in_fd, int out_fd,
		    posix_spawn_file_actions_t *actions)
{
	const struct spawn_request *r = run->request;

	if (in_fd >= 0)
		(void)posix_spawn_file_actions_adddup2(actions, in_fd, STDIN_FILENO);
	else
		(void)posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null",
						       O_RDONLY, 0);
	for (int i = 0; i < SPAWN_OUTPUTS; i++) {
		int target = STDOUT_FILENO + i;

		if (run->collectors[i].write_fd >= 0)
			(void)posix_spawn_file_actions_adddup2(
				actions, run->collectors[i].write_fd, target);
		else if (i == 0 && r->stdout_fd >= 0)
			(void)posix_spawn_file_actions_adddup2(actions, out_fd, target);
		else if (target <= STDERR_FILENO)
			(void)posix_spawn_file_actions_addopen(actions, target,
							       "/dev/null", O_WRONLY, 0);
	}
}

static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	(void)sigfillset(&all); /* cannot fail on valid memory */
	(void)sigemptyset(&none);
	(void)posix_spawnattr_setsigdefault(attributes, &all);
	(void)posix_spawnattr_setsigmask(attributes, &none);
	(void)posix_spawnattr_setpgroup(attributes, 0);
	(void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
							   POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETSIGMASK);
}

/* posix_spawn's arrays are not const for reasons of age: it does not write them. */
static char *const *as_argv(const char *const *strings)
{
	return (char *const *)(uintptr_t)strings;
}

static int spawn_with(struct run *run, int in_fd, int out_fd, struct mh_err *err)
{
	const struct spawn_request *r = run->request;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc;

	(void)posix_spawn_file_actions_init(&actions); /* ENOMEM alone */
	(void)posix_spawnattr_init(&attributes);
	set_fds(run, in_fd, out_fd, &actions);
	set_attributes(&attributes);
	rc = posix_spawnp(&run->pid, r->argv[0], &actions, &attributes, as_argv(r->argv),
			  as_argv(r->envp));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (rc == 0)
		return 0;
	if (rc == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "no program %s", r->argv[0]);
	errno = rc;
	return mh_err_sys(err, "cannot run %s", r->argv[0]);
}

/* A copy over the numbers that the program gets, so that none is overwritten before
 * it is used; -1 stays -1. */
static int lifted(int fd, int *ret, struct mh_err *err)
{
	if (fd < 0)
		return 0;
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
	return *ret < 0 ? mh_err_sys(err, "cannot move a descriptor") : 0;
}

static int start(struct run *run, struct mh_err *err)
{
	CLEAN(fd) int in_fd = -1;
	CLEAN(fd) int out_fd = -1;

	for (int i = 0; i < SPAWN_OUTPUTS; i++)
		if (open_collector(&run->collectors[i], err) != 0)
			return -1;
	if (lifted(run->request->stdin_fd, &in_fd, err) != 0 ||
	    lifted(run->request->stdout_fd, &out_fd, err) != 0 ||
	    spawn_with(run, in_fd, out_fd, err) != 0)
		return -1;
	for (int i = 0; i < SPAWN_OUTPUTS; i++)
		close_fd(&run->collectors[i].write_fd);
	/* -1 on an old kernel, or when descriptors are scarce: await_end() looks then. */
	run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->request->file_max_bytes > 0) {
		rlim_t max = (rlim_t)run->request->file_max_bytes;
		struct rlimit limit = { .rlim_cur = max, .rlim_max = max };

		/* A second wall behind the caller's own look at the size. */
		(void)prlimit(run->pid, RLIMIT_FSIZE, &limit, NULL);
	}
	return 0;
}

/* Takes what is there; over the maximum it is thrown away, so that the program is not
 * kept waiting. */
static void collect(struct collector *c)
{
	struct mh_err err = MH_ERR_INIT;
	char piece[READ_BYTES];
	ssize_t n = read(c->read_fd, piece, sizeof(piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&c->read_fd);
		return;
	}
	if ((size_t)n > c->into->max - c->into->len)
		n = (ssize_t)(c->into->max - c->into->len);
	if (n > 0)
		MH_ASSERT(buf_add(c->into, piece, (size_t)n, &err) == 0); /* it fits */
}

/* For most_ms at most. The last of fds is the one that cancels. Answers false when it
 * did, or when the deadline passed. */
static bool wait_for_any(const struct run *run, struct pollfd *fds, nfds_t count,
			 int most_ms)
{
	int64_t left = run->end_ms - clock_mono_ms();

	if (left <= 0)
		return false;
	fds[count] = (struct pollfd){ .fd = run->request->cancel_fd, .events = POLLIN };
	(void)poll(fds, count + 1,
		   left > most_ms ? most_ms : (int)left); /* EINTR: again */
	return fds[count].revents == 0;
}

/* Until every pipe is at its end; false when it was given up. */
static bool collect_all(struct run *run)
{
	for (;;) {
		struct pollfd fds[SPAWN_OUTPUTS + 1];
		nfds_t count = 0;

		for (int i = 0; i < SPAWN_OUTPUTS; i++)
			if (run->collectors[i].read_fd >= 0)
				fds[count++] = (struct pollfd){
					.fd = run->collectors[i].read_fd, .events = POLLIN
				};
		if (count == 0)
			return true;
		if (!wait_for_any(run, fds, count, POLL_MAX_MS))
			return false;
		for (int i = 0; i < SPAWN_OUTPUTS; i++)
			if (run->collectors[i].read_fd >= 0)
				collect(&run->collectors[i]);
	}
}

/* It stays to be reaped: until then its number is nobody else's. */
static bool has_ended(const struct run *run)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

/* Until the program has ended; false when it was given up. A pidfd tells; without one
 * it is looked at, soon at first, because most programs end with their pipes. */
static bool await_end(struct run *run)
{
	struct pollfd fds[2] = { { .fd = run->pid_fd, .events = POLLIN } };
	int look_ms = 1;

	if (run->pid_fd >= 0) {
		while (fds[0].revents == 0)
			if (!wait_for_any(run, fds, 1, POLL_MAX_MS))
				return false;
		return true;
	}
	while (!has_ended(run)) {
		if (!wait_for_any(run, fds, 1, look_ms))
			return false;
		look_ms = look_ms < LOOK_MAX_MS / 2 ? 2 * look_ms : LOOK_MAX_MS;
	}
	return true;
}

static int reap(struct run *run)
{
	int status = 0;

	while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return GROUP_KILLED + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static int finish(struct run *run, int *ret_code, struct mh_err *err)
{
	const struct spawn_request *r = run->request;
	bool done = collect_all(run) && await_end(run);

	/* Not reaped yet, so the number is still that of this program's group. */
	if (!done)
		(void)kill(-run->pid, SIGKILL); /* it may be at its end just now */
	*ret_code = reap(run);
	if (done)
		return 0;
	if (clock_mono_ms() < run->end_ms)
		return mh_err_set(err, MH_E_CANCELLED, "%s was stopped", r->argv[0]);
	return mh_err_set(err, MH_E_TIMEOUT, "%s was stopped after %lld s", r->argv[0],
			  (long long)(r->timeout_ms / 1000));
}

int spawn_run(const struct spawn_request *r, int *ret_code, struct mh_err *err)
{
	struct run run = {
		.request = r,
		.collectors = { { r->out, -1, -1 },
				{ r->errors, -1, -1 },
				{ r->report, -1, -1 } },
		.pid_fd = -1,
		.end_ms = clock_mono_ms() + r->timeout_ms,
	};
	int rc = start(&run, err);

	if (rc == 0)
		rc = finish(&run, ret_code, err);
	run_done(&run);
	return rc;
}
