/*
 * Scheduled starts: rows of the settings, in place of rules of EventBridge, since the API
 * has none.
 *
 *	schedules = ( { pipeline = "release"; cron = "0 6 ? * MON-FRI *";
 *			time_zone = "Europe/Berlin"; } );
 *
 * When a row is due next is kept in the store: what was due while no server ran starts
 * once, at the next start.
 */
#ifndef MH_EMULATOR_SCHEDULES_H
#define MH_EMULATOR_SCHEDULES_H

#include "emulator/settings.h"

extern const struct conf_key schedule_keys[];

/* Whether each row can be understood: CONFIG. */
int schedules_check(const struct settings *s, struct mh_err *err) MH_MUST_CHECK;

/* What a row is called in the store; the caller frees it. */
char *schedule_name(const struct settings_schedule *row);
/* The row of that name, or NULL. */
const struct settings_schedule *schedule_of(const struct settings *s, const char *name);
/* When the row is due after after_ms; -1: never. A zone that this host has no longer is
 * UTC. */
int64_t schedule_next(const struct settings_schedule *row, int64_t after_ms);

#endif
