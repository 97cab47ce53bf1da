/* Conditions of stages and their rules (semantics E10). */
#include <ctype.h>
#include <string.h>

#include "emulator/engine/declare_parts.h"
#include "emulator/engine/rule_types.h"
#include "emulator/engine/variables.h"

#define STAGE "InvalidStageDeclarationException"

static const struct {
	const char *member;
	bool after; /* its stage's actions have run */
} gates[] = {
	{ "beforeEntry", false },
	{ "onSuccess", true },
	{ "onFailure", true },
};

static struct json_object *condition_of(struct json_object *stage, const char *member)
{
	struct json_object *list = json_opt_array(json_opt_object(stage, member),
						  "conditions");

	return list_length(list) > 0 ? json_object_array_get_idx(list, 0) : NULL;
}

static int each_of_stage(const struct declaration *d, size_t stage_index,
			 declare_rule_fn check, void *arg, struct api_error *err)
{
	struct json_object *stage = declared_stage(d, stage_index);

	for (size_t g = 0; g < ARRAY_LEN(gates); g++) {
		struct json_object *rules = json_opt_array(
			condition_of(stage, gates[g].member), "rules");

		for (size_t i = 0; i < list_length(rules); i++) {
			struct json_object *rule = json_object_array_get_idx(rules, i);
			struct declared_rule r = {
				.rule = rule,
				.name = json_opt_str(rule, "name", ""),
				.stage = json_opt_str(stage, "name", ""),
				.gate = gates[g].member,
				.stage_index = stage_index,
				.after = gates[g].after,
			};

			if (check(d, &r, arg, err) != 0)
				return -1;
		}
	}
	return 0;
}

int declare_each_rule(const struct declaration *d, declare_rule_fn check, void *arg,
		      struct api_error *err)
{
	for (size_t s = 0; s < d->stage_count; s++) {
		if (each_of_stage(d, s, check, arg, err) != 0)
			return -1;
	}
	return 0;
}

bool declared_before_rule(const struct declared_action *a, const struct declared_rule *r)
{
	return a->stage_index < r->stage_index ||
	       (r->after && a->stage_index == r->stage_index);
}

/* ---- results ---- */

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

/* What a condition must have, wherever it stands. */
static int check_condition(const char *stage, const char *kind, struct json_object *gate,
			   struct api_error *err)
{
	struct json_object *list = json_opt_array(gate, "conditions");
	struct json_object *condition;

	if (list_length(list) == 0)
		return 0;
	condition = json_object_array_get_idx(list, 0);
	if (!json_opt_str(condition, "result", NULL))
		return api_fail(err, STAGE,
				"Stage '%s' declares a %s condition without a result",
				stage, kind);
	if (list_length(json_opt_array(condition, "rules")) == 0)
		return api_fail(err, STAGE,
				"Stage '%s' declares a %s condition without rules", stage,
				kind);
	return 0;
}

static int check_retry(const char *stage, struct json_object *gate, struct api_error *err)
{
	if (!json_opt_object(gate, "retryConfiguration") || result_is(gate, "RETRY"))
		return 0;
	return api_fail(
		err, STAGE,
		"Stage '%s' declares a retryConfiguration, which only the failure "
		"result RETRY takes",
		stage);
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
	for (size_t g = 0; g < ARRAY_LEN(gates); g++) {
		if (check_condition(name, gates[g].member,
				    json_opt_object(stage, gates[g].member), err) != 0)
			return -1;
	}
	if (check_failure_gate(d, name, failure, err) != 0 ||
	    check_retry(name, failure, err) != 0 ||
	    check_results(name, "beforeEntry", entry, entry_results, err) != 0 ||
	    check_skip_rules(name, entry, err) != 0)
		return -1;
	return check_results(name, "onSuccess", success, success_results, err);
}

/* ---- rules ---- */

static int refuse(const struct declared_rule *r, const char *why, struct api_error *err)
{
	return api_fail(err, STAGE, "Rule '%s' of the %s condition of stage '%s': %s",
			r->name, r->gate, r->stage, why);
}

static int refuse_type(const struct declaration *d, const struct declared_rule *r,
		       struct json_object *id, struct api_error *err)
{
	char region[64];
	size_t i = 0;

	for (; d->env->region[i] != '\0' && i + 1 < sizeof(region); i++)
		region[i] = d->env->region[i] == '-'
				    ? '_'
				    : (char)toupper((unsigned char)d->env->region[i]);
	region[i] = '\0';
	return api_fail(err, STAGE,
			"RuleType (Category: 'Rule', Provider: '%s', Owner: '%s', "
			"Version: '%s') in rule '%s' is not available in region '%s'",
			json_opt_str(id, "provider", ""),
			json_opt_str(id, "owner", "AWS"),
			json_opt_str(id, "version", "1"), r->name, region);
}

static int check_keys(const struct declared_rule *r, const struct rule_type *type,
		      struct json_object *config, struct api_error *err)
{
	CLEAN(json) struct json_object *known = catalogue_properties(type->keys);
	CLEAN(json) struct json_object *names = json_object_new_object();

	for (size_t i = 0; i < list_length(known); i++) {
		struct json_object *p = json_object_array_get_idx(known, i);
		const char *name = json_opt_str(p, "name", "");

		json_put_i64(names, name, (int64_t)i);
		if (json_opt_bool(p, "required", false) &&
		    !json_opt_str(config, name, NULL))
			return api_fail(err, STAGE,
					"Rule configuration for rule '%s' is missing "
					"required configuration '%s'",
					r->name, name);
	}
	if (!config)
		return 0;
	json_object_object_foreach(config, key, value)
	{
		(void)value; /* only its name is in question */
		if (names_find(names, key) < 0)
			return api_fail(err, STAGE,
					"Rule configuration for rule '%s' contains "
					"unknown configuration '%s'",
					r->name, key);
	}
	return 0;
}

/* The configuration with nothing in the place of what is known at run time alone. */
static struct json_object *what_is_known(struct json_object *config)
{
	struct json_object *out = json_object_new_object();

	json_object_object_foreach(config, key, value)
	{
		if (!variables_present(json_object_get_string(value)))
			json_put_obj(out, key, json_object_get(value));
	}
	return out;
}

static bool has(struct json_object *config, const char *key)
{
	return json_object_object_get_ex(config, key, NULL);
}

static int check_values(const struct declared_rule *r, const struct rule_type *type,
			struct json_object *config, struct api_error *err)
{
	CLEAN(json) struct json_object *known = what_is_known(config);
	struct mh_err why = MH_ERR_INIT;
	int64_t wait_ms;
	bool met;
	int rc = 0;

	if (type->kind == RULE_VARIABLE && has(known, "Operator"))
		rc = rule_compare(known, &met, &why);
	else if (type->kind == RULE_WINDOW && has(known, "Cron"))
		rc = rule_window(known, 0, &met, &why);
	else if (type->kind == RULE_ALARM)
		rc = rule_alarm_wants(known, r->after, "OK", &met, &why) != 0
			     ? -1
			     : rule_alarm_wait_ms(known, &wait_ms, &why);
	return rc == 0 ? 0 : refuse(r, why.text, err);
}

static int check_members(const struct declared_rule *r, const struct rule_type *type,
			 struct api_error *err)
{
	size_t commands = list_length(json_opt_array(r->rule, "commands"));
	size_t inputs = list_length(json_opt_array(r->rule, "inputArtifacts"));

	if (type->kind == RULE_COMMANDS && commands == 0)
		return api_fail(err, STAGE,
				"Rule %s must have a non-empty commands field", r->name);
	if (type->kind != RULE_COMMANDS && commands > 0)
		return refuse(r, "only Commands rules may have a commands field", err);
	if (inputs > (size_t)type->in_max)
		return api_fail(err, STAGE,
				"Rule %s declares %zu input artifacts which is more than "
				"the maximum count (%d)",
				r->name, inputs, type->in_max);
	return 0;
}

/* seen: the names of the same condition's rules before it. */
static int check_rule(const struct declaration *d, const struct declared_rule *r,
		      void *seen, struct api_error *err)
{
	CLEAN(free)
	char *place = mh_format("%zu %s %s", r->stage_index, r->gate, r->name);
	struct json_object *config = json_opt_object(r->rule, "configuration");
	struct json_object *id = json_opt_object(r->rule, "ruleTypeId");
	const struct rule_type *type = rule_type_find(id);

	if (names_find(seen, place) >= 0)
		return refuse(r, "the name is used more than once", err);
	json_put_i64(seen, place, 1);
	if (!type)
		return refuse_type(d, r, id, err);
	if (check_keys(r, type, config, err) != 0 || check_members(r, type, err) != 0)
		return -1;
	return config ? check_values(r, type, config, err) : 0;
}

int declare_check_conditions(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();

	for (size_t i = 0; i < d->stage_count; i++) {
		if (check_stage_gates(d, declared_stage(d, i), err) != 0)
			return -1;
	}
	return declare_each_rule(d, check_rule, seen, err);
}
