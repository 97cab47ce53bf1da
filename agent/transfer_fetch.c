/* Inputs: what is left to get of one, and where it is put. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/outcome.h"
#include "agent/transfer_impl.h"
#include "lib/base/fault.h"
#include "lib/base/macros.h"

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

void fetch_take(struct item *item, size_t part, const struct s3_answer *a)
{
	struct transfer *t = item->transfer;
	struct mh_err err = MH_ERR_INIT;

	(void)part;
	if (a->result == S3_OK) {
		item->done = keep_input(item, &err) == 0;
		if (!item->done)
			transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		return;
	}
	item->failed_run = t->run;
	if (a->result == S3_CHANGED) {
		begin_anew(item);
	} else if (a->result == S3_AGAIN) {
		/* Only what is known to belong to one version may be continued. */
		if (*item->etag && item->received + a->bytes < t->max_bytes)
			item->received += a->bytes;
		else if (*a->etag) {
			memcpy(item->etag, a->etag, sizeof(item->etag));
			item->received = a->bytes;
		}
		if (item->received >= t->max_bytes)
			begin_anew(item); /* there is no rest to ask for */
	}
	transfer_take_failure(item, a);
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

bool fetch_begin(struct item *item)
{
	struct transfer *t = item->transfer;
	const struct artifact *artifact;
	struct mh_err err = MH_ERR_INIT;
	struct work *work;

	if (item->busy > 0)
		return false;
	artifact = transfer_artifact(item);
	if (!artifact)
		return false;
	if (item->fd < 0 && open_input(item, &err) != 0) {
		transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		return false;
	}
	work = transfer_work(item, 0);
	work->call = s3_get(t->s3,
			    &(struct s3_get){ .artifact = artifact,
					      .creds = &t->data->creds,
					      .fd = item->fd,
					      .offset = item->received,
					      .etag = item->etag,
					      .max_bytes = t->max_bytes,
					      .timeout_ms = transfer_left_ms(t) },
			    transfer_answered, work);
	return true;
}
