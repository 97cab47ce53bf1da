/*
 * The job's log: what handler, archive program and their children write to stdout
 * and stderr comes through one pipe, is redacted, and ends in <jobdir>/log, which
 * never grows past its maximum. The last lines are kept in memory as well, also
 * those past the maximum, because that is where the error stands.
 *
 *	logpipe_open(&lp, jobdir_fd, max_bytes, err)
 *	redact_add(&lp.redact, secret)            before anything may print it
 *	give lp.write_fd to children; poll lp.read_fd; logpipe_read(&lp)
 *	logpipe_drain(&lp)                        when they are gone
 *	text = logpipe_tail(&lp)
 *	logpipe_done(&lp)
 *
 * Trouble with the file (no space) never stops a job: the file ends there.
 */
#ifndef MH_JOB_LOGPIPE_H
#define MH_JOB_LOGPIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/job/redact.h"
#include "lib/base/err.h"

#define LOGPIPE_TAIL_BYTES   4000
#define LOGPIPE_RECENT_BYTES (4 * LOGPIPE_TAIL_BYTES)

struct logpipe {
	int read_fd; /* non-blocking */
	int write_fd; /* for children; close-on-exec here */
	int file_fd;
	int64_t max_bytes, written;
	bool cut; /* the maximum was reached and said */
	bool mid_line; /* the last byte was no newline */
	struct redact redact;
	char *recent; /* the last redacted bytes; NULL while nothing was said; owned */
	size_t recent_len;
};

#define LOGPIPE_INIT                                                                     \
	{                                                                                \
		.read_fd = -1, .write_fd = -1, .file_fd = -1, .redact = REDACT_INIT      \
	}

int logpipe_open(struct logpipe *lp, int jobdir_fd, int64_t max_bytes,
		 struct mh_err *err) MH_MUST_CHECK;
void logpipe_done(struct logpipe *lp);

/* One read's worth of what the pipe holds; false when it is empty. */
bool logpipe_read(struct logpipe *lp);
/* Until it is empty, then the bytes held back for redaction. */
void logpipe_drain(struct logpipe *lp);
/* A line of our own: "millhand: ...". */
void logpipe_note(struct logpipe *lp, const char *fmt, ...) MH_PRINTF(2, 3);

/* The last whole lines, at most LOGPIPE_TAIL_BYTES of clean UTF-8 without escape
 * sequences; "" when nothing was printed. Caller frees. */
char *logpipe_tail(const struct logpipe *lp) MH_MUST_CHECK;

#endif
