#include "agent/job/guard.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/job/tree.h"

#define SHIM_GONE      SIGUSR1
#define LOOK_AGAIN_NS  20000000
#define EXIT_SHIM_GONE 124 /* nobody is there to see it */

/* What the guard waits for; all signals are blocked, so that a job's own TERM to its
 * process group does not end it. */
static sigset_t awaited(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SHIM_GONE);
	return set;
}

int guard_prepare(bool detach)
{
	sigset_t all;

	(void)sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) != 0)
		return -1;
	if (!detach && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_PDEATHSIG, SHIM_GONE, 0, 0, 0);
}

/* True when the handler was among those that had ended. */
static bool reap(pid_t handler, int *ret_status)
{
	siginfo_t info = { .si_pid = 0 };
	bool seen = false;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		int status;

		if (waitpid(info.si_pid, &status, 0) == handler) {
			*ret_status = status;
			seen = true;
		}
		info.si_pid = 0;
	}
	return seen;
}

static void wait_for_signal(const struct timespec *at_most)
{
	sigset_t set = awaited();

	/* Which one came does not matter: whatever there is to do is looked for. */
	(void)sigtimedwait(&set, NULL, at_most);
}

MH_NORETURN static void end_all(void)
{
	static const struct timespec pause = { .tv_nsec = LOOK_AGAIN_NS };
	struct mh_err err;
	size_t left;
	int status;

	for (;;) {
		if (tree_signal(getpid(), SIGKILL, &left, &err) != 0)
			(void)kill(0, SIGKILL); /* no /proc: our group, and us */
		(void)reap(-1, &status);
		if (left == 0)
			_exit(EXIT_SHIM_GONE);
		wait_for_signal(&pause);
	}
}

int guard_until(pid_t handler, pid_t shim)
{
	int status;

	for (;;) {
		if (getppid() != shim)
			end_all();
		if (reap(handler, &status))
			return status;
		wait_for_signal(NULL);
	}
}
