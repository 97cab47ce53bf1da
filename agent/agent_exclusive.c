/* Jobs of entries with one `exclusive` name do not overlap. The oldest comes first,
 * by the ledger's numbers, which a restart keeps; it is waited for as soon as it
 * was offered, so that of two deployments the one that was handed out later is done
 * later, however long the inputs of the first take. It lapses, or ends at its own
 * deadline, so nobody waits for ever; one in doubt may not be ours, and is not
 * waited for. */
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/log.h"

static const char *name_of(const struct agent *a, const struct job *job)
{
	const struct action_settings *action = agent_action(a, job);

	return action ? action->exclusive : NULL;
}

/* The job that must end, or come first, before that one may start. */
static const struct job *in_the_way(const struct agent *a, const struct job *job)
{
	const char *name = name_of(a, job);

	for (const struct job *other = a->jobs; name && other; other = other->next) {
		enum job_state state = other->rec.state;
		const char *its = name_of(a, other);

		if (other == job || !its || strcmp(its, name) != 0)
			continue;
		if (state == JOB_STARTED)
			return other;
		if (other->rec.n < job->rec.n && state <= JOB_QUEUED &&
		    state != JOB_IN_DOUBT)
			return other;
	}
	return NULL;
}

void agent_give_turns(struct agent *a)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		const struct job *other;

		if (job->rec.state != JOB_QUEUED)
			continue;
		other = in_the_way(a, job);
		if (!other) {
			agent_simple_event(a, job, JOB_EV_TURN);
		} else if (!job->run->told_queued) {
			job->run->told_queued = true;
			log_event(LOG_LEVEL_INFO, "job.queued",
				  "waits for another job (exclusive)",
				  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
				  LOG_S("exclusive", name_of(a, job)),
				  LOG_I("behind", other->rec.n), LOG_END);
		}
	}
}
