/* The service model, and what is held against it. */
#include "tests/unit/test.h"

#include "emulator/model.h"
#include "emulator/op.h"
#include "emulator/validate.h"
#include "lib/base/buf.h"

#define UUID_PATTERN "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

static struct model *model;

static int load_model(void **state)
{
	struct mh_err err = MH_ERR_INIT;

	(void)state; /* the model is shared by all tests, unchanged */
	assert_ok(model_new(&model, &err), &err);
	return 0;
}

static int free_model(void **state)
{
	(void)state;
	model_free(model);
	return 0;
}

/* ---- the model ---- */

static void model_and_table_name_the_same_operations(void **state)
{
	size_t count = 0, n = 0;
	const struct model_op *ops = model_ops(model, &count);

	(void)state;
	for (const struct op *op = op_table; op->name; op++, n++) {
		assert_true(n < count);
		assert_string_equal(op->name, ops[n].name);
		assert_ptr_equal(model_find(model, op->name), &ops[n]);
	}
	assert_int_equal(n, count);
	assert_int_equal(count, 44);
	assert_null(model_find(model, "GetJobDetail"));
	assert_null(model_find(model, ""));
	assert_string_equal(model_target_prefix(model), "CodePipeline_20150709");
}

static void model_knows_shapes(void **state)
{
	const struct shape *id = model_shape(model, "JobId");
	const struct shape *batch = model_shape(model, "MaxBatchSize");
	const struct shape *poll = model_find(model, "PollForJobs")->input;
	int without_output = 0;

	(void)state;
	assert_int_equal(id->type, SHAPE_STRING);
	assert_non_null(id->pattern);
	assert_int_equal(batch->type, SHAPE_INTEGER);
	assert_true(batch->min == 1 && batch->max == INT64_MAX);
	assert_int_equal(poll->member_count, 3);
	assert_string_equal(poll->members[0].name, "actionTypeId");
	assert_true(poll->members[0].required);
	assert_false(poll->members[1].required);
	assert_true(model_shape(model, "SecretAccessKey")->sensitive);
	assert_null(model_shape(model, "NoSuchShape"));
	for (const struct op *op = op_table; op->name; op++)
		without_output += model_find(model, op->name)->output == NULL;
	assert_int_equal(without_output, 10);
}

static void broken_model_names_the_place(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "{", "JSON" },
		{ "{}", "metadata" },
		{ "{\"metadata\":{\"targetPrefix\":\"X\"},\"shapes\":{\"A\":{\"type\":"
		  "\"blob\"}},"
		  "\"operations\":{}}",
		  "shape A: unknown type 'blob'" },
		{ "{\"metadata\":{\"targetPrefix\":\"X\"},\"shapes\":{\"A\":{\"type\":"
		  "\"list\","
		  "\"member\":{\"shape\":\"B\"}}},\"operations\":{}}",
		  "shape A: member: no shape 'B'" },
		{ "{\"metadata\":{\"targetPrefix\":\"X\"},\"shapes\":{\"A\":{\"type\":"
		  "\"string\","
		  "\"pattern\":\"(\"}},\"operations\":{}}",
		  "shape A: pattern '('" },
		{ "{\"metadata\":{\"targetPrefix\":\"X\"},\"shapes\":{},"
		  "\"operations\":{\"O\":{\"input\":{\"shape\":\"I\"}}}}",
		  "operation O: input: no shape 'I'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct model *m = NULL;

		assert_fails(model_parse(rows[i].text, strlen(rows[i].text), &m, &err),
			     &err, MH_E_PROTO);
		assert_contains(err.text, rows[i].says);
	}
}

/* ---- input ---- */

#define TYPE_ID(category)                                                                \
	"{\"category\":\"" category                                                      \
	"\",\"owner\":\"Custom\",\"provider\":\"P\",\"version\":\"1\"}"
#define JOB    "\"jobId\":\"01234567-89ab-cdef-0123-456789abcdef\""
#define ONE    "1 validation error detected: "
#define FAILED " failed to satisfy constraint: "
#define S50    /* characters, not bytes */                                               \
	"0123456789012345678901234567890123456789012345678\xc3\xa9"

struct input_row {
	const char *op, *json;
	const char *code; /* NULL: it is fine */
	const char *message; /* all of it */
};

static const struct input_row input_rows[] = {
	{ "GetJobDetails", "{" JOB "}", NULL, NULL },
	{ "GetJobDetails", "{" JOB ",\"unknown\":{\"x\":[1]},\"__type\":\"Thing\"}", NULL,
	  NULL },
	{ "GetJobDetails", "{}", "ValidationException",
	  ONE "Value null at 'jobId'" FAILED "Member must not be null" },
	{ "GetJobDetails", "{\"jobId\":null}", "ValidationException",
	  ONE "Value null at 'jobId'" FAILED "Member must not be null" },
	{ "GetJobDetails", "{\"jobId\":\"x\"}", "ValidationException",
	  ONE "Value 'x' at 'jobId'" FAILED
	      "Member must satisfy regular expression pattern: " UUID_PATTERN },
	{ "GetJobDetails", "{\"jobId\":7}", "SerializationException",
	  "Unexpected value at 'jobId': expected a string, found a number" },
	{ "GetJobDetails", "{\"jobId\":[\"x\"]}", "SerializationException",
	  "Unexpected value at 'jobId': expected a string, found a list" },
	{ "GetJobDetails", "{\"jobId\":\"a\\u0000b\"}", "SerializationException",
	  "Unexpected value at 'jobId': expected a string without U+0000, found a "
	  "string" },
	/* required members come with what else is wrong */
	{ "AcknowledgeJob", "{\"nonce\":\"\"}", "ValidationException",
	  "2 validation errors detected: Value null at 'jobId'" FAILED
	  "Member must not be null; Value '' at 'nonce'" FAILED
	  "Member must have length greater than or equal to 1" },
	{ "AcknowledgeJob", "{" JOB ",\"nonce\":\"" S50 "\"}", NULL, NULL },
	{ "AcknowledgeJob", "{" JOB ",\"nonce\":\"" S50 "x\"}", "ValidationException",
	  ONE "Value '" S50 "x' at 'nonce'" FAILED
	      "Member must have length less than or equal to 50" },
	/* a wrong type anywhere comes before any constraint */
	{ "AcknowledgeJob", "{\"nonce\":true}", "SerializationException",
	  "Unexpected value at 'nonce': expected a string, found a boolean" },
	/* enumerations, nested */
	{ "PollForJobs", "{\"actionTypeId\":" TYPE_ID("Build") "}", NULL, NULL },
	{ "PollForJobs", "{\"actionTypeId\":" TYPE_ID("Bild") "}", "ValidationException",
	  ONE "Value 'Bild' at 'actionTypeId.category'" FAILED
	      "Member must satisfy enum value "
	      "set: [Source, Build, Deploy, Test, Invoke, Approval, Compute]" },
	{ "PollForJobs", "{\"actionTypeId\":\"x\"}", "SerializationException",
	  "Unexpected value at 'actionTypeId': expected an object, found a string" },
	/* numbers */
	{ "PollForJobs", "{\"actionTypeId\":" TYPE_ID("Build") ",\"maxBatchSize\":0}",
	  "ValidationException",
	  ONE "Value '0' at 'maxBatchSize'" FAILED
	      "Member must have value greater than or equal to 1" },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"maxBatchSize\":2147483647}", NULL,
	  NULL },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"maxBatchSize\":2147483648}",
	  "SerializationException",
	  "Unexpected value at 'maxBatchSize': expected an integer "
	  "of 32 bits, found a number" },
	{ "PollForJobs", "{\"actionTypeId\":" TYPE_ID("Build") ",\"maxBatchSize\":1.5}",
	  "SerializationException",
	  "Unexpected value at 'maxBatchSize': expected an integer "
	  "of 32 bits, found a number" },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"maxBatchSize\":99999999999999999999}",
	  "SerializationException",
	  "Unexpected value at 'maxBatchSize': expected an integer "
	  "of 32 bits, found a number" },
	{ "ListPipelines", "{\"maxResults\":1001}", "ValidationException",
	  ONE "Value '1001' at 'maxResults'" FAILED
	      "Member must have value less than or equal to 1000" },
	/* maps: size, keys, values (which are not shown) */
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"queryParam\":{\"a\":\"b\"}}", NULL,
	  NULL },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID(
		  "Build") ",\"queryParam\":{\"a\":\"b\",\"c\":\"d\"}}",
	  "ValidationException",
	  ONE "Value '{a=..., c=...}' at 'queryParam'" FAILED
	      "Member must have length less than or equal to 1" },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"queryParam\":{\"a\":\"$\"}}",
	  "ValidationException",
	  ONE "Value '{a=...}' at 'queryParam'" FAILED
	      "Map value must satisfy constraint: [Member must have length less than or "
	      "equal "
	      "to 50, Member must have length greater than or equal to 1, Member must "
	      "satisfy "
	      "regular expression pattern: [a-zA-Z0-9_-]+]" },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"queryParam\":{\"\":\"b\"}}",
	  "ValidationException",
	  ONE
	  "Value '{=...}' at 'queryParam'" FAILED
	  "Map keys must satisfy constraint: [Member must have length less than or equal "
	  "to 50, Member must have length greater than or equal to 1]" },
	{ "PollForJobs",
	  "{\"actionTypeId\":" TYPE_ID("Build") ",\"queryParam\":{\"a\":1}}",
	  "SerializationException",
	  "Unexpected value at 'queryParam.a.member': expected a string, found a "
	  "number" },
	{ "PollForJobs", "{\"actionTypeId\":" TYPE_ID("Build") ",\"queryParam\":[]}",
	  "SerializationException",
	  "Unexpected value at 'queryParam': expected an object, found a list" },
	/* lists of scalars and of structures */
	{ "UntagResource",
	  "{\"resourceArn\":\"arn:aws:codepipeline:r:000000000000:p\",\"tagKeys\":[\"\","
	  "\"b\"]}",
	  "ValidationException",
	  ONE "Value '[, b]' at 'tagKeys'" FAILED
	      "Member must satisfy constraint: [Member must have length less than or "
	      "equal to "
	      "128, Member must have length greater than or equal to 1]" },
	{ "TagResource",
	  "{\"resourceArn\":\"arn:aws:codepipeline:r:000000000000:p\",\"tags\":[{\"key\":"
	  "\"k\","
	  "\"value\":\"v\"},{\"key\":\"\",\"value\":\"v\"}]}",
	  "ValidationException",
	  ONE "Value '' at 'tags.2.member.key'" FAILED
	      "Member must have length greater than or equal to 1" },
	{ "TagResource",
	  "{\"resourceArn\":\"arn:aws:codepipeline:r:000000000000:p\",\"tags\":[null]}",
	  "ValidationException",
	  ONE "Value null at 'tags.1.member'" FAILED "Member must not be null" },
	{ "TagResource",
	  "{\"resourceArn\":\"arn:aws:codepipeline:r:000000000000:p\",\"tags\":[3]}",
	  "SerializationException",
	  "Unexpected value at 'tags.1.member': expected an object, found a number" },
	{ "TagResource",
	  "{\"resourceArn\":\"arn:aws:codepipeline:r:000000000000:p\",\"tags\":{}}",
	  "SerializationException",
	  "Unexpected value at 'tags': expected a list, found an object" },
	/* times */
	{ "PutJobSuccessResult",
	  "{" JOB ",\"currentRevision\":{\"revision\":\"r\",\"changeIdentifier\":\"c\","
	  "\"created\":1446137312.204}}",
	  NULL, NULL },
	{ "PutJobSuccessResult",
	  "{" JOB ",\"currentRevision\":{\"revision\":\"r\",\"changeIdentifier\":\"c\","
	  "\"created\":\"2026-11-20\"}}",
	  "SerializationException",
	  "Unexpected value at 'currentRevision.created': expected a number of seconds "
	  "since "
	  "1970, found a string" },
	{ "PutJobSuccessResult",
	  "{" JOB ",\"currentRevision\":{\"revision\":\"r\",\"changeIdentifier\":\"c\","
	  "\"created\":1e300}}",
	  "SerializationException",
	  "Unexpected value at 'currentRevision.created': expected a number of seconds "
	  "since "
	  "1970, found a number" },
	{ "StopPipelineExecution",
	  "{\"pipelineName\":\"p\",\"pipelineExecutionId\":"
	  "\"01234567-89ab-cdef-0123-456789abcdef\",\"abandon\":\"true\"}",
	  "SerializationException",
	  "Unexpected value at 'abandon': expected a boolean, found a string" },
};

static void input_is_held_against_the_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(input_rows); i++) {
		const struct input_row *row = &input_rows[i];
		CLEAN(json) struct json_object *in = NULL;
		struct mh_err err = MH_ERR_INIT;
		struct api_error e = { 0 };
		int rc;

		assert_ok(json_parse_object(row->json, strlen(row->json), &in, &err),
			  &err);
		rc = validate_input(model_find(model, row->op)->input, in, &e);
		if (rc == 0 && row->code)
			fail_msg("%s %s: was taken", row->op, row->json);
		if (!row->code) {
			if (rc != 0)
				fail_msg("%s %s: %s", row->op, row->json, e.message);
			continue;
		}
		assert_string_equal(e.code, row->code);
		assert_string_equal(e.message, row->message);
		assert_int_equal(e.status, 400);
	}
}

/* A deep, wide, wrong document: its message stays whole, short and UTF-8. */
static void hostile_input_gives_a_bounded_message(void **state)
{
	struct buf b = BUF_INIT(4 * 1024 * 1024);
	CLEAN(json) struct json_object *in = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct api_error e = { 0 };

	(void)state;
	buf_puts(&b, "{\"pipeline\":{\"name\":\"");
	for (int i = 0; i < 2000; i++)
		buf_puts(&b, "\xf0\x9f\x98\x80");
	buf_puts(&b, "\",\"stages\":[");
	for (int i = 0; i < 3000; i++)
		buf_printf(&b, "%s{\"name\":\"\",\"actions\":[]}", i ? "," : "");
	buf_puts(&b, "]}}");
	assert_ok(json_parse_object(b.data, b.len, &in, &err), &err);
	assert_int_equal(
		validate_input(model_find(model, "CreatePipeline")->input, in, &e), -1);
	assert_string_equal(e.code, "ValidationException");
	assert_contains(e.message, "validation errors detected: ");
	assert_true(str_is_utf8(e.message, strlen(e.message)));
	assert_int_equal(strncmp(e.message, "6", 1), 0); /* 6002 of them */
	buf_done(&b);
}

static void echo_of_nested_lists_is_bounded(void **state)
{
	struct buf b = BUF_INIT(64 * 1024);
	CLEAN(json) struct json_object *in = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct api_error e = { 0 };

	(void)state;
	for (int filler = 400; filler < 520; filler++) {
		buf_clear(&b);
		/* 51 variables and more: too many, so the list is shown. */
		buf_puts(&b, "{\"name\":\"p\",\"variables\":[\"");
		for (int i = 0; i < filler; i++)
			buf_putc(&b, 'x');
		buf_puts(&b, "\"");
		for (int i = 0; i < 60; i++)
			buf_puts(&b, i < 50 ? ",1" : ",[1");
		for (int i = 50; i < 60; i++)
			buf_putc(&b, ']');
		for (int i = 0; i < 10; i++)
			buf_puts(&b, ",[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]"
				     "]]]]]]]]]]]");
		buf_puts(&b, "]}");
		assert_ok(json_parse_object(b.data, b.len, &in, &err), &err);
		assert_int_equal(
			validate_input(model_find(model, "StartPipelineExecution")->input,
				       in, &e),
			-1);
		assert_string_equal(e.code, "SerializationException");
		json_object_put(in);
		in = NULL;
	}
	buf_done(&b);
}

/* ---- answers ---- */

static void answer_is_held_against_the_model(void **state)
{
	static const struct {
		const char *op, *json, *says; /* NULL: it is fine */
	} rows[] = {
		{ "AcknowledgeJob", "{\"status\":\"InProgress\"}", NULL },
		{ "AcknowledgeJob", "{}", NULL },
		{ "AcknowledgeJob", "{\"status\":\"Running\"}",
		  "Value at 'status' failed to satisfy constraint: Member must satisfy "
		  "enum" },
		{ "AcknowledgeJob", "{\"state\":\"InProgress\"}",
		  "Value at 'state' failed to satisfy constraint: AcknowledgeJobOutput "
		  "has no such "
		  "member" },
		{ "AcknowledgeJob", "{\"status\":null}", "Absent members are left out" },
		{ "AcknowledgeJob", "{\"status\":1}", "expected a string" },
		{ "ListActionTypes", "{}", "'actionTypes'" },
		{ "ListActionTypes", "{\"actionTypes\":[]}", NULL },
		{ "DeletePipeline", "{}", NULL },
		{ "DeletePipeline", "{\"x\":1}", "an empty answer has no such member" },
		{ "PollForJobs",
		  "{\"jobs\":[{\"id\":\"01234567-89ab-cdef-0123-456789abcdef\",\"data\":{"
		  "\"artifactCredentials\":{\"accessKeyId\":\"ASIA\",\"secretAccessKey\":"
		  "\"verysecret\"}}}]}",
		  "'jobs.1.member.data.artifactCredentials.sessionToken'" },
		{ "PollForJobs",
		  "{\"jobs\":[{\"data\":{\"actionConfiguration\":{\"configuration\":{"
		  "\"a value that was a variable\":\"\"}}}}]}",
		  NULL },
		{ "PollForJobs",
		  "{\"jobs\":[{\"data\":{\"actionConfiguration\":{\"configuration\":{"
		  "\"\":\"x\"}}}}]}",
		  "Map keys must satisfy constraint" },
		{ "GetPipeline", "{\"metadata\":{\"created\":\"2026\"}}",
		  "metadata.created" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *out = NULL;
		struct mh_err err = MH_ERR_INIT;
		int rc;

		assert_ok(
			json_parse_object(rows[i].json, strlen(rows[i].json), &out, &err),
			&err);
		rc = validate_output(model_find(model, rows[i].op)->output, out, &err);
		if (!rows[i].says) {
			if (rc != 0)
				fail_msg("%s: %s", rows[i].json, err.text);
			continue;
		}
		assert_int_equal(rc, -1);
		assert_contains(err.text, rows[i].says);
		assert_null(strstr(err.text, "verysecret"));
	}
}

static void refusal_is_one_that_the_operation_declares(void **state)
{
	static const struct {
		const char *op, *code, *message;
		int rc;
	} rows[] = {
		{ "GetPipeline", "PipelineNotFoundException", "none", 0 },
		{ "GetPipeline", "ValidationException", "wrong", 0 },
		{ "GetPipeline", "JobNotFoundException", "none", -1 },
		{ "GetPipeline", "PipelineNotFoundException", "", -1 },
		{ "UpdatePipeline", "PipelineNotFoundException", "none", 0 },
		{ "DeletePipeline", "PipelineNotFoundException", "none", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct api_error refusal = { 0 };

		assert_int_equal(api_fail(&refusal, rows[i].code, "%s", rows[i].message),
				 -1);
		assert_int_equal(
			validate_error(model_find(model, rows[i].op), &refusal, &err),
			rows[i].rc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_and_table_name_the_same_operations),
		cmocka_unit_test(model_knows_shapes),
		cmocka_unit_test(broken_model_names_the_place),
		cmocka_unit_test(input_is_held_against_the_model),
		cmocka_unit_test(hostile_input_gives_a_bounded_message),
		cmocka_unit_test(echo_of_nested_lists_is_bounded),
		cmocka_unit_test(answer_is_held_against_the_model),
		cmocka_unit_test(refusal_is_one_that_the_operation_declares),
	};

	return cmocka_run_group_tests_name("validate", tests, load_model, free_model);
}
