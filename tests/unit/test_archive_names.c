/* agent/archive/names and tree: which names and links an archive may hold. */
#include "tests/unit/test.h"

#include "agent/archive/names.h"
#include "agent/archive/tree.h"

static const struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;

static void good_names_are_normalised(void **state)
{
	static const struct {
		const char *raw, *path;
	} cases[] = {
		{ "a", "a" },
		{ "a/b/c.txt", "a/b/c.txt" },
		{ "./a", "a" },
		{ "a/./b//c/", "a/b/c" },
		{ "./", "" },
		{ ".", "" },
		{ "..a/b..", "..a/b.." },
		{ "...", "..." },
		{ "C:file", "C:file" },
		{ "dev-disk\\x2d1.swap", "dev-disk\\x2d1.swap" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "latin\xfc", "latin\xfc" },
		{ "%2e%2e/x", "%2e%2e/x" },
		{ "~/.ssh", "~/.ssh" },
		{ "-rf", "-rf" },
	};
	const struct name_rules rules = { .depth_max = 4 };
	struct mh_err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(free) char *path = NULL;

		assert_ok(name_judge(&rules, cases[i].raw, strlen(cases[i].raw), &path,
				     &err),
			  &err);
		assert_string_equal(path, cases[i].path);
	}
}

static void bad_names_are_refused_with_the_right_kind(void **state)
{
	static const struct {
		const char *raw;
		size_t len; /* 0: strlen */
		bool dos;
		const char *kind, *word;
	} cases[] = {
		{ "../evil", 0, false, "unsafe", "climbs out" },
		{ "..", 0, false, "unsafe", "climbs out" },
		{ "a/../../evil", 0, false, "unsafe", "climbs out" },
		{ "a/..", 0, false, "unsafe", "climbs out" },
		{ "..\\evil", 0, false, "unsafe", "climbs out" },
		{ "a\\..\\..\\evil", 0, false, "unsafe", "climbs out" },
		{ "a/..\\b", 0, false, "unsafe", "climbs out" },
		{ "/etc/passwd", 0, false, "unsafe", "absolute" },
		{ "//server/share", 0, false, "unsafe", "absolute" },
		{ "\\\\server\\share", 0, false, "unsafe", "absolute" },
		{ "\\evil", 0, false, "unsafe", "absolute" },
		{ "C:\\evil", 0, false, "unsafe", "drive" },
		{ "c:/evil", 0, false, "unsafe", "drive" },
		{ "a\\b", 0, true, "unsafe", "backslashes" },
		{ "a\0b", 3, false, "unsafe", "byte 00" },
		{ "a\nb", 0, false, "unsafe", "byte 0a" },
		{ "a\x1b[31m", 0, false, "unsafe", "\\x1b" },
		{ "a\x7f", 0, false, "unsafe", "byte 7f" },
		{ "1/2/3/4/5", 0, false, "limit", "deeper than 4" },
		{ "", 0, false, "corrupt", "empty name" },
	};
	struct mh_err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct name_rules rules = { .depth_max = 4, .dos = cases[i].dos };
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].raw);
		char *path = NULL;

		if (name_judge(&rules, cases[i].raw, len, &path, &err) == 0)
			fail_msg("taken: %s", cases[i].raw);
		assert_null(path);
		assert_string_equal(archive_error_kind(&err), cases[i].kind);
		assert_contains(err.text, cases[i].word);
	}
}

static void long_names_are_over_a_limit(void **state)
{
	const struct name_rules rules = { .depth_max = 10000 };
	char part[NAME_PART_MAX + 2], path[NAME_PATH_MAX + 2];
	struct mh_err err;
	char *got = NULL;

	(void)state;
	memset(part, 'x', sizeof part);
	assert_ok(name_judge(&rules, part, NAME_PART_MAX, &got, &err), &err);
	free(got);
	assert_fails(name_judge(&rules, part, NAME_PART_MAX + 1, &got, &err), &err,
		     MH_E_FULL);
	for (size_t i = 0; i < sizeof path; i++)
		path[i] = i % 2 ? '/' : 'y';
	assert_ok(name_judge(&rules, path, NAME_PATH_MAX, &got, &err), &err);
	free(got);
	assert_fails(name_judge(&rules, path, NAME_PATH_MAX + 1, &got, &err), &err,
		     MH_E_FULL);
}

static void names_are_shown_escaped_and_cut(void **state)
{
	static const struct {
		const char *raw, *shown;
	} cases[] = {
		{ "plain", "\"plain\"" },
		{ "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
		{ "a\"b", "\"a\\x22b\"" },
		{ "a\x1b]0;x\x07", "\"a\\x1b]0;x\\x07\"" },
		{ "\xff\xfe", "\"\\xff\\xfe\"" },
		{ "\xc2\x9b"
		  "31m",
		  "\"\\xc2\\x9b31m\"" },
		{ "cut\xc3", "\"cut\\xc3\"" },
	};
	char long_name[1000], shown[NAME_SHOWN_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(NAME_SHOWN(cases[i].raw, strlen(cases[i].raw)),
				    cases[i].shown);
	for (int c = 1; c < 256; c++) {
		memset(long_name, c, sizeof long_name);
		(void)name_show(shown, long_name, sizeof long_name);
		assert_in_range(strlen(shown), 100, NAME_SHOWN_SIZE - 1);
		assert_string_equal(shown + strlen(shown) - 4, "...\"");
	}
}

/* Adds "name" (file), "name/" (directory) or "name>target" (link). */
static int add(struct tree *t, const char *spec, struct mh_err *err)
{
	CLEAN(free) char *copy = mh_strdup(spec);
	char *arrow = strchr(copy, '>');
	size_t len = strlen(copy);
	uint32_t index;

	if (arrow) {
		*arrow = '\0';
		return tree_add_link(t, copy, arrow + 1, strlen(arrow + 1), &index, err);
	}
	if (copy[len - 1] != '/')
		return tree_add(t, copy, NODE_FILE, &index, err);
	copy[len - 1] = '\0';
	return tree_add(t, copy, NODE_DIR, &index, err);
}

static void a_name_is_there_once(void **state)
{
	static const struct {
		const char *first, *second, *word; /* NULL: allowed */
	} cases[] = {
		{ "a", "a", "twice" },
		{ "a", "a/", "twice" },
		{ "a/", "a", "twice" },
		{ "a/b", "a", "twice" },
		{ "a>b", "a>b", "twice" },
		{ "a>b", "a/", "twice" },
		{ "a", "a/b", "beneath" },
		{ "a>b", "a/b", "symbolic link" },
		{ "a>b", "a/b/c/", "symbolic link" },
		{ "a/", "a/", NULL },
		{ "a/b", "a/", NULL },
		{ "a/b", "a/c", NULL },
		{ "a", "A", NULL },
	};
	struct mh_err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(tree) struct tree t;

		tree_init(&t, &limits);
		assert_ok(add(&t, cases[i].first, &err), &err);
		if (!cases[i].word) {
			assert_ok(add(&t, cases[i].second, &err), &err);
			continue;
		}
		assert_fails(add(&t, cases[i].second, &err), &err, MH_E_DENIED);
		assert_contains(err.text, cases[i].word);
	}
}

static void strict_case_refuses_names_that_differ_in_case(void **state)
{
	struct archive_limits strict = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(tree) struct tree t;
	struct mh_err err;

	(void)state;
	strict.strict_case = true;
	tree_init(&t, &strict);
	assert_ok(add(&t, "Read/me", &err), &err);
	assert_ok(add(&t, "Read/you", &err), &err);
	assert_ok(add(&t, "other/ME", &err), &err);
	assert_fails(add(&t, "Read/ME", &err), &err, MH_E_DENIED);
	assert_fails(add(&t, "READ/x", &err), &err, MH_E_DENIED);
	assert_contains(err.text, "upper and lower case");
}

static void entries_are_counted_with_implied_directories(void **state)
{
	struct archive_limits few = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(tree) struct tree t;
	struct mh_err err;

	(void)state;
	few.entries = 4;
	tree_init(&t, &few);
	assert_ok(add(&t, "a/b/c", &err), &err);
	assert_ok(add(&t, "d", &err), &err);
	assert_fails(add(&t, "e", &err), &err, MH_E_FULL);
	assert_string_equal(archive_error_kind(&err), "limit");
}

static void links_must_resolve_inside(void **state)
{
	static const struct {
		const char *entries[5];
		const char *word; /* NULL: inside */
	} cases[] = {
		{ { "l>a" }, NULL },
		{ { "l>." }, NULL },
		{ { "d/l>.." }, NULL },
		{ { "d/l>../x/y" }, NULL },
		{ { "d/", "l>d/../d/../d" }, NULL },
		{ { "l>missing/../x" }, NULL },
		{ { "a>b", "b>c", "c" }, NULL },
		{ { "deep/er/", "up>deep/er", "l>up/.." }, NULL },
		{ { "l>.." }, "outside" },
		{ { "l>../x" }, "outside" },
		{ { "d/l>../.." }, "outside" },
		{ { "d/l>./.././../x" }, "outside" },
		{ { "l>x/../.." }, "outside" },
		{ { "l>x/../../back" }, "outside" },
		{ { "l>/etc/passwd" }, "absolute" },
		{ { "l>//x" }, "absolute" },
		{ { "l>\\x" }, "absolute" },
		{ { "l>C:\\x" }, "drive" },
		/* text alone looks inside; only through the other link it leaves */
		{ { "a/b/", "dot>.", "a/b/l>../../dot/.." }, "outside" },
		{ { "d/e/", "short>d", "d/e/l>../../short/../.." }, "outside" },
		{ { "d/", "d/self>..", "l>d/self/d/self/.." }, "outside" },
		{ { "one>two/..", "two>d", "d/" }, NULL },
		{ { "one>two/../..", "two>d", "d/" }, "outside" },
		{ { "a>a" }, "circle" },
		{ { "a>b", "b>a" }, "circle" },
		{ { "a>b/c", "b>a" }, "circle" },
		{ { "a>x/a/../a", "x>." }, "circle" },
		{ { "l>bell\a" }, "control" },
	};
	struct mh_err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(tree) struct tree t;
		int rc = 0;

		tree_init(&t, &limits);
		for (size_t j = 0; rc == 0 && j < 5 && cases[i].entries[j]; j++)
			rc = add(&t, cases[i].entries[j], &err);
		if (rc == 0)
			rc = tree_check_links(&t, &err);
		if (!cases[i].word && rc != 0)
			fail_msg("case %zu: %s", i, err.text);
		if (!cases[i].word)
			continue;
		if (rc == 0)
			fail_msg("case %zu is taken", i);
		assert_string_equal(archive_error_kind(&err), "unsafe");
		assert_contains(err.text, cases[i].word);
	}
}

static void an_empty_target_is_corrupt(void **state)
{
	CLEAN(tree) struct tree t;
	struct mh_err err;
	uint32_t index;

	(void)state;
	tree_init(&t, &limits);
	assert_fails(tree_add_link(&t, "l", "", 0, &index, &err), &err, MH_E_PROTO);
}

/* 2000 links of 40 hops, each 2000 components long, must not cost minutes. */
static void entangled_links_are_given_up(void **state)
{
	CLEAN(buf) struct buf target = BUF_INIT(NAME_PATH_MAX);
	CLEAN(tree) struct tree t;
	struct mh_err err;

	(void)state;
	tree_init(&t, &limits);
	for (int i = 0; i < 1900; i++)
		buf_puts(&target, "./");
	for (int i = 0; i < 20000; i++) {
		CLEAN(free) char *name = mh_format("l%d", i);
		CLEAN(free)
		char *to = mh_format("%sl%d", target.data, i % 39 ? i - 1 : 20001);
		uint32_t index;

		assert_ok(tree_add_link(&t, name, to, strlen(to), &index, &err), &err);
	}
	assert_fails(tree_check_links(&t, &err), &err, MH_E_FULL);
	assert_contains(err.text, "entangled");
}

static void paths_come_back_from_the_tree(void **state)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);
	CLEAN(tree) struct tree t;
	struct mh_err err;
	uint32_t index;

	(void)state;
	tree_init(&t, &limits);
	for (int i = 0; i < 5000; i++) {
		CLEAN(free) char *name = mh_format("d%d/e%d/f%d", i % 7, i % 31, i);

		assert_ok(tree_add(&t, name, NODE_FILE, &index, &err), &err);
		assert_string_equal(tree_path(&t, index, &path), name);
		assert_int_equal(tree_find(&t, name), index);
	}
	assert_int_equal(tree_find(&t, "d1/e1/none"), 0);
	assert_string_equal(tree_path(&t, 0, &path), "");
}

/* The paper's own vector: key 00 to 0f, bytes 00 to 0e. */
static void the_hash_is_siphash_2_4(void **state)
{
	unsigned char bytes[16];

	(void)state;
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)i;
	assert_true(siphash(bytes, 15, bytes) == 0xa129ca6149be45e5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_names_are_normalised),
		cmocka_unit_test(bad_names_are_refused_with_the_right_kind),
		cmocka_unit_test(long_names_are_over_a_limit),
		cmocka_unit_test(names_are_shown_escaped_and_cut),
		cmocka_unit_test(a_name_is_there_once),
		cmocka_unit_test(strict_case_refuses_names_that_differ_in_case),
		cmocka_unit_test(entries_are_counted_with_implied_directories),
		cmocka_unit_test(links_must_resolve_inside),
		cmocka_unit_test(an_empty_target_is_corrupt),
		cmocka_unit_test(entangled_links_are_given_up),
		cmocka_unit_test(paths_come_back_from_the_tree),
		cmocka_unit_test(the_hash_is_siphash_2_4),
	};

	return cmocka_run_group_tests_name("archive names", tests, NULL, NULL);
}
