/* The processes of jobs: starting a shim, finding one again, and what it says. */
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "agent/protocol.h"
#include "agent/recover.h"
#include "agent/spec.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define RESULT_MAX_BYTES (1 << 20)
#define LOOK_AGAIN_MS    200 /* at a lock whose holder could not be named */
#define BACKSTOP_MS      60000 /* past deadline and grace: the shim is stuck */
#define LOOK_ERROR_MS    2000
#define UNREAD_MAX       30

/* --- messages --------------------------------------------------------------------------
 */

/* The first message of each connection tells. */
static void judge_protocol(struct job *job, struct json_object *doc)
{
	int64_t protocol = json_opt_i64(doc, "protocol", 1);

	if (job->run->mute ||
	    (protocol >= SHIM_PROTOCOL_OLDEST && protocol <= SHIM_PROTOCOL))
		return;
	job->run->mute = true;
	log_event(LOG_LEVEL_WARN, "shim.other_protocol",
		  "a job's shim is of a build whose messages this one does not know; it "
		  "is left to its work, and its result is taken when it can be read",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_I("protocol", protocol),
		  LOG_S("version", json_opt_str(doc, "version", "")), LOG_END);
	if (job->cancelled)
		agent_ask_shim_to_stop(job); /* in a way that it knows */
}

static void take_handed(struct job *job, struct json_object *result);

static void on_message(void *ctx, struct json_object *doc)
{
	struct job *job = ctx;
	const char *what = json_opt_str(doc, "m", "");

	if (strcmp(what, "state") == 0)
		judge_protocol(job, doc);
	if (job->run->mute)
		return;
	if (strcmp(what, "result") == 0)
		take_handed(job, json_opt_object(doc, "result"));
	else if (strcmp(what, "wanted") == 0)
		agent_wanted(job->run->agent, job, json_opt_i64(doc, "id", 0));
	else if (strcmp(what, "state") == 0)
		log_event(LOG_LEVEL_DEBUG, "job.step", json_opt_str(doc, "step", ""),
			  LOG_I("n", job->rec.n), LOG_END);
	else if (strcmp(what, "progress") == 0)
		log_event(LOG_LEVEL_DEBUG, "job.progress",
			  json_opt_str(doc, "summary", ""), LOG_I("n", job->rec.n),
			  LOG_I("percent", json_opt_i64(doc, "percent", -1)), LOG_END);
	/* Anything else comes from a newer shim, and can wait for a newer agent. */
}

static void on_ended(void *ctx)
{
	struct job *job = ctx;

	shim_free(STEAL_PTR(job->run->shim));
	/* The end of the process is the wake-up, the lock is the truth. */
	agent_adopt(job->run->agent, job);
}

void agent_ask_shim_to_stop(struct job *job)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	struct shim *shim = job->run->shim;

	json_put_str(doc, "m", "cancel");
	json_put_str(doc, "reason", job->cancel_reason);
	FAULT_POINT("cancel.send");
	if (!shim || ((job->run->mute || !shim_send(shim, doc)) && !shim_terminate(shim)))
		log_event(LOG_LEVEL_WARN, "job.not_cancelled",
			  "the job's shim could not be told to cancel",
			  LOG_I("n", job->rec.n), LOG_END);
	FAULT_POINT("cancel.sent");
}

static void look_again(struct job *job, int64_t in_ms)
{
	job->run->adopt_at_ms = clock_mono_ms() + in_ms;
}

/* --- results
 * ----------------------------------------------------------------------------- */

static int judge_outcome(struct agent *a, struct job *job, const char *text, size_t len,
			 struct outcome *ret, struct mh_err *err)
{
	const struct action_settings *action = agent_action(a, job);
	const struct jobdata *data = job->run->data;
	const char *names[JOBDATA_ARTIFACTS_MAX];
	struct outcome_expect expect = { .outputs_min = JOBDATA_ARTIFACTS_MAX,
					 .n = job->rec.n };

	/* After a restart of the agent the job's data are not here; the names are
	 * then held against them when the outputs are stored. */
	for (size_t i = 0; data && i < data->output_count; i++)
		names[i] = data->outputs[i].name;
	expect.outputs = data ? names : NULL;
	expect.output_count = data ? data->output_count : 0;
	expect.no_variables = job_is_third_party(job);
	if (action && action->outputs.set)
		expect.outputs_min = action->outputs.min;
	return outcome_from_result(text, len, &expect, ret, err);
}

static int read_outcome(struct agent *a, struct job *job, struct outcome *ret,
			struct mh_err *err)
{
	CLEAN(buf) struct buf text = BUF_INIT(RESULT_MAX_BYTES);

	if (jobdir_result(job->run->dir_fd, &text, err) != 0)
		return -1;
	return judge_outcome(a, job, buf_text(&text), text.len, ret, err);
}

static void take_outcome(struct agent *a, struct job *job, struct outcome *o)
{
	FAULT_POINT("result.read");
	if (*o->note)
		log_event(LOG_LEVEL_WARN, "job.result_changed", o->note,
			  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n), LOG_END);
	agent_event(a, job,
		    &(struct job_event){ .type = JOB_EV_ENDED,
					 .asked_ms = -1,
					 .text = "",
					 .take_outcome = o });
}

/* Its shim cannot write result.json: the ledger is where it becomes durable. The shim
 * waits to be told so, and says it again until then. */
static void take_handed(struct job *job, struct json_object *result)
{
	CLEAN(outcome) struct outcome o = { 0 };
	struct agent *a = job->run->agent;
	struct mh_err err = MH_ERR_INIT;
	const char *text = json_text(result);

	if (job->rec.state == JOB_STARTED) {
		if (judge_outcome(a, job, text, strlen(text), &o, &err) != 0) {
			log_event(LOG_LEVEL_WARN, "shim.bad_message",
				  "a message was not understood",
				  LOG_I("pid", shim_pid(job->run->shim)), LOG_ERR(&err),
				  LOG_END);
			return;
		}
		log_event(LOG_LEVEL_WARN, "job.result_handed",
			  "the job's result cannot be written into its directory; the "
			  "ledger takes it",
			  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n), LOG_END);
		take_outcome(a, job, &o);
		FAULT_POINT("result.handed");
	}
	job->run->handed = true;
}

void agent_result_is_taken(struct job *job)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();

	FAULT_POINT("result.taken");
	job->run->handed = false;
	json_put_str(doc, "m", "taken");
	if (job->run->shim)
		(void)shim_send(job->run->shim, doc); /* else it asks again */
}

/* A result that cannot be read now is none that is missing. Descriptors come back; a
 * disk with errors is given a minute. */
static bool may_pass(struct job *job, const struct mh_err *err)
{
	bool full = err->cls == MH_E_FULL && err->sys_errno;

	if (!full && (err->cls != MH_E_SYS || job->run->unread >= UNREAD_MAX))
		return false;
	log_event(
		job->run->unread++ ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
		"job.unread_result", "the job's result cannot be read now; looking again",
		LOG_S("job", job->rec.id), LOG_I("n", job->rec.n), LOG_ERR(err), LOG_END);
	look_again(job, LOOK_ERROR_MS);
	return true;
}

void agent_read_result(struct agent *a, struct job *job)
{
	CLEAN(outcome) struct outcome o = { 0 };
	struct mh_err err = MH_ERR_INIT;

	if (read_outcome(a, job, &o, &err) != 0) {
		if (may_pass(job, &err))
			return;
		log_event(LOG_LEVEL_WARN, "job.no_result",
			  "the job's shim left no result that can be read",
			  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
			  LOG_ERR(&err), LOG_END);
		/* It did run to its end, but how cannot be told. */
		if (err.cls == MH_E_VERSION)
			agent_fail_job(a, job, FAIL_SYSTEM, err.text);
		else
			agent_simple_event(a, job, JOB_EV_VANISHED);
		return;
	}
	take_outcome(a, job, &o);
}

/* --- starting and finding
 * ------------------------------------------------------------------ */

static struct shim_events events_for(struct job *job)
{
	return (struct shim_events){ .message = on_message,
				     .ended = on_ended,
				     .ctx = job };
}

void agent_spawn(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	CLEAN(free) char *work = jobdir_work_path(a->dirs, job->rec.n);
	struct spec_input in = { .settings = agent_job_settings(a, job),
				 .action = agent_action(a, job),
				 .data = run->data,
				 .job_id = job->rec.id,
				 .n = job->rec.n,
				 .deadline_ms = job->rec.deadline_ms,
				 .work_dir = work };
	CLEAN(json) struct json_object *spec = spec_build(&in);
	struct shim_start start = { .loop = a->loop,
				    .zygote = a->zygote,
				    .spec = json_text(spec),
				    .dir_fd = run->dir_fd,
				    .listen_fd = &run->listen_fd,
				    .keep_fd = run->target_fd };
	struct shim_events events = events_for(job);
	struct mh_err err = MH_ERR_INIT;
	int rc = shim_start(&start, &events, &run->shim, &err);

	agent_leave_target(run); /* the shim has it */
	run->mute = false; /* that was another shim */
	if (rc != 0) {
		(void)mh_err_wrap(&err, "the job could not be started");
		agent_fail_job(a, job, FAIL_SYSTEM, err.text);
		return;
	}
	METRIC_INC(METRIC_JOBS_STARTED, job->rec.entry);
	log_event(LOG_LEVEL_INFO, "job.started", "started", LOG_S("job", job->rec.id),
		  LOG_I("n", job->rec.n), LOG_S("entry", job->rec.entry),
		  LOG_S("plugin", in.action->plugin), LOG_I("pid", shim_pid(run->shim)),
		  LOG_END);
}

/* Looks at the lock. NOTFOUND when the job has no directory. */
static int look(struct agent *a, struct job *job, pid_t *ret_holder, struct mh_err *err)
{
	struct job_run *run = job->run;

	if (run->dir_fd < 0 && jobdir_open(a->dirs, job->rec.n, &run->dir_fd, err) != 0)
		return -1;
	run->has_dirs = true;
	if (run->lock_fd >= 0)
		(void)close(run->lock_fd); /* two would undo each other (POSIX) */
	run->lock_fd = -1;
	return jobdir_lock(run->dir_fd, &run->lock_fd, ret_holder, err);
}

/* One that has just ended left its lock too. Else descriptors or memory are scarce: the
 * job goes on meanwhile, with its own deadline. */
static void adopt_failed(struct job *job, pid_t holder, const struct mh_err *err)
{
	if (err->cls == MH_E_NOTFOUND) {
		look_again(job, LOOK_AGAIN_MS);
		return;
	}
	log_event(LOG_LEVEL_ERROR, "job.not_watched",
		  "a running job cannot be watched now; trying again",
		  LOG_I("n", job->rec.n), LOG_I("pid", holder), LOG_ERR(err), LOG_END);
	look_again(job, LOOK_ERROR_MS);
}

static void adopt_holder(struct agent *a, struct job *job, pid_t holder)
{
	struct shim_events events = events_for(job);
	struct mh_err err = MH_ERR_INIT;
	pid_t now = 0;

	job->run->mute = false; /* until it tells */
	FAULT_POINT("adopt.before");
	if (holder < 0) {
		look_again(job, LOOK_AGAIN_MS);
		return;
	}
	if (shim_adopt(a->loop, job->run->dir_fd, holder, &events, &job->run->shim,
		       &err) != 0) {
		adopt_failed(job, holder, &err);
		return;
	}
	/* The pid was looked up before the process was pinned: is it still its lock? */
	if (fs_lock_holder(job->run->lock_fd, &now, &err) != 0 || now != holder) {
		shim_free(STEAL_PTR(job->run->shim));
		look_again(job, LOOK_AGAIN_MS);
		return;
	}
	log_event(LOG_LEVEL_INFO, "job.adopted", "found running, and goes on",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_S("entry", job->rec.entry), LOG_I("pid", holder), LOG_END);
	FAULT_POINT("adopt.after");
	if (job->cancelled)
		agent_ask_shim_to_stop(job);
}

void agent_adopt(struct agent *a, struct job *job)
{
	struct recover_facts facts = { .dir_there = true };
	struct mh_err err = MH_ERR_INIT;
	pid_t holder = 0;

	if (job->rec.state != JOB_STARTED || job->run->shim)
		return;
	if (look(a, job, &holder, &err) != 0) {
		if (err.cls != MH_E_NOTFOUND) {
			log_event(LOG_LEVEL_ERROR, "job.unknown_fate",
				  "whether a job still runs cannot be told now; looking "
				  "again",
				  LOG_I("n", job->rec.n), LOG_ERR(&err), LOG_END);
			look_again(job, LOOK_ERROR_MS);
			return;
		}
		facts.dir_there = false;
	}
	facts.lock_held = holder != 0;
	/* One that was made for it alone ends with it. */
	if (facts.dir_there && !facts.lock_held && job->run->listen_fd < 0)
		jobdir_drop_socket(job->run->dir_fd);
	facts.never_begun = facts.dir_there && !facts.lock_held &&
			    strcmp(job->rec.boot_id, a->boot_id) == 0 &&
			    jobdir_lock_is_blank(job->run->lock_fd);
	/* Whether there is a result is told by reading it. */
	facts.result_there = facts.dir_there;
	switch (recover_decide(JOB_STARTED, &facts)) {
	case RECOVER_ADOPT:
		adopt_holder(a, job, holder);
		return;
	case RECOVER_RUN:
		agent_simple_event(a, job, JOB_EV_NOT_BEGUN);
		return;
	case RECOVER_TAKE_RESULT:
		agent_read_result(a, job);
		return;
	default:
		agent_simple_event(a, job, JOB_EV_VANISHED);
		return;
	}
}

int64_t agent_backstop(struct agent *a, struct job *job, int64_t now_ms)
{
	const struct action_settings *action = agent_action(a, job);
	int64_t grace_ms = action ? action->grace_ms : 0;
	int64_t left_ms;

	if (job->rec.state != JOB_STARTED || !job->run->shim)
		return 0;
	left_ms = job->rec.deadline_ms + grace_ms + BACKSTOP_MS - clock_wall_ms();
	if (left_ms > 0)
		return now_ms + left_ms;
	log_event(LOG_LEVEL_ERROR, "shim.stuck",
		  "a job's shim let the deadline pass; it is killed",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_I("pid", shim_pid(job->run->shim)), LOG_END);
	shim_kill(job->run->shim);
	return now_ms + BACKSTOP_MS;
}
