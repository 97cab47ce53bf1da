/* Secret properties of a declaration (semantics D1). */
#include "tests/unit/declare_world.h"

static const char *token_of(struct json_object *declaration, int stage)
{
	CLEAN(free)
	char *pointer = mh_format("/stages/%d/actions/0/configuration/Token", stage);
	struct json_object *value = NULL;

	return json_pointer_get(declaration, pointer, &value) == 0
		       ? json_object_get_string(value)
		       : NULL;
}

static void secrets_are_masked_and_the_rest_is_not(void **state)
{
	CLEAN(json) struct json_object *declaration = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *masked = NULL;
	struct api_error err = { 0 };

	(void)state; /* none */
	assert_int_equal(declare_masked(&env, declaration, &masked, &err), 0);
	assert_string_equal(token_of(masked, 1), "****");
	assert_null(strstr(json_text(masked), "hunter22"));
	assert_string_equal(token_of(declaration, 1), "hunter22");
	patch(&masked, MAKE_CONFIG "/Token", "\"hunter22\"");
	assert_true(json_object_equal(masked, declaration));
}

#define NEW_ACTION_TEXT(action)                                                          \
	"Action configuration for the new action '" action                               \
	"' contains an invalid configuration for the secret property 'Token'. '****' "   \
	"may "                                                                           \
	"be used in secret properties only when updating an existing action."

static void the_mask_keeps_a_secret_of_the_same_action_alone(void **state)
{
	static const struct {
		struct edit edits[EDITS_MAX]; /* of what comes back masked */
		const char *token; /* NULL: refused with... */
		const char *message;
	} cases[] = {
		{ { { "/name", "\"P\"" } }, "hunter22", NULL },
		{ { { MAKE_CONFIG "/Queue", "\"other\"" } },
		  "hunter22",
		  NULL }, /* no key */
		{ { { MAKE_CONFIG "/Token", "\"fresh\"" } }, "fresh", NULL },
		{ { { MAKE_CONFIG "/Token", "\"*****\"" } }, "*****", NULL },
		{ { { "/stages/1/name", "\"Renamed\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/actions/0/name", "\"Mk\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Mk") },
		{ { { MAKE_CONFIG "/Target", "\"other\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/actions/0/actionTypeId/version", "\"2\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/name", "\"Renamed\"" },
		    { MAKE_CONFIG "/Token", "\"fresh\"" } },
		  "fresh",
		  NULL },
		/* a mask is a value like any other where nothing is secret */
		{ { { MAKE_CONFIG "/Queue", "\"****\"" } }, "hunter22", NULL },
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(json) struct json_object *old = parse(MAKE_PIPELINE);
		CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
		struct api_error err = { 0 };
		int rc;

		patch(&given, MAKE_CONFIG "/Token", "\"****\"");
		for (size_t e = 0; e < EDITS_MAX && cases[i].edits[e].pointer != NULL;
		     e++)
			patch(&given, cases[i].edits[e].pointer, cases[i].edits[e].text);
		rc = declare_keep_secrets(&env, old, given, &err);
		if (cases[i].token != NULL) {
			if (rc != 0)
				fail_msg("case %zu: %s", i, err.message);
			assert_string_equal(token_of(given, 1), cases[i].token);
		} else {
			assert_int_equal(rc, -1);
			assert_string_equal(err.code, ACTION);
			assert_string_equal(err.message, cases[i].message);
		}
	}
}

static void the_mask_means_nothing_to_a_new_pipeline_or_a_new_secret(void **state)
{
	CLEAN(json) struct json_object *old = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
	struct api_error err = { 0 };

	(void)state; /* none */
	patch(&given, MAKE_CONFIG "/Token", "\"****\"");
	assert_int_equal(declare_keep_secrets(&env, NULL, given, &err), -1);
	assert_string_equal(err.message, NEW_ACTION_TEXT("Make"));
	patch(&old, MAKE_CONFIG "/Token", NULL); /* nothing is stored for it */
	assert_int_equal(declare_keep_secrets(&env, old, given, &err), -1);
	assert_string_equal(err.message, NEW_ACTION_TEXT("Make"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_masked_and_the_rest_is_not),
		cmocka_unit_test(the_mask_keeps_a_secret_of_the_same_action_alone),
		cmocka_unit_test(
			the_mask_means_nothing_to_a_new_pipeline_or_a_new_secret),
	};

	return cmocka_run_group_tests_name("declare secrets", tests, NULL, NULL);
}
