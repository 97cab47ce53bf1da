/* What the rules of conditions compare (semantics E10). */
#include "emulator/engine/rule_types.h"

#include <string.h>

#include "tests/unit/test.h"

static struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(json_parse_object(text, strlen(text), &o, &err), &err);
	return o;
}

enum answer { NO, YES, REFUSED };

/* What a rule says: of a wrong configuration the class must be REFUSED. */
static enum answer told(int rc, bool met, const struct mh_err *err)
{
	if (rc == 0)
		return met ? YES : NO;
	assert_int_equal(err->cls, MH_E_REFUSED);
	assert_true(err->text[0] != '\0');
	return REFUSED;
}

static void variables_are_compared(void **state)
{
	static const struct {
		const char *variable, *op, *value;
		enum answer answer;
	} rows[] = {
		{ "main", "EQ", "main", YES },
		{ "main", "EQ", "Main", NO },
		{ "", "EQ", "", YES },
		{ "main", "NE", "main", NO },
		{ "main", "NE", "mai", YES },
		{ "a feature", "CONTAINS", "feat", YES },
		{ "a feature", "CONTAINS", "fear", NO },
		{ "a", "CONTAINS", "", YES },
		{ "release/1.2", "MATCHES", "release/\\\\d+(?:\\\\.\\\\d+)*", YES },
		{ "a release/1.2", "MATCHES", "release/.*", NO },
		{ "x", "MATCHES", "(", REFUSED },
		{ "x", "MATCHES", "(?=x)x", REFUSED },
		{ "x", "LT", "y", REFUSED },
		{ "x", "eq", "x", REFUSED },
		{ "x", "", "x", REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *text = mh_format(
			"{\"Variable\":\"%s\",\"Operator\":\"%s\",\"Value\":\"%s\"}",
			rows[i].variable, rows[i].op, rows[i].value);
		CLEAN(json) struct json_object *config = parse(text);
		struct mh_err err = MH_ERR_INIT;
		bool met = false;
		int rc = rule_compare(config, &met, &err);

		if (told(rc, met, &err) != rows[i].answer)
			fail_msg("row %zu: %s", i, text);
	}
}

static void matches_looks_at_no_more_than_it_says(void **state)
{
	CLEAN(json)
	struct json_object *config = parse("{\"Operator\":\"MATCHES\","
					   "\"Value\":\"x*\"}");
	CLEAN(free) char *value = mh_alloc(RULE_MATCH_MAX_BYTES + 2);
	struct mh_err err = MH_ERR_INIT;
	bool met = false;

	(void)state;
	memset(value, 'x', RULE_MATCH_MAX_BYTES);
	json_put_str(config, "Variable", value);
	assert_ok(rule_compare(config, &met, &err), &err);
	assert_true(met);
	value[RULE_MATCH_MAX_BYTES] = 'x';
	json_put_str(config, "Variable", value);
	assert_int_equal(rule_compare(config, &met, &err), -1);
	assert_int_equal(err.cls, MH_E_REFUSED);
}

static void windows_are_open_by_the_minute(void **state)
{
	/* Monday, 2025-11-24 */
	const int64_t midnight_ms = INT64_C(1763942400000), hour_ms = 3600 * 1000;
	static const struct {
		const char *config;
		int64_t hour;
		enum answer answer;
	} rows[] = {
		{ "{\"Cron\":\"* * 9-17 ? * MON-FRI *\"}", 9, YES },
		{ "{\"Cron\":\"* * 9-17 ? * MON-FRI *\"}", 8, NO },
		{ "{\"Cron\":\"* * 9-17 ? * SAT *\"}", 9, NO },
		{ "{\"Cron\":\"* * 9 ? * *\",\"TimeZone\":\"UTC\"}", 9, YES },
		{ "{\"Cron\":\"* * 9 ? * *\",\"TimeZone\":\"UTC-03:00\"}", 9, NO },
		{ "{\"Cron\":\"* * 9 ? * *\",\"TimeZone\":\"UTC-03:00\"}", 12, YES },
		{ "{\"Cron\":\"* * 9 ? * *\",\"TimeZone\":\"No/Where\"}", 9, REFUSED },
		{ "{\"Cron\":\"at nine\"}", 9, REFUSED },
		{ "{}", 9, REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *config = parse(rows[i].config);
		struct mh_err err = MH_ERR_INIT;
		bool met = false;
		int rc = rule_window(config, midnight_ms + rows[i].hour * hour_ms, &met,
				     &err);

		if (told(rc, met, &err) != rows[i].answer)
			fail_msg("row %zu: %s", i, rows[i].config);
	}
}

static void alarms_are_wanted_in_some_states(void **state)
{
	static const struct {
		const char *config;
		bool failure;
		const char *state;
		enum answer answer;
	} rows[] = {
		{ "{}", false, "OK", YES },
		{ "{}", false, "INSUFFICIENT_DATA", YES },
		{ "{}", false, "ALARM", NO },
		{ "{}", true, "ALARM", YES },
		{ "{}", true, "OK", NO },
		{ "{\"AlarmStates\":\"ALARM\"}", false, "ALARM", YES },
		{ "{\"AlarmStates\":\"ALARM\"}", false, "OK", NO },
		{ "{\"AlarmStates\":\"OK, ALARM\"}", true, "OK", YES },
		{ "{\"AlarmStates\":\"OK, ALARM\"}", true, "INSUFFICIENT_DATA", NO },
		{ "{\"AlarmStates\":\"OKAY\"}", true, "OK", REFUSED },
		{ "{\"AlarmStates\":\" , \"}", true, "OK", REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *config = parse(rows[i].config);
		struct mh_err err = MH_ERR_INIT;
		bool met = false;
		int rc = rule_alarm_wants(config, rows[i].failure, rows[i].state, &met,
					  &err);

		if (told(rc, met, &err) != rows[i].answer)
			fail_msg("row %zu: %s", i, rows[i].config);
	}
}

static void alarms_are_waited_for_in_minutes(void **state)
{
	static const struct {
		const char *config;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "{}", 0 },
		{ "{\"WaitTime\":\"0\"}", 0 },
		{ "{\"WaitTime\":\"20\"}", 20 * 60 * 1000 },
		{ "{\"WaitTime\":\"-1\"}", -1 },
		{ "{\"WaitTime\":\"1.5\"}", -1 },
		{ "{\"WaitTime\":\"86401\"}", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *config = parse(rows[i].config);
		struct mh_err err = MH_ERR_INIT;
		int64_t ms = -1;

		if (rule_alarm_wait_ms(config, &ms, &err) != 0)
			assert_int_equal(err.cls, MH_E_REFUSED);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void types_are_found_by_what_is_there_of_their_id(void **state)
{
	static const struct {
		const char *id;
		bool found;
	} rows[] = {
		{ "{\"category\":\"Rule\",\"provider\":\"Commands\"}", true },
		{ "{\"provider\":\"Commands\",\"owner\":\"AWS\",\"version\":\"1\"}",
		  true },
		{ "{\"provider\":\"Commands\",\"version\":\"2\"}", false },
		{ "{\"provider\":\"Commands\",\"owner\":\"Custom\"}", false },
		{ "{\"provider\":\"commands\"}", false },
		{ "{}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *id = parse(rows[i].id);

		assert_int_equal(rule_type_find(id) != NULL, rows[i].found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_are_compared),
		cmocka_unit_test(matches_looks_at_no_more_than_it_says),
		cmocka_unit_test(windows_are_open_by_the_minute),
		cmocka_unit_test(alarms_are_wanted_in_some_states),
		cmocka_unit_test(alarms_are_waited_for_in_minutes),
		cmocka_unit_test(types_are_found_by_what_is_there_of_their_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
