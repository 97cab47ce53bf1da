/* The patterns of triggers (semantics E13). */
#include "tests/unit/test.h"

#include "emulator/glob.h"

static const struct {
	const char *pattern, *text;
	bool matches;
} rows[] = {
	{ "main", "main", true },
	{ "main", "mai", false },
	{ "main", "main2", false },
	{ "", "", true },
	{ "", "x", false },
	{ "Main", "main", false },
	/* one segment */
	{ "*", "main", true },
	{ "*", "", true },
	{ "*", "release/1", false },
	{ "release/*", "release/1.2", true },
	{ "release/*", "release/", true },
	{ "release/*", "release", false },
	{ "release/*", "release/1/2", false },
	{ "release/*", "prerelease/1", false },
	{ "*.md", ".md", true },
	{ "*.md", "docs/a.md", false },
	{ "f*o*o", "fooo", true },
	{ "f*o*o", "fo", false },
	/* across */
	{ "**", "", true },
	{ "**", "a/b/c", true },
	{ "src/**", "src/a/b.c", true },
	{ "src/**", "src/", true },
	{ "src/**", "src", false },
	{ "**.c", "a/b.c", true },
	{ "**/b.c", "b.c", false },
	{ "**/b.c", "a/x/b.c", true },
	{ "a/**/z", "a/b/c/z", true },
	{ "a/**/z", "a/z", false },
	{ "a***b", "a/x/b", true },
	/* one character */
	{ "v?", "v1", true },
	{ "v?", "v", false },
	{ "v?", "v12", false },
	{ "a?b", "a/b", false },
	{ "?", "\xc4\x91", true },
	{ "??", "\xc4\x91", false },
	{ "?", "\xff", true },
	/* sets */
	{ "v[0-9]", "v7", true },
	{ "v[0-9]", "vx", false },
	{ "v[!0-9]", "vx", true },
	{ "v[!0-9]", "v7", false },
	{ "[abc]", "b", true },
	{ "[a-cx-z]", "y", true },
	{ "[a-cx-z]", "d", false },
	{ "[-a]", "-", true },
	{ "[a-]", "-", true },
	{ "[!-a]", "-", false },
	{ "[!-a]", "b", true },
	{ "[*?\\]", "*", true },
	{ "[*?\\]", "\\", true },
	{ "[*?\\]", "x", false },
	{ "a[!b]c", "a/c", false },
	{ "a[/]c", "a/c", false },
	{ "a[.-0]c", "a/c", false },
	{ "[\xc4\x90-\xc4\x92]", "\xc4\x91", true },
	{ "[{,}]", ",", true },
	/* one of several */
	{ "{main,develop}", "develop", true },
	{ "{main,develop}", "main", true },
	{ "{main,develop}", "maindevelop", false },
	{ "{main,develop}", "", false },
	{ "*.{c,h}", "x.h", true },
	{ "*.{c,h}", "x.o", false },
	{ "{a*,b?}/x", "abc/x", true },
	{ "{a*,b?}/x", "bc/x", true },
	{ "{a*,b?}/x", "bcd/x", false },
	{ "{,v}1", "1", true },
	{ "{,v}1", "v1", true },
	{ "{}1", "1", true },
	{ "{a,b}{c,d}", "bc", true },
	{ "{a,b}{c,d}", "ab", false },
	{ "{**,x}y", "a/b/y", true },
	{ "a,b", "a,b", true },
	{ "a}", "a}", true },
	{ "]", "]", true },
	/* escapes */
	{ "\\*", "*", true },
	{ "\\*", "x", false },
	{ "\\{a\\}", "{a}", true },
	{ "{\\,,b}", ",", true },
	{ "a\\\\b", "a\\b", true },
	/* dots are nothing special */
	{ "*", ".github", true },
	{ "a.c", "abc", false },
};

static void patterns_match_as_they_are_documented(void **state)
{
	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err;

		assert_ok(glob_check(rows[i].pattern, &err), &err);
		if (glob_matches(rows[i].pattern, rows[i].text) != rows[i].matches)
			fail_msg("%s: %s", rows[i].pattern, rows[i].text);
	}
}

static void patterns_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *pattern, *expected;
	} bad[] = {
		{ "[a", "a [ without its ]" },  { "[]", "a [ without its ]" },
		{ "[!]", "a [ without its ]" }, { "{a", "a { without its }" },
		{ "{a,{b}}", "braces within" }, { "a\\", "a backslash at the end" },
		{ "\xff", "no UTF-8" },
	};
	char long_one[258];
	struct mh_err err;

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_fails(glob_check(bad[i].pattern, &err), &err, MH_E_PROTO);
		assert_contains(err.text, bad[i].expected);
		assert_false(glob_matches(bad[i].pattern, bad[i].pattern));
	}
	memset(long_one, 'a', 256);
	long_one[256] = '\0';
	assert_fails(glob_check(long_one, &err), &err, MH_E_PROTO);
	long_one[255] = '\0';
	assert_ok(glob_check(long_one, &err), &err);
	assert_true(glob_matches(long_one, long_one));
}

static void a_pattern_that_could_go_every_way_ends_soon(void **state)
{
	char pattern[256], text[4001];

	(void)state; /* none */
	for (size_t i = 0; i < 254; i += 2)
		memcpy(pattern + i, "a*", 2);
	memcpy(pattern + 254, "b", 2);
	memset(text, 'a', 4000);
	text[4000] = '\0';
	assert_false(glob_matches(pattern, text));
	text[3999] = 'b';
	assert_true(glob_matches(pattern, text));
	for (size_t i = 0; i < 252; i += 4)
		memcpy(pattern + i, "{,,}", 4);
	pattern[252] = '\0';
	assert_true(glob_matches(pattern, ""));
	assert_false(glob_matches(pattern, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_as_they_are_documented),
		cmocka_unit_test(patterns_that_make_no_sense_are_refused),
		cmocka_unit_test(a_pattern_that_could_go_every_way_ends_soon),
	};

	return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
