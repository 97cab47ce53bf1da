#include "emulator/cron.h"

#include <string.h>

#include "lib/base/str.h"

#define MINUTE_MS    60000
#define DAY_S        86400
#define TEXT_MAX     256
#define FIELDS_MAX   7
#define WEEKDAYS_SET 0x7c /* Monday to Friday */

/* ---- calendar ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

/* 1 is Sunday. */
static int64_t day_of_week(int64_t days)
{
	int64_t rest = (days + 4) % 7;

	return (rest < 0 ? rest + 7 : rest) + 1;
}

static int64_t last_day(int64_t year, int64_t month)
{
	int64_t next = month == 12 ? zone_days(year + 1, 1, 1)
				   : zone_days(year, month + 1, 1);

	return next - zone_days(year, month, 1);
}

static bool has(uint64_t set, int64_t value)
{
	return (set >> value & 1) != 0;
}

static bool has_year(const struct cron *c, int64_t year)
{
	int64_t i = year - CRON_YEAR_MIN;

	return year >= CRON_YEAR_MIN && year <= CRON_YEAR_MAX &&
	       has(c->years[i / 64], i % 64);
}

/* ---- reading ---- */

struct field {
	const char *name;
	int64_t min, max;
	const char *const *names; /* of min, min + 1, ...; NULL: none */
};

static const char *const month_names[] = { "JAN", "FEB", "MAR", "APR", "MAY",
					   "JUN", "JUL", "AUG", "SEP", "OCT",
					   "NOV", "DEC", NULL };
static const char *const day_names[] = { "SUN", "MON", "TUE", "WED",
					 "THU", "FRI", "SAT", NULL };

enum { SECONDS, MINUTES, HOURS, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR };
static const struct field fields[FIELDS_MAX] = {
	[SECONDS] = { "seconds", 0, 59, NULL },
	[MINUTES] = { "minutes", 0, 59, NULL },
	[HOURS] = { "hours", 0, 23, NULL },
	[DAY_OF_MONTH] = { "day-of-month", 1, 31, NULL },
	[MONTH] = { "month", 1, 12, month_names },
	[DAY_OF_WEEK] = { "day-of-week", 1, 7, day_names },
	[YEAR] = { "year", CRON_YEAR_MIN, CRON_YEAR_MAX, NULL },
};

static int bad(const struct field *f, const char *text, struct mh_err *err)
{
	return mh_err_set(err, MH_E_CONFIG,
			  "cron: %s '%s' is none: values are %lld to %lld", f->name, text,
			  (long long)f->min, (long long)f->max);
}

/* A number of the field, or one of its names. */
static bool take_value(const struct field *f, const char **p, int64_t *ret)
{
	const char *s = *p;
	int64_t n = 0;

	for (size_t i = 0; f->names != NULL && f->names[i] != NULL; i++) {
		if (strncasecmp(s, f->names[i], 3) == 0) {
			*p = s + 3;
			*ret = f->min + (int64_t)i;
			return true;
		}
	}
	while (*s >= '0' && *s <= '9' && s - *p < 4)
		n = n * 10 + (*s++ - '0');
	if (s == *p || n < f->min || n > f->max)
		return false;
	*p = s;
	*ret = n;
	return true;
}

static void put(uint64_t *set, const struct field *f, int64_t value)
{
	int64_t i = f->min == CRON_YEAR_MIN ? value - CRON_YEAR_MIN : value;

	set[i / 64] |= UINT64_C(1) << (i % 64);
}

/* One item of a list: `*`, value or range, and a step. */
static bool take_item(const struct field *f, const char **p, uint64_t *set)
{
	int64_t from = f->min, to = f->max, step = 1, span, count = f->max - f->min + 1;
	bool is_range = **p == '*';

	if (is_range) {
		(*p)++;
	} else {
		if (!take_value(f, p, &from))
			return false;
		to = from;
		if (**p == '-') {
			(*p)++;
			is_range = true;
			if (!take_value(f, p, &to))
				return false;
		}
	}
	if (**p == '/') {
		const struct field steps = { f->name, 1, f->max, NULL };

		(*p)++;
		if (!take_value(&steps, p, &step))
			return false;
		if (!is_range)
			to = f->max;
	}
	if (to < from && f->min == CRON_YEAR_MIN)
		return false; /* years do not go round */
	span = (to - from + count) % count;
	for (int64_t i = 0; i <= span; i += step)
		put(set, f, f->min + (from - f->min + i) % count);
	return true;
}

static int parse_set(const struct field *f, const char *text, uint64_t *set,
		     struct mh_err *err)
{
	const char *p = text;

	for (;;) {
		if (!take_item(f, &p, set))
			return bad(f, text, err);
		if (*p == '\0')
			return 0;
		if (*p++ != ',')
			return bad(f, text, err);
	}
}

static int parse_day_of_month(const char *text, struct cron *c, struct mh_err *err)
{
	const struct field *f = &fields[DAY_OF_MONTH];
	const struct field before = { f->name, 1, 30, NULL };
	const char *p = text;

	if (strcmp(text, "LW") == 0) {
		c->kind = CRON_LAST_WEEKDAY;
		return 0;
	}
	if (*p == 'L') {
		c->kind = CRON_LAST_OF_MONTH;
		if (p[1] == '\0')
			return 0;
		p += 2;
		if (text[1] != '-' || !take_value(&before, &p, &c->n) || *p != '\0')
			return bad(f, text, err);
		return 0;
	}
	if (take_value(f, &p, &c->n) && strcmp(p, "W") == 0) {
		c->kind = CRON_NEAREST_WEEKDAY;
		return 0;
	}
	c->kind = CRON_DAYS_OF_MONTH;
	return parse_set(f, text, &c->days, err);
}

static int parse_day_of_week(const char *text, struct cron *c, struct mh_err *err)
{
	const struct field *f = &fields[DAY_OF_WEEK];
	const struct field nth = { f->name, 1, 5, NULL };
	const char *p = text;

	c->kind = CRON_DAYS_OF_WEEK;
	if (strcmp(text, "L") == 0) {
		put(&c->days, f, 7);
		return 0;
	}
	if (take_value(f, &p, &c->n)) {
		if (strcmp(p, "L") == 0) {
			c->kind = CRON_LAST_IN_MONTH;
			return 0;
		}
		if (*p == '#') {
			p++;
			if (!take_value(&nth, &p, &c->k) || *p != '\0')
				return bad(f, text, err);
			c->kind = CRON_NTH_IN_MONTH;
			return 0;
		}
	}
	return parse_set(f, text, &c->days, err);
}

/* Cuts text at its blanks; answers max + 1 when there are more. */
static size_t split(char *text, char **words, size_t max)
{
	size_t count = 0;
	char *rest = NULL;

	for (char *w = strtok_r(text, " \t", &rest); w != NULL;
	     w = strtok_r(NULL, " \t", &rest)) {
		if (count == max)
			return max + 1;
		words[count++] = w;
	}
	return count;
}

/* Takes "cron(" and ")" away. */
static char *unwrap(char *text)
{
	size_t len = strlen(text);

	if (!str_starts_with(text, "cron(") || text[len - 1] != ')')
		return text;
	text[len - 1] = '\0';
	return text + strlen("cron(");
}

static int parse_days(char *const word[FIELDS_MAX], struct cron *c, struct mh_err *err)
{
	bool no_month_day = strcmp(word[DAY_OF_MONTH], "?") == 0;
	bool no_week_day = strcmp(word[DAY_OF_WEEK], "?") == 0;

	if (no_month_day == no_week_day)
		return mh_err_set(err, MH_E_CONFIG,
				  "cron: exactly one of day-of-month and day-of-week "
				  "must be '?'");
	return no_month_day ? parse_day_of_week(word[DAY_OF_WEEK], c, err)
			    : parse_day_of_month(word[DAY_OF_MONTH], c, err);
}

/* word[i] is the text of fields[i]. */
static int parse_words(char *const word[FIELDS_MAX], struct cron *c, struct mh_err *err)
{
	uint64_t ignored = 0;

	if (parse_set(&fields[SECONDS], word[SECONDS], &ignored, err) != 0 ||
	    parse_set(&fields[MINUTES], word[MINUTES], &c->minutes, err) != 0 ||
	    parse_set(&fields[HOURS], word[HOURS], &c->hours, err) != 0 ||
	    parse_set(&fields[MONTH], word[MONTH], &c->months, err) != 0)
		return -1;
	if (parse_days(word, c, err) != 0)
		return -1;
	return parse_set(&fields[YEAR], word[YEAR], c->years, err);
}

int cron_parse(const char *text, enum cron_form form, struct cron *ret,
	       struct mh_err *err)
{
	static char any[] = "*";
	CLEAN(free) char *copy = mh_strndup(text, TEXT_MAX + 1);
	char *words[FIELDS_MAX] = { any, any, any, any, any, any, any };
	struct cron c = { 0 };

	if (strlen(copy) > TEXT_MAX)
		return mh_err_set(err, MH_E_CONFIG, "cron: longer than %d characters",
				  TEXT_MAX);
	if (form == CRON_EVENTBRIDGE) {
		if (split(unwrap(copy), words + MINUTES, FIELDS_MAX - 1) !=
		    FIELDS_MAX - 1)
			return mh_err_set(err, MH_E_CONFIG,
					  "cron '%s': 6 fields are needed: minutes hours "
					  "day-of-month month day-of-week year",
					  text);
	} else {
		size_t count = split(copy, words, FIELDS_MAX);

		if (count != FIELDS_MAX && count != FIELDS_MAX - 1)
			return mh_err_set(err, MH_E_CONFIG,
					  "cron '%s': 6 or 7 fields are needed: seconds "
					  "minutes hours day-of-month month day-of-week "
					  "[year]",
					  text);
	}
	if (parse_words(words, &c, err) != 0)
		return -1;
	*ret = c;
	return 0;
}

/* ---- matching ---- */

/* The weekday (Monday to Friday) nearest to a day, in its month. */
static int64_t nearest_weekday(int64_t year, int64_t month, int64_t day)
{
	int64_t week_day = day_of_week(zone_days(year, month, day));

	if (week_day == 7)
		return day > 1 ? day - 1 : day + 2;
	if (week_day == 1)
		return day < last_day(year, month) ? day + 1 : day - 2;
	return day;
}

static bool day_matches(const struct cron *c, int64_t days)
{
	int64_t year, month, day, week_day = day_of_week(days), last;

	zone_civil(days, &year, &month, &day);
	if (!has_year(c, year) || !has(c->months, month))
		return false;
	last = last_day(year, month);
	switch (c->kind) {
	case CRON_DAYS_OF_MONTH:
		return has(c->days, day);
	case CRON_LAST_OF_MONTH:
		return day == last - c->n;
	case CRON_LAST_WEEKDAY:
		return has(WEEKDAYS_SET, week_day) &&
		       day == nearest_weekday(year, month, last);
	case CRON_NEAREST_WEEKDAY:
		return c->n <= last && day == nearest_weekday(year, month, c->n);
	case CRON_DAYS_OF_WEEK:
		return has(c->days, week_day);
	case CRON_LAST_IN_MONTH:
		return week_day == c->n && day + 7 > last;
	case CRON_NTH_IN_MONTH:
		return week_day == c->n && (day - 1) / 7 + 1 == c->k;
	}
	return false;
}

bool cron_matches(const struct cron *c, const struct zone *zone, int64_t at_ms)
{
	int64_t utc_s = floor_div(at_ms, 1000);
	int64_t local_s = utc_s + zone_offset_s(zone, utc_s);
	int64_t days = floor_div(local_s, DAY_S), minute = (local_s - days * DAY_S) / 60;

	return has(c->hours, minute / 60) && has(c->minutes, minute % 60) &&
	       day_matches(c, days);
}

/* The first instant after after_s at which the zone's clock shows local_s; -1: none. */
static int64_t first_instant(const struct zone *zone, int64_t local_s, int64_t after_s)
{
	const int64_t offsets[] = { zone_offset_s(zone, local_s - 2 * DAY_S),
				    zone_offset_s(zone, local_s + 2 * DAY_S) };
	int64_t first = -1;

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		int64_t utc_s = local_s - offsets[i];

		if (utc_s > after_s && zone_offset_s(zone, utc_s) == offsets[i] &&
		    (first < 0 || utc_s < first))
			first = utc_s;
	}
	return first;
}

/* Where the clock is set back the order of minutes is not that of instants. */
static int64_t first_of_day(const struct cron *c, const struct zone *zone, int64_t days,
			    int64_t after_s)
{
	int64_t first = -1;

	for (int64_t hour = 0; hour < 24; hour++) {
		for (int64_t minute = 0; has(c->hours, hour) && minute < 60; minute++) {
			int64_t utc_s;

			if (!has(c->minutes, minute))
				continue;
			utc_s = first_instant(
				zone, days * DAY_S + hour * 3600 + minute * 60, after_s);
			if (utc_s >= 0 && (first < 0 || utc_s < first))
				first = utc_s;
		}
	}
	return first;
}

int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_ms)
{
	/* A minute that begins at after_ms is not after it, one 1 ms later is. */
	int64_t after_s = floor_div(after_ms, 1000);
	int64_t end = zone_days(CRON_YEAR_MAX + 1, 1, 1);

	/* Local dates are at most a day off. */
	for (int64_t days = floor_div(after_s, DAY_S) - 1; days < end; days++) {
		int64_t utc_s = day_matches(c, days)
					? first_of_day(c, zone, days, after_s)
					: -1;

		if (utc_s >= 0)
			return utc_s * 1000;
	}
	return -1;
}
