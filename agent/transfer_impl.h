/*
 * A transfer from within, for transfer*.c alone.
 *
 * transfer.c keeps a few requests under way at once, of whichever artifacts have
 * something left to do; transfer_fetch.c and transfer_store.c know what that is and
 * what an answer means. A request that failed is not repeated in the same run: the
 * others go on, and the next run, after the caller's back-off, begins with it. After
 * a few failures nothing new is begun, and the run ends with what is under way.
 */
#ifndef MH_AGENT_TRANSFER_IMPL_H
#define MH_AGENT_TRANSFER_IMPL_H

#include <sys/queue.h>

#include "agent/checksum.h"
#include "agent/scan.h"
#include "agent/transfer.h"

struct upload; /* transfer_store.c */
struct pieces; /* transfer_fetch.c */

struct item {
	struct transfer *transfer;
	char *name;
	char file[32], part[40], journal[40]; /* in the job's directory */
	bool done;
	int fd; /* -1 while not under way */
	unsigned failed_run; /* the run in which the whole of it failed */
	unsigned busy; /* requests under way */
	struct scan *scan; /* or NULL */
	/* fetch */
	int64_t received; /* in one stream: bytes of `etag` that are there */
	char etag[S3_ETAG_SIZE];
	struct pieces *pieces; /* once it comes in parts */
	bool unsplit; /* the store has no ranges, as it seems */
	const char *checksum_name; /* or NULL: none is known */
	char checksum[S3_CHECKSUM_SIZE];
	struct checksum
		sum; /* of what is there in one stream; of all, while it is read */
	bool complete; /* all is there; it has to be read for its checksum */
	/* store */
	int64_t size;
	char sha256[65];
	struct upload *upload; /* once it goes in parts */
	int anew; /* how often it was begun again */
};

/* One request under way. */
struct work {
	struct item *item;
	size_t part;
	struct s3_call *call;
	TAILQ_ENTRY(work) link;
};

struct transfer {
	struct s3 *s3;
	int dir_fd;
	bool is_store;
	int64_t max_bytes;
	struct item items[JOBDATA_ARTIFACTS_MAX];
	size_t count;

	/* The run under way. */
	unsigned run;
	const struct jobdata *data; /* borrowed */
	int64_t until_ms; /* monotonic */
	TAILQ_HEAD(work_list, work) works;
	size_t running; /* works and scans */
	int failures;
	struct transfer_report report; /* the worst end so far */
	transfer_done_fn done;
	void *ctx;
};

/* Bytes from which on a run that failed counts as progress all the same. */
#define TRANSFER_PROGRESS_BYTES (1024 * 1024)

/* Takes note of a bad end of this run, if it is the worst so far. */
void transfer_worse(struct transfer *t, const struct item *item, enum transfer_end end,
		    const char *failure, const char *what);
/* The same for an answer that is not OK and not CHANGED. */
void transfer_take_failure(struct item *item, const struct s3_answer *a);
/* NULL, and the run is FAILED, when the job's data do not name it any more. */
const struct artifact *transfer_artifact(struct item *item);
int64_t transfer_left_ms(const struct transfer *t);

/* A request that is about to be sent: its callback is transfer_answered. */
struct work *transfer_work(struct item *item, size_t part);
void transfer_answered(void *ctx, const struct s3_answer *a);
/* Ends its requests and its scan without callbacks. */
void transfer_cancel_item(struct item *item);
/* After a scan of an item ended: item->scan is NULL again. */
void transfer_scanned(struct item *item);

/* Begins one more request or scan of the item; false when there is none to begin
 * now, or when it failed (and said so). */
bool fetch_begin(struct item *item);
bool store_begin(struct item *item);
/* What came of a request. */
void fetch_take(struct item *item, size_t part, const struct s3_answer *a);
void store_take(struct item *item, size_t part, const struct s3_answer *a);
/* The size of the parts: as wanted, or so large that there are at most 10 000. */
int64_t transfer_part_bytes(int64_t size, int64_t wanted);
/* Gives the upload in parts up in the store, if there is one. */
void store_abandon(struct item *item, const struct jobdata *data);
void store_item_done(struct item *item);
void fetch_item_done(struct item *item);

/* transfer_journal.c: what is known of an upload in parts, for the next agent. */
struct journal_head {
	int64_t size, part_bytes;
	char sha256[65];
	char upload_id[S3_UPLOAD_ID_SIZE];
};
/* Begins it anew; answers a descriptor to add to, or -1: an upload without a journal
 * is begun again by the next agent, no more. */
int journal_begin(int dir_fd, const char *name, const struct journal_head *head);
void journal_add(int fd, size_t part, const char *etag);
typedef void (*journal_part_fn)(void *ctx, size_t part, const char *etag);
/* Answers a descriptor as above when there is a journal of that size and sha256, and
 * fills in upload_id and part_bytes; else -1. */
int journal_read(int dir_fd, const char *name, struct journal_head *head);
/* Tells each part (from 0, below any 32-bit number) that was confirmed. */
void journal_each(int dir_fd, const char *name, journal_part_fn part, void *ctx);

#endif
