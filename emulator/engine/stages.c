/* A stage from its entry to its end: groups of actions by runOrder (semantics E6). */
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

static const struct action_execution *last_attempt(
	const struct action_execution_list *list, const char *action)
{
	for (size_t i = list->count; i > 0; i--) {
		if (strcmp(list->items[i - 1].action, action) == 0)
			return &list->items[i - 1];
	}
	return NULL;
}

static struct json_object *stage_actions(const struct run *r,
					 const struct stage_execution *s)
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
		const struct action_execution *a = last_attempt(
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
		    last_attempt(list, json_opt_str(action, "name", "")))
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
	if (run_stage(r, s->stage_index + 1))
		return gate_arrive(ctx, r, s->stage_index + 1, err);
	return change_execution(ctx, &r->exec, EXECUTION_SUCCEEDED, NULL, err);
}

/* The stage is over: its execution goes on or ends, and the stage is free for the next.
 */
static int end_stage(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		     enum stage_status status, const char *summary, struct mh_err *err)
{
	if (change_stage(ctx, r, s, status, err) != 0 ||
	    leave(ctx, r, s, status, summary, err) != 0)
		return -1;
	return gate_open(ctx, s->pipeline, s->stage, err);
}

static int fail_stage(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		      const struct action_execution *failed, struct mh_err *err)
{
	CLEAN(free)
	char *summary = mh_format("Action %s in stage %s failed: %s", failed->action,
				  s->stage, failed->error_code);

	return end_stage(ctx, r, s, STAGE_FAILED, summary, err);
}

/* One step; *ret_again when it started something, whose outcome is to be looked at. */
static int advance(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
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
		return end_stage(ctx, r, s, STAGE_CANCELLED, "The pipeline was updated",
				 err);
	if (stopping)
		return end_stage(ctx, r, s, STAGE_STOPPED, NULL, err);
	if (t.failed)
		return fail_stage(ctx, r, s, t.failed, err);
	if (t.group == 0)
		return end_stage(ctx, r, s, STAGE_SUCCEEDED, NULL, err);
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
		if (advance(ctx, r, s, &again, err) != 0)
			return -1;
	} while (again);
	return 0;
}

/* ---- once more (semantics E8) ---- */

/* Starts every action again that has ended otherwise than well. */
static int restart_failed(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
			  struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
	struct json_object *actions = stage_actions(r, s);

	if (action_executions_of_stage(ctx->store, s->seq, s->first_action, &list, err) !=
	    0)
		return -1;
	for (size_t i = 0; i < json_object_array_length(actions); i++) {
		struct json_object *action = json_object_array_get_idx(actions, i);
		const struct action_execution *a = last_attempt(
			&list, json_opt_str(action, "name", ""));

		if (a && (a->status == ACTION_FAILED || a->status == ACTION_ABANDONED) &&
		    action_start(ctx, r, s, action, err) != 0)
			return -1;
	}
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

int stage_retry(struct op_ctx *ctx, struct run *r, struct stage_execution *s, bool all,
		struct mh_err *err)
{
	if (action_executions_next_seq(ctx->store, &r->exec.first_action, err) != 0)
		return -1;
	if (all)
		s->first_action = r->exec.first_action;
	s->ended_ms = 0;
	if (change_execution(ctx, &r->exec, EXECUTION_IN_PROGRESS, "", err) != 0 ||
	    change_stage(ctx, r, s, STAGE_IN_PROGRESS, err) != 0 ||
	    (!all && restart_failed(ctx, r, s, err) != 0))
		return -1;
	return stage_advance(ctx, r, s, err);
}

/* A gate that the declaration asks for and this engine does not run; NULL when none. A
 * release must not pass it unasked: the stage fails. */
static const char *unserved_gate(struct json_object *stage)
{
	if (json_opt_object(stage, "beforeEntry"))
		return "beforeEntry";
	return json_opt_object(stage, "onSuccess") ? "onSuccess" : NULL;
}

int stage_enter(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		struct mh_err *err)
{
	const char *gate = unserved_gate(run_stage(r, s->stage_index));
	CLEAN(free) char *summary = NULL;

	if (change_stage(ctx, r, s, STAGE_IN_PROGRESS, err) != 0)
		return -1;
	if (!gate)
		return stage_advance(ctx, r, s, err);
	summary = mh_format(
		"Stage %s declares %s conditions, which this emulator does not "
		"run: the stage fails rather than pass them unasked",
		s->stage, gate);
	return end_stage(ctx, r, s, STAGE_FAILED, summary, err);
}
