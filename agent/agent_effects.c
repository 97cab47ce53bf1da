/* What leaves the process for a job: requests and transfers. Processes are in
 * agent_shim.c. Each answer becomes one event of the job. */
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/spec.h"
#include "lib/base/fault.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define BAD_DETAILS_MAX 3

static void again(struct agent *a, struct job *job, enum job_event_type type,
		  const struct cp_answer *answer)
{
	agent_event(a, job,
		    &(struct job_event){ .type = type,
					 .asked_ms = answer->asked_ms,
					 .text = answer->err.text });
}

/* --- acknowledging
 * ----------------------------------------------------------------------- */

/* What the service says of a job it has acknowledged. A word that is none may be
 * InProgress, spoilt on its way: it is asked for once more before it is believed. */
static enum job_event_type status_event(const struct job *job, const char *status,
					struct mh_err *err)
{
	static const char *const over[] = { "Created",  "Queued",    "Dispatched",
					    "TimedOut", "Succeeded", "Failed" };

	if (strcmp(status, "InProgress") == 0)
		return JOB_EV_ACK_OURS;
	for (size_t i = 0; i < ARRAY_LEN(over); i++) {
		if (strcmp(status, over[i]) == 0)
			return JOB_EV_ACK_OVER;
	}
	(void)mh_err_set(err, MH_E_PROTO, "AcknowledgeJob: '%.40s' is no status of a job",
			 status);
	return job->rec.state == JOB_IN_DOUBT ? JOB_EV_ACK_OVER : JOB_EV_ACK_UNKNOWN;
}

static enum job_event_type ack_event(const struct job *job,
				     const struct cp_answer *answer, struct mh_err *err)
{
	const char *status;

	switch (answer->result) {
	case CP_OK:
		/* It was processed, but how cannot be told. */
		if (cp_read_status(answer->body, &status, err) != 0)
			return JOB_EV_ACK_UNKNOWN;
		return status_event(job, status, err);
	case CP_NONCE:
	case CP_STATE: /* some services say it so (D18) */
		return JOB_EV_ACK_TAKEN;
	case CP_NOT_FOUND:
		return JOB_EV_ACK_OVER;
	case CP_AGAIN:
	case CP_THROTTLED:
	case CP_AUTH:
	case CP_CLIENT:
		return JOB_EV_ACK_AGAIN;
	case CP_UNKNOWN:
		return JOB_EV_ACK_UNKNOWN;
	case CP_NO_TYPE:
	case CP_REFUSED:
		break;
	}
	return JOB_EV_ACK_REFUSED;
}

static void on_ack(void *ctx, const struct cp_answer *answer)
{
	struct job *job = ctx;
	struct cp_answer seen = *answer;
	enum job_event_type type = ack_event(job, answer, &seen.err);

	job->run->call = NULL;
	if (type == JOB_EV_ACK_AGAIN || type == JOB_EV_ACK_UNKNOWN ||
	    type == JOB_EV_ACK_REFUSED)
		agent_log_trouble(job, &cp_op_ack, &seen, &seen.err);
	if (type == JOB_EV_ACK_TAKEN && agent_take_reoffer(job->run->agent, job))
		return;
	again(job->run->agent, job, type, &seen);
}

static void send_ack(struct agent *a, struct job *job)
{
	CLEAN(json) struct json_object *body = cp_ack_body(job->rec.id, job->rec.nonce);

	agent_send(a, job, &cp_op_ack, body, on_ack);
}

/* --- job data
 * ------------------------------------------------------------------------------ */

bool agent_is_of_entry(const struct agent *a, const struct job *job,
		       const struct jobdata *d)
{
	const struct action_settings *action = agent_action(a, job);

	return !action || (strcmp(d->category, action->category) == 0 &&
			   strcmp(d->provider, action->provider) == 0 &&
			   strcmp(d->version, action->version) == 0);
}

static void take_details(struct agent *a, struct job *job, const struct cp_answer *answer)
{
	struct jobdata *data = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (cp_read_details(answer->body, job->rec.id, clock_mono_ms(), &data, NULL,
			    &err) == 0 &&
	    !agent_is_of_entry(a, job, data)) {
		jobdata_free(data);
		data = NULL;
		(void)mh_err_set(&err, MH_E_PROTO,
				 "the job's data are of another action type");
	}
	if (data) {
		jobdata_free(job->run->data);
		job->run->data = data;
		job->run->bad_details = 0;
		agent_simple_event(a, job, JOB_EV_DETAILS);
	} else if (++job->run->bad_details < BAD_DETAILS_MAX) {
		struct cp_answer bad = *answer;

		bad.err = err;
		agent_log_trouble(job, &cp_op_details, &bad, &bad.err);
		again(a, job, JOB_EV_DETAILS_AGAIN, &bad);
	} else {
		agent_fail_job(a, job, FAIL_SYSTEM, err.text);
	}
}

static void on_details(void *ctx, const struct cp_answer *answer)
{
	struct job *job = ctx;
	struct agent *a = job->run->agent;

	job->run->call = NULL;
	if (answer->result == CP_OK) {
		take_details(a, job, answer);
		return;
	}
	agent_log_trouble(job, &cp_op_details, answer, &answer->err);
	if (answer->result == CP_NOT_FOUND)
		agent_simple_event(a, job, JOB_EV_GONE);
	else if (answer->result == CP_REFUSED)
		agent_fail_job(a, job, FAIL_SYSTEM, answer->err.text);
	else
		again(a, job, JOB_EV_DETAILS_AGAIN, answer);
}

static void send_details(struct agent *a, struct job *job)
{
	CLEAN(json) struct json_object *body = cp_details_body(job->rec.id);

	if (agent_third_wants_nonce(job))
		agent_third_ask_nonce(a, job);
	else
		agent_send(a, job, &cp_op_details, body, on_details);
}

/* A local step: nothing leaves the process. */
void agent_prepare(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;
	const struct action_settings *action = agent_action(a, job);
	struct mh_err err = MH_ERR_INIT;

	if (!action) {
		agent_fail_job(
			a, job, FAIL_CONFIG,
			"the agent has no action entry for this action type any more");
		return;
	}
	if (!run->data) {
		job->effects |= JOB_DO_DETAILS;
		return;
	}
	if (spec_check(agent_job_settings(a, job), action, run->data, &err) != 0) {
		agent_fail_job(a, job, FAIL_CONFIG, err.text);
		return;
	}
	if (run->dir_fd >= 0)
		(void)close(run->dir_fd); /* of an earlier run */
	run->dir_fd = -1;
	agent_close_listener(run);
	run->has_dirs = true;
	FAULT_POINT("dirs.make");
	if (jobdir_make(a->dirs, job->rec.n, run->data->input_count > 0, &run->dir_fd,
			&run->listen_fd, &err) != 0) {
		(void)mh_err_wrap(&err, "the agent could not make the job's directories");
		agent_fail_job(a, job, FAIL_SYSTEM, err.text);
		return;
	}
	FAULT_POINT("dirs.made");
	agent_simple_event(a, job, JOB_EV_PREPARED);
	/* Nothing to fetch: it starts with one commit, not two. */
	if (job->rec.state == JOB_FETCHING && run->data->input_count == 0) {
		job->effects &= ~(unsigned)JOB_DO_FETCH;
		agent_simple_event(a, job, JOB_EV_FETCHED);
	}
}

/* --- transfers
 * -------------------------------------------------------------------------------- */

static void on_transfer(void *ctx, const struct transfer_report *r)
{
	struct job *job = ctx;
	struct agent *a = job->run->agent;
	bool storing = job->rec.state == JOB_STORING;

	agent_heard_store(a, r->end == TRANSFER_RENEW ? TRANSFER_DONE : r->end);
	if (r->end > TRANSFER_RENEW)
		log_event(LOG_LEVEL_WARN, storing ? "store.failed" : "fetch.failed",
			  r->text, LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
			  LOG_END);
	switch (r->end) {
	case TRANSFER_DONE:
		transfer_free(STEAL_PTR(job->run->transfer));
		agent_simple_event(a, job, storing ? JOB_EV_STORED : JOB_EV_FETCHED);
		return;
	case TRANSFER_RENEW: /* going on sees to that first */
		agent_simple_event(a, job, JOB_EV_TIMER);
		return;
	case TRANSFER_AGAIN:
		agent_event(a, job,
			    &(struct job_event){ .type = JOB_EV_TRANSFER_AGAIN,
						 .asked_ms = -1,
						 .progress = r->progress,
						 .text = r->text });
		return;
	case TRANSFER_EXPIRED:
		agent_event(a, job,
			    &(struct job_event){ .type = JOB_EV_EXPIRED,
						 .asked_ms = -1,
						 .progress = r->progress });
		return;
	case TRANSFER_FAILED:
		agent_fail_job(a, job, r->failure, r->text);
		return;
	}
}

/* True when the transfer may go on now; otherwise what is missing was asked for,
 * or the job has failed. */
static bool has_usable_creds(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;

	if (run->data && jobdata_creds_usable(run->data, clock_mono_ms()))
		return true;
	if (run->data && !run->data->creds.access_key_id)
		agent_fail_job(
			a, job, FAIL_SYSTEM,
			"the job has artifacts, but came without artifact credentials");
	else if (!agent_is_asking(run))
		send_details(a, job);
	return false;
}

static void fetch(struct agent *a, struct job *job)
{
	struct job_run *run = job->run;

	if (run->data && run->data->input_count == 0) {
		agent_simple_event(a, job, JOB_EV_FETCHED);
		return;
	}
	if (!has_usable_creds(a, job))
		return;
	if (!run->transfer) {
		run->transfer = transfer_new_fetch(
			a->s3, run->dir_fd, agent_job_settings(a, job)->input_max_bytes);
		for (size_t i = 0; i < run->data->input_count; i++)
			transfer_add_input(run->transfer, i, run->data->inputs[i].name);
	}
	transfer_run(run->transfer, run->data, job_transfer_ms(job, clock_wall_ms()),
		     on_transfer, job);
}

static int new_store(struct agent *a, struct job *job, struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct job_run *run = job->run;
	struct json_object *outputs;
	struct transfer *t;

	if (run->dir_fd < 0 && jobdir_open(a->dirs, job->rec.n, &run->dir_fd, err) != 0)
		return -1;
	run->has_dirs = true;
	if (outcome_doc(job->rec.outcome, &doc, err) != 0)
		return -1;
	outputs = json_opt_array(doc, "outputs");
	t = transfer_new_store(a->s3, run->dir_fd);
	for (size_t i = 0; outputs && i < json_object_array_length(outputs); i++) {
		struct outcome_output o;

		if (i >= JOBDATA_ARTIFACTS_MAX ||
		    outcome_output_at(doc, i, &o, err) != 0) {
			transfer_free(t);
			return -1;
		}
		transfer_add_output(t, o.name, o.file, o.size, o.sha256);
	}
	run->transfer = t;
	return 0;
}

static void store(struct agent *a, struct job *job)
{
	struct mh_err err = MH_ERR_INIT;

	if (!has_usable_creds(a, job))
		return;
	if (!job->run->transfer && new_store(a, job, &err) != 0) {
		(void)mh_err_wrap(&err, "the outputs cannot be uploaded");
		agent_fail_job(a, job, FAIL_SYSTEM, err.text);
		return;
	}
	transfer_run(job->run->transfer, job->run->data,
		     job_transfer_ms(job, clock_wall_ms()), on_transfer, job);
}

/* --- reporting
 * ---------------------------------------------------------------------------------- */

static const struct cp_op *put_op(const struct job *job)
{
	return job->rec.kind == OUTCOME_FAILURE ? &cp_op_put_failure : &cp_op_put_success;
}

static enum job_event_type put_event(enum cp_result result)
{
	switch (result) {
	case CP_OK:
		return JOB_EV_PUT_DONE;
	case CP_STATE:
		return JOB_EV_PUT_STATE;
	case CP_NOT_FOUND:
		return JOB_EV_GONE;
	case CP_AGAIN:
	case CP_THROTTLED:
	case CP_AUTH: /* a person may mend these */
	case CP_CLIENT:
		return JOB_EV_PUT_AGAIN;
	case CP_UNKNOWN:
		return JOB_EV_PUT_UNKNOWN;
	case CP_NONCE:
	case CP_NO_TYPE:
	case CP_REFUSED:
		break;
	}
	return JOB_EV_PUT_REFUSED;
}

static void on_put(void *ctx, const struct cp_answer *answer)
{
	struct job *job = ctx;

	job->run->call = NULL;
	if (answer->result != CP_OK)
		agent_log_trouble(job, put_op(job), answer, &answer->err);
	again(job->run->agent, job, put_event(answer->result), answer);
}

static void put(struct agent *a, struct job *job)
{
	CLEAN(json) struct json_object *doc = NULL;
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (outcome_doc(job->rec.outcome, &doc, &err) != 0) {
		/* Our own row; only a damaged disk can do this. */
		log_event(LOG_LEVEL_ERROR, "result.damaged",
			  "a recorded outcome is unreadable", LOG_S("job", job->rec.id),
			  LOG_I("n", job->rec.n), LOG_ERR(&err), LOG_END);
		agent_simple_event(a, job, JOB_EV_PUT_REFUSED);
		return;
	}
	body = outcome_put_body(doc, job->rec.id);
	agent_send(a, job, put_op(job), body, on_put);
}

/* --- all of them
 * ----------------------------------------------------------------------------------- */

static void abort_all(struct job_run *run)
{
	agent_stop_asking(run);
	transfer_abandon(STEAL_PTR(run->transfer), run->data);
}

void agent_carry_out(struct agent *a, struct job *job, unsigned effects)
{
	if (effects & JOB_DO_ABORT)
		abort_all(job->run);
	if ((effects & JOB_DO_ACK) && !agent_is_asking(job->run))
		send_ack(a, job);
	if ((effects & JOB_DO_DETAILS) && !agent_is_asking(job->run))
		send_details(a, job);
	if (effects & JOB_DO_FETCH)
		fetch(a, job);
	if (effects & JOB_DO_SPAWN)
		agent_spawn(a, job);
	if (effects & JOB_DO_ADOPT)
		agent_adopt(a, job);
	if (effects & JOB_DO_STOP)
		agent_ask_shim_to_stop(job);
	if (effects & JOB_DO_STORE)
		store(a, job);
	if ((effects & JOB_DO_PUT) && !agent_is_asking(job->run))
		put(a, job);
	if (effects & JOB_DO_CLEAN)
		agent_clean(a, job);
}
