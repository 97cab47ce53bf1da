#include "agent/job/archiver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/job/sandbox.h"
#include "include/millhand/plugin.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

#define NUMBER_SIZE 24

void archiver_done(struct archiver *a)
{
	clean_fd(&a->verdict_fd);
	buf_done(&a->verdict);
	*a = (struct archiver)ARCHIVER_INIT;
}

struct child {
	const struct spec *spec;
	char *const *argv;
	int dir_fd, in_fd, out_fd, log_fd, verdict_fd;
};

/* The verdict that the program would have given. */
MH_NORETURN static void child_failed(const char *what)
{
	(void)dprintf(3, "{\"ok\":false,\"kind\":\"system\",\"message\":\"%s: %s\"}\n",
		      what, strerror(errno));
	_exit(1);
}

MH_NORETURN static void child_main(const struct child *c)
{
	static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
	static char *const environment[] = { path, lang, NULL };
	int from[] = { c->in_fd, c->out_fd, c->log_fd, c->verdict_fd };
	struct mh_err err;

	for (int i = 0; i < 4; i++) {
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
		if (from[i] < 0)
			_exit(125);
	}
	if (fchdir(c->dir_fd) != 0)
		_exit(125);
	for (int i = 0; i < 4; i++) {
		if (dup2(from[i], i) < 0)
			_exit(125);
	}
	sandbox_close_from(4);
	sandbox_reset_signals();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)umask(022); /* answers the old one */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		child_failed("no_new_privs");
	if (sandbox_become(c->spec, &err) != 0)
		child_failed("become the job's user");
	execve(c->argv[0], c->argv, environment);
	child_failed("millhand-archive cannot be run");
}

/* Until it execs, the child borrows this process's memory: nothing is copied. It has no
 * handler that a signal could run there (the shim reads its signals from a descriptor),
 * and looking up a user's groups is too much to do in borrowed memory. */
static pid_t run(const struct child *c)
{
	pid_t pid = c->spec->switch_user ? fork() : vfork();

	if (pid == 0)
		child_main(c);
	return pid;
}

static int start(struct archiver *a, struct child *c, struct mh_err *err)
{
	CLEAN(fd) int write_fd = -1;
	int fds[2];

	MH_ASSERT(a->pid == 0);
	if (pipe2(fds, O_CLOEXEC) != 0)
		return mh_err_sys(err, "pipe");
	write_fd = fds[1];
	clean_fd(&a->verdict_fd);
	a->verdict_fd = fds[0];
	buf_clear(&a->verdict);
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0)
		return mh_err_sys(err, "fcntl");
	c->verdict_fd = write_fd;
	a->pid = run(c);
	if (a->pid < 0) {
		a->pid = 0;
		return mh_err_sys(err, "start millhand-archive");
	}
	return 0;
}

/* What the job itself has shut is its fault, not the host's. */
static int shut(const char *path, struct mh_err *err)
{
	if (errno == EACCES)
		return mh_err_set(err, MH_E_DENIED,
				  "the permissions of %s forbid to read it", path);
	return mh_err_sys(err, "read %s", path);
}

/* Opens work/<half>/<name>, made and owned by the job's user when `make`. */
static int open_artifact(const struct spec *spec, int workdir_fd, const char *half,
			 const char *name, bool make, int *ret_fd, struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("%s/%s", half, name);
	CLEAN(fd) int fd = -1;

	if (make && mkdirat(workdir_fd, path, 0755) != 0)
		return mh_err_sys(err, "make %s", path);
	fd = openat(workdir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "%s was not made", path);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return mh_err_set(err, MH_E_DENIED, "%s is not a directory", path);
	if (fd < 0)
		return make ? mh_err_sys(err, "open %s", path) : shut(path, err);
	if (make && spec->switch_user && fchown(fd, spec->uid, spec->gid) != 0)
		return mh_err_sys(err, "chown %s", path);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static void put_limit(char **argv, int *argc, const char *option, int64_t value,
		      char number[NUMBER_SIZE])
{
	if (value == 0)
		return;
	(void)snprintf(number, NUMBER_SIZE, "%lld", (long long)value);
	argv[(*argc)++] = (char *)(uintptr_t)option; /* execve does not write to it */
	argv[(*argc)++] = number;
}

int archiver_unpack(struct archiver *a, const struct spec *spec, int jobdir_fd,
		    int workdir_fd, int log_fd, size_t index, struct mh_err *err)
{
	const struct spec_artifact *artifact = &spec->inputs[index];
	char numbers[3][NUMBER_SIZE], unpack[] = "unpack", into[] = "--into", dot[] = ".";
	CLEAN(free) char *program = mh_strdup(spec->archive_program);
	char *argv[11] = { program, unpack, into, dot };
	CLEAN(fd) int in_fd = -1, dir_fd = -1;
	int argc = 4;

	put_limit(argv, &argc, "--max-bytes", spec->unpack_bytes, numbers[0]);
	put_limit(argv, &argc, "--max-entries", spec->unpack_entries, numbers[1]);
	put_limit(argv, &argc, "--max-ratio", spec->unpack_ratio, numbers[2]);
	in_fd = openat(jobdir_fd, artifact->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in_fd < 0)
		return mh_err_sys(err, "open %s", artifact->file);
	if (open_artifact(spec, workdir_fd, "in", artifact->name, true, &dir_fd, err) !=
	    0)
		return -1;
	return start(a,
		     &(struct child){
			     .spec = spec,
			     .argv = argv,
			     .dir_fd = dir_fd,
			     .in_fd = in_fd,
			     .out_fd = log_fd,
			     .log_fd = log_fd,
		     },
		     err);
}

static void clean_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* only read */
}

static int check_not_empty(int dir_fd, const char *name, struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("out/%s", name);
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN(dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return shut(path, err);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return 0;
	}
	return mh_err_set(err, MH_E_NOTFOUND, "%s is empty", path);
}

int archiver_pack(struct archiver *a, const struct spec *spec, int jobdir_fd,
		  int workdir_fd, int log_fd, size_t index, struct mh_err *err)
{
	const struct spec_artifact *artifact = &spec->outputs[index];
	char pack[] = "pack", from[] = "--from", dot[] = ".", format[] = "--format";
	CLEAN(free) char *program = mh_strdup(spec->archive_program);
	CLEAN(free) char *format_name = mh_strdup(artifact->format);
	char *argv[] = { program, pack, from, dot, format, format_name, NULL };
	CLEAN(fd) int in_fd = -1, out_fd = -1, dir_fd = -1;

	if (open_artifact(spec, workdir_fd, "out", artifact->name, false, &dir_fd, err) !=
		    0 ||
	    check_not_empty(dir_fd, artifact->name, err) != 0)
		return -1;
	in_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in_fd < 0)
		return mh_err_sys(err, "open /dev/null");
	if (mkdirat(jobdir_fd, "store", 0700) != 0 && errno != EEXIST)
		return mh_err_sys(err, "make store");
	out_fd = openat(jobdir_fd, artifact->file,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out_fd < 0)
		return mh_err_sys(err, "create %s", artifact->file);
	return start(a,
		     &(struct child){
			     .spec = spec,
			     .argv = argv,
			     .dir_fd = dir_fd,
			     .in_fd = in_fd,
			     .out_fd = out_fd,
			     .log_fd = log_fd,
		     },
		     err);
}

void archiver_read(struct archiver *a)
{
	char chunk[4096];
	struct mh_err err;
	ssize_t n;

	while (a->verdict_fd >= 0) {
		n = read(a->verdict_fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* At the end, and when it says more than a verdict can be. */
		if (n <= 0 || buf_add(&a->verdict, chunk, (size_t)n, &err) != 0)
			(void)close(STEAL_FD(a->verdict_fd)); /* only read */
	}
}

static void set_failure(struct archive_verdict *v, int failure, const char *text)
{
	v->failure = failure;
	(void)snprintf(v->message, sizeof v->message, "%s", text);
}

/* corrupt, unsafe and limit are the artifact's fault, space and system the host's. */
static int failure_of_kind(const char *kind)
{
	if (strcmp(kind, "corrupt") == 0 || strcmp(kind, "unsafe") == 0 ||
	    strcmp(kind, "limit") == 0)
		return MH_FAIL_JOB_FAILED;
	return MH_FAIL_SYSTEM_UNAVAILABLE;
}

static void read_verdict(struct archive_verdict *v, struct json_object *doc)
{
	const char *hash = json_opt_str(doc, "sha256", "");
	unsigned char bytes[32];

	const char *kind = json_opt_str(doc, "kind", "system");

	if (!json_opt_bool(doc, "ok", false)) {
		v->no_space = strcmp(kind, "space") == 0;
		set_failure(v, failure_of_kind(kind),
			    json_opt_str(doc, "message", "no reason was given"));
		return;
	}
	if (!str_unhex(hash, bytes, sizeof bytes)) {
		set_failure(v, MH_FAIL_SYSTEM_UNAVAILABLE,
			    "millhand-archive gave no hash");
		return;
	}
	str_hex(bytes, sizeof bytes, v->sha256);
}

void archiver_conclude(struct archiver *a, int wait_status, struct archive_verdict *ret)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct archive_verdict v = { .failure = 0 };
	struct mh_err err;

	archiver_read(a);
	clean_fd(&a->verdict_fd);
	a->verdict_fd = -1;
	a->pid = 0;
	if (WIFSIGNALED(wait_status)) {
		v.failure = MH_FAIL_SYSTEM_UNAVAILABLE;
		(void)snprintf(v.message, sizeof v.message,
			       "millhand-archive was killed by signal %d (%s)",
			       WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	} else if (json_parse_object(buf_text(&a->verdict), a->verdict.len, &doc, &err) !=
		   0) {
		v.failure = MH_FAIL_SYSTEM_UNAVAILABLE;
		(void)snprintf(v.message, sizeof v.message,
			       "millhand-archive exited with %d and gave no verdict",
			       WEXITSTATUS(wait_status));
	} else {
		read_verdict(&v, doc);
		if (v.failure == 0 && WEXITSTATUS(wait_status) != 0)
			set_failure(&v, MH_FAIL_SYSTEM_UNAVAILABLE,
				    "millhand-archive said yes and exited with no");
	}
	*ret = v;
}
