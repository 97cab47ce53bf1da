/* OverrideStageCondition: a stage goes on although its condition says no (semantics E10).
 */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

#include <string.h>

static int refuse(const char *stage, const char *id, const char *why,
		  struct api_error *err)
{
	return api_fail(err, "ConditionNotOverridableException",
			"The condition of stage '%s' cannot be overridden for pipeline "
			"execution '%s': %s",
			stage, id, why);
}

/* Where the execution stands with this condition. */
static int check_place(struct op_ctx *ctx, const struct pipeline *p, const struct run *r,
		       const struct stage_execution *s, enum stage_phase phase,
		       struct api_error *err)
{
	struct json_object *declared = condition_declared(r, s->stage_index, phase);

	if (r->exec.version != p->version)
		return refuse(s->stage, r->exec.id, "the pipeline was updated since",
			      err);
	if (stage_check_latest(ctx, s, err) != 0)
		return -1;
	if (!declared)
		return refuse(s->stage, r->exec.id, "the stage has no such condition",
			      err);
	if (strcmp(json_opt_str(declared, "result", ""), "SKIP") == 0)
		return refuse(s->stage, r->exec.id, "its result is SKIP", err);
	if (s->phase != phase || !s->condition)
		return refuse(s->stage, r->exec.id, "it is not what the stage waits for",
			      err);
	if (s->status == STAGE_STOPPING)
		return api_fail(err, "ConflictException",
				"The pipeline execution '%s' is being stopped",
				r->exec.id);
	return 0;
}

/* One that is asked, or one that made the stage fail. */
static int check_condition(const struct run *r, const struct stage_execution *s,
			   const struct condition *c, struct api_error *err)
{
	if (s->status == STAGE_IN_PROGRESS && c->status == CONDITION_IN_PROGRESS)
		return 0;
	if (s->status == STAGE_FAILED &&
	    (c->status == CONDITION_FAILED || c->status == CONDITION_ERRORED))
		return 0;
	return refuse(s->stage, r->exec.id, condition_status_name(c->status), err);
}

static int override(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		    struct condition *c, struct mh_err *err)
{
	static const char why[] = "A person overrode the condition";

	if (c->status == CONDITION_IN_PROGRESS) {
		if (condition_drop(ctx, r, s, CONDITION_OVERRIDDEN, why, err) != 0)
			return -1;
		return stage_advance(ctx, r, s, err);
	}
	s->ended_ms = 0;
	if (change_condition(ctx, r, c, CONDITION_OVERRIDDEN, why, err) != 0 ||
	    change_execution(ctx, &r->exec, EXECUTION_IN_PROGRESS, "", err) != 0 ||
	    change_stage(ctx, r, s, STAGE_IN_PROGRESS, err) != 0)
		return -1;
	return stage_advance(ctx, r, s, err);
}

static int find_place(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		      const char *id, struct run *r, struct stage_execution *s,
		      struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t index;
	bool found;

	if (pipeline_find_stage(p, stage, &index, err) != 0 ||
	    run_find(ctx, p, id, r, &found, err) != 0)
		return -1;
	if (found &&
	    stage_executions_of(ctx->store, r->exec.seq, stage, s, &found, &e) != 0)
		return api_fail_internal(err, &e);
	/* The operation has no error of its own for an execution that is not there. */
	return found ? 0 : refuse(stage, id, "it has not been in the stage", err);
}

int engine_override(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		    const char *id, enum stage_phase phase, struct api_error *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	CLEAN(condition) struct condition c = { 0 };
	CLEAN(run) struct run r = { 0 };
	struct mh_err e = MH_ERR_INIT;

	if (find_place(ctx, p, stage, id, &r, &s, err) != 0 ||
	    check_place(ctx, p, &r, &s, phase, err) != 0)
		return -1;
	if (conditions_get(ctx->store, s.condition, &c, &e) != 0)
		return api_fail_internal(err, &e);
	if (check_condition(&r, &s, &c, err) != 0 ||
	    (s.status == STAGE_FAILED && execution_room(ctx, p, err) != 0))
		return -1;
	return override(ctx, &r, &s, &c, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
