/* A stage once more: because a client asked, or by itself (semantics E8). */
#include "emulator/engine/internal.h"

#include <string.h>

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
		const struct action_execution *a = stage_last_attempt(
			&list, json_opt_str(action, "name", ""));

		if (a && (a->status == ACTION_FAILED || a->status == ACTION_ABANDONED) &&
		    action_start(ctx, r, s, action, err) != 0)
			return -1;
	}
	return 0;
}

/* Where the stage goes on. An entry that was not granted is asked for again; what kept
 * good actions from counting as a success is asked again, without running them. */
static enum stage_phase next_phase(const struct stage_execution *s, bool all)
{
	if (s->phase == PHASE_ENTRY)
		return PHASE_ENTRY;
	return s->phase == PHASE_SUCCESS && !all ? PHASE_SUCCESS : PHASE_ACTIONS;
}

static int restart(struct op_ctx *ctx, struct run *r, struct stage_execution *s, bool all,
		   struct mh_err *err)
{
	if (action_executions_next_seq(ctx->store, &r->exec.first_action, err) != 0)
		return -1;
	if (all)
		s->first_action = r->exec.first_action;
	s->phase = next_phase(s, all);
	s->condition = 0;
	s->ended_ms = 0;
	if (change_execution(ctx, &r->exec, EXECUTION_IN_PROGRESS, "", err) != 0 ||
	    change_stage(ctx, r, s, STAGE_IN_PROGRESS, err) != 0)
		return -1;
	if (all || s->phase != PHASE_ACTIONS)
		return 0;
	return restart_failed(ctx, r, s, err);
}

int stage_retry(struct op_ctx *ctx, struct run *r, struct stage_execution *s, bool all,
		struct mh_err *err)
{
	s->manual_retries++;
	s->retried_by_itself = false;
	if (restart(ctx, r, s, all, err) != 0)
		return -1;
	return stage_advance(ctx, r, s, err);
}

bool retry_is_left(struct json_object *gate, const struct stage_execution *s)
{
	return strcmp(json_opt_str(gate, "result", ""), "RETRY") == 0 &&
	       s->auto_retries == 0;
}

int retry_automatic(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		    struct json_object *gate, struct mh_err *err)
{
	const char *mode = json_opt_str(json_opt_object(gate, "retryConfiguration"),
					"retryMode", "FAILED_ACTIONS");

	s->auto_retries++;
	s->retried_by_itself = true;
	/* The stage has failed and goes on; its execution never failed (semantics E22).
	 */
	if (change_stage(ctx, r, s, STAGE_FAILED, err) != 0)
		return -1;
	return restart(ctx, r, s, strcmp(mode, "ALL_ACTIONS") == 0, err);
}
