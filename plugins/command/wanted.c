#define _GNU_SOURCE
#include "wanted.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT_NAME ".millhand-wanted"
#define ASK_NAME    ".wanted"

/* Both pipes are opened for reading and writing: neither end then waits for the
 * other, and an answer stays until it is read. */
static const char script_text[] =
	"#!/bin/sh\n"
	"# 0: the job's work is still wanted. 1: it is not; stop without harm.\n"
	"dir=${0%/*}\n"
	"answer=.wanted.$$\n"
	"rm -f \"$dir/$answer\" && mkfifo -m 600 \"$dir/$answer\" || exit 2\n"
	"exec 3<>\"$dir/$answer\" 4<>\"$dir/" ASK_NAME "\" || exit 2\n"
	"echo \"$answer\" >&4 || exit 2\n"
	"read -r word <&3\n"
	"rm -f \"$dir/$answer\"\n"
	"[ \"$word\" = wanted ]\n";

static int write_script(const struct wanted *w)
{
	int fd = openat(w->dir_fd, SCRIPT_NAME,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, script_text, sizeof script_text - 1);
	if (close(fd) != 0 || n != (ssize_t)(sizeof script_text - 1))
		return -1;
	return 0;
}

int wanted_open(struct wanted *w, const char *tmp_dir)
{
	w->ask_fd = -1;
	w->said_len = 0;
	w->dir_fd = open(tmp_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir_fd < 0)
		return -1;
	if (snprintf(w->script, sizeof w->script, "%s/%s", tmp_dir, SCRIPT_NAME) >=
	    (int)sizeof w->script) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (write_script(w) != 0 || mkfifoat(w->dir_fd, ASK_NAME, 0600) != 0)
		return -1;
	w->ask_fd = openat(w->dir_fd, ASK_NAME,
			   O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return w->ask_fd < 0 ? -1 : 0;
}

void wanted_close(struct wanted *w)
{
	if (w->ask_fd >= 0)
		(void)close(w->ask_fd); /* nothing was written */
	if (w->dir_fd < 0)
		return;
	/* Who is left must not wait for an answer; and an empty directory can serve the
	 * next job. The job may have removed them. */
	(void)unlinkat(w->dir_fd, SCRIPT_NAME, 0);
	(void)unlinkat(w->dir_fd, ASK_NAME, 0);
	(void)close(w->dir_fd); /* only looked in */
}

/* The name comes from the job: a pipe right in its own directory, or no answer. */
static void answer(const struct wanted *w, const char *name)
{
	const char *word;
	struct stat st;
	int fd;

	if (!*name || strchr(name, '/'))
		return;
	fd = openat(w->dir_fd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		word = w->host->wanted(w->job) ? "wanted\n" : "no\n";
		(void)!write(fd, word, strlen(word)); /* who asked may be gone */
	}
	(void)close(fd); /* who asked has it open */
}

static void answer_all(struct wanted *w)
{
	ssize_t n = read(w->ask_fd, w->said + w->said_len,
			 sizeof w->said - 1 - w->said_len);
	char *name = w->said, *end;

	if (n <= 0)
		return;
	w->said_len += (size_t)n;
	w->said[w->said_len] = '\0';
	while ((end = strchr(name, '\n'))) {
		*end = '\0';
		answer(w, name);
		name = end + 1;
	}
	w->said_len = strlen(name);
	memmove(w->said, name, w->said_len);
	if (w->said_len == sizeof w->said - 1)
		w->said_len = 0; /* that is no name */
}

int wanted_wait(struct wanted *w, pid_t pid, int *ret_status)
{
	int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p[] = { { .fd = pid_fd, .events = POLLIN },
			      { .fd = w->ask_fd, .events = POLLIN } };
	int saved = errno, rc;

	while (pid_fd >= 0 && !(p[0].revents & POLLIN)) {
		if (poll(p, 2, -1) < 0) {
			p[0].revents = 0;
			if (errno != EINTR)
				break;
		} else if (p[1].revents & POLLIN) {
			answer_all(w);
		}
	}
	if (pid_fd >= 0)
		(void)close(pid_fd); /* nothing to lose */
	else
		(void)kill(pid, SIGKILL); /* it could ask, and nobody would answer */
	do {
		rc = waitpid(pid, ret_status, 0);
	} while (rc < 0 && errno == EINTR);
	if (pid_fd < 0)
		errno = saved;
	return rc == pid && pid_fd >= 0 ? 0 : -1;
}
