/* Conditions and their rules: what GetPipelineState shows of them, ListRuleExecutions,
 * ListRuleTypes, OverrideStageCondition (semantics E10, E18, E21). */
#include "emulator/api/ops.h"
#include "emulator/api/view.h"
#include "emulator/engine/engine.h"
#include "emulator/engine/rule_types.h"
#include "emulator/store/conditions.h"

#include <string.h>

/* ---- in the state of a pipeline ---- */

static struct json_object *rule_state(const struct action_execution *rule)
{
	struct json_object *state = json_object_new_object();
	struct json_object *o = json_object_new_object();

	json_put_str(state, "ruleName", rule->action);
	json_put_obj(state, "latestExecution", o);
	json_put_str(o, "ruleExecutionId", rule->id);
	json_put_str(o, "status", action_status_name(rule->status));
	json_put_str(o, "summary", rule->summary);
	json_put_time(o, "lastStatusChange", rule->status_ms);
	json_put_str(o, "lastUpdatedBy", rule->updated_by);
	json_put_str(o, "externalExecutionId", rule->external_id);
	json_put_str(o, "externalExecutionUrl", rule->external_url);
	json_put_obj(o, "errorDetails", view_error(rule));
	return state;
}

/* Of a condition that was never asked: the names. */
static void put_rule_names(struct json_object *list, struct json_object *condition)
{
	struct json_object *rules = json_opt_array(condition, "rules");

	for (size_t i = 0; rules && i < json_object_array_length(rules); i++) {
		struct json_object *state = json_object_new_object();

		json_put_str(
			state, "ruleName",
			json_opt_str(json_object_array_get_idx(rules, i), "name", ""));
		json_object_array_add(list, state);
	}
}

static int put_rules(struct op_ctx *ctx, const struct condition *c,
		     struct json_object *list, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list rules = { 0 };

	if (action_executions_of_condition(ctx->store, c->seq, &rules, err) != 0)
		return -1;
	for (size_t i = 0; i < rules.count; i++)
		json_object_array_add(list, rule_state(&rules.items[i]));
	return 0;
}

static struct json_object *condition_execution(const struct condition *c, bool with_time)
{
	struct json_object *o = json_object_new_object();

	json_put_str(o, "status", condition_status_name(c->status));
	json_put_str(o, "summary", c->summary);
	if (with_time)
		json_put_time(o, "lastStatusChange", c->status_ms);
	return o;
}

/* declared: of the newest version; what is shown was perhaps asked by an older one. */
static int put_condition(struct op_ctx *ctx, const char *pipeline, bool with_latest,
			 const char *stage, enum stage_phase phase,
			 struct json_object *declared, struct json_object *out,
			 struct mh_err *err)
{
	struct json_object *states = json_object_new_array();
	struct json_object *state = json_object_new_object();
	struct json_object *rules = json_object_new_array();
	CLEAN(condition) struct condition c = { 0 };
	bool found = false;

	json_put_obj(out, "conditionStates", states);
	json_object_array_add(states, state);
	json_put_obj(state, "ruleStates", rules);
	if (with_latest &&
	    conditions_latest(ctx->store, pipeline, stage, phase, &c, &found, err) != 0)
		return -1;
	if (!found) {
		put_rule_names(rules, declared);
		return 0;
	}
	json_put_obj(out, "latestExecution", condition_execution(&c, false));
	json_put_obj(state, "latestExecution", condition_execution(&c, true));
	return put_rules(ctx, &c, rules, err);
}

int view_put_conditions(struct op_ctx *ctx, const char *pipeline, bool with_latest,
			struct json_object *stage, struct json_object *out,
			struct mh_err *err)
{
	static const struct {
		enum stage_phase phase;
		const char *declared, *shown;
	} kinds[] = {
		{ PHASE_ENTRY, "beforeEntry", "beforeEntryConditionState" },
		{ PHASE_SUCCESS, "onSuccess", "onSuccessConditionState" },
		{ PHASE_FAILURE, "onFailure", "onFailureConditionState" },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct json_object *list = json_opt_array(
			json_opt_object(stage, kinds[i].declared), "conditions");
		struct json_object *o;

		if (!list || json_object_array_length(list) == 0)
			continue;
		o = json_object_new_object();
		json_put_obj(out, kinds[i].shown, o);
		if (put_condition(ctx, pipeline, with_latest,
				  json_opt_str(stage, "name", ""), kinds[i].phase,
				  json_object_array_get_idx(list, 0), o, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- ListRuleExecutions ---- */

static struct json_object *rule_input(const struct action_execution *rule)
{
	struct json_object *o = json_object_new_object();

	json_put_obj(o, "ruleTypeId", json_object_get(rule->type));
	json_put_obj(o, "configuration", json_object_get(rule->config_masked));
	json_put_obj(o, "resolvedConfiguration", json_object_get(rule->resolved_masked));
	json_put_str(o, "roleArn", rule->role_arn);
	json_put_str(o, "region", rule->region);
	json_put_obj(o, "inputArtifacts", view_artifacts(rule->inputs));
	return o;
}

static struct json_object *rule_output(const struct action_execution *rule)
{
	struct json_object *o = json_object_new_object();
	struct json_object *result = json_object_new_object();

	json_put_obj(o, "executionResult", result);
	json_put_str(result, "externalExecutionId", rule->external_id);
	json_put_str(result, "externalExecutionSummary", rule->summary);
	json_put_str(result, "externalExecutionUrl", rule->external_url);
	json_put_obj(result, "errorDetails", view_error(rule));
	return o;
}

static struct json_object *rule_detail(const struct action_execution *rule)
{
	struct json_object *o = json_object_new_object();

	json_put_str(o, "pipelineExecutionId", rule->execution_id);
	json_put_str(o, "ruleExecutionId", rule->id);
	json_put_i64(o, "pipelineVersion", rule->version);
	json_put_str(o, "stageName", rule->stage);
	json_put_str(o, "ruleName", rule->action);
	json_put_time(o, "startTime", rule->started_ms);
	json_put_time(o, "lastUpdateTime", rule->updated_ms);
	json_put_str(o, "updatedBy", rule->updated_by);
	json_put_str(o, "status", action_status_name(rule->status));
	json_put_obj(o, "input", rule_input(rule));
	json_put_obj(o, "output", rule_output(rule));
	return o;
}

int op_list_rule_executions(struct op_ctx *ctx, struct json_object *in,
			    struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(view_filter) struct view_filter f = { 0 };
	CLEAN(action_execution_list) struct action_execution_list rows = { 0 };
	int64_t max = json_opt_i64(in, "maxResults", VIEW_PAGE_MAX), before = 0;
	struct json_object *list = json_object_new_array();
	struct mh_err e = MH_ERR_INIT;
	size_t count;

	json_put_obj(out, "ruleExecutionDetails", list);
	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0 ||
	    view_filter_read(ctx, "ListRuleExecutions", p.name, in, &f, err) != 0 ||
	    view_page_open(ctx, f.what, in, &before, err) != 0)
		return -1;
	if (action_executions_rules_page(ctx->store, p.name, f.execution, f.from_seq,
					 before, max + 1, &rows, &e) != 0)
		return api_fail_internal(err, &e);
	count = rows.count > (size_t)max ? (size_t)max : rows.count;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, rule_detail(&rows.items[i]));
	if (rows.count > count)
		view_page_next(ctx, f.what, out, rows.items[count - 1].seq);
	return 0;
}

/* ---- ListRuleTypes, OverrideStageCondition ---- */

int op_list_rule_types(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	struct json_object *list = json_object_new_array();

	(void)ctx, (void)in, (void)err; /* they are AWS's, and the same in every region */
	json_put_obj(out, "ruleTypes", list);
	for (const struct rule_type *t = rule_types; t->provider; t++)
		json_object_array_add(list, rule_type_definition(t));
	return 0;
}

int op_override_stage_condition(struct op_ctx *ctx, struct json_object *in,
				struct json_object *out, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	bool entry = strcmp(json_opt_str(in, "conditionType", ""), "BEFORE_ENTRY") == 0;

	(void)out; /* the operation answers nothing */
	if (pipeline_load(ctx, json_opt_str(in, "pipelineName", ""), 0, &p, err) != 0)
		return -1;
	return engine_override(ctx, &p, json_opt_str(in, "stageName", ""),
			       json_opt_str(in, "pipelineExecutionId", ""),
			       entry ? PHASE_ENTRY : PHASE_SUCCESS, err);
}
