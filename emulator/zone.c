#include "emulator/zone.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

#define DATABASE        "/usr/share/zoneinfo/"
#define FILE_MAX_BYTES  (256 * 1024)
#define DAY_S           86400
#define FIXED_MAX_S     (18 * 3600)
#define RULE_OFFSET_MAX (25 * 3600)
#define RULE_TIME_MAX   (167 * 3600)
#define TRANSITIONS_MAX 10000
#define TYPES_MAX       256

/* One of the two changes of a year, as the database's footer tells it. */
struct change {
	char kind; /* 'M': weekday of a week of a month; 'J': day 1 to 365, never 29
		      February; 'D': day 0 to 365 */
	int64_t month, week, day;
	int64_t time_s; /* of that day, by the clock before the change */
};

struct zone {
	/* offset[i] counts from at_s[i] on; before the first, `first` does. */
	int64_t *at_s; /* owned */
	int32_t *offset_s; /* owned */
	size_t count;
	int32_t first_s;
	/* After the last one (always, when there is none). */
	bool has_rule, has_summer;
	int64_t standard_s, summer_s; /* seconds east */
	struct change begin, end; /* of summer time */
};

/* ---- the calendar ---- */

/* Years begin in March here, so that the leap day is the last of its year. */
int64_t zone_days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void zone_civil(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t in_era = z - era * 146097;
	int64_t of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) /
			 365;
	int64_t of_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
	int64_t shifted = (5 * of_year + 2) / 153;

	*ret_day = of_year - (153 * shifted + 2) / 5 + 1;
	*ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
	*ret_year = of_era + era * 400 + (*ret_month <= 2 ? 1 : 0);
}

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* 0 is Sunday. */
static int64_t weekday(int64_t days)
{
	return ((days % 7) + 11) % 7;
}

/* ---- the footer: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool take_name(const char **p)
{
	const char *s = *p;

	if (*s == '<') {
		s = strchr(s, '>');
		if (s == NULL)
			return false;
		*p = s + 1;
		return true;
	}
	while ((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z'))
		s++;
	if (s - *p < 3)
		return false;
	*p = s;
	return true;
}

static bool take_number(const char **p, int64_t min, int64_t max, int64_t *ret)
{
	const char *s = *p;
	int64_t n = 0;

	while (*s >= '0' && *s <= '9' && s - *p < 4)
		n = n * 10 + (*s++ - '0');
	if (s == *p || n < min || n > max)
		return false;
	*p = s;
	*ret = n;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **p, int64_t max_s, int64_t *ret_s)
{
	int64_t h, m = 0, s = 0, sign = 1;

	if (**p == '-' || **p == '+')
		sign = *(*p)++ == '-' ? -1 : 1;
	if (!take_number(p, 0, 167, &h))
		return false;
	if (**p == ':' && ((*p)++, !take_number(p, 0, 59, &m)))
		return false;
	if (**p == ':' && ((*p)++, !take_number(p, 0, 59, &s)))
		return false;
	*ret_s = sign * (h * 3600 + m * 60 + s);
	return h * 3600 + m * 60 + s <= max_s;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static bool take_change(const char **p, struct change *c)
{
	c->time_s = 2 * 3600;
	if (take_char(p, 'M')) {
		c->kind = 'M';
		if (!take_number(p, 1, 12, &c->month) || !take_char(p, '.') ||
		    !take_number(p, 1, 5, &c->week) || !take_char(p, '.') ||
		    !take_number(p, 0, 6, &c->day))
			return false;
	} else if (take_char(p, 'J')) {
		c->kind = 'J';
		if (!take_number(p, 1, 365, &c->day))
			return false;
	} else {
		c->kind = 'D';
		if (!take_number(p, 0, 365, &c->day))
			return false;
	}
	return !take_char(p, '/') || take_time(p, RULE_TIME_MAX, &c->time_s);
}

static bool parse_footer(const char *p, struct zone *z)
{
	if (*p == '\0')
		return true; /* the last transition counts for ever */
	z->has_rule = true;
	if (!take_name(&p) || !take_time(&p, RULE_OFFSET_MAX, &z->standard_s))
		return false;
	z->standard_s = -z->standard_s; /* it says how far west */
	if (*p == '\0')
		return true;
	z->has_summer = true;
	z->summer_s = z->standard_s + 3600;
	if (!take_name(&p))
		return false;
	if (*p != ',') {
		if (!take_time(&p, RULE_OFFSET_MAX, &z->summer_s))
			return false;
		z->summer_s = -z->summer_s;
	}
	return take_char(&p, ',') && take_change(&p, &z->begin) && take_char(&p, ',') &&
	       take_change(&p, &z->end) && *p == '\0';
}

/* When the change comes in that year, in seconds of the clock before it. */
static int64_t change_local_s(const struct change *c, int64_t year)
{
	int64_t day;

	if (c->kind == 'M') {
		int64_t first = zone_days(year, c->month, 1);
		int64_t next = c->month == 12 ? zone_days(year + 1, 1, 1)
					      : zone_days(year, c->month + 1, 1);

		day = first + (c->day - weekday(first) + 7) % 7 + (c->week - 1) * 7;
		if (day >= next)
			day -= 7; /* the fifth is the last */
	} else {
		day = zone_days(year, 1, 1) + c->day;
		if (c->kind == 'J' && !(is_leap(year) && c->day >= 60))
			day--;
	}
	return day * DAY_S + c->time_s;
}

static int64_t rule_offset_s(const struct zone *z, int64_t utc_s)
{
	int64_t local = utc_s + z->standard_s;
	int64_t year, month, day, begin, end;

	if (!z->has_summer)
		return z->standard_s;
	zone_civil((local >= 0 ? local : local - DAY_S + 1) / DAY_S, &year, &month, &day);
	begin = change_local_s(&z->begin, year) - z->standard_s;
	end = change_local_s(&z->end, year) - z->summer_s;
	if (begin < end)
		return utc_s >= begin && utc_s < end ? z->summer_s : z->standard_s;
	return utc_s >= end && utc_s < begin ? z->standard_s : z->summer_s;
}

int64_t zone_offset_s(const struct zone *z, int64_t utc_s)
{
	size_t low = 0, high;

	if (z == NULL)
		return 0;
	high = z->count;
	if (high == 0 || utc_s < z->at_s[0])
		return high == 0 && z->has_rule ? rule_offset_s(z, utc_s) : z->first_s;
	if (utc_s >= z->at_s[high - 1] && z->has_rule)
		return rule_offset_s(z, utc_s);
	while (high - low > 1) { /* at_s[low] <= utc_s < at_s[high] */
		size_t middle = low + (high - low) / 2;

		if (z->at_s[middle] <= utc_s)
			low = middle;
		else
			high = middle;
	}
	return z->offset_s[low];
}

/* ---- the database's files ---- */

struct reader {
	const unsigned char *p;
	size_t left;
};

struct counts {
	size_t ut, standard, leaps, transitions, types, chars;
};

static const unsigned char *take_bytes(struct reader *r, size_t n)
{
	const unsigned char *at = r->p;

	if (n > r->left)
		return NULL;
	r->p += n;
	r->left -= n;
	return at;
}

static int64_t big_endian(const unsigned char *p, size_t bytes)
{
	uint64_t v = (p[0] & 0x80) != 0 ? UINT64_MAX : 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static bool take_header(struct reader *r, struct counts *c, char *ret_version)
{
	const unsigned char *h = take_bytes(r, 44);
	size_t n[6];

	if (h == NULL || memcmp(h, "TZif", 4) != 0)
		return false;
	*ret_version = (char)h[4];
	for (size_t i = 0; i < 6; i++) {
		int64_t v = big_endian(h + 20 + 4 * i, 4);

		if (v < 0 || v > FILE_MAX_BYTES)
			return false;
		n[i] = (size_t)v;
	}
	*c = (struct counts){ n[0], n[1], n[2], n[3], n[4], n[5] };
	return c->transitions <= TRANSITIONS_MAX && c->types >= 1 &&
	       c->types <= TYPES_MAX;
}

static size_t rest_bytes(const struct counts *c, size_t time_bytes)
{
	return c->chars + c->leaps * (time_bytes + 4) + c->standard + c->ut;
}

static bool take_transitions(struct reader *r, const struct counts *c, struct zone *z)
{
	const unsigned char *times = take_bytes(r, c->transitions * 8);
	const unsigned char *kinds = take_bytes(r, c->transitions);
	const unsigned char *types = take_bytes(r, c->types * 6);

	if (times == NULL || kinds == NULL || types == NULL)
		return false;
	z->first_s = (int32_t)big_endian(types, 4);
	z->at_s = mh_alloc((c->transitions + 1) * sizeof(*z->at_s));
	z->offset_s = mh_alloc((c->transitions + 1) * sizeof(*z->offset_s));
	z->count = c->transitions;
	for (size_t i = 0; i < c->transitions; i++) {
		z->at_s[i] = big_endian(times + 8 * i, 8);
		if (kinds[i] >= c->types || (i > 0 && z->at_s[i] <= z->at_s[i - 1]))
			return false;
		z->offset_s[i] = (int32_t)big_endian(types + 6 * (size_t)kinds[i], 4);
		if (z->offset_s[i] < -RULE_OFFSET_MAX || z->offset_s[i] > RULE_OFFSET_MAX)
			return false;
	}
	return z->first_s >= -RULE_OFFSET_MAX && z->first_s <= RULE_OFFSET_MAX;
}

static bool parse(struct reader *r, struct zone *z)
{
	CLEAN(free) char *footer = NULL;
	struct counts c;
	char version;

	if (!take_header(r, &c, &version) || version < '2' ||
	    take_bytes(r, c.transitions * 5 + c.types * 6 + rest_bytes(&c, 4)) == NULL ||
	    !take_header(r, &c, &version) || !take_transitions(r, &c, z) ||
	    take_bytes(r, rest_bytes(&c, 8)) == NULL || r->left < 2 || r->p[0] != '\n' ||
	    r->p[r->left - 1] != '\n')
		return false;
	footer = mh_strndup((const char *)r->p + 1, r->left - 2);
	return strlen(footer) == r->left - 2 && parse_footer(footer, z);
}

int zone_parse(const void *data, size_t len, struct zone **ret, struct mh_err *err)
{
	CLEAN(zone) struct zone *z = mh_alloc(sizeof(*z));
	struct reader r = { data, len };

	if (!parse(&r, z))
		return mh_err_set(err, MH_E_PROTO, "no file of the tz database");
	*ret = STEAL_PTR(z);
	return 0;
}

void zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->at_s);
	free(z->offset_s);
	free(z);
}

/* ---- names ---- */

/* What people mean by an abbreviation that is no name in the database, or another. */
static const struct {
	const char *name, *region;
} abbreviations[] = {
	{ "ACST", "Australia/Darwin" },   { "AEDT", "Australia/Sydney" },
	{ "AEST", "Australia/Sydney" },   { "AKST", "America/Anchorage" },
	{ "AST", "America/Halifax" },     { "AWST", "Australia/Perth" },
	{ "BRT", "America/Sao_Paulo" },   { "BST", "Europe/London" },
	{ "CAT", "Africa/Maputo" },       { "CDT", "America/Chicago" },
	{ "CEST", "Europe/Paris" },       { "CET", "Europe/Paris" },
	{ "CST", "America/Chicago" },     { "EAT", "Africa/Nairobi" },
	{ "EDT", "America/New_York" },    { "EEST", "Europe/Athens" },
	{ "EET", "Europe/Athens" },       { "EST", "America/New_York" },
	{ "HKT", "Asia/Hong_Kong" },      { "HST", "Pacific/Honolulu" },
	{ "ICT", "Asia/Bangkok" },        { "IST", "Asia/Kolkata" },
	{ "JST", "Asia/Tokyo" },          { "KST", "Asia/Seoul" },
	{ "MDT", "America/Denver" },      { "MSK", "Europe/Moscow" },
	{ "MST", "America/Denver" },      { "NST", "America/St_Johns" },
	{ "NZDT", "Pacific/Auckland" },   { "NZST", "Pacific/Auckland" },
	{ "PDT", "America/Los_Angeles" }, { "PHT", "Asia/Manila" },
	{ "PST", "America/Los_Angeles" }, { "SAST", "Africa/Johannesburg" },
	{ "SGT", "Asia/Singapore" },      { "WEST", "Europe/Lisbon" },
	{ "WET", "Europe/Lisbon" },       { "WIB", "Asia/Jakarta" },
};

static const char *region_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(abbreviations); i++) {
		if (strcmp(abbreviations[i].name, name) == 0)
			return abbreviations[i].region;
	}
	return name;
}

static struct zone *fixed(int64_t offset_s)
{
	struct zone *z = mh_alloc(sizeof(*z));

	z->has_rule = true;
	z->standard_s = offset_s;
	return z;
}

static bool two_digits(const char *p, int64_t max, int64_t *ret)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*ret = (p[0] - '0') * 10 + (p[1] - '0');
	return *ret <= max;
}

/* "+05:30" */
static int open_offset(const char *name, const char *p, struct zone **ret,
		       struct mh_err *err)
{
	int64_t h, m;

	if (strlen(p) != 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':' ||
	    !two_digits(p + 1, 18, &h) || !two_digits(p + 4, 59, &m) ||
	    h * 3600 + m * 60 > FIXED_MAX_S)
		return mh_err_set(err, MH_E_CONFIG,
				  "time zone '%s': write UTC+hh:mm or UTC-hh:mm", name);
	*ret = fixed((p[0] == '-' ? -1 : 1) * (h * 3600 + m * 60));
	return 0;
}

/* No way out of the database's directory. */
static bool is_name(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789_+-/";

	return *name != '\0' && *name != '/' && strlen(name) <= 64 &&
	       name[strspn(name, allowed)] == '\0' && strstr(name, "//") == NULL;
}

int zone_open(const char *name, struct zone **ret, struct mh_err *err)
{
	CLEAN(buf) struct buf data = BUF_INIT(FILE_MAX_BYTES);
	CLEAN(free) char *path = NULL;

	if (name == NULL || strcmp(name, "UTC") == 0 || strcmp(name, "GMT") == 0) {
		*ret = fixed(0);
		return 0;
	}
	if (str_starts_with(name, "UTC"))
		return open_offset(name, name + 3, ret, err);
	if (!is_name(name))
		return mh_err_set(err, MH_E_CONFIG,
				  "time zone '%.64s': write Region/City, UTC+hh:mm or an "
				  "abbreviation",
				  name);
	path = mh_concat(DATABASE, region_of(name));
	if (fs_read_at(AT_FDCWD, path, &data, err) != 0 ||
	    zone_parse(buf_text(&data), data.len, ret, err) != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "time zone '%s': not in this host's tz database "
				  "(" DATABASE ")",
				  name);
	return 0;
}
