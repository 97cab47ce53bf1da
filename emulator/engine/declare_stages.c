/* Stages: how many, their names, and what the first one holds. */
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
