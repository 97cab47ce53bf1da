/* Pipeline variables, namespaces, and references to them (semantics E11). */
#include <string.h>

#include "emulator/engine/declare_parts.h"
#include "emulator/engine/variables.h"

#define ACTION "InvalidActionDeclarationException"

int declare_check_variables(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();
	struct json_object *list = json_opt_array(d->pipeline, "variables");

	for (size_t i = 0; i < list_length(list); i++) {
		const char *name = json_opt_str(json_object_array_get_idx(list, i),
						"name", "");

		if (names_find(seen, name) >= 0)
			return api_fail(err, "InvalidStructureException",
					"Variable names must be unique. The following "
					"variable name is "
					"already in use: %s",
					name);
		json_put_i64(seen, name, (int64_t)i);
	}
	return 0;
}

/* ---- namespaces ---- */

static bool is_artifact(const struct declaration *d, const char *name)
{
	for (size_t i = 0; i < d->action_count; i++) {
		struct json_object *list = json_opt_array(d->actions[i].action,
							  "outputArtifacts");

		for (size_t o = 0; o < list_length(list); o++) {
			if (strcmp(json_opt_str(json_object_array_get_idx(list, o),
						"name", ""),
				   name) == 0)
				return true;
		}
	}
	return false;
}

/* Namespace to index of its action. */
static int collect_namespaces(const struct declaration *d, struct json_object *spaces,
			      struct api_error *err)
{
	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];
		const char *ns = json_opt_str(a->action, "namespace", NULL);

		if (ns == NULL)
			continue;
		if (strcmp(ns, VARIABLES_NS_EXECUTION) == 0 ||
		    strcmp(ns, VARIABLES_NS_PIPELINE) == 0)
			return api_fail(err, ACTION,
					"Action %s declares the namespace '%s', which is "
					"reserved",
					a->name, ns);
		if (names_find(spaces, ns) >= 0)
			return api_fail(err, ACTION,
					"Namespace '%s' is used more than once; "
					"namespaces must be "
					"unique within the pipeline",
					ns);
		if (is_artifact(d, ns))
			return api_fail(err, ACTION,
					"Action %s declares the namespace '%s', which is "
					"the name of an "
					"artifact",
					a->name, ns);
		json_put_i64(spaces, ns, (int64_t)i);
	}
	return 0;
}

static bool pipeline_declares(const struct declaration *d, const char *name)
{
	struct json_object *list = json_opt_array(d->pipeline, "variables");

	for (size_t i = 0; i < list_length(list); i++) {
		if (strcmp(json_opt_str(json_object_array_get_idx(list, i), "name", ""),
			   name) == 0)
			return true;
	}
	return false;
}

static int check_reference(const struct declaration *d, const struct declared_action *a,
			   struct json_object *spaces, const struct variable_ref *ref,
			   struct api_error *err)
{
	CLEAN(free) char *ns = mh_strndup(ref->ns, ref->ns_len);
	CLEAN(free) char *key = mh_strndup(ref->key, ref->key_len);
	int64_t producer = names_find(spaces, ns);

	if (strcmp(ns, VARIABLES_NS_EXECUTION) == 0) {
		if (strcmp(key, VARIABLES_KEY_EXECUTION_ID) == 0)
			return 0;
		return api_fail(
			err, ACTION,
			"Action %s refers to #{%s.%s}, which is not one of the service's "
			"variables",
			a->name, ns, key);
	}
	if (strcmp(ns, VARIABLES_NS_PIPELINE) == 0) {
		if (strcmp(a->category, "Source") == 0)
			return api_fail(err, ACTION,
					"Action %s refers to #{%s.%s}: pipeline "
					"variables cannot be used "
					"in source actions",
					a->name, ns, key);
		if (pipeline_declares(d, key))
			return 0;
		return api_fail(err, ACTION,
				"Action %s refers to #{%s.%s}, but the pipeline does not "
				"declare the "
				"variable '%s'",
				a->name, ns, key, key);
	}
	if (producer >= 0 && declared_before(&d->actions[producer], a))
		return 0;
	return api_fail(err, ACTION,
			"Action %s refers to #{%s.%s}, but no action that is sure to "
			"have run before "
			"it has the namespace '%s'",
			a->name, ns, key, ns);
}

/* ---- in rules ---- */

static int refuse_in_rule(const struct declared_rule *r, const struct variable_ref *ref,
			  const char *why, struct api_error *err)
{
	return api_fail(err, "InvalidStageDeclarationException",
			"Rule %s of stage %s refers to %.*s, %s", r->name, r->stage,
			(int)ref->len, ref->start, why);
}

static int check_rule_reference(const struct declaration *d,
				const struct declared_rule *r, struct json_object *spaces,
				const struct variable_ref *ref, struct api_error *err)
{
	CLEAN(free) char *ns = mh_strndup(ref->ns, ref->ns_len);
	CLEAN(free) char *key = mh_strndup(ref->key, ref->key_len);
	int64_t producer = names_find(spaces, ns);

	if (strcmp(ns, VARIABLES_NS_EXECUTION) == 0)
		return strcmp(key, VARIABLES_KEY_EXECUTION_ID) == 0
			       ? 0
			       : refuse_in_rule(r, ref,
						"which is not one of the service's "
						"variables",
						err);
	if (strcmp(ns, VARIABLES_NS_PIPELINE) == 0)
		return pipeline_declares(d, key)
			       ? 0
			       : refuse_in_rule(r, ref,
						"which the pipeline does not declare",
						err);
	if (producer >= 0 && declared_before_rule(&d->actions[producer], r))
		return 0;
	return refuse_in_rule(
		r, ref, "but no action that has run before it has that namespace", err);
}

static int check_text(const struct declaration *d, const struct declared_rule *r,
		      struct json_object *spaces, const char *text, struct api_error *err)
{
	struct variable_ref ref;

	for (; text != NULL && variables_next(text, &ref); text = ref.start + ref.len) {
		if (check_rule_reference(d, r, spaces, &ref, err) != 0)
			return -1;
	}
	return 0;
}

static int check_rule(const struct declaration *d, const struct declared_rule *r,
		      void *spaces, struct api_error *err)
{
	struct json_object *config = json_opt_object(r->rule, "configuration");
	struct json_object *commands = json_opt_array(r->rule, "commands");

	if (config != NULL) {
		json_object_object_foreach(config, key, value)
		{
			(void)key; /* every value counts */
			if (check_text(d, r, spaces, json_object_get_string(value),
				       err) != 0)
				return -1;
		}
	}
	for (size_t i = 0; i < list_length(commands); i++) {
		if (check_text(d, r, spaces,
			       json_object_get_string(
				       json_object_array_get_idx(commands, i)),
			       err) != 0)
			return -1;
	}
	return 0;
}

int declare_check_namespaces(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *spaces = json_object_new_object();

	if (collect_namespaces(d, spaces, err) != 0)
		return -1;
	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];
		struct json_object *configuration = json_opt_object(a->action,
								    "configuration");

		if (configuration == NULL)
			continue;
		json_object_object_foreach(configuration, key, value)
		{
			const char *text = json_object_get_string(value);
			struct variable_ref ref;

			(void)key; /* every value counts */
			for (; text != NULL && variables_next(text, &ref);
			     text = ref.start + ref.len) {
				if (check_reference(d, a, spaces, &ref, err) != 0)
					return -1;
			}
		}
	}
	return declare_each_rule(d, check_rule, spaces, err);
}
