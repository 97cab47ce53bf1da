/* Actions: their types, configuration, artifact counts and regions. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "emulator/engine/declare_parts.h"
#include "emulator/engine/variables.h"

#define ACTION    "InvalidActionDeclarationException"
#define STRUCTURE "InvalidStructureException"

#define QUERYABLE_VALUE_MAX 20 /* characters, in a pipeline (semantics C7) */

/* "us-east-1" as the service writes it in this one message: "US_EAST_1". */
static void shout_region(const char *region, char *out, size_t size)
{
	size_t i = 0;

	for (; region[i] != '\0' && i + 1 < size; i++)
		out[i] = region[i] == '-' ? '_' : (char)toupper((unsigned char)region[i]);
	out[i] = '\0';
}

static int check_type(const struct declaration *d, const struct declared_action *a,
		      struct api_error *err)
{
	char region[64];

	if (a->type.definition == NULL) {
		shout_region(d->env->region, region, sizeof(region));
		return api_fail(err, ACTION,
				"ActionType (Category: '%s', Provider: '%s', Owner: "
				"'%s', Version: "
				"'%s') in action '%s' is not available in region '%s'",
				a->category, a->provider, a->owner, a->version, a->name,
				region);
	}
	if (a->entry != NULL && a->entry->v2_only && !d->v2)
		return api_fail(err, ACTION,
				"%s Action can only be used with V2 pipelines.",
				a->provider);
	return 0;
}

static int check_names(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = NULL;
	size_t stage = SIZE_MAX;

	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];

		if (a->stage_index != stage) {
			json_object_put(seen);
			seen = json_object_new_object();
			stage = a->stage_index;
		}
		if (names_find(seen, a->name) >= 0)
			return api_fail(
				err, ACTION,
				"Action name '%s' is used more than once in stage '%s'",
				a->name, a->stage);
		json_put_i64(seen, a->name, (int64_t)i);
	}
	return 0;
}

/* ---- configuration ---- */

/* The value of a property that is there. Values are never shown: they may be secret. */
static int check_value(const struct declared_action *a, struct json_object *property,
		       const char *value, struct api_error *err)
{
	const char *name = json_opt_str(property, "name", "");

	if (variables_present(value))
		return 0; /* known only when the action starts */
	switch (property_judge(property, value, QUERYABLE_VALUE_MAX)) {
	case VALUE_NO_NUMBER:
		return api_fail(
			err, ACTION,
			"Action configuration for action '%s' contains a value for '%s' "
			"that is not a number",
			a->name, name);
	case VALUE_NO_BOOLEAN:
		return api_fail(
			err, ACTION,
			"Action configuration for action '%s' contains a value for '%s' "
			"that is neither 'true' nor 'false'",
			a->name, name);
	case VALUE_NOT_QUERYABLE:
		return api_fail(
			err, ACTION,
			"Action configuration for action '%s' contains an invalid value "
			"for the queryable property '%s': at most %d characters of a-z, "
			"A-Z, 0-9, _ and - are allowed",
			a->name, name, QUERYABLE_VALUE_MAX);
	case VALUE_FITS:
		break;
	}
	return 0;
}

static bool has_property(struct json_object *properties, const char *name)
{
	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);

		if (strcmp(json_opt_str(p, "name", ""), name) == 0)
			return true;
	}
	return false;
}

static int check_configuration(const struct declared_action *a, struct api_error *err)
{
	struct json_object *configuration = json_opt_object(a->action, "configuration");
	struct json_object *properties = json_opt_array(a->type.definition,
							"actionConfigurationProperties");

	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);
		const char *name = json_opt_str(p, "name", "");
		const char *value = json_opt_str(configuration, name, NULL);

		if (value == NULL && json_opt_bool(p, "required", false))
			return api_fail(err, ACTION,
					"Action configuration for action '%s' is missing "
					"required "
					"configuration '%s'",
					a->name, name);
		if (value != NULL && check_value(a, p, value, err) != 0)
			return -1;
	}
	if (configuration == NULL || a->type.open)
		return 0;
	json_object_object_foreach(configuration, key, value)
	{
		(void)value; /* only its name is in question */
		if (!has_property(properties, key))
			return api_fail(
				err, ACTION,
				"Action configuration for action '%s' contains unknown "
				"configuration '%s'",
				a->name, key);
	}
	return 0;
}

/* Members that belong to some types alone. */
static int check_members(const struct declared_action *a, struct api_error *err)
{
	size_t commands = list_length(json_opt_array(a->action, "commands"));
	bool runs_commands = a->entry != NULL && strcmp(a->provider, "Commands") == 0;

	if (runs_commands && commands == 0)
		return api_fail(err, ACTION,
				"Action %s must have a non-empty commands field",
				a->name);
	if (!runs_commands && commands > 0)
		return api_fail(err, ACTION,
				"Action %s has a commands field, which only Commands "
				"actions may have",
				a->name);
	if (json_opt_i64(a->action, "timeoutInMinutes", 0) != 0 &&
	    strcmp(a->category, "Approval") != 0)
		return api_fail(err, ACTION,
				"Action %s has a timeoutInMinutes field, which only "
				"approval actions "
				"may have",
				a->name);
	return 0;
}

/* ---- artifact counts ---- */

static int check_count(const struct declared_action *a, const char *kind, size_t count,
		       int64_t min, int64_t max, struct api_error *err)
{
	if (count < (uint64_t)min)
		return api_fail(err, ACTION,
				"Action %s declares %zu %s artifacts which is less than "
				"the minimum "
				"count (%lld)",
				a->name, count, kind, (long long)min);
	if (count > (uint64_t)max)
		return api_fail(err, ACTION,
				"Action %s declares %zu %s artifacts which is more than "
				"the maximum "
				"count (%lld)",
				a->name, count, kind, (long long)max);
	return 0;
}

static int check_artifact_counts(const struct declared_action *a, struct api_error *err)
{
	size_t inputs = list_length(json_opt_array(a->action, "inputArtifacts"));
	size_t outputs = list_length(json_opt_array(a->action, "outputArtifacts"));
	struct json_object *in = json_opt_object(a->type.definition,
						 "inputArtifactDetails");
	struct json_object *out = json_opt_object(a->type.definition,
						  "outputArtifactDetails");
	int64_t in_max = strcmp(a->category, "Source") == 0 ? 0 : a->type.in_max;
	if (check_count(a, "input", inputs, json_opt_i64(in, "minimumCount", 0), in_max,
			err) != 0)
		return -1;
	return check_count(a, "output", outputs, json_opt_i64(out, "minimumCount", 0),
			   a->type.out_max, err);
}

int declare_check_actions(const struct declaration *d, struct api_error *err)
{
	if (check_names(d, err) != 0)
		return -1;
	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];

		if (check_type(d, a, err) != 0 || check_configuration(a, err) != 0 ||
		    check_members(a, err) != 0 || check_artifact_counts(a, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- regions and artifact stores ---- */

static int check_store_of(const struct declaration *d, const char *region,
			  struct json_object *stores, struct api_error *err)
{
	if (stores == NULL && strcmp(region, d->env->region) != 0)
		return api_fail(
			err, STRUCTURE,
			"Your pipeline contains actions in more than one region. Use "
			"'pipeline.artifactStores' instead of 'pipeline.artifactStore' "
			"to "
			"declare an artifact store, such as an artifact bucket, for each "
			"region where you have an action.");
	if (stores != NULL && json_opt_object(stores, region) == NULL)
		return api_fail(
			err, STRUCTURE,
			"Your pipeline must have an artifact store, such as an artifact "
			"bucket, for each region where you have an action. The following "
			"region is missing in 'pipeline.artifactStores': %s.",
			region);
	return 0;
}

int declare_check_regions(const struct declaration *d, struct api_error *err)
{
	struct json_object *store = json_opt_object(d->pipeline, "artifactStore");
	struct json_object *stores = json_opt_object(d->pipeline, "artifactStores");

	if ((store == NULL) == (stores == NULL))
		return api_fail(err, STRUCTURE,
				"Pipeline must have either 'pipeline.artifactStore' or "
				"'pipeline.artifactStores', and not both");
	if (check_store_of(d, d->env->region, stores, err) != 0)
		return -1;
	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];
		const char *region = json_opt_str(a->action, "region", d->env->region);

		if (check_store_of(d, region, stores, err) != 0)
			return -1;
		if (strcmp(region, d->env->region) == 0)
			continue;
		if (strcmp(a->owner, "AWS") != 0 || strcmp(a->category, "Source") == 0)
			return api_fail(
				err, ACTION,
				"Action %s cannot be in region %s: source, custom and "
				"third-"
				"party actions run in the region of their pipeline",
				a->name, region);
	}
	return 0;
}
