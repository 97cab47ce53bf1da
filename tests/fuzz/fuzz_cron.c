/* Cron expressions and files of the tz database: the first byte is the form, the rest of
 * the line the expression, what follows a zone's file (or none: UTC). What comes next
 * matches, and is not what came before. */
#include "emulator/cron.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define START_MS (INT64_C(1790000000) * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	enum cron_form form = fuzz_byte(&in) == 'q' ? CRON_QUARTZ : CRON_EVENTBRIDGE;
	CLEAN(free) char *text = fuzz_line(&in);
	CLEAN(zone) struct zone *zone = NULL;
	struct mh_err err = MH_ERR_INIT;
	int64_t at = START_MS;
	struct cron c;

	if (zone_parse(in.data, in.left, &zone, &err) != 0)
		MH_ASSERT(zone == NULL && *err.text);
	if (cron_parse(text, form, &c, &err) != 0) {
		MH_ASSERT(*err.text);
		return 0;
	}
	for (int i = 0; i < 5 && at >= 0; i++) {
		int64_t next = cron_next(&c, zone, at);

		MH_ASSERT(next == -1 || next > at);
		MH_ASSERT(next == -1 || cron_matches(&c, zone, next));
		MH_ASSERT(zone != NULL || next == -1 || next % 60000 == 0);
		at = next;
	}
	return 0;
}
