/*
 * Holds what the engine tells of its executions against what may happen to one (semantics
 * E20, G27, I10): states follow each other legally, stages lie within executions and
 * actions within stages, all has ended before its execution does, attempts are counted,
 * and time goes on.
 *
 *	struct event_paths paths = { 0 };
 *	event_paths_check(&paths, store);      after each step: looks at what is new
 *	event_paths_done(&paths);
 */
#ifndef MH_TESTS_UNIT_EVENT_PATHS_H
#define MH_TESTS_UNIT_EVENT_PATHS_H

#include "emulator/store/store.h"
#include "lib/base/json.h"

struct event_paths {
	int64_t at; /* the last one that was looked at */
	int64_t count; /* so many were */
	struct json_object *seen; /* by execution id; NULL: none yet */
};

void event_paths_check(struct event_paths *paths, struct store *s);
void event_paths_done(struct event_paths *paths);

#endif
