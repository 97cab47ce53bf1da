#include "lib/base/clock.h"

#include "config.h"

#include <fcntl.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/fsio.h"
#include "lib/base/str.h"

static int64_t system_ms(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		MH_BUG("clock_gettime");
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall_ms(void)
{
	return system_ms(CLOCK_REALTIME);
}

static int64_t system_mono_ms(void)
{
	return system_ms(CLOCK_BOOTTIME); /* goes on while the host sleeps */
}

static int64_t (*wall_source)(void) = system_wall_ms;
static int64_t (*mono_source)(void) = system_mono_ms;

int64_t clock_wall_ms(void)
{
	return wall_source();
}

int64_t clock_mono_ms(void)
{
	return mono_source();
}

int64_t clock_awake_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		MH_BUG("clock_gettime");
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_set_for_test(int64_t (*wall_ms)(void), int64_t (*mono_ms)(void))
{
	wall_source = wall_ms ? wall_ms : system_wall_ms;
	mono_source = mono_ms ? mono_ms : system_mono_ms;
}

static void to_utc(int64_t wall_ms, struct tm *tm)
{
	time_t seconds = (time_t)(wall_ms / 1000);

	if (wall_ms < 0 || !gmtime_r(&seconds, tm) || tm->tm_year + 1900 > 9999)
		MH_BUG("time outside 1970 to 9999");
}

void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
	struct tm tm;
	char seconds[20];

	to_utc(wall_ms, &tm);
	(void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S",
		       &tm); /* fits by the assertion above */
	(void)snprintf(out, CLOCK_ISO_SIZE, "%.19s.%03uZ", seconds,
		       (unsigned)(wall_ms % 1000) % 1000);
}

void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_SIZE])
{
	struct tm tm;

	to_utc(wall_ms, &tm);
	(void)strftime(out, CLOCK_AMZ_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE])
{
	struct tm tm;

	to_utc(wall_ms, &tm);
	/* Not strftime: %a and %b follow the locale. */
	(void)snprintf(out, CLOCK_HTTP_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
		       days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
		       months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
		       (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		       (unsigned)tm.tm_sec % 100);
}

/* Fields in range and a date that exists: what goes in comes out again. */
static int from_utc(struct tm *tm, const char *text, int64_t *ret_ms, struct mh_err *err)
{
	struct tm asked = *tm;
	time_t seconds = timegm(tm);

	if (seconds < 0 || asked.tm_mday != tm->tm_mday || asked.tm_mon != tm->tm_mon ||
	    asked.tm_hour != tm->tm_hour || asked.tm_min != tm->tm_min ||
	    asked.tm_sec != tm->tm_sec)
		return mh_err_set(err, MH_E_PROTO, "'%s' is no date", text);
	*ret_ms = (int64_t)seconds * 1000;
	return 0;
}

/* n digits at s as a number; -1 when there is another byte. */
static int digits_at(const char *s, int n)
{
	int value = 0;

	for (; n > 0; n--, s++) {
		if (*s < '0' || *s > '9')
			return -1;
		value = value * 10 + (*s - '0');
	}
	return value;
}

int clock_parse_amz(const char *s, int64_t *ret_ms, struct mh_err *err)
{
	struct tm tm = { 0 };

	if (strlen(s) != CLOCK_AMZ_SIZE - 1 || s[8] != 'T' || s[15] != 'Z' ||
	    digits_at(s, 8) < 0 || digits_at(s + 9, 6) < 0)
		return mh_err_set(err, MH_E_PROTO,
				  "'%.40s' is not of the form 20260131T235959Z", s);
	tm.tm_year = digits_at(s, 4) - 1900;
	tm.tm_mon = digits_at(s + 4, 2) - 1;
	tm.tm_mday = digits_at(s + 6, 2);
	tm.tm_hour = digits_at(s + 9, 2);
	tm.tm_min = digits_at(s + 11, 2);
	tm.tm_sec = digits_at(s + 13, 2);
	return from_utc(&tm, s, ret_ms, err);
}

int clock_parse_http(const char *s, int64_t *ret_ms, struct mh_err *err)
{
	struct tm tm = { .tm_mon = -1 };
	size_t i;

	if (strlen(s) != CLOCK_HTTP_SIZE - 1 || s[3] != ',' || s[4] != ' ' ||
	    s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[19] != ':' || s[22] != ':' ||
	    strcmp(s + 25, " GMT") != 0)
		return mh_err_set(err, MH_E_PROTO, "'%.40s' is no HTTP date", s);
	for (i = 0; i < ARRAY_LEN(months); i++) {
		if (strncmp(s + 8, months[i], 3) == 0)
			tm.tm_mon = (int)i;
	}
	tm.tm_mday = digits_at(s + 5, 2);
	tm.tm_year = digits_at(s + 12, 4) - 1900;
	tm.tm_hour = digits_at(s + 17, 2);
	tm.tm_min = digits_at(s + 20, 2);
	tm.tm_sec = digits_at(s + 23, 2);
	if (tm.tm_mon < 0 || tm.tm_mday < 0 || tm.tm_year < 70 || tm.tm_hour < 0 ||
	    tm.tm_min < 0 || tm.tm_sec < 0)
		return mh_err_set(err, MH_E_PROTO, "'%s' is no HTTP date", s);
	return from_utc(&tm, s, ret_ms, err);
}

int clock_boot_id(char out[CLOCK_BOOT_ID_SIZE], struct mh_err *err)
{
	const char *path = "/proc/sys/kernel/random/boot_id";
	CLEAN(buf) struct buf text = BUF_INIT(256);

#ifdef MH_FAULT_POINTS
	if (getenv("MILLHAND_BOOT_ID_FILE"))
		path = getenv("MILLHAND_BOOT_ID_FILE");
#endif
	if (fs_read_at(AT_FDCWD, path, &text, err) != 0)
		return -1;
	if (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (!str_is_uuid(buf_text(&text)))
		return mh_err_set(err, MH_E_PROTO, "%s holds no boot id", path);
	memcpy(out, text.data, CLOCK_BOOT_ID_SIZE);
	return 0;
}
