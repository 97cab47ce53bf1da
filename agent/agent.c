#include "agent/agent_impl.h"

#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "agent/metrics.h"
#include "agent/trim.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define LEDGER_RETRY_CAP_MS 10000
#define PRUNE_EVERY_MS      (3600 * INT64_C(1000))
#define GATHER_MS           2 /* a change waits so long for others, at most */
#define GATHER_CLOSED_MS    20 /* and the end of a job */
#define KEEP_ROWS           100 /* closed jobs that stay, however old */

/* --- jobs ------------------------------------------------------------------------------
 */

struct job *agent_find_job(struct agent *a, const char *id)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		if (strcmp(job->rec.id, id) == 0 && job->rec.state != JOB_CLOSED)
			return job;
	}
	return NULL;
}

const struct settings *agent_job_settings(const struct agent *a, const struct job *job)
{
	return job->run->past ? &job->run->past->settings : a->settings;
}

const struct action_settings *agent_action(const struct agent *a, const struct job *job)
{
	return job->run->entry == ENTRY_GONE
		       ? NULL
		       : settings_action(agent_job_settings(a, job), job->run->entry);
}

size_t agent_find_entry(const struct agent *a, const char *name)
{
	for (size_t i = 0; i < a->settings->actions.count; i++) {
		if (strcmp(a->entries[i], name) == 0)
			return i;
	}
	return ENTRY_GONE;
}

static void update_slot(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	bool holds = job_holds_slot(job);

	if (holds == run->holds_slot)
		return;
	run->holds_slot = holds;
	if (holds)
		poller_take(a->poller, run->slot);
	else
		poller_give(a->poller, run->slot, clock_mono_ms());
}

struct job *agent_add_job(struct agent *a, const struct job_record *take_record,
			  size_t entry)
{
	struct job *job = job_new(take_record);
	struct job_run *run = mh_alloc(sizeof(*run));

	*run = (struct job_run){
		.agent = a,
		.job = job,
		.entry = entry,
		.slot = entry == ENTRY_GONE ? a->settings->actions.count : entry,
		.dir_fd = -1,
		.lock_fd = -1,
		.listen_fd = -1,
		.target_fd = -1,
	};
	job->run = run;
	if (agent_action(a, job)) {
		job->timeout_ms = agent_action(a, job)->timeout_ms;
		job->exclusive = agent_action(a, job)->exclusive != NULL;
		job->idempotent = agent_action(a, job)->idempotent ||
				  a->plugins[entry].idempotent;
	}
	job->next = a->jobs;
	if (job->next)
		job->next->prev = job;
	a->jobs = job;
	update_slot(a, job);
	return job;
}

static void remove_job(struct agent *a, struct job *job)
{
	if (job->prev)
		job->prev->next = job->next;
	else
		a->jobs = job->next;
	if (job->next)
		job->next->prev = job->prev;
	agent_release_run(job->run);
	job_free(job);
}

void agent_forget_jobs(struct agent *a)
{
	while (a->jobs)
		remove_job(a, a->jobs);
}

static void remove_closed(struct agent *a)
{
	struct job *next;

	for (struct job *job = a->jobs; job; job = next) {
		next = job->next;
		if (job->rec.state == JOB_CLOSED && !job->dirty && !job->effects)
			remove_job(a, job);
	}
}

/* --- events
 * ----------------------------------------------------------------------------- */

static struct job_env environment(const struct agent *a)
{
	return (struct job_env){
		.wall_ms = clock_wall_ms(),
		.mono_ms = clock_mono_ms(),
		.in_doubt = (enum in_doubt)a->settings->in_doubt,
		.retry_base_ms = a->settings->retry_base_ms,
		.result_timeout_ms = a->settings->result_timeout_ms,
		.boot_id = a->boot_id,
	};
}

static void note_change(struct agent *a, struct job *job, enum job_state before,
			const struct job_event *ev)
{
	bool was_asked = before == JOB_ACKING || before == JOB_IN_DOUBT;

	if (was_asked && job->rec.owned)
		a->jobs_taken++;
	if (before == JOB_IN_DOUBT && job->rec.owned && ev->type == JOB_EV_ACK_TAKEN)
		a->doubts_kept++;
	if (job->rec.state == JOB_CLOSED)
		a->ended[job->rec.end]++;
	update_slot(a, job);
	agent_observe_change(a, job, before, ev);
	agent_log_change(a, job, before, ev);
}

static void do_local_steps(struct agent *a, struct job *job)
{
	unsigned todo = job->todo;

	job->todo = 0;
	if (todo & JOB_TODO_PREPARE)
		agent_prepare(a, job);
	if (todo & JOB_TODO_REPORT)
		agent_simple_event(a, job, JOB_EV_REPORT);
}

void agent_event(struct agent *a, struct job *job, const struct job_event *ev)
{
	struct job_env env = environment(a);
	enum job_state before = job->rec.state;

	if (!job_dispatch(job, &env, ev)) {
		log_event(LOG_LEVEL_DEBUG, "job.event_ignored",
			  "an event that comes too late", LOG_I("n", job->rec.n),
			  LOG_S("state", job_state_name(before)),
			  LOG_S("event", job_event_name(ev->type)), LOG_END);
		return;
	}
	agent_note_quota(a, job, ev->type);
	if (job->rec.state != before)
		note_change(a, job, before, ev);
	do_local_steps(a, job);
}

void agent_simple_event(struct agent *a, struct job *job, enum job_event_type type)
{
	agent_event(a, job,
		    &(struct job_event){ .type = type, .asked_ms = -1, .text = "" });
}

void agent_fail_job(struct agent *a, struct job *job, const char *failure,
		    const char *text)
{
	agent_event(a, job,
		    &(struct job_event){ .type = JOB_EV_FAIL,
					 .asked_ms = -1,
					 .failure = failure,
					 .text = text });
}

/* --- the ledger
 * --------------------------------------------------------------------------- */

#ifdef MH_FAULT_POINTS
static void fault_at_commit(const struct agent *a, const char *moment)
{
	char point[64];

	for (const struct job *job = a->jobs; job; job = job->next) {
		if (!job->dirty)
			continue;
		(void)snprintf(point, sizeof(point), "%s.%s",
			       job_state_name(job->rec.state), moment);
		FAULT_POINT(point);
	}
}
#else
#define fault_at_commit(a, moment) ((void)0)
#endif

/* Closed jobs alone need no sync: lost with the power, their result is sent again
 * and refused as already delivered. */
static bool needs_sync(const struct agent *a, bool *ret_any)
{
	bool sync = false;

	*ret_any = false;
	for (const struct job *job = a->jobs; job; job = job->next) {
		*ret_any = *ret_any || job->dirty;
		sync = sync || (job->dirty && job->rec.state != JOB_CLOSED);
	}
	return sync;
}

/* What is under way for it may change its record in a moment. */
static bool may_join(const struct job *job)
{
	static const bool moving[JOB_CLOSED + 1] = {
		[JOB_ACKING] = true,    [JOB_OWNED] = true,   [JOB_FETCHING] = true,
		[JOB_STARTED] = true,   [JOB_STORING] = true, [JOB_OUTCOME] = true,
		[JOB_REPORTING] = true,
	};

	return !job->dirty && moving[job->rec.state];
}

/* A sync costs a disk as much for one job's change as for all of them. So while other
 * jobs are under way, a change waits a moment for theirs; not longer than for the last
 * of them, and not at all for one that is alone. Nothing leaves meanwhile, so this is
 * as if the event had come later. A job that is closed needs no sync, and its record
 * goes with the next one's, or soon. */
static bool waits_for_more(struct agent *a, int64_t now, bool sync)
{
	bool others = false, effects = false;
	int64_t patience_ms;

	for (const struct job *job = a->jobs; job; job = job->next) {
		others = others || may_join(job);
		effects = effects || (job->effects && job->rec.state != JOB_CLOSED);
	}
	if (sync)
		patience_ms = others ? GATHER_MS : 0;
	else
		patience_ms = effects ? 0 : GATHER_CLOSED_MS;
	if (patience_ms == 0 || a->mode != MODE_RUN)
		return false;
	if (!a->gather_until_ms || a->gather_until_ms > now + patience_ms)
		a->gather_until_ms = now + patience_ms;
	return now < a->gather_until_ms;
}

static int write_dirty(struct agent *a, bool sync, struct mh_err *err)
{
	if (ledger_begin(a->ledger, sync, err) != 0)
		return -1;
	for (struct job *job = a->jobs; job; job = job->next) {
		if (job->dirty && ledger_put(a->ledger, &job->rec, err) != 0)
			return -1;
	}
	fault_at_commit(a, "commit");
	if (ledger_commit(a->ledger, err) != 0)
		return -1;
	return 0;
}

/* What is kept back is for what is owed: an offer can wait. */
static bool owes(const struct agent *a)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		if (job->dirty && job->rec.owned)
			return true;
	}
	return false;
}

static int write_with_reserve(struct agent *a, bool sync, struct mh_err *err)
{
	if (write_dirty(a, sync, err) == 0)
		return 0;
	if (err->cls != MH_E_FULL || !owes(a) || !agent_give_reserve(a))
		return -1;
	ledger_rollback(a->ledger);
	return write_dirty(a, sync, err);
}

static void ledger_failed_now(struct agent *a, const struct mh_err *err)
{
	ledger_rollback(a->ledger);
	METRIC_INC(METRIC_LEDGER_FAILURES, NULL);
	/* A full disk may get room. After anything else nothing is known about what
	 * the file holds: a new start reads it afresh, and jobs run on meanwhile. */
	if (err->cls != MH_E_FULL) {
		log_event(LOG_LEVEL_ERROR, "ledger.failed",
			  "the ledger cannot be written; the agent ends, running jobs go "
			  "on",
			  LOG_ERR(err), LOG_END);
		agent_stop(a, EXIT_FAILED);
		return;
	}
	agent_drop_workspaces(a);
	a->ledger_at_ms = clock_mono_ms() + retry_patient_ms(a->ledger_failures++, 250,
							     LEDGER_RETRY_CAP_MS);
	if (a->ledger_failures == 1)
		log_event(LOG_LEVEL_ERROR, "ledger.full",
			  "the ledger cannot be written; no request leaves until it can",
			  LOG_ERR(err), LOG_END);
}

static void prune(struct agent *a)
{
	struct mh_err err = MH_ERR_INIT;
	int64_t now = clock_mono_ms();

	if (a->pruned_ms && now - a->pruned_ms < PRUNE_EVERY_MS)
		return;
	a->pruned_ms = now;
	if (ledger_prune(a->ledger, clock_wall_ms() - a->settings->keep_jobs_ms,
			 KEEP_ROWS, &err) != 0)
		log_event(LOG_LEVEL_WARN, "ledger.not_pruned",
			  "old jobs could not be forgotten", LOG_ERR(&err), LOG_END);
}

/* Everything that changed, in one transaction. False: nothing may leave now. */
static bool commit_changes(struct agent *a)
{
	struct mh_err err = MH_ERR_INIT;
	int64_t began = clock_mono_ms();
	bool any;
	bool sync = needs_sync(a, &any);

	if (!any) {
		a->gather_until_ms = 0;
		return true;
	}
	if (a->ledger_at_ms > began || waits_for_more(a, began, sync))
		return false;
	a->gather_until_ms = 0;
	if (!a->unwritten_ms)
		a->unwritten_ms = began;
	a->ledger_at_ms = 0;
	if (write_with_reserve(a, sync, &err) != 0) {
		ledger_failed_now(a, &err);
		return false;
	}
	a->unwritten_ms = 0;
	METRIC_INC(METRIC_LEDGER_COMMITS, sync ? "true" : "false");
	METRIC_TIME(METRIC_LEDGER_DURATION, clock_mono_ms() - began, NULL);
	fault_at_commit(a, "committed");
	for (struct job *job = a->jobs; job; job = job->next)
		job->dirty = false;
	if (a->ledger_failures > 0)
		log_event(LOG_LEVEL_INFO, "ledger.ok", "the ledger can be written again",
			  LOG_END);
	a->ledger_failures = 0;
	prune(a);
	return true;
}

/* --- one turn
 * -------------------------------------------------------------------------------- */

/* Commits, and carries out what was waiting for it. True when that may have
 * brought something new. */
static bool settle(struct agent *a)
{
	bool any = false;

	if (!commit_changes(a))
		return false;
	for (struct job *job = a->jobs; job && !a->stopped; job = job->next) {
		unsigned effects = job->effects;

		job->effects = 0;
		if (job->run->handed)
			agent_result_is_taken(job);
		if (effects) {
			any = true;
			agent_carry_out(a, job, effects);
		}
	}
	return any && !a->stopped;
}

static void soonest(int64_t *next, int64_t at)
{
	if (at > 0 && at < *next)
		*next = at;
}

/* What is due for jobs; answers when the next thing is. */
static int64_t run_job_timers(struct agent *a, int64_t now)
{
	int64_t next = POLLER_NEVER;

	for (struct job *job = a->jobs; job; job = job->next) {
		if (job->retry_at_ms && job->retry_at_ms <= now) {
			job->retry_at_ms = 0;
			agent_observe_retry(job);
			agent_simple_event(a, job, JOB_EV_TIMER);
		}
		if (job->run->adopt_at_ms && job->run->adopt_at_ms <= now) {
			job->run->adopt_at_ms = 0;
			agent_adopt(a, job);
		}
		soonest(&next, agent_watch(a, job, now));
		soonest(&next, agent_backstop(a, job, now));
	}
	return next;
}

static void on_timer(uv_timer_t *timer)
{
	(void)timer; /* the turn that follows does what is due */
}

static void set_timer(struct agent *a, int64_t next, int64_t now)
{
	for (const struct job *job = a->jobs; job; job = job->next) {
		soonest(&next, job->retry_at_ms);
		soonest(&next, job->run->adopt_at_ms);
		if (job->rec.state == JOB_QUEUED)
			soonest(&next, job->run->target_at_ms);
	}
	soonest(&next, a->ledger_at_ms);
	soonest(&next, a->gather_until_ms);
	if (next == POLLER_NEVER) {
		(void)uv_timer_stop(&a->timer); /* cannot fail */
		return;
	}
	uv_update_time(loop_uv(a->loop));
	(void)uv_timer_start(&a->timer, on_timer, next > now ? (uint64_t)(next - now) : 0,
			     0);
}

/* --max-jobs: what is being acknowledged may become ours, and counts until it is
 * known. Descriptors may be enough for fewer. */
static void limit_polls(struct agent *a)
{
	int64_t most = agent_host_jobs(a);
	int64_t left = a->options.max_jobs - a->jobs_taken;

	for (const struct job *job = a->jobs; job; job = job->next)
		left -= job->rec.state < JOB_OWNED;
	if (a->options.max_jobs > 0 && left < most)
		most = left > 0 ? left : 0;
	poller_limit(a->poller, (int)most);
}

void agent_turn(void *ctx)
{
	struct agent *a = ctx;
	int64_t now = clock_mono_ms();
	int64_t next = run_job_timers(a, now);

	METRIC_INC(METRIC_LOOP_TURNS, NULL);
	trim_heap();
	do
		agent_give_turns(a);
	while (settle(a));
	remove_closed(a);
	if (a->stopped)
		return;
	agent_reload_turn(a);
	soonest(&next, agent_host_turn(a, clock_mono_ms()));
	soonest(&next, agent_check_turn(a, clock_mono_ms()));
	limit_polls(a);
	if (agent_may_poll(a)) {
		soonest(&next, poller_run(a->poller, clock_mono_ms()));
		soonest(&next, agent_wait(a, clock_mono_ms()));
	} else {
		agent_wait_stop(a);
	}
	control_again(a->control);
	soonest(&next, agent_judge_life(a, clock_mono_ms()));
	agent_health_turn(a, clock_mono_ms());
	soonest(&next, agent_notify_turn(a, clock_mono_ms()));
	set_timer(a, next, clock_mono_ms());
}

void agent_stop(struct agent *a, int exit_code)
{
	if (a->stopped)
		return;
	a->stopped = true;
	a->exit_code = exit_code;
	loop_stop(a->loop);
}
