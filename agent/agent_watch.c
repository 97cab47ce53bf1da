/* Whether a job's work is still wanted (design promise 7): the service tells no
 * worker, but its list of action executions says Abandoned. An empty or failed
 * answer is no abandonment.
 *
 * All jobs of one pipeline execution share one watch, and so one question an
 * interval. A handler that asks is answered by what the service says to a question
 * that was sent after its own: an answer that is under way already may be older
 * than the step that it is about to take. */
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define TRIES 3 /* while a handler waits for the answer */

struct watch {
	struct agent *agent;
	char pipeline[JOB_NAME_SIZE], execution_id[STR_UUID_SIZE];
	struct cp_call *call;
	int64_t at_ms; /* monotonic: when to ask next */
	int64_t round; /* of the question under way, or of the last one */
	int tries; /* that failed since one went well */
	size_t jobs;
	struct watch *next;
};

/* What has not begun, or is at work: the rest has nothing left to stop. */
static bool is_watched(const struct agent *a, const struct job *job)
{
	enum job_state state = job->rec.state;

	return (state == JOB_OWNED || state == JOB_FETCHING || state == JOB_QUEUED ||
		state == JOB_STARTED) &&
	       !job->cancelled && a->settings->watch_interval_ms > 0 &&
	       !a->watch_denied && *job->rec.pipeline && *job->rec.action_execution_id &&
	       str_is_uuid(job->rec.execution_id);
}

/* --- what handlers asked ------------------------------------------------------------ */

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

/* The questions that were asked before that round's was sent. */
static void answer_asked(struct job *job, int64_t round, bool wanted)
{
	struct job_run *run = job->run;
	size_t kept = 0;

	for (size_t i = 0; i < run->wanted_count; i++) {
		if (run->wanted[i].round <= round)
			answer_one(job, run->wanted[i].id, wanted);
		else
			run->wanted[kept++] = run->wanted[i];
	}
	run->wanted_count = kept;
}

static bool is_asked(const struct watch *w)
{
	for (const struct job *job = w->agent->jobs; job; job = job->next) {
		if (job->run->watch == w && job->run->wanted_count > 0)
			return true;
	}
	return false;
}

static void answer_round(struct watch *w)
{
	for (struct job *job = w->agent->jobs; job; job = job->next) {
		if (job->run->watch == w)
			answer_asked(job, w->round, !job->cancelled);
	}
}

/* --- asking the service ---------------------------------------------------------------
 */

static void ask(struct watch *w, const char *next_token);

/* The next question: at once for who asked meanwhile, else after the interval. */
static void ask_later(struct watch *w)
{
	int64_t interval =
		is_asked(w) ? 0 : retry_jitter_ms(w->agent->settings->watch_interval_ms);

	w->at_ms = clock_mono_ms() + interval;
}

static void judge_denial(struct agent *a, const struct cp_answer *answer)
{
	bool denied = answer->err.cls == MH_E_DENIED ||
		      strcmp(answer->code, "UnknownOperation") == 0 ||
		      strcmp(answer->code, "UnknownOperationException") == 0;

	if (!denied || a->watch_denied)
		return;
	a->watch_denied = true;
	log_event(LOG_LEVEL_WARN, "watch.off",
		  "ListActionExecutions is not ours to call: abandoned actions are not "
		  "noticed",
		  LOG_ERR(&answer->err), LOG_END);
}

/* A failure that may pass is no answer to a handler yet. */
static void failed(struct watch *w, const struct cp_answer *answer)
{
	struct agent *a = w->agent;

	judge_denial(a, answer);
	if (!a->watch_denied && ++w->tries < TRIES && is_asked(w)) {
		w->at_ms = clock_mono_ms() +
			   retry_heed_ms(retry_standard_ms(w->tries - 1,
							   a->settings->retry_base_ms),
					 answer->asked_ms);
		return;
	}
	w->tries = 0;
	answer_round(w);
	ask_later(w);
}

static void cancel(struct agent *a, struct job *job)
{
	log_event(LOG_LEVEL_WARN, "job.abandoned", "the action was abandoned: cancelling",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n), LOG_END);
	agent_event(a, job,
		    &(struct job_event){ .type = JOB_EV_CANCEL,
					 .asked_ms = -1,
					 .text = "the action was abandoned" });
	answer_asked(job, INT64_MAX, false);
}

static void on_list(void *ctx, const struct cp_answer *answer)
{
	struct watch *w = ctx;
	const char *next;

	w->call = NULL;
	if (answer->result != CP_OK) {
		failed(w, answer);
		return;
	}
	for (struct job *job = w->agent->jobs; job; job = job->next) {
		if (job->run->watch == w && is_watched(w->agent, job) &&
		    cp_read_abandoned(answer->body, job->rec.action_execution_id))
			cancel(w->agent, job);
	}
	next = answer->body ? json_opt_str(answer->body, "nextToken", NULL) : NULL;
	if (next && *next) {
		ask(w, next);
		return;
	}
	w->tries = 0;
	answer_round(w);
	ask_later(w);
}

static void ask(struct watch *w, const char *next_token)
{
	CLEAN(json)
	struct json_object *body = cp_list_actions_body(w->pipeline, w->execution_id,
							next_token);

	w->call = cp_send(w->agent->cp, &cp_op_list_actions, body, on_list, w);
}

/* --- who shares a watch
 * ----------------------------------------------------------------- */

static struct watch *find_or_make(struct agent *a, const struct job_record *rec)
{
	struct watch *w;

	for (w = a->watches; w; w = w->next) {
		if (strcmp(w->execution_id, rec->execution_id) == 0 &&
		    strcmp(w->pipeline, rec->pipeline) == 0)
			return w;
	}
	w = mh_alloc(sizeof(*w));
	w->agent = a;
	memcpy(w->pipeline, rec->pipeline, sizeof(w->pipeline));
	memcpy(w->execution_id, rec->execution_id, sizeof(w->execution_id));
	w->next = a->watches;
	a->watches = w;
	ask_later(w);
	return w;
}

static void join(struct agent *a, struct job *job)
{
	if (job->run->watch)
		return;
	job->run->watch = find_or_make(a, &job->rec);
	job->run->watch->jobs++;
}

void agent_watch_leave(struct job_run *run)
{
	struct watch *w = STEAL_PTR(run->watch);
	struct watch **at;

	run->wanted_count = 0;
	if (!w || --w->jobs > 0)
		return;
	for (at = &w->agent->watches; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	cp_cancel(w->call);
	free(w);
}

int64_t agent_watch(struct agent *a, struct job *job, int64_t now_ms)
{
	struct watch *w;

	if (!is_watched(a, job)) {
		answer_asked(job, INT64_MAX, !job->cancelled);
		agent_watch_leave(job->run);
		return 0;
	}
	join(a, job);
	w = job->run->watch;
	if (w->call)
		return 0; /* its answer says when to ask again */
	if (w->at_ms <= now_ms) {
		w->round++;
		ask(w, NULL);
		return 0;
	}
	return w->at_ms;
}

void agent_wanted(struct agent *a, struct job *job, int64_t id)
{
	struct job_run *run = job->run;

	if (!is_watched(a, job) || run->wanted_count == WANTED_MAX) {
		answer_one(job, id, !job->cancelled);
		return;
	}
	join(a, job);
	run->wanted[run->wanted_count++] =
		(struct wanted){ .id = id, .round = run->watch->round + 1 };
	run->watch->at_ms = clock_mono_ms(); /* this turn; after the one under way */
}
