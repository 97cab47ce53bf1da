/* Timers: the time limits of actions (semantics C11), scheduled starts. */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/schedules.h"
#include "emulator/store/sources.h"

static int time_out(struct op_ctx *ctx, int64_t action, struct mh_err *err)
{
	CLEAN(work) struct work w = { 0 };

	if (work_load(ctx, action, &w, err) != 0)
		return -1;
	if (w.action.status != ACTION_IN_PROGRESS)
		return 0;
	if (w.action.condition)
		return rule_time_out(ctx, &w, err);
	if (job_end_of(ctx, action, JOB_TIMED_OUT, err) != 0 ||
	    approvals_close(ctx->store, action, false, err) != 0)
		return -1;
	return action_fail(ctx, &w, "Timeout", "The action was not finished in time",
			   err);
}

int engine_fire_due(struct op_ctx *ctx, bool *ret_fired, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t action = 0;

	if (timers_take(ctx->store, ctx->now_ms, &action, &e) != 0 ||
	    (action && time_out(ctx, action, &e) != 0))
		return api_fail_internal(err, &e);
	*ret_fired = action != 0;
	return action ? 0 : schedule_fire(ctx, ret_fired, err);
}

int64_t engine_next_due(struct op_ctx *ctx)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t due_ms = -1, schedule_ms = -1;

	/* A store that fails here fails the next call too, which tells it. */
	if (timers_next(ctx->store, &due_ms, &e) != 0 ||
	    schedules_next(ctx->store, &schedule_ms, &e) != 0)
		return -1;
	if (due_ms < 0 || (schedule_ms >= 0 && schedule_ms < due_ms))
		return schedule_ms;
	return due_ms;
}
