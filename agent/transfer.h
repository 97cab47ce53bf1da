/*
 * A job's artifacts, on their way between the store and the job's directory.
 *
 *	t = transfer_new_fetch(s3, dir_fd, max_bytes);
 *	transfer_add_input(t, 0, "Source");
 *	transfer_run(t, data, done, ctx);            begins, or goes on
 *	static void done(void *ctx, const struct transfer_report *r)
 *	transfer_free(t);                            gives up what is under way
 *
 * A few requests go at once (transfer_parallel), of one artifact or of several: a
 * large output goes up in parts, each retried alone. When nothing is under way any
 * more, `done` is told once: everything is there; or try again later, and what was
 * moved stays; or renew the credentials; or it will never work. transfer_run() may be
 * called again after it, and goes on where it stopped. An input arrives under a
 * temporary name and is renamed when it is whole.
 *
 * An upload in parts is known by an id to the store, which keeps its parts until it is
 * completed or aborted. The id and the parts that were confirmed are written down
 * beside the output (<file>.upload): transfer_free() leaves them to the next agent,
 * transfer_abandon() aborts the upload.
 */
#ifndef MH_AGENT_TRANSFER_H
#define MH_AGENT_TRANSFER_H

#include "agent/jobdata.h"
#include "agent/s3.h"

/* From good to bad: of several, the worst is told. */
enum transfer_end {
	TRANSFER_DONE,
	TRANSFER_RENEW, /* all went well so far, but the credentials have become old */
	TRANSFER_AGAIN,
	TRANSFER_EXPIRED, /* the store calls the credentials that */
	TRANSFER_FAILED,
};

struct transfer_report {
	enum transfer_end end;
	const char *failure; /* FAILED: FAIL_* */
	char text[600]; /* what went wrong, with the artifact's name */
	bool timed_out;
	bool progress; /* not DONE, but a good part of it went well */
	int64_t bytes; /* moved since the last report */
};
typedef void (*transfer_done_fn)(void *ctx, const struct transfer_report *r);

struct transfer;

/* Inputs into <dir>/fetch/<i>; max_bytes holds for each. dir_fd is borrowed. */
struct transfer *transfer_new_fetch(struct s3 *s3, int dir_fd,
				    int64_t max_bytes) MH_MUST_CHECK;
/* Outputs from <dir>/store/<i>. */
struct transfer *transfer_new_store(struct s3 *s3, int dir_fd) MH_MUST_CHECK;
/* name: of the artifact in the job's data; i names its file. Strings are copied. */
void transfer_add_input(struct transfer *t, size_t i, const char *name);
void transfer_add_output(struct transfer *t, const char *name, const char *file,
			 int64_t size, const char *sha256);

/* Places, credentials and key are taken from data, which is borrowed until done. What
 * is not there after timeout_ms is given up for this time (TRANSFER_AGAIN): bytes that
 * drip in are no stall. `done` may be called from inside when nothing could be begun. */
void transfer_run(struct transfer *t, const struct jobdata *data, int64_t timeout_ms,
		  transfer_done_fn done, void *ctx);
void transfer_free(struct transfer *t);
/* The same, and gives the uploads in parts up in the store, as well as it goes. */
void transfer_abandon(struct transfer *t, const struct jobdata *data);

#endif
