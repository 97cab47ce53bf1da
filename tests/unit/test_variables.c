/* Variables in configurations (semantics E11). */
#include "tests/unit/test.h"

#include "emulator/engine/pipelines.h"
#include "emulator/engine/variables.h"

static struct json_object *values(void)
{
	static const char text[] = "{\"Src\":{\"CommitId\":\"c0ffee\",\"Odd^[0]*$\":"
				   "\"odd\",\"Hash\":\"#{Src.CommitId}\"},"
				   "\"variables\":{\"env\":\"prod\"},"
				   "\"codepipeline\":{\"PipelineExecutionId\":\"e-1\"}}";
	struct json_object *doc = NULL;
	struct mh_err err;

	assert_ok(json_parse_object(text, sizeof(text) - 1, &doc, &err), &err);
	return doc;
}

static void references_are_replaced_and_everything_else_stays(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "#{Src.CommitId}", "c0ffee" },
		{ "a-#{Src.CommitId}-b", "a-c0ffee-b" },
		{ "#{Src.CommitId}#{variables.env}", "c0ffeeprod" },
		{ "#{codepipeline.PipelineExecutionId}", "e-1" },
		{ "#{Src.Odd^[0]*$}", "odd" },
		{ "##{variables.env}}", "#prod}" },
		{ "#{#{variables.env}", "#{prod" },
		/* not of the form: literal */
		{ "#{", "#{" },
		{ "#{}", "#{}" },
		{ "#{Src}", "#{Src}" },
		{ "#{.CommitId}", "#{.CommitId}" },
		{ "#{Src.}", "#{Src.}" },
		{ "#{ Src.CommitId }", "#{ Src.CommitId }" },
		{ "#{Src.CommitId", "#{Src.CommitId" },
		{ "#{Src.Commit.Id}", "#{Src.Commit.Id}" },
		{ "${Src.CommitId}", "${Src.CommitId}" },
		{ "$#{variables.env}", "$prod" },
		/* what a value holds is not looked into again */
		{ "#{Src.Hash}", "#{Src.CommitId}" },
	};
	CLEAN(json) struct json_object *vals = values();

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *out = NULL;
		struct mh_err err;

		assert_ok(variables_resolve(rows[i].text, vals, &out, &err), &err);
		assert_string_equal(out, rows[i].expected);
	}
}

static void a_reference_without_value_is_refused_by_name(void **state)
{
	static const char *const rows[] = {
		"#{src.CommitId}", /* case counts */
		"#{Src.commitid}",        "#{Nothing.CommitId}",
		"x #{variables.other} y", "#{Src.CommitId} #{codepipeline.Other}",
	};
	CLEAN(json) struct json_object *vals = values();

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char untouched[] = "untouched", *out = untouched;
		struct mh_err err;

		assert_fails(variables_resolve(rows[i], vals, &out, &err), &err,
			     MH_E_REFUSED);
		assert_ptr_equal(out, untouched);
		assert_contains(err.text, "has no value");
	}
}

static void no_values_at_all_refuse_references_and_pass_text(void **state)
{
	CLEAN(free) char *out = NULL;
	struct mh_err err;

	(void)state; /* none */
	assert_ok(variables_resolve("text", NULL, &out, &err), &err);
	assert_string_equal(out, "text");
	assert_fails(variables_resolve("#{a.b}", NULL, &out, &err), &err, MH_E_REFUSED);
}

static void references_are_found_one_after_the_other(void **state)
{
	const char *text = "#{bad} #{A.b}#{C-1.d_e} #{";
	struct variable_ref ref;

	(void)state; /* none */
	assert_true(variables_next(text, &ref));
	assert_int_equal(ref.ns_len, 1);
	assert_memory_equal(ref.ns, "A", 1);
	assert_memory_equal(ref.key, "b", ref.key_len);
	assert_true(variables_next(ref.start + ref.len, &ref));
	assert_int_equal(ref.ns_len, 3);
	assert_memory_equal(ref.ns, "C-1", 3);
	assert_memory_equal(ref.key, "d_e", ref.key_len);
	assert_false(variables_next(ref.start + ref.len, &ref));
	assert_false(variables_present("#{bad}"));
	assert_true(variables_present(text));
}

static struct json_object *config_of(const char *value, int copies)
{
	struct json_object *o = json_object_new_object();

	for (int i = 0; i < copies; i++) {
		CLEAN(free) char *key = mh_format("k%d", i);

		json_put_str(o, key, value);
	}
	return o;
}

static void a_whole_configuration_is_resolved_or_names_its_key(void **state)
{
	CLEAN(json) struct json_object *vals = values();
	CLEAN(json) struct json_object *good = config_of("v#{variables.env}", 2);
	CLEAN(json) struct json_object *bad = config_of("#{variables.none}", 1);
	CLEAN(json) struct json_object *out = NULL;
	struct json_object *kept;
	struct mh_err err;

	(void)state; /* none */
	assert_ok(variables_resolve_all(good, vals, &out, &err), &err);
	assert_string_equal(json_opt_str(out, "k1", ""), "vprod");
	kept = out;
	assert_fails(variables_resolve_all(bad, vals, &out, &err), &err, MH_E_REFUSED);
	assert_contains(err.text, "configuration k0");
	assert_ptr_equal(out, kept);
}

static void the_resolved_configuration_has_a_limit(void **state)
{
	CLEAN(json) struct json_object *vals = json_object_new_object();
	CLEAN(json) struct json_object *ns = json_object_new_object();
	CLEAN(json) struct json_object *fits = config_of("#{N.big}", 2);
	CLEAN(json) struct json_object *over = config_of("#{N.big}", 3);
	CLEAN(json) struct json_object *out = NULL;
	CLEAN(free) char *big = mh_alloc(VARIABLES_RESOLVED_MAX_BYTES + 2);
	char *text = NULL;
	struct mh_err err;

	(void)state; /* none */
	memset(big, 'x', VARIABLES_RESOLVED_MAX_BYTES / 2 - 2); /* its key counts too */
	json_put_str(ns, "big", big);
	json_put_obj(vals, "N", json_object_get(ns));
	assert_ok(variables_resolve_all(fits, vals, &out, &err), &err);
	assert_int_equal(variables_bytes(out), VARIABLES_RESOLVED_MAX_BYTES);
	assert_fails(variables_resolve_all(over, vals, &out, &err), &err, MH_E_REFUSED);
	assert_contains(err.text, "102400 bytes");
	/* and one text alone */
	assert_fails(variables_resolve("#{N.big}#{N.big}#{N.big}", vals, &text, &err),
		     &err, MH_E_REFUSED);
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_replaced_and_everything_else_stays),
		cmocka_unit_test(a_reference_without_value_is_refused_by_name),
		cmocka_unit_test(no_values_at_all_refuse_references_and_pass_text),
		cmocka_unit_test(references_are_found_one_after_the_other),
		cmocka_unit_test(a_whole_configuration_is_resolved_or_names_its_key),
		cmocka_unit_test(the_resolved_configuration_has_a_limit),
	};

	return cmocka_run_group_tests_name("variables", tests, NULL, NULL);
}
