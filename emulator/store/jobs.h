/*
 * Jobs (semantics C1): an action execution has one after the other (continuations), at
 * most one of them open. seq is the order of creation.
 *
 * When a job may be handed out is a time, not a state that somebody must change: a
 * delayed one becomes visible, and an unacknowledged one visible again, by the clock.
 */
#ifndef MH_EMULATOR_STORE_JOBS_H
#define MH_EMULATOR_STORE_JOBS_H

#include "emulator/store/status.h"
#include "emulator/store/store.h"
#include "lib/base/str.h"

extern const char *const jobs_schema;

enum job_executor { EXECUTOR_WORKER, EXECUTOR_BUILTIN };

struct job {
	int64_t seq;
	char id[STR_UUID_SIZE];
	int64_t action; /* seq of the action execution */
	enum job_executor executor;
	char *type; /* "Category/Owner/Provider/Version" */
	char *query_value; /* value of the type's queryable property, or NULL */
	enum job_state state;
	int64_t visible_ms; /* polls may hand it out from then on */
	int64_t dispatches; /* times handed out; as decimal the current nonce (C3) */
	bool acknowledged; /* with the current nonce */
	char *token; /* continuation token it carries, or NULL */
	char *claim_epoch; /* built-in: life of the process that took it, or NULL */
	int64_t created_ms, ended_ms; /* ended 0: open */
	char *acked_by; /* ARN of who acknowledged it, or NULL */
	char *result; /* digest of the result that ended it, where results may be sent
			 again (idempotent_results); else NULL */
};
void job_done(struct job *j);
static inline void clean_job(struct job *j)
{
	job_done(j);
}

struct job_list {
	struct job *items;
	size_t count;
};
void job_list_done(struct job_list *list);
static inline void clean_job_list(struct job_list *list)
{
	job_list_done(list);
}

/* Sets j->seq. */
int jobs_insert(struct store *s, struct job *j, struct mh_err *err) MH_MUST_CHECK;
/* Writes state, visible_ms, dispatches, acknowledged, claim_epoch, ended_ms. */
int jobs_save(struct store *s, const struct job *j, struct mh_err *err) MH_MUST_CHECK;
int jobs_find(struct store *s, const char *id, struct job *ret, bool *ret_found,
	      struct mh_err *err) MH_MUST_CHECK;
/* The open job of an action execution. */
int jobs_open_of(struct store *s, int64_t action, struct job *ret, bool *ret_found,
		 struct mh_err *err) MH_MUST_CHECK;
/* What a worker may be handed now, oldest first. query_value NULL: whatever the value. */
int jobs_visible(struct store *s, const char *type, const char *query_value,
		 int64_t now_ms, int64_t limit, struct job_list *ret,
		 struct mh_err *err) MH_MUST_CHECK;
/* When the first of a type's waiting jobs is visible; -1: none waits. */
int jobs_next_visible(struct store *s, const char *type, int64_t *ret_ms,
		      struct mh_err *err) MH_MUST_CHECK;
/* The oldest built-in job that nobody of this epoch has taken. */
int jobs_unclaimed(struct store *s, const char *epoch, int64_t now_ms, struct job *ret,
		   bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
/* Whether the emulator's own workers have one in hand, or one to do. */
int jobs_any_builtin(struct store *s, bool *ret, struct mh_err *err) MH_MUST_CHECK;
/* Nobody has built-in work in hand: all that is open may be claimed. */
int jobs_unclaim(struct store *s, struct mh_err *err) MH_MUST_CHECK;

#endif
