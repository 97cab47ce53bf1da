/*
 * Stage executions: one row per arrival of an execution at a stage. It is INBOUND while
 * the execution waits in front of the stage, then holds the stage's lock until it ends.
 * seq is the order of arrival. An arrival that never enters loses its row.
 */
#ifndef MH_EMULATOR_STORE_STAGE_EXECUTIONS_H
#define MH_EMULATOR_STORE_STAGE_EXECUTIONS_H

#include "emulator/store/status.h"
#include "emulator/store/store.h"
#include "lib/base/str.h"

extern const char *const stage_executions_schema;

struct stage_execution {
	int64_t seq;
	int64_t execution; /* seq of its execution */
	char execution_id[STR_UUID_SIZE]; /* read only */
	char *pipeline, *stage; /* names */
	int64_t stage_index; /* in the execution's version of the pipeline */
	bool locked; /* takes part in locking: not PARALLEL */
	enum stage_status status;
	int64_t arrived_ms, entered_ms, ended_ms; /* 0: not yet */
	int64_t first_action; /* seq: action executions before it count no more (a retry
				 of all actions) */
	int64_t manual_retries, auto_retries;
	int64_t retried_ms; /* when it was last tried again; 0: never */
	bool retried_by_itself; /* the latest retry was an automatic one */
	enum stage_phase phase; /* what is being done, or was done last */
	int64_t condition; /* seq of the phase's condition; 0: not asked yet */
	bool rollback; /* of a ROLLBACK execution; read only */
};
void stage_execution_done(struct stage_execution *s);
static inline void clean_stage_execution(struct stage_execution *s)
{
	stage_execution_done(s);
}

struct stage_execution_list {
	struct stage_execution *items;
	size_t count;
};
void stage_execution_list_done(struct stage_execution_list *list);
static inline void clean_stage_execution_list(struct stage_execution_list *list)
{
	stage_execution_list_done(list);
}

/* Sets row->seq. */
int stage_executions_insert(struct store *s, struct stage_execution *row,
			    struct mh_err *err) MH_MUST_CHECK;
/* Writes what changes: everything from status on but arrived_ms. */
int stage_executions_save(struct store *s, const struct stage_execution *row,
			  struct mh_err *err) MH_MUST_CHECK;
int stage_executions_delete(struct store *s, int64_t seq,
			    struct mh_err *err) MH_MUST_CHECK;
/* NOTFOUND when there is none. */
int stage_executions_get(struct store *s, int64_t seq, struct stage_execution *ret,
			 struct mh_err *err) MH_MUST_CHECK;
/* Whether an execution of a locked mode is inside the stage. */
int stage_executions_is_locked(struct store *s, const char *pipeline, const char *stage,
			       bool *ret, struct mh_err *err) MH_MUST_CHECK;
/* Who waits in front of the stage, in order of arrival. */
int stage_executions_inbound(struct store *s, const char *pipeline, const char *stage,
			     bool locked, struct stage_execution_list *ret,
			     struct mh_err *err) MH_MUST_CHECK;
/* Who waits in front of the stage arrives anew, behind everybody, in the same order. */
int stage_executions_behind(struct store *s, const char *pipeline, const char *stage,
			    struct mh_err *err) MH_MUST_CHECK;
/* The first stage behind `after` in the order of names ("": of all) in front of which
 * somebody waits; the caller frees it. NULL: none. */
int stage_executions_next_waiting(struct store *s, const char *pipeline,
				  const char *after, char **ret,
				  struct mh_err *err) MH_MUST_CHECK;
/* Where an open execution is: the row that is INBOUND or not ended. */
int stage_executions_open_of(struct store *s, int64_t execution,
			     struct stage_execution *ret, bool *ret_found,
			     struct mh_err *err) MH_MUST_CHECK;
/* The last time that an execution entered the stage. */
int stage_executions_of(struct store *s, int64_t execution, const char *stage,
			struct stage_execution *ret, bool *ret_found,
			struct mh_err *err) MH_MUST_CHECK;
/* Which STANDARD execution of this version of the pipeline succeeded in the stage last:
 * its seq, 0 when none did. */
int stage_executions_last_success(struct store *s, const char *pipeline,
				  const char *stage, int64_t version, int64_t *ret,
				  struct mh_err *err) MH_MUST_CHECK;
/* The last one of the locked modes that entered the stage. */
int stage_executions_latest(struct store *s, const char *pipeline, const char *stage,
			    struct stage_execution *ret, bool *ret_found,
			    struct mh_err *err) MH_MUST_CHECK;

#endif
