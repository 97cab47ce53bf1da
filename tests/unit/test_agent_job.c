/* The life of a job: every cell of the table, and the promises it keeps. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "agent/job.h"
#include "agent/retry.h"
#include "lib/base/macros.h"

#define NOW_WALL 1000000000
#define NOW_MONO 5000000

static const struct job_env calm = {
	.wall_ms = NOW_WALL,
	.mono_ms = NOW_MONO,
	.in_doubt = IN_DOUBT_FRESH,
	.retry_base_ms = 1000,
	.result_timeout_ms = 3600000,
	.boot_id = "boot",
};

static double half(void)
{
	return 0.5;
}

static struct job *job_in(enum job_state state)
{
	struct job_record rec = { .n = 7,
				  .id = "11111111-2222-3333-4444-555555555555",
				  .entry = mh_strdup("Build/Custom/Make/1"),
				  .nonce = "3",
				  .state = state,
				  .offered_ms = NOW_WALL - 1000,
				  .deadline_ms = NOW_WALL + 60000,
				  .outcome_ms = NOW_WALL - 10 };
	struct job *job = job_new(&rec);

	job->timeout_ms = 60000;
	job->offered_mono_ms = NOW_MONO - 1000;
	if (state >= JOB_STORING && state < JOB_CLOSED)
		job->rec.outcome = mh_strdup("{\"kind\":\"success\"}");
	return job;
}

static struct outcome outcome_of(enum outcome_kind kind, size_t outputs, int64_t delay_ms)
{
	return (struct outcome){ .kind = kind,
				 .text = mh_format("{\"kind\":\"%s\"}",
						   outcome_kind_name(kind)),
				 .outputs = outputs,
				 .delay_ms = delay_ms };
}

/* Sends one event with everything it may carry. */
static bool send_in(struct job *job, const struct job_env *env, enum job_event_type type)
{
	CLEAN(outcome) struct outcome o = outcome_of(OUTCOME_SUCCESS, 0, 0);
	struct job_event ev = { .type = type,
				.asked_ms = -1,
				.failure = FAIL_JOB,
				.text = "9",
				.take_outcome = &o,
				.offered_ms = env->wall_ms,
				.offered_mono_ms = env->mono_ms };

	return job_dispatch(job, env, &ev);
}

static bool send(struct job *job, enum job_event_type type)
{
	return send_in(job, &calm, type);
}

static void end_with(struct job *job, struct outcome o)
{
	struct job_event ev = { .type = JOB_EV_ENDED,
				.asked_ms = -1,
				.take_outcome = &o };

	assert_true(job_dispatch(job, &calm, &ev));
	outcome_done(&o);
}

/* --- every cell ------------------------------------------------------------ */

struct cell {
	enum job_state state;
	enum job_event_type event;
	enum job_state next;
	unsigned effects, todo;
};

#define CLOSES JOB_CLOSED, JOB_DO_ABORT | JOB_DO_CLEAN, 0
#define ENDS   JOB_OUTCOME, JOB_DO_ABORT, JOB_TODO_REPORT

/* What is not here must be refused and change nothing. */
static const struct cell cells[] = {
	{ JOB_OFFERED, JOB_EV_ADMIT, JOB_ACKING, JOB_DO_ACK, 0 },
	{ JOB_OFFERED, JOB_EV_DECLINE, CLOSES },
	{ JOB_OFFERED, JOB_EV_DETAILS, JOB_ACKING, JOB_DO_ACK, 0 },
	{ JOB_OFFERED, JOB_EV_DETAILS_AGAIN, JOB_OFFERED, 0, 0 },
	{ JOB_OFFERED, JOB_EV_TIMER, JOB_OFFERED, JOB_DO_DETAILS, 0 },
	{ JOB_OFFERED, JOB_EV_GONE, CLOSES },
	{ JOB_OFFERED, JOB_EV_CANCEL, CLOSES },

	{ JOB_ACKING, JOB_EV_REOFFER, JOB_ACKING, JOB_DO_ACK, 0 },
	{ JOB_ACKING, JOB_EV_ACK_OURS, JOB_OWNED, 0, JOB_TODO_PREPARE },
	{ JOB_ACKING, JOB_EV_ACK_TAKEN, CLOSES },
	{ JOB_ACKING, JOB_EV_ACK_OVER, CLOSES },
	{ JOB_ACKING, JOB_EV_ACK_REFUSED, CLOSES },
	{ JOB_ACKING, JOB_EV_ACK_AGAIN, JOB_ACKING, 0, 0 },
	{ JOB_ACKING, JOB_EV_ACK_UNKNOWN, JOB_IN_DOUBT, 0, 0 },
	{ JOB_ACKING, JOB_EV_TIMER, JOB_ACKING, JOB_DO_ACK, 0 },
	{ JOB_ACKING, JOB_EV_CANCEL, JOB_ACKING, 0, 0 },
	{ JOB_ACKING, JOB_EV_RESTART, JOB_IN_DOUBT, JOB_DO_ACK, 0 },

	{ JOB_IN_DOUBT, JOB_EV_REOFFER, JOB_ACKING, JOB_DO_ACK, 0 },
	{ JOB_IN_DOUBT, JOB_EV_ACK_OURS, JOB_OWNED, 0, JOB_TODO_PREPARE },
	{ JOB_IN_DOUBT, JOB_EV_ACK_TAKEN, JOB_OWNED, 0, JOB_TODO_PREPARE },
	{ JOB_IN_DOUBT, JOB_EV_ACK_OVER, CLOSES },
	{ JOB_IN_DOUBT, JOB_EV_ACK_REFUSED, JOB_IN_DOUBT, 0, 0 },
	{ JOB_IN_DOUBT, JOB_EV_ACK_AGAIN, JOB_IN_DOUBT, 0, 0 },
	{ JOB_IN_DOUBT, JOB_EV_ACK_UNKNOWN, JOB_IN_DOUBT, 0, 0 },
	{ JOB_IN_DOUBT, JOB_EV_TIMER, JOB_IN_DOUBT, JOB_DO_ACK, 0 },
	{ JOB_IN_DOUBT, JOB_EV_CANCEL, JOB_IN_DOUBT, 0, 0 },
	{ JOB_IN_DOUBT, JOB_EV_RESTART, JOB_IN_DOUBT, JOB_DO_ACK, 0 },

	{ JOB_OWNED, JOB_EV_DETAILS, JOB_OWNED, 0, JOB_TODO_PREPARE },
	{ JOB_OWNED, JOB_EV_DETAILS_AGAIN, JOB_OWNED, 0, 0 },
	{ JOB_OWNED, JOB_EV_GONE, CLOSES },
	{ JOB_OWNED, JOB_EV_PREPARED, JOB_FETCHING, JOB_DO_FETCH, 0 },
	{ JOB_OWNED, JOB_EV_FAIL, ENDS },
	{ JOB_OWNED, JOB_EV_TIMER, JOB_OWNED, JOB_DO_DETAILS, 0 },
	{ JOB_OWNED, JOB_EV_CANCEL, ENDS },
	{ JOB_OWNED, JOB_EV_RESTART, JOB_OWNED, 0, JOB_TODO_PREPARE },

	{ JOB_FETCHING, JOB_EV_DETAILS, JOB_FETCHING, JOB_DO_FETCH, 0 },
	{ JOB_FETCHING, JOB_EV_DETAILS_AGAIN, JOB_FETCHING, 0, 0 },
	{ JOB_FETCHING, JOB_EV_EXPIRED, JOB_FETCHING, JOB_DO_DETAILS, 0 },
	{ JOB_FETCHING, JOB_EV_GONE, CLOSES },
	{ JOB_FETCHING, JOB_EV_FETCHED, JOB_STARTED, JOB_DO_SPAWN, 0 },
	{ JOB_FETCHING, JOB_EV_TRANSFER_AGAIN, JOB_FETCHING, 0, 0 },
	{ JOB_FETCHING, JOB_EV_FAIL, ENDS },
	{ JOB_FETCHING, JOB_EV_TIMER, JOB_FETCHING, JOB_DO_FETCH, 0 },
	{ JOB_FETCHING, JOB_EV_CANCEL, ENDS },
	{ JOB_FETCHING, JOB_EV_RESTART, JOB_OWNED, 0, JOB_TODO_PREPARE },

	{ JOB_QUEUED, JOB_EV_TURN, JOB_STARTED, JOB_DO_SPAWN, 0 },
	{ JOB_QUEUED, JOB_EV_FAIL, ENDS },
	{ JOB_QUEUED, JOB_EV_TIMER, JOB_QUEUED, 0, 0 },
	{ JOB_QUEUED, JOB_EV_CANCEL, ENDS },
	{ JOB_QUEUED, JOB_EV_RESTART, JOB_OWNED, 0, JOB_TODO_PREPARE },

	{ JOB_STARTED, JOB_EV_ENDED, ENDS },
	{ JOB_STARTED, JOB_EV_NOT_BEGUN, JOB_OWNED, 0, JOB_TODO_PREPARE },
	{ JOB_STARTED, JOB_EV_VANISHED, ENDS },
	{ JOB_STARTED, JOB_EV_FAIL, ENDS },
	{ JOB_STARTED, JOB_EV_CANCEL, JOB_STARTED, JOB_DO_STOP, 0 },
	{ JOB_STARTED, JOB_EV_RESTART, JOB_STARTED, JOB_DO_ADOPT, 0 },

	{ JOB_STORING, JOB_EV_DETAILS, JOB_STORING, JOB_DO_STORE, 0 },
	{ JOB_STORING, JOB_EV_DETAILS_AGAIN, JOB_STORING, 0, 0 },
	{ JOB_STORING, JOB_EV_EXPIRED, JOB_STORING, JOB_DO_DETAILS, 0 },
	{ JOB_STORING, JOB_EV_GONE, CLOSES },
	{ JOB_STORING, JOB_EV_STORED, JOB_OUTCOME, 0, JOB_TODO_REPORT },
	{ JOB_STORING, JOB_EV_TRANSFER_AGAIN, JOB_STORING, 0, 0 },
	{ JOB_STORING, JOB_EV_FAIL, ENDS },
	{ JOB_STORING, JOB_EV_TIMER, JOB_STORING, JOB_DO_STORE, 0 },
	{ JOB_STORING, JOB_EV_RESTART, JOB_STORING, JOB_DO_STORE, 0 },

	{ JOB_OUTCOME, JOB_EV_REPORT, JOB_REPORTING, JOB_DO_PUT, 0 },
	{ JOB_OUTCOME, JOB_EV_RESTART, JOB_OUTCOME, 0, JOB_TODO_REPORT },

	{ JOB_WAITING, JOB_EV_TIMER, JOB_REPORTING, JOB_DO_PUT, 0 },
	{ JOB_WAITING, JOB_EV_RESTART, JOB_REPORTING, JOB_DO_PUT, 0 },

	{ JOB_REPORTING, JOB_EV_GONE, CLOSES },
	{ JOB_REPORTING, JOB_EV_PUT_DONE, CLOSES },
	{ JOB_REPORTING, JOB_EV_PUT_STATE, CLOSES },
	{ JOB_REPORTING, JOB_EV_PUT_REFUSED, CLOSES },
	{ JOB_REPORTING, JOB_EV_PUT_AGAIN, JOB_REPORTING, 0, 0 },
	{ JOB_REPORTING, JOB_EV_PUT_UNKNOWN, JOB_REPORTING, 0, 0 },
	{ JOB_REPORTING, JOB_EV_TIMER, JOB_REPORTING, JOB_DO_PUT, 0 },
	{ JOB_REPORTING, JOB_EV_RESTART, JOB_REPORTING, JOB_DO_PUT, 0 },
};

static const struct cell *find_cell(enum job_state state, enum job_event_type event)
{
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		if (cells[i].state == state && cells[i].event == event)
			return &cells[i];
	}
	return NULL;
}

static void check_cell(enum job_state state, enum job_event_type event)
{
	const struct cell *want = find_cell(state, event);
	struct job *job = job_in(state);
	bool taken = send(job, event);

	if (taken != (want != NULL) || job_accepts(state, event) != taken)
		fail_msg("%s + %s: %s", job_state_name(state), job_event_name(event),
			 taken ? "taken, but should be refused" : "refused");
	if (want && (job->rec.state != want->next || job->effects != want->effects ||
		     job->todo != want->todo))
		fail_msg("%s + %s: went to %s with effects %x todo %x",
			 job_state_name(state), job_event_name(event),
			 job_state_name(job->rec.state), job->effects, job->todo);
	if (want && want->next != state)
		assert_true(job->dirty);
	if (!want) {
		assert_int_equal(job->rec.state, state);
		assert_false(job->dirty);
		assert_int_equal(job->effects | job->todo, 0);
	}
	job_free(job);
}

static void every_cell_does_what_the_table_of_the_test_says(void **ctx)
{
	(void)ctx;
	for (int state = 0; state < JOB_STATE_COUNT; state++) {
		for (int event = 0; event < JOB_EVENT_COUNT; event++)
			check_cell((enum job_state)state, (enum job_event_type)event);
	}
}

static void names_of_states_and_ends_are_read_back(void **ctx)
{
	enum job_state state;
	enum job_end end;

	(void)ctx;
	for (int i = 0; i < JOB_STATE_COUNT; i++) {
		assert_true(job_state_parse(job_state_name((enum job_state)i), &state));
		assert_int_equal(state, i);
	}
	for (int i = 0; i < JOB_END_COUNT; i++) {
		assert_true(job_end_parse(job_end_name((enum job_end)i), &end));
		assert_int_equal(end, i);
	}
	assert_false(job_state_parse("dancing", &state));
	assert_false(job_end_parse("", &end));
}

/* --- acknowledging ------------------------------------------------------------ */

static void a_lost_race_ends_in_silence(void **ctx)
{
	struct job *job = job_in(JOB_ACKING);

	(void)ctx;
	assert_true(send(job, JOB_EV_ACK_TAKEN));
	assert_int_equal(job->rec.end, JOB_END_LOST);
	assert_false(job->rec.owned);
	assert_int_equal(job->effects & JOB_DO_PUT, 0);
	assert_string_equal(job->rec.nonce, "");
	job_free(job);
}

static void a_doubt_is_settled_by_policy_and_by_how_fresh_the_offer_is(void **ctx)
{
	static const struct {
		enum in_doubt policy;
		int64_t wall_age, mono_age;
		enum job_state next;
	} rows[] = {
		{ IN_DOUBT_FRESH, 15000, 15000, JOB_OWNED },
		{ IN_DOUBT_FRESH, 15001, 15001, JOB_CLOSED },
		{ IN_DOUBT_FRESH, 100, 15001, JOB_CLOSED }, /* the clock was set back */
		{ IN_DOUBT_FRESH, 15001, 100, JOB_CLOSED }, /* the machine slept */
		{ IN_DOUBT_FRESH, -1, 100, JOB_CLOSED },
		{ IN_DOUBT_FRESH, 100, 0, JOB_OWNED }, /* after a restart: wall alone */
		{ IN_DOUBT_ADOPT, 900000, 900000, JOB_OWNED },
		{ IN_DOUBT_DROP, 10, 10, JOB_CLOSED },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job *job = job_in(JOB_IN_DOUBT);
		struct job_env env = calm;

		env.in_doubt = rows[i].policy;
		job->rec.offered_ms = NOW_WALL - rows[i].wall_age;
		job->offered_mono_ms = rows[i].mono_age ? NOW_MONO - rows[i].mono_age : 0;
		assert_true(send_in(job, &env, JOB_EV_ACK_TAKEN));
		assert_int_equal(job->rec.state, rows[i].next);
		if (rows[i].next == JOB_CLOSED)
			assert_int_equal(job->rec.end, JOB_END_DROPPED);
		job_free(job);
	}
}

static void a_doubt_keeps_its_nonce_until_the_job_is_offered_anew(void **ctx)
{
	struct job *job = job_in(JOB_ACKING);

	(void)ctx;
	assert_true(send(job, JOB_EV_ACK_UNKNOWN));
	assert_true(job->retry_at_ms > NOW_MONO);
	assert_true(send(job, JOB_EV_TIMER));
	assert_string_equal(job->rec.nonce, "3");
	assert_int_equal(job->rec.state, JOB_IN_DOUBT);
	assert_true(send(job, JOB_EV_REOFFER));
	assert_string_equal(job->rec.nonce, "9");
	assert_int_equal(job->rec.state, JOB_ACKING);
	assert_true(send(job, JOB_EV_ACK_TAKEN)); /* no doubt any more */
	assert_int_equal(job->rec.end, JOB_END_LOST);
	job_free(job);
}

static void an_offer_that_never_reached_the_service_lapses(void **ctx)
{
	struct job *job = job_in(JOB_ACKING);
	struct job_env late = calm;

	(void)ctx;
	late.wall_ms = job->rec.offered_ms + JOB_LAPSE_MS + 1;
	assert_true(send_in(job, &late, JOB_EV_ACK_AGAIN));
	assert_int_equal(job->rec.end, JOB_END_LAPSED);
	job_free(job);
}

static void a_job_cancelled_before_its_acknowledgement_is_reported_not_run(void **ctx)
{
	struct job *job = job_in(JOB_ACKING);

	(void)ctx;
	assert_true(send(job, JOB_EV_CANCEL));
	assert_true(send(job, JOB_EV_ACK_OURS));
	assert_int_equal(job->rec.state, JOB_OUTCOME);
	assert_true(job->rec.owned);
	assert_string_equal(job->rec.failure, FAIL_SYSTEM);
	job_free(job);
}

/* --- running -------------------------------------------------------------------- */

static void being_started_is_recorded_with_boot_and_number_of_runs(void **ctx)
{
	struct job *job = job_in(JOB_FETCHING);

	(void)ctx;
	assert_true(send(job, JOB_EV_FETCHED));
	assert_string_equal(job->rec.boot_id, "boot");
	assert_int_equal(job->rec.runs, 1);
	assert_true(job->dirty);
	job_free(job);
}

static void a_job_whose_time_is_over_is_not_started(void **ctx)
{
	struct job *job = job_in(JOB_FETCHING);
	struct job_env late = calm;

	(void)ctx;
	late.wall_ms = job->rec.deadline_ms;
	assert_true(send_in(job, &late, JOB_EV_FETCHED));
	assert_int_equal(job->rec.state, JOB_OUTCOME);
	assert_string_equal(job->rec.failure, FAIL_JOB);
	assert_int_equal(job->rec.runs, 0);
	job_free(job);
}

static void an_exclusive_job_waits_for_its_turn_and_no_longer_than_it_may(void **ctx)
{
	struct job *job = job_in(JOB_FETCHING);
	struct job_env late = calm;

	(void)ctx;
	job->exclusive = true;
	assert_true(send(job, JOB_EV_FETCHED));
	assert_int_equal(job->rec.state, JOB_QUEUED);
	assert_int_equal(job->effects, 0);
	assert_true(job->dirty);
	assert_int_equal(job->retry_at_ms, NOW_MONO + 60000); /* its deadline */
	assert_true(job_holds_slot(job));
	late.wall_ms = job->rec.deadline_ms;
	assert_true(send_in(job, &late, JOB_EV_TIMER)); /* and a turn: the same */
	assert_int_equal(job->rec.state, JOB_OUTCOME);
	assert_string_equal(job->rec.failure, FAIL_JOB);
	assert_contains(job->rec.outcome, "exclusive");
	assert_int_equal(job->rec.runs, 0);
	job_free(job);
}

static void the_last_error_is_told_when_time_runs_out(void **ctx)
{
	struct job *job = job_in(JOB_FETCHING);
	struct job_env late = calm;
	struct job_event ev = { .type = JOB_EV_TRANSFER_AGAIN,
				.asked_ms = -1,
				.text = "input artifact Src: HTTP 503" };

	(void)ctx;
	late.wall_ms = job->rec.deadline_ms;
	assert_true(job_dispatch(job, &late, &ev));
	assert_string_equal(job->rec.failure, FAIL_SYSTEM);
	assert_contains(job->rec.outcome, "Src: HTTP 503");
	job_free(job);
}

static void success_with_outputs_is_not_settled_before_they_are_stored(void **ctx)
{
	struct job *job = job_in(JOB_STARTED);

	(void)ctx;
	end_with(job, outcome_of(OUTCOME_SUCCESS, 2, 0));
	assert_int_equal(job->rec.state, JOB_STORING);
	assert_int_equal(job->rec.kind, OUTCOME_NONE);
	assert_int_equal(job->effects, JOB_DO_STORE);
	assert_true(send(job, JOB_EV_STORED));
	assert_int_equal(job->rec.kind, OUTCOME_SUCCESS);
	job_free(job);
}

static void an_upload_that_cannot_work_makes_a_failure(void **ctx)
{
	struct job *job = job_in(JOB_STARTED);

	(void)ctx;
	end_with(job, outcome_of(OUTCOME_SUCCESS, 1, 0));
	assert_true(send(job, JOB_EV_FAIL));
	assert_int_equal(job->rec.kind, OUTCOME_FAILURE);
	assert_contains(job->rec.outcome, "\"failure\"");
	job_free(job);
}

static void a_vanished_job_is_run_again_only_when_idempotent_and_not_for_ever(void **ctx)
{
	struct job *job = job_in(JOB_STARTED);

	(void)ctx;
	job->idempotent = true;
	job->rec.runs = 1;
	assert_true(send(job, JOB_EV_VANISHED));
	assert_int_equal(job->rec.state, JOB_OWNED);
	assert_int_equal(job->todo, JOB_TODO_PREPARE);
	job->rec.state = JOB_STARTED;
	job->rec.runs = 3;
	assert_true(send(job, JOB_EV_VANISHED));
	assert_int_equal(job->rec.state, JOB_OUTCOME);
	assert_string_equal(job->rec.failure, FAIL_SYSTEM);
	job_free(job);
}

static void a_shim_that_never_begins_is_given_up_after_three_starts(void **ctx)
{
	struct job *job = job_in(JOB_STARTED);

	(void)ctx;
	job->rec.runs = 3;
	assert_true(send(job, JOB_EV_NOT_BEGUN));
	assert_int_equal(job->rec.state, JOB_OUTCOME);
	assert_string_equal(job->rec.failure, FAIL_SYSTEM);
	job_free(job);
}

static void credentials_are_renewed_twice_and_then_it_is_a_permission_error(void **ctx)
{
	struct job *job = job_in(JOB_STORING);

	(void)ctx;
	assert_true(send(job, JOB_EV_EXPIRED));
	assert_true(send(job, JOB_EV_EXPIRED));
	assert_int_equal(job->rec.state, JOB_STORING);
	assert_true(send(job, JOB_EV_EXPIRED));
	assert_string_equal(job->rec.failure, FAIL_PERMISSION);
	job_free(job);
}

/* --- reporting -------------------------------------------------------------------- */

static void a_continuation_waits_until_it_is_due(void **ctx)
{
	struct job *job = job_in(JOB_STARTED);
	struct job_env later = calm;

	(void)ctx;
	end_with(job, outcome_of(OUTCOME_CONTINUATION, 0, 30000));
	assert_int_equal(job->rec.due_ms, NOW_WALL + 30000);
	assert_true(send(job, JOB_EV_REPORT));
	assert_int_equal(job->rec.state, JOB_WAITING);
	assert_int_equal(job->retry_at_ms, NOW_MONO + 30000);
	assert_false(job_holds_slot(job));
	later.wall_ms += 20000;
	job->retry_at_ms = 0;
	assert_true(send_in(job, &later, JOB_EV_RESTART));
	assert_int_equal(job->rec.state, JOB_WAITING);
	assert_int_equal(job->retry_at_ms, NOW_MONO + 10000);
	assert_true(send_in(job, &later, JOB_EV_TIMER));
	assert_int_equal(job->rec.state, JOB_REPORTING);
	job_free(job);
}

static void invalid_state_means_delivered_only_after_a_lost_answer(void **ctx)
{
	struct job *first = job_in(JOB_REPORTING), *second = job_in(JOB_REPORTING);

	(void)ctx;
	assert_true(send(first, JOB_EV_PUT_STATE));
	assert_int_equal(first->rec.end, JOB_END_REFUSED);
	assert_true(send(second, JOB_EV_PUT_UNKNOWN));
	assert_true(second->dirty);
	assert_true(send(second, JOB_EV_TIMER));
	assert_true(send(second, JOB_EV_PUT_STATE));
	assert_int_equal(second->rec.end, JOB_END_DELIVERED);
	job_free(first);
	job_free(second);
}

static void a_restart_while_reporting_counts_as_a_lost_answer(void **ctx)
{
	struct job *job = job_in(JOB_REPORTING);

	(void)ctx;
	assert_true(send(job, JOB_EV_RESTART));
	assert_true(send(job, JOB_EV_PUT_STATE));
	assert_int_equal(job->rec.end, JOB_END_DELIVERED);
	job_free(job);
}

static void reports_are_retried_with_growing_patience_until_they_expire(void **ctx)
{
	struct job *job = job_in(JOB_REPORTING);
	struct job_env env = calm;
	int64_t last = 0;

	(void)ctx;
	retry_set_random_for_test(half);
	for (int i = 0; i < 12; i++) {
		assert_true(send_in(job, &env, JOB_EV_PUT_AGAIN));
		assert_true(job->retry_at_ms - NOW_MONO >= last);
		last = job->retry_at_ms - NOW_MONO;
		assert_true(last <= 60000);
	}
	assert_int_equal(last, 45000); /* the cap, three quarters in */
	env.wall_ms += env.result_timeout_ms + 1;
	assert_true(send_in(job, &env, JOB_EV_PUT_AGAIN));
	assert_int_equal(job->rec.end, JOB_END_EXPIRED);
	retry_set_random_for_test(NULL);
	job_free(job);
}

static void a_closed_job_keeps_no_nonce_and_no_outcome_text(void **ctx)
{
	struct job *job = job_in(JOB_REPORTING);

	(void)ctx;
	job->rec.kind = OUTCOME_SUCCESS;
	assert_true(send(job, JOB_EV_PUT_DONE));
	assert_null(job->rec.outcome);
	assert_string_equal(job->rec.nonce, "");
	assert_int_equal(job->rec.kind, OUTCOME_SUCCESS);
	job_free(job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_does_what_the_table_of_the_test_says),
		cmocka_unit_test(names_of_states_and_ends_are_read_back),
		cmocka_unit_test(a_lost_race_ends_in_silence),
		cmocka_unit_test(
			a_doubt_is_settled_by_policy_and_by_how_fresh_the_offer_is),
		cmocka_unit_test(a_doubt_keeps_its_nonce_until_the_job_is_offered_anew),
		cmocka_unit_test(an_offer_that_never_reached_the_service_lapses),
		cmocka_unit_test(
			a_job_cancelled_before_its_acknowledgement_is_reported_not_run),
		cmocka_unit_test(being_started_is_recorded_with_boot_and_number_of_runs),
		cmocka_unit_test(a_job_whose_time_is_over_is_not_started),
		cmocka_unit_test(
			an_exclusive_job_waits_for_its_turn_and_no_longer_than_it_may),
		cmocka_unit_test(the_last_error_is_told_when_time_runs_out),
		cmocka_unit_test(
			success_with_outputs_is_not_settled_before_they_are_stored),
		cmocka_unit_test(an_upload_that_cannot_work_makes_a_failure),
		cmocka_unit_test(
			a_vanished_job_is_run_again_only_when_idempotent_and_not_for_ever),
		cmocka_unit_test(a_shim_that_never_begins_is_given_up_after_three_starts),
		cmocka_unit_test(
			credentials_are_renewed_twice_and_then_it_is_a_permission_error),
		cmocka_unit_test(a_continuation_waits_until_it_is_due),
		cmocka_unit_test(invalid_state_means_delivered_only_after_a_lost_answer),
		cmocka_unit_test(a_restart_while_reporting_counts_as_a_lost_answer),
		cmocka_unit_test(
			reports_are_retried_with_growing_patience_until_they_expire),
		cmocka_unit_test(a_closed_job_keeps_no_nonce_and_no_outcome_text),
	};

	return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
