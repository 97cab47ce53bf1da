/*
 * A stage from its entry to its end. Its phases: the entry conditions (conditions.c),
 * the groups of actions by runOrder (semantics E6), the conditions of their success or of
 * their failure. The lock is held in all of them.
 */
#include "emulator/engine/internal.h"

#include <string.h>

/* Actions of one PARALLEL execution that may run at the same time (semantics E4). */
#define PARALLEL_ACTIONS_MAX 5

/* Where a stage stands, by its actions' last attempts. */
struct tally {
	size_t running;
	const struct action_execution *failed; /* the first, or NULL; borrowed */
	int64_t group; /* runOrder of the first unfinished group; 0: none */
	bool unstarted; /* that group has actions that were not started */
};

const struct action_execution *stage_last_attempt(
	const struct action_execution_list *list, const char *action)
{
	for (size_t i = list->count; i > 0; i--) {
		if (strcmp(list->items[i - 1].action, action) == 0)
			return &list->items[i - 1];
	}
	return NULL;
}

struct json_object *stage_actions(const struct run *r, const struct stage_execution *s)
{
	return json_opt_array(run_stage(r, s->stage_index), "actions");
}

static int64_t run_order(struct json_object *action)
{
	return json_opt_i64(action, "runOrder", 1);
}

static struct tally take_tally(struct json_object *actions,
			       const struct action_execution_list *list)
{
	struct tally t = { 0 };
	size_t count = actions ? json_object_array_length(actions) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *action = json_object_array_get_idx(actions, i);
		const struct action_execution *a = stage_last_attempt(
			list, json_opt_str(action, "name", ""));
		int64_t order = run_order(action);

		if (a && a->status == ACTION_SUCCEEDED)
			continue;
		if (a && a->status == ACTION_IN_PROGRESS)
			t.running++;
		else if (a && !t.failed)
			t.failed = a;
		if (t.group == 0 || order < t.group) {
			t.group = order;
			t.unstarted = false;
		}
		t.unstarted |= order == t.group && !a;
	}
	return t;
}

/* Starts what of the group may run; one that fails at once does not keep its siblings
 * from starting. */
static int start_group(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		       const struct tally *t, const struct action_execution_list *list,
		       struct mh_err *err)
{
	struct json_object *actions = stage_actions(r, s);
	size_t room = r->exec.mode == MODE_PARALLEL ? PARALLEL_ACTIONS_MAX - t->running
						    : SIZE_MAX;

	for (size_t i = 0; i < json_object_array_length(actions) && room > 0; i++) {
		struct json_object *action = json_object_array_get_idx(actions, i);

		if (run_order(action) != t->group ||
		    stage_last_attempt(list, json_opt_str(action, "name", "")))
			continue;
		if (action_start(ctx, r, s, action, err) != 0)
			return -1;
		room--;
	}
	return 0;
}

static int leave(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		 enum stage_status status, const char *summary, struct mh_err *err)
{
	if (status == STAGE_FAILED)
		return change_execution(ctx, &r->exec, EXECUTION_FAILED, summary, err);
	if (status == STAGE_CANCELLED)
		return change_execution(ctx, &r->exec, EXECUTION_CANCELLED, summary, err);
	if (status == STAGE_STOPPED)
		return change_execution(ctx, &r->exec, EXECUTION_STOPPED, summary, err);
	/* A rollback is of one stage. */
	if (!r->exec.rollback_target && run_stage(r, s->stage_index + 1))
		return gate_arrive(ctx, r, s->stage_index + 1, err);
	return change_execution(ctx, &r->exec, EXECUTION_SUCCEEDED, NULL, err);
}

/* The stage is over: its execution goes on or ends, and the stage is free for the next:
 * first of all for the execution that rolls it back. */
static int end_stage(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		     enum stage_status status, const char *summary, bool roll_back,
		     struct mh_err *err)
{
	if (change_stage(ctx, r, s, status, err) != 0 ||
	    leave(ctx, r, s, status, summary, err) != 0 ||
	    (roll_back && rollback_automatic(ctx, r, s, err) != 0))
		return -1;
	return gate_open(ctx, s->pipeline, s->stage, err);
}

int stage_end(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
	      enum stage_status status, const char *summary, struct mh_err *err)
{
	return end_stage(ctx, r, s, status, summary, false, err);
}

int stage_fail(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
	       const char *summary, bool roll_back, struct mh_err *err)
{
	return end_stage(ctx, r, s, STAGE_FAILED, summary, roll_back, err);
}

static int fail_for(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		    const struct action_execution *failed, bool roll_back,
		    struct mh_err *err)
{
	CLEAN(free)
	char *summary = mh_format("Action %s in stage %s failed: %s", failed->action,
				  s->stage, failed->error_code);

	return stage_fail(ctx, r, s, summary, roll_back, err);
}

/* What the declaration wants done when actions failed (semantics E8 to E10). */
static int take_failure(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
			const struct action_execution *failed, bool *ret_again,
			struct mh_err *err)
{
	struct json_object *gate = json_opt_object(run_stage(r, s->stage_index),
						   "onFailure");
	const char *result = json_opt_str(gate, "result", "");

	if (retry_is_left(gate, s)) {
		*ret_again = true;
		return retry_automatic(ctx, r, s, gate, err);
	}
	if (condition_declared(r, s->stage_index, PHASE_FAILURE)) {
		s->phase = PHASE_FAILURE;
		*ret_again = true;
		return 0;
	}
	return fail_for(ctx, r, s, failed, strcmp(result, "ROLLBACK") == 0, err);
}

int stage_fail_actions(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		       bool roll_back, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	struct tally t;

	if (action_executions_of_stage(ctx->store, s->seq, s->first_action, &list, err) !=
	    0)
		return -1;
	t = take_tally(stage_actions(r, s), &list);
	return fail_for(ctx, r, s, t.failed, roll_back, err);
}

/* One step among the actions; *ret_again when there is something new to look at. */
static int advance_actions(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
			   bool *ret_again, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	bool stopping = r->exec.status == EXECUTION_STOPPING;
	struct tally t;

	*ret_again = false;
	if (action_executions_of_stage(ctx->store, s->seq, s->first_action, &list, err) !=
	    0)
		return -1;
	t = take_tally(stage_actions(r, s), &list);
	if (t.running > 0 && (t.failed || r->exec.cancelling || stopping))
		return 0; /* siblings in flight finish */
	if (r->exec.cancelling)
		return stage_end(ctx, r, s, STAGE_CANCELLED, "The pipeline was updated",
				 err);
	if (stopping)
		return stage_end(ctx, r, s, STAGE_STOPPED, NULL, err);
	if (t.failed)
		return take_failure(ctx, r, s, t.failed, ret_again, err);
	if (t.group == 0) {
		s->phase = PHASE_SUCCESS;
		*ret_again = true;
		return 0;
	}
	if (!t.unstarted ||
	    (r->exec.mode == MODE_PARALLEL && t.running >= PARALLEL_ACTIONS_MAX))
		return 0;
	*ret_again = true;
	return start_group(ctx, r, s, &t, &list, err);
}

int stage_advance(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		  struct mh_err *err)
{
	bool again;

	do {
		if ((s->phase == PHASE_ACTIONS
			     ? advance_actions(ctx, r, s, &again, err)
			     : condition_step(ctx, r, s, &again, err)) != 0)
			return -1;
	} while (again);
	return 0;
}

int stage_look(struct op_ctx *ctx, const struct run *r, const struct stage_execution *s,
	       struct stage_look *ret, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	struct tally t;

	if (action_executions_of_stage(ctx->store, s->seq, s->first_action, &list, err) !=
	    0)
		return -1;
	t = take_tally(stage_actions(r, s), &list);
	*ret = (struct stage_look){ .running = t.running > 0, .failed = t.failed };
	return 0;
}

int stage_enter(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		struct mh_err *err)
{
	bool asked = condition_declared(r, s->stage_index, PHASE_ENTRY);

	s->phase = asked ? PHASE_ENTRY : PHASE_ACTIONS;
	if (change_stage(ctx, r, s, STAGE_IN_PROGRESS, err) != 0)
		return -1;
	return stage_advance(ctx, r, s, err);
}
