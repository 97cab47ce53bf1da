/* A shim's result, read as hostile, and the report that is made of it. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "agent/outcome.h"
#include "lib/base/buf.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define SHA "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OUT(name, file)                                                                  \
	"{\"name\":\"" name "\",\"file\":\"" file "\",\"size\":3,\"sha256\":\"" SHA "\"" \
	"}"

static const char *const two[] = { "A", "B" };
static const struct outcome_expect none = { .outputs = two, .output_count = 0 };
static const struct outcome_expect both = { .outputs = two,
					    .output_count = 2,
					    .outputs_min = 2 };
static const struct outcome_expect one_of_two = { .outputs = two,
						  .output_count = 2,
						  .outputs_min = 1 };

static int read_result(const char *text, const struct outcome_expect *expect,
		       struct outcome *o, struct mh_err *err)
{
	return outcome_from_result(text, strlen(text), expect, o, err);
}

/* The body that would be put for it. */
static struct json_object *body_of(const struct outcome *o)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(outcome_doc(o->text, &doc, &err), &err);
	return outcome_put_body(doc, "job");
}

static void hostile_results_are_refused(void **ctx)
{
	static const char *const rows[] = {
		"",
		"[]",
		"{",
		"{\"version\":1}",
		"{\"version\":\"1\",\"outcome\":\"success\"}",
		"{\"version\":2,\"outcome\":\"success\"}",
		"{\"version\":1,\"outcome\":\"victory\"}",
		"{\"version\":1,\"outcome\":\"failure\"}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[1]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT(
			"C", "store/0") "]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT(
			"A", "store/0") "," OUT("A", "store/1") "]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT(
			"A", "../ledger.db") "]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT("A",
									   "store/") "]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT(
			"A", "store/0/../1") "]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[{\"name\":\"A\","
		"\"file\":"
		"\"store/0\",\"size\":-1,\"sha256\":\"" SHA "\"}]}",
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[{\"name\":\"A\","
		"\"file\":"
		"\"store/0\",\"size\":1,\"sha256\":\"beef\"}]}",
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outcome o = { 0 };
		struct mh_err err = MH_ERR_INIT;

		if (read_result(rows[i], &both, &o, &err) == 0)
			fail_msg("taken: %s", rows[i]);
		assert_null(o.text);
		assert_contains(err.text, "result.json");
	}
}

static void a_success_becomes_what_the_api_takes(void **ctx)
{
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_result(
			  "{\"version\":1,\"outcome\":\"success\",\"summary\":\"fine\","
			  "\"percent\":"
			  "100,\"external_id\":\"b7\",\"revision\":{\"revision\":\"abc\","
			  "\"created_ms\":1500},\"variables\":{\"V-1\":\"x\"},"
			  "\"unknown\":1}",
			  &none, &o, &err),
		  &err);
	assert_int_equal(o.kind, OUTCOME_SUCCESS);
	assert_int_equal(o.outputs, 0);
	assert_string_equal(o.note, "");
	body = body_of(&o);
	assert_string_equal(
		json_text(body),
		"{\"jobId\":\"job\",\"executionDetails\":{\"summary\":\"fine\","
		"\"externalExecutionId\":\"b7\",\"percentComplete\":100},"
		"\"currentRevision\":{"
		"\"revision\":\"abc\",\"changeIdentifier\":\"abc\",\"created\":1.500},"
		"\"outputVariables\":{\"V-1\":\"x\"}}");
}

static void a_bare_success_has_nothing_but_its_job(void **ctx)
{
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_result("{\"version\":1,\"outcome\":\"success\",\"summary\":\"\","
			      "\"percent\":101,"
			      "\"variables\":{}}",
			      &none, &o, &err),
		  &err);
	body = body_of(&o);
	assert_string_equal(json_text(body), "{\"jobId\":\"job\"}");
}

static void missing_outputs_fail_the_job_unless_the_entry_lets_them_be(void **ctx)
{
	static const char text[] =
		"{\"version\":1,\"outcome\":\"success\",\"outputs\":[" OUT(
			"B", "store/1") "]}";
	CLEAN(outcome) struct outcome strict = { 0 };
	CLEAN(outcome) struct outcome lenient = { 0 };
	CLEAN(json) struct json_object *doc = NULL;
	struct outcome_output out;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_result(text, &both, &strict, &err), &err);
	assert_int_equal(strict.kind, OUTCOME_FAILURE);
	assert_string_equal(strict.failure, FAIL_JOB);
	assert_contains(strict.text, "\\\"A\\\"");
	assert_ok(read_result(text, &one_of_two, &lenient, &err), &err);
	assert_int_equal(lenient.kind, OUTCOME_SUCCESS);
	assert_int_equal(lenient.outputs, 1);
	assert_ok(outcome_doc(lenient.text, &doc, &err), &err);
	assert_ok(outcome_output_at(doc, 0, &out, &err), &err);
	assert_string_equal(out.name, "B");
	assert_string_equal(out.file, "store/1");
	assert_int_equal(out.size, 3);
	assert_fails(outcome_output_at(doc, 1, &out, &err), &err, MH_E_PROTO);
}

static void a_third_partys_success_has_no_variables(void **ctx)
{
	static const struct outcome_expect third = { .outputs = two,
						     .no_variables = true };
	/* Not even such as would fail another job. */
	static const char text[] = "{\"version\":1,\"outcome\":\"success\","
				   "\"summary\":\"s\",\"variables\":{\"a b\":\"x\"}}";
	CLEAN(outcome) struct outcome o = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(outcome_from_result(text, strlen(text), &third, &o, &err), &err);
	assert_int_equal(o.kind, OUTCOME_SUCCESS);
	assert_contains(o.note, "a third-party action has none");
	assert_null(strstr(o.text, "variables"));
}

static void variables_the_service_can_never_take_make_a_configuration_error(void **ctx)
{
	CLEAN(buf) struct buf big = BUF_INIT(200000);
	static const char *const rows[] = {
		"{\"version\":1,\"outcome\":\"success\",\"variables\":{\"a b\":\"x\"}}",
		"{\"version\":1,\"outcome\":\"success\",\"variables\":{\"\":\"x\"}}",
		"{\"version\":1,\"outcome\":\"success\",\"variables\":{\"a\":1}}",
		NULL,
	};

	(void)ctx;
	buf_puts(&big, "{\"version\":1,\"outcome\":\"success\",\"variables\":{\"a\":\"");
	for (int i = 0; i < 122880; i++)
		buf_putc(&big, 'x');
	buf_puts(&big, "\"}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(outcome) struct outcome o = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(
			read_result(rows[i] ? rows[i] : buf_text(&big), &none, &o, &err),
			&err);
		assert_int_equal(o.kind, OUTCOME_FAILURE);
		assert_string_equal(o.failure, FAIL_CONFIG);
	}
}

static void variables_beside_a_token_are_dropped_with_a_word(void **ctx)
{
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_result("{\"version\":1,\"outcome\":\"continuation\",\"token\":"
			      "\"t\",\"delay_ms\":"
			      "30000,\"percent\":50,\"variables\":{\"a\":\"b\"}}",
			      &both, &o, &err),
		  &err);
	assert_int_equal(o.kind, OUTCOME_CONTINUATION);
	assert_int_equal(o.delay_ms, 30000);
	assert_contains(o.note, "variables dropped");
	body = body_of(&o);
	assert_string_equal(json_text(body),
			    "{\"jobId\":\"job\",\"continuationToken\":\"t\","
			    "\"executionDetails\":{\"percentComplete\":50}}");
}

static void a_token_is_never_cut(void **ctx)
{
	CLEAN(buf) struct buf text = BUF_INIT(8192);

	(void)ctx;
	for (int len = 2047; len <= 2049; len++) {
		CLEAN(outcome) struct outcome o = { 0 };
		struct mh_err err = MH_ERR_INIT;

		buf_clear(&text);
		buf_puts(&text,
			 "{\"version\":1,\"outcome\":\"continuation\",\"token\":\"");
		for (int i = 0; i < len; i++)
			buf_putc(&text, 't');
		buf_puts(&text, "\"}");
		assert_ok(read_result(buf_text(&text), &none, &o, &err), &err);
		assert_int_equal(o.kind,
				 len > 2048 ? OUTCOME_FAILURE : OUTCOME_CONTINUATION);
	}
}

static void texts_are_cut_at_a_character_and_it_is_said(void **ctx)
{
	CLEAN(buf) struct buf text = BUF_INIT(32768);
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	buf_puts(&text, "{\"version\":1,\"outcome\":\"failure\",\"failure\":{\"type\":"
			"\"PermissionError\",\"message\":\"");
	for (int i = 0; i < 3000; i++)
		buf_puts(&text, "\xe1\xba\xbf"); /* three bytes each */
	buf_puts(&text, "\"}}");
	assert_ok(read_result(buf_text(&text), &none, &o, &err), &err);
	assert_string_equal(o.failure, FAIL_PERMISSION);
	assert_contains(o.note, "message cut");
	assert_ok(outcome_doc(o.text, &doc, &err), &err);
	assert_int_equal(strlen(json_opt_str(doc, "message", "")), 4998);
}

static void a_failure_shows_the_end_of_the_log_once(void **ctx)
{
	CLEAN(outcome) struct outcome apart = { 0 };
	CLEAN(outcome) struct outcome inside = { 0 };
	CLEAN(outcome) struct outcome cut = { 0 };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;
	const char *message;

	(void)ctx;
	assert_ok(read_result(
			  "{\"version\":1,\"outcome\":\"failure\",\"failure\":{\"type\":"
			  "\"JobFailed\",\"message\":\"exit 1\"},\"log_tail\":\"make: "
			  "oops\","
			  "\"external_id\":\"x\"}",
			  &none, &apart, &err),
		  &err);
	body = body_of(&apart);
	assert_contains(json_text(body), "exit 1\\n--- end of the log ---\\nmake: oops");
	assert_contains(json_text(body), "\"externalExecutionId\":\"x\"");
	assert_ok(
		read_result(
			"{\"version\":1,\"outcome\":\"failure\",\"failure\":{\"type\":"
			"\"JobFailed\",\"message\":\"exit 1: make: oops\"},\"log_tail\":"
			"\"make: oops\"}",
			&none, &inside, &err),
		&err);
	message = strstr(inside.text, "oops");
	assert_non_null(message);
	assert_null(strstr(message + 1, "oops"));
	/* The shim had room for a part of it only. */
	assert_ok(read_result(
			  "{\"version\":1,\"outcome\":\"failure\",\"failure\":{\"type\":"
			  "\"JobFailed\",\"message\":\"exit 1\\n--- end of the log "
			  "---\\nake: oops\"},\"log_tail\":\"make: oops\"}",
			  &none, &cut, &err),
		  &err);
	message = strstr(cut.text, "oops");
	assert_non_null(message);
	assert_null(strstr(message + 1, "oops"));
}

static void a_failure_always_has_a_known_type_and_a_message(void **ctx)
{
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_result("{\"version\":1,\"outcome\":\"failure\",\"failure\":{"
			      "\"type\":\"Moonphase\","
			      "\"message\":\"\"}}",
			      &none, &o, &err),
		  &err);
	body = body_of(&o);
	assert_string_equal(
		json_text(body),
		"{\"jobId\":\"job\",\"failureDetails\":{\"type\":\"JobFailed\","
		"\"message\":\"the handler gave no reason\"}}");
}

static void the_ledgers_text_is_read_back(void **ctx)
{
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(outcome) struct outcome back = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	outcome_failure(FAIL_REVISION, "gone", &o);
	assert_ok(outcome_parse(o.text, &back, &err), &err);
	assert_int_equal(back.kind, OUTCOME_FAILURE);
	assert_string_equal(back.failure, FAIL_REVISION);
	assert_string_equal(back.text, o.text);
	assert_fails(outcome_parse("{\"kind\":\"none\"}", &back, &err), &err, MH_E_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_results_are_refused),
		cmocka_unit_test(a_success_becomes_what_the_api_takes),
		cmocka_unit_test(a_bare_success_has_nothing_but_its_job),
		cmocka_unit_test(
			missing_outputs_fail_the_job_unless_the_entry_lets_them_be),
		cmocka_unit_test(a_third_partys_success_has_no_variables),
		cmocka_unit_test(
			variables_the_service_can_never_take_make_a_configuration_error),
		cmocka_unit_test(variables_beside_a_token_are_dropped_with_a_word),
		cmocka_unit_test(a_token_is_never_cut),
		cmocka_unit_test(texts_are_cut_at_a_character_and_it_is_said),
		cmocka_unit_test(a_failure_shows_the_end_of_the_log_once),
		cmocka_unit_test(a_failure_always_has_a_known_type_and_a_message),
		cmocka_unit_test(the_ledgers_text_is_read_back),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
