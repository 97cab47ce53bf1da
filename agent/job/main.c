/*
 * millhand-job: the shim of one job, and the handler that it forks.
 *
 * The agent starts it without arguments and with three descriptors (docs/
 * architecture.md): 3 the job spec, 4 the job directory, 5 the listening socket.
 * With --zygote there is one descriptor, and the program forks shims as the agent asks
 * for them (zygote.h).
 *
 * A shim takes the job's lock first. Who does not get it leaves at once and silently: a
 * second shim was started for a job that has one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"

#include "agent/job/plugin.h"
#include "agent/job/sandbox.h"
#include "agent/job/shim.h"
#include "agent/job/zygote.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/protect.h"

#define EXIT_USAGE  2
#define EXIT_CONFIG 78

static const char usage[] =
	"usage: millhand-job                       run a job (started by "
	"millhand-agent)\n"
	"       millhand-job --zygote              fork such processes (started by "
	"millhand-agent)\n"
	"       millhand-job --describe PLUGIN.so  load a plugin, print what it is as "
	"JSON\n"
	"       millhand-job --version | --help\n";

static int describe(const char *path)
{
	CLEAN(free) char *absolute = realpath(path, NULL);
	CLEAN(json) struct json_object *doc = NULL;
	struct plugin plugin;
	struct mh_err err;

	if (plugin_load(absolute ? absolute : path, geteuid(), &plugin, &err) != 0) {
		(void)fprintf(stderr, "millhand-job: %s\n", err.text);
		return EXIT_CONFIG;
	}
	doc = plugin_describe(&plugin);
	return printf("%s\n", json_text(doc)) < 0 || fflush(stdout) != 0;
}

static bool is_fd_of(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

/* The lock is held from here to the end of the process. */
static int take_lock(bool *ret_got, int *ret_fd, struct mh_err *err)
{
	char boot_id[CLOCK_BOOT_ID_SIZE];
	struct stat st;
	CLEAN(fd)
	int fd = openat(SHIM_FD_JOBDIR, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			0600);

	if (fd < 0)
		return mh_err_sys(err, "open the job's lock");
	if (fs_lock(fd, ret_got, err) != 0)
		return -1;
	/* Opened before, locked after an agent made the directory anew: the job has
	 * another lock now, and another shim. */
	if (*ret_got && (fstat(fd, &st) != 0 || st.st_nlink == 0))
		*ret_got = false;
	if (!*ret_got)
		return 0;
	if (clock_boot_id(boot_id, err) != 0)
		return -1;
	/* A lock that served another job has zeros in it, as many as there are letters.
	 */
	if (st.st_size != (off_t)strlen(boot_id) && ftruncate(fd, 0) != 0)
		return mh_err_sys(err, "the job's lock");
	if (fs_write_fd(fd, boot_id, strlen(boot_id), err) != 0)
		return mh_err_wrap(err, "the job's lock");
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Away from the agent's terminal, files and limits. */
static void settle(void)
{
	(void)setsid(); /* fails when the agent did it already */
	protect_process(); /* it is told the secret configuration */
	for (int fd = SHIM_FD_SPEC; fd <= SHIM_FD_SOCKET; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* checked to be open */
	(void)fcntl(SHIM_FD_SOCKET, F_SETFL, O_NONBLOCK); /* a socket takes that */
	/* What an exclusive job's shim keeps to its end; no child gets it. */
	if (is_fd_of(SHIM_FD_KEEP, S_IFREG) &&
	    fcntl(SHIM_FD_KEEP, F_SETFD, FD_CLOEXEC) == 0)
		sandbox_close_from(SHIM_FD_KEEP + 1);
	else
		sandbox_close_from(SHIM_FD_KEEP);
}

/* Shim and agent write to the same log, so they write it alike. */
static enum log_format log_format(void)
{
	const char *name = getenv("MILLHAND_LOG_FORMAT");

	return name && strcmp(name, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
}

static int run_job(void)
{
	struct mh_err err;
	int lock_fd = -1;
	bool got;

	if (!is_fd_of(SHIM_FD_SPEC, S_IFREG) || !is_fd_of(SHIM_FD_JOBDIR, S_IFDIR) ||
	    !is_fd_of(SHIM_FD_SOCKET, S_IFSOCK)) {
		(void)fprintf(stderr,
			      "millhand-job: descriptors 3 (job spec), 4 (job directory) "
			      "and 5 (socket) are not there: the agent starts this "
			      "program\n%s",
			      usage);
		return EXIT_USAGE;
	}
	settle();
	log_init("millhand-job", log_format(), LOG_LEVEL_WARN);
	if (take_lock(&got, &lock_fd, &err) != 0) {
		log_event(LOG_LEVEL_ERROR, "job.lock_failed", "the job does not start",
			  LOG_ERR(&err), LOG_END);
		return 1;
	}
	if (!got)
		return 0;
	FAULT_POINT("job_locked");
	/* It ran already: a handler starts at most once (design section 2). */
	if (faccessat(SHIM_FD_JOBDIR, "result.json", F_OK, 0) == 0) {
		(void)close(lock_fd); /* ends the process anyway */
		return 0;
	}
	return shim_main(lock_fd);
}

static int run_zygote(char *option)
{
	if (!is_fd_of(ZYGOTE_FD, S_IFSOCK)) {
		(void)fprintf(stderr,
			      "millhand-job: descriptor 3 (the agent's socket) is not "
			      "there: the agent starts this program\n%s",
			      usage);
		return EXIT_USAGE;
	}
	return zygote_main(run_job, option);
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return run_job();
	if (argc == 2 && strcmp(argv[1], "--zygote") == 0)
		return run_zygote(argv[1]);
	if (argc == 3 && strcmp(argv[1], "--describe") == 0)
		return describe(argv[2]);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("millhand-job " PACKAGE_VERSION "\n") < 0;
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(usage, stdout) < 0;
	(void)fputs(usage, stderr);
	return EXIT_USAGE;
}
