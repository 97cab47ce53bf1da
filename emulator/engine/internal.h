/* clang-format off */
/*
 * What the engine's files share. How an execution moves:
 *
 *  execution_start -> gate_arrive --> stage_enter --> stage_advance --> action_start
 *                      ^  | locked or     ^              ^               | job or approval,
 *                      |  v disabled:     |              |               v and a timer
 *                      | inbound -> gate_open            +-- action_succeed, action_fail
 *                      |              ^                       | nothing left
 *                      +--------------+-- end of the stage <--+-> end of the execution
 *
 * Nothing is kept in memory between calls: what comes next is always read from the rows,
 * so a restart needs no recovery. Every change of a state passes through changes.c.
 *
 * These functions fail only when the store does (or the database is broken), hence
 * struct mh_err; what a client may be told is decided in front of them.
 */
/* clang-format on */
#ifndef MH_EMULATOR_ENGINE_INTERNAL_H
#define MH_EMULATOR_ENGINE_INTERNAL_H

#include "emulator/builtin.h"
#include "emulator/engine/pipelines.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "emulator/store/action_executions.h"
#include "emulator/store/approvals.h"
#include "emulator/store/conditions.h"
#include "emulator/store/executions.h"
#include "emulator/store/jobs.h"
#include "emulator/store/stage_executions.h"
#include "emulator/store/timers.h"
#include "emulator/store/transitions.h"
#include "emulator/type_name.h"

/* ---- run.c: an execution and the declaration it runs under ---- */

struct run {
	struct execution exec;
	struct pipeline pipeline; /* at the execution's version */
};
int run_load(struct op_ctx *ctx, int64_t execution, struct run *ret,
	     struct mh_err *err) MH_MUST_CHECK;
void run_done(struct run *r);
static inline void clean_run(struct run *r)
{
	run_done(r);
}
/* The declared stage, borrowed; NULL past the last one. */
struct json_object *run_stage(const struct run *r, int64_t index);
/* The declared action, borrowed; NULL when there is none. */
struct json_object *run_action(const struct run *r, int64_t stage_index,
			       const char *name);
/* *ret_found false: the pipeline has no such execution. */
int run_find(struct op_ctx *ctx, const struct pipeline *p, const char *id,
	     struct run *ret, bool *ret_found, struct api_error *err) MH_MUST_CHECK;
/* StageNotFoundException. */
int pipeline_find_stage(const struct pipeline *p, const char *name, int64_t *ret_index,
			struct api_error *err) MH_MUST_CHECK;
/* NotLatestPipelineExecutionException. */
int stage_check_latest(struct op_ctx *ctx, const struct stage_execution *s,
		       struct api_error *err) MH_MUST_CHECK;
/* The artifact store of the region an action works in, borrowed; NULL when the pipeline
 * has none for it. */
struct json_object *run_artifact_store(const struct run *r, const char *region);
/* action_type_load, with the engine's kind of error. */
int type_load(struct op_ctx *ctx, struct json_object *id, struct action_type *ret,
	      bool *ret_found, struct mh_err *err) MH_MUST_CHECK;

/* An action execution and all it stands in. */
struct work {
	struct run run;
	struct stage_execution stage;
	struct action_execution action;
};
int work_load(struct op_ctx *ctx, int64_t action, struct work *ret,
	      struct mh_err *err) MH_MUST_CHECK;
void work_done(struct work *w);
static inline void clean_work(struct work *w)
{
	work_done(w);
}

/* ---- changes.c: the one place where states change ---- */

/* Each writes the row with its new state; one that is new (seq 0) is inserted. */
int change_execution(struct op_ctx *ctx, struct execution *e, enum execution_status to,
		     const char *summary, struct mh_err *err) MH_MUST_CHECK;
int change_stage(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		 enum stage_status to, struct mh_err *err) MH_MUST_CHECK;
int change_action(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		  enum action_status to, struct mh_err *err) MH_MUST_CHECK;
/* Rules are seen in views alone: no event tells of them. */
int change_rule(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		enum action_status to, struct mh_err *err) MH_MUST_CHECK;
int change_condition(struct op_ctx *ctx, struct run *r, struct condition *c,
		     enum condition_status to, const char *summary,
		     struct mh_err *err) MH_MUST_CHECK;
/* What was reported of a running action; its state stays. */
int change_progress(struct op_ctx *ctx, struct action_execution *a,
		    struct mh_err *err) MH_MUST_CHECK;

/* ---- events.c: what is told about changes ---- */

/* Each writes an event about a row as it is now; changes.c calls them. */
int event_execution(struct op_ctx *ctx, const struct execution *e,
		    struct mh_err *err) MH_MUST_CHECK;
int event_stage(struct op_ctx *ctx, const struct execution *e,
		const struct stage_execution *s, struct mh_err *err) MH_MUST_CHECK;
int event_action(struct op_ctx *ctx, const struct execution *e,
		 const struct action_execution *a, struct mh_err *err) MH_MUST_CHECK;
/* A request of an approval that was opened; config: the action's, resolved. */
int event_approval(struct op_ctx *ctx, const struct approval *request,
		   struct json_object *config, struct mh_err *err) MH_MUST_CHECK;

/* ---- executions.c ---- */

struct execution_start {
	const char *trigger_type, *trigger_detail;
	struct json_object *variables; /* [{"name","value"}], or NULL */
	struct json_object *revisions; /* sourceRevisions, or NULL */
	struct json_object *origin; /* as in struct execution; borrowed, may be NULL */
	const char *token; /* clientRequestToken, or NULL */
	bool automatic; /* nobody waits for the answer: what is wrong fails the execution,
			   and revisions are the engine's own pins */
};
/* ValidationException, ConcurrentPipelineExecutionsLimitExceededException. */
int execution_start(struct op_ctx *ctx, const struct pipeline *p,
		    const struct execution_start *how, char ret_id[STR_UUID_SIZE],
		    struct api_error *err) MH_MUST_CHECK;

/* One that is on its way to be inserted. */
struct run execution_new(struct op_ctx *ctx, const struct pipeline *p,
			 const struct execution_start *how);
/* Whether one more may run: ConcurrentPipelineExecutionsLimitExceededException. */
int execution_room(struct op_ctx *ctx, const struct pipeline *p,
		   struct api_error *err) MH_MUST_CHECK;

/* ---- gate.c: in front of a stage (semantics E4) ---- */

/* A new place in front of the stage, which nobody has looked at yet. */
int gate_place(struct op_ctx *ctx, struct run *r, int64_t stage_index,
	       struct stage_execution *ret, struct mh_err *err) MH_MUST_CHECK;
int gate_arrive(struct op_ctx *ctx, struct run *r, int64_t stage_index,
		struct mh_err *err) MH_MUST_CHECK;
/* The stage was unlocked, or its transition enabled: whoever may enter now does. */
int gate_open(struct op_ctx *ctx, const char *pipeline, const char *stage,
	      struct mh_err *err) MH_MUST_CHECK;

/* For every stage in front of which somebody waits: of older versions too, whose stages
 * need not be in the declaration any more. */
int gate_open_all(struct op_ctx *ctx, const char *pipeline,
		  struct mh_err *err) MH_MUST_CHECK;

/* ---- stages.c ---- */

int stage_enter(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		struct mh_err *err) MH_MUST_CHECK;
/* Does what the states of the stage's actions call for: starts the next group, ends the
 * stage, or waits. */
int stage_advance(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		  struct mh_err *err) MH_MUST_CHECK;

struct stage_look {
	bool running; /* an action is */
	bool failed; /* the last attempt of one did not succeed */
};
int stage_look(struct op_ctx *ctx, const struct run *r, const struct stage_execution *s,
	       struct stage_look *ret, struct mh_err *err) MH_MUST_CHECK;
/* The declared actions of the stage, borrowed. */
struct json_object *stage_actions(const struct run *r, const struct stage_execution *s);
/* Borrowed from list; NULL when the action was not started. */
const struct action_execution *stage_last_attempt(
	const struct action_execution_list *list, const char *action);
/* Its end: the execution goes on or ends with it, and the stage is free. summary may be
 * NULL. */
int stage_end(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
	      enum stage_status status, const char *summary,
	      struct mh_err *err) MH_MUST_CHECK;
/* The same as a failure, which (roll_back) may have the stage rolled back. */
int stage_fail(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
	       const char *summary, bool roll_back, struct mh_err *err) MH_MUST_CHECK;
/* The same because of its actions. */
int stage_fail_actions(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		       bool roll_back, struct mh_err *err) MH_MUST_CHECK;

/* ---- retry.c (semantics E8) ---- */

/* The same stage execution goes on: with new attempts of the actions that failed or were
 * abandoned, or (all) from its first group. */
int stage_retry(struct op_ctx *ctx, struct run *r, struct stage_execution *s, bool all,
		struct mh_err *err) MH_MUST_CHECK;
/* gate: the stage's onFailure, or NULL. */
bool retry_is_left(struct json_object *gate, const struct stage_execution *s);
/* Leaves the advance to its caller. */
int retry_automatic(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		    struct json_object *gate, struct mh_err *err) MH_MUST_CHECK;

/* ---- rollback.c (semantics E9) ---- */

/* The stage has failed: it goes back to its last success, when there is one. */
int rollback_automatic(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
		       struct mh_err *err) MH_MUST_CHECK;

/* ---- conditions.c (semantics E10) ---- */

/* The condition of a stage's phase, borrowed; NULL when there is none to ask. */
struct json_object *condition_declared(const struct run *r, int64_t stage_index,
				       enum stage_phase phase);
/* "beforeEntry", "onSuccess", "onFailure". */
const char *condition_member(enum stage_phase phase);
/* Does what the phase's condition calls for: asks it, waits, or draws the conclusion.
 * *ret_again: there is something new to look at. */
int condition_step(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		   bool *ret_again, struct mh_err *err) MH_MUST_CHECK;
/* Ends the condition that is being asked, when there is one; its rules are abandoned. */
int condition_drop(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
		   enum condition_status status, const char *why,
		   struct mh_err *err) MH_MUST_CHECK;

/* ---- rules.c ---- */

/* Starts it; what can be judged at once has ended then. What is wrong with it makes a
 * failed rule, not an error. */
int rule_start(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
	       const struct condition *c, struct json_object *declared,
	       struct mh_err *err) MH_MUST_CHECK;
/* The end of a worker's rule; the stage is advanced. code NULL: it succeeded. */
int rule_end(struct op_ctx *ctx, struct work *w, const char *code, const char *message,
	     struct mh_err *err) MH_MUST_CHECK;
int rule_abandon(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		 struct mh_err *err) MH_MUST_CHECK;
/* Its time is over. */
int rule_time_out(struct op_ctx *ctx, struct work *w, struct mh_err *err) MH_MUST_CHECK;
/* What its job is told, as action_config(). REFUSED when that is impossible. */
int rule_config(struct op_ctx *ctx, const struct work *w, struct json_object **ret,
		struct mh_err *err) MH_MUST_CHECK;

/* ---- values.c: what an action gets to see ---- */

/* Its configuration with the start's source overrides, and every variable resolved from
 * what succeeded before before_seq. REFUSED when that is impossible. */
int action_config(struct op_ctx *ctx, const struct run *r, struct json_object *declared,
		  int64_t before_seq, struct json_object **ret,
		  struct mh_err *err) MH_MUST_CHECK;
/* The declared configuration (a new reference) with the overrides laid over it. */
struct json_object *action_declared_config(const struct run *r,
					   struct json_object *declared);
/* Fills inputs and outputs of a. REFUSED when an input was never made. */
int action_artifacts(struct op_ctx *ctx, const struct run *r,
		     struct json_object *declared, struct action_execution *a,
		     struct mh_err *err) MH_MUST_CHECK;
/* Whether a source override can be honoured: NULL, or why not (a static text). */
const char *override_refusal(struct json_object *type, struct json_object *configuration,
			     const char *revision_type);

/* ---- actions.c ---- */

/* Starts it; what is wrong with it makes a failed action execution, not an error. Leaves
 * the stage to its caller. */
int action_start(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		 struct json_object *declared, struct mh_err *err) MH_MUST_CHECK;

/* What is told about an action's work. NULL, -1 and 0 mean: not told. */
struct action_report {
	const char *summary, *external_id, *external_url;
	int64_t percent; /* -1: not told */
	const char *revision_id, *revision_change_id, *revision_summary, *revision_url;
	int64_t revision_created_ms;
	struct json_object *variables; /* borrowed */
};

/* Takes the report into w->action; change_action or change_progress writes it. */
int action_report(struct op_ctx *ctx, struct work *w, const struct action_report *report,
		  struct mh_err *err) MH_MUST_CHECK;
/* The end of an action: artifacts published, stage advanced. */
int action_succeed(struct op_ctx *ctx, struct work *w, struct mh_err *err) MH_MUST_CHECK;
int action_fail(struct op_ctx *ctx, struct work *w, const char *code, const char *message,
		struct mh_err *err) MH_MUST_CHECK;
/* What does its work is not told; the stage is left to the caller (semantics C13). */
int action_abandon(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		   struct mh_err *err) MH_MUST_CHECK;

/* ---- jobs.c ---- */

/* The first job of an action execution, or one that follows (then with a token). */
int job_create(struct op_ctx *ctx, int64_t action, enum job_executor executor,
	       const char *type, const char *query_value, const char *token,
	       int64_t visible_ms, struct mh_err *err) MH_MUST_CHECK;
/* The first job of an action that is offered to workers under a custom type. */
int job_create_offered(struct op_ctx *ctx, int64_t action, const char *as,
		       struct json_object *config, struct mh_err *err) MH_MUST_CHECK;
int job_end(struct op_ctx *ctx, struct job *j, enum job_state state,
	    struct mh_err *err) MH_MUST_CHECK;
/* Ends the open job of an action execution, when there is one. */
int job_end_of(struct op_ctx *ctx, int64_t action, enum job_state state,
	       struct mh_err *err) MH_MUST_CHECK;

/* ---- job_data.c ---- */

/* The same for a worker inside the emulator; builtin_job_done() releases it. */
int job_data_builtin(struct op_ctx *ctx, const struct job *j, struct builtin_job *ret,
		     struct mh_err *err) MH_MUST_CHECK;

/* ---- approvals.c ---- */

/* Opens the request of an action execution; it ends by an answer or after limit_ms. */
int approval_open(struct op_ctx *ctx, const struct action_execution *a, int64_t limit_ms,
		  struct mh_err *err) MH_MUST_CHECK;

#endif
