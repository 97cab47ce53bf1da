/* Cron expressions and time zones (semantics E10). */
#include "tests/unit/test.h"

#include "emulator/cron.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

/* "2026-11-20T17:00" in UTC */
static int64_t ms(const char *text)
{
	int64_t n[5];
	CLEAN(free) char *copy = mh_strdup(text);
	char *rest = NULL, *w = strtok_r(copy, "-T:", &rest);

	for (size_t i = 0; i < ARRAY_LEN(n); i++, w = strtok_r(NULL, "-T:", &rest)) {
		struct mh_err err;

		assert_non_null(w);
		assert_ok(str_to_i64(w, 0, 9999, "part", &n[i], &err), &err);
	}
	return ((zone_days(n[0], n[1], n[2]) * 24 + n[3]) * 60 + n[4]) * 60000;
}

static const char *text_of(int64_t at, char out[CLOCK_ISO_SIZE])
{
	if (at < 0)
		return "never";
	clock_format_iso(at, out);
	out[16] = '\0'; /* minutes */
	return out;
}

struct row {
	enum cron_form form;
	const char *expression, *after, *next[4];
};

static void check_rows(const struct row *rows, size_t count, const struct zone *zone)
{
	for (size_t r = 0; r < count; r++) {
		int64_t at = ms(rows[r].after);
		struct mh_err err;
		struct cron c;

		assert_ok(cron_parse(rows[r].expression, rows[r].form, &c, &err), &err);
		for (size_t i = 0; i < 4 && rows[r].next[i] != NULL; i++) {
			char text[CLOCK_ISO_SIZE];

			at = cron_next(&c, zone, at);
			if (strcmp(text_of(at, text), rows[r].next[i]) != 0)
				fail_msg("%s after %s: %s, not %s", rows[r].expression,
					 rows[r].after, text_of(at, text),
					 rows[r].next[i]);
			if (at >= 0)
				assert_true(cron_matches(&c, zone, at));
		}
	}
}

#define E CRON_EVENTBRIDGE
#define Q CRON_QUARTZ

static const struct row utc_rows[] = {
	{ E, "* * * * ? *", "2026-11-20T17:00", { "2026-11-20T17:01" } },
	{ E, "cron(0 12 * * ? *)", "2026-11-20T12:00", { "2026-11-21T12:00" } },
	{ E,
	  "0 12 ? * MON-FRI *",
	  "2026-11-20T12:00",
	  { "2026-11-23T12:00", "2026-11-24T12:00" } },
	{ E, "0 8 1 * ? *", "2026-12-31T23:59", { "2027-01-01T08:00" } },
	{ E,
	  "0/15 * * * ? *",
	  "2026-11-20T17:31",
	  { "2026-11-20T17:45", "2026-11-20T18:00" } },
	{ E,
	  "*/25 6-7 * * ? *",
	  "2026-11-20T05:00",
	  { "2026-11-20T06:00", "2026-11-20T06:25", "2026-11-20T06:50",
	    "2026-11-20T07:00" } },
	{ E,
	  "5,10 0 1,15 JAN,jul ? 2027-2028",
	  "2027-07-15T00:10",
	  { "2028-01-01T00:05", "2028-01-01T00:10", "2028-01-15T00:05" } },
	{ E, "0 0 1 1 ? 2026", "2026-11-20T17:00", { "never" } },
	{ E, "0 0 30 2 ? *", "2026-11-20T17:00", { "never" } },
	{ E,
	  "0 0 29 2 ? *",
	  "2026-11-20T17:00",
	  { "2028-02-29T00:00", "2032-02-29T00:00" } },
	{ E,
	  "0 0 ? * FRI-MON *",
	  "2026-11-20T17:00",
	  { "2026-11-21T00:00", "2026-11-22T00:00", "2026-11-23T00:00",
	    "2026-11-27T00:00" } },
	{ E,
	  "0 22-1/2 * * ? *",
	  "2026-11-20T17:00",
	  { "2026-11-20T22:00", "2026-11-21T00:00", "2026-11-21T22:00" } },
	{ E,
	  "0 10 L * ? *",
	  "2028-02-01T00:00",
	  { "2028-02-29T10:00", "2028-03-31T10:00" } },
	{ E,
	  "0 10 L-3 * ? *",
	  "2026-11-20T00:00",
	  { "2026-11-27T10:00", "2026-12-28T10:00" } },
	/* 28 February 2027 is a Sunday, 31 January too */
	{ E,
	  "0 10 LW * ? *",
	  "2027-01-01T00:00",
	  { "2027-01-29T10:00", "2027-02-26T10:00", "2027-03-31T10:00" } },
	/* 15 November 2026 is a Sunday; 1 August a Saturday */
	{ E,
	  "0 10 15W * ? *",
	  "2026-11-01T00:00",
	  { "2026-11-16T10:00", "2026-12-15T10:00" } },
	{ E, "0 10 1W 8 ? *", "2026-01-01T00:00", { "2026-08-03T10:00" } },
	{ E,
	  "0 10 31W * ? *",
	  "2026-02-01T00:00",
	  { "2026-03-31T10:00", "2026-05-29T10:00" } },
	{ E,
	  "0 10 ? * 2#1 *",
	  "2026-11-20T00:00",
	  { "2026-12-07T10:00", "2027-01-04T10:00" } },
	{ E,
	  "0 10 ? * FRI#5 *",
	  "2026-11-20T00:00",
	  { "2027-01-29T10:00", "2027-04-30T10:00" } },
	{ E,
	  "0 10 ? * 6L *",
	  "2026-11-20T00:00",
	  { "2026-11-27T10:00", "2026-12-25T10:00" } },
	{ E, "0 10 ? * L *", "2026-11-20T00:00", { "2026-11-21T10:00" } },
	{ E, "0 10 ? * * 2030/10", "2026-11-20T00:00", { "2030-01-01T10:00" } },
	{ Q, "0 0 12 * * ?", "2026-11-20T12:00", { "2026-11-21T12:00" } },
	{ Q,
	  "* * 9-17 ? * MON-FRI *",
	  "2026-11-20T17:58",
	  { "2026-11-20T17:59", "2026-11-23T09:00" } },
	{ Q, "30/5 0 0 1 1 ? 2100", "2026-11-20T17:00", { "2100-01-01T00:00" } },
};

static void the_next_time_is_the_first_that_matches(void **state)
{
	(void)state; /* none */
	check_rows(utc_rows, ARRAY_LEN(utc_rows), NULL);
}

static void what_is_no_expression_names_its_field(void **state)
{
	static const struct {
		enum cron_form form;
		const char *text, *expected;
	} rows[] = {
		{ E, "", "6 fields" },
		{ E, "* * * * ?", "6 fields" },
		{ E, "0 * * * * ? *", "6 fields" },
		{ E, "cron(0 12 * * ? *", "minutes" },
		{ E, "rate(5 minutes)", "6 fields" },
		{ Q, "0 12 * * ?", "6 or 7 fields" },
		{ Q, "0 0 0 1 1 ? * *", "6 or 7 fields" },
		{ Q, "60 0 0 1 1 ?", "seconds" },
		{ E, "60 * * * ? *", "minutes '60'" },
		{ E, "-1 * * * ? *", "minutes" },
		{ E, "1- * * * ? *", "minutes" },
		{ E, "1,,2 * * * ? *", "minutes" },
		{ E, "1, * * * ? *", "minutes" },
		{ E, "*/0 * * * ? *", "minutes" },
		{ E, "*x * * * ? *", "minutes" },
		{ E, "00001 * * * ? *", "minutes" },
		{ E, "0 24 * * ? *", "hours '24'" },
		{ E, "0 0 0 * ? *", "day-of-month" },
		{ E, "0 0 32 * ? *", "day-of-month" },
		{ E, "0 0 L-31 * ? *", "day-of-month" },
		{ E, "0 0 LX * ? *", "day-of-month" },
		{ E, "0 0 1 13 ? *", "month '13'" },
		{ E, "0 0 1 JANUARY ? *", "month" },
		{ E, "0 0 ? * 8 *", "day-of-week" },
		{ E, "0 0 ? * 2#6 *", "day-of-week" },
		{ E, "0 0 ? * 2#1,3 *", "day-of-week" },
		{ E, "0 0 ? * MONL2 *", "day-of-week" },
		{ E, "0 0 1 1 ? 1969", "year" },
		{ E, "0 0 1 1 ? 2030-2029", "year" },
		{ E, "0 0 * * * *", "exactly one" },
		{ E, "0 0 ? * ? *", "exactly one" },
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct cron c = { .n = 77 };

		assert_fails(cron_parse(rows[i].text, rows[i].form, &c, &err), &err,
			     MH_E_CONFIG);
		assert_contains(err.text, rows[i].expected);
		assert_int_equal(c.n, 77);
	}
}

static void a_time_of_300_characters_is_refused(void **state)
{
	char text[301];
	struct mh_err err;
	struct cron c;

	(void)state; /* none */
	memset(text, '*', 300);
	text[300] = '\0';
	assert_fails(cron_parse(text, E, &c, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "longer");
}

static void fixed_offsets_shift_the_clock(void **state)
{
	static const struct row rows[] = {
		{ E, "30 23 ? * FRI *", "2026-11-20T17:00", { "2026-11-20T18:00" } },
		{ E, "0 0 1 * ? *", "2026-11-20T17:00", { "2026-11-30T18:30" } },
	};
	CLEAN(zone) struct zone *zone = NULL;
	struct mh_err err;
	struct cron c;

	(void)state; /* none */
	assert_ok(zone_open("UTC+05:30", &zone, &err), &err);
	check_rows(rows, ARRAY_LEN(rows), zone);
	assert_ok(cron_parse("* * 9-17 ? * MON-FRI", Q, &c, &err), &err);
	assert_true(cron_matches(&c, zone, ms("2026-11-20T03:30")));
	assert_false(cron_matches(&c, zone, ms("2026-11-20T03:29")));
	assert_true(cron_matches(&c, zone, ms("2026-11-20T12:29") + 59999));
	assert_false(cron_matches(&c, zone, ms("2026-11-20T12:30")));
}

static void names_that_are_no_zone_are_refused(void **state)
{
	static const char *const names[] = {
		"",
		"UTC+5:30",
		"UTC+05:60",
		"UTC+19:00",
		"UTC+18:01",
		"UTC 05:30",
		"UTC+05:30 ",
		"Nowhere/At_All",
		"/etc/passwd",
		"../passwd",
		"Europe/../Europe",
		"Europe//Berlin",
		"Europe",
		"XYZ",
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct zone *zone = NULL;
		struct mh_err err = MH_ERR_INIT;

		assert_fails(zone_open(names[i], &zone, &err), &err, MH_E_CONFIG);
		assert_null(zone);
		assert_contains(err.text, "time zone");
	}
}

/* Made by hand, so that the test needs no database: no transitions, a footer. */
static struct zone *of_footer(const char *footer)
{
	static const char header[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				     "\0\0\0\0\0\0\0\0\0\0\0\0"
				     "\0\0\0\0\0\0\0\1\0\0\0\0";
	static const char type[6] = { 0 };
	char data[200];
	size_t len = 0, text = strlen(footer);
	struct zone *zone = NULL;
	struct mh_err err;

	assert_int_equal(sizeof(header) - 1, 44);
	for (int i = 0; i < 2; i++) {
		memcpy(data + len, header, 44);
		memcpy(data + len + 44, type, 6);
		len += 50;
	}
	data[len++] = '\n';
	memcpy(data + len, footer, text);
	len += text;
	data[len++] = '\n';
	if (zone_parse(data, len, &zone, &err) != 0)
		assert_int_equal(err.cls, MH_E_PROTO);
	return zone;
}

static void rules_of_summer_time_are_kept(void **state)
{
	static const struct {
		const char *footer, *at;
		int64_t hours_ahead;
	} rows[] = {
		{ "CET-1CEST,M3.5.0,M10.5.0/3", "2100-03-28T00:59", 1 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", "2100-03-28T01:00", 2 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", "2100-10-31T00:59", 2 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", "2100-10-31T01:00", 1 },
		/* the south: summer over the new year */
		{ "NZST-12NZDT,M9.5.0,M4.1.0/3", "2050-01-01T00:00", 13 },
		{ "NZST-12NZDT,M9.5.0,M4.1.0/3", "2050-12-31T23:59", 13 },
		{ "NZST-12NZDT,M9.5.0,M4.1.0/3", "2050-06-01T00:00", 12 },
		/* winter as the exception */
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", "2050-07-01T00:00", 1 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", "2050-12-01T00:00", 0 },
		{ "<-03>3", "2050-12-01T00:00", -3 },
		{ "AAA0BBB,J60/0,J305/0", "2028-02-29T23:59", 0 },
		{ "AAA0BBB,J60/0,J305/0", "2028-03-01T00:00", 1 },
		{ "AAA0BBB,59/0,305/0", "2028-02-29T00:00", 1 },
		{ "AAA0BBB,59/0,305/0", "2028-02-28T23:59", 0 },
		{ "EST5EDT,M3.2.0,M11.1.0", "2050-07-01T00:00", -4 },
	};
	static const char *const bad[] = { "X",
					   "CET",
					   "CET-1CEST",
					   "CET-1CEST,M13.1.0,M1.1.0",
					   "CET-1CEST,M3.5.0",
					   "CET-99",
					   "CET-1:99",
					   "CET-1CEST,M3.5.0,M10.5.0/3x" };

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(zone) struct zone *zone = of_footer(rows[i].footer);
		int64_t offset;

		assert_non_null(zone);
		offset = zone_offset_s(zone, ms(rows[i].at) / 1000);
		if (offset != rows[i].hours_ahead * 3600)
			fail_msg("%s at %s: %lld", rows[i].footer, rows[i].at,
				 (long long)offset);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(of_footer(bad[i]));
}

static void minutes_that_the_clock_jumps_over_do_not_come(void **state)
{
	static const struct row rows[] = {
		/* forward on 28 March 2027, 02:00 to 03:00 */
		{ E,
		  "30 2 * * ? *",
		  "2027-03-26T12:00",
		  { "2027-03-27T01:30", "2027-03-29T00:30" } },
		{ E,
		  "30 * 28 3 ? *",
		  "2027-03-27T23:00",
		  { "2027-03-27T23:30", "2027-03-28T00:30", "2027-03-28T01:30" } },
		/* back on 31 October 2027, 03:00 to 02:00: twice */
		{ E,
		  "30 2 31 10 ? *",
		  "2027-10-01T00:00",
		  { "2027-10-31T00:30", "2027-10-31T01:30", "2028-10-31T01:30" } },
		{ E,
		  "0,30 2 31 10 ? 2027",
		  "2027-10-01T00:00",
		  { "2027-10-31T00:00", "2027-10-31T00:30", "2027-10-31T01:00",
		    "2027-10-31T01:30" } },
	};
	CLEAN(zone) struct zone *zone = of_footer("CET-1CEST,M3.5.0,M10.5.0/3");

	(void)state; /* none */
	check_rows(rows, ARRAY_LEN(rows), zone);
}

static void regions_and_abbreviations_come_from_the_hosts_database(void **state)
{
	static const struct {
		const char *name, *at;
		int64_t minutes_ahead;
	} rows[] = {
		{ "Europe/Berlin", "2026-07-01T00:00", 120 },
		{ "Europe/Berlin", "2026-12-01T00:00", 60 },
		{ "Europe/Berlin", "2090-07-01T00:00", 120 },
		{ "Asia/Ho_Chi_Minh", "2026-07-01T00:00", 420 },
		{ "Asia/Kathmandu", "2026-07-01T00:00", 345 },
		{ "America/New_York", "2026-03-08T06:59", -300 },
		{ "America/New_York", "2026-03-08T07:00", -240 },
		{ "PST", "2026-07-01T00:00", -420 },
		{ "CET", "2026-12-01T00:00", 60 },
		{ "JST", "2026-12-01T00:00", 540 },
	};

	(void)state; /* none */
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
		skip_without("tz database");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(zone) struct zone *zone = NULL;
		struct mh_err err;
		int64_t offset;

		assert_ok(zone_open(rows[i].name, &zone, &err), &err);
		offset = zone_offset_s(zone, ms(rows[i].at) / 1000);
		if (offset != rows[i].minutes_ahead * 60)
			fail_msg("%s at %s: %lld", rows[i].name, rows[i].at,
				 (long long)offset);
	}
}

static void the_calendar_goes_both_ways(void **state)
{
	(void)state; /* none */
	assert_int_equal(zone_days(1970, 1, 1), 0);
	assert_int_equal(zone_days(2026, 11, 20), 20777);
	for (int64_t days = -200000; days < 200000; days += 13) {
		int64_t y, m, d;

		zone_civil(days, &y, &m, &d);
		assert_int_equal(zone_days(y, m, d), days);
		assert_in_range(m, 1, 12);
		assert_in_range(d, 1, 31);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_time_is_the_first_that_matches),
		cmocka_unit_test(what_is_no_expression_names_its_field),
		cmocka_unit_test(a_time_of_300_characters_is_refused),
		cmocka_unit_test(fixed_offsets_shift_the_clock),
		cmocka_unit_test(names_that_are_no_zone_are_refused),
		cmocka_unit_test(rules_of_summer_time_are_kept),
		cmocka_unit_test(minutes_that_the_clock_jumps_over_do_not_come),
		cmocka_unit_test(regions_and_abbreviations_come_from_the_hosts_database),
		cmocka_unit_test(the_calendar_goes_both_ways),
	};

	return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
