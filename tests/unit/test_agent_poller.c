/* When polls leave, and for how many jobs. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "agent/poller.h"
#include "agent/retry.h"
#include "lib/base/macros.h"

#define ENTRIES 4

struct scene {
	struct poller *p;
	int64_t now;
	char sent[256]; /* "0:8 1:2 ": entry and batch of each poll */
	int batch[ENTRIES];
	int polls;
};

static double middle(void)
{
	return 0.5; /* no jitter, and three quarters of every back-off */
}

static void note_poll(void *ctx, size_t entry, int batch)
{
	struct scene *s = ctx;
	size_t used = strlen(s->sent);

	(void)snprintf(s->sent + used, sizeof(s->sent) - used, "%zu:%d ", entry, batch);
	if (entry < ENTRIES)
		s->batch[entry] = batch;
	s->polls++;
}

static struct scene *scene_of(int max_jobs, double rate, int64_t max_ms)
{
	struct scene *s = mh_alloc(sizeof(*s));
	struct poller_options o = { .min_ms = 1000,
				    .max_ms = max_ms,
				    .retry_base_ms = 1000,
				    .rate = rate,
				    .max_jobs = max_jobs,
				    .poll = note_poll,
				    .ctx = s };

	retry_set_random_for_test(middle);
	s->now = 100000;
	s->p = poller_new(&o, s->now);
	return s;
}

static struct scene *scene_with(int max_jobs, double rate)
{
	return scene_of(max_jobs, rate, 10000);
}

static void scene_free(struct scene *s)
{
	poller_free(s->p);
	free(s);
	retry_set_random_for_test(NULL);
}

/* What one run sends. */
static const char *run(struct scene *s, int64_t *ret_next)
{
	int64_t next;

	s->sent[0] = '\0';
	next = poller_run(s->p, s->now);
	if (ret_next)
		*ret_next = next;
	return s->sent;
}

static void empty(struct scene *s, size_t entry)
{
	poller_answered(s->p, entry, 0, s->now);
}

static void the_first_poll_is_immediate_and_asks_for_every_slot(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	int64_t next;

	(void)ctx;
	(void)poller_add(s->p, 0);
	assert_string_equal(run(s, &next), "0:8 ");
	assert_int_equal(next, POLLER_NEVER); /* nothing wakes up while it is under way */
	assert_true(poller_in_flight(s->p));
	assert_string_equal(run(s, NULL), "");
	empty(s, 0);
	assert_string_equal(run(s, &next), "");
	assert_int_equal(next, s->now + 1000);
	scene_free(s);
}

static void slots_are_reserved_before_a_poll_and_types_take_turns(void **ctx)
{
	struct scene *s = scene_with(3, 100);

	(void)ctx;
	(void)poller_add(s->p, 2);
	(void)poller_add(s->p, 2);
	(void)poller_add(s->p, 2);
	/* Two and one are reserved: the third type waits its turn. */
	assert_string_equal(run(s, NULL), "0:2 1:1 ");
	empty(s, 0);
	assert_string_equal(run(s, NULL), "2:2 ");
	empty(s, 1);
	empty(s, 2);
	s->now += 1000;
	assert_string_equal(run(s, NULL), "0:2 1:1 ");
	empty(s, 0);
	empty(s, 1);
	assert_string_equal(run(s, NULL), "2:2 ");
	scene_free(s);
}

static void never_more_jobs_than_slots_however_polls_and_jobs_interleave(void **ctx)
{
	struct scene *s = scene_with(5, 1000);
	int used[ENTRIES] = { 0 }, total = 0;
	unsigned seed = 42;

	(void)ctx;
	for (size_t i = 0; i < ENTRIES; i++)
		(void)poller_add(s->p, i == 0 ? 1 : 3);
	for (int step = 0; step < 20000; step++) {
		size_t e = (seed = seed * 1103515245 + 12345) / 65536 % ENTRIES;
		int n = (int)((seed = seed * 1103515245 + 12345) / 65536 % 4);

		if (s->batch[e] > 0) {
			int got = n < s->batch[e] ? n : s->batch[e];

			s->batch[e] = 0;
			poller_answered(s->p, e, got, s->now);
			for (int i = 0; i < got; i++) {
				poller_take(s->p, e);
				used[e]++;
				total++;
			}
		} else if (used[e] > 0) {
			poller_give(s->p, e, s->now);
			used[e]--;
			total--;
		}
		assert_true(total <= 5 && used[0] <= 1 && used[e] <= 3);
		s->now += 100;
		(void)run(s, NULL);
	}
	assert_true(s->polls > 1000);
	scene_free(s);
}

static void without_a_slot_there_is_no_poll_and_a_freed_slot_polls_at_once(void **ctx)
{
	struct scene *s = scene_with(2, 100);
	int64_t next;

	(void)ctx;
	(void)poller_add(s->p, 0);
	assert_string_equal(run(s, NULL), "0:2 ");
	poller_answered(s->p, 0, 2, s->now);
	poller_take(s->p, 0);
	poller_take(s->p, 0);
	assert_string_equal(run(s, &next), "");
	assert_int_equal(next, POLLER_NEVER);
	s->now += 5;
	poller_give(s->p, 0, s->now);
	assert_string_equal(run(s, NULL), "0:1 ");
	scene_free(s);
}

static void a_full_batch_is_followed_at_once_by_another_poll(void **ctx)
{
	struct scene *s = scene_with(8, 100);

	(void)ctx;
	(void)poller_add(s->p, 2);
	assert_string_equal(run(s, NULL), "0:2 ");
	poller_answered(s->p, 0, 2, s->now);
	poller_take(s->p, 0);
	assert_string_equal(run(s, NULL), "0:1 ");
	scene_free(s);
}

static void the_interval_grows_only_after_twenty_empty_answers(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	int64_t next = 0, last = 0;

	(void)ctx;
	(void)poller_add(s->p, 0);
	for (int i = 0; i < 20; i++) {
		(void)run(s, NULL);
		empty(s, 0);
		(void)run(s, &next);
		assert_int_equal(next - s->now, 1000);
		s->now = next;
	}
	for (int i = 0; i < 15; i++) {
		(void)run(s, NULL);
		empty(s, 0);
		(void)run(s, &next);
		assert_true(next - s->now > 1000 && next - s->now >= last);
		last = next - s->now;
		s->now = next;
	}
	assert_int_equal(last, 10000);
	(void)run(s, NULL);
	poller_answered(s->p, 0, 1, s->now); /* a job brings the short interval back */
	(void)run(s, &next);
	assert_int_equal(next - s->now, 1000);
	scene_free(s);
}

static void errors_back_off_to_a_minute_and_a_freed_slot_does_not_hurry_them(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	struct poller_failure f = { .asked_ms = -1 };
	int64_t last = 0, delay = 0;

	(void)ctx;
	(void)poller_add(s->p, 0);
	poller_take(s->p, 0);
	for (int i = 0; i < 10; i++) {
		assert_string_equal(run(s, NULL), "0:7 ");
		delay = poller_failed(s->p, 0, &f, s->now);
		assert_true(delay >= last && delay <= 60000);
		last = delay;
		s->now += delay;
	}
	assert_int_equal(last, 45000);
	s->now -= 44000;
	poller_recovered(s->p, s->now); /* it is back: nobody waits that out */
	assert_string_equal(run(s, NULL), "0:7 ");
	(void)poller_failed(s->p, 0, &f, s->now);
	s->now += 60000;
	(void)run(s, NULL);
	(void)poller_failed(s->p, 0, &f, s->now);
	poller_give(s->p, 0, s->now);
	assert_string_equal(run(s, NULL), "");
	scene_free(s);
}

static void a_throttle_slows_all_types_down(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	struct poller_failure f = { .throttled = true, .asked_ms = -1 };
	int polls;

	(void)ctx;
	(void)poller_add(s->p, 1);
	(void)poller_add(s->p, 1);
	(void)poller_add(s->p, 1);
	(void)run(s, NULL);
	for (int i = 0; i < 12; i++)
		(void)poller_failed(s->p, 0, &f, s->now), s->now += 60000,
			(void)run(s, NULL);
	empty(s, 1);
	empty(s, 2);
	s->now += 1000;
	polls = s->polls;
	(void)run(s, NULL);
	assert_int_equal(s->polls - polls, 2);
	scene_free(s);
}

static void one_bucket_holds_all_types(void **ctx)
{
	struct scene *s = scene_with(1000, 1);
	int64_t next;

	(void)ctx;
	for (int i = 0; i < 40; i++)
		(void)poller_add(s->p, 1);
	(void)run(s, &next);
	assert_int_equal(s->polls, 10); /* the burst */
	assert_in_range(next - s->now, 990, 1010);
	s->now = next;
	(void)run(s, NULL);
	assert_int_equal(s->polls, 11);
	scene_free(s);
}

static void a_limit_ends_polling_when_enough_jobs_were_taken(void **ctx)
{
	struct scene *s = scene_with(8, 100);

	(void)ctx;
	(void)poller_add(s->p, 0);
	(void)poller_add(s->p, 0);
	poller_limit(s->p, 1);
	assert_string_equal(run(s, NULL), "0:1 ");
	poller_answered(s->p, 0, 1, s->now);
	poller_take(s->p, 0);
	poller_limit(s->p, 0);
	assert_string_equal(run(s, NULL), "");
	scene_free(s);
}

/* --- bursts --- */

#define HOUR_MS     3600000
#define BURST_JOBS  10
#define BURST_GAP   5000
#define BURST_HOURS 200

static double dice(void)
{
	static unsigned seed = 7;

	seed = seed * 1103515245 + 12345;
	return (double)(seed / 65536 % 32768) / 32768.0;
}

struct burst {
	int64_t appears_ms[BURST_JOBS];
	int taken;
};

/* How many of the burst's jobs a poll finds now; adds up how long they waited. */
static int take_what_is_there(struct burst *b, int64_t now, int64_t *waited_ms)
{
	int got = 0;

	while (b->taken < BURST_JOBS && b->appears_ms[b->taken] <= now) {
		*waited_ms += now - b->appears_ms[b->taken++];
		got++;
	}
	return got;
}

/* One hour with a burst in it; answers the sum of all waits. */
static int64_t play_hour(struct scene *s, struct burst *b)
{
	int64_t end = s->now + HOUR_MS, waited_ms = 0, next;
	int64_t first = s->now + (int64_t)(dice() * (HOUR_MS - BURST_JOBS * BURST_GAP));

	for (int i = 0; i < BURST_JOBS; i++)
		b->appears_ms[i] = first + i * BURST_GAP;
	b->taken = 0;
	while (s->now < end) {
		int polls = s->polls;

		(void)run(s, &next);
		if (s->polls > polls) {
			int got = take_what_is_there(b, s->now, &waited_ms);

			poller_answered(s->p, 0, got, s->now);
			continue;
		}
		s->now = next;
	}
	assert_int_equal(b->taken, BURST_JOBS);
	return waited_ms;
}

/* Measurements 8: ten jobs, five seconds apart, once an hour. A fixed interval of 10 s
 * polls 360 times and lets a job wait for 5 s. */
static void bursts_start_within_a_second_and_a_half_for_what_fixed_ten_seconds_cost(
	void **ctx)
{
	struct scene *s = scene_of(100, 5, 13000); /* the default of poll_interval_max */
	int64_t waited_ms = 0;
	struct burst b;

	(void)ctx;
	retry_set_random_for_test(dice);
	(void)poller_add(s->p, 0);
	for (int hour = 0; hour < BURST_HOURS; hour++)
		waited_ms += play_hour(s, &b);
	print_message("mean wait %lld ms, %d polls an hour\n",
		      (long long)(waited_ms / BURST_HOURS / BURST_JOBS),
		      s->polls / BURST_HOURS);
	assert_true(waited_ms / BURST_HOURS / BURST_JOBS <= 1500);
	assert_true(s->polls / BURST_HOURS <= 360);
	scene_free(s);
}

static void a_throttle_halves_the_rate_and_answers_bring_it_back(void **ctx)
{
	struct rate_bucket b;

	(void)ctx;
	rate_init(&b, 8, 10, 0);
	rate_throttled(&b, 0);
	assert_true(b.rate > 3.9 && b.rate < 4.1);
	rate_throttled(&b, 0);
	assert_true(b.rate > 1.9 && b.rate < 2.1);
	for (int i = 0; i < 15; i++)
		rate_succeeded(&b);
	assert_true(b.rate > 7.9 && b.rate < 8.1);
}

/* --- where the endpoint tells when there is work --- */

static void being_told_replaces_all_polls_but_one_a_minute(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	int64_t next;

	(void)ctx;
	(void)poller_add(s->p, 0);
	assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER);
	(void)run(s, NULL);
	poller_waiting(s->p, true, s->now);
	assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER); /* polled now */
	empty(s, 0);
	assert_string_equal(run(s, &next), "");
	assert_int_equal(next, s->now + 60000);
	assert_true(poller_may_wait(s->p, 0, s->now) <= s->now);
	s->now = next;
	assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER);
	assert_string_equal(run(s, NULL), "0:8 ");
	empty(s, 0);
	/* Told no more: the interval again, also for who was to wait a minute. */
	poller_waiting(s->p, false, s->now);
	assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER);
	assert_string_equal(run(s, &next), "");
	assert_int_equal(next, s->now + 1000);
	/* Told again: what was planned becomes the one a minute. */
	poller_waiting(s->p, true, s->now);
	(void)run(s, &next);
	assert_int_equal(next, s->now + 60000);
	scene_free(s);
}

static void a_hint_polls_at_once_and_is_believed_less_when_it_was_in_vain(void **ctx)
{
	struct scene *s = scene_with(8, 100);
	int64_t pause = 0;

	(void)ctx;
	(void)poller_add(s->p, 0);
	(void)poller_add(s->p, 0);
	poller_waiting(s->p, true, s->now);
	(void)run(s, NULL);
	empty(s, 0);
	(void)run(s, NULL);
	empty(s, 1);
	for (int i = 0; i < 3; i++) {
		s->now += pause;
		assert_true(poller_may_wait(s->p, 0, s->now) <= s->now);
		poller_hint(s->p, 0, s->now);
		assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER);
		assert_string_equal(run(s, NULL), "0:8 ");
		empty(s, 0);
		pause = poller_may_wait(s->p, 0, s->now) - s->now;
		/* One race lost is no reason; after that it may be none. */
		assert_int_equal(pause, i == 0 ? 0 : 1000);
		assert_string_equal(run(s, NULL), "");
		assert_true(poller_may_wait(s->p, 1, s->now) <= s->now);
	}
	s->now += pause;
	poller_hint(s->p, 0, s->now);
	(void)run(s, NULL);
	poller_answered(s->p, 0, 1, s->now); /* a job: hints are good again */
	assert_true(poller_may_wait(s->p, 0, s->now) <= s->now);
	scene_free(s);
}

static void who_has_no_slot_or_fails_is_not_waited_for(void **ctx)
{
	struct scene *s = scene_with(2, 100);
	struct poller_failure f = { .asked_ms = -1 };

	(void)ctx;
	(void)poller_add(s->p, 1);
	(void)poller_add(s->p, 0);
	poller_waiting(s->p, true, s->now);
	assert_string_equal(run(s, NULL), "0:1 1:1 ");
	poller_answered(s->p, 0, 1, s->now);
	poller_take(s->p, 0);
	(void)poller_failed(s->p, 1, &f, s->now);
	assert_int_equal(poller_may_wait(s->p, 0, s->now), POLLER_NEVER);
	assert_int_equal(poller_may_wait(s->p, 1, s->now), POLLER_NEVER);
	poller_hint(s->p, 1, s->now); /* a failing one keeps its distance */
	assert_string_equal(run(s, NULL), "");
	poller_give(s->p, 0, s->now); /* it was full: what waited is fetched at once */
	assert_string_equal(run(s, NULL), "0:1 ");
	empty(s, 0);
	s->now += 1000;
	assert_string_equal(run(s, NULL), "1:2 ");
	empty(s, 1);
	/* Of a slot more, who had one already is told like of all else. */
	poller_take(s->p, 0);
	poller_give(s->p, 0, s->now);
	assert_string_equal(run(s, NULL), "0:1 ");
	scene_free(s);
}

static void an_operator_polls_at_once_whatever_was_planned(void **ctx)
{
	struct scene *s = scene_with(3, 100);
	struct poller_failure failure = { .asked_ms = 50000 };

	(void)ctx;
	for (int i = 0; i < 3; i++)
		(void)poller_add(s->p, 1);
	assert_string_equal(run(s, NULL), "0:1 1:1 2:1 ");
	empty(s, 0);
	(void)poller_failed(s->p, 1, &failure, s->now);
	poller_take(s->p, 2);
	poller_answered(s->p, 2, 1, s->now);
	assert_string_equal(run(s, NULL), "");
	/* The third has no slot. */
	assert_int_equal(poller_poll_now(s->p, s->now), 2);
	assert_string_equal(run(s, NULL), "0:1 1:1 ");
	scene_free(s);
}

/* Of an action entry that is gone, say. */
static void jobs_of_no_entry_take_slots_of_the_host_and_are_not_polled_for(void **ctx)
{
	struct scene *s = scene_with(2, 100);

	(void)ctx;
	(void)poller_add(s->p, 0);
	(void)poller_add(s->p, POLLER_NO_POLLS);
	poller_take(s->p, 1);
	assert_string_equal(run(s, NULL), "0:1 ");
	empty(s, 0);
	poller_take(s->p, 1);
	assert_int_equal(poller_poll_now(s->p, s->now), 0);
	assert_string_equal(run(s, NULL), "");
	poller_give(s->p, 1, s->now);
	assert_string_equal(run(s, NULL), "0:1 ");
	assert_int_equal(poller_may_wait(s->p, 1, s->now), POLLER_NEVER);
	scene_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_poll_is_immediate_and_asks_for_every_slot),
		cmocka_unit_test(slots_are_reserved_before_a_poll_and_types_take_turns),
		cmocka_unit_test(
			never_more_jobs_than_slots_however_polls_and_jobs_interleave),
		cmocka_unit_test(
			without_a_slot_there_is_no_poll_and_a_freed_slot_polls_at_once),
		cmocka_unit_test(a_full_batch_is_followed_at_once_by_another_poll),
		cmocka_unit_test(the_interval_grows_only_after_twenty_empty_answers),
		cmocka_unit_test(
			errors_back_off_to_a_minute_and_a_freed_slot_does_not_hurry_them),
		cmocka_unit_test(a_throttle_slows_all_types_down),
		cmocka_unit_test(one_bucket_holds_all_types),
		cmocka_unit_test(a_limit_ends_polling_when_enough_jobs_were_taken),
		cmocka_unit_test(an_operator_polls_at_once_whatever_was_planned),
		cmocka_unit_test(
			jobs_of_no_entry_take_slots_of_the_host_and_are_not_polled_for),
		cmocka_unit_test(
			bursts_start_within_a_second_and_a_half_for_what_fixed_ten_seconds_cost),
		cmocka_unit_test(a_throttle_halves_the_rate_and_answers_bring_it_back),
		cmocka_unit_test(being_told_replaces_all_polls_but_one_a_minute),
		cmocka_unit_test(
			a_hint_polls_at_once_and_is_believed_less_when_it_was_in_vain),
		cmocka_unit_test(who_has_no_slot_or_fails_is_not_waited_for),
	};

	return cmocka_run_group_tests_name("poller", tests, NULL, NULL);
}
