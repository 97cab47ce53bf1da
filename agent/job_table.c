/*
 * The life of a job: one handler per (state, event) that can happen, and the
 * table that names them. A handler answers the next state.
 */
#include <stdio.h>
#include <string.h>

#include "agent/job.h"
#include "agent/retry.h"
#include "lib/base/macros.h"

#define ACK_RETRY_CAP_MS 30000
#define DOUBT_GIVE_UP_MS                                                                 \
	(24 * 3600 * INT64_C(1000)) /* a custom action lives no longer (C11) */
#define CALL_RETRY_CAP_MS 60000
#define RENEWALS_MAX      2 /* of credentials the store calls expired */
#define RUNS_MAX          3 /* of a handler that may be started again */

typedef enum job_state (*job_handler)(struct job *j, const struct job_env *env,
				      const struct job_event *ev);
/* Every handler has all three, and most need not all. */
#define HANDLER(name)                                                                    \
	static enum job_state name(struct job *j MH_UNUSED,                              \
				   const struct job_env *env MH_UNUSED,                  \
				   const struct job_event *ev MH_UNUSED)

/* The record changed: it must reach the ledger before the next effect leaves. */
static void touch(struct job *j)
{
	j->dirty = true;
}

static enum job_state go(struct job *j, enum job_state next, unsigned effects)
{
	j->retries = 0;
	j->renewals = 0;
	j->retry_at_ms = 0;
	j->effects |= effects;
	touch(j);
	return next;
}

static enum job_state close_as(struct job *j, const struct job_env *env, enum job_end end)
{
	j->rec.end = end;
	j->rec.closed_ms = env->wall_ms;
	memset(j->rec.nonce, 0, sizeof(j->rec.nonce));
	free(j->rec.outcome);
	j->rec.outcome = NULL;
	return go(j, JOB_CLOSED, JOB_DO_ABORT | JOB_DO_CLEAN);
}

static void retry_later(struct job *j, const struct job_env *env,
			const struct job_event *ev, int64_t cap_ms)
{
	int attempt = ev->progress ? 0 : j->retries;
	int64_t delay = attempt < RETRY_STANDARD_TRIES
				? retry_standard_ms(attempt, env->retry_base_ms)
				: retry_patient_ms(attempt, env->retry_base_ms, cap_ms);

	j->retries = attempt + 1;
	j->retry_at_ms = env->mono_ms + retry_heed_ms(delay, ev->asked_ms);
}

/* Takes the outcome; from here on it will not change kind. */
static enum job_state settle(struct job *j, const struct job_env *env,
			     struct outcome *take)
{
	free(j->rec.outcome);
	j->rec.outcome = STEAL_PTR(take->text);
	j->rec.kind = take->kind;
	(void)snprintf(j->rec.failure, sizeof(j->rec.failure), "%s",
		       take->failure ? take->failure : "");
	j->rec.outcome_ms = env->wall_ms;
	j->rec.due_ms = take->kind == OUTCOME_CONTINUATION ? env->wall_ms + take->delay_ms
							   : 0;
	j->todo |= JOB_TODO_REPORT;
	return go(j, JOB_OUTCOME, JOB_DO_ABORT);
}

static enum job_state fail_with(struct job *j, const struct job_env *env,
				const char *type, const char *message)
{
	CLEAN(outcome) struct outcome o = { 0 };

	outcome_failure(type, message, &o);
	return settle(j, env, &o);
}

HANDLER(failed)
{
	return fail_with(j, env, ev->failure, ev->text);
}

static enum job_state fail_cancelled(struct job *j, const struct job_env *env)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "cancelled before it was started: %s",
		       j->cancel_reason);
	return fail_with(j, env, FAIL_SYSTEM, text);
}

/* The state machine goes on from here to the report: a cancelled job is owed one too. */
HANDLER(cancelled)
{
	(void)snprintf(j->cancel_reason, sizeof(j->cancel_reason), "%s", ev->text);
	return fail_cancelled(j, env);
}

HANDLER(gone)
{
	return close_as(j, env, JOB_END_GONE);
}

/* --- offered, acking, in doubt ------------------------------------------- */

HANDLER(ask_details)
{
	j->effects |= JOB_DO_DETAILS;
	return j->rec.state;
}

static enum job_state send_ack(struct job *j, enum job_state next)
{
	j->rec.ack_attempts++;
	j->retry_at_ms = 0;
	j->effects |= JOB_DO_ACK;
	touch(j);
	return next;
}

HANDLER(admit)
{
	return send_ack(j, JOB_ACKING);
}

static enum job_state take_nonce(struct job *j, const struct job_event *ev)
{
	(void)snprintf(j->rec.nonce, sizeof(j->rec.nonce), "%s", ev->text);
	return send_ack(j, JOB_ACKING);
}

/* A third party's offer has its nonce in its details (C14). */
HANDLER(offer_details)
{
	j->retries = 0;
	return take_nonce(j, ev);
}

HANDLER(declined)
{
	return close_as(j, env, JOB_END_DECLINED);
}

HANDLER(owned)
{
	j->rec.owned = true;
	j->rec.owned_ms = env->wall_ms;
	j->rec.deadline_ms = env->wall_ms + j->timeout_ms;
	if (j->cancelled)
		return fail_cancelled(j, env);
	j->todo |= JOB_TODO_PREPARE;
	return go(j, JOB_OWNED, 0);
}

/* Another worker has it: end in silence (C4, D3). */
HANDLER(lost)
{
	return close_as(j, env, JOB_END_LOST);
}

/* The answer to an earlier acknowledgement was lost and now somebody has the
 * job: us, or another worker. Nothing in the API tells; policy does. */
HANDLER(settle_doubt)
{
	bool ours = env->in_doubt == IN_DOUBT_ADOPT ||
		    (env->in_doubt == IN_DOUBT_FRESH && job_is_fresh(j, env));

	return ours ? owned(j, env, ev) : close_as(j, env, JOB_END_DROPPED);
}

HANDLER(ack_again)
{
	if (env->wall_ms - j->rec.offered_ms > JOB_LAPSE_MS)
		return close_as(j, env, JOB_END_LAPSED);
	retry_later(j, env, ev, ACK_RETRY_CAP_MS);
	return JOB_ACKING;
}

HANDLER(doubt_again)
{
	if (env->wall_ms - j->rec.offered_ms > DOUBT_GIVE_UP_MS)
		return close_as(j, env, JOB_END_DROPPED);
	retry_later(j, env, ev, ACK_RETRY_CAP_MS);
	return JOB_IN_DOUBT;
}

HANDLER(doubt_begins)
{
	touch(j);
	return doubt_again(j, env, ev);
}

HANDLER(acking_timer)
{
	if (env->wall_ms - j->rec.offered_ms > JOB_LAPSE_MS)
		return close_as(j, env, JOB_END_LAPSED);
	return send_ack(j, JOB_ACKING);
}

HANDLER(doubt_timer)
{
	return send_ack(j, JOB_IN_DOUBT);
}

/* Without its details an offer cannot be acknowledged, and lapses as one. */
HANDLER(offer_again)
{
	if (env->wall_ms - j->rec.offered_ms > JOB_LAPSE_MS)
		return close_as(j, env, JOB_END_LAPSED);
	retry_later(j, env, ev, ACK_RETRY_CAP_MS);
	return JOB_OFFERED;
}

/* Handed out again, so the service has it as unacknowledged: the old nonce is
 * void, and so is any doubt about it. */
HANDLER(reoffered)
{
	j->rec.offered_ms = ev->offered_ms;
	j->offered_mono_ms = ev->offered_mono_ms;
	j->retries = 0;
	return take_nonce(j, ev);
}

HANDLER(remember_cancel)
{
	j->cancelled = true;
	(void)snprintf(j->cancel_reason, sizeof(j->cancel_reason), "%s", ev->text);
	return j->rec.state;
}

/* --- owned, fetching, queued, storing --------------------------------------------- */

HANDLER(prepare)
{
	j->retries = 0;
	j->todo |= JOB_TODO_PREPARE;
	return JOB_OWNED;
}

HANDLER(prepare_anew)
{
	j->todo |= JOB_TODO_PREPARE;
	return go(j, JOB_OWNED, 0);
}

HANDLER(prepared)
{
	return go(j, JOB_FETCHING, JOB_DO_FETCH);
}

HANDLER(start)
{
	if (env->wall_ms >= j->rec.deadline_ms)
		return fail_with(j, env, FAIL_JOB,
				 j->rec.state == JOB_QUEUED
					 ? "its time limit passed behind another job "
					   "(exclusive)"
					 : "its time limit passed before it was started");
	(void)snprintf(j->rec.boot_id, sizeof(j->rec.boot_id), "%s", env->boot_id);
	j->rec.runs++;
	j->rec.started_ms = env->wall_ms;
	return go(j, JOB_STARTED, JOB_DO_SPAWN);
}

/* For its turn, or its deadline. */
HANDLER(wait_for_turn)
{
	int64_t left_ms = j->rec.deadline_ms - env->wall_ms;

	if (left_ms <= 0)
		return start(j, env, ev); /* too late: it fails */
	(void)go(j, JOB_QUEUED, 0);
	j->retry_at_ms = env->mono_ms + left_ms;
	return JOB_QUEUED;
}

HANDLER(fetched)
{
	return j->exclusive ? wait_for_turn(j, env, ev) : start(j, env, ev);
}

/* The last thing that went wrong is what people need to know. */
static enum job_state out_of_time(struct job *j, const struct job_env *env,
				  const struct job_event *ev, const char *what)
{
	char text[900];

	(void)snprintf(text, sizeof(text), "%s within the job's time limit%s%s", what,
		       ev->text && *ev->text ? "; at last: " : "",
		       ev->text ? ev->text : "");
	return fail_with(j, env, FAIL_SYSTEM, text);
}

HANDLER(before_deadline)
{
	if (env->wall_ms >= j->rec.deadline_ms)
		return out_of_time(j, env, ev, "it could not be prepared");
	retry_later(j, env, ev, CALL_RETRY_CAP_MS);
	return j->rec.state;
}

HANDLER(fetch_on)
{
	j->effects |= JOB_DO_FETCH;
	return JOB_FETCHING;
}

HANDLER(store_on)
{
	j->effects |= JOB_DO_STORE;
	return JOB_STORING;
}

/* The store calls the credentials expired: renew them, but not for ever. */
HANDLER(expired)
{
	if (ev->progress)
		j->renewals = 0;
	if (j->renewals++ >= RENEWALS_MAX)
		return fail_with(
			j, env, FAIL_PERMISSION,
			"the artifact store calls freshly renewed credentials expired");
	j->effects |= JOB_DO_DETAILS;
	return j->rec.state;
}

HANDLER(store_again)
{
	if (env->wall_ms >= job_store_until_ms(j))
		return out_of_time(j, env, ev, "its outputs could not be uploaded");
	retry_later(j, env, ev, CALL_RETRY_CAP_MS);
	return JOB_STORING;
}

/* --- started --------------------------------------------------------------- */

HANDLER(ended)
{
	struct outcome *o = ev->take_outcome;

	if (o->kind != OUTCOME_SUCCESS || o->outputs == 0)
		return settle(j, env, o);
	/* Not settled yet: without its outputs in the store it is no success. */
	free(j->rec.outcome);
	j->rec.outcome = STEAL_PTR(o->text);
	j->rec.kind = OUTCOME_NONE;
	j->rec.outcome_ms = env->wall_ms;
	return go(j, JOB_STORING, JOB_DO_STORE);
}

HANDLER(vanished)
{
	if (j->idempotent && j->rec.runs < RUNS_MAX && !j->cancelled)
		return prepare_anew(j, env, ev);
	return fail_with(
		j, env, FAIL_SYSTEM,
		"the job's processes are gone without a result (killed, or the host was "
		"restarted); it may have run in part and is not run again");
}

/* Nothing of it ran: starting it is still the first start. */
HANDLER(not_begun)
{
	if (j->rec.runs >= RUNS_MAX)
		return fail_with(j, env, FAIL_SYSTEM,
				 "the job's shim could not be started");
	return j->cancelled ? fail_cancelled(j, env) : prepare_anew(j, env, ev);
}

HANDLER(stop)
{
	(void)remember_cancel(j, env, ev);
	j->effects |= JOB_DO_STOP;
	return JOB_STARTED;
}

HANDLER(adopt)
{
	j->effects |= JOB_DO_ADOPT;
	return JOB_STARTED;
}

/* --- storing to closed ------------------------------------------------------ */

HANDLER(stored)
{
	j->rec.kind = OUTCOME_SUCCESS;
	j->rec.outcome_ms = env->wall_ms;
	j->todo |= JOB_TODO_REPORT;
	return go(j, JOB_OUTCOME, 0);
}

HANDLER(send_put)
{
	j->rec.put_attempts++;
	return go(j, JOB_REPORTING, JOB_DO_PUT);
}

/* A delay is kept here, not at the service: the successor appears as soon as
 * the Put is processed. */
HANDLER(report)
{
	int64_t wait_ms = j->rec.due_ms - env->wall_ms;
	enum job_state next;

	if (wait_ms <= 0)
		return send_put(j, env, ev);
	next = go(j, JOB_WAITING, JOB_DO_CLEAN);
	j->retry_at_ms = env->mono_ms + wait_ms;
	return next;
}

HANDLER(report_todo)
{
	j->todo |= JOB_TODO_REPORT;
	return JOB_OUTCOME;
}

HANDLER(delivered)
{
	return close_as(j, env, JOB_END_DELIVERED);
}

/* InvalidJobState: after a lost answer it is our own report that did it (D5);
 * otherwise the job was ended by others (timed out, abandoned). */
HANDLER(put_state)
{
	return close_as(j, env, j->rec.put_doubt ? JOB_END_DELIVERED : JOB_END_REFUSED);
}

HANDLER(put_refused)
{
	return close_as(j, env, JOB_END_REFUSED);
}

HANDLER(put_again)
{
	if (env->wall_ms - j->rec.outcome_ms > env->result_timeout_ms)
		return close_as(j, env, JOB_END_EXPIRED);
	retry_later(j, env, ev, CALL_RETRY_CAP_MS);
	return JOB_REPORTING;
}

HANDLER(put_unknown)
{
	if (!j->rec.put_doubt)
		touch(j);
	j->rec.put_doubt = true;
	return put_again(j, env, ev);
}

HANDLER(put_timer)
{
	j->rec.put_attempts++;
	j->effects |= JOB_DO_PUT;
	return JOB_REPORTING;
}

/* The agent before this one may have sent it: an InvalidJobState now is ours. */
HANDLER(put_restart)
{
	j->rec.put_doubt = true;
	return send_put(j, env, ev);
}

/* --- the table --------------------------------------------------------------- */

static const job_handler table[JOB_STATE_COUNT][JOB_EVENT_COUNT] = {
	[JOB_OFFERED] = {
		[JOB_EV_ADMIT] = admit,
		[JOB_EV_DECLINE] = declined,
		[JOB_EV_DETAILS] = offer_details,
		[JOB_EV_DETAILS_AGAIN] = offer_again,
		[JOB_EV_GONE] = gone,
		[JOB_EV_TIMER] = ask_details,
		[JOB_EV_CANCEL] = declined,
	},
	[JOB_ACKING] = {
		[JOB_EV_REOFFER] = reoffered,
		[JOB_EV_ACK_OURS] = owned,
		[JOB_EV_ACK_TAKEN] = lost,
		[JOB_EV_ACK_OVER] = lost,
		[JOB_EV_ACK_REFUSED] = lost,
		[JOB_EV_ACK_AGAIN] = ack_again,
		[JOB_EV_ACK_UNKNOWN] = doubt_begins,
		[JOB_EV_TIMER] = acking_timer,
		[JOB_EV_CANCEL] = remember_cancel,
		[JOB_EV_RESTART] = doubt_timer,
	},
	[JOB_IN_DOUBT] = {
		[JOB_EV_REOFFER] = reoffered,
		[JOB_EV_ACK_OURS] = owned,
		[JOB_EV_ACK_TAKEN] = settle_doubt,
		[JOB_EV_ACK_OVER] = lost,
		[JOB_EV_ACK_REFUSED] = doubt_again,
		[JOB_EV_ACK_AGAIN] = doubt_again,
		[JOB_EV_ACK_UNKNOWN] = doubt_again,
		[JOB_EV_TIMER] = doubt_timer,
		[JOB_EV_CANCEL] = remember_cancel,
		[JOB_EV_RESTART] = doubt_timer,
	},
	[JOB_OWNED] = {
		[JOB_EV_DETAILS] = prepare,
		[JOB_EV_DETAILS_AGAIN] = before_deadline,
		[JOB_EV_GONE] = gone,
		[JOB_EV_PREPARED] = prepared,
		[JOB_EV_FAIL] = failed,
		[JOB_EV_TIMER] = ask_details,
		[JOB_EV_CANCEL] = cancelled,
		[JOB_EV_RESTART] = prepare,
	},
	[JOB_FETCHING] = {
		[JOB_EV_DETAILS] = fetch_on,
		[JOB_EV_DETAILS_AGAIN] = before_deadline,
		[JOB_EV_EXPIRED] = expired,
		[JOB_EV_GONE] = gone,
		[JOB_EV_FETCHED] = fetched,
		[JOB_EV_TRANSFER_AGAIN] = before_deadline,
		[JOB_EV_FAIL] = failed,
		[JOB_EV_TIMER] = fetch_on,
		[JOB_EV_CANCEL] = cancelled,
		[JOB_EV_RESTART] = prepare_anew,
	},
	[JOB_QUEUED] = {
		[JOB_EV_TURN] = start,
		[JOB_EV_FAIL] = failed,
		[JOB_EV_TIMER] = wait_for_turn,
		[JOB_EV_CANCEL] = cancelled,
		[JOB_EV_RESTART] = prepare_anew,
	},
	[JOB_STARTED] = {
		[JOB_EV_ENDED] = ended,
		[JOB_EV_NOT_BEGUN] = not_begun,
		[JOB_EV_VANISHED] = vanished,
		[JOB_EV_FAIL] = failed,
		[JOB_EV_CANCEL] = stop,
		[JOB_EV_RESTART] = adopt,
	},
	[JOB_STORING] = {
		[JOB_EV_DETAILS] = store_on,
		[JOB_EV_DETAILS_AGAIN] = store_again,
		[JOB_EV_EXPIRED] = expired,
		[JOB_EV_GONE] = gone,
		[JOB_EV_STORED] = stored,
		[JOB_EV_TRANSFER_AGAIN] = store_again,
		[JOB_EV_FAIL] = failed,
		[JOB_EV_TIMER] = store_on,
		[JOB_EV_RESTART] = store_on,
	},
	[JOB_OUTCOME] = {
		[JOB_EV_REPORT] = report,
		[JOB_EV_RESTART] = report_todo,
	},
	[JOB_WAITING] = {
		[JOB_EV_TIMER] = send_put,
		[JOB_EV_RESTART] = report,
	},
	[JOB_REPORTING] = {
		[JOB_EV_GONE] = gone,
		[JOB_EV_PUT_DONE] = delivered,
		[JOB_EV_PUT_STATE] = put_state,
		[JOB_EV_PUT_REFUSED] = put_refused,
		[JOB_EV_PUT_AGAIN] = put_again,
		[JOB_EV_PUT_UNKNOWN] = put_unknown,
		[JOB_EV_TIMER] = put_timer,
		[JOB_EV_RESTART] = put_restart,
	},
};

bool job_accepts(enum job_state state, enum job_event_type type)
{
	return table[state][type] != NULL;
}

bool job_dispatch(struct job *job, const struct job_env *env, const struct job_event *ev)
{
	job_handler handler = table[job->rec.state][ev->type];

	if (!handler)
		return false;
	if (ev->type == JOB_EV_TIMER)
		job->retry_at_ms = 0;
	job->rec.state = handler(job, env, ev);
	return true;
}
