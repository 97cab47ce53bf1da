#include "emulator/schedules.h"

#include <stddef.h>
#include <string.h>

#include "emulator/cron.h"

const struct conf_key schedule_keys[] = {
	{ .path = "pipeline",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_schedule, pipeline),
	  .required = true,
	  .example = "release",
	  .help = "the pipeline to start; it need not be there yet" },
	{ .path = "cron",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_schedule, cron),
	  .required = true,
	  .example = "0 6 ? * MON-FRI *",
	  .help = "when: minutes hours day-of-month month day-of-week year, as "
		  "EventBridge writes it" },
	{ .path = "time_zone",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_schedule, time_zone),
	  .def = "UTC",
	  .example = "Europe/Berlin",
	  .help = "whose clock counts: Region/City, or UTC+hh:mm" },
	{ 0 },
};

static const struct settings_schedule *row_at(const struct settings *s, size_t i)
{
	return (const struct settings_schedule *)s->schedules.items + i;
}

int schedules_check(const struct settings *s, struct mh_err *err)
{
	for (size_t i = 0; i < s->schedules.count; i++) {
		const struct settings_schedule *row = row_at(s, i);
		CLEAN(zone) struct zone *zone = NULL;
		struct cron c;

		if (cron_parse(row->cron, CRON_EVENTBRIDGE, &c, err) != 0 ||
		    zone_open(row->time_zone, &zone, err) != 0)
			return mh_err_wrap(err, "schedules: pipeline = \"%s\"",
					   row->pipeline);
	}
	return 0;
}

char *schedule_name(const struct settings_schedule *row)
{
	return mh_concat(row->pipeline, "\n", row->cron, "\n",
			 row->time_zone ? row->time_zone : "UTC");
}

const struct settings_schedule *schedule_of(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->schedules.count; i++) {
		CLEAN(free) char *own = schedule_name(row_at(s, i));

		if (strcmp(own, name) == 0)
			return row_at(s, i);
	}
	return NULL;
}

int64_t schedule_next(const struct settings_schedule *row, int64_t after_ms)
{
	CLEAN(zone) struct zone *zone = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct cron c;

	if (cron_parse(row->cron, CRON_EVENTBRIDGE, &c, &err) != 0)
		return -1; /* it was checked at the start */
	if (zone_open(row->time_zone, &zone, &err) != 0)
		zone = NULL;
	return cron_next(&c, zone, after_ms);
}
