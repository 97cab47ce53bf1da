#include "tests/unit/test.h"

#include "agent/job/spec.h"
#include "lib/base/buf.h"

static const char good[] =
	"{\"version\":1,\"n\":17,"
	"\"job\":{\"id\":\"j\",\"data\":{}},"
	"\"plugin\":\"/p/command.so\",\"config\":{\"command\":\"make\",\"x\":\"y\"},"
	"\"public\":[\"command\",3],\"deadline_ms\":1763635143250,\"grace_ms\":10000,"
	"\"log_max_bytes\":10485760,\"work_dir\":\"/w/17\",\"archive_program\":\"/a\","
	"\"inputs\":[{\"name\":\"Source\",\"file\":\"fetch/0\"}],"
	"\"outputs\":[{\"name\":\"Dist\",\"file\":\"store/0\",\"format\":\"tar.gz\"}],"
	"\"limits\":{\"unpack_bytes\":1000},"
	"\"sandbox\":{\"write\":[\"/srv\"],\"network\":false,\"user\":\"\","
	"\"detach\":true}}";

/* `good` with the first occurrence of `from` replaced. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);

	assert_non_null(at);
	return mh_format("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void a_good_spec_is_taken(void **state)
{
	CLEAN(spec) struct spec s = { .doc = NULL };
	struct mh_err err;

	(void)state;
	assert_ok(spec_parse(good, strlen(good), &s, &err), &err);
	assert_int_equal(s.n, 17);
	assert_string_equal(s.plugin, "/p/command.so");
	assert_int_equal(s.deadline_ms, 1763635143250);
	assert_int_equal(s.input_count, 1);
	assert_string_equal(s.inputs[0].name, "Source");
	assert_string_equal(s.outputs[0].format, "tar.gz");
	assert_int_equal(s.outputs_min, 1);
	assert_int_equal(s.unpack_bytes, 1000);
	assert_int_equal(s.unpack_ratio, 0);
	assert_string_equal(s.write_dirs[0], "/srv");
	assert_false(s.network);
	assert_true(s.detach);
	assert_true(spec_is_public(&s, "command"));
	assert_false(spec_is_public(&s, "x"));
}

static void sandbox_and_limits_have_defaults(void **state)
{
	CLEAN(free) char *text = changed("\"sandbox\":{", "\"other\":{");
	CLEAN(spec) struct spec s = { .doc = NULL };
	struct mh_err err;

	(void)state;
	assert_ok(spec_parse(text, strlen(text), &s, &err), &err);
	assert_true(s.network);
	assert_false(s.detach);
	assert_string_equal(s.user, "");
	assert_int_equal(s.write_dir_count, 0);
}

static void the_least_outputs_are_at_most_those_declared(void **state)
{
	static const struct {
		const char *member;
		size_t min;
	} rows[] = { { "\"outputs_min\":0,", 0 }, { "\"outputs_min\":9,", 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *to = mh_format("%s\"n\":17", rows[i].member);
		CLEAN(free) char *text = changed("\"n\":17", to);
		CLEAN(spec) struct spec s = { .doc = NULL };
		struct mh_err err;

		assert_ok(spec_parse(text, strlen(text), &s, &err), &err);
		assert_int_equal(s.outputs_min, rows[i].min);
	}
}

static void a_wrong_spec_is_refused_and_the_place_named(void **state)
{
	static const struct {
		const char *from, *to, *part;
	} wrong[] = {
		{ "{\"version\"", "[\"version\"", "JSON" },
		{ "\"version\":1", "\"version\":2", "version: 2 is not known" },
		{ "\"version\":1,", "", "version: missing" },
		{ "\"n\":17", "\"n\":-1", "n: -1" },
		{ "\"id\":\"j\"", "\"id\":3", "job: id: not a string" },
		{ "\"data\":{}", "\"data\":[]", "job: data" },
		{ "/p/command.so", "command.so", "plugin: not an absolute path" },
		{ "\"x\":\"y\"", "\"x\":1", "config: x: not a string" },
		{ "\"x\":\"y\"", "\"x\":\"a\\u0000b\"", "config: x: holds a NUL" },
		{ "\"grace_ms\":10000", "\"grace_ms\":-1", "grace_ms" },
		{ "\"grace_ms\":10000", "\"grace_ms\":99999999999", "grace_ms" },
		{ "\"log_max_bytes\":10485760", "\"log_max_bytes\":5", "log_max_bytes" },
		{ "\"/w/17\"", "\"w\"", "work_dir" },
		{ "\"name\":\"Source\"", "\"name\":\"..\"", "'..' is no artifact's" },
		{ "\"name\":\"Source\"", "\"name\":\"a/b\"", "'a/b' is no artifact's" },
		{ "\"name\":\"Source\"", "\"name\":\"\"", "'' is no artifact's" },
		{ "fetch/0", "fetch/", "is not fetch/<number>" },
		{ "fetch/0", "fetch/0x", "is not fetch/<number>" },
		{ "fetch/0", "fetch/00000", "is not fetch/<number>" },
		{ "fetch/0", "store/0", "is not fetch/<number>" },
		{ "tar.gz", "7z", "format: '7z'" },
		{ "\"outputs\":[{", "\"outputs\":[3,{", "outputs[0]: name" },
		{ "\"n\":17", "\"n\":17,\"outputs_min\":-1", "outputs_min: negative" },
		{ "\"unpack_bytes\":1000", "\"unpack_bytes\":-1", "limits: negative" },
		{ "\"/srv\"", "\"srv\"", "write[0]" },
		{ "\"/srv\"", "1", "write[0]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CLEAN(free) char *text = changed(wrong[i].from, wrong[i].to);
		struct spec s = { .n = 5 };
		struct mh_err err;

		assert_fails(spec_parse(text, strlen(text), &s, &err), &err, MH_E_PROTO);
		assert_contains(err.text, "job spec: ");
		assert_contains(err.text, wrong[i].part);
		assert_int_equal(s.n, 5);
	}
}

static void every_truncated_spec_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(good); len++) {
		struct spec s;
		struct mh_err err;

		assert_fails(spec_parse(good, len, &s, &err), &err, MH_E_PROTO);
	}
}

static void too_many_artifacts_are_refused(void **state)
{
	CLEAN(buf) struct buf list = BUF_INIT(4096);
	CLEAN(free) char *text = NULL;
	struct spec s;
	struct mh_err err;

	(void)state;
	for (int i = 0; i <= SPEC_MAX_ARTIFACTS; i++)
		buf_printf(&list, "%s{\"name\":\"a%d\",\"file\":\"fetch/%d\"}",
			   i ? "," : "", i, i);
	text = changed("{\"name\":\"Source\",\"file\":\"fetch/0\"}", buf_text(&list));
	assert_fails(spec_parse(text, strlen(text), &s, &err), &err, MH_E_PROTO);
	assert_contains(err.text, "inputs: 11");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_spec_is_taken),
		cmocka_unit_test(sandbox_and_limits_have_defaults),
		cmocka_unit_test(the_least_outputs_are_at_most_those_declared),
		cmocka_unit_test(a_wrong_spec_is_refused_and_the_place_named),
		cmocka_unit_test(every_truncated_spec_is_refused),
		cmocka_unit_test(too_many_artifacts_are_refused),
	};

	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
