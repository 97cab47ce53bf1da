/* Whether the host has room for jobs, what is removed when it has not, and what is left
 * of jobs that are over (limits and reserve: host.h). */
#include "agent/agent_impl.h"
#include "agent/host.h"
#include "agent/metrics.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define LOOK_LOW_MS    5000 /* while there is too little space */
#define FRESH_MS       1000
#define SWEEP_EVERY_MS (3600 * INT64_C(1000))

/* --- looking -------------------------------------------------------------------------
 */

/* The one of both file systems that lacks something, or any; what cannot be asked is no
 * reason to stop working. */
static enum host_lack measure(struct agent *a, struct host_space *ret)
{
	const struct host_limits limits = {
		.bytes = a->settings->min_free_bytes,
		.bytes_percent = a->settings->min_free_percent,
		.inodes_percent = a->settings->min_free_inodes,
	};
	enum host_lack lack = HOST_LACKS_NOTHING;
	int fds[JOBDIRS_PLACES];

	jobdirs_places(a->dirs, fds);
	for (size_t i = 0; i < ARRAY_LEN(fds) && lack == HOST_LACKS_NOTHING; i++) {
		struct mh_err ignored;

		if (host_measure(fds[i], ret, &ignored) == 0)
			lack = host_judge(&limits, ret, a->disk_full);
	}
	return lack;
}

/* Without it there is no room either: the next full disk would find nothing kept back. */
static bool has_reserve(struct agent *a)
{
	struct mh_err err = MH_ERR_INIT;

	if (a->host.reserved && host_reserve_is_whole(jobdirs_state_fd(a->dirs)))
		return true;
	a->host.reserved = false;
	if (host_reserve_make(jobdirs_state_fd(a->dirs), &err) == 0) {
		a->host.reserved = true;
		return true;
	}
	if (!a->host.reserve_missed)
		log_event(
			LOG_LEVEL_WARN, "disk.no_reserve",
			"no space can be kept back for results; no jobs are taken until "
			"there is some",
			LOG_ERR(&err), LOG_END);
	a->host.reserve_missed = true;
	return false;
}

bool agent_give_reserve(struct agent *a)
{
	/* Also what an agent before us, or a shim, left of it. */
	bool given = host_reserve_give(jobdirs_state_fd(a->dirs));

	a->host.reserved = false;
	a->disk_at_ms = 0;
	if (given)
		log_event(LOG_LEVEL_WARN, "disk.reserve_used",
			  "the disk is full: the space kept back for results is used",
			  LOG_END);
	return given;
}

/* --- making room ---------------------------------------------------------------------
 */

static bool is_open(void *ctx, int64_t n)
{
	const struct agent *a = ctx;

	for (const struct job *job = a->jobs; job; job = job->next) {
		if (job->rec.n == n)
			return true;
	}
	return false;
}

static void log_collected(struct agent *a, int64_t n)
{
	a->host.collected++;
	METRIC_INC(METRIC_COLLECTED, NULL);
	log_event(LOG_LEVEL_WARN, "disk.collected",
		  "what was kept of a finished job is removed to make room",
		  LOG_I("n", n), LOG_END);
}

void agent_drop_workspaces(struct agent *a)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		enum job_state state = job->rec.state;

		if (!job->run->has_dirs || job->run->work_dropped ||
		    (state != JOB_STORING && state != JOB_OUTCOME &&
		     state != JOB_REPORTING))
			continue;
		job->run->work_dropped = true;
		jobdir_remove_work(a->dirs, job->rec.n);
		log_collected(a, job->rec.n);
	}
}

/* The oldest directories of jobs that are over, one after the other. One that cannot be
 * removed is not tried again before there was room. */
static void collect(struct agent *a)
{
	int64_t n = 0;

	if (jobdirs_busy(a->dirs) ||
	    !jobdirs_oldest(a->dirs, a->host.collected_to, is_open, a, &n))
		return;
	a->host.collected_to = n;
	a->host.collecting = true;
	jobdir_remove(a->dirs, n);
	log_collected(a, n);
}

static void log_low(const struct agent *a, enum host_lack lack)
{
	const struct host_space *s = &a->host.space;

	log_event(LOG_LEVEL_ERROR, "disk.low",
		  "too little room to take jobs (min_free, min_free_percent, "
		  "min_free_inodes)",
		  LOG_S("lack",
			lack == HOST_LACKS_NOTHING ? "reserve" : host_lack_name(lack)),
		  LOG_I("free_bytes", s->bytes), LOG_I("free_inodes", s->inodes),
		  LOG_I("min_free", a->settings->min_free_bytes), LOG_END);
}

static void look(struct agent *a, int64_t now)
{
	enum host_lack lack = measure(a, &a->host.space);
	bool low = lack != HOST_LACKS_NOTHING || !has_reserve(a);

	a->host.collecting = false;
	if (low && !a->disk_full)
		log_low(a, lack);
	if (!low && a->disk_full) {
		log_event(LOG_LEVEL_INFO, "disk.ok", "there is room again", LOG_END);
		a->host.collected_to = 0;
		a->host.reserve_missed = false;
	}
	a->disk_full = low;
	a->disk_at_ms = now + (low ? LOOK_LOW_MS : FRESH_MS);
	if (low)
		collect(a);
}

/* --- what is kept for people ---------------------------------------------------------
 */

/* Every hour, and sooner when they are kept for less. */
static int64_t sweep_kept(struct agent *a, int64_t now)
{
	int64_t every = a->settings->keep_for_ms < SWEEP_EVERY_MS
				? a->settings->keep_for_ms
				: SWEEP_EVERY_MS;
	struct mh_err err = MH_ERR_INIT;

	if (a->settings->keep_failed == 0 && a->settings->keep_succeeded == 0)
		return POLLER_NEVER;
	if (a->host.swept_ms == 0)
		a->host.swept_ms = now; /* the start has done it */
	if (now - a->host.swept_ms < every)
		return a->host.swept_ms + every;
	a->host.swept_ms = now;
	if (!jobdirs_busy(a->dirs) && agent_sweep(a, &err) != 0)
		log_event(LOG_LEVEL_WARN, "job.not_removed",
			  "what was kept of finished jobs could not be looked through",
			  LOG_ERR(&err), LOG_END);
	return now + every;
}

/* --- all of it ------------------------------------------------------------------------
 */

int64_t agent_host_turn(struct agent *a, int64_t now)
{
	int64_t next = sweep_kept(a, now);

	/* Who is ending needs no room but for results. */
	if (!agent_takes_jobs(a) && a->ledger_failures == 0)
		return next;
	if (now >= a->disk_at_ms || (a->host.collecting && !jobdirs_busy(a->dirs)))
		look(a, now);
	/* Nobody tells that there is space again. */
	return a->disk_full && a->disk_at_ms < next ? a->disk_at_ms : next;
}

void agent_host_start(struct agent *a)
{
	a->host.jobs_by_files = host_jobs_by_files((int64_t)a->settings->actions.count);
	if (a->host.jobs_by_files < a->settings->max_jobs)
		log_event(
			LOG_LEVEL_WARN, "host.few_files",
			"the limit of open files is enough for fewer jobs than max_jobs",
			LOG_I("jobs", a->host.jobs_by_files),
			LOG_I("max_jobs", a->settings->max_jobs), LOG_END);
}

int64_t agent_host_jobs(const struct agent *a)
{
	int64_t left = a->host.jobs_by_files;

	for (const struct job *job = a->jobs; job; job = job->next)
		left -= job->rec.state != JOB_WAITING && job->rec.state != JOB_CLOSED;
	return left > 0 ? left : 0;
}
