/* ListActionExecutions: the history of actions (semantics E18);
 * ListDeployActionExecutionTargets. */
#include "emulator/api/ops.h"
#include "emulator/api/page.h"
#include "emulator/api/view.h"
#include "emulator/engine/engine.h"

static struct json_object *input_view(const struct action_execution *a)
{
	struct json_object *o = json_object_new_object();

	json_put_obj(o, "actionTypeId", json_object_get(a->type));
	json_put_obj(o, "configuration", json_object_get(a->config_masked));
	json_put_obj(o, "resolvedConfiguration", json_object_get(a->resolved_masked));
	json_put_str(o, "roleArn", a->role_arn);
	json_put_str(o, "region", a->region);
	json_put_obj(o, "inputArtifacts", view_artifacts(a->inputs));
	json_put_str(o, "namespace", a->name_space);
	return o;
}

/* Who approves in a PARALLEL execution, of which GetPipelineState shows nothing, finds
 * the token here (semantics E4). */
static int put_external_id(struct op_ctx *ctx, struct json_object *o,
			   const struct action_execution *a, struct mh_err *err)
{
	char token[STR_UUID_SIZE] = "";

	if (!a->locked && view_approval_token(ctx, a, token, err) != 0)
		return -1;
	json_put_str(o, "externalExecutionId", token[0] ? token : a->external_id);
	return 0;
}

static int put_output(struct op_ctx *ctx, struct json_object *detail,
		      const struct action_execution *a, struct mh_err *err)
{
	struct json_object *o = json_object_new_object(),
			   *result = json_object_new_object();

	json_put_obj(detail, "output", o);
	json_put_obj(o, "executionResult", result);
	/* Until it succeeded, nobody knows that they are there. */
	json_put_obj(o, "outputArtifacts",
		     a->status == ACTION_SUCCEEDED ? view_artifacts(a->outputs)
						   : json_object_new_array());
	json_put_obj(o, "outputVariables",
		     a->variables ? json_object_get(a->variables)
				  : json_object_new_object());
	json_put_str(result, "externalExecutionSummary", a->summary);
	json_put_str(result, "externalExecutionUrl", a->external_url);
	json_put_obj(result, "errorDetails", view_error(a));
	return put_external_id(ctx, result, a, err);
}

static int put_detail(struct op_ctx *ctx, struct json_object *o,
		      const struct action_execution *a, struct mh_err *err)
{
	json_put_str(o, "pipelineExecutionId", a->execution_id);
	json_put_str(o, "actionExecutionId", a->id);
	json_put_i64(o, "pipelineVersion", a->version);
	json_put_str(o, "stageName", a->stage);
	json_put_str(o, "actionName", a->action);
	json_put_time(o, "startTime", a->started_ms);
	json_put_time(o, "lastUpdateTime", a->updated_ms);
	json_put_str(o, "updatedBy", a->updated_by);
	json_put_str(o, "status", action_status_name(a->status));
	json_put_obj(o, "input", input_view(a));
	return put_output(ctx, o, a, err);
}

int op_list_action_executions(struct op_ctx *ctx, struct json_object *in,
			      struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(view_filter) struct view_filter f = { 0 };
	CLEAN(action_execution_list) struct action_execution_list rows = { 0 };
	int64_t max = json_opt_i64(in, "maxResults", VIEW_PAGE_MAX), before = 0;
	struct json_object *list = json_object_new_array();
	struct mh_err e = MH_ERR_INIT;
	size_t count;

	json_put_obj(out, "actionExecutionDetails", list);
	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    view_filter_read(ctx, "ListActionExecutions", p.name, in, &f, err) != 0 ||
	    view_page_open(ctx, f.what, in, &before, err) != 0)
		return -1;
	if (action_executions_page(ctx->store, p.name, f.execution, f.from_seq, before,
				   max + 1, &rows, &e) != 0)
		return api_fail_internal(err, &e);
	count = rows.count > (size_t)max ? (size_t)max : rows.count;
	for (size_t i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		json_object_array_add(list, o);
		if (put_detail(ctx, o, &rows.items[i], &e) != 0)
			return api_fail_internal(err, &e);
	}
	if (rows.count > count)
		view_page_next(ctx, f.what, out, rows.items[count - 1].seq);
	return 0;
}

/* ---- ListDeployActionExecutionTargets (semantics B) ---- */

/* Nothing that deploys here, S3 and what workers do, tells of single targets: there are
 * none to list. */
int op_list_deploy_targets(struct op_ctx *ctx, struct json_object *in,
			   struct json_object *out, struct api_error *err)
{
	const char *pipeline = json_opt_str(in, "pipelineName", NULL);
	const char *id = json_opt_str(in, "actionExecutionId", "");
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(free) char *what = mh_concat("ListDeployActionExecutionTargets/", id);
	CLEAN(free) char *after = NULL;
	struct mh_err e = MH_ERR_INIT;
	bool found;

	json_put_obj(out, "targets", json_object_new_array());
	if (pipeline && pipeline_load(ctx, pipeline, 0, &p, err) != 0)
		return -1;
	if (action_executions_exists(ctx->store, pipeline, id, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "ActionExecutionNotFoundException",
				"There is no action execution with ID '%.128s'", id);
	return page_open(ctx, what, json_opt_str(in, "nextToken", NULL), &after, err);
}
