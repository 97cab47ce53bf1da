/*
 * Pipeline executions. seq is the order of their starts: a greater one is newer.
 * Deleting an execution takes its stages, actions, jobs, approvals and timers along.
 */
#ifndef MH_EMULATOR_STORE_EXECUTIONS_H
#define MH_EMULATOR_STORE_EXECUTIONS_H

#include "emulator/store/status.h"
#include "emulator/store/store.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

extern const char *const executions_schema;

struct execution {
	int64_t seq;
	char id[STR_UUID_SIZE];
	char *pipeline; /* name */
	int64_t version;
	enum execution_mode mode; /* as of its start; governs it to its end */
	enum execution_status status;
	bool cancelling; /* Cancelled once its running actions have ended (semantics E5)
			  */
	bool stop_abandons; /* while Stopping: running actions are not waited for */
	char *stop_reason; /* of who stopped it; may be NULL */
	char *status_summary; /* may be NULL */
	char *trigger_type, *trigger_detail;
	struct json_object *variables; /* resolved pipeline variables, name to value */
	struct json_object *overrides; /* sourceRevisions of its start, or NULL; also
					  what the event that started it pinned */
	struct json_object *origin; /* of a start by git: the members that events tell
				       of it (semantics E20), or NULL */
	char *rollback_target; /* id of the execution whose revisions it brings back;
				  NULL: none, a STANDARD one */
	int64_t first_action; /* seq of action executions before it are of earlier
				 attempts */
	int64_t started_ms, updated_ms;
	int64_t attempt; /* 1 from its start on, one more with each retry; 0 before */
};
void execution_done(struct execution *e);
static inline void clean_execution(struct execution *e)
{
	execution_done(e);
}

struct execution_list {
	struct execution *items;
	size_t count;
};
void execution_list_done(struct execution_list *list);
static inline void clean_execution_list(struct execution_list *list)
{
	execution_list_done(list);
}

/* Sets e->seq. token and arguments (what a repeated start must repeat) may be NULL. */
int executions_insert(struct store *s, struct execution *e, const char *token,
		      const char *arguments, struct mh_err *err) MH_MUST_CHECK;
/* NOTFOUND when there is none. */
int executions_get(struct store *s, int64_t seq, struct execution *ret,
		   struct mh_err *err) MH_MUST_CHECK;
int executions_find(struct store *s, const char *pipeline, const char *id,
		    struct execution *ret, bool *ret_found,
		    struct mh_err *err) MH_MUST_CHECK;
/* The execution that a client's token started at or after since_ms. */
int executions_find_token(struct store *s, const char *pipeline, const char *token,
			  int64_t since_ms, char ret_id[STR_UUID_SIZE],
			  char **ret_arguments, bool *ret_found,
			  struct mh_err *err) MH_MUST_CHECK;
/* Writes status, cancelling, stop_abandons, stop_reason, status_summary, first_action,
 * updated_ms, attempt. */
int executions_save(struct store *s, const struct execution *e,
		    struct mh_err *err) MH_MUST_CHECK;
int executions_touch(struct store *s, int64_t seq, int64_t now_ms,
		     struct mh_err *err) MH_MUST_CHECK;
/* Whether one was ever started, and not deleted since. */
int executions_any(struct store *s, bool *ret, struct mh_err *err) MH_MUST_CHECK;
int executions_count_open(struct store *s, const char *pipeline, int64_t *ret,
			  struct mh_err *err) MH_MUST_CHECK;
/* The open ones of the locked modes, oldest first. */
int executions_open_locked(struct store *s, const char *pipeline,
			   struct execution_list *ret, struct mh_err *err) MH_MUST_CHECK;
/* Newest first, older than before_seq (0: from the newest). succeeded_in: NULL, or only
 * those of this version that Succeeded in that stage. */
int executions_page(struct store *s, const char *pipeline, int64_t before_seq,
		    const char *succeeded_in, int64_t version, int64_t limit,
		    struct execution_list *ret, struct mh_err *err) MH_MUST_CHECK;
int executions_delete_pipeline(struct store *s, const char *pipeline,
			       struct mh_err *err) MH_MUST_CHECK;

#endif
