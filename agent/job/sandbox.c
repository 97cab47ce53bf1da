#include "agent/job/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/job/caps.h"
#include "agent/job/killdeny.h"
#include "agent/job/landlock.h"
#include "agent/job/netdeny.h"

#define FILES_SOFT_LIMIT 4096

void sandbox_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &action, NULL); /* KILL and STOP refuse, rightly */
	(void)sigemptyset(&none); /* cannot fail */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void sandbox_close_from(unsigned int first)
{
	long open_max;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
#endif
	open_max = sysconf(_SC_OPEN_MAX); /* Linux before 5.9 */
	for (long fd = first; fd < (open_max < 0 ? 65536 : open_max); fd++)
		(void)close((int)fd); /* most are not open */
}

void sandbox_hide_memory(void)
{
	/* The leak checker of sanitizer builds cannot look into such a process. */
#ifndef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* hardening, not a promise */
#endif
}

void sandbox_die_with_parent(int peer_fd)
{
	struct pollfd p = { .fd = peer_fd, .events = POLLIN };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* cannot fail for SIGKILL */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP))
		_exit(125);
}

static void lower_limit(int resource, rlim_t soft, bool for_good)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		return;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > soft)
		limit.rlim_cur = soft;
	else
		limit.rlim_cur = limit.rlim_max;
	if (for_good)
		limit.rlim_max = limit.rlim_cur;
	(void)setrlimit(resource, &limit); /* below the hard limit: always allowed */
}

static void set_limits(const struct spec *spec)
{
	struct rlimit no_core = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &no_core); /* lowering is always allowed */
	lower_limit(RLIMIT_NOFILE, FILES_SOFT_LIMIT, false);
	/* Counts all processes of the user, and binds this job alone: agent and shims
	 * can still start theirs. Does not bind root. */
	lower_limit(RLIMIT_NPROC, (rlim_t)spec->processes, true);
}

static int put_env(const char *name, const char *value, struct mh_err *err)
{
	return setenv(name, value, 1) == 0 ? 0 : mh_err_sys(err, "setenv %s", name);
}

static struct {
	uid_t uid;
	char name[64]; /* "": not learned */
} own_user;

void sandbox_learn_user(void)
{
	const struct passwd *user = getpwuid(geteuid());

	own_user.uid = geteuid();
	if (user && strlen(user->pw_name) < sizeof own_user.name)
		memcpy(own_user.name, user->pw_name, strlen(user->pw_name) + 1);
}

static const char *name_of(uid_t uid)
{
	const struct passwd *user;

	if (*own_user.name && uid == own_user.uid)
		return own_user.name;
	user = getpwuid(uid);
	return user ? user->pw_name : "nobody";
}

static int set_environment(const struct spec *spec, struct mh_err *err)
{
	CLEAN(free) char *tmp = mh_format("%s/tmp", spec->work_dir);
	const char *name = name_of(spec->uid);

	if (clearenv() != 0)
		return mh_err_set(err, MH_E_SYS, "clearenv failed");
	if (put_env("PATH",
		    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		    err) != 0 ||
	    put_env("HOME", tmp, err) != 0 || put_env("TMPDIR", tmp, err) != 0 ||
	    put_env("LANG", "C.UTF-8", err) != 0 || put_env("USER", name, err) != 0 ||
	    put_env("LOGNAME", name, err) != 0)
		return -1;
	return put_env("SHELL", "/bin/sh", err);
}

int sandbox_base(const struct spec *spec, struct mh_err *err)
{
	sandbox_reset_signals();
	(void)umask(022); /* answers the old one */
	set_limits(spec);
	return set_environment(spec, err);
}

int sandbox_become(const struct spec *spec, struct mh_err *err)
{
	if (!spec->switch_user)
		return 0;
	if (initgroups(spec->user, spec->gid) != 0 || setgid(spec->gid) != 0 ||
	    setuid(spec->uid) != 0)
		return mh_err_sys(err, "become user '%.64s'", spec->user);
	if (setuid(0) == 0 || geteuid() != spec->uid)
		MH_BUG("the user was not given up");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* setuid cleared it */
	return 0;
}

/* Devices that programs write to without a thought. */
static const char *const harmless_devices[] = {
	"/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
	"/dev/urandom", "/dev/tty",  "/dev/ptmx", "/dev/pts",
};

static int allow_writes(const struct spec *spec, const struct sandbox_ground *ground,
			struct landlock_rules *rules, struct mh_err *err)
{
	if (landlock_allow(rules, spec->work_dir, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(harmless_devices); i++) {
		if (landlock_allow(rules, harmless_devices[i], err) != 0 &&
		    err->cls != MH_E_NOTFOUND)
			return -1;
	}
	if (ground->own_shm && landlock_allow(rules, "/dev/shm", err) != 0)
		return -1;
	if (ground->own_tmp && landlock_allow(rules, "/tmp", err) != 0)
		return -1;
	for (size_t i = 0; i < spec->write_dir_count; i++) {
		if (landlock_allow(rules, spec->write_dirs[i], err) != 0) {
			err->cls = MH_E_CONFIG;
			return mh_err_wrap(err, "sandbox.write");
		}
	}
	return 0;
}

/* NULL when the kernel has no Landlock that would do. */
static int make_rules(const struct spec *spec, const struct sandbox_ground *ground,
		      struct landlock_rules **ret, int *ret_abi, struct mh_err *err)
{
	CLEAN(landlock) struct landlock_rules *rules = NULL;
	int abi = landlock_abi();

	*ret_abi = abi;
	if (abi < 2) {
		/* ABI 1 forbids renaming between directories, which breaks builds. */
		if (!ground->read_only)
			(void)dprintf(STDERR_FILENO,
				      "millhand: sandbox: this kernel's Landlock is %s: "
				      "the job can write wherever its user can\n",
				      abi == 0 ? "missing or off" : "too old");
		*ret = NULL;
		return 0;
	}
	/* What a deployment leaves running may have to signal what it replaces. */
	if (landlock_new(abi, !spec->detach, &rules, err) != 0 ||
	    allow_writes(spec, ground, rules, err) != 0)
		return -1;
	*ret = STEAL_PTR(rules);
	return 0;
}

static void say(const char *what, const char *why)
{
	(void)dprintf(STDERR_FILENO, "millhand: sandbox: %s%s%s\n", what,
		      *why ? ": " : "", why);
}

/* What a job could do to processes that are not its own. */
static void keep_signals_inside(const struct sandbox_ground *ground, bool scoped)
{
	struct mh_err err;

	if (ground->own_pids || scoped)
		return;
	if (killdeny_filter(&err) == 0)
		say("signals to all processes are refused, to a single one of its user's "
		    "they are not",
		    "");
	else
		say("the job can signal all processes of its user", err.text);
}

int sandbox_enter(const struct spec *spec, const struct sandbox_ground *ground,
		  struct mh_err *err)
{
	CLEAN(landlock) struct landlock_rules *rules = NULL;
	int abi;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return mh_err_sys(err, "no_new_privs");
	/* The rules are made before the user changes, who may not reach the paths. */
	if (make_rules(spec, ground, &rules, &abi, err) != 0)
		return mh_err_wrap(err, "sandbox");
	if (rules && landlock_enter(rules, err) != 0)
		return mh_err_wrap(err, "sandbox");
	/* A job that may leave processes behind is trusted with the host. */
	if (!spec->detach && caps_reduce(err) != 0)
		return mh_err_wrap(err, "sandbox");
	if (sandbox_become(spec, err) != 0)
		return mh_err_wrap(err, "sandbox");
	if (!spec->detach)
		keep_signals_inside(ground, rules && abi >= LANDLOCK_ABI_SIGNALS);
	if (geteuid() == 0 && !ground->few_pids)
		say("nothing limits how many processes the job starts", "");
	if (!spec->network && !ground->own_network && netdeny_filter(err) != 0)
		return mh_err_wrap(err, "sandbox: network = false");
	sandbox_hide_memory();
	return 0;
}
