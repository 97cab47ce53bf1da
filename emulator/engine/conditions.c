/*
 * Conditions of stages (semantics E10). Whether a stage may be entered, whether its
 * success counts, what its failure leads to: each is asked once in its phase, all its
 * rules at once, and holds the stage's lock meanwhile.
 *
 *	          met                     not met
 *	entry     the actions run         FAIL: the stage fails; SKIP: it is Skipped
 *	success   the stage succeeds      FAIL: the stage fails; ROLLBACK: and goes back
 *	failure   the stage fails and     the stage fails
 *	          goes back
 */
#include "emulator/engine/internal.h"

#include <string.h>

#define SUMMARY_MAX_BYTES 2048

static const char *const members[] = {
	[PHASE_ENTRY] = "beforeEntry",
	[PHASE_ACTIONS] = NULL,
	[PHASE_SUCCESS] = "onSuccess",
	[PHASE_FAILURE] = "onFailure",
};

const char *condition_member(enum stage_phase phase)
{
	return members[phase];
}

struct json_object *condition_declared(const struct run *r, int64_t stage_index,
				       enum stage_phase phase)
{
	struct json_object *gate = json_opt_object(run_stage(r, stage_index),
						   members[phase]);
	struct json_object *list = json_opt_array(gate, "conditions");

	if (r->exec.rollback_target || !list || json_object_array_length(list) == 0)
		return NULL;
	return json_object_array_get_idx(list, 0); /* there is one at most */
}

/* ---- asking ---- */

static int ask(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
	       struct json_object *declared, struct mh_err *err)
{
	struct json_object *rules = json_opt_array(declared, "rules");
	CLEAN(condition)
	struct condition c = {
		.execution = r->exec.seq,
		.stage_execution = s->seq,
		.pipeline = mh_strdup(s->pipeline),
		.stage = mh_strdup(s->stage),
		.phase = s->phase,
		.locked = s->locked,
	};

	if (change_condition(ctx, r, &c, CONDITION_IN_PROGRESS, NULL, err) != 0)
		return -1;
	s->condition = c.seq;
	if (stage_executions_save(ctx->store, s, err) != 0)
		return -1;
	for (size_t i = 0; rules && i < json_object_array_length(rules); i++) {
		if (rule_start(ctx, r, s, &c, json_object_array_get_idx(rules, i), err) !=
		    0)
			return -1;
	}
	return 0;
}

/* ---- the answer ---- */

struct answers {
	bool waiting; /* for a rule */
	bool errored; /* a rule could not be asked */
	const struct action_execution *failed; /* the first; borrowed */
};

static struct answers count_answers(const struct action_execution_list *rules)
{
	struct answers a = { 0 };

	for (size_t i = 0; i < rules->count; i++) {
		const struct action_execution *rule = &rules->items[i];

		a.waiting |= rule->status == ACTION_IN_PROGRESS;
		if (rule->status == ACTION_SUCCEEDED ||
		    rule->status == ACTION_IN_PROGRESS)
			continue;
		if (!a.failed)
			a.failed = rule;
		a.errored |= rule->error_code &&
			     strcmp(rule->error_code, "ConfigurationError") == 0;
	}
	return a;
}

static char *why_failed(const struct action_execution *rule)
{
	CLEAN(free)
	char *text = mh_format("Rule %s failed: %s", rule->action,
			       rule->error_message ? rule->error_message
						   : "it was abandoned");

	return mh_strndup(text, str_utf8_floor(text, strlen(text), SUMMARY_MAX_BYTES));
}

/* Ends the condition when all its rules have ended: it is met when each succeeded. */
static int judge(struct op_ctx *ctx, struct run *r, struct condition *c,
		 struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list rules = { 0 };
	CLEAN(free) char *summary = NULL;
	struct answers a;

	if (action_executions_of_condition(ctx->store, c->seq, &rules, err) != 0)
		return -1;
	a = count_answers(&rules);
	if (a.waiting)
		return 0;
	if (!a.failed)
		return change_condition(ctx, r, c, CONDITION_SUCCEEDED,
					"All rules succeeded", err);
	summary = why_failed(a.failed);
	return change_condition(ctx, r, c,
				a.errored ? CONDITION_ERRORED : CONDITION_FAILED, summary,
				err);
}

int condition_drop(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
		   enum condition_status status, const char *why, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list rules = { 0 };
	CLEAN(condition) struct condition c = { 0 };

	if (!s->condition)
		return 0;
	if (conditions_get(ctx->store, s->condition, &c, err) != 0 ||
	    action_executions_of_condition(ctx->store, c.seq, &rules, err) != 0)
		return -1;
	if (c.status != CONDITION_IN_PROGRESS)
		return 0;
	for (size_t i = 0; i < rules.count; i++) {
		if (rules.items[i].status == ACTION_IN_PROGRESS &&
		    rule_abandon(ctx, r, &rules.items[i], err) != 0)
			return -1;
	}
	return change_condition(ctx, r, &c, status, why, err);
}

/* ---- the conclusion ---- */

static int begin_actions(struct op_ctx *ctx, struct stage_execution *s, bool *ret_again,
			 struct mh_err *err)
{
	s->phase = PHASE_ACTIONS;
	s->condition = 0;
	*ret_again = true;
	return stage_executions_save(ctx->store, s, err);
}

static int fail(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		const struct condition *c, bool roll_back, struct mh_err *err)
{
	CLEAN(free)
	char *summary = mh_format("The %s condition of stage %s was not met: %s",
				  members[s->phase], s->stage,
				  c->summary ? c->summary : "");

	return stage_fail(ctx, r, s, summary, roll_back, err);
}

/* c->seq is 0 where none is declared. */
static int conclude(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		    const struct condition *c, const char *result, bool *ret_again,
		    struct mh_err *err)
{
	bool met = c->seq == 0 || c->status == CONDITION_SUCCEEDED ||
		   c->status == CONDITION_OVERRIDDEN;
	bool roll_back = strcmp(result, "ROLLBACK") == 0;

	if (s->phase == PHASE_FAILURE)
		return stage_fail_actions(
			ctx, r, s, roll_back && c->status == CONDITION_SUCCEEDED, err);
	if (met && s->phase == PHASE_ENTRY)
		return begin_actions(ctx, s, ret_again, err);
	if (met)
		return stage_end(ctx, r, s, STAGE_SUCCEEDED, NULL, err);
	if (s->phase == PHASE_ENTRY && strcmp(result, "SKIP") == 0)
		return stage_end(ctx, r, s, STAGE_SKIPPED, NULL, err);
	return fail(ctx, r, s, c, roll_back, err);
}

static int load(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
		struct condition *ret, struct mh_err *err)
{
	if (!s->condition)
		return 0;
	if (conditions_get(ctx->store, s->condition, ret, err) != 0)
		return -1;
	return ret->status == CONDITION_IN_PROGRESS ? judge(ctx, r, ret, err) : 0;
}

int condition_step(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		   bool *ret_again, struct mh_err *err)
{
	struct json_object *declared = condition_declared(r, s->stage_index, s->phase);
	CLEAN(condition) struct condition c = { 0 };

	*ret_again = false;
	/* Rules are no actions: an update does not wait for them (semantics E5). */
	if (r->exec.cancelling)
		return condition_drop(ctx, r, s, CONDITION_CANCELLED,
				      "The pipeline was updated", err) != 0
			       ? -1
			       : stage_end(ctx, r, s, STAGE_CANCELLED,
					   "The pipeline was updated", err);
	if (load(ctx, r, s, &c, err) != 0)
		return -1;
	if (c.seq && c.status == CONDITION_IN_PROGRESS)
		return 0;
	if (r->exec.status == EXECUTION_STOPPING)
		return stage_end(ctx, r, s, STAGE_STOPPED, NULL, err);
	if (declared && !c.seq) {
		*ret_again = true;
		return ask(ctx, r, s, declared, err);
	}
	return conclude(ctx, r, s, &c, json_opt_str(declared, "result", ""), ret_again,
			err);
}
