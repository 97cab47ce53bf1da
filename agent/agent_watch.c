/* Whether a running job's work is still wanted (design promise 7): the service
 * tells no worker, but its list of action executions says Abandoned. An empty or
 * failed answer is no abandonment. */
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

static bool can_ask(const struct agent *a, const struct job *job)
{
	return a->settings->watch_interval_ms > 0 && !a->watch_denied &&
	       *job->rec.pipeline && *job->rec.action_execution_id &&
	       str_is_uuid(job->rec.execution_id);
}

static void answer_one(struct job *job, int64_t id, bool wanted)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();

	json_put_str(doc, "m", "wanted");
	json_put_i64(doc, "id", id);
	json_put_bool(doc, "wanted", wanted);
	/* A handler that gets no answer waits no longer than its own patience. */
	if (job->run->shim)
		(void)shim_send(job->run->shim, doc);
}

static void answer_all(struct job *job, bool wanted)
{
	for (size_t i = 0; i < job->run->wanted_count; i++)
		answer_one(job, job->run->wanted[i], wanted);
	job->run->wanted_count = 0;
}

static void ask(struct agent *a, struct job *job, const char *next_token);

static void judge_denial(struct agent *a, const struct cp_answer *answer)
{
	bool denied = answer->err.cls == MH_E_DENIED ||
		      strcmp(answer->code, "UnknownOperation") == 0 ||
		      strcmp(answer->code, "UnknownOperationException") == 0;

	if (!denied || a->watch_denied)
		return;
	a->watch_denied = true;
	log_event(LOG_LEVEL_INFO, "watch.off",
		  "ListActionExecutions is not ours to call: abandoned actions are not "
		  "noticed",
		  LOG_ERR(&answer->err), LOG_END);
}

static void on_list(void *ctx, const struct cp_answer *answer)
{
	struct job *job = ctx;
	struct agent *a = job->run->agent;
	const char *next;

	job->run->watch_call = NULL;
	if (answer->result != CP_OK) {
		judge_denial(a, answer);
		answer_all(job, !job->cancelled);
		return;
	}
	if (cp_read_abandoned(answer->body, job->rec.action_execution_id)) {
		log_event(LOG_LEVEL_WARN, "job.abandoned",
			  "the action was abandoned: cancelling",
			  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n), LOG_END);
		agent_event(a, job,
			    &(struct job_event){ .type = JOB_EV_CANCEL,
						 .asked_ms = -1,
						 .text = "the action was abandoned" });
		answer_all(job, false);
		return;
	}
	next = answer->body ? json_opt_str(answer->body, "nextToken", NULL) : NULL;
	if (next && *next)
		ask(a, job, next);
	else
		answer_all(job, !job->cancelled);
}

static void ask(struct agent *a, struct job *job, const char *next_token)
{
	CLEAN(json)
	struct json_object *body = cp_list_actions_body(
		job->rec.pipeline, job->rec.execution_id, next_token);

	job->run->watch_call = cp_send(a->cp, &cp_op_list_actions, body, on_list, job);
}

int64_t agent_watch(struct agent *a, struct job *job, int64_t now_ms)
{
	struct job_run *run = job->run;

	if (job->rec.state != JOB_STARTED || job->cancelled || !can_ask(a, job)) {
		if (run->watch_call && job->rec.state != JOB_STARTED)
			cp_cancel(STEAL_PTR(run->watch_call));
		run->watch_at_ms = 0;
		return 0;
	}
	if (run->watch_at_ms == 0)
		run->watch_at_ms = now_ms +
				   retry_jitter_ms(a->settings->watch_interval_ms);
	if (run->watch_at_ms <= now_ms) {
		run->watch_at_ms = now_ms +
				   retry_jitter_ms(a->settings->watch_interval_ms);
		if (!run->watch_call)
			ask(a, job, NULL);
	}
	return run->watch_at_ms;
}

void agent_wanted(struct agent *a, struct job *job, int64_t id)
{
	struct job_run *run = job->run;

	if (job->cancelled || !can_ask(a, job) || run->wanted_count == WANTED_MAX) {
		answer_one(job, id, !job->cancelled);
		return;
	}
	run->wanted[run->wanted_count++] = id;
	if (!run->watch_call)
		ask(a, job, NULL);
}
