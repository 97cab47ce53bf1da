/*
 * The gate in front of a stage (semantics E4): transition enabled? lock free? then enter;
 * else wait inbound. Superseding happens here and nowhere else, so it never touches an
 * execution inside a stage.
 */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

#include <string.h>

/* The way out of the stage before, and the way into this one. */
static int is_open(struct op_ctx *ctx, const struct run *r,
		   const struct stage_execution *s, bool *ret, struct mh_err *err)
{
	CLEAN(transition) struct transition in = { 0 };
	bool out = true;

	if (transitions_get(ctx->store, s->pipeline, s->stage, &in, err) != 0)
		return -1;
	if (in.enabled && s->stage_index > 0 &&
	    transitions_outbound_enabled(
		    ctx->store, s->pipeline,
		    json_opt_str(run_stage(r, s->stage_index - 1), "name", ""), &out,
		    err) != 0)
		return -1;
	*ret = in.enabled && out;
	return 0;
}

static int may_enter(struct op_ctx *ctx, const struct run *r,
		     const struct stage_execution *s, bool *ret, struct mh_err *err)
{
	bool open, taken = false;

	if (is_open(ctx, r, s, &open, err) != 0)
		return -1;
	if (open && s->locked &&
	    stage_executions_is_locked(ctx->store, s->pipeline, s->stage, &taken, err) !=
		    0)
		return -1;
	*ret = open && !taken;
	return 0;
}

static int supersede(struct op_ctx *ctx, const struct stage_execution *older,
		     const char *newer_id, struct mh_err *err)
{
	CLEAN(execution) struct execution e = { 0 };
	CLEAN(free)
	char *summary = mh_format("Superseded by execution %s in front of stage %s",
				  newer_id, older->stage);

	if (executions_get(ctx->store, older->execution, &e, err) != 0 ||
	    stage_executions_delete(ctx->store, older->seq, err) != 0)
		return -1;
	return change_execution(ctx, &e, EXECUTION_SUPERSEDED, summary, err);
}

/* One waits: the newest of those in front of the stage. */
static int keep_newest(struct op_ctx *ctx, struct run *r, const char *stage,
		       struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list waiting = { 0 };
	const struct stage_execution *newest = NULL;

	if (stage_executions_inbound(ctx->store, r->exec.pipeline, stage, true, &waiting,
				     err) != 0)
		return -1;
	for (size_t i = 0; i < waiting.count; i++) {
		if (!newest || waiting.items[i].execution > newest->execution)
			newest = &waiting.items[i];
	}
	for (size_t i = 0; i < waiting.count; i++) {
		if (&waiting.items[i] != newest &&
		    supersede(ctx, &waiting.items[i], newest->execution_id, err) != 0)
			return -1;
	}
	return 0;
}

int gate_place(struct op_ctx *ctx, struct run *r, int64_t stage_index,
	       struct stage_execution *ret, struct mh_err *err)
{
	*ret = (struct stage_execution){
		.execution = r->exec.seq,
		.pipeline = mh_strdup(r->exec.pipeline),
		.stage = mh_strdup(json_opt_str(run_stage(r, stage_index), "name", "")),
		.stage_index = stage_index,
		.locked = r->exec.mode != MODE_PARALLEL,
	};
	memcpy(ret->execution_id, r->exec.id, sizeof(ret->execution_id));
	return change_stage(ctx, r, ret, STAGE_INBOUND, err);
}

int gate_arrive(struct op_ctx *ctx, struct run *r, int64_t stage_index,
		struct mh_err *err)
{
	CLEAN(stage_execution) struct stage_execution s = { 0 };
	bool enter;

	if (gate_place(ctx, r, stage_index, &s, err) != 0 ||
	    may_enter(ctx, r, &s, &enter, err) != 0)
		return -1;
	if (enter)
		return stage_enter(ctx, r, &s, err);
	if (r->exec.mode == MODE_SUPERSEDED)
		return keep_newest(ctx, r, s.stage, err);
	return 0;
}

/* The first in line, when it may; *ret_entered says whether there was one. */
static int let_first_enter(struct op_ctx *ctx, const char *pipeline, const char *stage,
			   bool locked, bool *ret_entered, struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list waiting = { 0 };
	CLEAN(run) struct run r = { 0 };

	*ret_entered = false;
	if (stage_executions_inbound(ctx->store, pipeline, stage, locked, &waiting,
				     err) != 0)
		return -1;
	if (waiting.count == 0)
		return 0;
	if (run_load(ctx, waiting.items[0].execution, &r, err) != 0 ||
	    may_enter(ctx, &r, &waiting.items[0], ret_entered, err) != 0)
		return -1;
	return *ret_entered ? stage_enter(ctx, &r, &waiting.items[0], err) : 0;
}

int gate_open(struct op_ctx *ctx, const char *pipeline, const char *stage,
	      struct mh_err *err)
{
	bool first = false, parallel = false;

	/* Who enters may fail at once and free the stage again. */
	do {
		if (let_first_enter(ctx, pipeline, stage, true, &first, err) != 0 ||
		    let_first_enter(ctx, pipeline, stage, false, &parallel, err) != 0)
			return -1;
	} while (first || parallel);
	return 0;
}

int gate_open_all(struct op_ctx *ctx, const char *pipeline, struct mh_err *err)
{
	CLEAN(free) char *stage = mh_strdup("");

	while (stage) {
		char *next;

		if (stage_executions_next_waiting(ctx->store, pipeline, stage, &next,
						  err) != 0)
			return -1;
		free(stage);
		stage = next;
		if (stage && gate_open(ctx, pipeline, stage, err) != 0)
			return -1;
	}
	return 0;
}
