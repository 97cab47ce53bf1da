/* The one writer: group commit, savepoints, timers, failure of a commit, stopping. */
#include "tests/unit/test.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>

#include "emulator/store/store.h"
#include "emulator/writer.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define THREADS 16
#define CALLS   50

struct fixture {
	struct store *store;
	struct writer *writer;
	int wakes;
	uint64_t work; /* told to whoever waits */
};

/* ---- timers of the test: rows of `due`, a negative n fails ---- */

static int fire_count;
static int fire_takes_ms; /* so that whoever does not wait for it is seen */

static int test_fire(struct op_ctx *ctx, bool *ret_fired, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t id, n;
	int rc;

	{
		CLEAN(stmt) struct stmt q;

		store_query(ctx->store, &q,
			    "SELECT id, n FROM due WHERE at <= ? ORDER BY at LIMIT 1",
			    "i", ctx->now_ms);
		rc = stmt_next(&q, &e);
		if (rc <= 0)
			return rc < 0 ? api_fail_internal(err, &e) : 0;
		id = stmt_i64(&q, 0);
		n = stmt_i64(&q, 1);
	}
	if (store_exec(ctx->store, NULL, &e, "INSERT INTO t (n) VALUES (?)", "i", n) !=
		    0 ||
	    store_exec(ctx->store, NULL, &e, "DELETE FROM due WHERE id = ?", "i", id) !=
		    0)
		return api_fail_internal(err, &e);
	fire_count++;
	if (fire_takes_ms > 0)
		(void)poll(NULL, 0, fire_takes_ms); /* nothing can come */
	if (n < 0)
		return api_fail(err, "Broken", "this timer always fails");
	ctx->wake_builtin = true;
	*ret_fired = true;
	return 0;
}

static int64_t test_next_due(struct op_ctx *ctx)
{
	struct mh_err e = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;

	store_query(ctx->store, &q, "SELECT min(at) FROM due", "");
	if (stmt_next(&q, &e) != 1 || stmt_is_null(&q, 0))
		return -1;
	return stmt_i64(&q, 0);
}

static void test_wake(void *arg)
{
	int *wakes = arg;

	__atomic_add_fetch(wakes, 1, __ATOMIC_SEQ_CST);
}

static void test_wake_workers(void *arg, uint64_t types)
{
	__atomic_or_fetch((uint64_t *)arg, types, __ATOMIC_SEQ_CST);
}

static int setup(void **state)
{
	struct fixture *f = mh_alloc(sizeof(*f));
	struct mh_err err = MH_ERR_INIT;
	struct writer_options o = { .ids = &ids_random,
				    .fire_due = test_fire,
				    .next_due = test_next_due,
				    .wake_builtin = test_wake,
				    .wake_arg = &f->wakes,
				    .wake_workers = test_wake_workers,
				    .workers_arg = &f->work };

	assert_ok(store_open(":memory:", &f->store, &err), &err);
	assert_ok(store_exec(f->store, NULL, &err,
			     "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER UNIQUE)",
			     ""),
		  &err);
	assert_ok(store_exec(f->store, NULL, &err,
			     "CREATE TABLE due (id INTEGER PRIMARY KEY, at INTEGER, n "
			     "INTEGER)",
			     ""),
		  &err);
	o.store = f->store;
	assert_ok(writer_start(&o, &f->writer, &err), &err);
	*state = f;
	return 0;
}

static int64_t fake_now;
static int64_t fake_wall(void)
{
	return __atomic_load_n(&fake_now, __ATOMIC_SEQ_CST);
}

/* Before the thread starts, and given back after it ended. */
static int setup_with_fake_clock(void **state)
{
	__atomic_store_n(&fake_now, 5000, __ATOMIC_SEQ_CST);
	clock_set_for_test(fake_wall, NULL);
	return setup(state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	writer_stop(f->writer);
	store_close(f->store);
	clock_set_for_test(NULL, NULL);
	free(f);
	return 0;
}

/* ---- functions for the writer ---- */

/* Inserts *arg; odd numbers fail after they were inserted. */
static int insert_even(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const int64_t *n = arg;
	struct mh_err e = MH_ERR_INIT;

	if (store_exec(ctx->store, NULL, &e, "INSERT INTO t (n) VALUES (?)", "i", *n) !=
	    0)
		return api_fail_internal(err, &e);
	if (*n % 2 != 0)
		return api_fail(err, "OddException", "%lld is odd", (long long)*n);
	return 0;
}

static int read_sum(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	int64_t *ret = arg;
	struct mh_err e = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;

	store_query(ctx->store, &q, "SELECT coalesce(sum(n), 0) FROM t", "");
	if (stmt_next(&q, &e) != 1)
		return api_fail_internal(err, &e);
	*ret = stmt_i64(&q, 0);
	return 0;
}

struct timer {
	int64_t in_ms, n;
};

static int add_timer(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct timer *t = arg;
	struct mh_err e = MH_ERR_INIT;

	if (store_exec(ctx->store, NULL, &e, "INSERT INTO due (at, n) VALUES (?, ?)",
		       "ii", ctx->now_ms + t->in_ms, t->n) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* A deferred foreign key that does not hold is found by COMMIT alone. */
static int break_commit(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)arg; /* nothing to give */
	if (store_exec(ctx->store, NULL, &e,
		       "CREATE TABLE child (p INTEGER REFERENCES t (id) "
		       "DEFERRABLE INITIALLY DEFERRED)",
		       "") != 0 ||
	    store_exec(ctx->store, NULL, &e, "INSERT INTO child VALUES (12345)", "") != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* What SQLite does by itself when the disk is full. */
static int lose_transaction(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	(void)arg; /* nothing to give */
	(void)err; /* the call itself claims to be well */
	store_rollback(ctx->store);
	return 0;
}

static int64_t sum(struct fixture *f)
{
	struct api_error err = { 0 };
	int64_t n = -1;

	assert_int_equal(writer_call(f->writer, read_sum, &n, NULL, &err), 0);
	return n;
}

/* ---- tests ---- */

struct client {
	struct writer *writer;
	int64_t first;
	int wrong; /* answers that were not the expected ones */
};

static void *client_main(void *arg)
{
	struct client *c = arg;

	for (int64_t n = c->first; n < c->first + CALLS; n++) {
		struct api_error err = { 0 };
		int rc = writer_call(c->writer, insert_even, &n, "arn", &err);

		c->wrong += rc != (n % 2 != 0 ? -1 : 0);
		c->wrong += rc != 0 && strcmp(err.code, "OddException") != 0;
	}
	return NULL;
}

static void many_threads_each_get_their_own_answer(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	struct client clients[THREADS];
	int64_t expected = 0;

	for (int i = 0; i < THREADS; i++) {
		clients[i] = (struct client){ .writer = f->writer, .first = i * CALLS };
		assert_int_equal(
			pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(clients[i].wrong, 0);
	}
	for (int64_t n = 0; n < THREADS * CALLS; n += 2)
		expected += n;
	assert_int_equal(sum(f), expected);
}

static void failed_commit_is_told_to_its_callers(void **state)
{
	struct fixture *f = *state;
	struct api_error err = { 0 };
	int64_t two = 2;

	assert_int_equal(writer_call(f->writer, break_commit, NULL, NULL, &err), -1);
	assert_int_equal(err.status, 500);
	assert_string_equal(err.code, "InternalFailure");
	assert_contains(err.message, "FOREIGN KEY");
	/* Nothing of it was kept, and the next one goes well. */
	assert_int_equal(writer_call(f->writer, insert_even, &two, NULL, &err), 0);
	assert_int_equal(sum(f), 2);
}

struct new_job {
	const char *type;
	bool fails, breaks_commit;
};

static int make_job(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct new_job *j = arg;

	ctx->new_work |= op_work_bit(j->type);
	if (j->breaks_commit)
		return break_commit(ctx, NULL, err);
	return j->fails ? api_fail(err, "Broken", "after all not") : 0;
}

static void work_is_told_of_after_a_commit_that_went_well_alone(void **state)
{
	struct fixture *f = *state;
	struct api_error err = { 0 };
	struct new_job jobs[] = {
		{ .type = "Build/Custom/A/1", .fails = true },
		{ .type = "Build/Custom/B/1", .breaks_commit = true },
		{ .type = "Build/Custom/C/1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		bool good = !jobs[i].fails && !jobs[i].breaks_commit;

		assert_int_equal(writer_call(f->writer, make_job, &jobs[i], NULL, &err),
				 good ? 0 : -1);
	}
	/* Told before the call was answered; A's and B's bits are others. */
	assert_true(__atomic_load_n(&f->work, __ATOMIC_SEQ_CST) ==
		    op_work_bit("Build/Custom/C/1"));
	assert_true(op_work_bit("Build/Custom/A/1") != op_work_bit("Build/Custom/C/1"));
	assert_true(op_work_bit("Build/Custom/B/1") != op_work_bit("Build/Custom/C/1"));
}

static void lost_transaction_fails_the_call_that_claims_success(void **state)
{
	struct fixture *f = *state;
	struct api_error err = { 0 };
	int64_t two = 2;

	assert_int_equal(writer_call(f->writer, lose_transaction, NULL, NULL, &err), -1);
	assert_int_equal(err.status, 500);
	assert_int_equal(writer_call(f->writer, insert_even, &two, NULL, &err), 0);
	assert_int_equal(sum(f), 2);
}

/* Holds the writer, so that what is called meanwhile is one batch. */
static int hold(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	(void)ctx; /* nothing to do but wait */
	(void)err;
	return sem_wait(arg);
}

struct one_call {
	struct fixture *f;
	writer_fn fn;
	void *arg;
	int result;
	pthread_t thread;
};

static void *one_call_main(void *arg)
{
	struct one_call *c = arg;
	struct api_error err = { 0 };

	c->result = writer_call(c->f->writer, c->fn, c->arg, NULL, &err);
	return NULL;
}

static void lost_transaction_keeps_nothing_of_the_calls_behind_it(void **state)
{
	struct fixture *f = *state;
	sem_t gate;
	int64_t two = 2;
	struct one_call calls[] = { { .f = f, .fn = hold, .arg = &gate },
				    { .f = f, .fn = lose_transaction },
				    { .f = f, .fn = insert_even, .arg = &two } };

	assert_int_equal(sem_init(&gate, 0, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_int_equal(
			pthread_create(&calls[i].thread, NULL, one_call_main, &calls[i]),
			0);
		/* Time to get into the queue; too little makes the test weaker, not
		 * wrong. */
		assert_int_equal(poll(NULL, 0, 30), 0);
	}
	assert_int_equal(sem_post(&gate), 0);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		assert_int_equal(pthread_join(calls[i].thread, NULL), 0);
	assert_int_equal(calls[0].result, 0);
	assert_int_equal(calls[1].result, -1);
	/* What it was answered is what is there. */
	assert_int_equal(sum(f), calls[2].result == 0 ? 2 : 0);
	assert_int_equal(sem_destroy(&gate), 0);
}

static void wait_for_sum(struct fixture *f, int64_t expected)
{
	int64_t deadline = clock_mono_ms() + 10000;

	while (sum(f) != expected)
		assert_true(clock_mono_ms() < deadline);
}

static void wait_for_wakes(struct fixture *f, int expected)
{
	int64_t deadline = clock_mono_ms() + 10000;

	while (__atomic_load_n(&f->wakes, __ATOMIC_SEQ_CST) < expected) {
		assert_true(clock_mono_ms() < deadline);
		(void)sched_yield(); /* always 0 */
	}
}

static void due_timer_fires_by_itself(void **state)
{
	struct fixture *f = *state;
	struct timer later = { .in_ms = 60, .n = 4 }, now = { .in_ms = 0, .n = 8 };
	struct api_error err = { 0 };

	assert_int_equal(writer_call(f->writer, add_timer, &later, NULL, &err), 0);
	assert_int_equal(sum(f), 0);
	/* No call comes: the writer's own clock wakes it, and it wakes the workers. */
	wait_for_wakes(f, 1);
	assert_int_equal(sum(f), 4);
	/* Due within the call's own batch: done before the call is answered. */
	fire_takes_ms = 50;
	assert_int_equal(writer_call(f->writer, add_timer, &now, NULL, &err), 0);
	fire_takes_ms = 0;
	assert_int_equal(__atomic_load_n(&f->wakes, __ATOMIC_SEQ_CST), 2);
	assert_int_equal(sum(f), 12);
}

static int64_t cpu_us(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000LL +
	       u->ru_utime.tv_usec + u->ru_stime.tv_usec;
}

static void failing_timer_rests_and_is_tried_again(void **state)
{
	struct fixture *f = *state;
	struct timer bad = { .in_ms = 0, .n = -2 };
	struct api_error err = { 0 };
	struct rusage before, after;
	int64_t two = 2, until;

	log_set_level((enum log_level)0); /* the error line is expected */
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	assert_int_equal(writer_call(f->writer, add_timer, &bad, NULL, &err), 0);
	fire_count = 0;
	/* Calls go on and do not try it again; nothing of the timer is kept. */
	assert_int_equal(writer_call(f->writer, insert_even, &two, NULL, &err), 0);
	assert_int_equal(sum(f), 2);
	assert_true(fire_count <= 1); /* one, when a second went by */
	until = clock_mono_ms() + 300;
	while (clock_mono_ms() < until)
		assert_int_equal(poll(NULL, 0, 300), 0);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	/* A spinning writer would have used all of the 300 ms. */
	assert_true(cpu_us(&after) - cpu_us(&before) < 100000);
	log_set_level(LOG_LEVEL_INFO);
}

static void injected_clock_behind_the_systems_does_not_spin(void **state)
{
	struct fixture *f = *state;
	struct timer t = { .in_ms = 1000, .n = 4 };
	struct api_error err = { 0 };
	struct rusage before, after;

	assert_int_equal(writer_call(f->writer, add_timer, &t, NULL, &err), 0);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	assert_int_equal(poll(NULL, 0, 200), 0);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	assert_true(cpu_us(&after) - cpu_us(&before) < 100000);
	assert_int_equal(sum(f), 0);
	__atomic_store_n(&fake_now, 6000, __ATOMIC_SEQ_CST);
	wait_for_sum(f, 4);
}

static void stopping_keeps_what_was_answered(void **state)
{
	struct fixture *f = *state;
	struct api_error err = { 0 };
	struct mh_err e = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;
	int64_t two = 2;

	assert_int_equal(writer_call(f->writer, insert_even, &two, NULL, &err), 0);
	writer_stop(f->writer);
	f->writer = NULL;
	store_query(f->store, &q, "SELECT n FROM t", "");
	assert_int_equal(stmt_next(&q, &e), 1);
	assert_int_equal(stmt_i64(&q, 0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_threads_each_get_their_own_answer,
						setup, teardown),
		cmocka_unit_test_setup_teardown(failed_commit_is_told_to_its_callers,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			work_is_told_of_after_a_commit_that_went_well_alone, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			lost_transaction_fails_the_call_that_claims_success, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			lost_transaction_keeps_nothing_of_the_calls_behind_it, setup,
			teardown),
		cmocka_unit_test_setup_teardown(due_timer_fires_by_itself, setup,
						teardown),
		cmocka_unit_test_setup_teardown(failing_timer_rests_and_is_tried_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			injected_clock_behind_the_systems_does_not_spin,
			setup_with_fake_clock, teardown),
		cmocka_unit_test_setup_teardown(stopping_keeps_what_was_answered, setup,
						teardown),
	};

	log_init("test_writer", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
