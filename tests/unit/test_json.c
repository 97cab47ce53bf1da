/* lib/base/json: the strict gate, the getters, and the outside corpus where it is there.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/base/fsio.h"
#include "lib/base/json.h"

static void the_gate_refuses_what_the_rfc_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"nul",
		"NaN",
		"Infinity",
		"-",
		"-01",
		"01",
		"1.",
		".5",
		"1e",
		"0.e1",
		"+1",
		"[1 2]",
		"1 2",
		"\"a",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\ud800\\u0041\"",
		"\"\xff\"",
		"\"\t\"",
		"\"\n\"",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"[\"\xed\xa0\x80\"]",
		"\xef\xbb\xbf{}",
		"tru",
		"//x\n1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct json_object *doc = NULL;
		struct mh_err err;

		if (json_parse(bad[i], strlen(bad[i]), &doc, &err) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(err.cls, MH_E_PROTO);
		assert_null(doc);
	}
}

static void the_gate_says_where_and_what(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "byte 0: a value was expected" },
		{ "\xef\xbb\xbf{}", "byte 0: a value was expected" },
		{ "{\"a\":NaN}", "byte 5: a value was expected" },
		{ "[1,]", "byte 3: a value was expected" },
		{ "[-]", "byte 2: a digit was expected" },
		{ "[1.x]", "byte 3: a digit was expected" },
		{ "{} x", "byte 3: something follows the value" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_object *doc = NULL;
		struct mh_err err;

		assert_int_equal(
			json_parse(rows[i].text, strlen(rows[i].text), &doc, &err), -1);
		if (!strstr(err.text, rows[i].says))
			fail_msg("%s: %s", rows[i].text, err.text);
	}
}

static void the_gate_takes_what_the_rfc_takes(void **state)
{
	static const char *const good[] = {
		"0",
		"-0",
		"1.5e-3",
		"\"\"",
		"\"\\ud83d\\ude00\"",
		"null",
		" [ ] ",
		"{\"a\":{\"a\":1}}",
		"\"\\u0000\"",
		"[[[[[]]]]]",
		"{\"a\":null,\"b\":[1,2,{\"c\":true}]}",
		"\"Ph\xc3\xaa\"",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		struct json_object *doc = NULL;
		struct mh_err err;

		if (json_parse(good[i], strlen(good[i]), &doc, &err) != 0)
			fail_msg("refused: %s: %s", good[i], err.text);
		json_object_put(doc);
	}
}

static void what_is_read_is_what_was_meant(void **state)
{
	static const struct {
		const char *text, *means;
	} rows[] = {
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ "\"\\u0041\\u00e9\\u20ac\"", "\"A\xc3\xa9\xe2\x82\xac\"" },
		{ "\"\\ud83d\\uDE00 and \\uD837\\udd1e\"",
		  "\"\xf0\x9f\x98\x80 and \xf0\x9d\xb4\x9e\"" },
		{ "\"a\\u0000b\"", "\"a\\u0000b\"" },
		{ "{\"k\\u0065y\":[]}", "{\"key\":[]}" },
		{ " [ 1 , -2 , -0 , 1.50 , 1E2 , true , false , null ] ",
		  "[1,-2,0,1.50,1E2,true,false,null]" },
		{ "[9223372036854775807,9223372036854775808,-9223372036854775808]",
		  "[9223372036854775807,9223372036854775808,-9223372036854775808]" },
		{ "[99999999999999999999,-99999999999999999999]",
		  "[18446744073709551615,-9223372036854775808]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *doc = NULL;
		struct mh_err err;

		assert_ok(json_parse(rows[i].text, strlen(rows[i].text), &doc, &err),
			  &err);
		assert_string_equal(json_text(doc), rows[i].means);
	}
}

static void depth_is_limited(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 3];
	struct json_object *doc = NULL;
	struct mh_err err;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_ok(json_parse(text, (size_t)2 * JSON_DEPTH_MAX, &doc, &err), &err);
	json_object_put(doc);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_fails(json_parse(text, 2 * JSON_DEPTH_MAX + 2, &doc, &err), &err,
		     MH_E_PROTO);
}

static void getters_name_the_member(void **state)
{
	static const char text[] =
		"{\"s\":\"x\",\"n\":5,\"b\":true,\"z\":null,\"nul\":\"a\\u0000b\"}";
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err;
	const char *s;
	int64_t n;
	bool b;

	(void)state;
	assert_ok(json_parse_object(text, strlen(text), &doc, &err), &err);
	assert_ok(json_get_str(doc, "s", &s, &err), &err);
	assert_string_equal(s, "x");
	assert_ok(json_get_i64(doc, "n", &n, &err), &err);
	assert_int_equal(n, 5);
	assert_ok(json_get_bool(doc, "b", &b, &err), &err);
	assert_fails(json_get_str(doc, "n", &s, &err), &err, MH_E_PROTO);
	assert_string_equal(err.text, "n: not a string");
	assert_fails(json_get_str(doc, "z", &s, &err), &err, MH_E_PROTO);
	assert_string_equal(err.text, "z: missing");
	assert_fails(json_get_str(doc, "nul", &s, &err), &err, MH_E_PROTO);
	assert_string_equal(json_opt_str(doc, "none", "fallback"), "fallback");
	assert_null(json_opt_object(NULL, "none"));
	assert_int_equal(json_opt_i64(doc, "s", 7), 7);
}

static void times_are_numbers_with_three_decimals(void **state)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();

	(void)state;
	json_put_time(doc, "t", 1446137312204);
	json_put_str(doc, "absent", NULL);
	assert_string_equal(json_text(doc), "{\"t\":1446137312.204}");
}

/* nst/JSONTestSuite: y_ must be taken, n_ refused, i_ either; nothing may crash. */
static void the_outside_corpus_is_judged_right(void **state)
{
	char path[4096];
	const char *shared = getenv("MH_SHARED");
	struct dirent *entry;
	int files = 0;
	DIR *dir;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/data/json", shared ? shared : "../shared");
	dir = opendir(path);
	if (!dir)
		skip_without("outside corpus (../shared/data/json)");
	while ((entry = readdir(dir))) {
		CLEAN(buf) struct buf text = BUF_INIT(1 << 20);
		struct json_object *doc = NULL;
		struct mh_err err;
		int rc;

		if (entry->d_name[0] == '.' || entry->d_name[1] != '_')
			continue;
		assert_ok(fs_read_at(dirfd(dir), entry->d_name, &text, &err), &err);
		rc = json_parse(buf_text(&text), text.len, &doc, &err);
		json_object_put(doc);
		/* Duplicate keys are valid JSON to the suite, and ambiguous to us:
		 * refused. */
		if (entry->d_name[0] == 'y' && rc != 0 &&
		    !strstr(entry->d_name, "duplicated_key"))
			fail_msg("refused %s: %s", entry->d_name, err.text);
		if (entry->d_name[0] == 'n' && rc == 0)
			fail_msg("taken: %s", entry->d_name);
		files++;
	}
	closedir(dir);
	assert_true(files > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gate_refuses_what_the_rfc_refuses),
		cmocka_unit_test(the_gate_says_where_and_what),
		cmocka_unit_test(the_gate_takes_what_the_rfc_takes),
		cmocka_unit_test(what_is_read_is_what_was_meant),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(getters_name_the_member),
		cmocka_unit_test(times_are_numbers_with_three_decimals),
		cmocka_unit_test(the_outside_corpus_is_judged_right),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
