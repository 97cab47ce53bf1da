/* What is left of jobs: descriptors at once, directories by the rule that a
 * success leaves nothing and the last failures stay for people to look at. */
#include "agent/agent_impl.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define KEEP_FAILED_MAX 1000

void agent_release_run(struct job_run *run)
{
	agent_stop_asking(run);
	agent_watch_leave(run);
	transfer_free(run->transfer);
	shim_free(run->shim);
	jobdata_free(run->data);
	agent_leave_target(run);
	if (run->lock_fd >= 0)
		(void)close(run->lock_fd); /* gives the lock back */
	if (run->dir_fd >= 0)
		(void)close(run->dir_fd); /* a directory: nothing to lose */
	agent_release_past(run->past);
	free(run);
}

/* One more failure is kept, so the oldest of them goes. */
static void drop_oldest_failure(struct agent *a)
{
	size_t keep = (size_t)a->settings->keep_failed, count = 0;
	CLEAN(free) int64_t *failed = mh_alloc((keep + 1) * sizeof(*failed));
	struct mh_err err = MH_ERR_INIT;

	if (ledger_failed(a->ledger, failed, keep + 1, &count, &err) != 0)
		log_event(LOG_LEVEL_WARN, "job.not_removed",
			  "old failures could not be listed", LOG_ERR(&err), LOG_END);
	else if (count > keep)
		jobdir_remove(a->dirs, failed[keep]);
}

void agent_clean(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	const struct job_record *rec = &job->rec;

	if (!rec->owned && !run->has_dirs)
		return;
	run->has_dirs = false;
	shim_free(STEAL_PTR(run->shim));
	jobdata_free(STEAL_PTR(run->data));
	if (rec->state == JOB_CLOSED && rec->kind == OUTCOME_FAILURE && rec->runs > 0 &&
	    a->settings->keep_failed > 0) {
		jobdir_remove_archives(a->dirs, rec->n);
		drop_oldest_failure(a);
		return;
	}
	FAULT_POINT("clean.before");
	jobdir_remove(a->dirs, rec->n);
}

struct keep {
	const struct agent *agent;
	int64_t *failed;
	size_t count;
};

static bool is_kept(void *ctx, int64_t n)
{
	const struct keep *keep = ctx;

	for (const struct job *job = keep->agent->jobs; job; job = job->next) {
		if (job->rec.n == n)
			return true;
	}
	for (size_t i = 0; i < keep->count; i++) {
		if (keep->failed[i] == n)
			return true;
	}
	return false;
}

int agent_sweep(struct agent *a, struct mh_err *err)
{
	size_t max = (size_t)a->settings->keep_failed;
	CLEAN(free) int64_t *failed = mh_alloc((max + 1) * sizeof(*failed));
	struct keep keep = { .agent = a, .failed = failed };

	if (ledger_failed(a->ledger, failed, max, &keep.count, err) != 0)
		return -1;
	return jobdirs_sweep(a->dirs, is_kept, &keep, err);
}
