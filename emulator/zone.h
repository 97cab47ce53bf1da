/*
 * Time zones: how far local time is ahead of UTC at an instant. A name is one of
 *
 *	UTC, GMT		no offset; also what NULL means
 *	UTC+05:30, UTC-08:00	a fixed offset, up to 18 hours
 *	Europe/Berlin		a region of the host's tz database
 *	PST, CET, JST		an abbreviation: its usual region, then the database's
 *
 * (semantics E10). Regions are read from /usr/share/zoneinfo when they are opened; a
 * host without that database knows the first two forms alone. libc's own functions are
 * of no use: they have one zone for the whole process.
 *
 *	struct zone *z = NULL;
 *	if (zone_open("Europe/Berlin", &z, &err) != 0) ...	CONFIG: not known here
 *	local_s = utc_s + zone_offset_s(z, utc_s);
 *	zone_free(z);
 */
#ifndef MH_EMULATOR_ZONE_H
#define MH_EMULATOR_ZONE_H

#include <stdint.h>

#include "lib/base/err.h"

struct zone;

int zone_open(const char *name, struct zone **ret, struct mh_err *err) MH_MUST_CHECK;
void zone_free(struct zone *z); /* NULL is allowed */
static inline void clean_zone(struct zone **z)
{
	zone_free(*z);
}

/* Seconds east of UTC at that instant (seconds since 1970). NULL is UTC. */
int64_t zone_offset_s(const struct zone *z, int64_t utc_s);

/* A file of the tz database (RFC 8536, version 2 or later), for zone_open() and tests;
 * PROTO when it is none. */
int zone_parse(const void *data, size_t len, struct zone **ret,
	       struct mh_err *err) MH_MUST_CHECK;

/* The Gregorian calendar, in days since 1970-01-01; months from 1. */
int64_t zone_days(int64_t year, int64_t month, int64_t day);
void zone_civil(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day);

#endif
