/*
 * Third-party jobs (semantics C14): their operations, each with the token of the job's
 * client, and their offers, which are an id and whose it is. The nonce and the data come
 * by GetThirdPartyJobDetails, job by job: one that fails costs no other.
 *
 * A token is looked up for every request and kept nowhere but in client_tokens.c. One
 * that the service refuses is looked up anew, and the request sent once more when there
 * is another by then.
 */
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/client_tokens.h"
#include "agent/creds.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define PASSED_MAX 64

/* An offer that was looked at and left. It may be offered at every poll from then on:
 * it is looked at again after poll_interval_max, and said once. */
struct passed {
	uint64_t hash;
	int64_t until_ms; /* monotonic */
};

struct third {
	struct client_tokens *tokens;
	struct passed passed[PASSED_MAX];
	size_t next;
};

/* One request about a third party's job, from the question for its token on. */
struct third_call {
	struct agent *agent;
	struct job *job;
	const struct cp_op *op;
	struct json_object *body;
	cp_done_fn done;
	struct client_ask *ask;
	struct cp_call *call;
	char *token; /* that was sent */
	struct cp_answer *refused; /* it, by the service */
};

void agent_third_start(struct agent *a)
{
	a->third = mh_alloc(sizeof(*a->third));
	a->third->tokens = client_tokens_new(a->loop, &a->settings->client_tokens);
}

void agent_third_reload(struct agent *a)
{
	client_tokens_configure(a->third->tokens, &a->settings->client_tokens);
}

void agent_third_end(struct agent *a)
{
	if (!a->third)
		return;
	client_tokens_free(a->third->tokens);
	free(STEAL_PTR(a->third));
}

/* --- requests ------------------------------------------------------------------------
 */

const struct cp_op *agent_op(const struct job *job, const struct cp_op *op)
{
	static const struct {
		const struct cp_op *custom, *third;
	} rows[] = {
		{ &cp_op_ack, &cp_op_third_ack },
		{ &cp_op_details, &cp_op_third_details },
		{ &cp_op_put_success, &cp_op_third_put_success },
		{ &cp_op_put_failure, &cp_op_third_put_failure },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].custom == op && job_is_third_party(job))
			return rows[i].third;
	}
	return op;
}

static void call_free(struct third_call *t)
{
	client_ask_cancel(t->ask);
	cp_cancel(t->call);
	creds_wipe(&t->token);
	json_object_put(t->body);
	free(t->refused);
	free(t);
}

static void deliver(struct third_call *t, const struct cp_answer *answer)
{
	struct cp_answer kept = *answer;
	struct job *job = t->job;
	cp_done_fn done = t->done;

	job->run->third_call = NULL;
	call_free(t);
	done(job, &kept);
}

static void no_token(struct third_call *t, const struct mh_err *err)
{
	struct cp_answer a = { .result = CP_CLIENT,
			       .err = *err,
			       .asked_ms = -1,
			       .sent_wall_ms = clock_wall_ms(),
			       .sent_mono_ms = clock_mono_ms() };

	deliver(t, &a);
}

static void ask_token(struct third_call *t);

static void on_answer(void *ctx, const struct cp_answer *answer)
{
	struct third_call *t = ctx;

	t->call = NULL;
	if (answer->result != CP_CLIENT || t->refused) {
		deliver(t, answer);
		return;
	}
	t->refused = mh_alloc(sizeof(*t->refused));
	*t->refused = *answer; /* an error has no body */
	client_tokens_refused(t->agent->third->tokens, t->job->rec.client_id);
	ask_token(t);
}

static void on_token(void *ctx, const char *token, const struct mh_err *err)
{
	struct third_call *t = ctx;
	bool same = token && t->token && strcmp(token, t->token) == 0;

	t->ask = NULL;
	if (t->refused && (!token || same)) {
		deliver(t, t->refused);
		return;
	}
	if (!token) {
		no_token(t, err);
		return;
	}
	creds_wipe(&t->token);
	t->token = mh_strdup(token);
	json_put_str(t->body, "clientToken", token);
	t->call = cp_send(t->agent->cp, t->op, t->body, on_answer, t);
}

static void ask_token(struct third_call *t)
{
	struct client_ask *ask = client_tokens_ask(t->agent->third->tokens,
						   t->job->rec.client_id, on_token, t);

	if (ask) /* else it is over already, and the call maybe with it */
		t->ask = ask;
}

void agent_send(struct agent *a, struct job *job, const struct cp_op *op,
		struct json_object *body, cp_done_fn done)
{
	struct third_call *t;

	if (!job_is_third_party(job)) {
		job->run->call = cp_send(a->cp, op, body, done, job);
		return;
	}
	t = mh_alloc(sizeof(*t));
	*t = (struct third_call){ .agent = a,
				  .job = job,
				  .op = agent_op(job, op),
				  .body = json_object_get(body),
				  .done = done };
	job->run->third_call = t;
	ask_token(t);
}

bool agent_is_asking(const struct job_run *run)
{
	return run->call || run->third_call;
}

void agent_stop_asking(struct job_run *run)
{
	cp_cancel(STEAL_PTR(run->call));
	if (run->third_call)
		call_free(STEAL_PTR(run->third_call));
}

/* --- offers that are left --------------------------------------------------------------
 */

static uint64_t hash_of(const char *id)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
	return hash;
}

static struct passed *find_passed(struct agent *a, const char *id)
{
	uint64_t hash = hash_of(id);

	for (size_t i = 0; i < PASSED_MAX; i++) {
		if (a->third->passed[i].hash == hash && a->third->passed[i].until_ms > 0)
			return &a->third->passed[i];
	}
	return NULL;
}

bool agent_third_was_passed(struct agent *a, const struct cp_offer *offer)
{
	const struct passed *p = *offer->client_id ? find_passed(a, offer->id) : NULL;

	return p && clock_mono_ms() < p->until_ms;
}

static void pass_over(struct agent *a, struct job *job, const struct mh_err *why)
{
	struct passed *p = find_passed(a, job->rec.id);

	log_event(p ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "job.passed_over",
		  "a third party's job is not taken", LOG_S("job", job->rec.id),
		  LOG_S("entry", job->rec.entry), LOG_S("client", job->rec.client_id),
		  LOG_ERR(why), LOG_END);
	if (!p)
		p = &a->third->passed[a->third->next++ % PASSED_MAX];
	p->hash = hash_of(job->rec.id);
	p->until_ms = clock_mono_ms() + a->settings->poll_interval_max_ms;
	agent_simple_event(a, job, JOB_EV_DECLINE);
}

/* --- offers ----------------------------------------------------------------------------
 */

void agent_third_offer(struct agent *a, size_t entry, const struct cp_offer *offer,
		       const struct cp_answer *answer)
{
	struct job_record rec = { .n = ledger_next_n(a->ledger),
				  .state = JOB_OFFERED,
				  .entry = mh_strdup(a->entries[entry]),
				  .offered_ms = answer->sent_wall_ms };
	struct job *job;

	memcpy(rec.id, offer->id, sizeof(rec.id));
	memcpy(rec.client_id, offer->client_id, sizeof(rec.client_id));
	job = agent_add_job(a, &rec, entry);
	job->offered_mono_ms = answer->sent_mono_ms;
	job->effects |= JOB_DO_DETAILS;
}

/* Handed out again, with a nonce that its details have. */
void agent_third_reoffer(struct agent *a, struct job *job, const struct cp_answer *answer)
{
	struct job_run *run = job->run;

	run->reoffered = true;
	run->reoffer_wall_ms = answer->sent_wall_ms;
	run->reoffer_mono_ms = answer->sent_mono_ms;
	if (!agent_is_asking(run))
		(void)agent_take_reoffer(a, job);
}

static int read_details(struct agent *a, struct job *job, const struct cp_answer *answer,
			const char **ret_nonce, struct mh_err *err)
{
	CLEAN(jobdata) struct jobdata *data = NULL;

	if (cp_read_details(answer->body, job->rec.id, clock_mono_ms(), &data, ret_nonce,
			    err) != 0)
		return -1;
	if (!agent_is_of_entry(a, job, data) || strcmp(data->owner, "ThirdParty") != 0)
		return mh_err_set(err, MH_E_PROTO,
				  "the job's data are of another action type");
	agent_note_context(&job->rec, data);
	jobdata_free(job->run->data);
	job->run->data = STEAL_PTR(data);
	return 0;
}

static void tell(struct agent *a, struct job *job, enum job_event_type type,
		 const struct cp_answer *answer, const struct mh_err *err)
{
	agent_log_trouble(job, &cp_op_details, answer, err);
	agent_event(a, job,
		    &(struct job_event){ .type = type,
					 .asked_ms = answer->asked_ms,
					 .text = err->text });
}

static void judge_offer(struct agent *a, struct job *job, const struct cp_answer *answer)
{
	struct mh_err err = answer->err;
	const char *nonce;

	switch (answer->result) {
	case CP_OK:
		break;
	case CP_NOT_FOUND:
		agent_simple_event(a, job, JOB_EV_GONE);
		return;
	case CP_AGAIN:
	case CP_THROTTLED:
	case CP_AUTH:
	case CP_UNKNOWN:
		tell(a, job, JOB_EV_DETAILS_AGAIN, answer, &err);
		return;
	case CP_CLIENT:
	case CP_REFUSED:
	case CP_NONCE:
	case CP_STATE:
	case CP_NO_TYPE:
		pass_over(a, job, &err);
		return;
	}
	if (read_details(a, job, answer, &nonce, &err) != 0)
		pass_over(a, job, &err);
	else if (!agent_takes_jobs(a))
		agent_simple_event(a, job, JOB_EV_DECLINE);
	else
		agent_event(a, job,
			    &(struct job_event){ .type = JOB_EV_DETAILS,
						 .asked_ms = -1,
						 .text = nonce });
}

/* Whatever goes wrong leaves the acknowledgement as it was: sent again, with the nonce
 * there is, until it lapses. */
static void judge_reoffer(struct agent *a, struct job *job,
			  const struct cp_answer *answer)
{
	struct mh_err err = answer->err;
	const char *nonce;

	if (answer->result == CP_NOT_FOUND) {
		agent_simple_event(a, job, JOB_EV_ACK_OVER);
		return;
	}
	if (answer->result != CP_OK || read_details(a, job, answer, &nonce, &err) != 0) {
		tell(a, job, JOB_EV_ACK_AGAIN, answer, &err);
		return;
	}
	agent_event(a, job,
		    &(struct job_event){ .type = JOB_EV_REOFFER,
					 .asked_ms = -1,
					 .text = nonce,
					 .offered_ms = job->run->reoffer_wall_ms,
					 .offered_mono_ms = job->run->reoffer_mono_ms });
}

static void on_details(void *ctx, const struct cp_answer *answer)
{
	struct job *job = ctx;
	struct agent *a = job->run->agent;

	if (job->rec.state == JOB_OFFERED)
		judge_offer(a, job, answer);
	else
		judge_reoffer(a, job, answer);
}

bool agent_third_wants_nonce(const struct job *job)
{
	return job_is_third_party(job) && job->rec.state <= JOB_IN_DOUBT;
}

void agent_third_ask_nonce(struct agent *a, struct job *job)
{
	CLEAN(json) struct json_object *body = cp_details_body(job->rec.id);

	agent_send(a, job, &cp_op_details, body, on_details);
}
