/*
 * Transitions that somebody has disabled or enabled; no row means enabled. Each stage has
 * two: into it, which views show, and out of it, which they do not (semantics G13).
 */
#ifndef MH_EMULATOR_STORE_TRANSITIONS_H
#define MH_EMULATOR_STORE_TRANSITIONS_H

#include "emulator/store/store.h"

extern const char *const transitions_schema, *const transitions_outbound_schema;

struct transition {
	bool enabled;
	char *reason; /* while disabled; else NULL */
	char *changed_by; /* ARN; NULL: never changed */
	int64_t changed_ms;
};
void transition_done(struct transition *t);
static inline void clean_transition(struct transition *t)
{
	transition_done(t);
}

int transitions_get(struct store *s, const char *pipeline, const char *stage,
		    struct transition *ret, struct mh_err *err) MH_MUST_CHECK;
int transitions_set(struct store *s, const char *pipeline, const char *stage,
		    const struct transition *t, struct mh_err *err) MH_MUST_CHECK;
int transitions_outbound_enabled(struct store *s, const char *pipeline, const char *stage,
				 bool *ret, struct mh_err *err) MH_MUST_CHECK;
int transitions_set_outbound(struct store *s, const char *pipeline, const char *stage,
			     bool enabled, struct mh_err *err) MH_MUST_CHECK;
/* The stages that have a row of either kind; strings and array are the caller's to free.
 */
int transitions_stages(struct store *s, const char *pipeline, char ***ret,
		       size_t *ret_count, struct mh_err *err) MH_MUST_CHECK;
/* Both of the stage. */
int transitions_delete(struct store *s, const char *pipeline, const char *stage,
		       struct mh_err *err) MH_MUST_CHECK;
int transitions_delete_pipeline(struct store *s, const char *pipeline,
				struct mh_err *err) MH_MUST_CHECK;

#endif
