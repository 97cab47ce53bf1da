/*
 * Action executions, and the artifacts of an execution. The rules of a stage's condition
 * are action executions too, with their jobs and time limits: one whose condition is not
 * 0 is a rule, and only the functions that say so find it. The configuration stands in a
 * row as declared and as resolved, both with secrets masked. Job data, which alone shows
 * secrets (semantics I5), is made from the declaration again each time.
 */
#ifndef MH_EMULATOR_STORE_ACTION_EXECUTIONS_H
#define MH_EMULATOR_STORE_ACTION_EXECUTIONS_H

#include "emulator/store/status.h"
#include "emulator/store/store.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

extern const char *const action_executions_schema;
extern const char *const artifacts_schema;

struct action_execution {
	int64_t seq;
	char id[STR_UUID_SIZE];
	int64_t execution; /* seq of its execution */
	char execution_id[STR_UUID_SIZE]; /* read only */
	int64_t version; /* of the pipeline; read only */
	int64_t stage_execution; /* seq */
	int64_t condition; /* seq of the condition it is a rule of; 0: an action */
	char *pipeline, *stage, *action; /* names */
	bool locked; /* not of a PARALLEL execution */
	struct json_object *type; /* ActionTypeId */
	char *role_arn, *region, *name_space; /* as declared; may be NULL */
	struct json_object *config_masked, *resolved_masked; /* the latter may be NULL */
	struct json_object *inputs; /* [{"name","bucket","key","revision"}] */
	struct json_object *outputs; /* the same; fixed when the action starts (E19) */
	int64_t started_ms;
	/* What changes while it runs. */
	enum action_status status;
	int64_t updated_ms, status_ms; /* of any report, of the status */
	char *updated_by; /* ARN; may be NULL, as all below */
	char *summary, *external_id, *external_url;
	int64_t percent; /* -1: never told */
	char *error_code, *error_message;
	char *revision_id, *revision_change_id, *revision_summary, *revision_url;
	int64_t revision_created_ms; /* 0: unknown */
	struct json_object *variables; /* output variables, name to value */
};
void action_execution_done(struct action_execution *a);
static inline void clean_action_execution(struct action_execution *a)
{
	action_execution_done(a);
}

struct action_execution_list {
	struct action_execution *items;
	size_t count;
};
void action_execution_list_done(struct action_execution_list *list);
static inline void clean_action_execution_list(struct action_execution_list *list)
{
	action_execution_list_done(list);
}

/* Sets a->seq. */
int action_executions_insert(struct store *s, struct action_execution *a,
			     struct mh_err *err) MH_MUST_CHECK;
/* Writes what changes while it runs. */
int action_executions_save(struct store *s, const struct action_execution *a,
			   struct mh_err *err) MH_MUST_CHECK;
/* NOTFOUND when there is none. */
/* By id; pipeline NULL: of any. */
int action_executions_exists(struct store *s, const char *pipeline, const char *id,
			     bool *ret, struct mh_err *err) MH_MUST_CHECK;
int action_executions_get(struct store *s, int64_t seq, struct action_execution *ret,
			  struct mh_err *err) MH_MUST_CHECK;
/* Those of a stage execution from from_seq on, oldest first. */
int action_executions_of_stage(struct store *s, int64_t stage_execution, int64_t from_seq,
			       struct action_execution_list *ret,
			       struct mh_err *err) MH_MUST_CHECK;
/* What the next one's seq is going to be. */
int action_executions_next_seq(struct store *s, int64_t *ret,
			       struct mh_err *err) MH_MUST_CHECK;
/* Those of an execution that Succeeded, oldest first. */
int action_executions_succeeded(struct store *s, int64_t execution,
				struct action_execution_list *ret,
				struct mh_err *err) MH_MUST_CHECK;
/* The last one of an action in the locked modes. */
int action_executions_latest(struct store *s, const char *pipeline, const char *stage,
			     const char *action, struct action_execution *ret,
			     bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
/* Newest first, before before_seq (0: from the newest), from from_seq on; execution 0: of
 * all. */
int action_executions_page(struct store *s, const char *pipeline, int64_t execution,
			   int64_t from_seq, int64_t before_seq, int64_t limit,
			   struct action_execution_list *ret,
			   struct mh_err *err) MH_MUST_CHECK;

/* The rules of a condition, in the order of their start. */
int action_executions_of_condition(struct store *s, int64_t condition,
				   struct action_execution_list *ret,
				   struct mh_err *err) MH_MUST_CHECK;
/* All rules that are in progress, of whatever pipeline. */
int action_executions_rules_running(struct store *s, struct action_execution_list *ret,
				    struct mh_err *err) MH_MUST_CHECK;
/* As action_executions_page, of rules. */
int action_executions_rules_page(struct store *s, const char *pipeline, int64_t execution,
				 int64_t from_seq, int64_t before_seq, int64_t limit,
				 struct action_execution_list *ret,
				 struct mh_err *err) MH_MUST_CHECK;

/* An execution's artifact: where its producer put it. */
struct artifact {
	char *bucket, *key;
	char *revision; /* of a source's output; else NULL */
};
void artifact_done(struct artifact *a);
static inline void clean_artifact(struct artifact *a)
{
	artifact_done(a);
}
/* Adds it, or takes the place of what an earlier attempt made. */
int artifacts_put(struct store *s, int64_t execution, const char *name,
		  const char *bucket, const char *key, const char *revision,
		  struct mh_err *err) MH_MUST_CHECK;
/* Those of one execution become those of another, which has none yet. */
int artifacts_copy(struct store *s, int64_t from_execution, int64_t to_execution,
		   struct mh_err *err) MH_MUST_CHECK;
int artifacts_get(struct store *s, int64_t execution, const char *name,
		  struct artifact *ret, bool *ret_found,
		  struct mh_err *err) MH_MUST_CHECK;

#endif
