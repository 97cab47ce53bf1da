/* Approval requests (semantics E16). */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

int approval_open(struct op_ctx *ctx, const struct action_execution *a, int64_t limit_ms,
		  struct mh_err *err)
{
	struct approval request = {
		.action = a->seq,
		.pipeline = a->pipeline,
		.stage = a->stage,
		.action_name = a->action,
		.open = true,
		.expires_ms = ctx->now_ms + limit_ms,
	};

	ctx->ids->uuid(ctx->ids, request.token);
	if (approvals_insert(ctx->store, &request, err) != 0)
		return -1;
	return event_approval(ctx, &request, a->resolved_masked, err);
}

static int answer(struct op_ctx *ctx, const struct approval *request, bool approved,
		  const char *summary, struct mh_err *err)
{
	struct action_report report = {
		.summary = summary && summary[0] ? summary : NULL,
		.percent = -1,
	};
	CLEAN(work) struct work w = { 0 };

	if (approvals_close(ctx->store, request->action, true, err) != 0 ||
	    work_load(ctx, request->action, &w, err) != 0 ||
	    action_report(ctx, &w, &report, err) != 0)
		return -1;
	if (approved)
		return action_succeed(ctx, &w, err);
	return action_fail(ctx, &w, "Rejected", "The approval was rejected", err);
}

int engine_approval_answer(struct op_ctx *ctx, const struct approval *request,
			   bool approved, const char *summary, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return answer(ctx, request, approved, summary, &e) == 0
		       ? 0
		       : api_fail_internal(err, &e);
}
