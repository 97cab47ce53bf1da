/* What the log says about jobs: one line per thing that matters to people, by
 * stable event ids. Never nonces, tokens, credentials or configuration. */
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define MESSAGE_SHOWN 300

#define JOB_FIELDS(job)                                                                  \
	LOG_S("job", (job)->rec.id), LOG_I("n", (job)->rec.n),                           \
		LOG_S("entry", (job)->rec.entry),                                        \
		LOG_S("pipeline", (job)->rec.pipeline),                                  \
		LOG_S("stage", (job)->rec.stage), LOG_S("action", (job)->rec.action),    \
		LOG_S("execution", (job)->rec.execution_id)

/* The first line of a failure's message: redacted by the shim, and enough. */
static char *failure_message(const struct job *job)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err ignored;
	const char *text;
	size_t len;

	if (!job->rec.outcome || outcome_doc(job->rec.outcome, &doc, &ignored) != 0)
		return mh_strdup("");
	text = json_opt_str(doc, "message", "");
	len = strcspn(text, "\n");
	return mh_strndup(text, str_utf8_floor(text, len, MESSAGE_SHOWN));
}

static void log_outcome(const struct job *job)
{
	CLEAN(free) char *message = failure_message(job);
	int64_t ran_ms = job->rec.started_ms ? job->rec.outcome_ms - job->rec.started_ms
					     : 0;

	log_event(LOG_LEVEL_INFO, "job.ended", "the job has its outcome", JOB_FIELDS(job),
		  LOG_S("outcome", outcome_kind_name(job->rec.kind)),
		  LOG_S("failure", job->rec.failure), LOG_S("message", message),
		  LOG_I("ms", ran_ms), LOG_END);
}

static void log_owned(const struct job *job, enum job_state before,
		      const struct job_event *ev)
{
	if (before == JOB_IN_DOUBT && ev->type == JOB_EV_ACK_TAKEN)
		log_event(LOG_LEVEL_WARN, "job.doubt_settled",
			  "in doubt, and taken as ours by policy (in_doubt)",
			  JOB_FIELDS(job),
			  LOG_I("ms", clock_wall_ms() - job->rec.offered_ms), LOG_END);
	log_event(LOG_LEVEL_INFO, "job.owned", "acknowledged", JOB_FIELDS(job), LOG_END);
}

static void log_closed(const struct job *job)
{
	static const struct {
		enum log_level level;
		const char *event, *message;
	} rows[JOB_END_COUNT] = {
		[JOB_END_NONE] = { LOG_LEVEL_ERROR, "job.closed", "closed" },
		[JOB_END_DELIVERED] = { LOG_LEVEL_INFO, "result.delivered",
					"the service has the outcome" },
		[JOB_END_REFUSED] = { LOG_LEVEL_WARN, "result.refused",
				      "the service refused the outcome for good" },
		[JOB_END_GONE] = { LOG_LEVEL_WARN, "job.gone",
				   "the service does not know the job" },
		[JOB_END_EXPIRED] = { LOG_LEVEL_ERROR, "result.expired",
				      "the outcome could not be delivered in time and is "
				      "given up" },
		[JOB_END_LOST] = { LOG_LEVEL_INFO, "job.lost",
				   "another worker has the job" },
		[JOB_END_LAPSED] = { LOG_LEVEL_WARN, "job.lapsed",
				     "the job could not be acknowledged in time" },
		[JOB_END_DROPPED] = { LOG_LEVEL_WARN, "job.dropped",
				      "in doubt, and dropped by policy (in_doubt)" },
		[JOB_END_DECLINED] = { LOG_LEVEL_INFO, "job.declined",
				       "the job was not taken" },
	};

	log_event(rows[job->rec.end].level, rows[job->rec.end].event,
		  rows[job->rec.end].message, JOB_FIELDS(job),
		  LOG_S("outcome", outcome_kind_name(job->rec.kind)),
		  LOG_S("failure", job->rec.failure),
		  LOG_I("attempts", job->rec.put_attempts), LOG_END);
}

void agent_log_trouble(const struct job *job, const struct cp_op *op,
		       const struct cp_answer *answer, const struct mh_err *err)
{
	log_event(LOG_LEVEL_WARN, "api.failed", agent_op(job, op)->operation,
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_S("result", cp_result_name(answer->result)), LOG_ERR(err),
		  LOG_S("request_id", answer->request_id), LOG_END);
}

void agent_log_change(struct agent *a, struct job *job, enum job_state before,
		      const struct job_event *ev)
{
	(void)a;
	log_event(LOG_LEVEL_DEBUG, "job.state", job_state_name(job->rec.state),
		  LOG_I("n", job->rec.n), LOG_S("from", job_state_name(before)),
		  LOG_S("event", job_event_name(ev->type)), LOG_END);
	switch (job->rec.state) {
	case JOB_IN_DOUBT:
		log_event(LOG_LEVEL_WARN, "job.in_doubt",
			  "the answer to an acknowledgement is lost; the same nonce is "
			  "sent again",
			  JOB_FIELDS(job), LOG_END);
		return;
	case JOB_OWNED:
		if (before == JOB_ACKING || before == JOB_IN_DOUBT)
			log_owned(job, before, ev);
		else if (ev->type == JOB_EV_NOT_BEGUN)
			log_event(LOG_LEVEL_WARN, "job.start_again",
				  "its shim never began; it is started again",
				  JOB_FIELDS(job), LOG_END);
		else if (ev->type == JOB_EV_VANISHED)
			log_event(LOG_LEVEL_WARN, "job.run_again",
				  "its processes are gone; it is idempotent and starts "
				  "again",
				  JOB_FIELDS(job), LOG_I("runs", job->rec.runs), LOG_END);
		return;
	case JOB_OUTCOME:
		if (before == JOB_ACKING || before == JOB_IN_DOUBT)
			log_owned(job, before, ev); /* and cancelled at once */
		log_outcome(job);
		return;
	case JOB_WAITING:
		log_event(LOG_LEVEL_INFO, "job.waiting",
			  "the continuation is waiting until due", JOB_FIELDS(job),
			  LOG_I("ms", job->rec.due_ms - job->rec.outcome_ms), LOG_END);
		return;
	case JOB_CLOSED:
		log_closed(job);
		return;
	default:
		return;
	}
}

/* Left of the credentials in use; -1: they have no end. */
static int64_t creds_seconds(const struct agent *a)
{
	int64_t life = creds_store_life_ms(a->creds);

	return life == CREDS_NEVER ? -1 : life / 1000;
}

void agent_log_dump(struct agent *a)
{
	log_event(LOG_LEVEL_INFO, "agent.state", "state of the agent",
		  LOG_S("mode", agent_mode_name(a)), LOG_I("taken", a->jobs_taken),
		  LOG_I("delivered", (int64_t)a->ended[JOB_END_DELIVERED]),
		  LOG_I("refused", (int64_t)a->ended[JOB_END_REFUSED]),
		  LOG_I("gone", (int64_t)a->ended[JOB_END_GONE]),
		  LOG_I("expired", (int64_t)a->ended[JOB_END_EXPIRED]),
		  LOG_I("lost", (int64_t)a->ended[JOB_END_LOST]),
		  LOG_I("doubts_dropped", (int64_t)a->ended[JOB_END_DROPPED]),
		  LOG_I("doubts_kept", (int64_t)a->doubts_kept),
		  LOG_I("retry_quota", a->quota.tokens),
		  LOG_S("credentials", creds_store_source(a->creds)),
		  LOG_I("credentials_s", creds_seconds(a)),
		  LOG_I("skew_ms", aws_skew_ms(a->aws, "codepipeline")), LOG_END);
	for (const struct job *job = a->jobs; job; job = job->next)
		log_event(LOG_LEVEL_INFO, "agent.job", job_state_name(job->rec.state),
			  JOB_FIELDS(job), LOG_I("ack_attempts", job->rec.ack_attempts),
			  LOG_I("put_attempts", job->rec.put_attempts),
			  LOG_I("pid", job->run->shim ? shim_pid(job->run->shim) : 0),
			  LOG_END);
}
