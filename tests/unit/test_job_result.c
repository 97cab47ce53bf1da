#include "tests/unit/test.h"

#include "agent/job/result.h"
#include "include/millhand/plugin.h"

static struct json_object *parse(const char *text)
{
	struct json_object *doc = NULL;
	struct mh_err err;

	assert_ok(json_parse_object(text, strlen(text), &doc, &err), &err);
	return doc;
}

static char *filled(char ch, size_t len)
{
	char *text = mh_alloc(len + 1);

	memset(text, ch, len);
	return text;
}

static void failure_names_are_those_of_the_api(void **state)
{
	(void)state;
	assert_string_equal(result_failure_name(MH_FAIL_JOB_FAILED), "JobFailed");
	for (int i = 1; i <= 6; i++)
		assert_int_equal(result_failure_parse(result_failure_name(i)), i);
	assert_null(result_failure_name(0));
	assert_null(result_failure_name(7));
	assert_null(result_failure_name(-1));
	assert_int_equal(result_failure_parse("jobfailed"), 0);
}

static void texts_are_cut_or_refused_at_their_limits(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(free) char *long_text = filled('x', 6000);
	CLEAN(free) char *id = filled('i', MH_EXTERNAL_ID_MAX_BYTES);
	CLEAN(free) char *long_id = filled('i', MH_EXTERNAL_ID_MAX_BYTES + 1);
	struct mh_err err;

	(void)state;
	assert_ok(result_set_summary(&r, long_text, &err), &err);
	assert_int_equal(strlen(r.summary), MH_SUMMARY_MAX_BYTES);
	assert_ok(result_set_external_id(&r, id, &err), &err);
	assert_fails(result_set_external_id(&r, long_id, &err), &err, MH_E_PROTO);
	assert_string_equal(r.external_id, id);
	assert_fails(result_set_summary(&r, "", &err), &err, MH_E_PROTO);
	assert_fails(result_set_summary(&r, "\377", &err), &err, MH_E_PROTO);
	assert_fails(result_set_summary(&r, NULL, &err), &err, MH_E_PROTO);
	assert_fails(result_set_percent(&r, 101, &err), &err, MH_E_PROTO);
	assert_fails(result_set_percent(&r, -1, &err), &err, MH_E_PROTO);
	assert_int_equal(r.percent, -1);
	assert_ok(result_fail(&r, MH_FAIL_JOB_FAILED, long_text, &err), &err);
	assert_int_equal(strlen(r.message), MH_MESSAGE_MAX_BYTES);
}

static void variables_together_have_one_limit(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(free) char *half = filled('v', MH_VARIABLES_MAX_BYTES / 2 - 1);
	struct mh_err err;

	(void)state;
	assert_ok(result_set_variable(&r, "a", half, &err), &err);
	assert_ok(result_set_variable(&r, "b", half, &err), &err);
	assert_int_equal(r.variables_bytes, MH_VARIABLES_MAX_BYTES);
	assert_fails(result_set_variable(&r, "c", "", &err), &err, MH_E_PROTO);
	assert_fails(result_add_variable(&r, "a", "x", &err), &err, MH_E_PROTO);
	/* Replacing gives back what the old value took. */
	assert_ok(result_set_variable(&r, "a", "", &err), &err);
	assert_ok(result_add_variable(&r, "a", "x", &err), &err);
	assert_ok(result_add_variable(&r, "a", "y", &err), &err);
	assert_string_equal(json_opt_str(r.variables, "a", ""), "xy");
	assert_true(result_drop_variables(&r));
	assert_false(result_drop_variables(&r));
	assert_int_equal(r.variables_bytes, 0);
}

static void variable_names_follow_the_apis_pattern(void **state)
{
	static const char *const bad[] = { "", "a b", "a.b", "a=b", "\303\274", "a/b" };
	CLEAN(result) struct result r = RESULT_INIT;
	struct mh_err err;

	(void)state;
	assert_ok(result_set_variable(&r, "aZ09@-_", "v", &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(result_set_variable(&r, bad[i], "v", &err), &err,
			     MH_E_PROTO);
	assert_fails(result_set_variable(&r, NULL, "v", &err), &err, MH_E_PROTO);
	assert_fails(result_set_variable(&r, "a", NULL, &err), &err, MH_E_PROTO);
}

static void nothing_takes_back_a_failure(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	struct mh_err err;

	(void)state;
	assert_ok(result_succeed(&r, &err), &err);
	assert_ok(result_continue(&r, "t", 5, &err), &err);
	assert_int_equal(r.kind, RESULT_CONTINUATION);
	assert_ok(result_succeed(&r, &err), &err);
	assert_ok(result_fail(&r, MH_FAIL_PERMISSION_ERROR, "no", &err), &err);
	assert_fails(result_succeed(&r, &err), &err, MH_E_PROTO);
	assert_fails(result_continue(&r, "t", 5, &err), &err, MH_E_PROTO);
	assert_fails(result_fail(&r, MH_FAIL_JOB_FAILED, "x", &err), &err, MH_E_PROTO);
	assert_string_equal(r.message, "no");
	result_force_failure(&r, MH_FAIL_SYSTEM_UNAVAILABLE, "%s", "gone");
	assert_string_equal(r.message, "gone");
}

static void a_token_is_never_cut(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(free) char *token = filled('t', MH_TOKEN_MAX_BYTES);
	CLEAN(free) char *long_token = filled('t', MH_TOKEN_MAX_BYTES + 1);
	struct mh_err err;

	(void)state;
	assert_fails(result_continue(&r, long_token, 0, &err), &err, MH_E_PROTO);
	assert_fails(result_continue(&r, "", 0, &err), &err, MH_E_PROTO);
	assert_fails(result_continue(&r, "t", -1, &err), &err, MH_E_PROTO);
	assert_fails(result_continue(&r, "t", RESULT_DELAY_MAX_MS + 1, &err), &err,
		     MH_E_PROTO);
	assert_int_equal(r.kind, RESULT_NONE);
	assert_ok(result_continue(&r, token, RESULT_DELAY_MAX_MS, &err), &err);
}

static void messages_of_any_bytes_become_text(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(free) char *nul = result_clean_text("a\0b", 3);
	CLEAN(free) char *cut = result_clean_text("ok \342\202", 5);
	struct mh_err err;

	(void)state;
	assert_string_equal(nul, "a?b");
	assert_string_equal(cut, "ok ??");
	assert_ok(result_fail(&r, MH_FAIL_JOB_FAILED, "\377 \303\274 \342\202\254", &err),
		  &err);
	assert_string_equal(r.message, "? \303\274 \342\202\254");
}

static void a_result_survives_the_channel(void **state)
{
	CLEAN(result) struct result a = RESULT_INIT;
	CLEAN(result) struct result b = RESULT_INIT;
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err;

	(void)state;
	assert_ok(result_set_summary(&a, "sum", &err), &err);
	assert_ok(result_set_percent(&a, 0, &err), &err);
	assert_ok(result_set_external_id(&a, "ext", &err), &err);
	assert_ok(result_set_revision(&a, "r", "c", NULL, 7, &err), &err);
	assert_ok(result_fail(&a, MH_FAIL_REVISION_UNAVAILABLE, "why", &err), &err);
	doc = result_to_json(&a);
	assert_ok(result_from_json(&b, doc, &err), &err);
	assert_int_equal(b.kind, RESULT_FAILURE);
	assert_int_equal(b.failure, MH_FAIL_REVISION_UNAVAILABLE);
	assert_string_equal(b.message, "why");
	assert_string_equal(b.summary, "sum");
	assert_int_equal(b.percent, 0);
	assert_string_equal(b.external_id, "ext");
	assert_string_equal(b.revision, "r");
	assert_null(b.revision_summary);
	assert_int_equal(b.created_ms, 7);
}

static void an_outcome_from_a_hostile_handler_is_checked(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"outcome\":1}",
		"{\"outcome\":\"none\"}",
		"{\"outcome\":\"success\",\"n\":1}",
		"{\"outcome\":\"success\",\"variables\":{\"a\":\"b\"}}",
		"{\"outcome\":\"failure\"}",
		"{\"outcome\":\"failure\",\"failure\":[]}",
		"{\"outcome\":\"failure\",\"failure\":{\"type\":\"JobFailed\"}}",
		"{\"outcome\":\"failure\",\"failure\":{\"type\":\"X\",\"message\":\"\"}}",
		"{\"outcome\":\"continuation\",\"token\":\"t\"}",
		"{\"outcome\":\"continuation\",\"delay_ms\":1}",
		"{\"outcome\":\"continuation\",\"token\":\"t\",\"delay_ms\":\"1\"}",
		"{\"outcome\":\"success\",\"percent\":\"50\"}",
		"{\"outcome\":\"success\",\"summary\":5}",
		"{\"outcome\":\"success\",\"revision\":{\"revision\":\"r\"}}",
		"{\"outcome\":\"success\",\"revision\":\"r\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEAN(result) struct result r = RESULT_INIT;
		CLEAN(json) struct json_object *doc = parse(bad[i]);
		struct mh_err err;

		assert_fails(result_from_json(&r, doc, &err), &err, MH_E_PROTO);
		assert_int_equal(r.kind, RESULT_NONE);
	}
}

static void a_document_is_taken_whole_or_not_at_all(void **state)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(json)
	struct json_object *good = parse(
		"{\"summary\":\"s\",\"percent\":null,\"variables\":{\"b\":\"2\"},"
		"\"continuation\":{\"token\":\"t\",\"delay_s\":3}}");
	CLEAN(json)
	struct json_object *bad = parse(
		"{\"summary\":\"other\",\"variables\":{\"c\":\"3\"},\"percent\":-1}");
	CLEAN(json)
	struct json_object *failing = parse(
		"{\"failure\":{\"type\":\"JobFailed\",\"message\":\"m\"},"
		"\"continuation\":{\"token\":\"u\"}}");
	struct mh_err err;

	(void)state;
	assert_ok(result_set_variable(&r, "a", "1", &err), &err);
	assert_ok(result_apply_document(&r, good, &err), &err);
	assert_int_equal(r.kind, RESULT_CONTINUATION);
	assert_int_equal(r.delay_ms, 3000);
	assert_int_equal(json_object_object_length(r.variables), 2);
	assert_fails(result_apply_document(&r, bad, &err), &err, MH_E_PROTO);
	assert_string_equal(r.summary, "s");
	assert_int_equal(json_object_object_length(r.variables), 2);
	assert_ok(result_apply_document(&r, failing, &err), &err);
	assert_int_equal(r.kind, RESULT_FAILURE);
	assert_fails(result_apply_document(&r, good, &err), &err, MH_E_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure_names_are_those_of_the_api),
		cmocka_unit_test(texts_are_cut_or_refused_at_their_limits),
		cmocka_unit_test(variables_together_have_one_limit),
		cmocka_unit_test(variable_names_follow_the_apis_pattern),
		cmocka_unit_test(nothing_takes_back_a_failure),
		cmocka_unit_test(a_token_is_never_cut),
		cmocka_unit_test(messages_of_any_bytes_become_text),
		cmocka_unit_test(a_result_survives_the_channel),
		cmocka_unit_test(an_outcome_from_a_hostile_handler_is_checked),
		cmocka_unit_test(a_document_is_taken_whole_or_not_at_all),
	};

	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
