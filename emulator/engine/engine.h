/*
 * The pipeline engine (semantics E): what happens to executions, stages, actions
 * and jobs when something occurs. Functions of (transaction, now, ids) alone.
 * Operations (emulator/api/) translate between the API and these functions.
 */
#ifndef MH_EMULATOR_ENGINE_ENGINE_H
#define MH_EMULATOR_ENGINE_ENGINE_H

#include "emulator/builtin.h"
#include "emulator/engine/pipelines.h"
#include "emulator/op.h"
#include "emulator/store/approvals.h"
#include "emulator/store/jobs.h"

/* For writer_options. */
int engine_fire_due(struct op_ctx *ctx, bool *ret_fired, struct api_error *err);
int64_t engine_next_due(struct op_ctx *ctx);
/* A writer_fn, once at the start: the rows of scheduled starts become what the settings
 * say. */
int engine_schedules_set(struct op_ctx *ctx, void *arg, struct api_error *err);

/* ---- executions ---- */

/* Starts an execution because a client asked. variables ([{"name","value"}]) and
 * revisions (sourceRevisions) may be NULL. A token that started one within the last 24 h
 * gives that one's id again (semantics E14). ValidationException,
 * ConcurrentPipelineExecutionsLimitExceededException. */
int engine_start(struct op_ctx *ctx, const struct pipeline *p,
		 struct json_object *variables, struct json_object *revisions,
		 const char *token, char ret_id[STR_UUID_SIZE],
		 struct api_error *err) MH_MUST_CHECK;
/* Tells of a new revision for a source action (semantics E15): one that no execution has
 * taken yet starts one; else *ret_id is of the one that did. action is declared by p.
 * ConcurrentPipelineExecutionsLimitExceededException. */
int engine_put_revision(struct op_ctx *ctx, const struct pipeline *p,
			struct json_object *action, const char *revision,
			char ret_id[STR_UUID_SIZE], bool *ret_new,
			struct api_error *err) MH_MUST_CHECK;
/* Enables (reason NULL) or disables the transition into or out of a stage (semantics E4,
 * G13); who waits for it goes on. StageNotFoundException. */
int engine_set_transition(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
			  bool outbound, const char *reason,
			  struct api_error *err) MH_MUST_CHECK;
/* Stops an execution (semantics E7): at once (abandon), or when its running actions have
 * ended. reason may be NULL. PipelineExecutionNotStoppableException,
 * DuplicatedStopRequestException. */
int engine_stop(struct op_ctx *ctx, const struct pipeline *p, const char *id,
		bool abandon, const char *reason, struct api_error *err) MH_MUST_CHECK;
/* Runs the failed actions of a stage again, or all of them (semantics E8).
 * StageNotFoundException, StageNotRetryableException,
 * NotLatestPipelineExecutionException, ConflictException,
 * ConcurrentPipelineExecutionsLimitExceededException. */
int engine_retry(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		 const char *id, bool all, struct api_error *err) MH_MUST_CHECK;

/* Rolls a stage back to an execution that succeeded in it (semantics E9).
 * StageNotFoundException, PipelineExecutionNotFoundException,
 * PipelineExecutionOutdatedException, UnableToRollbackStageException, ConflictException.
 */
int engine_rollback(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		    const char *target_id, char ret_id[STR_UUID_SIZE],
		    struct api_error *err) MH_MUST_CHECK;

/* Lets a stage go on whose condition (PHASE_ENTRY, PHASE_SUCCESS) is being asked, or has
 * made it fail. StageNotFoundException, ConditionNotOverridableException,
 * NotLatestPipelineExecutionException, ConflictException,
 * ConcurrentPipelineExecutionsLimitExceededException. */
int engine_override(struct op_ctx *ctx, const struct pipeline *p, const char *stage,
		    const char *id, enum stage_phase phase,
		    struct api_error *err) MH_MUST_CHECK;
/* What CloudWatch would say: an alarm is in a state ("OK", "ALARM", "INSUFFICIENT_DATA");
 * rules that wait for it go on. ValidationException. For the admin interface and tests:
 * an operation like the others, called through the writer. */
int engine_alarm_set(struct op_ctx *ctx, const char *name, const char *state,
		     struct api_error *err) MH_MUST_CHECK;

/* ---- jobs of workers (semantics C) ----
 *
 * client_token: NULL speaks of custom jobs, everything else of third-party jobs, and must
 * be the token of the job's client (C14): else InvalidClientTokenException. */

/* Hands out up to limit jobs, each with a new nonce. type: "Build/Custom/Make/1". Writes
 * nothing when there are none. */
int engine_poll(struct op_ctx *ctx, const char *type, const char *query_value,
		int64_t limit, struct job_list *ret, struct api_error *err) MH_MUST_CHECK;
/* From when on a poll for the type has a job (of whatever queryable value), by what is
 * known now: a time that may be over; -1: none. */
int engine_next_visible(struct op_ctx *ctx, const char *type, int64_t *ret_ms,
			struct api_error *err) MH_MUST_CHECK;
/* InvalidNonceException, JobNotFoundException. */
int engine_acknowledge(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const char *nonce, enum job_state *ret_state,
		       struct api_error *err) MH_MUST_CHECK;
/* JobNotFoundException: also for a job of the other family. */
int engine_job_find(struct op_ctx *ctx, const char *job_id, const char *client_token,
		    struct job *ret, struct api_error *err) MH_MUST_CHECK;
/* For GetThirdPartyJobDetails, which tells the nonce: one that was never handed out is
 * now. InvalidJobException for a custom job and for one that has ended (C5). */
int engine_third_party_job(struct op_ctx *ctx, const char *job_id,
			   const char *client_token, struct job *ret,
			   struct api_error *err) MH_MUST_CHECK;
/* The API's JobData of a job. Credentials are minted anew at each call; a job that has
 * ended gets none (semantics G7). */
int engine_job_data(struct op_ctx *ctx, const struct job *j, struct json_object **ret,
		    struct api_error *err) MH_MUST_CHECK;

struct job_success {
	const char *continuation_token; /* NULL: the action is done */
	const char *summary, *external_id; /* NULL: as told before */
	int64_t percent; /* -1: as told before */
	const char *revision, *change_id, *revision_summary;
	int64_t revision_created_ms; /* 0: now */
	struct json_object *variables; /* borrowed; may be NULL */
	const char *digest; /* of all that was sent: the same for the same; may be NULL */
};
/* JobNotFoundException, InvalidJobStateException, OutputVariablesSizeExceededException,
 * ValidationException. */
int engine_job_success(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const struct job_success *result,
		       struct api_error *err) MH_MUST_CHECK;
struct job_failure {
	const char *type; /* one of the six */
	const char *message;
	const char *external_id; /* NULL: as told before */
	const char *digest; /* as above */
};
/* JobNotFoundException, InvalidJobStateException. */
int engine_job_failure(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const struct job_failure *result,
		       struct api_error *err) MH_MUST_CHECK;

/* ---- approvals (semantics E16) ---- */

/* Answers an open request. */
int engine_approval_answer(struct op_ctx *ctx, const struct approval *request,
			   bool approved, const char *summary,
			   struct api_error *err) MH_MUST_CHECK;

#endif
