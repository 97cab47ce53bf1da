/* DisableStageTransition, EnableStageTransition, StopPipelineExecution,
 * RetryStageExecution, RollbackStage. */
#include "emulator/api/ops.h"
#include "emulator/engine/engine.h"

#include <string.h>

static int set_transition(struct op_ctx *ctx, struct json_object *in, const char *reason,
			  struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	bool outbound = strcmp(json_opt_str(in, "transitionType", ""), "Outbound") == 0;

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0)
		return -1;
	return engine_set_transition(ctx, &p, json_opt_str(in, "stageName", ""), outbound,
				     reason, err);
}

int op_disable_stage_transition(struct op_ctx *ctx, struct json_object *in,
				struct json_object *out, struct api_error *err)
{
	(void)out; /* the operation answers nothing */
	return set_transition(ctx, in, json_opt_str(in, "reason", ""), err);
}

int op_enable_stage_transition(struct op_ctx *ctx, struct json_object *in,
			       struct json_object *out, struct api_error *err)
{
	(void)out; /* as above */
	return set_transition(ctx, in, NULL, err);
}

int op_stop_pipeline_execution(struct op_ctx *ctx, struct json_object *in,
			       struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	const char *id = json_opt_str(in, "pipelineExecutionId", "");

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    engine_stop(ctx, &p, id, json_opt_bool(in, "abandon", false),
			json_opt_str(in, "reason", NULL), err) != 0)
		return -1;
	json_put_str(out, "pipelineExecutionId", id);
	return 0;
}

int op_retry_stage_execution(struct op_ctx *ctx, struct json_object *in,
			     struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	const char *id = json_opt_str(in, "pipelineExecutionId", "");
	bool all = strcmp(json_opt_str(in, "retryMode", ""), "ALL_ACTIONS") == 0;

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    engine_retry(ctx, &p, json_opt_str(in, "stageName", ""), id, all, err) != 0)
		return -1;
	json_put_str(out, "pipelineExecutionId", id);
	return 0;
}

int op_rollback_stage(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		      struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	char id[STR_UUID_SIZE];

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    engine_rollback(ctx, &p, json_opt_str(in, "stageName", ""),
			    json_opt_str(in, "targetPipelineExecutionId", ""), id,
			    err) != 0)
		return -1;
	json_put_str(out, "pipelineExecutionId", id);
	return 0;
}
