/* Patience and pace: back-off, the retry quota, the token bucket, what to do after a
 * restart. */
#include "tests/unit/test.h"

#include "agent/recover.h"
#include "agent/retry.h"
#include "lib/base/macros.h"

static double dice;

static double roll(void)
{
	return dice;
}

static int load_dice(void **ctx)
{
	(void)ctx;
	retry_set_random_for_test(roll);
	return 0;
}

static int drop_dice(void **ctx)
{
	(void)ctx;
	retry_set_random_for_test(NULL);
	return 0;
}

static void standard_backoff_is_full_jitter_under_twenty_seconds(void **ctx)
{
	(void)ctx;
	dice = 0;
	assert_int_equal(retry_standard_ms(5, 1000), 0);
	dice = 0.5;
	assert_int_equal(retry_standard_ms(0, 1000), 500);
	assert_int_equal(retry_standard_ms(3, 1000), 4000);
	assert_int_equal(retry_standard_ms(9, 1000), 10000);
	assert_int_equal(retry_standard_ms(1000, 1000), 10000);
}

static void patient_backoff_doubles_to_its_cap_and_never_falls_under_half(void **ctx)
{
	(void)ctx;
	for (int attempt = 0; attempt < 80; attempt++) {
		int64_t whole = attempt < 6 ? INT64_C(1000) << attempt : 60000;

		dice = 0;
		assert_int_equal(retry_patient_ms(attempt, 1000, 60000), whole / 2);
		dice = 0.999999;
		assert_true(retry_patient_ms(attempt, 1000, 60000) <= whole);
	}
}

static void a_wish_of_the_server_is_heeded_within_five_seconds(void **ctx)
{
	(void)ctx;
	assert_int_equal(retry_heed_ms(1000, -1), 1000);
	assert_int_equal(retry_heed_ms(1000, 500), 1000);
	assert_int_equal(retry_heed_ms(1000, 4000), 4000);
	assert_int_equal(retry_heed_ms(1000, 3600000), 6000);
}

static void the_quota_runs_dry_and_fills_up_again(void **ctx)
{
	struct retry_quota q = RETRY_QUOTA_INIT;
	int taken = 0, retries = 0;

	(void)ctx;
	while (retry_quota_take(&q, false, &taken))
		retries++;
	assert_int_equal(retries, 100);
	assert_int_equal(taken, 5);
	retry_quota_give(&q, taken);
	assert_int_equal(q.tokens, 5);
	assert_false(retry_quota_take(&q, true, &taken));
	retry_quota_give(&q, 0);
	assert_int_equal(q.tokens, 6);
	for (int i = 0; i < 1000; i++)
		retry_quota_give(&q, 10);
	assert_int_equal(q.tokens, RETRY_QUOTA_CAPACITY);
}

static void only_many_failures_in_a_row_are_an_outage(void **ctx)
{
	struct retry_outage o = { 0 };

	(void)ctx;
	assert_false(retry_outage_over(&o));
	for (int i = 1; i < RETRY_OUTAGE_FAILURES; i++)
		retry_outage_failed(&o);
	assert_false(retry_outage_over(&o));
	retry_outage_failed(&o);
	assert_false(retry_outage_over(&o)); /* it began anew */
	for (int i = 0; i < 3 * RETRY_OUTAGE_FAILURES; i++)
		retry_outage_failed(&o);
	assert_true(retry_outage_over(&o));
	assert_false(retry_outage_over(&o)); /* told once */
}

static void the_bucket_lets_a_burst_through_and_then_its_rate(void **ctx)
{
	struct rate_bucket b;
	int64_t now = 1000, wait;
	int sent = 0;

	(void)ctx;
	rate_init(&b, 2, 3, now);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rate_take(&b, now), 0);
	wait = rate_take(&b, now);
	assert_in_range(wait, 500, 502);
	for (; now < 11000; now += 10)
		sent += rate_take(&b, now) == 0;
	assert_in_range(sent, 19, 21);
}

static void a_throttle_halves_the_rate_and_success_brings_it_back(void **ctx)
{
	struct rate_bucket b;

	(void)ctx;
	rate_init(&b, 8, 10, 0);
	rate_throttled(&b, 0);
	assert_true(b.rate > 3.9 && b.rate < 4.1);
	assert_int_equal(rate_take(&b, 0), 0); /* one, but no burst */
	assert_true(rate_take(&b, 0) > 0);
	for (int i = 0; i < 20; i++)
		rate_throttled(&b, 0);
	assert_true(b.rate > 0.79 && b.rate < 0.81); /* a floor */
	for (int i = 0; i < 100; i++)
		rate_succeeded(&b);
	assert_true(b.rate > 7.9 && b.rate < 8.1);
}

static void the_bucket_ignores_a_clock_that_goes_backwards(void **ctx)
{
	struct rate_bucket b;

	(void)ctx;
	rate_init(&b, 1, 1, 10000);
	assert_int_equal(rate_take(&b, 10000), 0);
	assert_true(rate_take(&b, 5000) > 0);
	assert_true(rate_take(&b, 5001) > 0);
}

/* --- recovery -------------------------------------------------------------------- */

static void recovery_is_decided_by_state_and_for_a_started_job_by_lock_and_result(
	void **ctx)
{
	static const struct {
		enum job_state state;
		struct recover_facts
			facts; /* directory, lock held, never begun, result */
		enum recover_action action;
	} rows[] = {
		{ JOB_OFFERED, { false, false, false, false }, RECOVER_FORGET },
		{ JOB_ACKING, { false, false, false, false }, RECOVER_ACK },
		{ JOB_IN_DOUBT, { false, false, false, false }, RECOVER_ACK },
		{ JOB_OWNED, { true, false, false, false }, RECOVER_PREPARE },
		{ JOB_FETCHING, { true, false, false, false }, RECOVER_PREPARE },
		{ JOB_QUEUED, { true, false, false, false }, RECOVER_PREPARE },
		{ JOB_STARTED, { true, true, false, false }, RECOVER_ADOPT },
		{ JOB_STARTED,
		  { true, true, false, true },
		  RECOVER_ADOPT }, /* it is at its end */
		{ JOB_STARTED, { true, false, false, true }, RECOVER_TAKE_RESULT },
		{ JOB_STARTED, { true, false, false, false }, RECOVER_VANISHED },
		{ JOB_STARTED, { true, false, true, false }, RECOVER_RUN },
		{ JOB_STARTED, { true, true, true, false }, RECOVER_ADOPT },
		{ JOB_STARTED, { false, false, false, false }, RECOVER_VANISHED },
		{ JOB_STORING, { true, false, false, true }, RECOVER_STORE },
		{ JOB_OUTCOME, { true, false, false, true }, RECOVER_REPORT },
		{ JOB_WAITING, { false, false, false, false }, RECOVER_WAIT },
		{ JOB_REPORTING, { true, false, false, true }, RECOVER_PUT },
		{ JOB_CLOSED, { true, true, false, true }, RECOVER_NOTHING },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum recover_action got = recover_decide(rows[i].state, &rows[i].facts);

		if (got != rows[i].action)
			fail_msg("row %zu (%s): %s", i, job_state_name(rows[i].state),
				 recover_action_name(got));
	}
}

static void every_state_that_recovery_acts_on_takes_a_restart(void **ctx)
{
	const struct recover_facts held = { .dir_there = true, .lock_held = true };

	(void)ctx;
	for (int i = 0; i < JOB_STATE_COUNT; i++) {
		enum recover_action action = recover_decide((enum job_state)i, &held);
		bool acts = action != RECOVER_NOTHING && action != RECOVER_FORGET;

		assert_int_equal(job_accepts((enum job_state)i, JOB_EV_RESTART), acts);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, load_dice, drop_dice)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(standard_backoff_is_full_jitter_under_twenty_seconds),
		T(patient_backoff_doubles_to_its_cap_and_never_falls_under_half),
		T(a_wish_of_the_server_is_heeded_within_five_seconds),
		T(the_quota_runs_dry_and_fills_up_again),
		T(only_many_failures_in_a_row_are_an_outage),
		T(the_bucket_lets_a_burst_through_and_then_its_rate),
		T(a_throttle_halves_the_rate_and_success_brings_it_back),
		T(the_bucket_ignores_a_clock_that_goes_backwards),
		T(recovery_is_decided_by_state_and_for_a_started_job_by_lock_and_result),
		T(every_state_that_recovery_acts_on_takes_a_restart),
	};

	return cmocka_run_group_tests_name("retry and recover", tests, NULL, NULL);
}
