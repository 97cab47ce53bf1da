/* What a pipeline declaration must be (semantics E1 to E3, E11, E13). */
#include "tests/unit/declare_rows.h"

/* The rule must have been broken by the edits alone: the base is accepted by row 0. */
static void every_rule_has_its_error_and_words(void **state)
{
	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
		CLEAN(json) struct json_object *declaration = NULL;
		struct api_error err = { 0 };

		for (size_t e = 0; e < EDITS_MAX && rows[i].edits[e].pointer != NULL; e++)
			patch(&given, rows[i].edits[e].pointer, rows[i].edits[e].text);
		declaration = declare_complete(given, 1);
		if (rows[i].code == NULL) {
			if (declare_check(&env, declaration, &err) != 0)
				fail_msg("row %zu: %s: %s", i, err.code, err.message);
			continue;
		}
		if (declare_check(&env, declaration, &err) != -1)
			fail_msg("row %zu was accepted, expected: %s", i,
				 rows[i].message);
		if (rows[i].message[0] == '*') /* its words go on in somebody else's */
			assert_contains(err.message, rows[i].message + 1);
		else
			assert_string_equal(err.message, rows[i].message);
		assert_string_equal(err.code, rows[i].code);
		assert_int_equal(err.status, 400);
	}
}

/* ---- numbers ---- */

static struct json_object *with_stages(int count)
{
	struct json_object *p = parse(MAKE_PIPELINE);
	struct json_object *stages = json_opt_array(p, "stages");

	for (int i = 3; i < count; i++) {
		CLEAN(free)
		char *text = mh_format("{\"name\":\"S%d\",\"actions\":[" APPROVAL "]}",
				       i);

		assert_int_equal(json_object_array_add(stages, parse(text)), 0);
	}
	return p;
}

static struct json_object *with_actions(int count)
{
	struct json_object *p = parse(MAKE_PIPELINE);
	struct json_object *stage = json_object_array_get_idx(json_opt_array(p, "stages"),
							      1);
	struct json_object *actions = json_opt_array(stage, "actions");

	for (int i = 1; i < count; i++) {
		CLEAN(free) char *name = mh_format("A%d", i);
		struct json_object *action = parse(APPROVAL);

		json_put_str(action, "name", name);
		assert_int_equal(json_object_array_add(actions, action), 0);
	}
	return p;
}

/* Further stages, each of 50 actions but for the last. */
static struct json_object *with_total(int count)
{
	struct json_object *p = with_stages(3);
	struct json_object *stages = json_opt_array(p, "stages");

	for (int left = count - 3, i = 0; left > 0; left -= 50, i++) {
		CLEAN(json)
		struct json_object *filled = with_actions(left < 50 ? left + 1 : 51);
		struct json_object *from = json_object_array_get_idx(
			json_opt_array(filled, "stages"), 1);
		struct json_object *actions = json_opt_array(from, "actions");
		CLEAN(free) char *name = mh_format("More%d", i);

		json_object_array_del_idx(actions, 0, 1);
		json_put_str(from, "name", name);
		assert_int_equal(json_object_array_add(stages, json_object_get(from)), 0);
	}
	return p;
}

static void counts_are_accepted_to_the_limit_and_no_further(void **state)
{
	static const struct {
		struct json_object *(*make)(int count);
		int limit;
		const char *code, *message;
	} limits[] = {
		{ with_stages, 50, STRUCTURE,
		  "Pipeline has too many stages. There can only be up to 50 stages in a "
		  "pipeline" },
		{ with_total, 1000, "LimitExceededException",
		  "Pipeline has too many actions. There can only be up to 1000 actions "
		  "in a pipeline" },
		{ with_actions, 50, STAGE,
		  "Stage 'Build' has too many actions. There can only be up to 50 "
		  "actions in a "
		  "stage" },
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		CLEAN(json) struct json_object *at = limits[i].make(limits[i].limit);
		CLEAN(json)
		struct json_object *over = limits[i].make(limits[i].limit + 1);
		struct api_error err = { 0 };

		if (declare_check(&env, at, &err) != 0)
			fail_msg("%s", err.message);
		assert_int_equal(declare_check(&env, over, &err), -1);
		assert_string_equal(err.message, limits[i].message);
		assert_string_equal(err.code, limits[i].code);
	}
}

/* ---- defaults ---- */

static void defaults_are_filled_in_and_nothing_else_changes(void **state)
{
	CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *untouched = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *bare = NULL, *full = NULL, *again = NULL;
	struct json_object *action = NULL;

	(void)state; /* none */
	full = declare_complete(given, 3);
	assert_true(json_object_equal(given, untouched));
	assert_string_equal(json_opt_str(full, "executionMode", ""), "SUPERSEDED");
	assert_string_equal(json_opt_str(full, "pipelineType", ""), "V2");
	assert_int_equal(json_opt_i64(full, "version", 0), 3);
	assert_int_equal(json_pointer_get(full, "/stages/2/actions/0", &action), 0);
	assert_int_equal(json_opt_i64(action, "runOrder", 0), 1);
	assert_int_equal(
		json_object_array_length(json_opt_array(action, "outputArtifacts")), 0);
	again = declare_complete(full, 3);
	assert_true(json_object_equal(full, again));

	patch(&given, "/pipelineType", NULL);
	patch(&given, "/version", "77"); /* input is not believed */
	patch(&given, "/stages/1/actions/0/configuration", NULL);
	patch(&given, "/stages/1/actions/0/inputArtifacts", NULL);
	bare = declare_complete(given, 1);
	assert_string_equal(json_opt_str(bare, "pipelineType", ""), "V1");
	assert_int_equal(json_opt_i64(bare, "version", 0), 1);
	assert_int_equal(json_pointer_get(bare, "/stages/1/actions/0", &action), 0);
	assert_int_equal(
		json_object_object_length(json_opt_object(action, "configuration")), 0);
	assert_int_equal(
		json_object_array_length(json_opt_array(action, "inputArtifacts")), 0);
}

/* ---- the documents' own pipelines ---- */

static struct json_object *shared_file(const char *name)
{
	const char *shared = getenv("MH_SHARED");
	CLEAN(free)
	char *path = mh_format("%s/data/%s", shared != NULL ? shared : "", name);

	return shared != NULL ? json_object_from_file(path) : NULL;
}

static void the_guides_pipeline_is_accepted_as_it_stands(void **state)
{
	CLEAN(json) struct json_object *guide = shared_file("guide-pipeline.json");
	CLEAN(json) struct json_object *approval = shared_file("approval-stage.json");
	CLEAN(json) struct json_object *plain = NULL, *longer = NULL;
	struct api_error err = { 0 };
	struct json_object *stages;

	(void)state; /* none */
	if (guide == NULL || approval == NULL)
		skip_without("../shared/data beside the project");
	plain = declare_complete(json_opt_object(guide, "pipeline"), 1);
	if (declare_check(&env, plain, &err) != 0)
		fail_msg("%s: %s", err.code, err.message);
	longer = declare_complete(plain, 2);
	stages = json_opt_array(longer, "stages");
	assert_int_equal(
		json_object_array_put_idx(
			stages, 3, json_object_get(json_object_array_get_idx(stages, 2))),
		0);
	assert_int_equal(json_object_array_put_idx(stages, 2, json_object_get(approval)),
			 0);
	if (declare_check(&env, longer, &err) != 0)
		fail_msg("%s: %s", err.code, err.message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_has_its_error_and_words),
		cmocka_unit_test(counts_are_accepted_to_the_limit_and_no_further),
		cmocka_unit_test(defaults_are_filled_in_and_nothing_else_changes),
		cmocka_unit_test(the_guides_pipeline_is_accepted_as_it_stands),
	};

	return cmocka_run_group_tests_name("declare", tests, NULL, NULL);
}
