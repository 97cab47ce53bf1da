/* What people do to executions: transitions, stop, retry (semantics E4, E7, E8). */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

#include <string.h>

/* A transition that was disabled for longer lets nobody in who waited (semantics E4). */
#define RESUMABLE_MS ((int64_t)30 * 24 * 3600 * 1000)

int pipeline_find_stage(const struct pipeline *p, const char *name, int64_t *ret_index,
			struct api_error *err)
{
	struct json_object *stages = json_opt_array(p->declaration, "stages");

	for (size_t i = 0; stages && i < json_object_array_length(stages); i++) {
		struct json_object *stage = json_object_array_get_idx(stages, i);

		if (strcmp(json_opt_str(stage, "name", ""), name) == 0) {
			*ret_index = (int64_t)i;
			return 0;
		}
	}
	return api_fail(err, "StageNotFoundException",
			"Pipeline '%s' does not have a stage with name '%s'", p->name,
			name);
}

/* ---- finding ---- */

/* *ret_found false: the pipeline has no such execution. */
int run_find(struct op_ctx *ctx, const struct pipeline *p, const char *id,
	     struct run *ret, bool *ret_found, struct api_error *err)
{
	CLEAN(execution) struct execution e = { 0 };
	struct mh_err inner = MH_ERR_INIT;

	if (executions_find(ctx->store, p->name, id, &e, ret_found, &inner) != 0 ||
	    (*ret_found && run_load(ctx, e.seq, ret, &inner) != 0))
		return api_fail_internal(err, &inner);
	return 0;
}

/* ---- stop ---- */

/* It waits in front of a stage, which it will never enter. */
static int stop_waiting(struct op_ctx *ctx, struct run *r,
			const struct stage_execution *s, struct mh_err *err)
{
	if (stage_executions_delete(ctx->store, s->seq, err) != 0)
		return -1;
	return change_execution(ctx, &r->exec, EXECUTION_STOPPED, NULL, err);
}

static int abandon_actions(struct op_ctx *ctx, struct run *r,
			   const struct stage_execution *s, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };

	if (action_executions_of_stage(ctx->store, s->seq, s->first_action, &list, err) !=
	    0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].status == ACTION_IN_PROGRESS &&
		    action_abandon(ctx, r, &list.items[i], err) != 0)
			return -1;
	}
	return 0;
}

static int stop(struct op_ctx *ctx, struct run *r, struct mh_err *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	bool found;

	if (change_execution(ctx, &r->exec, EXECUTION_STOPPING, NULL, err) != 0 ||
	    stage_executions_open_of(ctx->store, r->exec.seq, &s, &found, err) != 0)
		return -1;
	if (!found)
		return mh_err_set(err, MH_E_NOTFOUND, "execution %s is in no stage",
				  r->exec.id);
	if (s.status == STAGE_INBOUND)
		return stop_waiting(ctx, r, &s, err);
	if (s.status == STAGE_IN_PROGRESS &&
	    change_stage(ctx, r, &s, STAGE_STOPPING, err) != 0)
		return -1;
	if (r->exec.stop_abandons &&
	    (abandon_actions(ctx, r, &s, err) != 0 ||
	     condition_drop(ctx, r, &s, CONDITION_ABANDONED, "The execution was stopped",
			    err) != 0))
		return -1;
	return stage_advance(ctx, r, &s, err);
}

static int check_stoppable(const struct execution *e, bool abandon, struct api_error *err)
{
	if (e->status == EXECUTION_STOPPING && (e->stop_abandons || !abandon))
		return api_fail(err, "DuplicatedStopRequestException",
				"The pipeline execution '%s' is being stopped already",
				e->id);
	if (!execution_status_is_open(e->status))
		return api_fail(err, "PipelineExecutionNotStoppableException",
				"The pipeline execution '%s' cannot be stopped: its "
				"status is %s",
				e->id, execution_status_name(e->status));
	return 0;
}

int engine_stop(struct op_ctx *ctx, const struct pipeline *p, const char *id,
		bool abandon, const char *reason, struct api_error *err)
{
	CLEAN(run) struct run r = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (run_find(ctx, p, id, &r, &found, err) != 0)
		return -1;
	if (!found) /* the operation has no error of its own for this (semantics E7) */
		return api_fail(err, "PipelineExecutionNotStoppableException",
				"Pipeline '%s' does not have an execution with id '%s'",
				p->name, id);
	if (check_stoppable(&r.exec, abandon, err) != 0)
		return -1;
	r.exec.stop_abandons = abandon;
	if (reason) {
		free(r.exec.stop_reason);
		r.exec.stop_reason = mh_strdup(reason);
	}
	return stop(ctx, &r, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

/* ---- transitions ---- */

static int set_inbound(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		       const char *reason, struct mh_err *err)
{
	CLEAN(transition)
	struct transition t = {
		.enabled = !reason,
		.reason = mh_strdup(reason),
		.changed_by = mh_strdup(ctx->caller_arn[0] ? ctx->caller_arn : NULL),
		.changed_ms = ctx->now_ms,
	};

	return transitions_set(ctx->store, p->name, stage, &t, err);
}

/* Who has waited there does not go on any more: it must be started anew. So that nobody
 * waits for ever, and nothing behind it, its execution ends. */
static int end_waiting(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		       bool locked, struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list waiting = { 0 };

	if (stage_executions_inbound(ctx->store, p->name, stage, locked, &waiting, err) !=
	    0)
		return -1;
	for (size_t i = 0; i < waiting.count; i++) {
		CLEAN(run) struct run r = { 0 };

		if (run_load(ctx, waiting.items[i].execution, &r, err) != 0)
			return -1;
		free(r.exec.stop_reason);
		r.exec.stop_reason = mh_format(
			"The transition into stage %s was disabled for more than 30 days",
			stage);
		if (stop(ctx, &r, err) != 0)
			return -1;
	}
	return 0;
}

static int end_long_disabled(struct op_ctx *ctx, const struct pipeline *p,
			     const char *stage, struct mh_err *err)
{
	CLEAN(transition) struct transition t = { 0 };

	if (transitions_get(ctx->store, p->name, stage, &t, err) != 0)
		return -1;
	if (t.enabled || ctx->now_ms - t.changed_ms <= RESUMABLE_MS)
		return 0;
	if (end_waiting(ctx, p, stage, true, err) != 0)
		return -1;
	return end_waiting(ctx, p, stage, false, err);
}

static int set_transition(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
			  bool outbound, const char *reason, struct mh_err *err)
{
	if (outbound)
		return transitions_set_outbound(ctx->store, p->name, stage, !reason, err);
	if (!reason && end_long_disabled(ctx, p, stage, err) != 0)
		return -1;
	return set_inbound(ctx, p, stage, reason, err);
}

int engine_set_transition(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
			  bool outbound, const char *reason, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t index;
	int rc;

	if (pipeline_find_stage(p, stage, &index, err) != 0)
		return -1;
	rc = set_transition(ctx, p, stage, outbound, reason, &e);
	/* Executions of older versions may wait elsewhere than this declaration says. */
	if (rc == 0 && !reason)
		rc = gate_open_all(ctx, p->name, &e);
	return rc == 0 ? 0 : api_fail_internal(err, &e);
}

/* ---- retry ---- */

static int fail_not_retryable(const struct stage_execution *s, const char *why,
			      struct api_error *err)
{
	return api_fail(err, "StageNotRetryableException",
			"Stage '%s' of pipeline execution '%s' cannot be retried: %s",
			s->stage, s->execution_id, why);
}

/* Whoever entered the stage later has taken its place (semantics E4). */
int stage_check_latest(struct op_ctx *ctx, const struct stage_execution *s,
		       struct api_error *err)
{
	CLEAN(stage_execution) struct stage_execution latest = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found = false;

	if (s->locked && stage_executions_latest(ctx->store, s->pipeline, s->stage,
						 &latest, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (found && latest.seq != s->seq)
		return api_fail(err, "NotLatestPipelineExecutionException",
				"Pipeline execution '%s' entered stage '%s' after '%s'",
				latest.execution_id, s->stage, s->execution_id);
	return 0;
}

static int check_state(struct op_ctx *ctx, const struct run *r,
		       const struct stage_execution *s, bool all, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	struct stage_look now;

	if (s->status != STAGE_FAILED && s->status != STAGE_STOPPED &&
	    s->status != STAGE_IN_PROGRESS)
		return fail_not_retryable(s, "nothing in it failed", err);
	if (s->status == STAGE_IN_PROGRESS && s->phase != PHASE_ACTIONS)
		return api_fail(err, "ConflictException",
				"The conditions of stage '%s' of pipeline execution '%s' "
				"are being checked",
				s->stage, s->execution_id);
	if (stage_look(ctx, r, s, &now, &e) != 0)
		return api_fail_internal(err, &e);
	if (s->status == STAGE_IN_PROGRESS && !now.failed &&
	    s->manual_retries + s->auto_retries > 0)
		return api_fail(err, "ConflictException",
				"Stage '%s' of pipeline execution '%s' is being retried "
				"already",
				s->stage, s->execution_id);
	if (s->status == STAGE_IN_PROGRESS && !now.failed)
		return fail_not_retryable(s, "nothing in it failed", err);
	if (all && now.running)
		return fail_not_retryable(s, "actions in it are in progress", err);
	return 0;
}

static int check_retry(struct op_ctx *ctx, const struct pipeline *p, const struct run *r,
		       const struct stage_execution *s, bool all, struct api_error *err)
{
	if (r->exec.version != p->version)
		return fail_not_retryable(s, "the pipeline was updated since", err);
	if (stage_check_latest(ctx, s, err) != 0 || check_state(ctx, r, s, all, err) != 0)
		return -1;
	/* One that still runs has its place among those that may run at once. */
	return execution_status_is_open(r->exec.status) ? 0 : execution_room(ctx, p, err);
}

int engine_retry(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		 const char *id, bool all, struct api_error *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	CLEAN(run) struct run r = { 0 };
	struct mh_err e = MH_ERR_INIT;
	int64_t index;
	bool found;

	if (pipeline_find_stage(p, stage, &index, err) != 0 ||
	    run_find(ctx, p, id, &r, &found, err) != 0)
		return -1;
	if (found &&
	    stage_executions_of(ctx->store, r.exec.seq, stage, &s, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "StageNotRetryableException",
				"Pipeline execution '%s' has not been in stage '%s' of "
				"pipeline '%s'",
				id, stage, p->name);
	if (check_retry(ctx, p, &r, &s, all, err) != 0)
		return -1;
	r.exec.stop_abandons = false;
	return stage_retry(ctx, &r, &s, all, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
