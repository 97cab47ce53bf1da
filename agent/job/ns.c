#include "agent/job/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "agent/job/netdeny.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

/* Of the kernel's own headers, which do not go together with the C library's. */
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define TREE_CLONE           1
#define ATTR_RDONLY          1
#define MOVE_FROM_EMPTY_PATH 0x04
#define MOVE_TO_EMPTY_PATH   0x40

#define RESERVED_PIDS 300 /* that the kernel gives out but once */

pid_t ns_fork(bool own_network)
{
	unsigned long flags = CLONE_NEWPID | CLONE_NEWNS | SIGCHLD;

	if (own_network)
		flags |= CLONE_NEWNET;
		/* Like fork(): this process has one thread, so no lock can be left
		 * behind. */
#if defined(__s390__)
	return (pid_t)syscall(SYS_clone, 0, flags, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
#endif
}

static void say(const char *what)
{
	(void)dprintf(STDERR_FILENO, "millhand: sandbox: %s: %s\n", what,
		      strerror(errno));
}

/* The directory that holds `path`, if path is <dir>/<n> as the agent makes it, and
 * nothing that the job needs lies in there too. NULL otherwise. Caller frees. */
static char *directory_of_all(const struct spec *spec, const char *path)
{
	CLEAN(free) char *suffix = mh_format("/%lld", (long long)spec->n);
	CLEAN(free) char *parent = NULL, *inside = NULL;

	if (!str_ends_with(path, suffix) || strlen(path) == strlen(suffix))
		return NULL;
	parent = mh_strndup(path, strlen(path) - strlen(suffix));
	inside = mh_format("%s/", parent);
	if (str_starts_with(spec->plugin, inside))
		return NULL;
	for (size_t i = 0; i < spec->write_dir_count; i++) {
		if (str_starts_with(spec->write_dirs[i], inside) ||
		    strcmp(spec->write_dirs[i], parent) == 0)
			return NULL;
	}
	return STEAL_PTR(parent);
}

static int cover(const char *path)
{
	return mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "mode=0711,size=64k");
}

/* An empty directory over `top`, and in it our workspace alone, where it was. */
static int cover_around_workspace(const struct spec *spec, const char *top)
{
	CLEAN(fd) int fd = open(spec->work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEAN(free) char *own = mh_format("/proc/self/fd/%d", fd);
	struct mh_err err;
	mode_t mask;
	int rc;

	if (fd < 0 || cover(top) != 0)
		return -1;
	mask = umask(0); /* another user may have to pass */
	rc = fs_mkdir_p(spec->work_dir, 0711, &err);
	(void)umask(mask); /* answers ours */
	if (rc == 0 && mount(own, spec->work_dir, NULL, MS_BIND | MS_REC, NULL) == 0)
		return 0;
	(void)umount2(top, MNT_DETACH); /* back to how it was */
	return -1;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* The agent's state directory, if jobs is <state>/jobs and the job needs nothing in it
 * but its workspace. Caller frees. */
static char *state_directory(const struct spec *spec, const char *jobs)
{
	CLEAN(free) char *state = NULL;

	if (!str_ends_with(jobs, "/jobs") || strlen(jobs) == strlen("/jobs"))
		return NULL;
	state = mh_strndup(jobs, strlen(jobs) - strlen("/jobs"));
	if (is_inside(spec->plugin, state))
		return NULL;
	for (size_t i = 0; i < spec->write_dir_count; i++) {
		if (is_inside(spec->write_dirs[i], state) ||
		    strcmp(spec->write_dirs[i], state) == 0)
			return NULL;
	}
	return STEAL_PTR(state);
}

/* Ledger, locks, results, logs: nothing of the agent's is any job's business. True when
 * that hides other jobs' workspaces too. */
static bool hide_agents_directories(const struct spec *spec, const char *jobdir)
{
	CLEAN(free) char *jobs = jobdir ? directory_of_all(spec, jobdir) : NULL;
	CLEAN(free) char *state = jobs ? state_directory(spec, jobs) : NULL;
	const char *top = state ? state : jobs;
	bool around;

	if (!top)
		return false;
	around = is_inside(spec->work_dir, top);
	if ((around ? cover_around_workspace(spec, top) : cover(top)) == 0)
		return around;
	say("the agent's directories stay visible");
	return false;
}

static void hide_other_workspaces(const struct spec *spec)
{
	CLEAN(free) char *parent = directory_of_all(spec, spec->work_dir);

	if (parent && cover_around_workspace(spec, parent) != 0)
		say("other jobs' workspaces stay visible");
}

/* Whether the job needs something that lies in this directory of the host. */
static bool is_needed(const struct spec *spec, const char *dir)
{
	bool needed = str_starts_with(spec->plugin, dir) ||
		      str_starts_with(spec->work_dir, dir);

	for (size_t i = 0; i < spec->write_dir_count; i++) {
		CLEAN(free) char *path = mh_format("%s/", spec->write_dirs[i]);

		needed = needed || str_starts_with(path, dir);
	}
	return needed;
}

/* Programs that know no TMPDIR write to /tmp: let that be the job's own. Not where
 * the agent itself lives in there, as in tests. */
static bool own_tmp(const struct spec *spec)
{
	CLEAN(free) char *tmp = mh_format("%s/tmp", spec->work_dir);

	if (is_needed(spec, "/tmp/") || is_needed(spec, "/var/tmp/"))
		return false;
	if (mount(tmp, "/tmp", NULL, MS_BIND, NULL) != 0) {
		say("the host's /tmp stays");
		return false;
	}
	(void)mount(tmp, "/var/tmp", NULL, MS_BIND, NULL); /* may not be there */
	return true;
}

/* --- nothing else to write to --- */

#if defined(SYS_open_tree) && defined(SYS_move_mount) && defined(SYS_mount_setattr)
/* A place that stays as it is when all else becomes read-only. */
struct writable {
	int at_fd, tree_fd; /* where it is, and a copy of what is mounted there */
};

static void clean_writable(struct writable *w)
{
	clean_fd(&w->at_fd);
	clean_fd(&w->tree_fd);
}

static int save_writable(const char *path, struct writable *ret)
{
	CLEAN(writable) struct writable w = { -1, -1 };

	w.at_fd = open(path, O_PATH | O_CLOEXEC);
	if (w.at_fd < 0)
		return errno == ENOENT ? 0 : -1; /* said by whoever needs it */
	w.tree_fd = (int)syscall(SYS_open_tree, w.at_fd, "",
				 AT_EMPTY_PATH | AT_RECURSIVE | O_CLOEXEC | TREE_CLONE);
	if (w.tree_fd < 0)
		return -1;
	*ret = w;
	w.at_fd = w.tree_fd = -1;
	return 0;
}

static int restore_writable(const struct writable *w)
{
	if (w->tree_fd < 0)
		return 0;
	return (int)syscall(SYS_move_mount, w->tree_fd, "", w->at_fd, "",
			    MOVE_FROM_EMPTY_PATH | MOVE_TO_EMPTY_PATH);
}

static int make_read_only(void)
{
	const struct {
		uint64_t set, clear, propagation, userns_fd;
	} attr = { .set = ATTR_RDONLY };

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr,
			    sizeof attr);
}

/* Landlock says who may write and make files. It has no say over their modes, owners
 * and times: for a root job, whose `cp -a . "$EMPTY/"` would set those of /, only
 * read-only mounts do that. */
static bool protect_host(const struct spec *spec)
{
	struct writable saved[SPEC_MAX_WRITE_DIRS + 1];
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(saved); i++)
		saved[i] = (struct writable){ -1, -1 };
	for (size_t i = 0; i < spec->write_dir_count; i++) {
		if (strcmp(spec->write_dirs[i], "/") == 0)
			return false; /* it may write everywhere: as it is told */
		rc = rc == 0 ? save_writable(spec->write_dirs[i], &saved[count++]) : rc;
	}
	if (rc == 0)
		rc = save_writable(spec->work_dir, &saved[count++]);
	if (rc == 0)
		rc = make_read_only();
	if (rc != 0)
		say("modes, owners and times of the host's files are not protected");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (restore_writable(&saved[i]) != 0) {
			say("a directory stays read-only");
			break;
		}
	}
	for (size_t i = 0; i < count; i++)
		clean_writable(&saved[i]);
	return rc == 0;
}
#else
static bool protect_host(const struct spec *spec)
{
	(void)spec;
	return false; /* built for a kernel that cannot */
}
#endif

static bool kernel_is_at_least(int major, int minor)
{
	struct utsname names;
	int got_major = 0, got_minor = 0;

	return uname(&names) == 0 &&
	       sscanf(names.release, "%d.%d", &got_major, &got_minor) == 2 &&
	       (got_major > major || (got_major == major && got_minor >= minor));
}

/* From Linux 6.14 on each PID namespace has a largest pid of its own, root's too;
 * before, this file would be the whole machine's. */
static bool limit_pids(const struct spec *spec)
{
	CLEAN(fd) int fd = -1;
	char text[24];
	struct mh_err err;

	if (!kernel_is_at_least(6, 14))
		return false;
	fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
	(void)snprintf(text, sizeof text, "%lld",
		       (long long)spec->processes + RESERVED_PIDS);
	return fd >= 0 && fs_write_fd(fd, text, strlen(text), &err) == 0;
}

void ns_prepare(const struct spec *spec, const char *jobdir, bool own_network,
		struct sandbox_ground *ret)
{
	struct mh_err err;

	*ret = (struct sandbox_ground){ .own_network = own_network, .own_pids = true };
	if (own_network && netdeny_loopback_up(&err) != 0)
		(void)dprintf(STDERR_FILENO, "millhand: sandbox: %s\n", err.text);
	/* Later mounts of the host still come in, ours do not go out. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
		say("no mounts of its own");
		return;
	}
	if (!hide_agents_directories(spec, jobdir))
		hide_other_workspaces(spec);
	ret->read_only = protect_host(spec);
	ret->own_shm = mount("none", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV,
			     "mode=1777") == 0;
	ret->own_tmp = own_tmp(spec);
	/* Last: until here /proc/self/fd of the host's /proc was needed. */
	if (mount("none", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		say("processes of others stay visible");
	else
		ret->few_pids = limit_pids(spec);
}

int ns_reap_until(pid_t handler)
{
	for (;;) {
		int status;
		/* Process 1 inherits every orphan: whatever dies is ours to reap. */
		pid_t pid = wait(&status);

		if (pid == handler)
			return status;
		if (pid < 0 && errno != EINTR)
			return -1;
	}
}
