/*
 * The one writer: a queue, a thread, one transaction per batch. Mutexes and
 * conditions are plain ones with default attributes: none of their calls can fail.
 */
#include "emulator/writer.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "emulator/store/store.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

#define TIMERS_PER_BATCH                                                                 \
	256 /* so that calls are not kept waiting by a flood of timers                   \
	     */
#define TIMER_BACKOFF_MS                                                                 \
	1000 /* after a timer that fails, doubled up to the next line                    \
	      */
#define TIMER_BACKOFF_MAX 60000

struct call { /* on the caller's stack while it waits */
	writer_fn fn;
	void *arg;
	const char *caller_arn;
	struct api_error *err;
	int result;
	bool alone; /* no transaction, and no other call beside it */
	sem_t finished; /* a semaphore: whoever wakes needs no lock that others want too
			 */
	struct call *next;
};

struct writer {
	struct writer_options o;
	pthread_t thread;
	pthread_mutex_t lock; /* of the queue and `stopping` */
	pthread_cond_t work;
	struct call *first, **last;
	bool stopping;
	/* The thread's own: */
	int64_t timer_retry_ms; /* wall; timers rest until then after one failed */
	int64_t timer_backoff_ms;
	int early_wakes; /* in a row: the clock stood before the time slept for */
};

static struct op_ctx make_ctx(struct writer *w, const char *caller_arn)
{
	return (struct op_ctx){
		.store = w->o.store,
		.now_ms = vclock_now_ms(w->o.clock),
		.ids = w->o.ids,
		.settings = w->o.settings,
		.creds_key = w->o.creds_key,
		.caller_arn = caller_arn ? caller_arn : "",
		.clock = w->o.clock,
		.knobs = w->o.knobs,
	};
}

/* ---- one batch ---- */

/* What is to be done once the batch is committed. */
struct news {
	bool builtin;
	uint64_t workers;
	bool changed;
};

static void note(struct news *news, const struct op_ctx *ctx)
{
	news->builtin |= ctx->wake_builtin;
	news->workers |= ctx->new_work;
	news->changed |= ctx->changed;
}

/* An error that made SQLite give up the whole transaction leaves the rest of the batch
 * without one: each statement would then commit by itself. Nothing more is run. */
static int begin_savepoint(struct writer *w, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (!store_in_transaction(w->o.store)) {
		(void)mh_err_set(&e, MH_E_SYS, "the database gave up the transaction");
		return api_fail_internal(err, &e);
	}
	return store_savepoint(w->o.store, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

/* Keeps the savepoint's work when it went well, else none of it. */
static int end_savepoint(struct writer *w, int rc, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (rc != 0) {
		store_rollback_to(w->o.store);
		return -1;
	}
	if (store_release(w->o.store, &e) != 0) {
		store_rollback_to(w->o.store);
		return api_fail_internal(err, &e);
	}
	return 0;
}

static int run_call(struct writer *w, struct call *c, struct news *news)
{
	struct op_ctx ctx = make_ctx(w, c->caller_arn);
	int64_t clock_at = vclock_virtual_ms(w->o.clock);
	int rc;

	if (begin_savepoint(w, c->err) != 0)
		return -1;
	rc = end_savepoint(w, c->fn(&ctx, c->arg, c->err), c->err);
	if (rc == 0)
		note(news, &ctx);
	else
		vclock_restore(w->o.clock, clock_at);
	return rc;
}

/* A timer row that cannot be fired would be due for ever: it is told once, and timers
 * rest a while, so that the process neither spins nor forgets it. */
static void timers_rest(struct writer *w, const struct api_error *err)
{
	w->timer_backoff_ms = w->timer_backoff_ms ? w->timer_backoff_ms * 2
						  : TIMER_BACKOFF_MS;
	if (w->timer_backoff_ms > TIMER_BACKOFF_MAX)
		w->timer_backoff_ms = TIMER_BACKOFF_MAX;
	w->timer_retry_ms = clock_wall_ms() + w->timer_backoff_ms;
	log_event(LOG_LEVEL_ERROR, "timer.failed", "a due timer could not be fired",
		  LOG_S("error", err->message), LOG_I("retry_in_ms", w->timer_backoff_ms),
		  LOG_END);
}

/* One timer row, in a savepoint of its own; whether there was one. */
static bool fire_one(struct writer *w, struct news *news)
{
	struct op_ctx ctx = make_ctx(w, NULL);
	struct api_error err = { 0 };
	bool fired = false;
	int rc = begin_savepoint(w, &err);

	if (rc == 0)
		rc = end_savepoint(w, w->o.fire_due(&ctx, &fired, &err), &err);
	if (rc != 0) {
		timers_rest(w, &err);
		return false;
	}
	note(news, &ctx);
	if (fired) {
		w->timer_backoff_ms = 0;
		FAULT_POINT("writer.timer_fired");
	}
	return fired;
}

static void fire_timers(struct writer *w, struct news *news)
{
	if (!w->o.fire_due || clock_wall_ms() < w->timer_retry_ms ||
	    !store_in_transaction(w->o.store))
		return;
	for (int n = 0; n < TIMERS_PER_BATCH && fire_one(w, news); n++)
		;
}

static int run_all(struct writer *w, struct call *batch, struct news *news,
		   struct mh_err *err)
{
	if (store_begin(w->o.store, err) != 0)
		return -1;
	/* What was due before a call came is done before it (an expired acknowledgement
	 * before the poll that asks for its job), and what the calls made due, after. */
	fire_timers(w, news);
	for (struct call *c = batch; c; c = c->next)
		c->result = run_call(w, c, news);
	fire_timers(w, news);
	if (!store_in_transaction(w->o.store))
		return mh_err_set(err, MH_E_SYS, "the database gave up the transaction");
	FAULT_POINT("writer.before_commit");
	if (store_commit(w->o.store, err) != 0)
		return -1;
	FAULT_POINT("writer.after_commit");
	return 0;
}

static void spread(struct writer *w, const struct news *news)
{
	if (news->builtin && w->o.wake_builtin)
		w->o.wake_builtin(w->o.wake_arg);
	if (news->workers && w->o.wake_workers)
		w->o.wake_workers(w->o.workers_arg, news->workers);
	if (news->changed)
		bell_ring(w->o.bell);
}

static void run_alone(struct writer *w, struct call *c)
{
	struct op_ctx ctx = make_ctx(w, c->caller_arn);
	struct news news = { 0 };

	c->result = c->fn(&ctx, c->arg, c->err);
	note(&news, &ctx);
	spread(w, &news);
}

static void run_batch(struct writer *w, struct call *batch)
{
	int64_t clock_at = vclock_virtual_ms(w->o.clock);
	struct mh_err err = MH_ERR_INIT;
	struct news news = { 0 };

	if (run_all(w, batch, &news, &err) != 0) {
		store_rollback(w->o.store);
		vclock_restore(w->o.clock, clock_at);
		log_event(LOG_LEVEL_ERROR, "store.commit_failed",
			  "nothing of this batch was kept, its callers are told so",
			  LOG_ERR(&err), LOG_END);
		for (struct call *c = batch; c; c = c->next)
			c->result = api_fail_internal(c->err, &err);
		/* Timers alone would try again at once. */
		w->timer_retry_ms = clock_wall_ms() + TIMER_BACKOFF_MS;
		return;
	}
	spread(w, &news);
}

/* ---- the thread ---- */

/* By the wall clock; -1: none, or only once the virtual clock is moved. */
static int64_t next_due(struct writer *w)
{
	struct op_ctx ctx;
	int64_t due;

	if (!w->o.next_due)
		return -1;
	ctx = make_ctx(w, NULL);
	due = w->o.next_due(&ctx);
	if (due >= 0 && vclock_virtual_ms(w->o.clock) != VCLOCK_REAL)
		due = due <= ctx.now_ms ? 0 : -1;
	return due >= 0 && due < w->timer_retry_ms ? w->timer_retry_ms : due;
}

/*
 * Sleeps until a call comes, or the time is `due`. Called and left with the lock
 * held. The condition's clock is the wall clock, so that a machine that was
 * suspended, or whose clock was set, fires at the right time. A clock that is not
 * the system's (a test's) may stand before `due` when the kernel's is past it: then
 * only a call wakes the writer.
 */
static void wait_for_work(struct writer *w, int64_t due)
{
	struct timespec until = { .tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000 };

	while (!w->first && !w->stopping) {
		if (due < 0 || w->early_wakes > 2) {
			w->early_wakes = 0;
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		if (clock_wall_ms() >= due)
			break;
		/* 0 or ETIMEDOUT: the loop looks for itself. */
		if (pthread_cond_timedwait(&w->work, &w->lock, &until) != 0)
			w->early_wakes++;
	}
	if (due >= 0 && clock_wall_ms() >= due)
		w->early_wakes = 0;
}

/* All, or those before one that runs alone, or that one. */
static struct call *take_queue(struct writer *w)
{
	struct call *batch = w->first, *end = batch;

	if (!batch)
		return NULL;
	while (!end->alone && end->next && !end->next->alone)
		end = end->next;
	w->first = end->next;
	if (!w->first)
		w->last = &w->first;
	end->next = NULL;
	return batch;
}

static void answer(struct call *batch)
{
	while (batch) {
		struct call *next = batch->next; /* the caller goes at once */

		(void)sem_post(&batch->finished); /* fails only past 2^31 posts */
		batch = next;
	}
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (;;) {
		/* The store is asked outside the lock: it may read the disk. */
		int64_t due = next_due(w);
		struct call *batch;

		pthread_mutex_lock(&w->lock);
		wait_for_work(w, due);
		batch = take_queue(w);
		if (!batch && w->stopping) {
			pthread_mutex_unlock(&w->lock);
			return NULL;
		}
		pthread_mutex_unlock(&w->lock);
		if (batch && batch->alone)
			run_alone(w, batch);
		else
			run_batch(w, batch);
		answer(batch);
		FAULT_POINT("writer.answered");
	}
}

/* ---- from outside ---- */

int writer_start(const struct writer_options *options, struct writer **ret,
		 struct mh_err *err)
{
	struct writer *w = mh_alloc(sizeof(*w));
	int rc;

	w->o = *options;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	rc = pthread_create(&w->thread, NULL, writer_main, w);
	if (rc != 0) {
		free(w);
		errno = rc;
		return mh_err_sys(err, "cannot start the writer thread");
	}
	*ret = w;
	return 0;
}

void writer_stop(struct writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int64_t writer_now_ms(const struct writer *w)
{
	return vclock_now_ms(w->o.clock);
}

static int queue_and_wait(struct writer *w, struct call *call)
{
	bool stopping, idle;

	(void)sem_init(&call->finished, 0, 0); /* fails only for counts over 2^31 */
	pthread_mutex_lock(&w->lock);
	stopping = w->stopping;
	idle = !w->first;
	if (!stopping) {
		*w->last = call;
		/* It lives until it is done: the loop below waits for that.
		 */
		/* cppcheck-suppress autoVariables */
		w->last = &call->next;
	}
	pthread_mutex_unlock(&w->lock);
	if (stopping) {
		call->result = api_fail(call->err, "ServiceUnavailable",
					"The server is shutting down.");
		call->err->status = 503;
	} else {
		/* With calls before this one, the writer was told. */
		if (idle)
			pthread_cond_signal(&w->work);
		while (sem_wait(&call->finished) != 0)
			; /* a signal came */
	}
	(void)sem_destroy(&call->finished); /* nobody waits for it */
	return call->result;
}

int writer_call(struct writer *w, writer_fn fn, void *arg, const char *caller_arn,
		struct api_error *err)
{
	struct call c = { .fn = fn, .arg = arg, .caller_arn = caller_arn, .err = err };

	return queue_and_wait(w, &c);
}

int writer_call_alone(struct writer *w, writer_fn fn, void *arg, struct api_error *err)
{
	struct call c = { .fn = fn, .arg = arg, .err = err, .alone = true };

	return queue_and_wait(w, &c);
}
