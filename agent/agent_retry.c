/* How patient the agent is with a service: the retry quota, and the end of outages. */
#include "agent/agent_impl.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define QUOTA_EMPTY_WAIT_MAX_MS 60000
/* All that waited comes back within this time, not at once. */
#define RECOVERY_SPREAD_MS 1000

/* Whether another job asks the service again before this one does. */
static bool has_scout(const struct agent *a, const struct job *job)
{
	for (const struct job *other = a->jobs; other; other = other->next) {
		if (other != job && other->rec.state != JOB_WAITING &&
		    other->retry_at_ms && other->retry_at_ms <= job->retry_at_ms)
			return true;
	}
	return false;
}

/* The quota is empty. One job goes on at its own pace, to see when the service is back;
 * the others let it, each for another while: together they would be a crowd. */
static void stand_back(const struct agent *a, struct job *job)
{
	int64_t left = clock_mono_ms() + QUOTA_EMPTY_WAIT_MAX_MS - job->retry_at_ms;

	if (left > 0 && has_scout(a, job))
		job->retry_at_ms += (int64_t)(retry_random() * (double)left);
}

void agent_note_quota(struct agent *a, struct job *job, enum job_event_type type)
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
			stand_back(a, job);
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

/* Back-off and an empty quota were for a service that was away: nobody waits them out
 * now that it is back. A continuation's delay is no back-off. */
static void recover(struct agent *a)
{
	int64_t now = clock_mono_ms();
	int64_t jobs = 0;

	a->quota = (struct retry_quota)RETRY_QUOTA_INIT;
	for (struct job *job = a->jobs; job; job = job->next) {
		int64_t at = now + (int64_t)(retry_random() * RECOVERY_SPREAD_MS);

		if (job->rec.state == JOB_WAITING || job->retry_at_ms <= at)
			continue;
		job->retry_at_ms = at;
		jobs++;
	}
	poller_recovered(a->poller, now);
	log_event(LOG_LEVEL_INFO, "service.recovered",
		  "answers come again after an outage; what waited goes on",
		  LOG_I("jobs", jobs), LOG_END);
}

static void note(struct agent *a, struct retry_outage *outage, bool answered)
{
	if (!answered)
		retry_outage_failed(outage);
	else if (retry_outage_over(outage))
		recover(a);
}

void agent_heard_api(void *ctx, enum cp_result result)
{
	struct agent *a = ctx;

	switch (result) {
	case CP_AGAIN:
	case CP_AUTH:
	case CP_UNKNOWN:
		note(a, &a->api_outage, false);
		return;
	case CP_THROTTLED:
		return; /* it is there, and wants less of us */
	case CP_OK:
	case CP_NONCE:
	case CP_STATE:
	case CP_NOT_FOUND:
	case CP_NO_TYPE:
	case CP_CLIENT:
	case CP_REFUSED:
		note(a, &a->api_outage, true);
		return;
	}
}

void agent_heard_store(struct agent *a, enum transfer_end end)
{
	if (end == TRANSFER_AGAIN || end == TRANSFER_DONE)
		note(a, &a->store_outage, end == TRANSFER_DONE);
}
