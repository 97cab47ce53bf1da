#include "agent/transfer.h"

#include <stdio.h>
#include <string.h>

#include "agent/outcome.h"
#include "agent/transfer_impl.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"

/* So many failed requests end a run: the store is in trouble. */
#define FAILURES_MAX 4

static struct transfer *new_transfer(struct s3 *s3, int dir_fd, bool is_store)
{
	struct transfer *t = mh_alloc(sizeof(*t));

	t->s3 = s3;
	t->dir_fd = dir_fd;
	t->is_store = is_store;
	TAILQ_INIT(&t->works);
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
	(void)snprintf(item->journal, sizeof(item->journal), "%s.upload", file);
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

void transfer_worse(struct transfer *t, const struct item *item, enum transfer_end end,
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

void transfer_take_failure(struct item *item, const struct s3_answer *a)
{
	struct transfer *t = item->transfer;

	switch (a->result) {
	case S3_OK:
		return;
	case S3_AGAIN:
	case S3_CHANGED:
		t->failures++;
		transfer_worse(t, item, TRANSFER_AGAIN, NULL, a->err.text);
		return;
	case S3_EXPIRED:
		transfer_worse(t, item, TRANSFER_EXPIRED, NULL, a->err.text);
		return;
	case S3_DENIED:
	case S3_MISSING:
	case S3_TOO_LARGE:
	case S3_BAD:
		break;
	}
	transfer_worse(t, item, TRANSFER_FAILED, failure_of(t, a->result), a->err.text);
}

/* --- requests under way ----------------------------------------------------------------
 */

struct work *transfer_work(struct item *item, size_t part)
{
	struct work *work = mh_alloc(sizeof(*work));

	work->item = item;
	work->part = part;
	item->busy++;
	item->transfer->running++;
	TAILQ_INSERT_TAIL(&item->transfer->works, work, link);
	return work;
}

static void end_work(struct work *work)
{
	TAILQ_REMOVE(&work->item->transfer->works, work, link);
	work->item->transfer->running--;
	work->item->busy--;
	free(work);
}

void transfer_cancel_item(struct item *item)
{
	struct work *next;

	for (struct work *work = TAILQ_FIRST(&item->transfer->works); work; work = next) {
		next = TAILQ_NEXT(work, link);
		if (work->item != item)
			continue;
		s3_cancel(work->call);
		end_work(work);
	}
	if (item->scan) {
		scan_stop(STEAL_PTR(item->scan));
		item->transfer->running--;
	}
}

/* Nothing will help, or nobody waits any more. */
static void give_up(struct transfer *t)
{
	for (size_t i = 0; i < t->count; i++) {
		transfer_cancel_item(&t->items[i]);
		close_item(&t->items[i]);
	}
}

static bool all_done(const struct transfer *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!t->items[i].done)
			return false;
	}
	return true;
}

/* Whether something new may be begun in this run. */
static bool may_begin(struct transfer *t)
{
	if (t->running >= (size_t)s3_settings(t->s3)->transfer_parallel)
		return false;
	if (t->report.end == TRANSFER_DONE &&
	    !jobdata_creds_usable(t->data, clock_mono_ms()))
		t->report.end = TRANSFER_RENEW;
	return t->report.end == TRANSFER_DONE ||
	       (t->report.end == TRANSFER_AGAIN && t->failures < FAILURES_MAX);
}

static bool begin_one(struct transfer *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct item *item = &t->items[i];

		if (item->done || item->failed_run == t->run)
			continue;
		if (t->is_store ? store_begin(item) : fetch_begin(item))
			return true;
	}
	return false;
}

static void finish(struct transfer *t)
{
	struct transfer_report r;

	for (size_t i = 0; i < t->count; i++)
		close_item(&t->items[i]);
	if (t->report.end == TRANSFER_RENEW && all_done(t))
		t->report.end = TRANSFER_DONE;
	t->report.progress = t->report.progress ||
			     t->report.bytes >= TRANSFER_PROGRESS_BYTES;
	r = t->report;
	t->report = (struct transfer_report){ .end = TRANSFER_DONE };
	t->data = NULL;
	t->done(t->ctx, &r); /* may free t */
}

static void go_on(struct transfer *t)
{
	while (may_begin(t) && begin_one(t))
		;
	if (t->report.end == TRANSFER_FAILED)
		give_up(t);
	if (t->running == 0)
		finish(t);
}

void transfer_answered(void *ctx, const struct s3_answer *a)
{
	struct work *work = ctx;
	struct item *item = work->item;
	struct transfer *t = item->transfer;
	size_t part = work->part;

	end_work(work);
	t->report.bytes += a->bytes;
	t->report.timed_out = t->report.timed_out || a->timed_out;
	if (t->is_store)
		store_take(item, part, a);
	else
		fetch_take(item, part, a);
	if (item->done)
		close_item(item);
	go_on(t);
}

void transfer_scanned(struct item *item)
{
	item->scan = NULL;
	item->transfer->running--;
	go_on(item->transfer);
}

/* --- beginning ------------------------------------------------------------------------
 */

const struct artifact *transfer_artifact(struct item *item)
{
	struct transfer *t = item->transfer;
	const struct artifact *list = t->is_store ? t->data->outputs : t->data->inputs;
	size_t count = t->is_store ? t->data->output_count : t->data->input_count;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, item->name) == 0)
			return &list[i];
	}
	transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM,
		       "the job's data name it no more");
	return NULL;
}

int64_t transfer_left_ms(const struct transfer *t)
{
	int64_t left = t->until_ms - clock_mono_ms();

	return left > 0 ? left : 1;
}

void transfer_run(struct transfer *t, const struct jobdata *data, int64_t timeout_ms,
		  transfer_done_fn done, void *ctx)
{
	MH_ASSERT(t->running == 0);
	t->run++;
	t->failures = 0;
	t->data = data;
	t->until_ms = clock_mono_ms() + timeout_ms;
	t->done = done;
	t->ctx = ctx;
	go_on(t);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	give_up(t);
	for (size_t i = 0; i < t->count; i++) {
		fetch_item_done(&t->items[i]);
		store_item_done(&t->items[i]);
		free(t->items[i].name);
	}
	free(t);
}

void transfer_abandon(struct transfer *t, const struct jobdata *data)
{
	if (!t)
		return;
	give_up(t);
	for (size_t i = 0; i < t->count && data; i++)
		store_abandon(&t->items[i], data);
	transfer_free(t);
}
