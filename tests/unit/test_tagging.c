/* TagResource, UntagResource, ListTagsForResource (semantics B, F). */
#include "tests/unit/ops.h"

#include <stdio.h>

#include "tests/unit/declare_types.h"

#define ARN      "arn:aws:codepipeline:us-east-1:000000000000:"
#define PIPELINE "\"resourceArn\":\"" ARN "P\""
#define TYPE     "\"resourceArn\":\"" ARN "actiontype:Custom/Build/Make/1\""
#define NO_TAGS  "{\"tags\":[]}"

static int open_ops(void **state)
{
	static struct ops ops;

	ops_open(&ops);
	ops_do(&ops, "CreateCustomActionType", MAKE_TYPE);
	ops_do(&ops, "CreatePipeline", "{\"pipeline\":" MAKE_PIPELINE "}");
	*state = &ops;
	return 0;
}

static int close_ops(void **state)
{
	ops_close(*state);
	return 0;
}

static void check_tags(struct ops *o, const char *resource, const char *expected)
{
	CLEAN(free) char *in = mh_format("{%s}", resource);
	CLEAN(json) struct json_object *out = ops_ok(o, "ListTagsForResource", in);

	assert_string_equal(json_text(out), expected);
}

static void tags_are_added_replaced_and_taken_away(void **state)
{
	static const char *const resources[] = { PIPELINE, TYPE };
	struct ops *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		CLEAN(free)
		char *two = mh_format("{%s,\"tags\":[{\"key\":\"team\",\"value\":\"a\"},"
				      "{\"key\":\"cost\",\"value\":\"\"}]}",
				      resources[i]);
		CLEAN(free)
		char *again = mh_format(
			"{%s,\"tags\":[{\"key\":\"team\",\"value\":\"b\"}]}",
			resources[i]);
		CLEAN(free)
		char *gone = mh_format("{%s,\"tagKeys\":[\"team\",\"never\"]}",
				       resources[i]);
		CLEAN(free)
		char *rest = mh_format("{%s,\"tagKeys\":[\"cost\"]}", resources[i]);

		check_tags(o, resources[i], NO_TAGS);
		ops_do(o, "TagResource", two);
		ops_do(o, "TagResource", again);
		check_tags(o, resources[i],
			   "{\"tags\":[{\"key\":\"cost\",\"value\":\"\"},"
			   "{\"key\":\"team\",\"value\":\"b\"}]}");
		ops_do(o, "UntagResource", gone);
		check_tags(o, resources[i],
			   "{\"tags\":[{\"key\":\"cost\",\"value\":\"\"}]}");
		ops_do(o, "UntagResource", rest);
		check_tags(o, resources[i], NO_TAGS);
	}
}

static void arns_that_name_nothing_are_told_apart(void **state)
{
	static const struct {
		const char *arn, *code;
	} rows[] = {
		{ ARN "Q", "ResourceNotFoundException" },
		{ ARN "actiontype:Custom/Build/Make/2", "ResourceNotFoundException" },
		{ ARN "P/Source", "InvalidArnException" },
		{ ARN "P:Q", "InvalidArnException" },
		{ ARN "actiontype:Custom/Build/Make", "InvalidArnException" },
		{ ARN "actiontype:Custom/Build/Make/1/2", "InvalidArnException" },
		{ ARN "actiontype:Custom/Build/Make/", "InvalidArnException" },
		{ ARN "actiontype:AWS/Build/CodeBuild/1", "InvalidArnException" },
		{ "arn:aws:codepipeline:eu-west-1:000000000000:P",
		  "InvalidArnException" },
		{ "arn:aws:codepipeline:us-east-1:000000000001:P",
		  "InvalidArnException" },
		{ "arn:aws:codepipeline:a:us-east-1:000000000000:P",
		  "InvalidArnException" },
		{ "arn:aws:s3:us-east-1:000000000000:P", "ValidationException" },
		{ "P", "ValidationException" },
	};
	static const char *const operations[] = { "ListTagsForResource", "TagResource",
						  "UntagResource" };
	struct ops *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t n = 0; n < ARRAY_LEN(operations); n++) {
			CLEAN(json) struct json_object *out = json_object_new_object();
			CLEAN(free)
			char *in = mh_format("{\"resourceArn\":\"%s\"%s}", rows[i].arn,
					     n == 0   ? ""
					     : n == 1 ? ",\"tags\":[]"
						      : ",\"tagKeys\":[]");

			assert_int_equal(ops_call(o, operations[n], in, out), -1);
			assert_string_equal(o->err.code, rows[i].code);
		}
	}
	/* Policies write it so, and another partition is as good. */
	check_tags(o,
		   "\"resourceArn\":\"arn:aws-cn:codepipeline:us-east-1:000000000000:"
		   "actionType:Custom/Build/Make/1\"",
		   NO_TAGS);
}

static void what_is_deleted_has_no_tags(void **state)
{
	struct ops *o = *state;

	ops_do(o, "DeleteCustomActionType",
	       "{\"category\":\"Build\",\"provider\":\"Make\",\"version\":\"1\"}");
	ops_fail(o, "ListTagsForResource", "{" TYPE "}", "ResourceNotFoundException",
		 "The resource '" ARN "actiontype:Custom/Build/Make/1' was not found");
}

static void reserved_and_odd_tags_are_refused_and_nothing_is_kept(void **state)
{
	static const struct {
		const char *operation, *rest, *message;
	} rows[] = {
		{ "TagResource",
		  "\"tags\":[{\"key\":\"ok\",\"value\":\"1\"},{\"key\":\"aws:x\","
		  "\"value\":\"1\"}]",
		  "Tag key 'aws:x' begins with 'aws:', which is reserved" },
		{ "TagResource", "\"tags\":[{\"key\":\"AWS:x\",\"value\":\"1\"}]",
		  "Tag key 'AWS:x' begins with 'aws:', which is reserved" },
		{ "TagResource",
		  "\"tags\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"a\",\"value\":"
		  "\"2\"}]",
		  "Tag key 'a' is used more than once" },
		{ "UntagResource", "\"tagKeys\":[\"team\",\"aws:x\"]",
		  "Tag key 'aws:x' begins with 'aws:', which is reserved" },
	};
	static const char kept[] = "{\"tags\":[{\"key\":\"team\",\"value\":\"a\"}]}";
	struct ops *o = *state;

	ops_do(o, "TagResource",
	       "{" PIPELINE ",\"tags\":[{\"key\":\"team\",\"value\":\"a\"}]}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *in = mh_format("{" PIPELINE ",%s}", rows[i].rest);

		ops_fail(o, rows[i].operation, in, "InvalidTagsException",
			 rows[i].message);
		check_tags(o, PIPELINE, kept);
	}
}

/* {"resourceArn":...,"tags":[count of them, numbered from first]} */
static char *many(int first, int count)
{
	CLEAN(json) struct json_object *in = json_object_new_object();
	struct json_object *tags = json_object_new_array();

	json_put_str(in, "resourceArn", ARN "P");
	json_put_obj(in, "tags", tags);
	for (int i = first; i < first + count; i++) {
		struct json_object *tag = json_object_new_object();
		char key[16];

		(void)snprintf(key, sizeof(key), "k%03d", i);
		json_put_str(tag, "key", key);
		json_put_str(tag, "value", "v");
		assert_int_equal(json_object_array_add(tags, tag), 0);
	}
	return mh_strdup(json_text(in));
}

static void fifty_tags_fit_and_no_more(void **state)
{
	struct ops *o = *state;
	CLEAN(free) char *too_many = many(0, 51);
	CLEAN(free) char *most = many(0, 49);
	CLEAN(free) char *same = many(10, 30);
	CLEAN(free) char *two = many(49, 2);
	CLEAN(free) char *last = many(49, 1);

	ops_fail(o, "TagResource", too_many, "TooManyTagsException",
		 "Tag limit exceeded for resource [" ARN "P].");
	ops_do(o, "TagResource", most);
	ops_do(o, "TagResource", same);
	ops_fail(o, "TagResource", two, "TooManyTagsException",
		 "Tag limit exceeded for resource [" ARN "P].");
	ops_do(o, "TagResource", last);
}

static void a_listing_goes_on_where_it_ended(void **state)
{
	struct ops *o = *state;
	CLEAN(free) char *five = many(0, 5);
	CLEAN(free) char *token = mh_strdup("");
	char seen[64] = "";
	int pages = 0;

	ops_do(o, "TagResource", five);
	while (token) {
		CLEAN(free)
		char *in = mh_format("{" PIPELINE ",\"maxResults\":2%s%s%s}",
				     *token ? ",\"nextToken\":\"" : "", token,
				     *token ? "\"" : "");
		CLEAN(json)
		struct json_object *out = ops_ok(o, "ListTagsForResource", in);
		struct json_object *tags = json_opt_array(out, "tags");

		for (size_t i = 0; i < json_object_array_length(tags); i++)
			(void)strncat(seen,
				      json_opt_str(json_object_array_get_idx(tags, i),
						   "key", ""),
				      8);
		free(token);
		token = mh_strdup(json_opt_str(out, "nextToken", NULL));
		assert_true(++pages <= 3);
	}
	assert_string_equal(seen, "k000k001k002k003k004");
	ops_fail(o, "ListTagsForResource", "{" PIPELINE ",\"nextToken\":\"AAAA\"}",
		 "InvalidNextTokenException",
		 "The next token is not one that this listing gave out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tags_are_added_replaced_and_taken_away,
						open_ops, close_ops),
		cmocka_unit_test_setup_teardown(arns_that_name_nothing_are_told_apart,
						open_ops, close_ops),
		cmocka_unit_test_setup_teardown(what_is_deleted_has_no_tags, open_ops,
						close_ops),
		cmocka_unit_test_setup_teardown(
			reserved_and_odd_tags_are_refused_and_nothing_is_kept, open_ops,
			close_ops),
		cmocka_unit_test_setup_teardown(fifty_tags_fit_and_no_more, open_ops,
						close_ops),
		cmocka_unit_test_setup_teardown(a_listing_goes_on_where_it_ended,
						open_ops, close_ops),
	};

	return cmocka_run_group_tests_name("tagging", tests, NULL, NULL);
}
