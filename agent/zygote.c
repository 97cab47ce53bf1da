#include "agent/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "config.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define FD_FIRST   3 /* what a program gets: 3, and for a shim 4, 5 and perhaps 6 */
#define FD_SAFE    16 /* sources are moved above, so that no dup2 hits one */
#define PATIENCE_S 5 /* for a zygote's answer */

struct zygote {
	char *program;
	int fd; /* the socket it is asked on; -1: none runs */
	pid_t pid;
	bool json; /* how shims log */
	pid_t *shims; /* not reaped yet, owned */
	size_t shim_count, shim_cap;
	bool unsure; /* a shim may have been started whose pid was not told */
};

/* --- starting a program ---------------------------------------------------------- */

/* The environment of shims: what programs need to find one another and to speak
 * the user's language, and how to log. Nothing else of the agent's own, least of
 * all AWS_*. A handler gets an environment made anew (job/sandbox.c). */
static bool is_passed_on(const char *entry)
{
	static const char *const names[] = {
		"PATH=",
		"HOME=",
		"USER=",
		"LOGNAME=",
		"SHELL=",
		"LANG=",
		"TZ=",
		"JOURNAL_STREAM=",
		"ASAN_OPTIONS=",
		"UBSAN_OPTIONS=",
		"LSAN_OPTIONS=",
#ifdef MH_FAULT_POINTS
		"MILLHAND_KILL_AT=",
		"MILLHAND_BOOT_ID_FILE=",
#endif
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_starts_with(entry, names[i]))
			return true;
	}
	return str_starts_with(entry, "LC_");
}

static char **job_environment(bool json)
{
	static char log_json[] = "MILLHAND_LOG_FORMAT=json";
	char *const *from = environ;
	size_t count = 0, n = 0;
	char **to;

	while (from[count])
		count++;
	to = mh_alloc((count + 2) * sizeof(*to));
	if (json)
		to[n++] = log_json; /* else they log text */
	for (size_t i = 0; i < count; i++) {
		if (is_passed_on(from[i]))
			to[n++] = from[i];
	}
	return to;
}

static int prepare_spawn(const int *fds, int fd_count,
			 posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc = 0;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	rc |= posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	rc |= posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < fd_count; i++)
		rc |= posix_spawn_file_actions_adddup2(actions, fds[i], FD_FIRST + i);
#ifdef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
	rc |= posix_spawn_file_actions_addclosefrom_np(actions, FD_FIRST + fd_count);
#endif
	rc |= posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	rc |= posix_spawnattr_setsigmask(attr, &none);
	rc |= posix_spawnattr_setsigdefault(attr, &all);
	return rc;
}

static int spawn(const struct zygote *z, const char *option, const int *fds, int fd_count,
		 pid_t *ret, struct mh_err *err)
{
	CLEAN(free) char *name = mh_strdup("millhand-job");
	CLEAN(free) char *argument = option ? mh_strdup(option) : NULL;
	char *argv[] = { name, argument, NULL };
	char **envp = job_environment(z->json);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = ENOMEM;

	if (posix_spawn_file_actions_init(&actions) == 0) {
		if (posix_spawnattr_init(&attr) == 0) {
			if (prepare_spawn(fds, fd_count, &actions, &attr) == 0)
				rc = posix_spawn(ret, z->program, &actions, &attr, argv,
						 envp);
			(void)posix_spawnattr_destroy(&attr);
		}
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	free(envp);
	errno = rc;
	return rc == 0 ? 0 : mh_err_sys(err, "start %s", z->program);
}

/* Copies above every number that is about to be assigned. */
static int move_up(int fd, int *ret, struct mh_err *err)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, FD_SAFE);
	return *ret >= 0 ? 0 : mh_err_sys(err, "duplicate a descriptor");
}

static int spawn_directly(const struct zygote *z, const int *fds, int count, pid_t *ret,
			  struct mh_err *err)
{
	int high[ZYGOTE_FDS_MAX] = { 0 }, moved = 0, rc = 0;

	while (moved < count && rc == 0) {
		rc = move_up(fds[moved], &high[moved], err);
		moved += rc == 0;
	}
	if (rc == 0)
		rc = spawn(z, NULL, high, count, ret, err);
	while (moved > 0)
		(void)close(high[--moved]); /* the shim has its own */
	return rc;
}

/* --- the zygote ------------------------------------------------------------------- */

struct zygote *zygote_new(const char *job_program)
{
	struct zygote *z = mh_alloc(sizeof(*z));

	*z = (struct zygote){ .program = mh_strdup(job_program), .fd = -1 };
	return z;
}

/* Whatever it does: it must not start a shim that nobody waits for any more. */
static void end_zygote(struct zygote *z)
{
	if (z->fd < 0)
		return;
	(void)close(z->fd);
	z->fd = -1;
	(void)kill(z->pid, SIGKILL); /* ours, and not reaped yet */
	(void)waitid(P_PID, (id_t)z->pid, &(siginfo_t){ 0 }, WEXITED);
}

void zygote_log_json(struct zygote *z, bool json)
{
	if (z->json == json)
		return;
	z->json = json;
	end_zygote(z); /* the next one is told */
}

void zygote_free(struct zygote *z)
{
	if (!z)
		return;
	end_zygote(z);
	free(z->shims);
	free(z->program);
	free(z);
}

/* --- the ends of shims ------------------------------------------------------------ */

static void remember(struct zygote *z, pid_t pid)
{
	if (z->shim_count == z->shim_cap) {
		z->shim_cap = z->shim_cap ? 2 * z->shim_cap : 16;
		z->shims = mh_realloc(z->shims, z->shim_cap * sizeof(*z->shims));
	}
	z->shims[z->shim_count++] = pid;
}

/* True when it is ours to wait for no longer. */
static bool reap_one(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) != 0)
		return errno == ECHILD;
	if (info.si_pid == 0)
		return false;
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		log_event(
			LOG_LEVEL_WARN, "shim.died", "a job's shim did not end by itself",
			LOG_I("pid", pid),
			LOG_S("how", info.si_code == CLD_EXITED ? "exit code" : "signal"),
			LOG_I("status", info.si_status), LOG_END);
	return true;
}

void zygote_reap(struct zygote *z)
{
	size_t kept = 0;

	for (size_t i = 0; z && i < z->shim_count; i++) {
		if (!reap_one(z->shims[i]))
			z->shims[kept++] = z->shims[i];
	}
	if (z)
		z->shim_count = kept;
}

static int start_zygote(struct zygote *z, struct mh_err *err)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	CLEAN(fd) int ours = -1;
	CLEAN(fd) int its = -1;
	CLEAN(fd) int high = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return mh_err_sys(err, "socketpair");
	ours = pair[0];
	its = pair[1];
	if (setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0)
		return mh_err_sys(err, "setsockopt");
	if (move_up(its, &high, err) != 0 ||
	    spawn(z, "--zygote", &high, 1, &z->pid, err) != 0)
		return -1;
	z->fd = STEAL_FD(ours);
	return 0;
}

static int send_fds(int fd, const int *fds, int count)
{
	size_t bytes = sizeof(int) * (size_t)count;
	union {
		char space[CMSG_SPACE(sizeof(int) * ZYGOTE_FDS_MAX)];
		struct cmsghdr align;
	} control = { .space = { 0 } };
	char byte = 'j';
	struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = CMSG_SPACE(bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), fds, bytes);
	return sendmsg(fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int ask(struct zygote *z, const int *fds, int count, pid_t *ret,
	       struct mh_err *err)
{
	ssize_t n;
	int answer;

	if (z->fd < 0 && start_zygote(z, err) != 0)
		return -1;
	if (send_fds(z->fd, fds, count) != 0)
		return mh_err_sys(err, "ask the zygote for a shim");
	do {
		n = recv(z->fd, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return mh_err_sys(err, "the zygote's answer");
	if (n != (ssize_t)sizeof(answer))
		return mh_err_set(err, MH_E_SYS, "the zygote is gone");
	if (answer <= 0) {
		errno = -answer;
		return mh_err_sys(err, "the zygote cannot fork");
	}
	*ret = (pid_t)answer;
	return 0;
}

bool zygote_is_sure(const struct zygote *z)
{
	return !z->unsure;
}

/* Should a shim have been started whose pid was not told: of two, the one that does
 * not get the job's lock leaves at once. */
int zygote_spawn(struct zygote *z, const int *fds, int count, pid_t *ret,
		 struct mh_err *err)
{
	struct mh_err why = MH_ERR_INIT;

	if (ask(z, fds, count, ret, &why) == 0) {
		remember(z, *ret);
		return 0;
	}
	log_event(LOG_LEVEL_WARN, "shim.no_zygote", "a job is started the slower way",
		  LOG_ERR(&why), LOG_END);
	end_zygote(z);
	z->unsure = true;
	if (spawn_directly(z, fds, count, ret, err) != 0)
		return -1;
	remember(z, *ret);
	return 0;
}
