#include "emulator/quiet.h"

#include "emulator/store/jobs.h"
#include "lib/base/clock.h"

static int tx_busy(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (jobs_any_builtin(ctx->store, arg, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

int quiet_wait(struct writer *writer, struct bell *bell, int64_t ms,
	       struct api_error *err)
{
	int64_t until = clock_mono_ms() + ms;

	for (;;) {
		uint64_t seen = bell_count(bell);
		bool busy = false;
		int64_t left;

		if (writer_call(writer, tx_busy, &busy, NULL, err) != 0)
			return -1;
		if (!busy)
			return 0;
		left = until - clock_mono_ms();
		if (left <= 0) {
			(void)api_fail(err, "Conflict",
				       "The emulator's own work (a source, a deployment) "
				       "is not done yet.");
			err->status = 409;
			return -1;
		}
		if (!bell_wait(bell, &seen, left) && bell_is_stopped(bell)) {
			(void)api_fail(err, "ServiceUnavailable",
				       "The server is shutting down.");
			err->status = 503;
			return -1;
		}
	}
}
