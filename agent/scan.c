#include "agent/scan.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/macros.h"

#define SLICE_BYTES (256 * 1024)

struct scan {
	uv_idle_t idle; /* first: the scan is freed as the handle that it is */
	struct scan_job job;
	int64_t at;
	unsigned char slice[SLICE_BYTES];
};

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

void scan_stop(struct scan *scan)
{
	if (scan)
		uv_close((uv_handle_t *)&scan->idle, free_handle);
}

static void end(struct scan *scan, const struct mh_err *err)
{
	struct scan_job job = scan->job;

	scan_stop(scan);
	job.done(job.ctx, err);
}

static void on_idle(uv_idle_t *idle)
{
	struct scan *scan = (struct scan *)idle;
	int64_t left = scan->job.len - scan->at;
	struct mh_err err = MH_ERR_INIT;
	ssize_t n;

	if (left == 0) {
		end(scan, NULL);
		return;
	}
	do
		n = pread(scan->job.fd, scan->slice,
			  left < SLICE_BYTES ? (size_t)left : SLICE_BYTES,
			  scan->job.offset + scan->at);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		if (n < 0)
			(void)mh_err_sys(&err, "read");
		else
			(void)mh_err_set(&err, MH_E_SYS, "the file became shorter");
		end(scan, &err);
		return;
	}
	scan->at += n;
	scan->job.feed(scan->job.ctx, scan->slice, (size_t)n);
}

struct scan *scan_start(struct loop *loop, const struct scan_job *job)
{
	struct scan *scan = mh_alloc(sizeof(*scan));

	scan->job = *job;
	(void)uv_idle_init(loop_uv(loop), &scan->idle); /* always 0, as is the start */
	(void)uv_idle_start(&scan->idle, on_idle);
	return scan;
}
