#include "agent/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/outcome.h"
#include "lib/base/fault.h"
#include "lib/base/macros.h"

struct item {
	struct transfer *transfer;
	char *name;
	char file[32], part[40]; /* in the job's directory */
	int64_t size; /* store */
	char sha256[65]; /* store */
	bool done;
	int fd; /* -1 while not under way */
	int64_t received; /* fetch: bytes of `etag` that are in the part */
	char etag[S3_ETAG_SIZE];
	struct s3_call *call;
};

struct transfer {
	struct s3 *s3;
	int dir_fd;
	bool is_store;
	int64_t max_bytes, timeout_ms;
	struct item items[JOBDATA_ARTIFACTS_MAX];
	size_t count, running;
	struct transfer_report report; /* of the run under way; the worst end so far */
	transfer_done_fn done;
	void *ctx;
};

static struct transfer *new_transfer(struct s3 *s3, int dir_fd, bool is_store)
{
	struct transfer *t = mh_alloc(sizeof(*t));

	t->s3 = s3;
	t->dir_fd = dir_fd;
	t->is_store = is_store;
	return t;
}

struct transfer *transfer_new_fetch(struct s3 *s3, int dir_fd, int64_t max_bytes)
{
	struct transfer *t = new_transfer(s3, dir_fd, false);

	t->max_bytes = max_bytes;
	return t;
}

struct transfer *transfer_new_store(struct s3 *s3, int dir_fd)
{
	return new_transfer(s3, dir_fd, true);
}

static struct item *add_item(struct transfer *t, const char *name, const char *file)
{
	struct item *item;

	MH_ASSERT(t->count < ARRAY_LEN(t->items));
	item = &t->items[t->count++];
	item->transfer = t;
	item->name = mh_strdup(name);
	item->fd = -1;
	(void)snprintf(item->file, sizeof(item->file), "%s", file);
	(void)snprintf(item->part, sizeof(item->part), "%s.part", file);
	return item;
}

void transfer_add_input(struct transfer *t, size_t i, const char *name)
{
	char file[32];

	(void)snprintf(file, sizeof(file), "fetch/%zu", i);
	(void)add_item(t, name, file);
}

void transfer_add_output(struct transfer *t, const char *name, const char *file,
			 int64_t size, const char *sha256)
{
	struct item *item = add_item(t, name, file);

	item->size = size;
	(void)snprintf(item->sha256, sizeof(item->sha256), "%s", sha256);
}

static void close_item(struct item *item)
{
	if (item->fd >= 0)
		(void)close(item->fd); /* what was written is checked by its length */
	item->fd = -1;
}

/* --- what an answer means ------------------------------------------------------------
 */

static void worse(struct transfer *t, const struct item *item, enum transfer_end end,
		  const char *failure, const char *what)
{
	if (end <= t->report.end)
		return;
	t->report.end = end;
	t->report.failure = failure;
	(void)snprintf(t->report.text, sizeof(t->report.text), "%s artifact %s: %s",
		       t->is_store ? "output" : "input", item->name, what);
}

static const char *failure_of(const struct transfer *t, enum s3_result result)
{
	switch (result) {
	case S3_DENIED:
		return FAIL_PERMISSION;
	case S3_MISSING:
		return t->is_store ? FAIL_CONFIG : FAIL_REVISION;
	case S3_TOO_LARGE: /* as when it grows too large unpacked */
		return FAIL_JOB;
	default:
		return FAIL_SYSTEM;
	}
}

static void finish_if_idle(struct transfer *t)
{
	struct transfer_report r;

	if (t->running > 0)
		return;
	r = t->report;
	t->report = (struct transfer_report){ .end = TRANSFER_DONE };
	t->done(t->ctx, &r); /* may free t */
}

/* Nothing will help: what else is under way is for nothing. */
static void give_up_others(struct transfer *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!t->items[i].call)
			continue;
		s3_cancel(t->items[i].call);
		t->items[i].call = NULL;
		close_item(&t->items[i]);
		t->running--;
	}
}

static int keep_input(struct item *item, struct mh_err *err)
{
	int dir = item->transfer->dir_fd;

	FAULT_POINT("fetch.keep");
	if (renameat(dir, item->part, dir, item->file) != 0)
		return mh_err_sys(err, "rename %s", item->part);
	FAULT_POINT("fetch.kept");
	return 0;
}

static void begin_anew(struct item *item)
{
	item->received = 0;
	item->etag[0] = '\0';
}

static void take_answer(struct item *item, const struct s3_answer *a)
{
	struct transfer *t = item->transfer;
	struct mh_err err = MH_ERR_INIT;

	t->report.bytes += a->bytes;
	t->report.timed_out = t->report.timed_out || a->timed_out;
	switch (a->result) {
	case S3_OK:
		item->done = t->is_store || keep_input(item, &err) == 0;
		if (!item->done)
			worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		return;
	case S3_AGAIN:
		/* Only what is known to belong to one version may be continued. */
		if (*item->etag && item->received + a->bytes < t->max_bytes)
			item->received += a->bytes;
		else if (*a->etag) {
			memcpy(item->etag, a->etag, sizeof(item->etag));
			item->received = a->bytes;
		}
		if (!t->is_store && item->received >= t->max_bytes)
			begin_anew(item); /* there is no rest to ask for */
		worse(t, item, TRANSFER_AGAIN, NULL, a->err.text);
		return;
	case S3_CHANGED:
		begin_anew(item);
		worse(t, item, TRANSFER_AGAIN, NULL, a->err.text);
		return;
	case S3_EXPIRED:
		worse(t, item, TRANSFER_EXPIRED, NULL, a->err.text);
		return;
	case S3_DENIED:
	case S3_MISSING:
	case S3_TOO_LARGE:
	case S3_BAD:
		break;
	}
	worse(t, item, TRANSFER_FAILED, failure_of(t, a->result), a->err.text);
}

static void answered(void *ctx, const struct s3_answer *a)
{
	struct item *item = ctx;
	struct transfer *t = item->transfer;

	item->call = NULL;
	t->running--;
	take_answer(item, a);
	close_item(item);
	if (t->report.end == TRANSFER_FAILED)
		give_up_others(t);
	finish_if_idle(t);
}

/* --- beginning ------------------------------------------------------------------------
 */

static const struct artifact *find_artifact(const struct transfer *t,
					    const struct jobdata *data, const char *name)
{
	const struct artifact *list = t->is_store ? data->outputs : data->inputs;
	size_t count = t->is_store ? data->output_count : data->input_count;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	return NULL;
}

static int open_input(struct item *item, struct mh_err *err)
{
	int dir = item->transfer->dir_fd;

	item->fd = openat(dir, item->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0600);
	if (item->fd < 0)
		return mh_err_sys(err, "open %s", item->part);
	if (ftruncate(item->fd, item->received) != 0)
		return mh_err_sys(err, "truncate %s", item->part);
	return 0;
}

static int open_output(struct item *item, struct mh_err *err)
{
	struct stat st;

	item->fd = openat(item->transfer->dir_fd, item->file,
			  O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (item->fd < 0 || fstat(item->fd, &st) != 0)
		return mh_err_sys(err, "open %s", item->file);
	if (!S_ISREG(st.st_mode) || st.st_size != item->size)
		return mh_err_set(err, MH_E_PROTO,
				  "%s has not the %lld bytes that were packed",
				  item->file, (long long)item->size);
	return 0;
}

static void begin_item(struct item *item, const struct jobdata *data)
{
	struct transfer *t = item->transfer;
	const struct artifact *artifact = find_artifact(t, data, item->name);
	struct mh_err err = MH_ERR_INIT;

	if (!artifact) {
		worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM,
		      "the job's data name it no more");
		return;
	}
	if ((t->is_store ? open_output(item, &err) : open_input(item, &err)) != 0) {
		worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		close_item(item);
		return;
	}
	t->running++;
	if (t->is_store) {
		item->call = s3_put(t->s3,
				    &(struct s3_put){ .artifact = artifact,
						      .creds = &data->creds,
						      .fd = item->fd,
						      .size = item->size,
						      .sha256 = item->sha256,
						      .timeout_ms = t->timeout_ms,
						      .kms_key_id = data->kms_key_id },
				    answered, item);
		return;
	}
	item->call = s3_get(t->s3,
			    &(struct s3_get){ .artifact = artifact,
					      .creds = &data->creds,
					      .fd = item->fd,
					      .offset = item->received,
					      .etag = item->etag,
					      .max_bytes = t->max_bytes,
					      .timeout_ms = t->timeout_ms },
			    answered, item);
}

void transfer_run(struct transfer *t, const struct jobdata *data, int64_t timeout_ms,
		  transfer_done_fn done, void *ctx)
{
	MH_ASSERT(t->running == 0);
	t->timeout_ms = timeout_ms;
	t->done = done;
	t->ctx = ctx;
	for (size_t i = 0; i < t->count && t->report.end != TRANSFER_FAILED; i++) {
		if (!t->items[i].done)
			begin_item(&t->items[i], data);
	}
	if (t->report.end == TRANSFER_FAILED)
		give_up_others(t);
	finish_if_idle(t);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	give_up_others(t);
	for (size_t i = 0; i < t->count; i++)
		free(t->items[i].name);
	free(t);
}
