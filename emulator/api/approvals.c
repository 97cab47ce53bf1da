/* PutApprovalResult (semantics E16). */
#include "emulator/api/ops.h"
#include "emulator/api/view.h"
#include "emulator/engine/engine.h"

#include <string.h>

static bool is_for(const struct approval *request, const char *pipeline,
		   const char *stage, const char *action)
{
	return strcmp(request->pipeline, pipeline) == 0 &&
	       strcmp(request->stage, stage) == 0 &&
	       strcmp(request->action_name, action) == 0;
}

static int fail_token(const char *action, struct api_error *err)
{
	return api_fail(
		err, "InvalidApprovalTokenException",
		"The token is not the one of an open approval request of action '%s'",
		action);
}

/* A request that was answered says so while no newer one has been opened. */
static int fail_closed(struct op_ctx *ctx, const struct approval *request,
		       struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t last = 0;

	if (approvals_last(ctx->store, request->pipeline, request->stage,
			   request->action_name, &last, &e) != 0)
		return api_fail_internal(err, &e);
	if (request->answered && last == request->action)
		return api_fail(
			err, "ApprovalAlreadyCompletedException",
			"The approval request of action '%s' was answered already",
			request->action_name);
	return fail_token(request->action_name, err);
}

static int find_request(struct op_ctx *ctx, struct json_object *in,
			const struct pipeline *p, struct approval *ret,
			struct api_error *err)
{
	const char *stage = json_opt_str(in, "stageName", "");
	const char *action = json_opt_str(in, "actionName", "");
	CLEAN(approval) struct approval request = { 0 };
	struct json_object *declared;
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (approvals_find(ctx->store, json_opt_str(in, "token", ""), &request, &found,
			   &e) != 0)
		return api_fail_internal(err, &e);
	if (!found || !is_for(&request, p->name, stage, action))
		/* Who knows the token of a stage that is no longer declared may answer.
		 */
		return view_find_action(p, stage, action, &declared, err) != 0
			       ? -1
			       : fail_token(action, err);
	if (!request.open)
		return fail_closed(ctx, &request, err);
	if (request.expires_ms <= ctx->now_ms)
		return fail_token(action, err); /* its timer is about to end it */
	*ret = request;
	request = (struct approval){ 0 };
	return 0;
}

int op_put_approval_result(struct op_ctx *ctx, struct json_object *in,
			   struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(approval) struct approval request = { 0 };
	struct json_object *result = json_opt_object(in, "result");
	bool approved = strcmp(json_opt_str(result, "status", ""), "Approved") == 0;

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    find_request(ctx, in, &p, &request, err) != 0 ||
	    engine_approval_answer(ctx, &request, approved,
				   json_opt_str(result, "summary", NULL), err) != 0)
		return -1;
	json_put_time(out, "approvedAt", ctx->now_ms);
	return 0;
}
