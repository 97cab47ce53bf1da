/*
 * Conditions of stages that were asked (semantics E10), one row for each time. Its rules
 * are action executions (action_executions.h). And the alarms that rules look at.
 */
#ifndef MH_EMULATOR_STORE_CONDITIONS_H
#define MH_EMULATOR_STORE_CONDITIONS_H

#include "emulator/store/status.h"
#include "emulator/store/store.h"
#include "lib/base/json.h"

extern const char *const conditions_schema;
extern const char *const alarms_schema;

struct condition {
	int64_t seq;
	int64_t execution, stage_execution; /* seq */
	char *pipeline, *stage; /* names */
	enum stage_phase phase; /* never PHASE_ACTIONS */
	bool locked; /* not of a PARALLEL execution */
	enum condition_status status;
	char *summary; /* why it ended as it did; NULL while it has not */
	int64_t status_ms; /* of the last change of status */
};
void condition_done(struct condition *c);
static inline void clean_condition(struct condition *c)
{
	condition_done(c);
}

/* Sets c->seq. */
int conditions_insert(struct store *s, struct condition *c,
		      struct mh_err *err) MH_MUST_CHECK;
/* Writes status, summary, status_ms. */
int conditions_save(struct store *s, const struct condition *c,
		    struct mh_err *err) MH_MUST_CHECK;
/* NOTFOUND when there is none. */
int conditions_get(struct store *s, int64_t seq, struct condition *ret,
		   struct mh_err *err) MH_MUST_CHECK;
/* The last one of the locked modes that was asked there. */
int conditions_latest(struct store *s, const char *pipeline, const char *stage,
		      enum stage_phase phase, struct condition *ret, bool *ret_found,
		      struct mh_err *err) MH_MUST_CHECK;

/* ---- alarms ---- */

/* state: "OK", "ALARM" or "INSUFFICIENT_DATA". Creates the alarm when there is none. */
int alarm_set(struct store *s, const char *name, const char *state, int64_t now_ms,
	      struct mh_err *err) MH_MUST_CHECK;
/* Adds {"name","state"} of each to a list, by name. */
int alarms_list(struct store *s, struct json_object *list,
		struct mh_err *err) MH_MUST_CHECK;
/* *ret_state NULL: nobody ever said. The caller frees it. */
int alarm_get(struct store *s, const char *name, char **ret_state,
	      struct mh_err *err) MH_MUST_CHECK;

#endif
