/* Custom action types and the listing of all types (semantics D, E21). */
#include "tests/unit/ops.h"

#include "emulator/engine/catalogue.h"
#include "emulator/engine/pipelines.h"
#include "tests/unit/declare_types.h"

#define INVALID "ValidationException"

static int open_ops(void **state)
{
	static struct ops ops;

	ops_open(&ops);
	*state = &ops;
	return 0;
}

static int close_ops(void **state)
{
	ops_close(*state);
	return 0;
}

#define COUNTS                                                                           \
	"\"inputArtifactDetails\":{\"minimumCount\":0,\"maximumCount\":1},"              \
	"\"outputArtifactDetails\":{\"minimumCount\":0,\"maximumCount\":1}"

/* A definition with this provider, version, and further members (begin with a comma). */
static char *type_input(const char *provider, const char *version, const char *more)
{
	return mh_format(
		"{\"category\":\"Build\",\"provider\":\"%s\",\"version\":\"%s\"," COUNTS
		"%s}",
		provider, version, more);
}

static void create(struct ops *o, const char *provider, const char *version,
		   const char *more)
{
	CLEAN(free) char *text = type_input(provider, version, more);

	ops_do(o, "CreateCustomActionType", text);
}

/* Owners and providers of all pages, joined by blanks; the caller frees it. */
static char *listing(struct ops *o, const char *filters, size_t *ret_pages)
{
	struct json_object *out = NULL;
	char *all = mh_strdup("");

	*ret_pages = 0;
	for (const char *token = ""; token != NULL;) {
		CLEAN(free)
		char *input = token[0] == '\0'
				      ? mh_format("{%s}", filters)
				      : mh_format("{%s%s\"nextToken\":\"%s\"}", filters,
						  filters[0] != '\0' ? "," : "", token);
		struct json_object *list;

		json_object_put(out);
		out = ops_ok(o, "ListActionTypes", input);
		list = json_opt_array(out, "actionTypes");
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *id = json_opt_object(
				json_object_array_get_idx(list, i), "id");
			char *longer = mh_format("%s%s/%s/%s/%s ", all,
						 json_opt_str(id, "owner", ""),
						 json_opt_str(id, "category", ""),
						 json_opt_str(id, "provider", ""),
						 json_opt_str(id, "version", ""));

			free(all);
			all = longer;
		}
		++*ret_pages;
		token = json_opt_str(out, "nextToken", NULL);
	}
	json_object_put(out);
	return all;
}

/* ---- create ---- */

static void a_type_is_answered_as_it_will_be_listed(void **state)
{
	struct ops *o = *state;
	CLEAN(json)
	struct json_object *out = ops_ok(o, "CreateCustomActionType", MAKE_TYPE);
	CLEAN(json)
	struct json_object *listed = ops_ok(o, "ListActionTypes",
					    "{\"actionOwnerFilter\":\"Custom\"}");
	struct json_object *type = json_opt_object(out, "actionType");
	struct json_object *first = json_object_array_get_idx(
		json_opt_array(listed, "actionTypes"), 0);

	assert_string_equal(json_opt_str(json_opt_object(type, "id"), "owner", ""),
			    "Custom");
	assert_true(json_object_equal(type, first));
	assert_null(json_opt_array(out, "tags"));
	assert_null(json_opt_object(type, "settings"));
	assert_int_equal(json_object_array_length(
				 json_opt_array(type, "actionConfigurationProperties")),
			 5);
}

static const struct {
	const char *more, *message;
} bad_definitions[] = {
	{ ",\"category\":\"Approval\"",
	  "A custom action type cannot have the category 'Approval': Source, "
	  "Build, Deploy, "
	  "Test and Invoke are available" },
	{ ",\"category\":\"Compute\"",
	  "A custom action type cannot have the category 'Compute': Source, "
	  "Build, Deploy, "
	  "Test and Invoke are available" },
	{ ",\"inputArtifactDetails\":{\"minimumCount\":3,\"maximumCount\":2}",
	  "Maximum Number of Artifacts (2) has to be greater than or equal to "
	  "minimum (3)." },
	{ ",\"outputArtifactDetails\":{\"minimumCount\":1,\"maximumCount\":0}",
	  "Maximum Number of Artifacts (0) has to be greater than or equal to "
	  "minimum (1)." },
	{ ",\"configurationProperties\":["
	  "{\"name\":\"p\",\"required\":false,\"key\":false,\"secret\":false,"
	  "\"queryable\":true}]",
	  "Invalid queryable property 'p'. Queryable configuration properties "
	  "must be "
	  "required and non-secret." },
	{ ",\"configurationProperties\":["
	  "{\"name\":\"p\",\"required\":true,\"key\":false,\"secret\":true,"
	  "\"queryable\":true}]",
	  "Invalid queryable property 'p'. Queryable configuration properties "
	  "must be "
	  "required and non-secret." },
	{ ",\"configurationProperties\":["
	  "{\"name\":\"a\",\"required\":true,\"key\":false,\"secret\":false,"
	  "\"queryable\":true},"
	  "{\"name\":\"b\",\"required\":true,\"key\":false,\"secret\":false,"
	  "\"queryable\":true}]",
	  "Multiple queryable configuration properties found with names 'a, b'. "
	  "Up to one "
	  "queryable property may be specified." },
	{ ",\"configurationProperties\":["
	  "{\"name\":\"a\",\"required\":true,\"key\":false,\"secret\":false},"
	  "{\"name\":\"a\",\"required\":false,\"key\":false,\"secret\":false}]",
	  "Configuration property 'a' is declared more than once" },
	{ ",\"settings\":{\"entityUrlTemplate\":\"http://h/{Config:none}\"}",
	  "settings.entityUrlTemplate: {Config:none} does not name a required, "
	  "non-secret "
	  "configuration property" },
	{ ",\"settings\":{\"entityUrlTemplate\":\"http://h/{Config:s}\"},"
	  "\"configurationProperties\":["
	  "{\"name\":\"s\",\"required\":true,\"key\":false,\"secret\":true}]",
	  "settings.entityUrlTemplate: {Config:s} does not name a required, "
	  "non-secret "
	  "configuration property" },
	{ ",\"settings\":{\"revisionUrlTemplate\":\"http://h/{Config:o}\"},"
	  "\"configurationProperties\":["
	  "{\"name\":\"o\",\"required\":false,\"key\":false,\"secret\":false}]",
	  "settings.revisionUrlTemplate: {Config:o} does not name a required, "
	  "non-secret "
	  "configuration property" },
	{ ",\"settings\":{\"entityUrlTemplate\":\"http://h/"
	  "{ExternalExecutionId}\"}",
	  "settings.entityUrlTemplate: {ExternalExecutionId} is not available "
	  "there: "
	  "{Config:property} is, and {ExternalExecutionId} in "
	  "executionUrlTemplate" },
	{ ",\"settings\":{\"executionUrlTemplate\":\"http://h/{Other}\"}",
	  "settings.executionUrlTemplate: {Other} is not available there: "
	  "{Config:property} is, and {ExternalExecutionId} in "
	  "executionUrlTemplate" },
	{ ",\"settings\":{\"executionUrlTemplate\":\"http://h/"
	  "{ExternalExecutionId\"}",
	  "settings.executionUrlTemplate: a brace without its partner" },
	{ ",\"settings\":{\"executionUrlTemplate\":\"http://h/}\"}",
	  "settings.executionUrlTemplate: a brace without its partner" },
};

static void a_definition_that_breaks_a_rule_is_refused_in_words(void **state)
{
	CLEAN(json) struct json_object *in = NULL;
	struct ops *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad_definitions); i++) {
		CLEAN(free) char *base = type_input("T", "1", "");
		CLEAN(free)
		char *edits = mh_format("{\"x\":0%s}", bad_definitions[i].more);
		CLEAN(json) struct json_object *patch = NULL;
		CLEAN(json) struct json_object *out = json_object_new_object();
		struct mh_err err;

		json_object_put(STEAL_PTR(in));
		assert_ok(json_parse_object(base, strlen(base), &in, &err), &err);
		assert_ok(json_parse_object(edits, strlen(edits), &patch, &err), &err);
		json_object_object_foreach(patch, key, value)
			json_put_obj(in, key, json_object_get(value));
		if (ops_run(o, "CreateCustomActionType", in, out) == 0)
			fail_msg("row %zu was accepted, expected: %s", i,
				 bad_definitions[i].message);
		assert_string_equal(o->err.message, bad_definitions[i].message);
		assert_string_equal(o->err.code, INVALID);
	}
}

/* Characters count for the model, bytes for us. */
static void the_longest_names_fit_into_the_error(void **state)
{
	CLEAN(free) char *list = mh_strdup("");
	CLEAN(free) char *in = NULL;
	CLEAN(json) struct json_object *out = json_object_new_object();
	struct ops *o = *state;

	for (int i = 0; i < 10; i++) {
		char name[50 * 4] = "";
		char *longer;

		for (int c = 0; c < 49; c++)
			memcpy(name + (size_t)c * 4, "\U0001F680", 4);
		longer = mh_format(
			"%s%s{\"name\":\"%s%d\",\"required\":true,\"key\":false,"
			"\"secret\":false,\"queryable\":true}",
			list, i > 0 ? "," : "", name, i);
		free(list);
		list = longer;
	}
	in = mh_format(",\"configurationProperties\":[%s]", list);
	free(list);
	list = type_input("T", "1", in);
	assert_int_equal(ops_call(o, "CreateCustomActionType", list, out), -1);
	assert_contains(o->err.message,
			"Multiple queryable configuration properties found");
}

static void an_identity_comes_back_with_the_same_definition_alone(void **state)
{
	static const char other[] = ",\"settings\":{\"entityUrlTemplate\":\"http://h/\"}";
	struct ops *o = *state;
	CLEAN(free) char *same = type_input("T", "1", "");
	CLEAN(free) char *different = type_input("T", "1", other);
	CLEAN(free) char *next = type_input("T", "2", other);
	CLEAN(free) char *listed = NULL, *gone = NULL;
	size_t pages;

	ops_do(o, "CreateCustomActionType", same);
	ops_do(o, "CreateCustomActionType", same);
	ops_fail(o, "CreateCustomActionType", different, INVALID,
		 "ActionType (Category: 'Build', Owner: 'Custom', Provider: 'T', "
		 "Version: '1') "
		 "already exists with another definition; use another version");
	ops_do(o, "DeleteCustomActionType",
	       "{\"category\":\"Build\",\"provider\":\"T\",\"version\":\"1\"}");
	gone = listing(o, "\"actionOwnerFilter\":\"Custom\"", &pages);
	assert_string_equal(gone, "");
	ops_fail(o, "CreateCustomActionType", different, INVALID,
		 "ActionType (Category: 'Build', Owner: 'Custom', Provider: 'T', "
		 "Version: '1') was "
		 "deleted, and existed with another definition; use another version");
	ops_do(o, "CreateCustomActionType", same);
	ops_do(o, "CreateCustomActionType", next);
	listed = listing(o, "\"actionOwnerFilter\":\"Custom\"", &pages);
	assert_string_equal(listed, "Custom/Build/T/1 Custom/Build/T/2 ");
}

static void deleting_what_is_not_there_succeeds(void **state)
{
	ops_do(*state, "DeleteCustomActionType",
	       "{\"category\":\"Build\",\"provider\":\"Nobody\",\"version\":\"1\"}");
}

static void a_deleted_type_is_a_tombstone(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *id = json_object_new_object();
	struct action_type type = { 0 };
	bool found = false;

	create(o, "T", "1", "");
	ops_do(o, "DeleteCustomActionType",
	       "{\"category\":\"Build\",\"provider\":\"T\",\"version\":\"1\"}");
	json_put_str(id, "category", "Build");
	json_put_str(id, "owner", "Custom");
	json_put_str(id, "provider", "T");
	json_put_str(id, "version", "1");
	assert_int_equal(action_type_load(&o->ctx, id, &type, &found, &o->err), 0);
	assert_true(found);
	assert_true(type.deleted);
	action_type_done(&type);
	json_put_str(id, "version", "2");
	assert_int_equal(action_type_load(&o->ctx, id, &type, &found, &o->err), 0);
	assert_false(found);
}

static void fifty_types_are_the_limit_of_the_live_ones(void **state)
{
	static const char text[] =
		"There can only be up to 50 custom action types in a region";
	struct ops *o = *state;
	CLEAN(free) char *over = type_input("T", "over", "");
	CLEAN(free) char *first = type_input("T", "0", "");

	for (int i = 0; i < 50; i++) {
		CLEAN(free) char *version = mh_format("%d", i);

		create(o, "T", version, "");
	}
	ops_fail(o, "CreateCustomActionType", over, "LimitExceededException", text);
	ops_do(o, "CreateCustomActionType", first); /* there already */
	ops_do(o, "DeleteCustomActionType",
	       "{\"category\":\"Build\",\"provider\":\"T\",\"version\":\"0\"}");
	ops_do(o, "CreateCustomActionType", over);
	ops_fail(o, "CreateCustomActionType", first, "LimitExceededException", text);
}

static void tags_are_checked_kept_and_answered(void **state)
{
	static const char arn[] =
		"arn:aws:codepipeline:us-east-1:000000000000:actiontype:"
		"Custom/Build/T/1";
	struct ops *o = *state;
	CLEAN(free) char *many = mh_strdup(",\"tags\":[");
	CLEAN(free)
	char *good = type_input(
		"T", "1", ",\"tags\":[{\"key\":\"Đội\",\"value\":\"a b+-=._:/@\"}]");
	CLEAN(free) char *plain = type_input("T", "1", "");
	CLEAN(free)
	char *reserved = type_input("T", "1",
				    ",\"tags\":[{\"key\":\"aws:x\",\"value\":\"\"}]");
	CLEAN(free)
	char *strange = type_input("T", "1",
				   ",\"tags\":[{\"key\":\"k\",\"value\":\"a;b\"}]");
	CLEAN(free)
	char *twice = type_input("T", "1",
				 ",\"tags\":[{\"key\":\"k\",\"value\":\"a\"},"
				 "{\"key\":\"k\",\"value\":\"b\"}]");
	CLEAN(free) char *too_many = NULL, *text = NULL;
	CLEAN(json) struct json_object *out = NULL, *again = NULL;

	for (int i = 0; i <= 50; i++) {
		char *longer = mh_format("%s%s{\"key\":\"k%d\",\"value\":\"v\"}", many,
					 i > 0 ? "," : "", i);

		free(many);
		many = longer;
	}
	text = mh_format("%s]", many);
	too_many = type_input("T", "1", text);
	free(STEAL_PTR(text));
	text = mh_format("Tag limit exceeded for resource [%s].", arn);
	ops_fail(o, "CreateCustomActionType", too_many, "TooManyTagsException", text);
	ops_fail(o, "CreateCustomActionType", reserved, "InvalidTagsException",
		 "Tag key 'aws:x' begins with 'aws:', which is reserved");
	ops_fail(o, "CreateCustomActionType", strange, "InvalidTagsException",
		 "Tag 'k' holds a character that tags cannot have: letters, digits, "
		 "spaces and + - "
		 "= . _ : / @ are allowed");
	ops_fail(o, "CreateCustomActionType", twice, "InvalidTagsException",
		 "Tag key 'k' is used more than once");
	out = ops_ok(o, "CreateCustomActionType", good);
	assert_string_equal(json_text(json_opt_array(out, "tags")),
			    "[{\"key\":\"Đội\",\"value\":\"a b+-=._:/@\"}]");
	/* The one that is there, with its own. */
	again = ops_ok(o, "CreateCustomActionType", plain);
	assert_true(json_object_equal(out, again));
}

/* ---- list ---- */

static void the_listing_filters_by_owner_and_region(void **state)
{
	struct ops *o = *state;
	size_t pages;
	CLEAN(free)
	char *all = NULL, *custom = NULL, *aws = NULL, *third = NULL, *afar = NULL;

	create(o, "T", "1", "");
	all = listing(o, "", &pages);
	custom = listing(o, "\"actionOwnerFilter\":\"Custom\"", &pages);
	aws = listing(o, "\"actionOwnerFilter\":\"AWS\"", &pages);
	third = listing(o, "\"actionOwnerFilter\":\"ThirdParty\"", &pages);
	afar = listing(o, "\"regionFilter\":\"eu-west-1\"", &pages);
	assert_string_equal(custom, "Custom/Build/T/1 ");
	assert_string_equal(third, "");
	assert_string_equal(afar, aws);
	assert_true(str_starts_with(all, custom));
	assert_string_equal(all + strlen(custom), aws);
	assert_contains(aws, "AWS/Source/CodeCommit/1 ");
	assert_contains(aws, "AWS/Approval/Manual/1 ");
}

static void the_catalogue_says_what_each_type_needs(void **state)
{
	static const struct {
		const char *category, *provider,
			*required; /* each with a blank after it */
		int in_min, in_max, out_min, out_max;
	} rows[] = {
		{ "Source", "S3", "S3Bucket S3ObjectKey ", 0, 0, 1, 1 },
		{ "Source", "ECR", "RepositoryName ", 0, 0, 1, 1 },
		{ "Source", "CodeCommit", "RepositoryName BranchName ", 0, 0, 1, 1 },
		{ "Build", "CodeBuild", "ProjectName ", 1, 5, 0, 5 },
		{ "Test", "CodeBuild", "ProjectName ", 1, 5, 0, 5 },
		{ "Deploy", "S3", "BucketName Extract ", 1, 1, 0, 0 },
		{ "Deploy", "CodeDeploy", "ApplicationName DeploymentGroupName ", 1, 1, 0,
		  0 },
		{ "Deploy", "CloudFormation", "ActionMode StackName ", 0, 10, 0, 1 },
		{ "Deploy", "ECS", "ClusterName ServiceName ", 1, 1, 0, 0 },
		{ "Deploy", "ElasticBeanstalk", "ApplicationName EnvironmentName ", 1, 1,
		  0, 0 },
		{ "Invoke", "Lambda", "FunctionName ", 0, 5, 0, 5 },
		{ "Invoke", "StepFunctions", "StateMachineArn ", 0, 1, 0, 1 },
		{ "Invoke", "CodePipeline", "PipelineName ", 0, 5, 0, 5 },
		{ "Approval", "Manual", "", 0, 0, 0, 0 },
	};

	(void)state; /* the catalogue needs no store */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct catalogue_entry *e = catalogue_find(rows[i].category, "AWS",
								 rows[i].provider, "1");
		CLEAN(json) struct json_object *def = NULL;
		CLEAN(free) char *required = mh_strdup("");
		struct json_object *properties;

		assert_non_null(e);
		assert_int_equal(e->in_min, rows[i].in_min);
		assert_int_equal(e->in_max, rows[i].in_max);
		assert_int_equal(e->out_min, rows[i].out_min);
		assert_int_equal(e->out_max, rows[i].out_max);
		def = catalogue_definition(e);
		properties = json_opt_array(def, "actionConfigurationProperties");
		for (size_t p = 0; p < json_object_array_length(properties); p++) {
			struct json_object *property = json_object_array_get_idx(
				properties, p);
			char *longer;

			if (!json_opt_bool(property, "required", false))
				continue;
			longer = mh_format("%s%s ", required,
					   json_opt_str(property, "name", ""));
			free(required);
			required = longer;
		}
		assert_string_equal(required, rows[i].required);
	}
	assert_null(catalogue_find("Source", "AWS", "S3", "2"));
	assert_null(catalogue_find("Source", "Custom", "S3", "1"));
	assert_null(catalogue_find("Build", "AWS", "S3", "1"));
}

static void pages_join_to_the_whole_and_their_tokens_are_bound(void **state)
{
	static const char changed[] =
		"The next token was given out by another listing, or was "
		"altered";
	struct ops *o = *state;
	CLEAN(json) struct json_object *out = NULL;
	CLEAN(free) char *all = NULL, *other = NULL, *broken = NULL;
	char *token;
	size_t pages, types = 0;

	for (int i = 0; i < 40; i++) {
		CLEAN(free) char *version = mh_format("%d", i);

		create(o, "T", version, "");
	}
	all = listing(o, "", &pages);
	assert_true(pages == 2);
	for (const char *p = all; (p = strchr(p, ' ')) != NULL; p++)
		types++;
	for (const struct catalogue_entry *e = catalogue; e->category != NULL; e++)
		types--;
	assert_int_equal(types, 40);

	out = ops_ok(o, "ListActionTypes", "{}");
	token = mh_strdup(json_opt_str(out, "nextToken", NULL));
	other = mh_format("{\"actionOwnerFilter\":\"AWS\",\"nextToken\":\"%s\"}", token);
	ops_fail(o, "ListActionTypes", other, "InvalidNextTokenException", changed);
	token[3] = token[3] == 'A' ? 'B' : 'A';
	broken = mh_format("{\"nextToken\":\"%s\"}", token);
	free(token);
	ops_fail(o, "ListActionTypes", broken, "InvalidNextTokenException", changed);
	ops_fail(o, "ListActionTypes", "{\"nextToken\":\"17\"}",
		 "InvalidNextTokenException",
		 "The next token is not one that this listing gave out");
}

/* ---- what a definition says to others ---- */

static char long_id[2048];

static void url_templates_are_filled_and_escaped(void **state)
{
	static const struct {
		const char *which, *external_id, *expected;
	} rows[] = {
		{ "entityUrlTemplate", NULL, "http://h/job/a%20b%2Fc" },
		{ "executionUrlTemplate", "run#7", "http://h/job/a%20b%2Fc/run%237?x={" },
		{ "executionUrlTemplate", NULL, NULL },
		{ "executionUrlTemplate", "", NULL },
		{ "revisionUrlTemplate", "run", NULL },
		{ "executionUrlTemplate", long_id, NULL }, /* too long to be shown */
		{ "thirdPartyConfigurationUrl", NULL, NULL },
	};
	static const char text[] =
		"{\"settings\":{\"entityUrlTemplate\":\"http://h/job/{Config:Job}\","
		"\"executionUrlTemplate\":\"http://h/job/{Config:Job}/"
		"{ExternalExecutionId}?x={\","
		"\"revisionUrlTemplate\":\"http://h/{Config:Hidden}\"},"
		"\"actionConfigurationProperties\":["
		"{\"name\":\"Job\",\"required\":true,\"key\":true,\"secret\":false},"
		"{\"name\":\"Hidden\",\"required\":true,\"key\":true,\"secret\":true}]}";
	static const char config_text[] = "{\"Job\":\"a b/c\",\"Hidden\":\"h\"}";
	CLEAN(json) struct json_object *config = NULL;
	struct action_type type = { 0 };
	struct mh_err err;

	(void)state; /* needs no store */
	assert_ok(json_parse_object(text, sizeof(text) - 1, &type.definition, &err),
		  &err);
	assert_ok(json_parse_object(config_text, sizeof(config_text) - 1, &config, &err),
		  &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *url = action_type_url(&type, rows[i].which, config,
					    rows[i].external_id);

		if (rows[i].expected == NULL)
			assert_null(url);
		else
			assert_string_equal(url, rows[i].expected);
	}
	action_type_done(&type);
}

static void the_queryable_property_is_known_by_name(void **state)
{
	struct ops *o = *state;
	CLEAN(json)
	struct json_object *out = ops_ok(o, "CreateCustomActionType", MAKE_TYPE);
	const struct action_type with = { .definition = json_opt_object(out,
									"actionType") };
	const struct action_type none = { .definition = NULL };

	assert_string_equal(action_type_queryable(&with), "Queue");
	assert_null(action_type_queryable(&none));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_ops, close_ops)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_type_is_answered_as_it_will_be_listed),
		TEST(a_definition_that_breaks_a_rule_is_refused_in_words),
		TEST(the_longest_names_fit_into_the_error),
		TEST(an_identity_comes_back_with_the_same_definition_alone),
		TEST(deleting_what_is_not_there_succeeds),
		TEST(a_deleted_type_is_a_tombstone),
		TEST(fifty_types_are_the_limit_of_the_live_ones),
		TEST(tags_are_checked_kept_and_answered),
		TEST(the_listing_filters_by_owner_and_region),
		cmocka_unit_test(the_catalogue_says_what_each_type_needs),
		TEST(pages_join_to_the_whole_and_their_tokens_are_bound),
		cmocka_unit_test(url_templates_are_filled_and_escaped),
		TEST(the_queryable_property_is_known_by_name),
	};

	return cmocka_run_group_tests_name("action types", tests, NULL, NULL);
}
