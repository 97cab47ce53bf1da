/* What the millhand program may ask of the agent (control.h): one function for each
 * command, from a request to its answer. docs/architecture.md has the members. */
#include <string.h>

#include "config.h"
#include "agent/agent_impl.h"
#include "agent/control.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define CANCEL_TEXT "cancelled by the operator of the build host"

static struct json_object *agreed(void)
{
	struct json_object *doc = json_object_new_object();

	json_put_bool(doc, "ok", true);
	return doc;
}

/* --- status
 * ------------------------------------------------------------------------------ */

/* Jobs of that kind of state. */
struct census {
	int64_t open, running, waiting, reporting;
};

static struct census count_jobs(const struct agent *a)
{
	struct census c = { 0 };

	for (const struct job *job = a->jobs; job; job = job->next) {
		enum job_state state = job->rec.state;

		c.open += state != JOB_CLOSED;
		c.running += state == JOB_STARTED;
		c.waiting += state == JOB_WAITING;
		c.reporting += state == JOB_OUTCOME || state == JOB_REPORTING;
	}
	return c;
}

static struct json_object *jobs_object(const struct agent *a)
{
	struct json_object *doc = json_object_new_object();
	struct census c = count_jobs(a);

	json_put_i64(doc, "open", c.open);
	json_put_i64(doc, "running", c.running);
	json_put_i64(doc, "waiting", c.waiting);
	json_put_i64(doc, "reporting", c.reporting);
	return doc;
}

static struct json_object *ended_object(const struct agent *a)
{
	struct json_object *doc = json_object_new_object();

	for (size_t i = JOB_END_NONE + 1; i < JOB_END_COUNT; i++)
		json_put_i64(doc, job_end_name((enum job_end)i), (int64_t)a->ended[i]);
	return doc;
}

static int64_t slots_used(const struct agent *a, size_t slot)
{
	int64_t used = 0;

	for (const struct job *job = a->jobs; job; job = job->next)
		used += job->run->holds_slot && job->run->slot == slot;
	return used;
}

static struct json_object *actions_array(const struct agent *a)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < a->settings->actions.count; i++) {
		struct json_object *doc = json_object_new_object();

		json_put_str(doc, "entry", a->entries[i]);
		json_put_i64(doc, "jobs", slots_used(a, i));
		json_put_i64(doc, "max_jobs", settings_action(a->settings, i)->max_jobs);
		json_put_bool(doc, "failing", a->polls[i].failing);
		json_object_array_add(list, doc);
	}
	return list;
}

static int64_t all_slots_used(const struct agent *a)
{
	int64_t used = 0;

	for (const struct job *job = a->jobs; job; job = job->next)
		used += job->run->holds_slot;
	return used;
}

static struct json_object *status(struct agent *a, const struct control_request *r)
{
	struct json_object *doc = agreed();

	(void)r;
	json_put_str(doc, "version", PACKAGE_VERSION);
	json_put_i64(doc, "pid", getpid());
	json_put_i64(doc, "uptime_ms", clock_mono_ms() - a->started_ms);
	json_put_str(doc, "mode", agent_mode_name(a));
	json_put_str(doc, "no_polls", agent_why_no_polls(a));
	json_put_str(doc, "config", a->options.config);
	json_put_str(doc, "endpoint", a->settings->endpoint);
	json_put_str(doc, "region", a->settings->region);
	json_put_str(doc, "state_dir", a->settings->state_dir);
	json_put_i64(doc, "slots", a->settings->max_jobs);
	json_put_i64(doc, "slots_used", all_slots_used(a));
	json_put_obj(doc, "jobs", jobs_object(a));
	json_put_i64(doc, "taken", a->jobs_taken);
	json_put_obj(doc, "ended", ended_object(a));
	json_put_obj(doc, "actions", actions_array(a));
	return doc;
}

/* --- jobs
 * -------------------------------------------------------------------------------- */

static struct json_object *job_object(const struct job *job, int64_t now_ms)
{
	const struct job_record *rec = &job->rec;
	struct json_object *doc = json_object_new_object();

	json_put_i64(doc, "n", rec->n);
	json_put_str(doc, "id", rec->id);
	json_put_str(doc, "state", job_state_name(rec->state));
	json_put_str(doc, "entry", rec->entry);
	json_put_str(doc, "pipeline", rec->pipeline);
	json_put_str(doc, "stage", rec->stage);
	json_put_str(doc, "action", rec->action);
	json_put_str(doc, "execution", rec->execution_id);
	json_put_i64(doc, "age_ms", now_ms - rec->offered_ms);
	if (rec->deadline_ms)
		json_put_i64(doc, "left_ms", rec->deadline_ms - now_ms);
	if (job->run->shim)
		json_put_i64(doc, "pid", shim_pid(job->run->shim));
	if (rec->kind != OUTCOME_NONE)
		json_put_str(doc, "outcome", outcome_kind_name(rec->kind));
	json_put_i64(doc, "attempts", rec->put_attempts);
	json_put_bool(doc, "cancelled", job->cancelled);
	return doc;
}

static struct json_object *jobs(struct agent *a, const struct control_request *r)
{
	struct json_object *doc = agreed(), *list = json_object_new_array();
	int64_t now = clock_wall_ms();
	const struct job *last = a->jobs;

	(void)r;
	while (last && last->next)
		last = last->next;
	for (; last; last = last->prev) { /* the oldest first */
		if (last->rec.state != JOB_CLOSED)
			json_object_array_add(list, job_object(last, now));
	}
	json_put_obj(doc, "jobs", list);
	return doc;
}

/* --- commands
 * ---------------------------------------------------------------------------- */

static bool is_at_rest(const struct agent *a)
{
	struct census c = count_jobs(a);

	return c.open == c.waiting && !poller_in_flight(a->poller);
}

static struct json_object *is_ending(const struct agent *a)
{
	if (a->mode == MODE_RUN)
		return NULL;
	return control_refusal("ending", "the agent is ending already, by a signal");
}

static struct json_object *drain(struct agent *a, const struct control_request *r)
{
	struct json_object *doc = r->again ? NULL : is_ending(a);

	if (doc)
		return doc;
	if (r->again && !a->paused && a->mode == MODE_RUN)
		return control_refusal("resumed", "somebody has resumed it meanwhile");
	if (!r->again && !a->paused) {
		a->paused = true;
		log_event(LOG_LEVEL_INFO, "agent.paused",
			  "no new jobs are taken until it is resumed",
			  LOG_I("jobs", count_jobs(a).open), LOG_END);
	}
	if (json_opt_bool(r->doc, "wait", false) && !is_at_rest(a))
		return NULL;
	doc = agreed();
	json_put_obj(doc, "jobs", jobs_object(a));
	return doc;
}

static struct json_object *resume(struct agent *a, const struct control_request *r)
{
	struct json_object *doc = is_ending(a);

	(void)r;
	if (doc)
		return doc;
	if (a->paused)
		log_event(LOG_LEVEL_INFO, "agent.resumed", "jobs are taken again",
			  LOG_END);
	a->paused = false;
	poller_poll_now(a->poller, clock_mono_ms());
	return agreed();
}

static struct json_object *poll_now(struct agent *a, const struct control_request *r)
{
	const char *why = agent_why_no_polls(a);
	struct json_object *doc;

	(void)r;
	if (why)
		return control_refusal("no_polls", why);
	doc = agreed();
	json_put_i64(doc, "polls", (int64_t)poller_poll_now(a->poller, clock_mono_ms()));
	return doc;
}

/* By the job's id, or by our number. */
static struct job *find_job(struct agent *a, const char *name)
{
	struct mh_err ignored;
	int64_t n = 0;

	if (str_is_uuid(name))
		return agent_find_job(a, name);
	if (str_to_i64(name, 1, INT64_MAX, "job", &n, &ignored) != 0)
		return NULL;
	for (struct job *job = a->jobs; job; job = job->next) {
		if (job->rec.n == n && job->rec.state != JOB_CLOSED)
			return job;
	}
	return NULL;
}

static struct json_object *cancel(struct agent *a, const struct control_request *r)
{
	const char *name = json_opt_str(r->doc, "job", "");
	struct job *job = find_job(a, name);
	struct json_object *doc;

	if (!job)
		return control_refusal("no_job", "the agent has no such job; it is named "
						 "by its id or its number");
	if (!job_accepts(job->rec.state, JOB_EV_CANCEL))
		return control_refusal("too_late",
				       "its handler has ended; what is left is to "
				       "deliver its result");
	doc = agreed();
	json_put_str(doc, "id", job->rec.id);
	json_put_i64(doc, "n", job->rec.n);
	if (!job->cancelled)
		agent_event(a, job,
			    &(struct job_event){ .type = JOB_EV_CANCEL,
						 .asked_ms = -1,
						 .text = CANCEL_TEXT });
	json_put_str(doc, "state", job_state_name(job->rec.state));
	return doc;
}

/* --- all of them
 * ------------------------------------------------------------------------- */

struct command {
	const char *name;
	struct json_object *(*run)(struct agent *a, const struct control_request *r);
	bool changes; /* said in the log */
};

static const struct command commands[] = {
	{ "status", status, false }, { "jobs", jobs, false },
	{ "drain", drain, true },    { "resume", resume, true },
	{ "cancel", cancel, true },  { "poll-now", poll_now, true },
};

static struct json_object *handle(void *ctx, const struct control_request *r)
{
	const char *name = json_opt_str(r->doc, "command", "");
	struct agent *a = ctx;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (commands[i].changes && !r->again)
			log_event(LOG_LEVEL_INFO, "control.request", name,
				  LOG_S("job", json_opt_str(r->doc, "job", "")),
				  LOG_I("uid", r->uid), LOG_I("pid", r->pid), LOG_END);
		return commands[i].run(a, r);
	}
	return control_refusal("bad_request", "this agent knows the commands status, "
					      "jobs, drain, resume, cancel, poll-now");
}

void agent_open_control(struct agent *a)
{
	struct mh_err err = MH_ERR_INIT;

	if (control_open(a->loop, a->settings->state_dir, handle, a, &a->control, &err) !=
	    0)
		log_event(LOG_LEVEL_WARN, "control.off",
			  "there is no control socket: millhand cannot ask this agent",
			  LOG_ERR(&err), LOG_END);
}
