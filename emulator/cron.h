/*
 * Cron expressions, in the two forms that AWS has:
 *
 *	CRON_EVENTBRIDGE  minutes hours day-of-month month day-of-week year
 *			  "0 12 ? * MON-FRI *", also as "cron(0 12 ? * MON-FRI *)"
 *	CRON_QUARTZ	  seconds minutes hours day-of-month month day-of-week [year]
 *			  "* * 9-17 ? * MON-FRI"; seconds are read, checked and ignored
 *			  (semantics E10)
 *
 * A field is `*`, or a list of numbers, names (JAN-DEC, SUN-SAT; SUN is 1) and ranges,
 * each with an optional /step; a range may go round (FRI-MON). Exactly one of
 * day-of-month and day-of-week is `?`. Besides:
 *
 *	day-of-month	L, L-3 (the third before the last), LW, 15W (the weekday nearest
 *			to the 15th, in its month)
 *	day-of-week	L (Saturday), 2L (the last Monday), 2#1 or MON#1 (the first one)
 *
 *	struct cron c;
 *	if (cron_parse("0 12 ? * MON-FRI *", CRON_EVENTBRIDGE, &c, &err) != 0) ...
 *	due_ms = cron_next(&c, zone, now_ms);	-1: never again
 *
 * An expression means minutes, by a zone's clock (zone.h; NULL is UTC). Where that clock
 * is set forward the minutes it jumps over do not come, where it is set back they come
 * twice. Pure: no clock, no file.
 */
#ifndef MH_EMULATOR_CRON_H
#define MH_EMULATOR_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/zone.h"
#include "lib/base/err.h"

enum cron_form { CRON_EVENTBRIDGE, CRON_QUARTZ };

enum cron_days {
	CRON_DAYS_OF_MONTH, /* days */
	CRON_LAST_OF_MONTH, /* n days before it */
	CRON_LAST_WEEKDAY, /* Monday to Friday */
	CRON_NEAREST_WEEKDAY, /* to day n */
	CRON_DAYS_OF_WEEK, /* days */
	CRON_LAST_IN_MONTH, /* the last weekday n */
	CRON_NTH_IN_MONTH, /* the k-th weekday n */
};

#define CRON_YEAR_MIN 1970
#define CRON_YEAR_MAX 2199

/* A plain value; nothing to release. Bit i of a set stands for value i. */
struct cron {
	uint64_t minutes, hours, months;
	enum cron_days kind;
	uint64_t days; /* of the month from 1, or of the week: 1 is Sunday */
	int64_t n, k;
	uint64_t years[(CRON_YEAR_MAX - CRON_YEAR_MIN) / 64 + 1]; /* from the minimum */
};

/* CONFIG names the field and what is wrong with it. */
int cron_parse(const char *text, enum cron_form form, struct cron *ret,
	       struct mh_err *err) MH_MUST_CHECK;

/* Whether the minute that at_ms (wall time) lies in is one of the expression's. */
bool cron_matches(const struct cron *c, const struct zone *zone, int64_t at_ms);

/* The beginning of the first such minute that begins after after_ms; -1: there is none
 * up to the year 2199. */
int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_ms);

#endif
