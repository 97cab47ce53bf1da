/* What needs a pipeline of type V2 (semantics E3), and triggers (E13). */
#include <string.h>

#include "emulator/engine/declare_parts.h"
#include "emulator/glob.h"

#define STRUCTURE "InvalidStructureException"

#define TRIGGERS_MAX_BYTES ((size_t)200 * 1024)

int declare_check_modes(const struct declaration *d, struct api_error *err)
{
	if (d->v2)
		return 0;
	if (strcmp(d->mode, "SUPERSEDED") != 0)
		return api_fail(
			err, STRUCTURE,
			"QUEUED or PARALLEL mode can only be used with V2 pipelines");
	if (list_length(json_opt_array(d->pipeline, "variables")) > 0)
		return api_fail(err, STRUCTURE,
				"Pipeline variable can only be used with V2 pipelines");
	if (list_length(json_opt_array(d->pipeline, "triggers")) > 0)
		return api_fail(err, STRUCTURE,
				"Triggers on tag can only be used with V2 pipelines");
	return 0;
}

/* ---- triggers ---- */

static bool is_connection(const struct declaration *d, const char *name)
{
	for (size_t i = 0; i < d->action_count; i++) {
		const struct declared_action *a = &d->actions[i];

		if (strcmp(a->name, name) == 0 && strcmp(a->category, "Source") == 0 &&
		    strcmp(a->provider, "CodeStarSourceConnection") == 0)
			return true;
	}
	return false;
}

/* tags | branches | branches and filePaths; pull requests have no tags. */
static int check_filter(const char *source, const char *kind, struct json_object *filter,
			struct api_error *err)
{
	bool tags = json_opt_object(filter, "tags") != NULL;
	bool branches = json_opt_object(filter, "branches") != NULL;
	bool paths = json_opt_object(filter, "filePaths") != NULL;

	if (tags && (branches || paths))
		return api_fail(err, STRUCTURE,
				"Trigger for source action '%s': a %s filter cannot "
				"combine tags with "
				"branches or filePaths",
				source, kind);
	if (paths && !branches)
		return api_fail(err, STRUCTURE,
				"Trigger for source action '%s': a %s filter with "
				"filePaths needs "
				"branches",
				source, kind);
	return 0;
}

/* Patterns that make no sense would match nothing, and nobody would know why. */
static int check_patterns(const char *source, struct json_object *filter,
			  const char *kind, struct api_error *err)
{
	static const char *const lists[] = { "includes", "excludes" };
	struct json_object *o = json_opt_object(filter, kind);

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		struct json_object *list = json_opt_array(o, lists[l]);

		for (size_t i = 0; i < list_length(list); i++) {
			const char *pattern = json_object_get_string(
				json_object_array_get_idx(list, i));
			struct mh_err why = MH_ERR_INIT;

			if (glob_check(pattern, &why) != 0)
				return api_fail(err, STRUCTURE,
						"Trigger for source action '%s': %s.%s: "
						"%s",
						source, kind, lists[l], why.text);
		}
	}
	return 0;
}

static int check_filters(const char *source, const char *kind, struct json_object *list,
			 struct api_error *err)
{
	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *filter = json_object_array_get_idx(list, i);

		if (check_filter(source, kind, filter, err) != 0 ||
		    check_patterns(source, filter, "branches", err) != 0 ||
		    check_patterns(source, filter, "tags", err) != 0 ||
		    check_patterns(source, filter, "filePaths", err) != 0)
			return -1;
	}
	return 0;
}

int declare_check_triggers(const struct declaration *d, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();
	struct json_object *list = json_opt_array(d->pipeline, "triggers");

	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *trigger = json_object_array_get_idx(list, i);
		struct json_object *git = json_opt_object(trigger, "gitConfiguration");
		const char *source = json_opt_str(git, "sourceActionName", "");

		/* One text for both, as the service words it. */
		if (!is_connection(d, source) || names_find(seen, source) >= 0)
			return api_fail(err, STRUCTURE,
					"Triggers for connections must reference a "
					"CodeStarSourceConnection action. Note that when "
					"you specify a "
					"trigger, you can't specify more than one "
					"trigger per source "
					"action.");
		json_put_i64(seen, source, (int64_t)i);
		if (check_filters(source, "push", json_opt_array(git, "push"), err) !=
			    0 ||
		    check_filters(source, "pullRequest",
				  json_opt_array(git, "pullRequest"), err) != 0)
			return -1;
	}
	if (list != NULL && strlen(json_text(list)) > TRIGGERS_MAX_BYTES)
		return api_fail(err, STRUCTURE, "Triggers are larger than %zu bytes",
				TRIGGERS_MAX_BYTES);
	return 0;
}
