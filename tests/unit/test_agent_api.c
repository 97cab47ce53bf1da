/* Answers of the API and of the artifact store: what each means, and what is not
 * believed. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "agent/cp_api.h"
#include "agent/s3.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define ID  "11111111-2222-3333-4444-555555555555"
#define ID2 "11111111-2222-3333-4444-666666666666"

static char build[] = "Build", custom[] = "Custom", make[] = "Make", one[] = "1";
static const struct action_settings want = {
	.category = build, .owner = custom, .provider = make, .version = one
};

/* --- classes ---------------------------------------------------------------------- */

static void answers_are_classified_by_code_and_not_by_status(void **ctx)
{
	static const struct {
		long status;
		const char *body, *header;
		enum cp_result result;
	} rows[] = {
		{ 200, "", NULL, CP_OK },
		{ 200, "{}", NULL, CP_OK },
		{ 200, "<html>welcome to the hotel</html>", NULL, CP_UNKNOWN },
		{ 200, "[]", NULL, CP_UNKNOWN },
		{ 200, "{\"status\":", NULL, CP_UNKNOWN },
		{ 400, "{\"__type\":\"InvalidNonceException\",\"message\":\"m\"}", NULL,
		  CP_NONCE },
		{ 400, "{\"__type\":\"com.amazonaws#InvalidNonceException:http://x/\"}",
		  NULL, CP_NONCE },
		{ 400, "{}", "InvalidJobStateException:http://x/", CP_STATE },
		{ 400, "{\"__type\":\"JobNotFoundException\"}", NULL, CP_NOT_FOUND },
		{ 400, "{\"__type\":\"InvalidJobException\"}", NULL, CP_NOT_FOUND },
		{ 400, "{\"__type\":\"InvalidClientTokenException\"}", NULL, CP_CLIENT },
		{ 400, "{\"__type\":\"ActionTypeNotFoundException\"}", NULL, CP_NO_TYPE },
		{ 400, "{\"__type\":\"ThrottlingException\"}", NULL, CP_THROTTLED },
		{ 400, "{\"__type\":\"Throttling\"}", NULL, CP_THROTTLED },
		{ 429, "slow down", NULL, CP_THROTTLED },
		{ 400, "{\"__type\":\"LimitExceededException\"}", NULL, CP_REFUSED },
		{ 400, "{\"__type\":\"ValidationException\"}", NULL, CP_REFUSED },
		{ 400, "{\"__type\":\"ValidationError\"}", NULL, CP_REFUSED },
		{ 400, "{\"__type\":\"OutputVariablesSizeExceededException\"}", NULL,
		  CP_REFUSED },
		{ 403, "{\"__type\":\"ExpiredTokenException\"}", NULL, CP_AUTH },
		{ 400, "{\"__type\":\"AccessDeniedException\",\"Message\":\"no\"}", NULL,
		  CP_AUTH },
		{ 400, "{\"__type\":\"InvalidSignatureException\"}", NULL, CP_AUTH },
		{ 500, "", NULL, CP_UNKNOWN },
		{ 503, "<html>busy</html>", NULL, CP_UNKNOWN },
		{ 500, "{\"__type\":\"InternalFailure\"}", NULL, CP_UNKNOWN },
		{ 302, "", NULL, CP_AGAIN },
		{ 404, "<html>no such page</html>", NULL, CP_AGAIN },
		{ 400, "{\"__type\":\"SomethingNewException\"}", NULL, CP_AGAIN },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cp_answer a = { .asked_ms = -1 };
		struct cp_raw raw = { .status = rows[i].status,
				      .sent = true,
				      .body = rows[i].body,
				      .len = strlen(rows[i].body),
				      .error_type = rows[i].header };

		cp_classify(&raw, &a);
		if (a.result != rows[i].result)
			fail_msg("%ld %s: %s", rows[i].status, rows[i].body,
				 cp_result_name(a.result));
		assert_int_equal(a.err.cls == MH_OK, a.result == CP_OK);
		json_object_put(a.body);
	}
}

static void without_an_answer_it_matters_whether_the_request_may_have_arrived(void **ctx)
{
	struct mh_err why = { .cls = MH_E_NET, .text = "connection reset" };
	struct cp_answer sent = { 0 }, unsent = { 0 };

	(void)ctx;
	cp_classify(&(struct cp_raw){ .sent = true, .transport = &why }, &sent);
	cp_classify(&(struct cp_raw){ .sent = false, .transport = &why }, &unsent);
	assert_int_equal(sent.result, CP_UNKNOWN);
	assert_int_equal(unsent.result, CP_AGAIN);
	assert_string_equal(sent.err.text, why.text);
}

static void what_a_code_is_not_made_of_is_not_taken_into_the_log(void **ctx)
{
	static const char body[] =
		"{\"__type\":\"Evil\\n\\u001b[31mCode\",\"message\":null}";
	struct cp_answer a = { 0 };

	(void)ctx;
	cp_classify(&(struct cp_raw){ .status = 400, .body = body, .len = strlen(body) },
		    &a);
	assert_string_equal(a.code, "Evil31mCode");
}

static void values_of_a_validation_message_are_not_shown(void **ctx)
{
	static const char body[] = "{\"__type\":\"ValidationException\",\"message\":\"2 "
				   "validation errors detected: "
				   "Value 'canary-nonce' at 'nonce' failed to satisfy "
				   "constraint: x; Value 'c' at "
				   "'jobId' failed; Value 'canary\"}";
	struct cp_answer a = { 0 };

	(void)ctx;
	cp_classify(&(struct cp_raw){ .status = 400, .body = body, .len = strlen(body) },
		    &a);
	assert_null(strstr(a.err.text, "canary"));
	assert_contains(a.err.text,
			"Value '****' at 'nonce' failed to satisfy constraint: x; "
			"Value '*' at 'jobId' failed");
}

static void the_store_is_classified_by_code_then_status(void **ctx)
{
	static const struct {
		long status;
		const char *code;
		enum s3_result result;
	} rows[] = {
		{ 400, "ExpiredToken", S3_EXPIRED },
		{ 403, "AccessDenied", S3_DENIED },
		{ 403, "", S3_DENIED },
		{ 403, "RequestTimeTooSkewed", S3_AGAIN },
		{ 404, "NoSuchKey", S3_MISSING },
		{ 404, "", S3_MISSING },
		{ 503, "SlowDown", S3_AGAIN },
		{ 500, "", S3_AGAIN },
		{ 412, "", S3_CHANGED },
		{ 416, "", S3_CHANGED },
		{ 400, "BadDigest", S3_BAD },
		{ 301, "PermanentRedirect", S3_BAD },
		{ 400, "", S3_AGAIN }, /* no answer of S3's */
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(s3_classify(rows[i].status, rows[i].code),
				 rows[i].result);
}

static void the_clock_is_corrected_by_fresh_dates_only(void **ctx)
{
	int64_t skew = 7;

	(void)ctx;
	const int64_t now = 1790000000000;

	assert_true(aws_skew_of(now + 300000, -1, now, now + 2000, &skew));
	assert_int_equal(skew, 300000 - 1000);
	assert_false(aws_skew_of(-1, -1, now, now + 1, &skew)); /* no Date */
	assert_false(aws_skew_of(now, 0, now, now + 1, &skew)); /* from a cache */
	/* too slow */
	assert_false(aws_skew_of(now, -1, now, now + 15 * 60 * 1000 + 1, &skew));
	assert_false(aws_skew_of(now, -1, now + 10, now + 9, &skew)); /* it was set */
	/* The years 1994 and 9026: damaged, and not to be written into a signature. */
	assert_false(aws_skew_of(760000000000, -1, now, now, &skew));
	assert_false(aws_skew_of(222660000000000, -1, now, now, &skew));
	assert_int_equal(skew, 300000 - 1000);
}

/* --- offers ---------------------------------------------------------------------------
 */

#define TYPE(provider)                                                                   \
	"\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\",\"provider\":"    \
	"\"" provider "\",\"version\":\"1\"}"
#define ARTIFACT(name, bucket, key)                                                      \
	"{\"name\":\"" name                                                              \
	"\",\"location\":{\"type\":\"S3\",\"s3Location\":{\"bucketName\":\"" bucket      \
	"\",\"objectKey\":\"" key "\"}}}"
#define JOB(id, nonce, data) "{\"id\":\"" id "\",\"nonce\":" nonce ",\"data\":{" data "}}"

static void read_jobs(const char *jobs, size_t max, struct cp_offer *offers,
		      size_t *count, size_t *bad, struct mh_err *why)
{
	CLEAN(free) char *text = mh_format("{\"jobs\":[%s]}", jobs);
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(json_parse_object(text, strlen(text), &body, &err), &err);
	assert_ok(cp_read_offers(body, &want, max, 77, offers, count, bad, why, &err),
		  &err);
}

static void jobs_that_break_a_rule_are_left_out_and_cost_no_other(void **ctx)
{
	static const char *const rows[] = {
		"5",
		"{}",
		JOB("../../etc", "\"1\"", TYPE("Make")),
		JOB("11111111-2222-3333-4444-55555555555A", "\"1\"", TYPE("Make")),
		JOB(ID, "\"\"", TYPE("Make")),
		JOB(ID, "1", TYPE("Make")),
		JOB(ID, "\"123456789012345678901234567890123456789012345678901\"",
		    TYPE("Make")),
		JOB(ID, "\"1\"", TYPE("Other")),
		JOB(ID, "\"1\"", "\"actionTypeId\":null"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"inputArtifacts\":[" ARTIFACT("../x", "bucket",
								  "k") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"inputArtifacts\":[" ARTIFACT("x", "b/../c",
								  "k") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"inputArtifacts\":[" ARTIFACT("x", "a@evil.com",
								  "k") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"inputArtifacts\":[" ARTIFACT("x", "bucket", "") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"inputArtifacts\":[" ARTIFACT("x", "bucket",
								  "a\\u0000b") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"outputArtifacts\":[" ARTIFACT(
			    "x", "bucket", "k") "," ARTIFACT("x", "bucket", "l") "]"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"actionConfiguration\":{\"configuration\":{\"k\":{}}"
				 "}"),
		JOB(ID, "\"1\"",
		    TYPE("Make") ",\"artifactCredentials\":{\"accessKeyId\":1}"),
		JOB(ID, "\"1\"", TYPE("Make") ",\"encryptionKey\":{\"id\":\"a\\r\\nb\"}"),
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *jobs = mh_format("%s,%s", rows[i], JOB(ID2, "\"2\"", TYPE("Make")));
		struct cp_offer offers[4] = { 0 };
		struct mh_err why = MH_ERR_INIT;
		size_t count = 0, bad = 0;

		read_jobs(jobs, 4, offers, &count, &bad, &why);
		if (count != 1 || bad != 1 || !*why.text)
			fail_msg("%s: %zu taken, %zu bad", rows[i], count, bad);
		assert_string_equal(offers[0].id, ID2);
		jobdata_free(offers[0].data);
	}
}

static void more_jobs_than_asked_for_and_doubles_are_not_taken(void **ctx)
{
	struct cp_offer offers[2] = { 0 };
	struct mh_err why = MH_ERR_INIT;
	size_t count = 0, bad = 0;

	(void)ctx;
	read_jobs(JOB(ID, "\"1\"", TYPE("Make")) "," JOB(ID, "\"1\"", TYPE("Make")), 2,
		  offers, &count, &bad, &why);
	assert_int_equal(count, 1);
	assert_int_equal(bad, 1);
	assert_contains(why.text, "twice");
	jobdata_free(offers[0].data);
	read_jobs(JOB(ID, "\"1\"", TYPE("Make")) "," JOB(ID2, "\"1\"", TYPE("Make")), 1,
		  offers, &count, &bad, &why);
	assert_int_equal(count, 1);
	assert_int_equal(bad, 1);
	jobdata_free(offers[0].data);
}

static void a_job_is_read_whole_and_its_credentials_are_taken_out(void **ctx)
{
	struct cp_offer offer = { 0 };
	struct mh_err why = MH_ERR_INIT;
	size_t count = 0, bad = 0;
	const struct jobdata *d;

	(void)ctx;
	read_jobs(JOB(ID, "\"n-1\"",
		      TYPE("Make") ",\"__type\":\"JobData\",\"continuationToken\":\"t\","
				   "\"actionConfiguration\":{\"__type\":\"x\","
				   "\"configuration\":{\"K "
				   "1\":\"v\"}},\"pipelineContext\":{\"pipelineName\":"
				   "\"P\",\"stage\":{"
				   "\"name\":\"S\"},\"action\":{\"name\":\"A\","
				   "\"actionExecutionId\":"
				   "\"ae\"},\"pipelineExecutionId\":\"e\"},"
				   "\"inputArtifacts\":[" ARTIFACT(
					   "In", "my.bucket",
					   "P/In/a b") "],\"outputArtifacts\":null,"
						       "\"encryptionKey\":{\"id\":\"arn:"
						       "key\",\"type\":\"KMS\"},"
						       "\"artifactCredentials\":{"
						       "\"accessKeyId\":\"AK\","
						       "\"secretAccessKey\":"
						       "\"SK\",\"sessionToken\":\"ST\"}"),
		  1, &offer, &count, &bad, &why);
	assert_int_equal(count, 1);
	d = offer.data;
	assert_string_equal(offer.nonce, "n-1");
	assert_string_equal(d->pipeline, "P");
	assert_string_equal(d->action_execution_id, "ae");
	assert_string_equal(d->inputs[0].key, "P/In/a b");
	assert_int_equal(d->output_count, 0);
	assert_string_equal(d->kms_key_id, "arn:key");
	assert_string_equal(json_opt_str(d->config, "K 1", ""), "v");
	assert_string_equal(d->creds.secret_access_key, "SK");
	assert_null(strstr(json_text(d->doc), "SK"));
	assert_true(jobdata_creds_usable(d, 77 + JOBDATA_CREDS_OLD_MS - 1));
	assert_false(jobdata_creds_usable(d, 77 + JOBDATA_CREDS_OLD_MS));
	jobdata_free(offer.data);
}

static void an_answer_that_is_no_list_is_an_error_and_none_is_none(void **ctx)
{
	CLEAN(json) struct json_object *lie = NULL;
	struct cp_offer offers[1] = { 0 };
	struct mh_err err = MH_ERR_INIT, why;
	size_t count = 9, bad = 9;

	(void)ctx;
	assert_ok(json_parse_object("{\"jobs\":{}}", 11, &lie, &err), &err);
	assert_fails(cp_read_offers(lie, &want, 1, 0, offers, &count, &bad, &why, &err),
		     &err, MH_E_PROTO);
	assert_ok(cp_read_offers(NULL, &want, 1, 0, offers, &count, &bad, &why, &err),
		  &err);
	assert_int_equal(count + bad, 0);
}

/* --- the other answers
 * -------------------------------------------------------------------- */

static void details_must_be_about_the_job_that_was_asked_for(void **ctx)
{
	static const char *const rows[] = {
		"{}",
		"{\"jobDetails\":7}",
		"{\"jobDetails\":{\"id\":\"" ID2 "\",\"data\":{" TYPE("Make") "}}}",
		"{\"jobDetails\":{\"id\":\"" ID "\"}}",
	};
	static const char good[] = "{\"jobDetails\":{\"id\":\"" ID
				   "\",\"accountId\":\"000000000000\","
				   "\"data\":{" TYPE("Make") "}}}";
	CLEAN(json) struct json_object *doc = NULL;
	CLEAN(jobdata) struct jobdata *d = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *body = NULL;

		assert_ok(json_parse_object(rows[i], strlen(rows[i]), &body, &err), &err);
		assert_fails(cp_read_details(body, ID, 0, &d, NULL, &err), &err,
			     MH_E_PROTO);
		assert_null(d);
	}
	assert_ok(json_parse_object(good, strlen(good), &doc, &err), &err);
	assert_ok(cp_read_details(doc, ID, 0, &d, NULL, &err), &err);
	assert_string_equal(d->account_id, "000000000000");
}

static void a_third_partys_details_have_a_nonce(void **ctx)
{
	static const struct {
		const char *nonce, *want;
	} rows[] = {
		{ "\"nonce\":\"3\",", "3" },
		{ "\"nonce\":\"\",", NULL },
		{ "\"nonce\":3,", NULL },
		{ "", NULL },
		{ "\"nonce\":\"012345678901234567890123456789012345678901234567890\",",
		  NULL },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *text = mh_format(
			"{\"jobDetails\":{\"id\":\"any id\",%s\"data\":{" TYPE(
				"Make") "}}}",
			rows[i].nonce);
		CLEAN(json) struct json_object *body = NULL;
		CLEAN(jobdata) struct jobdata *d = NULL;
		struct mh_err err = MH_ERR_INIT;
		const char *nonce = NULL;
		int rc;

		assert_ok(json_parse_object(text, strlen(text), &body, &err), &err);
		rc = cp_read_details(body, "any id", 0, &d, &nonce, &err);
		assert_int_equal(rc, rows[i].want ? 0 : -1);
		if (rows[i].want)
			assert_string_equal(nonce, rows[i].want);
		else
			assert_null(d);
	}
}

static void a_third_partys_offer_is_an_id_and_a_client(void **ctx)
{
	static char owner[] = "ThirdParty";
	struct action_settings third = want;
	static const char text[] = "{\"jobs\":[{\"jobId\":\"../x\",\"clientId\":\"" ID
				   "\"},{\"jobId\":\"../x\",\"clientId\":\"" ID
				   "\"},{\"jobId\":\"y\",\"clientId\":\"me\"},{\"jobId\":"
				   "\"\",\"clientId\":\"" ID "\"},{\"jobId\":\"z\"},5]}";
	CLEAN(json) struct json_object *doc = NULL;
	struct cp_offer offers[6];
	struct mh_err err = MH_ERR_INIT, why = MH_ERR_INIT;
	size_t count = 0, bad = 0;

	(void)ctx;
	third.owner = owner;
	assert_ok(json_parse_object(text, strlen(text), &doc, &err), &err);
	assert_ok(cp_read_offers(doc, &third, 6, 0, offers, &count, &bad, &why, &err),
		  &err);
	assert_int_equal(count, 1);
	assert_int_equal(bad, 5);
	assert_string_equal(offers[0].id, "../x");
	assert_string_equal(offers[0].client_id, ID);
	assert_string_equal(offers[0].nonce, "");
	assert_null(offers[0].data);
}

static void a_status_must_be_a_string(void **ctx)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;
	const char *status = NULL;

	(void)ctx;
	assert_fails(cp_read_status(NULL, &status, &err), &err, MH_E_PROTO);
	assert_ok(json_parse_object("{\"status\":[\"InProgress\"]}", 25, &doc, &err),
		  &err);
	assert_fails(cp_read_status(doc, &status, &err), &err, MH_E_PROTO);
}

static void only_the_word_abandoned_about_our_action_counts(void **ctx)
{
	static const struct {
		const char *text;
		bool abandoned;
	} rows[] = {
		{ "{}", false },
		{ "{\"actionExecutionDetails\":[]}", false },
		{ "{\"actionExecutionDetails\":[5,{}]}", false },
		{ "{\"actionExecutionDetails\":[{\"actionExecutionId\":\"other\","
		  "\"status\":"
		  "\"Abandoned\"}]}",
		  false },
		{ "{\"actionExecutionDetails\":[{\"actionExecutionId\":\"ours\","
		  "\"status\":"
		  "\"InProgress\"}]}",
		  false },
		{ "{\"actionExecutionDetails\":[{\"actionExecutionId\":\"ours\","
		  "\"status\":"
		  "\"Abandoned\"}]}",
		  true },
	};

	(void)ctx;
	assert_false(cp_read_abandoned(NULL, "ours"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *doc = NULL;
		struct mh_err err = MH_ERR_INIT;

		assert_ok(
			json_parse_object(rows[i].text, strlen(rows[i].text), &doc, &err),
			&err);
		assert_int_equal(cp_read_abandoned(doc, "ours"), rows[i].abandoned);
	}
}

static void bodies_are_what_the_model_asks_for(void **ctx)
{
	CLEAN(json) struct json_object *query = json_object_new_object();
	struct action_settings a = want;
	CLEAN(json) struct json_object *plain = cp_poll_body(&a, 3);
	CLEAN(json) struct json_object *asking = NULL;
	CLEAN(json) struct json_object *list = cp_list_actions_body("P", ID, NULL);

	(void)ctx;
	assert_string_equal(json_text(plain), "{" TYPE("Make") ",\"maxBatchSize\":3}");
	json_put_str(query, "Name", "x");
	a.query = query;
	asking = cp_poll_body(&a, 1);
	assert_string_equal(json_text(asking),
			    "{" TYPE("Make") ",\"maxBatchSize\":1,\"queryParam\":{"
					     "\"Name\":\"x\"}}");
	assert_string_equal(
		json_text(list),
		"{\"pipelineName\":\"P\",\"filter\":{\"pipelineExecutionId\":\"" ID
		"\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_classified_by_code_and_not_by_status),
		cmocka_unit_test(
			without_an_answer_it_matters_whether_the_request_may_have_arrived),
		cmocka_unit_test(what_a_code_is_not_made_of_is_not_taken_into_the_log),
		cmocka_unit_test(values_of_a_validation_message_are_not_shown),
		cmocka_unit_test(the_store_is_classified_by_code_then_status),
		cmocka_unit_test(the_clock_is_corrected_by_fresh_dates_only),
		cmocka_unit_test(jobs_that_break_a_rule_are_left_out_and_cost_no_other),
		cmocka_unit_test(more_jobs_than_asked_for_and_doubles_are_not_taken),
		cmocka_unit_test(a_job_is_read_whole_and_its_credentials_are_taken_out),
		cmocka_unit_test(an_answer_that_is_no_list_is_an_error_and_none_is_none),
		cmocka_unit_test(details_must_be_about_the_job_that_was_asked_for),
		cmocka_unit_test(a_third_partys_details_have_a_nonce),
		cmocka_unit_test(a_third_partys_offer_is_an_id_and_a_client),
		cmocka_unit_test(a_status_must_be_a_string),
		cmocka_unit_test(only_the_word_abandoned_about_our_action_counts),
		cmocka_unit_test(bodies_are_what_the_model_asks_for),
	};

	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
