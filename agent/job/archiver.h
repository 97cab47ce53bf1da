/*
 * One run of millhand-archive: unpacks an input into work/in/<name> or packs
 * work/out/<name> into store/<i> (docs/architecture.md, "millhand-archive").
 *
 *	archiver_unpack(&a, spec, jobdir_fd, workdir_fd, log_fd, index, err)
 *	poll a.verdict_fd, archiver_read(&a); reap a.pid
 *	archiver_conclude(&a, wait_status, ...)    what it said, or how it failed
 */
#ifndef MH_JOB_ARCHIVER_H
#define MH_JOB_ARCHIVER_H

#include <sys/types.h>

#include "agent/job/spec.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct archiver {
	pid_t pid; /* 0: none runs */
	int verdict_fd; /* non-blocking */
	struct buf verdict;
};

#define ARCHIVER_INIT                                                                    \
	{                                                                                \
		.verdict_fd = -1, .verdict = BUF_INIT(16 * 1024)                         \
	}

struct archive_verdict {
	int failure; /* MH_FAIL_*, 0 when it went well */
	bool no_space; /* it failed, and may not when there is space again */
	char message[MH_ERR_TEXT_MAX]; /* failure only */
	char sha256[65]; /* of the archive, pack only */
};

void archiver_done(struct archiver *a);

/* The child's directory is the artifact's: no path is walked as the wrong user, and
 * no link put in its place is followed. NOTFOUND when the output was never made. */
int archiver_unpack(struct archiver *a, const struct spec *spec, int jobdir_fd,
		    int workdir_fd, int log_fd, size_t index,
		    struct mh_err *err) MH_MUST_CHECK;
int archiver_pack(struct archiver *a, const struct spec *spec, int jobdir_fd,
		  int workdir_fd, int log_fd, size_t index,
		  struct mh_err *err) MH_MUST_CHECK;

/* Reads what is there of the verdict. */
void archiver_read(struct archiver *a);
/* Ends the run: takes the wait status, forgets the child. */
void archiver_conclude(struct archiver *a, int wait_status, struct archive_verdict *ret);

#endif
