#include "tests/unit/test.h"

#include "agent/job/redact.h"

static void collect(void *ctx, const char *data, size_t len)
{
	struct mh_err err;

	assert_ok(buf_add(ctx, data, len, &err), &err);
}

static const struct {
	const char *secrets[4];
	const char *text, *want;
} cases[] = {
	{ { "secret" }, "nothing to see", "nothing to see" },
	{ { "secret" }, "a secret.", "a ****." },
	{ { "secret" }, "secret", "****" },
	{ { "secret" }, "secre", "secre" },
	{ { "secret" }, "secrecy secret", "secrecy ****" },
	{ { "secret" }, "sesecret", "se****" },
	{ { "secret" }, "secretsecret", "****" },
	{ { "secret" }, "secret secret", "**** ****" },
	{ { "aaaaaa" }, "aaaaaaaaa b aaaaa", "**** b aaaaa" },
	{ { "secret", "secretary" }, "the secretary", "the ****" },
	{ { "secret", "secretary" }, "the secretar", "the ****ar" },
	{ { "abcdef", "defghi" }, "xabcdefghix", "x****x" },
	{ { "abcdef", "cdefgh" }, "abcdefgabcdefgh", "****g****" },
	{ { "short" }, "short", "short" },
	{ { "line one\nline two" }, "x line two y", "x **** y" },
	{ { "line one\nline two" }, "line one\nline two", "****" },
	{ { "line one\nab" }, "ab line one", "ab ****" },
	{ { "na\303\257ve" }, "so na\303\257ve!", "so ****!" },
};

static struct redact make(size_t index)
{
	struct redact r = REDACT_INIT;

	for (size_t i = 0; i < 4 && cases[index].secrets[i]; i++)
		redact_add(&r, cases[index].secrets[i]);
	return r;
}

static void redact_blots_out_secrets_in_one_piece(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct redact r = make(i);
		CLEAN(free) char *got = redact_text(&r, cases[i].text);

		assert_string_equal(got, cases[i].want);
		redact_done(&r);
	}
}

/* The text cut at a and b, as three writes may. */
static void check_split(size_t index, size_t a, size_t b)
{
	struct redact r = make(index);
	const char *text = cases[index].text;
	CLEAN(buf) struct buf out = BUF_INIT(4096);

	redact_feed(&r, text, a, collect, &out);
	redact_feed(&r, text + a, b - a, collect, &out);
	redact_feed(&r, text + b, strlen(text) - b, collect, &out);
	redact_flush(&r, collect, &out);
	assert_string_equal(buf_text(&out), cases[index].want);
	redact_done(&r);
}

static void redact_does_not_care_where_the_stream_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t a = 0; a <= len; a++) {
			for (size_t b = a; b <= len; b++)
				check_split(i, a, b);
		}
	}
}

static void redact_holds_back_only_what_may_become_a_secret(void **state)
{
	struct redact r = REDACT_INIT;
	CLEAN(buf) struct buf out = BUF_INIT(4096);

	(void)state;
	redact_add(&r, "secret");
	redact_feed(&r, "the sec", 7, collect, &out);
	assert_string_equal(buf_text(&out), "the ");
	redact_feed(&r, "ond", 3, collect, &out);
	assert_string_equal(buf_text(&out), "the second");
	redact_flush(&r, collect, &out);
	redact_done(&r);
}

static void redact_forgets_a_value_when_its_last_user_does(void **state)
{
	struct redact r = REDACT_INIT;
	CLEAN(free) char *twice = NULL;
	CLEAN(free) char *once = NULL;
	CLEAN(free) char *never = NULL;

	(void)state;
	redact_add(&r, "secret");
	redact_add(&r, "secret");
	redact_add(&r, "another");
	twice = redact_text(&r, "secret another");
	redact_remove(&r, "secret");
	once = redact_text(&r, "secret another");
	redact_remove(&r, "secret");
	redact_remove(&r, "secret");
	never = redact_text(&r, "secret another");
	assert_string_equal(twice, "**** ****");
	assert_string_equal(once, "**** ****");
	assert_string_equal(never, "secret ****");
	redact_done(&r);
}

static void redact_takes_large_pieces(void **state)
{
	struct redact r = REDACT_INIT;
	CLEAN(buf) struct buf out = BUF_INIT(1024 * 1024);
	CLEAN(free) char *piece = mh_alloc(REDACT_FEED_MAX);

	(void)state;
	memset(piece, 's', REDACT_FEED_MAX);
	redact_add(&r, "ssssssssst");
	for (int i = 0; i < 4; i++)
		redact_feed(&r, piece, REDACT_FEED_MAX, collect, &out);
	redact_feed(&r, "t", 1, collect, &out);
	redact_flush(&r, collect, &out);
	assert_int_equal(out.len, 4 * REDACT_FEED_MAX - 9 + 4);
	redact_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redact_blots_out_secrets_in_one_piece),
		cmocka_unit_test(redact_does_not_care_where_the_stream_is_cut),
		cmocka_unit_test(redact_holds_back_only_what_may_become_a_secret),
		cmocka_unit_test(redact_forgets_a_value_when_its_last_user_does),
		cmocka_unit_test(redact_takes_large_pieces),
	};

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
