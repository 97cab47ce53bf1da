/* Starting and looking up executions. */
#include "emulator/api/ops.h"
#include "emulator/api/view.h"
#include "emulator/engine/engine.h"

#include <string.h>

int op_start_pipeline_execution(struct op_ctx *ctx, struct json_object *in,
				struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	char id[STR_UUID_SIZE];

	if (pipeline_load(ctx, json_opt_str(in, "name", ""), 0, &p, err) != 0 ||
	    engine_start(ctx, &p, json_opt_array(in, "variables"),
			 json_opt_array(in, "sourceRevisions"),
			 json_opt_str(in, "clientRequestToken", NULL), id, err) != 0)
		return -1;
	json_put_str(out, "pipelineExecutionId", id);
	return 0;
}

/* ---- PutActionRevision ---- */

static int find_source(const struct pipeline *p, const char *stage, const char *action,
		       struct json_object **ret, struct api_error *err)
{
	struct json_object *a = NULL;

	if (view_find_action(p, stage, action, &a, err) != 0)
		return -1;
	if (strcmp(json_opt_str(json_opt_object(a, "actionTypeId"), "category", ""),
		   "Source") != 0)
		return api_fail(err, "ValidationException",
				"Action '%s' is not a source action: revisions are put "
				"for those alone",
				action);
	*ret = a;
	return 0;
}

int op_put_action_revision(struct op_ctx *ctx, struct json_object *in,
			   struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	struct json_object *revision = json_opt_object(in, "actionRevision");
	struct json_object *action = NULL;
	char id[STR_UUID_SIZE];
	bool is_new;

	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    find_source(&p, json_opt_str(in, "stageName", ""),
			json_opt_str(in, "actionName", ""), &action, err) != 0 ||
	    engine_put_revision(ctx, &p, action, json_opt_str(revision, "revisionId", ""),
				id, &is_new, err) != 0)
		return -1;
	json_put_bool(out, "newRevision", is_new);
	json_put_str(out, "pipelineExecutionId", id);
	return 0;
}

/* ---- what both views of an execution show ---- */

static struct json_object *trigger(const struct execution *e)
{
	struct json_object *o = json_object_new_object();

	json_put_str(o, "triggerType", e->trigger_type);
	json_put_str(o, "triggerDetail", e->trigger_detail);
	return o;
}

static bool is_source(const struct action_execution *a)
{
	return strcmp(json_opt_str(a->type, "category", ""), "Source") == 0;
}

static void put_rollback(struct json_object *o, const struct execution *e)
{
	struct json_object *metadata;

	if (!e->rollback_target)
		return;
	metadata = json_object_new_object();
	json_put_str(metadata, "rollbackTargetPipelineExecutionId", e->rollback_target);
	json_put_obj(o, "rollbackMetadata", metadata);
}

static void put_common(struct json_object *o, const struct execution *e)
{
	json_put_str(o, "pipelineExecutionId", e->id);
	json_put_str(o, "status", execution_status_name(e->status));
	json_put_str(o, "statusSummary", e->status_summary);
	json_put_obj(o, "trigger", trigger(e));
	json_put_str(o, "executionMode", execution_mode_name(e->mode));
	json_put_str(o, "executionType", view_execution_type(e->rollback_target));
	put_rollback(o, e);
}

/* ---- GetPipelineExecution ---- */

static void add_artifact_revisions(struct json_object *list,
				   const struct action_execution *a)
{
	for (size_t i = 0; i < json_object_array_length(a->outputs); i++) {
		struct json_object *from = json_object_array_get_idx(a->outputs, i);
		struct json_object *o = json_object_new_object();

		json_put_str(o, "name", json_opt_str(from, "name", ""));
		json_put_str(o, "revisionId", a->revision_id);
		json_put_str(o, "revisionChangeIdentifier", a->revision_change_id);
		json_put_str(o, "revisionSummary", a->revision_summary);
		if (a->revision_created_ms)
			json_put_time(o, "created", a->revision_created_ms);
		json_put_str(o, "revisionUrl", a->revision_url);
		json_object_array_add(list, o);
	}
}

static int put_artifact_revisions(struct op_ctx *ctx, struct json_object *o,
				  const struct execution *e, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	struct json_object *revisions = json_object_new_array();
	int64_t from;

	json_put_obj(o, "artifactRevisions", revisions);
	if (view_source_execution(ctx, e, &from, err) != 0 ||
	    action_executions_succeeded(ctx->store, from, &list, err) != 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		if (is_source(&list.items[i]))
			add_artifact_revisions(revisions, &list.items[i]);
	}
	return 0;
}

static void put_variables(struct json_object *o, const struct execution *e)
{
	struct json_object *list;

	if (json_object_object_length(e->variables) == 0)
		return;
	list = json_object_new_array();
	json_object_object_foreach(e->variables, name, value)
	{
		struct json_object *v = json_object_new_object();

		json_put_str(v, "name", name);
		json_put_obj(v, "resolvedValue", json_object_get(value));
		json_object_array_add(list, v);
	}
	json_put_obj(o, "variables", list);
}

int op_get_pipeline_execution(struct op_ctx *ctx, struct json_object *in,
			      struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(execution) struct execution e = { 0 };
	struct json_object *o = json_object_new_object();
	struct mh_err inner = MH_ERR_INIT;

	json_put_obj(out, "pipelineExecution", o);
	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    view_find_execution(ctx, p.name, json_opt_str(in, "pipelineExecutionId", ""),
				&e, err) != 0)
		return -1;
	json_put_str(o, "pipelineName", p.name);
	json_put_i64(o, "pipelineVersion", e.version);
	put_common(o, &e);
	put_variables(o, &e);
	if (put_artifact_revisions(ctx, o, &e, &inner) != 0)
		return api_fail_internal(err, &inner);
	return 0;
}

/* ---- ListPipelineExecutions ---- */

static int put_source_revisions(struct op_ctx *ctx, struct json_object *o,
				const struct execution *e, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	struct json_object *revisions = json_object_new_array();
	int64_t from;

	json_put_obj(o, "sourceRevisions", revisions);
	if (view_source_execution(ctx, e, &from, err) != 0 ||
	    action_executions_succeeded(ctx->store, from, &list, err) != 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		const struct action_execution *a = &list.items[i];
		struct json_object *r;

		if (!is_source(a))
			continue;
		r = json_object_new_object();
		json_put_str(r, "actionName", a->action);
		json_put_str(r, "revisionId", a->revision_id);
		json_put_str(r, "revisionSummary", a->revision_summary);
		json_put_str(r, "revisionUrl", a->revision_url);
		json_object_array_add(revisions, r);
	}
	return 0;
}

static void put_stop_trigger(struct json_object *o, const struct execution *e)
{
	struct json_object *stop;

	if (!e->stop_reason)
		return;
	stop = json_object_new_object();
	json_put_str(stop, "reason", e->stop_reason);
	json_put_obj(o, "stopTrigger", stop);
}

static int add_summaries(struct op_ctx *ctx, struct json_object *list,
			 const struct execution_list *rows, size_t count,
			 struct mh_err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct execution *e = &rows->items[i];
		struct json_object *o = json_object_new_object();

		json_object_array_add(list, o);
		put_common(o, e);
		put_stop_trigger(o, e);
		json_put_time(o, "startTime", e->started_ms);
		json_put_time(o, "lastUpdateTime", e->updated_ms);
		if (put_source_revisions(ctx, o, e, err) != 0)
			return -1;
	}
	return 0;
}

int op_list_pipeline_executions(struct op_ctx *ctx, struct json_object *in,
				struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(execution_list) struct execution_list rows = { 0 };
	CLEAN(free) char *what = NULL;
	const char *stage = json_opt_str(
		json_opt_object(json_opt_object(in, "filter"), "succeededInStage"),
		"stageName", NULL);
	int64_t max = json_opt_i64(in, "maxResults", VIEW_PAGE_MAX), before = 0;
	struct json_object *list = json_object_new_array();
	struct mh_err e = MH_ERR_INIT;
	size_t count;

	json_put_obj(out, "pipelineExecutionSummaries", list);
	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0)
		return -1;
	what = mh_format("ListPipelineExecutions %s %s", p.name, stage ? stage : "");
	if (view_page_open(ctx, what, in, &before, err) != 0)
		return -1;
	if (executions_page(ctx->store, p.name, before, stage, p.version, max + 1, &rows,
			    &e) != 0)
		return api_fail_internal(err, &e);
	count = rows.count > (size_t)max ? (size_t)max : rows.count;
	if (add_summaries(ctx, list, &rows, count, &e) != 0)
		return api_fail_internal(err, &e);
	if (rows.count > count)
		view_page_next(ctx, what, out, rows.items[count - 1].seq);
	return 0;
}
