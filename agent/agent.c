#include "agent/agent_impl.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#include "agent/trim.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define LEDGER_RETRY_CAP_MS 10000
#define LEDGER_FAILURES_MAX 20
#define QUOTA_EMPTY_WAIT_MS 60000
#define PRUNE_EVERY_MS      (3600 * INT64_C(1000))
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
	};
	job->run = run;
	if (agent_action(a, job)) {
		job->timeout_ms = agent_action(a, job)->timeout_ms;
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

/* The retry quota slows retrying down when most of it fails; it never ends it,
 * because results must get through. */
static void note_quota(struct agent *a, struct job *job, enum job_event_type type)
{
	switch (type) {
	case JOB_EV_ACK_AGAIN:
	case JOB_EV_ACK_UNKNOWN:
	case JOB_EV_DETAILS_AGAIN:
	case JOB_EV_TRANSFER_AGAIN:
	case JOB_EV_PUT_AGAIN:
	case JOB_EV_PUT_UNKNOWN:
		if (job->retry_at_ms &&
		    !retry_quota_take(&a->quota, type == JOB_EV_PUT_UNKNOWN,
				      &job->run->quota_taken))
			job->retry_at_ms = clock_mono_ms() +
					   retry_jitter_ms(QUOTA_EMPTY_WAIT_MS);
		return;
	case JOB_EV_ACK_OURS:
	case JOB_EV_DETAILS:
	case JOB_EV_FETCHED:
	case JOB_EV_STORED:
	case JOB_EV_PUT_DONE:
		retry_quota_give(&a->quota, job->run->quota_taken);
		job->run->quota_taken = 0;
		return;
	default:
		return;
	}
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
	note_quota(a, job, ev->type);
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

static void ledger_failed_now(struct agent *a, const struct mh_err *err)
{
	ledger_rollback(a->ledger);
	/* A full disk may get room. After anything else nothing is known about what
	 * the file holds: a new start reads it afresh, and jobs run on meanwhile. */
	if (err->cls != MH_E_FULL || ++a->ledger_failures > LEDGER_FAILURES_MAX) {
		log_event(LOG_LEVEL_ERROR, "ledger.failed",
			  "the ledger cannot be written; the agent ends, running jobs go "
			  "on",
			  LOG_ERR(err), LOG_END);
		agent_stop(a, EXIT_FAILED);
		return;
	}
	a->ledger_at_ms = clock_mono_ms() +
			  retry_patient_ms(a->ledger_failures, 250, LEDGER_RETRY_CAP_MS);
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
	bool any;
	bool sync = needs_sync(a, &any);

	if (!any)
		return true;
	if (a->ledger_at_ms > clock_mono_ms())
		return false;
	a->ledger_at_ms = 0;
	if (write_dirty(a, sync, &err) != 0) {
		ledger_failed_now(a, &err);
		return false;
	}
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
	}
	soonest(&next, a->ledger_at_ms);
	if (a->disk_full && agent_takes_jobs(a))
		soonest(&next,
			a->disk_at_ms); /* nobody tells that there is space again */
	if (next == POLLER_NEVER) {
		(void)uv_timer_stop(&a->timer); /* cannot fail */
		return;
	}
	uv_update_time(loop_uv(a->loop));
	(void)uv_timer_start(&a->timer, on_timer, next > now ? (uint64_t)(next - now) : 0,
			     0);
}

/* --max-jobs: what is being acknowledged may become ours, and counts until it is
 * known. */
static void limit_polls(struct agent *a)
{
	int64_t left = a->options.max_jobs - a->jobs_taken;

	if (a->options.max_jobs == 0)
		return;
	for (const struct job *job = a->jobs; job; job = job->next)
		left -= job->rec.state < JOB_OWNED;
	poller_limit(a->poller, left > 0 ? (int)left : 0);
}

void agent_turn(void *ctx)
{
	struct agent *a = ctx;
	int64_t now = clock_mono_ms();
	int64_t next = run_job_timers(a, now);

	while (settle(a))
		;
	remove_closed(a);
	if (a->stopped)
		return;
	agent_reload_turn(a);
	limit_polls(a);
	if (agent_may_poll(a)) {
		soonest(&next, poller_run(a->poller, clock_mono_ms()));
		soonest(&next, agent_wait(a, clock_mono_ms()));
	} else {
		agent_wait_stop(a);
	}
	soonest(&next, agent_judge_life(a, clock_mono_ms()));
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

/* --- life
 * -------------------------------------------------------------------------------------
 */

static int open_network(struct agent *a, struct mh_err *err)
{
	struct creds_tools tools = { .loop = a->loop, .settings = a->settings };
	struct http_options http = { .ca_file = a->settings->ca_file,
				     .user_agent = "millhand-agent/" PACKAGE_VERSION,
				     .insecure_plain_ok = a->settings->allow_plain_http };
	struct cp_options cp = { .settings = a->settings };

	if (http_client_new(a->loop, &http, &a->http, err) != 0)
		return -1;
	a->aws = aws_new(a->http, a->settings->region);
	tools.http = a->http;
	tools.aws = a->aws;
	if (creds_store_new(&tools, &a->creds, err) != 0)
		return -1;
	cp.aws = a->aws;
	cp.creds = a->creds;
	if (cp_new(&cp, &a->cp, err) != 0 ||
	    s3_new(a->aws, a->settings, &a->s3, err) != 0)
		return -1;
	return 0;
}

void agent_open_poller(struct agent *a)
{
	const struct settings *s = a->settings;
	struct poller_options o = { .min_ms = s->poll_interval_min_ms,
				    .max_ms = s->poll_interval_max_ms,
				    .retry_base_ms = s->retry_base_ms,
				    .rate = (double)s->poll_rate,
				    .max_jobs = (int)s->max_jobs,
				    .poll = agent_poll,
				    .ctx = a };

	a->poller = poller_new(&o, clock_mono_ms());
	a->entries = mh_alloc(s->actions.count * sizeof(*a->entries));
	a->polls = mh_alloc(s->actions.count * sizeof(*a->polls));
	for (size_t i = 0; i < s->actions.count; i++) {
		(void)poller_add(a->poller, (int)settings_action(s, i)->max_jobs);
		a->entries[i] = settings_entry_name(settings_action(s, i));
		a->polls[i] = (struct poll_call){ .agent = a, .entry = i };
	}
	(void)poller_add(a->poller, POLLER_NO_POLLS);
}

void agent_close_poller(struct agent *a)
{
	poller_free(STEAL_PTR(a->poller));
	for (size_t i = 0; a->entries && i < a->settings->actions.count; i++)
		free(a->entries[i]);
	free(STEAL_PTR(a->entries));
	free(STEAL_PTR(a->polls));
	free(STEAL_PTR(a->plugins));
}

static int open_all(struct agent *a, struct mh_err *err)
{
	const struct settings *s = a->settings;
	int64_t highest = 0;

	/* Before it takes jobs that it could not run. */
	if (shim_check_kernel(err) != 0)
		return -1;
	a->plugins = mh_alloc(s->actions.count * sizeof(*a->plugins));
	if (describe_all(s, a->plugins, err) != 0)
		return -1;
	if (clock_boot_id(a->boot_id, err) != 0 ||
	    ledger_open(s->state_dir, &a->ledger, err) != 0)
		return -1;
	FAULT_POINT("start.ledger_opened");
	if (loop_new(&a->loop, err) != 0 || open_network(a, err) != 0 ||
	    jobdirs_open(s->state_dir, s->work_dir, a->loop, &a->dirs, err) != 0 ||
	    jobdirs_highest(a->dirs, &highest, err) != 0)
		return -1;
	ledger_skip_n(a->ledger, highest);
	(void)uv_timer_init(loop_uv(a->loop), &a->timer); /* always 0 */
	agent_open_poller(a);
	loop_set_after(a->loop, agent_turn, a);
	if (agent_start_signals(a, err) != 0 || agent_recover(a, err) != 0)
		return -1;
	FAULT_POINT("start.recovered");
	return agent_sweep(a, err);
}

int agent_new(struct settings *settings, const struct agent_options *options,
	      struct agent **ret, struct mh_err *err)
{
	CLEAN(free)
	char *job_program = mh_format("%s/millhand-job", settings->libexec_dir);
	struct agent *a = mh_alloc(sizeof(*a));

	a->settings = settings;
	a->settings_place = settings;
	a->options = *options;
	a->quota = (struct retry_quota)RETRY_QUOTA_INIT;
	a->active_ms = clock_mono_ms();
	a->started_ms = a->active_ms;
	a->zygote = zygote_new(job_program);
	if (open_all(a, err) != 0) {
		agent_free(a);
		return -1;
	}
	*ret = a;
	return 0;
}

int agent_run(struct agent *a)
{
	log_event(
		LOG_LEVEL_INFO, "agent.ready", "polling",
		LOG_S("endpoint", a->settings->endpoint ? a->settings->endpoint : "AWS"),
		LOG_S("region", a->settings->region),
		LOG_I("action_types", (int64_t)a->settings->actions.count),
		LOG_I("max_jobs", a->settings->max_jobs), LOG_END);
	trim_resident();
	if (!a->stopped)
		loop_run(a->loop);
	log_event(LOG_LEVEL_INFO, "agent.ended", "the agent ends",
		  LOG_I("exit", a->exit_code), LOG_I("jobs", a->jobs_taken), LOG_END);
	return a->exit_code;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	while (a->jobs)
		remove_job(a, a->jobs);
	if (a->polls)
		agent_stop_signals(a);
	agent_wait_stop(a);
	agent_reload_drop(a);
	cp_free(a->cp);
	creds_store_free(a->creds);
	s3_free(a->s3);
	aws_free(a->aws);
	http_client_free(a->http);
	loop_free(a->loop); /* waits for removals under way */
	jobdirs_close(a->dirs);
	agent_close_poller(a);
	ledger_close(a->ledger);
	zygote_free(a->zygote);
	free(a);
}
