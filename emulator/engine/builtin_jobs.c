/* Jobs of the workers inside the emulator: the same jobs, claimed instead of polled. */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"

#include <string.h>

#define SUMMARY_MAX_BYTES 2048
#define ID_MAX_BYTES      1500
#define MESSAGE_MAX_BYTES 5000

static int claim(struct op_ctx *ctx, const char *epoch, struct builtin_job *ret,
		 bool *ret_found, struct mh_err *err)
{
	CLEAN(job) struct job j = { 0 };
	bool found;

	if (jobs_unclaimed(ctx->store, epoch, ctx->now_ms, &j, &found, err) != 0)
		return -1;
	if (found) {
		free(j.claim_epoch);
		j.claim_epoch = mh_strdup(epoch);
		j.state = JOB_IN_PROGRESS;
		if (jobs_save(ctx->store, &j, err) != 0 ||
		    job_data_builtin(ctx, &j, ret, err) != 0)
			return -1;
	}
	*ret_found = found;
	return 0;
}

int engine_claim_builtin(struct op_ctx *ctx, const char *claim_epoch,
			 struct builtin_job *ret, bool *ret_found, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return claim(ctx, claim_epoch, ret, ret_found, &e) == 0
		       ? 0
		       : api_fail_internal(err, &e);
}

/* What workers tell was held against the API's limits when it came in; what the
 * built-in ones tell (a commit message, say) is cut to them here. */
static char *cut(const char *text, size_t max_bytes)
{
	return text ? mh_strndup(text, str_utf8_floor(text, strlen(text), max_bytes))
		    : NULL;
}

static int finish(struct op_ctx *ctx, struct job *j, const struct builtin_result *result,
		  struct mh_err *err)
{
	CLEAN(free) char *summary = cut(result->summary, SUMMARY_MAX_BYTES);
	CLEAN(free)
	char *revision_summary = cut(result->revision_summary, SUMMARY_MAX_BYTES);
	CLEAN(free) char *external_id = cut(result->external_id, ID_MAX_BYTES);
	CLEAN(free) char *revision_id = cut(result->revision_id, ID_MAX_BYTES);
	CLEAN(free)
	char *message = cut(result->message ? result->message : result->failure_type,
			    MESSAGE_MAX_BYTES);
	struct action_report report = {
		.summary = summary,
		.external_id = external_id,
		.external_url = result->external_url,
		.percent = -1,
		.revision_id = revision_id,
		.revision_summary = revision_summary,
		.revision_url = result->revision_url,
		.revision_created_ms = result->revision_created_ms,
		.variables = result->variables,
	};
	CLEAN(work) struct work w = { 0 };

	if (job_end(ctx, j, result->failure_type ? JOB_FAILED : JOB_SUCCEEDED, err) !=
		    0 ||
	    work_load(ctx, j->action, &w, err) != 0 ||
	    action_report(ctx, &w, &report, err) != 0)
		return -1;
	if (result->failure_type)
		return action_fail(ctx, &w, result->failure_type, message, err);
	return action_succeed(ctx, &w, err);
}

int engine_finish_builtin(struct op_ctx *ctx, const char *job_id,
			  const struct builtin_result *result, struct api_error *err)
{
	CLEAN(job) struct job j = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (jobs_find(ctx->store, job_id, &j, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found || j.executor != EXECUTOR_BUILTIN || !job_state_is_open(j.state))
		return 0; /* it ended meanwhile, or its pipeline is gone */
	return finish(ctx, &j, result, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
