/* Polling for jobs, and what is done with those that are offered. */
#include <stdio.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

/* A name from outside into a field of the record, cut at a character. */
static void copy_name(char *to, size_t size, const char *from)
{
	size_t len = str_utf8_floor(from, strlen(from), size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

void agent_note_context(struct job_record *rec, const struct jobdata *d)
{
	copy_name(rec->pipeline, sizeof(rec->pipeline), d->pipeline);
	copy_name(rec->stage, sizeof(rec->stage), d->stage);
	copy_name(rec->action, sizeof(rec->action), d->action);
	copy_name(rec->execution_id, sizeof(rec->execution_id), d->execution_id);
	copy_name(rec->action_execution_id, sizeof(rec->action_execution_id),
		  d->action_execution_id);
}

static void take_offer(struct agent *a, const struct poll_call *p, struct cp_offer *offer,
		       const struct cp_answer *answer)
{
	struct job_record rec = { .n = ledger_next_n(a->ledger),
				  .state = JOB_OFFERED,
				  .entry = mh_strdup(a->entries[p->entry]),
				  .offered_ms = answer->sent_wall_ms };
	struct job *job;

	copy_name(rec.id, sizeof(rec.id), offer->id);
	copy_name(rec.nonce, sizeof(rec.nonce), offer->nonce);
	agent_note_context(&rec, offer->data);
	job = agent_add_job(a, &rec, p->entry);
	job->offered_mono_ms = answer->sent_mono_ms;
	job->run->data = STEAL_PTR(offer->data);
	agent_simple_event(a, job, JOB_EV_ADMIT);
}

bool agent_take_reoffer(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	char nonce[JOB_NONCE_SIZE];

	if (run->reoffered) {
		run->reoffered = false;
		agent_third_ask_nonce(a, job);
		return true;
	}
	if (!*run->reoffer_nonce)
		return false;
	memcpy(nonce, run->reoffer_nonce, sizeof(nonce));
	memset(run->reoffer_nonce, 0, sizeof(run->reoffer_nonce));
	agent_event(a, job,
		    &(struct job_event){ .type = JOB_EV_REOFFER,
					 .asked_ms = -1,
					 .text = nonce,
					 .offered_ms = run->reoffer_wall_ms,
					 .offered_mono_ms = run->reoffer_mono_ms });
	return true;
}

/* Handed out again although we have it: only an acknowledgement that never
 * arrived explains that. While one is under way its answer tells: when it says
 * that somebody else has the job, that somebody is this offer. */
static void keep_reoffer(struct agent *a, struct job *job, struct cp_offer *offer,
			 const struct cp_answer *answer)
{
	struct job_run *run = job->run;

	if (job->rec.state != JOB_ACKING && job->rec.state != JOB_IN_DOUBT) {
		log_event(LOG_LEVEL_DEBUG, "job.offered_twice",
			  "offered again, and ignored", LOG_S("job", job->rec.id),
			  LOG_I("n", job->rec.n), LOG_END);
		return;
	}
	if (job_is_third_party(job)) {
		agent_third_reoffer(a, job, answer);
		return;
	}
	jobdata_free(run->data);
	run->data = STEAL_PTR(offer->data);
	memcpy(run->reoffer_nonce, offer->nonce, sizeof(run->reoffer_nonce));
	run->reoffer_wall_ms = answer->sent_wall_ms;
	run->reoffer_mono_ms = answer->sent_mono_ms;
	if (!run->call)
		(void)agent_take_reoffer(a, job); /* it was offered just now */
}

static void judge_offer(struct agent *a, const struct poll_call *p,
			struct cp_offer *offer, const struct cp_answer *answer)
{
	struct job *known = agent_find_job(a, offer->id);
	struct mh_err err = MH_ERR_INIT;
	bool was_ours = false;

	if (known) {
		keep_reoffer(a, known, offer, answer);
		return;
	}
	if (!agent_takes_jobs(a) || a->disk_full) {
		log_event(LOG_LEVEL_INFO, "job.declined",
			  "offered while the agent takes no more jobs; it will be "
			  "offered again",
			  LOG_S("job", offer->id), LOG_END);
		return;
	}
	if (ledger_was_ours(a->ledger, offer->id, &was_ours, &err) != 0 || was_ours) {
		log_event(LOG_LEVEL_WARN, "job.offered_twice",
			  was_ours ? "a job that is over for us is offered again, and "
				     "ignored"
				   : "a job is not taken",
			  LOG_S("job", offer->id), LOG_S("error", err.text), LOG_END);
		return;
	}
	if (*offer->client_id)
		agent_third_offer(a, p->entry, offer, answer);
	else
		take_offer(a, p, offer, answer);
}

/* --- answers -------------------------------------------------------------------------
 */

static void poll_failed(struct agent *a, struct poll_call *p,
			const struct cp_answer *answer, const struct mh_err *err)
{
	struct poller_failure f = { .throttled = answer->result == CP_THROTTLED,
				    .asked_ms = answer->asked_ms };
	int64_t delay = poller_failed(a->poller, p->entry, &f, clock_mono_ms());
	/* One that was answered, and cannot be read, is unknown. */
	enum cp_result result = answer->result == CP_OK ? CP_UNKNOWN : answer->result;

	agent_observe_poll(a, p, result, -1);

	/* Once, not at every try: an endpoint may be away for days. */
	log_event(p->failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "poll.failed",
		  "polling failed; tried again later",
		  LOG_S("entry", a->entries[p->entry]),
		  LOG_S("result", cp_result_name(answer->result)), LOG_ERR(err),
		  LOG_I("retry_ms", delay), LOG_S("request_id", answer->request_id),
		  LOG_END);
	p->failing = true;
}

static void poll_succeeded(struct agent *a, struct poll_call *p, size_t offers,
			   size_t bad, const struct mh_err *why)
{
	poller_answered(a->poller, p->entry, (int)offers, clock_mono_ms());
	agent_observe_poll(a, p, CP_OK, (int)offers);
	if (p->failing)
		log_event(LOG_LEVEL_INFO, "poll.recovered", "polling works again",
			  LOG_S("entry", a->entries[p->entry]), LOG_END);
	p->failing = false;
	if (bad > 0)
		log_event(LOG_LEVEL_WARN, "poll.bad_job",
			  "offered jobs that make no sense were left alone",
			  LOG_S("entry", a->entries[p->entry]),
			  LOG_I("jobs", (int64_t)bad), LOG_ERR(why), LOG_END);
}

static void on_poll(void *ctx, const struct cp_answer *answer)
{
	struct poll_call *p = ctx;
	struct agent *a = p->agent;
	const struct action_settings *want = settings_action(a->settings, p->entry);
	CLEAN(free)
	struct cp_offer *offers = mh_alloc((size_t)p->batch * sizeof(*offers));
	struct mh_err err = answer->err, why = MH_ERR_INIT;
	size_t count = 0, bad = 0, passed = 0;

	p->call = NULL;
	if (answer->result != CP_OK ||
	    cp_read_offers(answer->body, want, (size_t)p->batch, clock_mono_ms(), offers,
			   &count, &bad, &why, &err) != 0) {
		poll_failed(a, p, answer, &err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		passed += agent_third_was_passed(a, &offers[i]);
	poll_succeeded(a, p, count - passed, bad, &why);
	for (size_t i = 0; i < count; i++) {
		if (!agent_third_was_passed(a, &offers[i]))
			judge_offer(a, p, &offers[i], answer);
		jobdata_free(offers[i].data);
	}
}

void agent_poll(void *ctx, size_t entry, int batch)
{
	struct agent *a = ctx;
	struct poll_call *p = &a->polls[entry];
	CLEAN(json)
	struct json_object *body = cp_poll_body(settings_action(a->settings, entry),
						batch);

	p->batch = batch;
	agent_observe_poll_sent(p);
	p->call = cp_send(a->cp,
			  settings_is_third_party(settings_action(a->settings, entry))
				  ? &cp_op_third_poll
				  : &cp_op_poll,
			  body, on_poll, p);
}

/* --- whether to ----------------------------------------------------------------------
 */

const char *agent_why_no_polls(const struct agent *a)
{
	if (a->mode != MODE_RUN)
		return "the agent is ending";
	if (a->paused)
		return "the agent was drained; resume it";
	if (a->options.max_jobs > 0 && a->jobs_taken >= a->options.max_jobs)
		return "the agent has done its number of jobs (--max-jobs)";
	if (a->ledger_failures > 0)
		return "the ledger cannot be written";
	if (!creds_store_now(a->creds))
		return "there are no credentials";
	if (a->disk_full)
		return "there is too little room on the disk";
	if (a->check.failing)
		return "the health command fails";
	return NULL;
}

bool agent_may_poll(struct agent *a)
{
	return agent_takes_jobs(a) && !agent_reload_holds(a) && !a->ledger_failures &&
	       creds_store_now(a->creds) && !a->disk_full &&
	       !agent_check_holds(a, clock_mono_ms());
}
