/* Regular expressions in linear time. */
#include "emulator/pattern.h"

#include <string.h>

#include "tests/unit/test.h"

#define UUID_PATTERN "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
#define ARN_PATTERN  "arn:aws(-[\\w]+)*:codepipeline:.+:[0-9]{12}:.+"

static const struct {
	const char *pattern, *text;
	bool matches;
} matching[] = {
	{ "abc", "abc", true },
	{ "abc", "abcd", false },
	{ "abc", "ab", false },
	{ "abc", "", false },
	{ "", "", true },
	{ ".*", "", true },
	{ ".*", "anything at all \xc3\xa9", true },
	{ ".*", "two\nlines", false },
	{ ".*", "two\xe2\x80\xa8lines", false },
	{ ".", "\xf0\x9f\x98\x80", true },
	{ "a?b", "b", true },
	{ "a?b", "ab", true },
	{ "a?b", "aab", false },
	{ "a+", "aaaa", true },
	{ "a+", "", false },
	{ "a*b", "aaab", true },
	{ "a{3}", "aaa", true },
	{ "a{3}", "aaaa", false },
	{ "a{2,4}", "a", false },
	{ "a{2,4}", "aaa", true },
	{ "a{2,4}", "aaaaa", false },
	{ "a{0,1}", "", true },
	{ "(ab|c)+d", "abcabd", true },
	{ "(ab|c)+d", "abd", true },
	{ "(ab|c)+d", "acd", false },
	{ "a|b|c", "b", true },
	{ "a|b|c", "c", true },
	{ "a|b|c", "ab", false },
	{ "(a|b){3}", "aba", true },
	{ "(a|b){3}", "ab", false },
	{ "(a*)*", "aaa", true },
	{ "(a*)*b", "aaac", false },
	{ "AWS|ThirdParty", "ThirdParty", true },
	{ "AWS|ThirdParty", "AWSThirdParty", false },
	{ "[0-9]{12}|\\*", "*", true },
	{ "[0-9]{12}|\\*", "123456789012", true },
	{ "[0-9]{12}|\\*", "12345678901", false },
	{ "^[a-zA-Z0-9-]+$", "a-b", true },
	{ "^[a-zA-Z0-9-]+$", "a_b", false },
	{ "a^b", "ab", false },
	{ "[^a-c]+", "xyz", true },
	{ "[^a-c]+", "xbz", false },
	{ "[A-Za-z0-9.@\\-_]+", "a.b@c-d_e", true },
	{ "[A-Za-z0-9.@\\-_]+", "a b", false },
	{ "[A-Za-z0-9.@\\-_]+", "a\xc3\xa9", false },
	{ "[a-zA-Z0-9_-]+", "a-b", true },
	{ "[a-zA-Z0-9!@ \\(\\)\\.\\*\\?\\-]+", "wait (why?) a.b*c - @!", true },
	{ "[a-zA-Z0-9!@ \\(\\)\\.\\*\\?\\-]+", "no, comma", false },
	{ UUID_PATTERN, "01234567-89ab-cdef-0123-456789abcdef", true },
	{ UUID_PATTERN, "01234567-89ab-cdef-0123-456789abcdeF", false },
	{ UUID_PATTERN, "01234567-89ab-cdef-0123-456789abcde", false },
	{ UUID_PATTERN, " 01234567-89ab-cdef-0123-456789abcdef", false },
	{ ARN_PATTERN, "arn:aws:codepipeline:us-east-1:123456789012:p", true },
	{ ARN_PATTERN, "arn:aws-us-gov:codepipeline:us-east-1:123456789012:p/q:r", true },
	{ ARN_PATTERN, "arn:aws:codepipeline:us-east-1:12345678901:p", false },
	{ ARN_PATTERN, "arn:aws:codepipeline::123456789012:p", false },
	{ ARN_PATTERN, "arn:aws:s3:us-east-1:123456789012:p", false },
	{ "(?:ab)+", "abab", true },
	{ "(?:ab)+", "aba", false },
	{ "a{2,}", "a", false },
	{ "a{2,}", "aaaaa", true },
	{ "a{2,}b", "aac", false },
	{ "(ab){0,}", "", true },
	{ "(ab){1,}c", "ababc", true },
	{ "a*?b+?c??d{1,2}?", "aabbdd", true },
	{ "a*?b", "ac", false },
	{ "\\D+", "ab-", true },
	{ "\\D+", "ab1", false },
	{ "\\W\\S", "-x", true },
	{ "\\W\\S", "- ", false },
	{ "a\\tb\\n", "a\tb\n", true },
	{ "caf\xc3\xa9", "caf\xc3\xa9", true },
	{ "caf\xc3\xa9?", "caf", true },
	{ "caf\xc3\xa9", "cafe", false },
	{ "release/(\\d+\\.)*\\d+", "release/1.20.3", true },
	{ "release/(\\d+\\.)*\\d+", "release/1.20.", false },
};

static void pattern_matches_the_whole_text_or_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(matching); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct pattern *p = NULL;

		assert_ok(pattern_new(matching[i].pattern, &p, &err), &err);
		if (pattern_matches(p, matching[i].text, strlen(matching[i].text)) !=
		    matching[i].matches)
			fail_msg("'%s' against '%s' is not %d", matching[i].pattern,
				 matching[i].text, matching[i].matches);
		pattern_free(p);
	}
}

static void pattern_sees_past_a_nul(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	struct pattern *p = NULL;

	(void)state;
	assert_ok(pattern_new("[a-z]+", &p, &err), &err);
	assert_true(pattern_matches(p, "abc", 3));
	assert_false(pattern_matches(p, "ab\0c", 4));
	pattern_free(p);
}

static void pattern_with_what_is_not_known_is_refused(void **state)
{
	static const char *const rows[] = {
		"(a",    "a)",    "[a",  "a{",    "a{2",   "a{3,2}", "a{101}",
		"*a",    "a\\q",  "a**", "(?=a)", "[a-\\", "a{0}",   "[\xc3\xa9]",
		"(?i)a", "[\\D]", "a++", "a{,3}", "\\bx",  "\\p{L}", "a\\"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct pattern *p = NULL;

		if (pattern_new(rows[i], &p, &err) == 0)
			fail_msg("'%s' was taken", rows[i]);
		assert_int_equal(err.cls, MH_E_PROTO);
	}
}

static void pattern_stays_fast_on_a_hostile_text(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	struct pattern *p = NULL;
	size_t len = 1024 * 1024;
	CLEAN(free) char *text = mh_alloc(len);

	(void)state;
	/* A backtracking matcher takes 2^n steps for the first, n^3 for the second. */
	memset(text, 'a', len);
	assert_ok(pattern_new("(a*)*(a*)*b", &p, &err), &err);
	assert_false(pattern_matches(p, text, len));
	pattern_free(p);
	assert_ok(pattern_new(".*a.*a.*a.*b", &p, &err), &err);
	assert_false(pattern_matches(p, text, len));
	pattern_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pattern_matches_the_whole_text_or_nothing),
		cmocka_unit_test(pattern_sees_past_a_nul),
		cmocka_unit_test(pattern_with_what_is_not_known_is_refused),
		cmocka_unit_test(pattern_stays_fast_on_a_hostile_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
