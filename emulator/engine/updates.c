/* What updating and deleting a pipeline does to its executions (semantics E5, G18). */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/sources.h"

#include <string.h>

/* One that waits is cancelled at once. */
static int cancel_waiting(struct op_ctx *ctx, struct execution *e, struct mh_err *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	bool found;

	if (stage_executions_open_of(ctx->store, e->seq, &s, &found, err) != 0)
		return -1;
	if (!found || s.status != STAGE_INBOUND)
		return 0;
	if (stage_executions_delete(ctx->store, s.seq, err) != 0)
		return -1;
	return change_execution(ctx, e, EXECUTION_CANCELLED, "The pipeline was updated",
				err);
}

/* One inside a stage is cancelled when its running actions have ended. */
static int cancel_running(struct op_ctx *ctx, const struct execution *e,
			  struct mh_err *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	CLEAN(run) struct run r = { 0 };
	bool found;

	if (stage_executions_open_of(ctx->store, e->seq, &s, &found, err) != 0)
		return -1;
	if (!found)
		return 0;
	if (run_load(ctx, e->seq, &r, err) != 0)
		return -1;
	r.exec.cancelling = true;
	if (executions_save(ctx->store, &r.exec, err) != 0)
		return -1;
	return stage_advance(ctx, &r, &s, err);
}

static int cancel_all(struct op_ctx *ctx, const char *pipeline, struct mh_err *err)
{
	CLEAN(execution_list) struct execution_list list = { 0 };

	if (executions_open_locked(ctx->store, pipeline, &list, err) != 0)
		return -1;
	/* First those that wait, or they would enter what the others leave. */
	for (size_t i = 0; i < list.count; i++) {
		if (cancel_waiting(ctx, &list.items[i], err) != 0)
			return -1;
	}
	for (size_t i = 0; i < list.count; i++) {
		if (cancel_running(ctx, &list.items[i], err) != 0)
			return -1;
	}
	return 0;
}

static bool has_stage(const struct pipeline *p, const char *name)
{
	struct json_object *stages = json_opt_array(p->declaration, "stages");

	for (size_t i = 0; stages && i < json_object_array_length(stages); i++) {
		struct json_object *stage = json_object_array_get_idx(stages, i);

		if (strcmp(json_opt_str(stage, "name", ""), name) == 0)
			return true;
	}
	return false;
}

/* A transition lives as long as its stage's name. Nobody could enable one whose stage is
 * gone: PARALLEL executions of the old version that wait for it go on. */
static int drop_transitions(struct op_ctx *ctx, const struct pipeline *p,
			    struct mh_err *err)
{
	char **stages = NULL;
	size_t count = 0;
	int rc = transitions_stages(ctx->store, p->name, &stages, &count, err);

	for (size_t i = 0; i < count; i++) {
		if (rc == 0 && !has_stage(p, stages[i]))
			rc = transitions_delete(ctx->store, p->name, stages[i], err) == 0
				     ? gate_open(ctx, p->name, stages[i], err)
				     : -1;
		free(stages[i]);
	}
	free(stages);
	/* The way out of a stage that is gone barred the way into one that is not. */
	return rc == 0 && count > 0 ? gate_open_all(ctx, p->name, err) : rc;
}

int engine_pipeline_updated(struct op_ctx *ctx, const struct pipeline *old,
			    const struct pipeline *p, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)old; /* an execution knows its own mode; PARALLEL ones go on (semantics E5)
		    */
	if (cancel_all(ctx, p->name, &e) != 0 || drop_transitions(ctx, p, &e) != 0 ||
	    sources_watch(ctx, p, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

int engine_pipeline_deleted(struct op_ctx *ctx, const struct pipeline *p,
			    struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	/* Their stages, actions, jobs, approvals and timers go with the executions. */
	if (executions_delete_pipeline(ctx->store, p->name, &e) != 0 ||
	    transitions_delete_pipeline(ctx->store, p->name, &e) != 0 ||
	    sources_forget(ctx, p->name, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}
