/*
 * Inputs: what is left to get of one, and where it is put.
 *
 * Each begins as one stream. When its answer announces a large object, the stream is cut
 * after the first part and the rest comes in ranges, a few at once, each of the same
 * ETag and retried alone from where it stopped. A store that has no ranges is asked for
 * one stream the next time. When all is there it is held against the checksum that the
 * first answer told, if any: taken as the bytes came, each part's by itself, but for the
 * SHA-256 of parts, for which all is read once more.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/host.h"
#include "agent/outcome.h"
#include "agent/transfer_impl.h"
#include "lib/base/fault.h"
#include "lib/base/macros.h"

#define ANEW_MAX 5 /* objects whose bytes are not their checksum's */

struct piece {
	int64_t got;
	struct checksum sum; /* of that, where the kind can be joined */
	bool busy;
	unsigned failed_run;
};

struct pieces {
	int64_t size, piece_bytes;
	size_t count, whole;
	size_t next; /* none before it is left to get */
	unsigned next_run; /* of `next` */
	struct piece items[];
};

/* --- parts ---------------------------------------------------------------------------
 */

static int64_t piece_size(const struct pieces *p, size_t i)
{
	int64_t left = p->size - (int64_t)i * p->piece_bytes;

	return left < p->piece_bytes ? left : p->piece_bytes;
}

static void note_got(struct pieces *p, size_t i, int64_t bytes)
{
	p->items[i].got += bytes;
	if (bytes > 0 && p->items[i].got == piece_size(p, i))
		p->whole++;
}

void fetch_item_done(struct item *item)
{
	free(item->pieces);
	item->pieces = NULL;
}

static void begin_anew(struct item *item)
{
	transfer_cancel_item(item);
	fetch_item_done(item);
	item->received = 0;
	item->etag[0] = '\0';
	item->checksum_name = NULL;
	item->complete = false;
}

/* Better to fail now than with half of it there. The room is not taken: pages that were
 * made ahead are cold when they are written, which costs a tenth of a download. */
static int look_for_room(const struct item *item, int64_t size, struct mh_err *err)
{
	struct host_space space;

	if (host_measure(item->fd, &space, err) != 0)
		return -1;
	if (space.bytes >= size)
		return 0;
	return mh_err_set(err, MH_E_FULL,
			  "there is no room for its %lld bytes, only for %lld",
			  (long long)size, (long long)space.bytes);
}

static int64_t part_bytes(const struct item *item, int64_t size)
{
	return transfer_part_bytes(size,
				   s3_settings(item->transfer->s3)->part_size_bytes);
}

/* The first stream told its size, and its first bytes are there. */
static void split(struct item *item, const struct s3_answer *a)
{
	int64_t bytes = part_bytes(item, a->size);
	size_t count = (size_t)((a->size + bytes - 1) / bytes);
	struct mh_err err = MH_ERR_INIT;
	struct pieces *p;

	if (look_for_room(item, a->size, &err) != 0) {
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       err.text);
		return;
	}
	p = mh_alloc(sizeof(*p) + count * sizeof(p->items[0]));
	p->size = a->size;
	p->piece_bytes = bytes;
	p->count = count;
	item->pieces = p;
	memcpy(item->etag, a->etag, sizeof(item->etag));
	for (size_t i = 0; i < count && item->checksum_name; i++)
		(void)checksum_begin(&p->items[i].sum, item->checksum_name); /* known */
	if (a->bytes > 0)
		p->items[0].sum = item->sum;
	note_got(p, 0, a->bytes); /* no more than the first part */
}

/* --- the end -------------------------------------------------------------------------
 */

static int keep_input(struct item *item, struct mh_err *err)
{
	int dir = item->transfer->dir_fd;

	FAULT_POINT("fetch.keep");
	if (renameat(dir, item->part, dir, item->file) != 0)
		return mh_err_sys(err, "rename %s", item->part);
	FAULT_POINT("fetch.kept");
	return 0;
}

static void keep(struct item *item)
{
	struct mh_err err = MH_ERR_INIT;

	item->done = keep_input(item, &err) == 0;
	if (!item->done)
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       err.text);
}

static void spoilt(struct item *item)
{
	struct s3_answer a = { .result = S3_AGAIN };

	(void)mh_err_set(&a.err, MH_E_PROTO, "its bytes are not those of its %s",
			 item->checksum_name);
	item->failed_run = item->transfer->run;
	item->complete = false;
	begin_anew(item);
	if (++item->anew > ANEW_MAX)
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       a.err.text);
	else
		transfer_take_failure(item, &a);
}

static void judge_sum(struct item *item)
{
	CLEAN(free) char *sum = checksum_end(&item->sum);

	if (strcmp(sum, item->checksum) != 0)
		spoilt(item);
	else
		keep(item);
}

static void feed(void *ctx, const void *data, size_t len)
{
	struct item *item = ctx;

	checksum_update(&item->sum, data, len);
}

static void checked(void *ctx, const struct mh_err *err)
{
	struct item *item = ctx;

	item->scan = NULL; /* it is gone */
	if (err)
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       err->text);
	else
		judge_sum(item);
	transfer_scanned(item);
}

/* All pieces are there, and have no sums that could be joined. */
static bool check(struct item *item)
{
	int64_t size = item->pieces->size;

	if (item->scan || !checksum_begin(&item->sum, item->checksum_name))
		return false;
	item->transfer->running++;
	item->scan = scan_start(s3_loop(item->transfer->s3),
				&(struct scan_job){ .fd = item->fd,
						    .len = size,
						    .feed = feed,
						    .done = checked,
						    .ctx = item });
	return true;
}

static void join_sums(struct item *item)
{
	const struct pieces *p = item->pieces;

	item->sum = p->items[0].sum;
	for (size_t i = 1; i < p->count; i++)
		checksum_join(&item->sum, &p->items[i].sum, (uint64_t)piece_size(p, i));
}

static void note_complete(struct item *item)
{
	if (!item->checksum_name) {
		keep(item);
		return;
	}
	if (item->pieces && !checksum_can_join(&item->pieces->items[0].sum)) {
		item->complete = true;
		return;
	}
	if (item->pieces)
		join_sums(item);
	else if (item->received == 0) /* nothing came that would have begun it */
		(void)checksum_begin(&item->sum, item->checksum_name);
	judge_sum(item);
}

/* --- answers -------------------------------------------------------------------------
 */

static void take_checksum(struct item *item, const struct s3_answer *a)
{
	if (!a->checksum_name)
		return;
	item->checksum_name = a->checksum_name;
	memcpy(item->checksum, a->checksum, sizeof(item->checksum));
}

/* Something of one stream came: what is known to belong to one version may be
 * continued. */
static void take_stream(struct item *item, const struct s3_answer *a)
{
	struct transfer *t = item->transfer;
	bool large = !item->unsplit && item->received == 0 && *a->etag &&
		     a->size > s3_settings(t->s3)->download_parts_above_bytes &&
		     a->size <= t->max_bytes;

	if (item->received == 0)
		take_checksum(item, a);
	if (large && a->bytes <= part_bytes(item, a->size)) {
		split(item, a);
	} else if (*item->etag && item->received + a->bytes < t->max_bytes) {
		item->received += a->bytes;
	} else if (*a->etag) {
		memcpy(item->etag, a->etag, sizeof(item->etag));
		item->received = a->bytes;
	}
	if (item->received >= t->max_bytes)
		begin_anew(item); /* there is no rest to ask for */
}

static void take_piece(struct item *item, size_t i, const struct s3_answer *a)
{
	struct pieces *p = item->pieces;

	p->items[i].busy = false;
	note_got(p, i, a->bytes);
	if (a->result != S3_OK) {
		p->items[i].failed_run = item->transfer->run;
		transfer_take_failure(item, a);
	} else if (p->whole == p->count) {
		note_complete(item);
	}
}

void fetch_take(struct item *item, size_t part, const struct s3_answer *a)
{
	if (a->result == S3_CHANGED) {
		/* An answer that is no range: ask for none the next time. */
		item->unsplit = item->unsplit || a->err.cls == MH_E_PROTO;
		item->failed_run = item->transfer->run;
		begin_anew(item);
		transfer_take_failure(item, a);
	} else if (item->pieces) {
		take_piece(item, part, a);
	} else if (a->result == S3_OK && !a->cut) {
		if (item->received == 0)
			take_checksum(item, a);
		item->received += a->bytes;
		note_complete(item);
	} else {
		if (a->result == S3_OK || a->result == S3_AGAIN)
			take_stream(item, a);
		if (a->result == S3_OK)
			return;
		item->failed_run = item->transfer->run;
		transfer_take_failure(item, a);
	}
}

/* --- requests ------------------------------------------------------------------------
 */

static int open_input(struct item *item, struct mh_err *err)
{
	int dir = item->transfer->dir_fd;

	item->fd = openat(dir, item->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0600);
	if (item->fd < 0)
		return mh_err_sys(err, "open %s", item->part);
	if (!item->pieces && ftruncate(item->fd, item->received) != 0)
		return mh_err_sys(err, "truncate %s", item->part);
	return 0;
}

static bool find_piece(struct item *item, size_t *ret)
{
	struct pieces *p = item->pieces;
	unsigned run = item->transfer->run;

	if (p->next_run != run)
		p->next = 0; /* what failed in the last one */
	p->next_run = run;
	for (; p->next < p->count; p->next++) {
		const struct piece *piece = &p->items[p->next];

		if (!piece->busy && piece->failed_run != run &&
		    piece->got < piece_size(p, p->next)) {
			*ret = p->next;
			return true;
		}
	}
	return false;
}

static void get_stream(struct item *item, struct s3_get *get)
{
	const struct settings *settings = s3_settings(item->transfer->s3);
	struct work *work = transfer_work(item, 0);

	get->offset = item->received;
	if (item->received == 0 || item->checksum_name) {
		get->sum = &item->sum;
		get->sum_begun = item->received > 0;
	}
	if (item->received == 0 && !item->unsplit) {
		get->cut_above = settings->download_parts_above_bytes;
		get->cut_at = settings->part_size_bytes;
	}
	work->call = s3_get(item->transfer->s3, get, transfer_answered, work);
}

static bool get_piece(struct item *item, struct s3_get *get)
{
	struct pieces *p = item->pieces;
	struct work *work;
	size_t i;

	if (!find_piece(item, &i))
		return false;
	work = transfer_work(item, i);
	p->items[i].busy = true;
	get->offset = (int64_t)i * p->piece_bytes + p->items[i].got;
	get->length = piece_size(p, i) - p->items[i].got;
	get->size = p->size;
	if (item->checksum_name) {
		get->sum = &p->items[i].sum;
		get->sum_begun = true;
	}
	work->call = s3_get(item->transfer->s3, get, transfer_answered, work);
	return true;
}

bool fetch_begin(struct item *item)
{
	struct transfer *t = item->transfer;
	const struct artifact *artifact;
	struct mh_err err = MH_ERR_INIT;
	struct s3_get get;

	if (item->busy > 0 && !item->pieces)
		return false;
	artifact = transfer_artifact(item);
	if (!artifact)
		return false;
	if (item->fd < 0 && open_input(item, &err) != 0) {
		transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		return false;
	}
	if (item->complete)
		return check(item);
	get = (struct s3_get){ .artifact = artifact,
			       .creds = &t->data->creds,
			       .fd = item->fd,
			       .etag = item->etag,
			       .max_bytes = t->max_bytes,
			       .timeout_ms = transfer_left_ms(t) };
	if (item->pieces)
		return get_piece(item, &get);
	get_stream(item, &get);
	return true;
}
