/* lib/base: strict parsers, errors, buffers, time. */
#include "tests/unit/test.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

static void err_text_is_cut_at_a_character(void **state)
{
	struct mh_err err;
	char text[MH_ERR_TEXT_MAX * 2];
	size_t i;

	(void)state;
	for (i = 0; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[i] = '\0';
	assert_int_equal(mh_err_set(&err, MH_E_PROTO, "x%s", text), -1);
	assert_true(str_is_utf8(err.text, strlen(err.text)));
	assert_true(strlen(err.text) >= MH_ERR_TEXT_MAX - 3);
	assert_int_equal(mh_err_wrap(&err, "outer"), -1);
	assert_int_equal(strncmp(err.text, "outer: x", 8), 0);
	assert_int_equal(err.cls, MH_E_PROTO);
}

static void buf_refuses_more_than_its_maximum(void **state)
{
	struct mh_err err;
	struct buf b = BUF_INIT(4);

	(void)state;
	assert_string_equal(buf_text(&b), "");
	assert_ok(buf_add(&b, "abcd", 4, &err), &err);
	assert_fails(buf_add(&b, "e", 1, &err), &err, MH_E_PROTO);
	assert_string_equal(buf_text(&b), "abcd");
	buf_done(&b);
	buf_init(&b, 4);
	buf_reserve(&b, 4);
	assert_string_equal(buf_text(&b), ""); /* with room, and nothing in it */
	buf_done(&b);
}

static void numbers_are_whole_and_in_range(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max, value;
		bool ok;
	} rows[] = {
		{ "0", 0, 10, 0, true },
		{ "10", 0, 10, 10, true },
		{ "11", 0, 10, 0, false },
		{ "-1", 0, 10, 0, false },
		{ "-1", -5, 10, -1, true },
		{ "", 0, 10, 0, false },
		{ " 1", 0, 10, 0, false },
		{ "1 ", 0, 10, 0, false },
		{ "+1", 0, 10, 0, false },
		{ "1e1", 0, 10, 0, false },
		{ "0x1", 0, 10, 0, false },
		{ "9223372036854775807", 0, INT64_MAX, INT64_MAX, true },
		{ "9223372036854775808", 0, INT64_MAX, 0, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err;
		int64_t value = -77;
		int rc = str_to_i64(rows[i].text, rows[i].min, rows[i].max, "n", &value,
				    &err);

		if ((rc == 0) != rows[i].ok ||
		    value != (rows[i].ok ? rows[i].value : -77))
			fail_msg("row %zu '%s'", i, rows[i].text);
	}
}

static void durations_and_sizes_know_their_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms, bytes; /* -1: refused */
	} rows[] = {
		{ "250ms", 250, -1 },
		{ "30", 30000, 30 },
		{ "5m", 300000, -1 },
		{ "1h", 3600000, -1 },
		{ "2d", 172800000, -1 },
		{ "64k", -1, 65536 },
		{ "10M", -1, 10485760 },
		{ "2G", -1, 2147483648 },
		{ "-1", -1, -1 },
		{ "", -1, -1 },
		{ "m", -1, -1 },
		{ "1.5h", -1, -1 },
		{ "99999999999999999T", -1, -1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err;
		int64_t ms = -1, bytes = -1;
		int rc_ms = str_to_duration_ms(rows[i].text, &ms, &err);
		int rc_bytes = str_to_size(rows[i].text, &bytes, &err);

		if (ms != rows[i].ms || bytes != rows[i].bytes ||
		    (rc_ms == 0) != (ms >= 0) || (rc_bytes == 0) != (bytes >= 0))
			fail_msg("row %zu '%s'", i, rows[i].text);
	}
}

static void base64_goes_round_and_is_strict(void **state)
{
	static const char *const bad[] = { "A",    "AA",   "AAA",  "A===", "AA=A",
					   "AB==", "AAB=", "A A=", "=AAA" };
	unsigned char bytes[48];
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 37);
	for (len = 0; len <= sizeof bytes; len++) {
		struct mh_err err;
		unsigned char *back;
		size_t back_len;
		char *text = str_base64(bytes, len);

		assert_ok(str_unbase64(text, &back, &back_len, &err), &err);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, bytes, len);
		free(back);
		free(text);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct mh_err err;
		unsigned char *back;

		if (str_unbase64(bad[i], &back, &len, &err) == 0)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void hex_and_uuids(void **state)
{
	unsigned char bytes[3];
	char hex[7], uuid[STR_UUID_SIZE], other[STR_UUID_SIZE];

	(void)state;
	str_hex("\x00\xab\xff", 3, hex);
	assert_string_equal(hex, "00abff");
	assert_true(str_unhex("00ABff", bytes, 3));
	assert_memory_equal(bytes, "\x00\xab\xff", 3);
	assert_false(str_unhex("00abf", bytes, 3));
	assert_false(str_unhex("00abfg", bytes, 3));
	str_uuid(uuid);
	str_uuid(other);
	assert_true(str_is_uuid(uuid));
	assert_string_not_equal(uuid, other);
	uuid[0] = 'A';
	assert_false(str_is_uuid(uuid));
	assert_false(str_is_uuid("d-EXAMPLE"));
}

static void utf8_is_judged_to_the_letter(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "", true },
		{ "plain", true },
		{ "Phê duyệt", true },
		{ "\xf0\x9f\x98\x80", true },
		{ "\xc0\x80", false }, /* overlong */
		{ "\xe0\x80\x80", false }, /* overlong */
		{ "\xed\xa0\x80", false }, /* surrogate */
		{ "\xf4\x90\x80\x80", false }, /* past U+10FFFF */
		{ "\xc3", false }, /* cut */
		{ "\x80", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_is_utf8(rows[i].text, strlen(rows[i].text)) != rows[i].ok)
			fail_msg("row %zu", i);
	}
	assert_int_equal(str_utf8_floor("a\xc3\xa9z", 4, 2), 1);
	assert_int_equal(str_utf8_floor("a\xc3\xa9z", 4, 3), 3);
	assert_int_equal(str_utf8_floor("\xf0\x9f\x98\x80", 4, 3), 0);
	assert_int_equal(str_utf8_floor("abc", 3, 10), 3);
	assert_int_equal(str_utf8_count("a\xc3\xa9z", 4), 3);
}

static void times_go_round(void **state)
{
	char iso[CLOCK_ISO_SIZE], amz[CLOCK_AMZ_SIZE], http[CLOCK_HTTP_SIZE];
	struct mh_err err;
	int64_t ms;

	(void)state;
	clock_format_iso(1763635143250, iso);
	assert_string_equal(iso, "2025-11-20T10:39:03.250Z");
	clock_format_amz(1763635143250, amz);
	assert_string_equal(amz, "20251120T103903Z");
	clock_format_http(1763635143250, http);
	assert_string_equal(http, "Thu, 20 Nov 2025 10:39:03 GMT");
	assert_ok(clock_parse_amz(amz, &ms, &err), &err);
	assert_int_equal(ms, 1763635143000);
	assert_ok(clock_parse_http(http, &ms, &err), &err);
	assert_int_equal(ms, 1763635143000);
	assert_fails(clock_parse_amz("20250230T103903Z", &ms, &err), &err, MH_E_PROTO);
	assert_fails(clock_parse_amz("2025-11-20T10:39", &ms, &err), &err, MH_E_PROTO);
	assert_fails(clock_parse_http("yesterday", &ms, &err), &err, MH_E_PROTO);
}

static void a_secret_that_an_error_repeats_is_hidden(void **state)
{
	static const char secret[] = "hunter2hunter2";
	struct mh_err err;

	(void)state;
	(void)mh_err_set(&err, MH_E_REFUSED, "'%s' and %s", secret, secret);
	mh_err_hide(&err, secret);
	assert_string_equal(err.text, "'****' and ****");
	mh_err_hide(&err, "");
	mh_err_hide(&err, "and");
	assert_string_equal(err.text, "'****' and ****");
	(void)mh_err_set(&err, MH_E_REFUSED, "%*s%s", MH_ERR_TEXT_MAX - 1 - 8, "",
			 secret);
	mh_err_hide(&err, secret);
	assert_null(strstr(err.text, "hunter"));
	assert_non_null(strstr(err.text, "****"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_text_is_cut_at_a_character),
		cmocka_unit_test(buf_refuses_more_than_its_maximum),
		cmocka_unit_test(numbers_are_whole_and_in_range),
		cmocka_unit_test(durations_and_sizes_know_their_units),
		cmocka_unit_test(base64_goes_round_and_is_strict),
		cmocka_unit_test(hex_and_uuids),
		cmocka_unit_test(utf8_is_judged_to_the_letter),
		cmocka_unit_test(times_go_round),
		cmocka_unit_test(a_secret_that_an_error_repeats_is_hidden),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
