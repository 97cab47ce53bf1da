/*
 * The one place where the states of executions, stages and actions change. Whatever must
 * follow every change belongs here.
 */
#include "emulator/engine/internal.h"

static void set_text(char **field, const char *value)
{
	char *copy = mh_strdup(value);

	free(*field);
	*field = copy;
}

int change_execution(struct op_ctx *ctx, struct execution *e, enum execution_status to,
		     const char *summary, struct mh_err *err)
{
	bool again = to == EXECUTION_STOPPING && e->status == to; /* now abandoning */

	ctx->changed = true;
	e->status = to;
	e->updated_ms = ctx->now_ms;
	if (to == EXECUTION_IN_PROGRESS)
		e->attempt++; /* its start, or a retry */
	if (summary) /* "": none any more */
		set_text(&e->status_summary, summary[0] ? summary : NULL);
	if (executions_save(ctx->store, e, err) != 0)
		return -1;
	return again ? 0 : event_execution(ctx, e, err);
}

int change_stage(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		 enum stage_status to, struct mh_err *err)
{
	bool retry = to == STAGE_IN_PROGRESS && s->seq != 0 && s->status != STAGE_INBOUND;

	ctx->changed = true;
	s->status = to;
	if (to == STAGE_INBOUND) {
		s->arrived_ms = ctx->now_ms;
		return stage_executions_insert(ctx->store, s, err);
	}
	if (retry)
		s->retried_ms = ctx->now_ms;
	if (to == STAGE_IN_PROGRESS)
		s->entered_ms = ctx->now_ms;
	else if (to != STAGE_STOPPING)
		s->ended_ms = ctx->now_ms;
	if (stage_executions_save(ctx->store, s, err) != 0 ||
	    event_stage(ctx, &r->exec, s, err) != 0)
		return -1;
	r->exec.updated_ms = ctx->now_ms;
	return executions_touch(ctx->store, r->exec.seq, ctx->now_ms, err);
}

/* Writes an action's or a rule's row with its new state. */
static int put_action(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		      enum action_status to, struct mh_err *err)
{
	ctx->changed = true;
	a->status = to;
	a->updated_ms = ctx->now_ms;
	a->status_ms = ctx->now_ms;
	if (a->seq == 0) {
		a->started_ms = ctx->now_ms;
		if (action_executions_insert(ctx->store, a, err) != 0)
			return -1;
	} else if (action_executions_save(ctx->store, a, err) != 0) {
		return -1;
	}
	r->exec.updated_ms = ctx->now_ms;
	return executions_touch(ctx->store, r->exec.seq, ctx->now_ms, err);
}

int change_action(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		  enum action_status to, struct mh_err *err)
{
	if (put_action(ctx, r, a, to, err) != 0)
		return -1;
	return event_action(ctx, &r->exec, a, err);
}

int change_rule(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		enum action_status to, struct mh_err *err)
{
	return put_action(ctx, r, rule, to, err);
}

int change_condition(struct op_ctx *ctx, struct run *r, struct condition *c,
		     enum condition_status to, const char *summary, struct mh_err *err)
{
	ctx->changed = true;
	c->status = to;
	c->status_ms = ctx->now_ms;
	set_text(&c->summary, summary);
	if ((c->seq == 0 ? conditions_insert(ctx->store, c, err)
			 : conditions_save(ctx->store, c, err)) != 0)
		return -1;
	r->exec.updated_ms = ctx->now_ms;
	return executions_touch(ctx->store, r->exec.seq, ctx->now_ms, err);
}

int change_progress(struct op_ctx *ctx, struct action_execution *a, struct mh_err *err)
{
	a->updated_ms = ctx->now_ms;
	if (action_executions_save(ctx->store, a, err) != 0)
		return -1;
	return executions_touch(ctx->store, a->execution, ctx->now_ms, err);
}
