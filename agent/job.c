#include "agent/job.h"

#include <string.h>

#include "lib/base/macros.h"

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
