/* Stages: how many, their names, what the first one holds, and their conditions. */
#include <string.h>

#include "emulator/engine/declare_parts.h"

#define STRUCTURE "InvalidStructureException"
#define STAGE     "InvalidStageDeclarationException"

static bool is_source(const struct declared_action *a)
{
	return strcmp(a->category, "Source") == 0;
}

static int check_count(const struct declaration *d, struct api_error *err)
{
	if (d->stage_count < DECLARE_STAGES_MIN)
		return api_fail(
			err, STRUCTURE,
			"Pipeline has only %zu stage(s). There should be a minimum of %d "
			"stages in a pipeline",
			d->stage_count, DECLARE_STAGES_MIN);
	if (d->stage_count > DECLARE_STAGES_MAX)
		return api_fail(err, STRUCTURE,
				"Pipeline has too many stages. There can only be up to "
				"%d stages in "
				"a pipeline",
				DECLARE_STAGES_MAX);
	if (d->action_count > DECLARE_ACTIONS_MAX)
		return api_fail(err, "LimitExceededException",
				"Pipeline has too many actions. There can only be up to "
				"%d actions "
				"in a pipeline",
				DECLARE_ACTIONS_MAX);
	return 0;
}

static int check_names(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();

	for (size_t i = 0; i < d->stage_count; i++) {
		struct json_object *stage = declared_stage(d, i);
		const char *name = json_opt_str(stage, "name", "");

		if (names_find(seen, name) >= 0)
			return api_fail(err, STAGE,
					"Stage name '%s' is used more than once", name);
		json_put_i64(seen, name, (int64_t)i);
		if (list_length(json_opt_array(stage, "blockers")) > 0)
			return api_fail(err, "InvalidBlockerDeclarationException",
					"Stage '%s' declares blockers, which are "
					"reserved for future "
					"use",
					name);
	}
	return 0;
}

/* The first stage holds sources and nothing else; no other stage holds one. */
static int check_sources(const struct declaration *d, struct api_error *err)
{
	size_t in_first = 0, sources = 0;

	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];

		if (a->stage_index == 0 && !is_source(a)) {
			in_first = 0;
			break;
		}
		in_first += a->stage_index == 0;
		sources += is_source(a);
	}
	if (in_first == 0)
		return api_fail(err, STRUCTURE,
				"Pipeline should start with a stage that only contains "
				"source actions");
	if (sources == d->action_count && sources > in_first)
		return api_fail(
			err, STRUCTURE,
			"Pipeline should contain at least 1 action whose category is not "
			"Source");
	if (sources > in_first)
		return api_fail(
			err, STRUCTURE,
			"Source actions can only be included in the first stage of the "
			"pipeline");
	return 0;
}

static int check_sizes(const struct declaration *d, struct api_error *err)
{
	for (size_t i = 0; i < d->stage_count; i++) {
		struct json_object *stage = declared_stage(d, i);
		size_t count = list_length(json_opt_array(stage, "actions"));
		const char *name = json_opt_str(stage, "name", "");

		if (count == 0)
			return api_fail(err, STAGE,
					"Stage '%s' should have at least 1 action", name);
		if (count > DECLARE_STAGE_ACTIONS_MAX)
			return api_fail(err, STAGE,
					"Stage '%s' has too many actions. There can only "
					"be up to %d "
					"actions in a stage",
					name, DECLARE_STAGE_ACTIONS_MAX);
	}
	return 0;
}

int declare_check_stages(const struct declaration *d, struct api_error *err)
{
	if (check_count(d, err) != 0 || check_names(d, err) != 0 ||
	    check_sources(d, err) != 0)
		return -1;
	return check_sizes(d, err);
}

/* ---- conditions (semantics E10) ---- */

/* Whether a list of conditions has that result anywhere. */
static bool conditions_have(struct json_object *gate, const char *result)
{
	struct json_object *list = json_opt_array(gate, "conditions");

	for (size_t i = 0; i < list_length(list); i++) {
		if (strcmp(json_opt_str(json_object_array_get_idx(list, i), "result", ""),
			   result) == 0)
			return true;
	}
	return false;
}

static bool result_is(struct json_object *gate, const char *result)
{
	return strcmp(json_opt_str(gate, "result", ""), result) == 0;
}

/* Results of the gate's conditions must be among the allowed ones, which end with NULL.
 */
static int check_results(const char *stage, const char *kind, struct json_object *gate,
			 const char *const *allowed, struct api_error *err)
{
	static const char *const all[] = { "FAIL", "ROLLBACK", "RETRY", "SKIP" };

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		bool ok = false;

		for (const char *const *p = allowed; *p != NULL; p++)
			ok = ok || strcmp(*p, all[i]) == 0;
		if (!ok && conditions_have(gate, all[i]))
			return api_fail(err, STAGE,
					"Stage '%s' declares a %s condition with the "
					"result %s, which "
					"is not available there",
					stage, kind, all[i]);
	}
	return 0;
}

/* With SKIP only two rules are available. */
static int check_skip_rules(const char *stage, struct json_object *gate,
			    struct api_error *err)
{
	struct json_object *list = json_opt_array(gate, "conditions");

	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *condition = json_object_array_get_idx(list, i);
		struct json_object *rules = json_opt_array(condition, "rules");

		if (!result_is(condition, "SKIP"))
			continue;
		for (size_t r = 0; r < list_length(rules); r++) {
			struct json_object *rule = json_object_array_get_idx(rules, r);
			const char *provider = json_opt_str(
				json_opt_object(rule, "ruleTypeId"), "provider", "");

			if (strcmp(provider, "LambdaInvoke") != 0 &&
			    strcmp(provider, "VariableCheck") != 0)
				return api_fail(err, STAGE,
						"Stage '%s' declares the rule '%s' of "
						"type %s in a "
						"condition with the result SKIP; only "
						"LambdaInvoke and "
						"VariableCheck are available there",
						stage, json_opt_str(rule, "name", ""),
						provider);
		}
	}
	return 0;
}

static int check_failure_gate(const struct declaration *d, const char *stage,
			      struct json_object *gate, struct api_error *err)
{
	static const char *const allowed[] = { "ROLLBACK", NULL };

	if (json_opt_str(gate, "result", NULL) != NULL &&
	    list_length(json_opt_array(gate, "conditions")) > 0)
		return api_fail(err, STAGE,
				"The following stage cannot have a failure exit gate "
				"configured with "
				"both top level result and conditions: '%s'",
				stage);
	if (strcmp(d->mode, "PARALLEL") == 0 &&
	    (result_is(gate, "ROLLBACK") || conditions_have(gate, "ROLLBACK")))
		return api_fail(err, STAGE,
				"Failure conditions with rollback result type cannot be "
				"added to a "
				"PARALLEL pipeline.");
	if (result_is(gate, "SKIP"))
		return api_fail(err, STAGE,
				"Stage '%s' declares the failure result SKIP, which is "
				"not available "
				"there",
				stage);
	return check_results(stage, "failure", gate, allowed, err);
}

static int check_stage_gates(const struct declaration *d, struct json_object *stage,
			     struct api_error *err)
{
	static const char *const entry_results[] = { "FAIL", "SKIP", NULL };
	static const char *const success_results[] = { "ROLLBACK", "FAIL", NULL };
	const char *name = json_opt_str(stage, "name", "");
	struct json_object *entry = json_opt_object(stage, "beforeEntry");
	struct json_object *success = json_opt_object(stage, "onSuccess");
	struct json_object *failure = json_opt_object(stage, "onFailure");

	if (entry == NULL && success == NULL && failure == NULL)
		return 0;
	if (!d->v2)
		return api_fail(
			err, STAGE,
			"Stage level conditions can only be used with V2 pipelines.");
	if (check_failure_gate(d, name, failure, err) != 0 ||
	    check_results(name, "beforeEntry", entry, entry_results, err) != 0 ||
	    check_skip_rules(name, entry, err) != 0)
		return -1;
	return check_results(name, "onSuccess", success, success_results, err);
}

int declare_check_conditions(const struct declaration *d, struct api_error *err)
{
	for (size_t i = 0; i < d->stage_count; i++) {
		if (check_stage_gates(d, declared_stage(d, i), err) != 0)
			return -1;
	}
	return 0;
}
