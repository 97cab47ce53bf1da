/* What the agent counts (metrics.h): hooks that see every change of a job's state and
 * every poll, and what is looked up when somebody asks. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "config.h"
#include "lib/base/macros.h"

/* --- jobs ------------------------------------------------------------------------- */

/* The parts of a job as people think of them; NULL: nothing is done for it. */
static const char *stage_of(enum job_state state)
{
	switch (state) {
	case JOB_ACKING:
	case JOB_IN_DOUBT:
		return "acknowledge";
	case JOB_OWNED:
	case JOB_FETCHING:
		return "fetch";
	case JOB_STARTED:
		return "run";
	case JOB_STORING:
		return "store";
	case JOB_REPORTING:
		return "report";
	default:
		return NULL;
	}
}

static void observe_stage(struct job *job, enum job_state before, bool restarted)
{
	const char *was = stage_of(before), *is = stage_of(job->rec.state);
	int64_t now = clock_mono_ms();

	if (was == is && !restarted)
		return;
	if (was && job->run->stage_ms && !restarted)
		METRIC_TIME(METRIC_JOB_STAGE_DURATION, now - job->run->stage_ms, was);
	/* Of what an earlier agent began nobody here knows when. */
	job->run->stage_ms = restarted ? 0 : now;
}

static void observe_doubt(const struct agent *a, const char *result)
{
	static const char *const policies[] = { [IN_DOUBT_FRESH] = "fresh",
						[IN_DOUBT_ADOPT] = "adopt",
						[IN_DOUBT_DROP] = "drop" };

	METRIC_INC(METRIC_DOUBTS, policies[a->settings->in_doubt], result);
}

static void observe_ack(const struct agent *a, const struct job *job,
			enum job_state before, const struct job_event *ev)
{
	static const char *const ends[JOB_END_COUNT] = { [JOB_END_LOST] = "lost",
							 [JOB_END_LAPSED] = "lapsed",
							 [JOB_END_DROPPED] = "dropped" };
	const char *outcome = NULL, *settled = NULL;

	if (job->rec.state == JOB_IN_DOUBT) {
		outcome = before == JOB_ACKING ? "ambiguous" : NULL;
	} else if (job->rec.state == JOB_ACKING) {
		settled = "offered_again"; /* it never arrived */
	} else if (job->rec.owned) {
		outcome = "ok";
		settled = ev->type == JOB_EV_ACK_TAKEN ? "kept" : "confirmed";
	} else {
		outcome = settled = ends[job->rec.end];
	}
	if (outcome)
		METRIC_INC(METRIC_ACKS, job->rec.entry, outcome);
	if (settled && before == JOB_IN_DOUBT)
		observe_doubt(a, settled);
}

static void observe_end(const struct job *job)
{
	METRIC_INC(METRIC_JOBS_ENDED, outcome_kind_name(job->rec.kind), job->rec.failure,
		   job_end_name(job->rec.end));
	METRIC_TIME(METRIC_JOB_DURATION, job->rec.closed_ms - job->rec.owned_ms,
		    job->rec.entry);
}

void agent_observe_change(struct agent *a, struct job *job, enum job_state before,
			  const struct job_event *ev)
{
	observe_stage(job, before, ev->type == JOB_EV_RESTART);
	if (before == JOB_ACKING || before == JOB_IN_DOUBT)
		observe_ack(a, job, before, ev);
	if (job->rec.state == JOB_CLOSED && job->rec.owned)
		observe_end(job);
}

void agent_observe_retry(const struct job *job)
{
	const char *stage = stage_of(job->rec.state);

	if (stage)
		METRIC_INC(METRIC_API_RETRIES, stage);
}

/* --- polls ------------------------------------------------------------------------ */

static const char *poll_outcome(enum cp_result result, int jobs)
{
	switch (result) {
	case CP_OK:
		return jobs > 0 ? "jobs" : "empty";
	case CP_THROTTLED:
		return "throttled";
	case CP_AUTH:
		return "auth";
	case CP_NO_TYPE:
	case CP_REFUSED:
		return "refused";
	default:
		return "failed";
	}
}

void agent_observe_poll_sent(struct poll_call *p)
{
	p->sent_ms = clock_mono_ms();
	if (p->answered_ms)
		METRIC_TIME(METRIC_POLL_WAIT, p->sent_ms - p->answered_ms, NULL);
	if (p->result != CP_OK)
		METRIC_INC(METRIC_API_RETRIES, "poll");
}

void agent_observe_poll(struct agent *a, struct poll_call *p, enum cp_result result,
			int jobs)
{
	p->answered_ms = clock_mono_ms();
	p->result = result;
	METRIC_INC(METRIC_POLLS, a->entries[p->entry], poll_outcome(result, jobs));
	METRIC_TIME(METRIC_POLL_DURATION, p->answered_ms - p->sent_ms, NULL);
	if (result == CP_OK) {
		p->good_ms = p->answered_ms;
		p->good_wall_ms = clock_wall_ms();
	}
}

struct poll_memory {
	size_t count;
	struct {
		char *name;
		struct poll_call poll;
	} rows[];
};

struct poll_memory *agent_observe_remember(const struct agent *a)
{
	size_t count = a->settings->actions.count;
	struct poll_memory *m = mh_alloc(sizeof(*m) + count * sizeof(m->rows[0]));

	m->count = count;
	for (size_t i = 0; i < count; i++) {
		m->rows[i].name = mh_strdup(a->entries[i]);
		m->rows[i].poll = a->polls[i];
	}
	return m;
}

void agent_observe_recall(struct agent *a, struct poll_memory *take)
{
	for (size_t i = 0; i < take->count; i++) {
		const struct poll_call *was = &take->rows[i].poll;
		size_t entry = agent_find_entry(a, take->rows[i].name);

		free(take->rows[i].name);
		if (entry == ENTRY_GONE)
			continue;
		a->polls[entry].good_ms = was->good_ms;
		a->polls[entry].good_wall_ms = was->good_wall_ms;
		a->polls[entry].sent_ms = was->sent_ms;
		a->polls[entry].answered_ms = was->answered_ms;
		a->polls[entry].result = was->result;
		a->polls[entry].failing = was->failing;
	}
	free(take);
	agent_observe_start(a); /* new entries begin at 0 */
}

/* --- the start -------------------------------------------------------------------- */

/* A rate() needs to see the 0 before the first event. */
void agent_observe_start(struct agent *a)
{
	static const char *const acks[] = { "ok", "lost", "ambiguous" };
	static const char *const polls[] = { "jobs", "empty", "throttled", "failed" };

	for (size_t i = 0; i < a->settings->actions.count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(polls); k++)
			METRIC_ADD(METRIC_POLLS, 0, a->entries[i], polls[k]);
		for (size_t k = 0; k < ARRAY_LEN(acks); k++)
			METRIC_ADD(METRIC_ACKS, 0, a->entries[i], acks[k]);
		METRIC_ADD(METRIC_JOBS_STARTED, 0, a->entries[i]);
	}
	METRIC_ADD(METRIC_JOBS_ENDED, 0, "success", "", "delivered");
	METRIC_ADD(METRIC_JOBS_ENDED, 0, "failure", FAIL_JOB, "delivered");
	METRIC_ADD(METRIC_JOBS_ENDED, 0, "failure", FAIL_SYSTEM, "delivered");
	METRIC_ADD(METRIC_ARTIFACT_BYTES, 0, "in");
	METRIC_ADD(METRIC_ARTIFACT_BYTES, 0, "out");
	METRIC_ADD(METRIC_CREDS_REFRESHES, 0, "ok");
	METRIC_ADD(METRIC_CREDS_REFRESHES, 0, "failed");
	METRIC_ADD(METRIC_LEDGER_FAILURES, 0, NULL);
	METRIC_ADD(METRIC_COLLECTED, 0, NULL);
	if (a->settings->health.command && *a->settings->health.command) {
		METRIC_ADD(METRIC_HEALTH_RUNS, 0, "ok");
		METRIC_ADD(METRIC_HEALTH_RUNS, 0, "failed");
	}
	METRIC_ADD(METRIC_CONFIG_RELOADS, 0, "true");
	METRIC_ADD(METRIC_CONFIG_RELOADS, 0, "false");
}

/* --- what is looked up ------------------------------------------------------------ */

static void set_jobs_of_entry(const struct agent *a, size_t entry)
{
	int64_t by_state[JOB_STATE_COUNT] = { 0 };
	int64_t used = 0;
	int64_t slots = settings_action(a->settings, entry)->max_jobs;

	for (const struct job *job = a->jobs; job; job = job->next) {
		if (job->run->slot != entry)
			continue;
		by_state[job->rec.state]++;
		used += job_holds_slot(job);
	}
	for (enum job_state s = 0; s < JOB_CLOSED; s++)
		METRIC_SET(METRIC_JOBS, by_state[s], a->entries[entry],
			   job_state_name(s));
	METRIC_SET(METRIC_SLOTS, slots ? slots : a->settings->max_jobs,
		   a->entries[entry]);
	METRIC_SET(METRIC_SLOTS_USED, used, a->entries[entry]);
}

static void set_jobs(const struct agent *a)
{
	int64_t running = 0, used = 0, pending = 0, oldest = 0, now = clock_wall_ms();

	for (const struct job *job = a->jobs; job; job = job->next) {
		running += job->rec.state == JOB_STARTED;
		used += job_holds_slot(job);
		if (job->rec.state < JOB_OUTCOME || job->rec.state == JOB_CLOSED)
			continue;
		pending++;
		if (now - job->rec.outcome_ms > oldest)
			oldest = now - job->rec.outcome_ms;
	}
	METRIC_SET(METRIC_JOBS_RUNNING, running, NULL);
	METRIC_SET(METRIC_HOST_SLOTS, a->settings->max_jobs, NULL);
	METRIC_SET(METRIC_HOST_SLOTS_USED, used, NULL);
	METRIC_SET(METRIC_RESULTS_PENDING, pending, NULL);
	METRIC_SET(METRIC_RESULT_OLDEST, oldest, NULL);
}

static int64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	(void)closedir(dir); /* only reading */
	return count - 1; /* its own */
}

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long pages = 0;

	if (!f)
		return -1;
	if (fscanf(f, "%*s %lld", &pages) != 1)
		pages = 0;
	(void)fclose(f); /* only reading */
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void set_process(const struct agent *a)
{
	struct rlimit limit;
	struct rusage usage;
	struct mh_err ignored;
	int64_t bytes = 0, inodes = -1;

	METRIC_SET(METRIC_BUILD_INFO, 1, PACKAGE_VERSION);
	METRIC_SET(METRIC_START_TIME, a->started_wall_ms, NULL);
	METRIC_SET(METRIC_OPEN_FDS, count_fds(), NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		METRIC_SET(METRIC_MAX_FDS, (int64_t)limit.rlim_cur, NULL);
	METRIC_SET(METRIC_RESIDENT, resident_bytes(), NULL);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		METRIC_SET(METRIC_CPU,
			   (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
				   (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
					   1000,
			   NULL);
	if (jobdirs_free(a->dirs, &bytes, &inodes, &ignored) == 0) {
		METRIC_SET(METRIC_DISK_FREE, bytes, NULL);
		if (inodes >= 0)
			METRIC_SET(METRIC_DISK_FREE_INODES, inodes, NULL);
	}
	METRIC_SET(METRIC_DISK_RESERVE, a->host.reserved ? HOST_RESERVE_BYTES : 0, NULL);
	METRIC_SET(METRIC_JOBS_BY_FDS, a->host.jobs_by_files, NULL);
}

static void set_state(const struct agent *a)
{
	int64_t now = clock_mono_ms(), life_ms = creds_store_life_ms(a->creds);
	char why[HEALTH_WHY_SIZE];
	bool ready = true;

	for (enum ready_check c = 0; c < READY_CHECKS; c++)
		ready = agent_is_ready(a, c, now, why) && ready;
	METRIC_SET(METRIC_READY, ready, NULL);
	METRIC_SET(METRIC_DRAINING, a->mode != MODE_RUN || a->paused, NULL);
	METRIC_SET(METRIC_PAUSED,
		   a->mode == MODE_RUN && (a->disk_full || a->ledger_failures > 0), NULL);
	METRIC_SET(METRIC_RETRY_QUOTA, a->quota.tokens, NULL);
	if (life_ms != CREDS_NEVER)
		METRIC_SET(METRIC_CREDS_EXPIRY, life_ms, NULL);
	METRIC_SET(METRIC_CLOCK_SKEW, aws_skew_ms(a->aws, "codepipeline"), NULL);
}

void agent_observe_gauges(struct agent *a)
{
	metrics_clear_gauges();
	for (size_t i = 0; i < a->settings->actions.count; i++) {
		set_jobs_of_entry(a, i);
		METRIC_SET(METRIC_LAST_POLL, a->polls[i].good_wall_ms, a->entries[i]);
	}
	set_jobs(a);
	set_process(a);
	set_state(a);
}
