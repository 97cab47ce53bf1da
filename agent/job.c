#include "agent/job.h"

#include <string.h>

#include "lib/base/macros.h"

#define STORE_EXTRA_MS                                                                   \
	(3600 * INT64_C(1000)) /* for outputs, past the job's own deadline */

static const char *const state_names[] = {
#define X(name, text) [JOB_##name] = #text,
	JOB_STATES(X)
#undef X
};

static const char *const event_names[] = {
#define X(name, text) [JOB_EV_##name] = #text,
	JOB_EVENTS(X)
#undef X
};

static const char *const end_names[] = {
#define X(name, text) [JOB_END_##name] = #text,
	JOB_ENDS(X)
#undef X
};

const char *job_state_name(enum job_state state)
{
	MH_ASSERT(state < ARRAY_LEN(state_names));
	return state_names[state];
}

const char *job_event_name(enum job_event_type type)
{
	MH_ASSERT(type < ARRAY_LEN(event_names));
	return event_names[type];
}

const char *job_end_name(enum job_end end)
{
	MH_ASSERT(end < ARRAY_LEN(end_names));
	return end_names[end];
}

bool job_state_parse(const char *name, enum job_state *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
		if (strcmp(state_names[i], name) == 0) {
			*ret = (enum job_state)i;
			return true;
		}
	}
	return false;
}

bool job_end_parse(const char *name, enum job_end *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(end_names); i++) {
		if (strcmp(end_names[i], name) == 0) {
			*ret = (enum job_end)i;
			return true;
		}
	}
	return false;
}

void job_record_done(struct job_record *rec)
{
	free(rec->entry);
	free(rec->outcome);
	*rec = (struct job_record){ 0 };
}

struct job *job_new(const struct job_record *take_record)
{
	struct job *job = mh_alloc(sizeof(*job));

	job->rec = *take_record;
	return job;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	job_record_done(&job->rec);
	free(job);
}

bool job_holds_slot(const struct job *job)
{
	return job->rec.state != JOB_WAITING && job->rec.state != JOB_CLOSED;
}

/* Whether this moment is sooner after the poll than any redelivery can be. Two
 * clocks must agree while we have both: the monotonic one does not count the
 * time a machine slept, the other one can be set. */
bool job_is_fresh(const struct job *j, const struct job_env *env)
{
	int64_t wall = env->wall_ms - j->rec.offered_ms;
	int64_t mono = j->offered_mono_ms ? env->mono_ms - j->offered_mono_ms : 0;

	return wall >= 0 && wall <= JOB_FRESH_MS && mono <= JOB_FRESH_MS;
}

int64_t job_store_until_ms(const struct job *j)
{
	int64_t extra_ms = j->rec.outcome_ms + STORE_EXTRA_MS;

	return extra_ms > j->rec.deadline_ms ? extra_ms : j->rec.deadline_ms;
}

int64_t job_transfer_ms(const struct job *j, int64_t wall_ms)
{
	int64_t until_ms = j->rec.state == JOB_STORING ? job_store_until_ms(j)
						       : j->rec.deadline_ms;

	return until_ms > wall_ms ? until_ms - wall_ms : 1;
}
