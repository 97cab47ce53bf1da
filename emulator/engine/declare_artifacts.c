/* Artifacts: made once, and before they are used. */
#include <string.h>

#include "emulator/engine/declare_parts.h"

#define ACTION "InvalidActionDeclarationException"

static const char *artifact_name(struct json_object *list, size_t i)
{
	return json_opt_str(json_object_array_get_idx(list, i), "name", "");
}

/* Artifact name to index of the action that makes it. */
static int collect_outputs(const struct declaration *d, struct json_object *made,
			   struct api_error *err)
{
	for (size_t i = 0; i < d->action_count; i++) {
		struct json_object *list = json_opt_array(d->actions[i].action,
							  "outputArtifacts");

		for (size_t o = 0; o < list_length(list); o++) {
			const char *name = artifact_name(list, o);

			if (names_find(made, name) >= 0)
				return api_fail(
					err, ACTION,
					"Output Artifact Bundle name must be unique "
					"within the "
					"pipeline. %s has been used more than once.",
					name);
			json_put_i64(made, name, (int64_t)i);
		}
	}
	return 0;
}

static int check_inputs(const struct declaration *d, const struct declared_action *a,
			struct json_object *made, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();
	struct json_object *list = json_opt_array(a->action, "inputArtifacts");

	for (size_t i = 0; i < list_length(list); i++) {
		const char *name = artifact_name(list, i);
		int64_t maker = names_find(made, name);

		if (maker < 0 || !declared_before(&d->actions[maker], a))
			return api_fail(err, ACTION,
					"Input Artifact Bundle %s in action %s is not "
					"declared as Output "
					"Artifact Bundle in any of the preceding actions",
					name, a->name);
		if (names_find(seen, name) >= 0)
			return api_fail(err, ACTION,
					"Input Artifact Bundle %s is used more than once "
					"in action %s",
					name, a->name);
		json_put_i64(seen, name, (int64_t)i);
	}
	return 0;
}

static int check_rule_inputs(const struct declaration *d, const struct declared_rule *r,
			     void *made, struct api_error *err)
{
	struct json_object *list = json_opt_array(r->rule, "inputArtifacts");

	for (size_t i = 0; i < list_length(list); i++) {
		const char *name = artifact_name(list, i);
		int64_t maker = names_find(made, name);

		if (maker < 0 || !declared_before_rule(&d->actions[maker], r))
			return api_fail(
				err, "InvalidStageDeclarationException",
				"Input Artifact Bundle %s in rule %s is not "
				"declared as Output Artifact Bundle in any of the "
				"preceding actions",
				name, r->name);
	}
	return 0;
}

int declare_check_artifacts(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *made = json_object_new_object();

	if (collect_outputs(d, made, err) != 0)
		return -1;
	for (size_t i = 0; i < d->action_count; i++) {
		if (check_inputs(d, &d->actions[i], made, err) != 0)
			return -1;
	}
	return declare_each_rule(d, check_rule_inputs, made, err);
}
