/* GetPipelineState: where everything stands (semantics E18). */
#include "emulator/api/ops.h"
#include "emulator/api/view.h"
#include "emulator/engine/engine.h"
#include "emulator/store/stage_executions.h"
#include "emulator/store/transitions.h"

#include <string.h>

/* The state of PARALLEL executions is not shown: there is no single one (semantics E4).
 */
struct state {
	struct pipeline pipeline;
	enum execution_mode mode;
};

static void clean_state(struct state *s)
{
	pipeline_done(&s->pipeline);
}

/* ---- actions ---- */

static int put_latest_action(struct op_ctx *ctx, struct json_object *state,
			     const struct action_execution *a, struct mh_err *err)
{
	struct json_object *o = json_object_new_object();
	char token[STR_UUID_SIZE];

	json_put_obj(state, "latestExecution", o);
	if (view_approval_token(ctx, a, token, err) != 0)
		return -1;
	json_put_str(o, "actionExecutionId", a->id);
	json_put_str(o, "status", action_status_name(a->status));
	json_put_str(o, "summary", a->summary);
	json_put_time(o, "lastStatusChange", a->status_ms);
	json_put_str(o, "token", token[0] ? token : NULL);
	json_put_str(o, "lastUpdatedBy", a->updated_by);
	json_put_str(o, "externalExecutionId", a->external_id);
	json_put_str(o, "externalExecutionUrl", a->external_url);
	if (a->percent >= 0)
		json_put_i64(o, "percentComplete", a->percent);
	json_put_obj(o, "errorDetails", view_error(a));
	return 0;
}

static void put_current_revision(struct json_object *state,
				 const struct action_execution *a)
{
	struct json_object *o;

	if (!a->revision_id)
		return;
	o = json_object_new_object();
	json_put_str(o, "revisionId", a->revision_id);
	json_put_str(o, "revisionChangeId", a->revision_change_id);
	json_put_time(o, "created", a->revision_created_ms);
	json_put_obj(state, "currentRevision", o);
}

/* Templates take no secrets, so what is masked will do; it is resolved once the action
 * has run. */
static int put_urls(struct op_ctx *ctx, struct json_object *state,
		    struct json_object *declared, const struct action_execution *a,
		    struct api_error *err)
{
	CLEAN(free) char *entity = NULL, *revision = NULL;
	struct json_object *config = a && a->resolved_masked
					     ? a->resolved_masked
					     : json_opt_object(declared, "configuration");
	struct action_type type = { 0 };
	bool found;

	if (action_type_load(ctx, json_opt_object(declared, "actionTypeId"), &type,
			     &found, err) != 0)
		return -1;
	if (found) {
		entity = action_type_url(&type, "entityUrlTemplate", config, NULL);
		revision = action_type_url(&type, "revisionUrlTemplate", config, NULL);
		action_type_done(&type);
	}
	json_put_str(state, "entityUrl", entity);
	json_put_str(state, "revisionUrl",
		     a && a->revision_url ? a->revision_url : revision);
	return 0;
}

static int action_state(struct op_ctx *ctx, const struct state *s, const char *stage,
			struct json_object *declared, struct json_object *o,
			struct api_error *err)
{
	CLEAN(action_execution) struct action_execution a = { 0 };
	const char *name = json_opt_str(declared, "name", "");
	struct mh_err e = MH_ERR_INIT;
	bool found = false;

	json_put_str(o, "actionName", name);
	if (s->mode != MODE_PARALLEL &&
	    action_executions_latest(ctx->store, s->pipeline.name, stage, name, &a,
				     &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (found) {
		put_current_revision(o, &a);
		if (put_latest_action(ctx, o, &a, &e) != 0)
			return api_fail_internal(err, &e);
	}
	return put_urls(ctx, o, declared, found ? &a : NULL, err);
}

static int put_actions(struct op_ctx *ctx, const struct state *s, const char *stage,
		       struct json_object *declared, struct json_object *out,
		       struct api_error *err)
{
	struct json_object *actions = json_opt_array(declared, "actions");
	struct json_object *list = json_object_new_array();
	size_t count = actions ? json_object_array_length(actions) : 0;

	json_put_obj(out, "actionStates", list);
	for (size_t i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		json_object_array_add(list, o);
		if (action_state(ctx, s, stage, json_object_array_get_idx(actions, i), o,
				 err) != 0)
			return -1;
	}
	return 0;
}

/* ---- stages ---- */

static struct json_object *stage_execution_view(const struct stage_execution *s)
{
	struct json_object *o = json_object_new_object();
	enum stage_status status = s->status == STAGE_INBOUND ? STAGE_IN_PROGRESS
							      : s->status;

	json_put_str(o, "pipelineExecutionId", s->execution_id);
	json_put_str(o, "status", stage_status_name(status));
	json_put_str(o, "type", view_execution_type(s->rollback));
	return o;
}

static int put_inbound(struct op_ctx *ctx, const struct state *s, const char *stage,
		       struct json_object *out, struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list waiting = { 0 };
	struct json_object *list = json_object_new_array();

	json_put_obj(out, "inboundExecutions", list);
	if (s->mode == MODE_PARALLEL)
		return 0;
	if (stage_executions_inbound(ctx->store, s->pipeline.name, stage, true, &waiting,
				     err) != 0)
		return -1;
	if (s->mode == MODE_SUPERSEDED && waiting.count > 0)
		json_put_obj(out, "inboundExecution",
			     stage_execution_view(&waiting.items[0]));
	for (size_t i = 0; i < waiting.count; i++)
		json_object_array_add(list, stage_execution_view(&waiting.items[i]));
	return 0;
}

static int put_transition(struct op_ctx *ctx, const char *pipeline, const char *stage,
			  struct json_object *out, struct mh_err *err)
{
	CLEAN(transition) struct transition t = { 0 };
	struct json_object *o = json_object_new_object();

	json_put_obj(out, "inboundTransitionState", o);
	if (transitions_get(ctx->store, pipeline, stage, &t, err) != 0)
		return -1;
	json_put_bool(o, "enabled", t.enabled);
	json_put_str(o, "lastChangedBy", t.changed_by);
	if (t.changed_by)
		json_put_time(o, "lastChangedAt", t.changed_ms);
	json_put_str(o, "disabledReason", t.reason);
	return 0;
}

static struct json_object *retry_view(const struct stage_execution *s)
{
	struct json_object *o = json_object_new_object();

	if (s->auto_retries > 0)
		json_put_i64(o, "autoStageRetryAttempt", s->auto_retries);
	if (s->manual_retries > 0)
		json_put_i64(o, "manualStageRetryAttempt", s->manual_retries);
	json_put_str(o, "latestRetryTrigger",
		     s->retried_by_itself ? "AutomatedStageRetry" : "ManualStageRetry");
	return o;
}

static int put_latest_stage(struct op_ctx *ctx, const struct state *s, const char *stage,
			    struct json_object *out, struct mh_err *err)
{
	CLEAN(stage_execution) struct stage_execution latest = { 0 };
	bool found;

	if (stage_executions_latest(ctx->store, s->pipeline.name, stage, &latest, &found,
				    err) != 0)
		return -1;
	if (!found)
		return 0;
	json_put_obj(out, "latestExecution", stage_execution_view(&latest));
	if (latest.manual_retries + latest.auto_retries > 0)
		json_put_obj(out, "retryStageMetadata", retry_view(&latest));
	return 0;
}

static int stage_state(struct op_ctx *ctx, const struct state *s,
		       struct json_object *declared, struct json_object *o,
		       struct api_error *err)
{
	const char *stage = json_opt_str(declared, "name", "");
	struct mh_err e = MH_ERR_INIT;

	json_put_str(o, "stageName", stage);
	if (put_transition(ctx, s->pipeline.name, stage, o, &e) != 0)
		return api_fail_internal(err, &e);
	if (put_inbound(ctx, s, stage, o, &e) != 0 ||
	    (s->mode != MODE_PARALLEL && put_latest_stage(ctx, s, stage, o, &e) != 0) ||
	    view_put_conditions(ctx, s->pipeline.name, s->mode != MODE_PARALLEL, declared,
				o, &e) != 0)
		return api_fail_internal(err, &e);
	return put_actions(ctx, s, stage, declared, o, err);
}

int op_get_pipeline_state(struct op_ctx *ctx, struct json_object *in,
			  struct json_object *out, struct api_error *err)
{
	CLEAN(state) struct state s = { 0 };
	struct json_object *list = json_object_new_array(), *stages;

	json_put_obj(out, "stageStates", list);
	if (pipeline_load(ctx, json_opt_str(in, "name", ""), 0, &s.pipeline, err) != 0)
		return -1;
	s.mode = execution_mode_parse(
		json_opt_str(s.pipeline.declaration, "executionMode", "SUPERSEDED"));
	json_put_str(out, "pipelineName", s.pipeline.name);
	json_put_i64(out, "pipelineVersion", s.pipeline.version);
	json_put_time(out, "created", s.pipeline.created_ms);
	json_put_time(out, "updated", s.pipeline.updated_ms);
	stages = json_opt_array(s.pipeline.declaration, "stages");
	for (size_t i = 0; stages && i < json_object_array_length(stages); i++) {
		struct json_object *o = json_object_new_object();

		json_object_array_add(list, o);
		if (stage_state(ctx, &s, json_object_array_get_idx(stages, i), o, err) !=
		    0)
			return -1;
	}
	return 0;
}
