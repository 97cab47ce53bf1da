/* The operator's own check of the host (health.command): run between jobs, never beside
 * one; while it fails nothing is polled. */
#include "agent/agent_impl.h"
#include "agent/creds_process.h"
#include "agent/metrics.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

static bool is_wanted(const struct agent *a)
{
	return a->settings->health.command && *a->settings->health.command;
}

static bool has_live_jobs(const struct agent *a)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (agent_is_live(job))
			return true;
	}
	return false;
}

static void judge(struct agent *a, const struct mh_err *failed)
{
	if (failed)
		log_event(a->check.failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
			  "health.failed",
			  "the health command fails: no jobs are taken until it succeeds",
			  LOG_ERR(failed),
			  LOG_I("again_ms", a->settings->health.interval_ms), LOG_END);
	else if (a->check.failing)
		log_event(LOG_LEVEL_INFO, "health.ok",
			  "the health command succeeds again", LOG_END);
	METRIC_INC(METRIC_HEALTH_RUNS, failed ? "failed" : "ok");
	a->check.failing = failed != NULL;
	a->check.due_ms = clock_mono_ms() + a->settings->health.interval_ms;
}

static void on_checked(void *ctx, const char *text, size_t len, const struct mh_err *err)
{
	struct agent *a = ctx;

	(void)text; /* what it prints is for whoever runs it by hand */
	(void)len;
	a->check.process = NULL;
	judge(a, err);
}

static void start(struct agent *a)
{
	const struct creds_command command = { .loop = a->loop,
					       .what = "health.command",
					       .command = a->settings->health.command,
					       .timeout_ms =
						       a->settings->health.timeout_ms };
	struct mh_err err = MH_ERR_INIT;

	if (creds_process_start_text(&command, on_checked, a, &a->check.process, &err) !=
	    0)
		judge(a, &err);
}

bool agent_check_holds(const struct agent *a, int64_t now)
{
	if (!is_wanted(a))
		return false;
	return a->check.process || a->check.failing ||
	       (now >= a->check.due_ms && !has_live_jobs(a));
}

int64_t agent_check_turn(struct agent *a, int64_t now)
{
	if (!is_wanted(a) || !agent_takes_jobs(a) || a->check.process)
		return POLLER_NEVER;
	if (now < a->check.due_ms)
		return a->check.due_ms;
	/* The last job, and a poll that may bring one, end with a turn. */
	if (has_live_jobs(a) || poller_in_flight(a->poller))
		return POLLER_NEVER;
	start(a);
	return a->check.process ? POLLER_NEVER : a->check.due_ms;
}
