#include "emulator/s3/range.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/clock.h"

/* Digits at *p into *ret; larger than any object becomes INT64_MAX. False when there
 * are none. */
static bool take_number(const char **p, int64_t *ret)
{
	const char *s = *p;
	int64_t value = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		int digit = *s - '0';

		if (value > (INT64_MAX - digit) / 10)
			value = INT64_MAX;
		else
			value = value * 10 + digit;
	}
	*p = s;
	*ret = value;
	return true;
}

static struct range part(int64_t start, int64_t last, int64_t size)
{
	if (start >= size)
		return (struct range){ .kind = RANGE_UNSATISFIABLE };
	if (last >= size)
		last = size - 1;
	return (struct range){ .kind = RANGE_PART,
			       .start = start,
			       .len = last - start + 1 };
}

struct range range_parse(const char *header, int64_t size)
{
	const struct range whole = { .kind = RANGE_WHOLE, .start = 0, .len = size };
	int64_t first, last;
	const char *p;

	if (header == NULL || strncmp(header, "bytes=", 6) != 0)
		return whole;
	p = header + 6;
	if (*p == '-') {
		p++;
		if (!take_number(&p, &last) || *p != '\0')
			return whole;
		if (last == 0 || size == 0)
			return (struct range){ .kind = RANGE_UNSATISFIABLE };
		return part(last >= size ? 0 : size - last, size - 1, size);
	}
	if (!take_number(&p, &first) || *p != '-')
		return whole;
	p++;
	if (*p == '\0')
		return part(first, INT64_MAX - 1, size);
	if (!take_number(&p, &last) || *p != '\0' || last < first)
		return whole;
	return part(first, last, size);
}

struct range range_of_part(const char *parts, int64_t number, int64_t size,
			   int64_t *ret_count)
{
	struct range found = { .kind = RANGE_UNSATISFIABLE };
	int64_t start = 0, len;

	*ret_count = 0;
	if (parts == NULL) {
		*ret_count = 1;
		return number == 1 ? (struct range){ RANGE_PART, 0, size } : found;
	}
	while (take_number(&parts, &len)) {
		if (++*ret_count == number)
			found = (struct range){ RANGE_PART, start, len };
		start += len;
		parts += *parts == ',';
	}
	return found;
}

int etag_in_list(const char *list, const char *etag)
{
	size_t len = strlen(etag);
	const char *p = list;

	while (*p != '\0') {
		size_t n;

		p += strspn(p, " \t,");
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		if (*p == '"') {
			p++;
			n = strcspn(p, "\"");
		} else {
			n = strcspn(p, " \t,");
			if (n == 1 && *p == '*')
				return 1;
		}
		if (n == len && memcmp(p, etag, len) == 0)
			return 1;
		p += n;
		if (*p == '"')
			p++;
	}
	return 0;
}

/* Dates have whole seconds. False when the header is no date: then it is ignored. */
static bool parse_seconds(const char *header, int64_t *ret_s)
{
	struct mh_err err = MH_ERR_INIT;
	int64_t ms;

	if (header == NULL || clock_parse_http(header, &ms, &err) != 0)
		return false;
	*ret_s = ms / 1000;
	return true;
}

int conditions_check(const struct conditions *c, const char *etag, int64_t modified_ms)
{
	int64_t modified_s = modified_ms / 1000;
	int64_t date_s;

	if (c->if_match != NULL) {
		if (!etag_in_list(c->if_match, etag))
			return 412;
	} else if (parse_seconds(c->if_unmodified_since, &date_s) &&
		   modified_s > date_s) {
		return 412;
	}
	if (c->if_none_match != NULL) {
		if (etag_in_list(c->if_none_match, etag))
			return 304;
	} else if (parse_seconds(c->if_modified_since, &date_s) && modified_s <= date_s) {
		return 304;
	}
	return 200;
}
