/* Jobs from their creation to their end (semantics C). */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/variables.h"
#include "emulator/third_party.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A job that has ended is known this long (semantics G6). */
#define RETENTION_MS ((int64_t)7 * 24 * 3600 * 1000)
#define NONCE_SIZE   24

int job_create(struct op_ctx *ctx, int64_t action, enum job_executor executor,
	       const char *type, const char *query_value, const char *token,
	       int64_t visible_ms, struct mh_err *err)
{
	CLEAN(job)
	struct job j = {
		.action = action,
		.executor = executor,
		.type = mh_strdup(type),
		.query_value = mh_strdup(query_value),
		.state = visible_ms > ctx->now_ms ? JOB_CREATED : JOB_QUEUED,
		.visible_ms = visible_ms,
		.token = mh_strdup(token),
		.created_ms = ctx->now_ms,
	};

	ctx->ids->uuid(ctx->ids, j.id);
	if (executor == EXECUTOR_WORKER)
		ctx->new_work |= op_work_bit(type);
	return jobs_insert(ctx->store, &j, err);
}

int job_end(struct op_ctx *ctx, struct job *j, enum job_state state, struct mh_err *err)
{
	j->state = state;
	j->ended_ms = ctx->now_ms;
	return jobs_save(ctx->store, j, err);
}

int job_end_of(struct op_ctx *ctx, int64_t action, enum job_state state,
	       struct mh_err *err)
{
	CLEAN(job) struct job j = { 0 };
	bool found;

	if (jobs_open_of(ctx->store, action, &j, &found, err) != 0)
		return -1;
	return found ? job_end(ctx, &j, state, err) : 0;
}

/* ---- handing out ---- */

/* Dispatched until it is acknowledged; visible again when that does not happen in time.
 */
static int dispatch(struct op_ctx *ctx, struct job *j, struct mh_err *err)
{
	j->state = JOB_DISPATCHED;
	j->dispatches++;
	j->visible_ms = ctx->settings->duplicate_dispatch
				? ctx->now_ms
				: ctx->now_ms + ctx->settings->ack_timeout_ms;
	return jobs_save(ctx->store, j, err);
}

int engine_poll(struct op_ctx *ctx, const char *type, const char *query_value,
		int64_t limit, struct job_list *ret, struct api_error *err)
{
	CLEAN(job_list) struct job_list list = { 0 };
	struct mh_err e = MH_ERR_INIT;

	if (jobs_visible(ctx->store, type, query_value, ctx->now_ms, limit, &list, &e) !=
	    0)
		return api_fail_internal(err, &e);
	for (size_t i = 0; i < list.count; i++) {
		if (dispatch(ctx, &list.items[i], &e) != 0)
			return api_fail_internal(err, &e);
	}
	*ret = list;
	list = (struct job_list){ 0 };
	return 0;
}

int engine_next_visible(struct op_ctx *ctx, const char *type, int64_t *ret_ms,
			struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return jobs_next_visible(ctx->store, type, ret_ms, &e) == 0
		       ? 0
		       : api_fail_internal(err, &e);
}

static int fail_not_found(const char *job_id, struct api_error *err)
{
	return api_fail(err, "JobNotFoundException", "There is no job with ID '%s'",
			job_id);
}

/* A job of workers, of whichever family. */
static int find_job(struct op_ctx *ctx, const char *job_id, struct job *ret,
		    struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (jobs_find(ctx->store, job_id, &j, &found, &e) != 0)
		return api_fail_internal(err, &e);
	/* What the emulator runs itself is nobody else's job. */
	if (!found || j.executor != EXECUTOR_WORKER ||
	    (j.ended_ms && j.ended_ms + RETENTION_MS <= ctx->now_ms))
		return fail_not_found(job_id, err);
	*ret = j;
	j = (struct job){ 0 };
	return 0;
}

static int check_client(struct op_ctx *ctx, const struct job *j, const char *client_token,
			struct api_error *err)
{
	if (third_party_token_fits(ctx->settings, j->type, client_token))
		return 0;
	return api_fail(err, "InvalidClientTokenException",
			"The client token is not valid for job '%s'", j->id);
}

int engine_job_find(struct op_ctx *ctx, const char *job_id, const char *client_token,
		    struct job *ret, struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };

	if (find_job(ctx, job_id, &j, err) != 0)
		return -1;
	if (type_name_is_custom(j.type) != !client_token)
		return fail_not_found(job_id, err);
	if (client_token && check_client(ctx, &j, client_token, err) != 0)
		return -1;
	*ret = j;
	j = (struct job){ 0 };
	return 0;
}

int engine_third_party_job(struct op_ctx *ctx, const char *job_id,
			   const char *client_token, struct job *ret,
			   struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;

	if (find_job(ctx, job_id, &j, err) != 0)
		return -1;
	if (type_name_is_custom(j.type))
		return api_fail(err, "InvalidJobException",
				"Job '%s' is not a third-party job", job_id);
	if (check_client(ctx, &j, client_token, err) != 0)
		return -1;
	if (!job_state_is_open(j.state))
		return api_fail(err, "InvalidJobException",
				"Job '%s' has ended: its state is %s", job_id,
				job_state_name(j.state));
	if (j.dispatches == 0 && dispatch(ctx, &j, &e) != 0)
		return api_fail_internal(err, &e);
	*ret = j;
	j = (struct job){ 0 };
	return 0;
}

/* ---- acknowledging (semantics C4, C5) ---- */

static bool is_current_nonce(const struct job *j, const char *nonce)
{
	char current[NONCE_SIZE];

	if (j->dispatches == 0)
		return false;
	(void)snprintf(current, sizeof(current), "%" PRId64, j->dispatches); /* it fits */
	return strcmp(current, nonce) == 0;
}

int engine_acknowledge(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const char *nonce, enum job_state *ret_state,
		       struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;

	if (engine_job_find(ctx, job_id, client_token, &j, err) != 0)
		return -1;
	if (!is_current_nonce(&j, nonce) || (j.acknowledged && ctx->settings->strict_ack))
		return api_fail(
			err, "InvalidNonceException",
			"The nonce of job '%s' is not valid, or the job was acknowledged",
			job_id);
	if (!j.acknowledged) {
		j.acknowledged = true;
		j.acked_by = mh_strdup(ctx->caller_arn);
		if (job_state_is_open(j.state))
			j.state = JOB_IN_PROGRESS;
		if (jobs_save(ctx->store, &j, &e) != 0)
			return api_fail_internal(err, &e);
	}
	*ret_state = j.state;
	return 0;
}

/* ---- results ---- */

/* A result, said once more with the very same words (semantics G5). */
static bool is_repeated(struct op_ctx *ctx, const struct job *j, const char *digest)
{
	return ctx->settings->idempotent_results && j->result && digest &&
	       strcmp(j->result, digest) == 0;
}

static int check_result(struct op_ctx *ctx, const struct job *j, struct api_error *err)
{
	if (j->state != JOB_IN_PROGRESS)
		return api_fail(err, "InvalidJobStateException",
				"Job '%s' is not in progress: its state is %s", j->id,
				job_state_name(j->state));
	if (ctx->settings->result_owner_check && j->acked_by &&
	    strcmp(j->acked_by, ctx->caller_arn) != 0)
		return fail_not_found(j->id, err); /* it is not the caller's */
	return 0;
}

/* The job that a result is for; *ret_repeated: which has this result already. */
static int find_for_result(struct op_ctx *ctx, const char *job_id,
			   const char *client_token, const char *digest, struct job *ret,
			   bool *ret_repeated, struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };

	if (engine_job_find(ctx, job_id, client_token, &j, err) != 0)
		return -1;
	*ret_repeated = is_repeated(ctx, &j, digest);
	if (!*ret_repeated && check_result(ctx, &j, err) != 0)
		return -1;
	if (!*ret_repeated && ctx->settings->idempotent_results)
		j.result = mh_strdup(digest);
	*ret = j;
	j = (struct job){ 0 };
	return 0;
}

static int check_variables(const struct job_success *result, struct api_error *err)
{
	size_t bytes;

	if (!result->variables || json_object_object_length(result->variables) == 0)
		return 0;
	if (result->continuation_token)
		return api_fail(err, "ValidationException",
				"Output variables can only be given without a "
				"continuation token");
	bytes = variables_bytes(result->variables);
	if (bytes > VARIABLES_OUTPUT_MAX_BYTES)
		return api_fail(
			err, "OutputVariablesSizeExceededException",
			"The output variables are %zu bytes long, the limit is %zu",
			bytes, VARIABLES_OUTPUT_MAX_BYTES);
	return 0;
}

/* A type's jobTimeout is each job's own; every other limit is the action's (semantics
 * C11). */
static int restart_timer(struct op_ctx *ctx, const struct work *w, struct mh_err *err)
{
	CLEAN(action_type) struct action_type type = { 0 };
	bool found;

	if (type_load(ctx, w->action.type, &type, &found, err) != 0)
		return -1;
	if (!found || !type.job_timeout_ms)
		return 0;
	if (timers_delete_of(ctx->store, w->action.seq, err) != 0)
		return -1;
	return timers_insert(ctx->store, ctx->now_ms + type.job_timeout_ms, w->action.seq,
			     err);
}

/* The next job of the same action execution (semantics C10). */
static int continue_job(struct op_ctx *ctx, struct work *w, const struct job *j,
			const char *token, struct mh_err *err)
{
	if (change_progress(ctx, &w->action, err) != 0 || restart_timer(ctx, w, err) != 0)
		return -1;
	return job_create(ctx, j->action, j->executor, j->type, j->query_value, token,
			  ctx->now_ms + ctx->settings->continuation_delay_ms, err);
}

static int take_success(struct op_ctx *ctx, struct job *j,
			const struct job_success *result, struct mh_err *err)
{
	struct action_report report = {
		.summary = result->summary,
		.external_id = result->external_id,
		.percent = result->percent,
		.revision_id = result->revision,
		.revision_change_id = result->change_id,
		.revision_summary = result->revision_summary,
		.revision_created_ms = result->revision_created_ms,
		.variables = result->variables,
	};
	CLEAN(work) struct work w = { 0 };

	if (job_end(ctx, j, JOB_SUCCEEDED, err) != 0 ||
	    work_load(ctx, j->action, &w, err) != 0 ||
	    action_report(ctx, &w, &report, err) != 0)
		return -1;
	if (result->continuation_token)
		return continue_job(ctx, &w, j, result->continuation_token, err);
	return action_succeed(ctx, &w, err);
}

int engine_job_success(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const struct job_success *result, struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool repeated;

	if (find_for_result(ctx, job_id, client_token, result->digest, &j, &repeated,
			    err) != 0)
		return -1;
	if (repeated)
		return 0;
	if (check_variables(result, err) != 0)
		return -1;
	return take_success(ctx, &j, result, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

static int take_failure(struct op_ctx *ctx, struct job *j,
			const struct job_failure *result, struct mh_err *err)
{
	struct action_report report = { .percent = -1,
					.external_id = result->external_id };
	CLEAN(work) struct work w = { 0 };

	if (job_end(ctx, j, JOB_FAILED, err) != 0 ||
	    work_load(ctx, j->action, &w, err) != 0 ||
	    action_report(ctx, &w, &report, err) != 0)
		return -1;
	return action_fail(ctx, &w, result->type, result->message, err);
}

int engine_job_failure(struct op_ctx *ctx, const char *job_id, const char *client_token,
		       const struct job_failure *result, struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool repeated;

	if (find_for_result(ctx, job_id, client_token, result->digest, &j, &repeated,
			    err) != 0)
		return -1;
	if (repeated)
		return 0;
	return take_failure(ctx, &j, result, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
