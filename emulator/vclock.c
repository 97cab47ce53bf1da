#include "emulator/vclock.h"

#include <stdio.h>
#include <string.h>

#include "emulator/store/marks.h"
#include "lib/base/clock.h"

#define MARK "clock"

int64_t vclock_virtual_ms(const struct vclock *c)
{
	return c ? atomic_load(&c->at_ms) : VCLOCK_REAL;
}

int64_t vclock_now_ms(const struct vclock *c)
{
	int64_t at_ms = vclock_virtual_ms(c);

	return at_ms == VCLOCK_REAL ? clock_wall_ms() : at_ms;
}

void vclock_restore(struct vclock *c, int64_t at_ms)
{
	if (c)
		atomic_store(&c->at_ms, at_ms);
}

int vclock_load(struct vclock *c, struct store *s, struct mh_err *err)
{
	int64_t at_ms;

	if (marks_get(s, MARK, VCLOCK_REAL, &at_ms, err) != 0)
		return -1;
	atomic_store(&c->at_ms, at_ms);
	return 0;
}

int vclock_set(struct vclock *c, struct store *s, int64_t at_ms, struct mh_err *err)
{
	if (marks_set(s, MARK, at_ms, err) != 0)
		return -1;
	atomic_store(&c->at_ms, at_ms);
	return 0;
}

/* "2026-01-31T12:34:56" is checked by the reader of the compact form. */
static int parse_seconds(const char *text, int64_t *ret_ms, struct mh_err *err)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	char amz[CLOCK_AMZ_SIZE];
	size_t n = 0;

	for (size_t i = 0; form[i]; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (form[i] == 'd' ? !digit : text[i] != form[i])
			return mh_err_set(err, MH_E_PROTO, "no time");
		if (form[i] != '-' && form[i] != ':')
			amz[n++] = text[i];
	}
	amz[n++] = 'Z';
	amz[n] = '\0';
	return clock_parse_amz(amz, ret_ms, err);
}

int vclock_parse(const char *text, int64_t *ret_ms, struct mh_err *err)
{
	const size_t seconds = strlen("2026-01-31T12:34:56");
	struct mh_err why = MH_ERR_INIT;
	int64_t ms = 0, fraction = 0;
	const char *rest;

	if (strlen(text) <= seconds || parse_seconds(text, &ms, &why) != 0)
		goto bad;
	rest = text + seconds;
	if (*rest == '.') {
		int64_t scale = 100;

		for (rest++; *rest >= '0' && *rest <= '9' && scale > 0; rest++) {
			fraction += (*rest - '0') * scale;
			scale /= 10;
		}
		if (rest[-1] == '.')
			goto bad;
	}
	if (strcmp(rest, "Z") != 0)
		goto bad;
	*ret_ms = ms + fraction;
	return 0;
bad:
	return mh_err_set(err, MH_E_PROTO,
			  "'%.40s' is not a time in UTC, like 2026-01-31T12:34:56Z",
			  text);
}
