/* What is left of jobs: descriptors at once, directories by the rule that a
 * success leaves nothing and the last failures stay for people to look at, unless
 * keep_failed, keep_succeeded and keep_for say otherwise. */
#include "agent/agent_impl.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

void agent_close_listener(struct job_run *run)
{
	if (run->listen_fd >= 0)
		(void)close(run->listen_fd); /* the shim has its own */
	run->listen_fd = -1;
}

void agent_release_run(struct job_run *run)
{
	agent_stop_asking(run);
	agent_watch_leave(run);
	transfer_free(run->transfer);
	shim_free(run->shim);
	jobdata_free(run->data);
	agent_leave_target(run);
	agent_close_listener(run);
	if (run->lock_fd >= 0)
		(void)close(run->lock_fd); /* gives the lock back */
	if (run->dir_fd >= 0)
		(void)close(run->dir_fd); /* a directory: nothing to lose */
	agent_release_past(run->past);
	free(run);
}

/* How many of those that ended so are kept. */
static size_t kept(const struct agent *a, enum outcome_kind kind)
{
	if (kind == OUTCOME_FAILURE)
		return (size_t)a->settings->keep_failed;
	return kind == OUTCOME_SUCCESS ? (size_t)a->settings->keep_succeeded : 0;
}

/* One more is kept, so the oldest of them goes. */
static void drop_oldest(struct agent *a, enum outcome_kind kind)
{
	size_t keep = kept(a, kind), count = 0;
	CLEAN(free) int64_t *n = mh_alloc((keep + 1) * sizeof(*n));
	struct mh_err err = MH_ERR_INIT;

	if (ledger_finished(a->ledger, kind, 0, n, keep + 1, &count, &err) != 0)
		log_event(LOG_LEVEL_WARN, "job.not_removed",
			  "old jobs could not be listed", LOG_ERR(&err), LOG_END);
	else if (count > keep)
		jobdir_remove(a->dirs, n[keep]);
}

/* The next job may have its directories. Not where another shim might still come for
 * this one: its lock and its result are what would stop that. */
static bool keep_for_next(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	const struct action_settings *action = agent_action(a, job);
	bool ended = action && !action->sandbox.detach;

	if (job->rec.state != JOB_CLOSED || job->rec.runs != 1 || run->listen_fd < 0 ||
	    !zygote_is_sure(a->zygote) || a->disk_full || run->work_dropped)
		return false;
	if (run->lock_fd >= 0)
		(void)close(run->lock_fd); /* gives the lock back */
	run->lock_fd = -1;
	return jobdir_keep(a->dirs, job->rec.n, &run->dir_fd, &run->listen_fd, ended);
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
	if (rec->state == JOB_CLOSED && rec->runs > 0 && kept(a, rec->kind) > 0 &&
	    !a->disk_full) {
		if (run->dir_fd >= 0)
			jobdir_drop_socket(run->dir_fd);
		jobdir_remove_archives(a->dirs, rec->n);
		drop_oldest(a, rec->kind);
		return;
	}
	FAULT_POINT("clean.before");
	if (!keep_for_next(a, job))
		jobdir_remove(a->dirs, rec->n);
}

struct keep {
	const struct agent *agent;
	int64_t *n;
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
		if (keep->n[i] == n)
			return true;
	}
	return false;
}

int agent_sweep(struct agent *a, struct mh_err *err)
{
	static const enum outcome_kind kinds[] = { OUTCOME_FAILURE, OUTCOME_SUCCESS };
	size_t max = kept(a, OUTCOME_FAILURE) + kept(a, OUTCOME_SUCCESS);
	int64_t since_ms = clock_wall_ms() - a->settings->keep_for_ms;
	CLEAN(free) int64_t *n = mh_alloc((max + 1) * sizeof(*n));
	struct keep keep = { .agent = a, .n = n };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t count = 0;

		if (ledger_finished(a->ledger, kinds[i], since_ms, n + keep.count,
				    kept(a, kinds[i]), &count, err) != 0)
			return -1;
		keep.count += count;
	}
	return jobdirs_sweep(a->dirs, is_kept, &keep, err);
}
