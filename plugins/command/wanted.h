/*
 * Lets a command ask, in the middle of its work, whether that is still wanted:
 *
 *	wanted_open(&w, tmp_dir)       makes $MILLHAND_WANTED, a script, and what it asks
 *by wanted_wait(&w, pid, &status)  answers until the process has ended, and reaps it
 *	wanted_close(&w)
 *
 * The script makes a pipe of its own, says its name on the pipe `ask`, and reads the
 * answer from its own. Both lie in the job's directory: nobody else can ask.
 */
#ifndef MH_COMMAND_WANTED_H
#define MH_COMMAND_WANTED_H

#include <limits.h>
#include <sys/types.h>

#include <millhand/plugin.h>

struct wanted {
	struct mh_job *job;
	const struct mh_host *host;
	char script[PATH_MAX]; /* what $MILLHAND_WANTED is */
	int dir_fd, ask_fd;
	char said[1024]; /* names that are not whole yet */
	size_t said_len;
};

/* 0, or -1 with errno. job and host are set by the caller. */
int wanted_open(struct wanted *w, const char *tmp_dir);
int wanted_wait(struct wanted *w, pid_t pid, int *ret_status);
void wanted_close(struct wanted *w);

#endif
