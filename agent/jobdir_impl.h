/*
 * The directories of jobs from within, for jobdir*.c alone.
 */
#ifndef MH_AGENT_JOBDIR_IMPL_H
#define MH_AGENT_JOBDIR_IMPL_H

#include "agent/jobdir.h"

#define NAME_SIZE  24
#define SPARES_MAX 8
#define SPARE_WORK "work" /* the workspace, in a directory that is kept */

/* The directories of a job that is over, kept for the next one. */
struct spare {
	int dir_fd, listen_fd; /* dir_fd -1: none here */
	bool has_work;
};

struct jobdirs {
	struct loop *loop;
	int state_fd, jobs_fd, work_fd;
	int spare_fd; /* <state>/spare; -1 until there is one */
	char *work_path;
	unsigned removing;
	bool swept; /* what is left alone was said */
	struct spare spares[SPARES_MAX];
};

void jobdir_name(int64_t n, char ret[NAME_SIZE]);
/* Those of an earlier life go. */
int jobdir_spares_open(struct jobdirs *dirs, struct mh_err *err) MH_MUST_CHECK;
void jobdir_spares_close(struct jobdirs *dirs);
/* Gives n a spare's directories; false when there is none: they are to be made. */
bool jobdir_take_spare(struct jobdirs *dirs, int64_t n, struct spare *ret);
/* The workspace of n alone, in the background. */

#endif
