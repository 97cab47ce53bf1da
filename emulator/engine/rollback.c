/*
 * Rollback (semantics E9): an execution of its own that runs one stage with what an
 * earlier execution, which succeeded there, brought along: its source revisions,
 * artifacts and variables. It enters the stage at once and waits at no gate, because
 * nothing passes from stage to stage; whoever waits in front of the stage enters after
 * it. The stage's conditions are for what is new: a rollback is asked none.
 */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

#include <string.h>

struct rollback {
	const struct pipeline *pipeline;
	int64_t stage_index;
	const struct execution *target;
	const char *trigger_type, *trigger_detail;
};

static int begin(struct op_ctx *ctx, const struct rollback *how,
		 char ret_id[STR_UUID_SIZE], struct mh_err *err)
{
	struct execution_start start = {
		.trigger_type = how->trigger_type,
		.trigger_detail = how->trigger_detail,
	};
	CLEAN(run) struct run r = execution_new(ctx, how->pipeline, &start);
	CLEAN(stage_execution) struct stage_execution s = { 0 };

	json_object_put(r.exec.variables);
	r.exec.variables = json_object_get(how->target->variables);
	r.exec.rollback_target = mh_strdup(how->target->id);
	if (executions_insert(ctx->store, &r.exec, NULL, NULL, err) != 0 ||
	    artifacts_copy(ctx->store, how->target->seq, r.exec.seq, err) != 0 ||
	    change_execution(ctx, &r.exec, EXECUTION_IN_PROGRESS, NULL, err) != 0 ||
	    gate_place(ctx, &r, how->stage_index, &s, err) != 0)
		return -1;
	memcpy(ret_id, r.exec.id, STR_UUID_SIZE);
	s.phase = PHASE_ACTIONS;
	/* The stage's latest is the last that arrived of those that entered it: who waits
	 * arrives anew. */
	if (change_stage(ctx, &r, &s, STAGE_IN_PROGRESS, err) != 0 ||
	    stage_executions_behind(ctx->store, s.pipeline, s.stage, err) != 0)
		return -1;
	return stage_advance(ctx, &r, &s, err);
}

/* ---- by itself ---- */

/* The service's own form of the detail. */
static char *failed_detail(const struct run *r)
{
	return mh_format("{\"FailedPipelineExecutionId\":\"%s\"}", r->exec.id);
}

int rollback_automatic(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
		       struct mh_err *err)
{
	CLEAN(execution) struct execution target = { 0 };
	CLEAN(free) char *detail = failed_detail(r);
	struct rollback how = {
		.pipeline = &r->pipeline,
		.stage_index = s->stage_index,
		.target = &target,
		.trigger_type = "AutomatedRollback",
		.trigger_detail = detail,
	};
	char id[STR_UUID_SIZE];
	int64_t seq = 0;

	/* No rollback is rolled back, nor is a source. */
	if (r->exec.rollback_target || !s->locked || s->stage_index == 0)
		return 0;
	if (stage_executions_last_success(ctx->store, s->pipeline, s->stage,
					  r->exec.version, &seq, err) != 0)
		return -1;
	if (seq == 0)
		return 0; /* nothing to go back to: it just failed */
	if (executions_get(ctx->store, seq, &target, err) != 0)
		return -1;
	return begin(ctx, &how, id, err);
}

/* ---- because a client asked ---- */

static int refuse(const char *stage, const char *why, struct api_error *err)
{
	return api_fail(err, "UnableToRollbackStageException",
			"Stage '%s' cannot be rolled back: %s", stage, why);
}

static int check_pipeline(const struct pipeline *p, const char *stage,
			  int64_t *ret_stage_index, struct api_error *err)
{
	const char *type = json_opt_str(p->declaration, "pipelineType", "V1");
	const char *mode = json_opt_str(p->declaration, "executionMode", "SUPERSEDED");

	if (pipeline_find_stage(p, stage, ret_stage_index, err) != 0)
		return -1;
	if (strcmp(type, "V2") != 0)
		return refuse(stage, "rollback can only be used with V2 pipelines", err);
	if (strcmp(mode, "PARALLEL") == 0)
		return refuse(stage, "rollback cannot be used with PARALLEL pipelines",
			      err);
	if (*ret_stage_index == 0)
		return refuse(stage, "it is the source stage", err);
	return 0;
}

static int check_target(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
			const struct execution *target, struct api_error *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (target->version != p->version)
		return api_fail(err, "PipelineExecutionOutdatedException",
				"Pipeline execution '%s' ran version %lld of pipeline "
				"'%s', which is at version %lld now",
				target->id, (long long)target->version, p->name,
				(long long)p->version);
	if (target->rollback_target)
		return refuse(stage, "the target execution is a rollback itself", err);
	if (stage_executions_of(ctx->store, target->seq, stage, &s, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found || s.status != STAGE_SUCCEEDED)
		return refuse(stage, "the target execution did not succeed in it", err);
	return 0;
}

/* Whoever is inside is not disturbed. */
static int check_free(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		      struct api_error *err)
{
	CLEAN(stage_execution) struct stage_execution last = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (stage_executions_latest(ctx->store, p->name, stage, &last, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found || (last.status != STAGE_IN_PROGRESS && last.status != STAGE_STOPPING))
		return 0;
	if (last.rollback)
		return api_fail(
			err, "ConflictException",
			"Stage '%s' of pipeline '%s' is being rolled back already", stage,
			p->name);
	return refuse(stage, "an execution is in progress in it", err);
}

static int check_room(struct op_ctx *ctx, const struct pipeline *p, struct api_error *err)
{
	struct api_error full;

	if (execution_room(ctx, p, &full) == 0)
		return 0;
	if (full.status != 400) {
		*err = full;
		return -1;
	}
	/* The operation has no error of its own for this. */
	return api_fail(err, "ConflictException", "%s", full.message);
}

int engine_rollback(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		    const char *target_id, char ret_id[STR_UUID_SIZE],
		    struct api_error *err)
{
	CLEAN(execution) struct execution target = { 0 };
	struct rollback how = {
		.pipeline = p,
		.target = &target,
		.trigger_type = "ManualRollback",
		.trigger_detail = ctx->caller_arn,
	};
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (check_pipeline(p, stage, &how.stage_index, err) != 0)
		return -1;
	if (executions_find(ctx->store, p->name, target_id, &target, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "PipelineExecutionNotFoundException",
				"Pipeline '%s' does not have an execution with ID '%s'",
				p->name, target_id);
	if (check_target(ctx, p, stage, &target, err) != 0 ||
	    check_free(ctx, p, stage, err) != 0 || check_room(ctx, p, err) != 0)
		return -1;
	return begin(ctx, &how, ret_id, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
