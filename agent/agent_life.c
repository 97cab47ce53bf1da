/* Signals, and when the agent's work is done. */
#include <signal.h>

#include "agent/agent_impl.h"
#include "agent/zygote.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

bool agent_is_live(const struct job *job)
{
	return job_holds_slot(job);
}

bool agent_takes_jobs(const struct agent *a)
{
	return a->mode == MODE_RUN && !a->paused && !a->stopped;
}

/* --- modes ----------------------------------------------------------------------------
 */

static void set_mode(struct agent *a, enum agent_mode mode, int64_t timeout_ms,
		     const char *event, const char *message)
{
	int64_t live = 0;

	for (const struct job *job = a->jobs; job; job = job->next)
		live += agent_is_live(job);
	a->mode = mode;
	a->mode_ends_ms = clock_mono_ms() + timeout_ms;
	log_event(LOG_LEVEL_INFO, event, message, LOG_I("jobs", live),
		  LOG_I("within_ms", timeout_ms), LOG_END);
	agent_notify_mode(a);
}

static void drain(struct agent *a)
{
	set_mode(a, MODE_DRAIN, a->settings->drain_timeout_ms, "agent.drain",
		 "no new jobs are taken; the agent ends when those it has are done");
}

static void cancel(struct agent *a)
{
	struct job *next;

	set_mode(a, MODE_CANCEL, a->settings->cancel_timeout_ms, "agent.cancel",
		 "running jobs are cancelled and reported");
	for (struct job *job = a->jobs; job; job = next) {
		next = job->next;
		agent_event(
			a, job,
			&(struct job_event){
				.type = JOB_EV_CANCEL,
				.asked_ms = -1,
				.text = "cancelled by the operator of the build host" });
	}
}

static void on_term(struct agent *a)
{
	a->terms++;
	if (a->mode == MODE_HANDOVER) {
		agent_stop(a, EXIT_OK); /* jobs are left already; only answers are not */
	} else if (a->terms == 1 && a->mode != MODE_CANCEL) {
		drain(a);
	} else if (a->terms <= 2 && a->mode != MODE_CANCEL) {
		cancel(a);
	} else {
		log_event(LOG_LEVEL_WARN, "agent.exit_now",
			  "ending at once; jobs and results are left to the next start",
			  LOG_END);
		agent_stop(a, EXIT_FAILED);
	}
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct agent *a = handle->data;

	switch (number) {
	case SIGTERM:
	case SIGINT:
		on_term(a);
		return;
	case SIGQUIT:
		if (a->mode != MODE_CANCEL)
			cancel(a);
		return;
	case SIGHUP:
		agent_reload(a);
		return;
	case SIGCHLD:
		zygote_reap(a->zygote);
		return;
	case SIGUSR1:
		agent_log_dump(a);
		return;
	default: /* SIGUSR2 */
		if (a->mode != MODE_HANDOVER)
			set_mode(a, MODE_HANDOVER, a->settings->cancel_timeout_ms,
				 "agent.hand_over",
				 "polling ends; running jobs are left to the next agent");
		return;
	}
}

int agent_start_signals(struct agent *a, struct mh_err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT,  SIGQUIT, SIGHUP,
				       SIGUSR1, SIGUSR2, SIGCHLD };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uv_signal_t *handle = &a->signals[a->signal_count];
		int rc = uv_signal_init(loop_uv(a->loop), handle);

		if (rc == 0) {
			handle->data = a;
			a->signal_count++;
			rc = uv_signal_start(handle, on_signal, numbers[i]);
		}
		if (rc != 0)
			return mh_err_set(err, MH_E_SYS, "catch signal %d: %s",
					  numbers[i], uv_strerror(rc));
	}
	return 0;
}

void agent_stop_signals(struct agent *a)
{
	while (a->signal_count > 0)
		uv_close((uv_handle_t *)&a->signals[--a->signal_count], NULL);
}

/* --- the end
 * ----------------------------------------------------------------------------- */

static void log_left(struct agent *a)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (job->rec.state != JOB_CLOSED)
			log_event(LOG_LEVEL_INFO, "job.left", "left to the next start",
				  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
				  LOG_S("state", job_state_name(job->rec.state)),
				  LOG_END);
	}
}

/* Jobs that a drain stays for. A continuation's delay is waited for when it ends
 * in time: its action would stand still until the next start. */
static bool has_work(const struct agent *a, int64_t until_ms)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (agent_is_live(job))
			return true;
		if (job->rec.state == JOB_WAITING && a->mode != MODE_CANCEL &&
		    job->retry_at_ms < until_ms)
			return true;
	}
	return poller_in_flight(a->poller) || jobdirs_busy(a->dirs);
}

/* Requests whose answers decide something that would have to be found out anew. */
static bool is_settling(const struct agent *a)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (agent_is_asking(job->run) &&
		    (job->rec.state == JOB_ACKING || job->rec.state == JOB_IN_DOUBT ||
		     job->rec.state == JOB_REPORTING))
			return true;
	}
	return poller_in_flight(a->poller) || jobdirs_busy(a->dirs);
}

static int64_t judge_idle(struct agent *a, int64_t now_ms, bool working)
{
	int64_t idle_ends = a->active_ms + a->options.idle_timeout_ms;

	if (a->options.idle_timeout_ms == 0)
		return 0;
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (job->rec.state != JOB_CLOSED)
			a->active_ms = now_ms;
	}
	if (now_ms < idle_ends || a->active_ms == now_ms)
		return a->active_ms + a->options.idle_timeout_ms;
	if (working)
		return 0; /* a poll under way may bring something; its answer comes here
			   */
	log_event(LOG_LEVEL_INFO, "agent.idle_timeout", "had no job for so long",
		  LOG_END);
	agent_stop(a, EXIT_OK);
	return 0;
}

static int64_t judge_run(struct agent *a, int64_t now_ms)
{
	int64_t uptime_ends = a->started_ms + a->options.max_uptime_ms;
	bool working = has_work(a, INT64_MAX);
	int64_t next;

	if (a->options.max_jobs > 0 && a->jobs_taken >= a->options.max_jobs && !working) {
		log_event(LOG_LEVEL_INFO, "agent.max_jobs", "has done its number of jobs",
			  LOG_END);
		agent_stop(a, EXIT_OK);
		return 0;
	}
	next = judge_idle(a, now_ms, working);
	if (a->options.max_uptime_ms == 0 || a->stopped)
		return next;
	return next > 0 && next < uptime_ends ? next : uptime_ends;
}

/* --max-uptime ends as a first TERM does. */
static void judge_uptime(struct agent *a, int64_t now_ms)
{
	if (a->mode != MODE_RUN || a->options.max_uptime_ms == 0 ||
	    now_ms - a->started_ms < a->options.max_uptime_ms)
		return;
	log_event(LOG_LEVEL_INFO, "agent.max_uptime", "has run for its time", LOG_END);
	drain(a);
}

int64_t agent_judge_life(struct agent *a, int64_t now_ms)
{
	bool staying;

	judge_uptime(a, now_ms);
	if (a->mode == MODE_RUN)
		return judge_run(a, now_ms);
	staying = a->mode == MODE_HANDOVER ? is_settling(a)
					   : has_work(a, a->mode_ends_ms);
	if (staying && now_ms < a->mode_ends_ms)
		return a->mode_ends_ms;
	log_left(a);
	agent_stop(a, EXIT_OK);
	return 0;
}
