/* An execution and the declaration it runs under. */
#include "emulator/engine/internal.h"

#include <string.h>

/* The declaration side speaks to clients; inside the engine its errors mean that the
 * database is broken. */
static int inner_error(const struct api_error *from, struct mh_err *err)
{
	return mh_err_set(err, MH_E_SYS, "%s: %s", from->code, from->message);
}

static int load_pipeline(struct op_ctx *ctx, const struct execution *e,
			 struct pipeline *ret, struct mh_err *err)
{
	struct api_error inner = { 0 };

	if (pipeline_load(ctx, e->pipeline, e->version, ret, &inner) != 0)
		return inner_error(&inner, err);
	return 0;
}

int type_load(struct op_ctx *ctx, struct json_object *id, struct action_type *ret,
	      bool *ret_found, struct mh_err *err)
{
	struct api_error inner = { 0 };

	if (action_type_load(ctx, id, ret, ret_found, &inner) != 0)
		return inner_error(&inner, err);
	return 0;
}

int run_load(struct op_ctx *ctx, int64_t execution, struct run *ret, struct mh_err *err)
{
	CLEAN(run) struct run r = { 0 };

	if (executions_get(ctx->store, execution, &r.exec, err) != 0 ||
	    load_pipeline(ctx, &r.exec, &r.pipeline, err) != 0)
		return -1;
	*ret = r;
	r = (struct run){ 0 };
	return 0;
}

void run_done(struct run *r)
{
	execution_done(&r->exec);
	pipeline_done(&r->pipeline);
}

int work_load(struct op_ctx *ctx, int64_t action, struct work *ret, struct mh_err *err)
{
	CLEAN(work) struct work w = { 0 };

	if (action_executions_get(ctx->store, action, &w.action, err) != 0 ||
	    stage_executions_get(ctx->store, w.action.stage_execution, &w.stage, err) !=
		    0 ||
	    run_load(ctx, w.action.execution, &w.run, err) != 0)
		return -1;
	*ret = w;
	w = (struct work){ 0 };
	return 0;
}

void work_done(struct work *w)
{
	run_done(&w->run);
	stage_execution_done(&w->stage);
	action_execution_done(&w->action);
}

struct json_object *run_stage(const struct run *r, int64_t index)
{
	struct json_object *stages = json_opt_array(r->pipeline.declaration, "stages");

	if (!stages || index < 0 || (size_t)index >= json_object_array_length(stages))
		return NULL;
	return json_object_array_get_idx(stages, (size_t)index);
}

struct json_object *run_action(const struct run *r, int64_t stage_index, const char *name)
{
	struct json_object *actions = json_opt_array(run_stage(r, stage_index),
						     "actions");
	size_t count = actions ? json_object_array_length(actions) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *action = json_object_array_get_idx(actions, i);

		if (strcmp(json_opt_str(action, "name", ""), name) == 0)
			return action;
	}
	return NULL;
}

struct json_object *run_artifact_store(const struct run *r, const char *region)
{
	struct json_object *stores = json_opt_object(r->pipeline.declaration,
						     "artifactStores");

	if (stores)
		return json_opt_object(stores, region);
	return json_opt_object(r->pipeline.declaration, "artifactStore");
}
