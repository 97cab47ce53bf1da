#include <string.h>

#include "emulator/engine/declare_parts.h"

/* ---- defaults (semantics E1) ---- */

static void default_str(struct json_object *o, const char *key, const char *value)
{
	if (json_opt_str(o, key, NULL) == NULL)
		json_put_str(o, key, value);
}

static void complete_action(struct json_object *action)
{
	if (json_opt_i64(action, "runOrder", 0) == 0)
		json_put_i64(action, "runOrder", 1);
	if (json_opt_object(action, "configuration") == NULL)
		json_put_obj(action, "configuration", json_object_new_object());
	if (json_opt_array(action, "inputArtifacts") == NULL)
		json_put_obj(action, "inputArtifacts", json_object_new_array());
	if (json_opt_array(action, "outputArtifacts") == NULL)
		json_put_obj(action, "outputArtifacts", json_object_new_array());
}

struct json_object *declare_complete(struct json_object *pipeline, int64_t version)
{
	struct json_object *copy = NULL;
	struct json_object *stages;

	if (json_object_deep_copy(pipeline, &copy, NULL) != 0)
		MH_BUG("out of memory");
	json_put_i64(copy, "version", version);
	default_str(copy, "executionMode", "SUPERSEDED");
	default_str(copy, "pipelineType", "V1");
	stages = json_opt_array(copy, "stages");
	for (size_t s = 0; s < list_length(stages); s++) {
		struct json_object *actions = json_opt_array(
			json_object_array_get_idx(stages, s), "actions");

		for (size_t a = 0; a < list_length(actions); a++)
			complete_action(json_object_array_get_idx(actions, a));
	}
	return copy;
}

/* ---- layout ---- */

static int open_action(struct declaration *d, size_t stage_index,
		       struct json_object *action, struct api_error *err)
{
	struct json_object *id = json_opt_object(action, "actionTypeId");
	struct declared_action a = {
		.action = action,
		.name = json_opt_str(action, "name", ""),
		.stage = json_opt_str(declared_stage(d, stage_index), "name", ""),
		.stage_index = stage_index,
		.run_order = json_opt_i64(action, "runOrder", 1),
		.category = json_opt_str(id, "category", ""),
		.owner = json_opt_str(id, "owner", ""),
		.provider = json_opt_str(id, "provider", ""),
		.version = json_opt_str(id, "version", ""),
	};
	bool found = false;

	if (d->env->find_type(d->env->arg, id, &a.type, &found, err) != 0)
		return -1;
	if (found)
		a.entry = catalogue_find(a.category, a.owner, a.provider, a.version);
	d->actions[d->action_count++] = a;
	return 0;
}

int declaration_open(const struct declare_env *env, struct json_object *pipeline,
		     struct declaration *ret, struct api_error *err)
{
	CLEAN(declaration)
	struct declaration d = {
		.env = env,
		.pipeline = pipeline,
		.stages = json_opt_array(pipeline, "stages"),
		.v2 = strcmp(json_opt_str(pipeline, "pipelineType", "V1"), "V2") == 0,
		.mode = json_opt_str(pipeline, "executionMode", "SUPERSEDED"),
	};
	size_t total = 0;

	d.stage_count = list_length(d.stages);
	for (size_t s = 0; s < d.stage_count; s++)
		total += list_length(json_opt_array(declared_stage(&d, s), "actions"));
	d.actions = mh_alloc((total + 1) * sizeof(*d.actions));
	for (size_t s = 0; s < d.stage_count; s++) {
		struct json_object *list = json_opt_array(declared_stage(&d, s),
							  "actions");

		for (size_t i = 0; i < list_length(list); i++) {
			if (open_action(&d, s, json_object_array_get_idx(list, i), err) !=
			    0)
				return -1;
		}
	}
	*ret = d;
	d = (struct declaration){ 0 };
	return 0;
}

void declaration_done(struct declaration *d)
{
	for (size_t i = 0; i < d->action_count; i++)
		action_type_done(&d->actions[i].type);
	free(d->actions);
	*d = (struct declaration){ 0 };
}

bool declared_before(const struct declared_action *a, const struct declared_action *b)
{
	return a->stage_index < b->stage_index ||
	       (a->stage_index == b->stage_index && a->run_order < b->run_order);
}

/* ---- the rules, outer ones first ---- */

int declare_check(const struct declare_env *env, struct json_object *pipeline,
		  struct api_error *err)
{
	static int (*const checks[])(const struct declaration *, struct api_error *) = {
		declare_check_stages,     declare_check_modes,
		declare_check_conditions, declare_check_actions,
		declare_check_regions,    declare_check_artifacts,
		declare_check_variables,  declare_check_namespaces,
		declare_check_triggers,
	};
	CLEAN(declaration) struct declaration d = { 0 };

	if (declaration_open(env, pipeline, &d, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (checks[i](&d, err) != 0)
			return -1;
	}
	return 0;
}
