/* lib/net/loop: libuv nested in libcurl's wait. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/loop.h"

struct fixture {
	struct loop *loop;
	uv_timer_t guard; /* no test may hang */
	bool guard_fired;
	int turns;
};

static void on_guard(uv_timer_t *timer)
{
	struct fixture *f = timer->data;

	f->guard_fired = true;
	loop_stop(f->loop);
}

static void on_after(void *ctx)
{
	((struct fixture *)ctx)->turns++;
}

static int set_up(void **state)
{
	struct fixture *f = mh_alloc(sizeof *f);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(loop_new(&f->loop, &err), &err);
	uv_timer_init(loop_uv(f->loop), &f->guard);
	f->guard.data = f;
	uv_timer_start(&f->guard, on_guard, 5000, 0);
	loop_set_after(f->loop, on_after, f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	free(f);
	return 0;
}

/* libuv opens its signal pipe with the first loop, and keeps it. */
static int first_loop(void **state)
{
	int rc = set_up(state);

	return rc == 0 ? tear_down(state) : rc;
}

/* So that closed handles are let go of. */
static void one_turn(struct fixture *f)
{
	loop_stop(f->loop);
	loop_run(f->loop);
}

static void stop_on_timer(uv_timer_t *timer)
{
	loop_stop(timer->data);
}

static void timers_fire_without_busy_turns(void **state)
{
	struct fixture *f = *state;
	uv_timer_t timer;
	int64_t start = clock_mono_ms();

	uv_update_time(loop_uv(f->loop)); /* from here on it counts */
	uv_timer_init(loop_uv(f->loop), &timer);
	timer.data = f->loop;
	uv_timer_start(&timer, stop_on_timer, 100, 0);
	loop_run(f->loop);
	assert_false(f->guard_fired);
	assert_in_range(clock_mono_ms() - start, 90, 4000);
	assert_in_range(f->turns, 2, 10);
	uv_close((uv_handle_t *)&timer, NULL);
	one_turn(f);
}

struct late_watch {
	struct fixture *f;
	int fds[2];
	uv_poll_t poll;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct late_watch *w = poll->data;

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	loop_stop(w->f->loop);
}

static void start_watch(struct late_watch *w)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->fds), 0);
	uv_poll_init(loop_uv(w->f->loop), &w->poll, w->fds[0]);
	w->poll.data = w;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
	assert_int_equal(write(w->fds[1], "x", 1), 1);
}

static void watch_from_callback(uv_timer_t *timer)
{
	start_watch(timer->data);
}

static void watch_from_hook(void *ctx)
{
	struct late_watch *w = ctx;

	if (w->f->turns++ == 0)
		start_watch(w);
}

static void finish_watch(struct late_watch *w)
{
	uv_close((uv_handle_t *)&w->poll, NULL);
	one_turn(w->f);
	close(w->fds[0]);
	close(w->fds[1]);
}

/* libuv tells epoll of new descriptors only at its next poll: the loop must not
 * sleep before that. */
static void descriptor_watched_from_a_callback_wakes_the_loop(void **state)
{
	struct fixture *f = *state;
	struct late_watch w = { .f = f };
	uv_timer_t timer;

	uv_timer_init(loop_uv(f->loop), &timer);
	timer.data = &w;
	uv_timer_start(&timer, watch_from_callback, 10, 0);
	loop_run(f->loop);
	assert_false(f->guard_fired);
	uv_close((uv_handle_t *)&timer, NULL);
	finish_watch(&w);
}

static void descriptor_watched_from_the_hook_wakes_the_loop(void **state)
{
	struct fixture *f = *state;
	struct late_watch w = { .f = f };

	loop_set_after(f->loop, watch_from_hook, &w);
	loop_run(f->loop);
	assert_false(f->guard_fired);
	finish_watch(&w);
}

struct waker {
	struct fixture *f;
	sem_t turned;
	atomic_bool woke;
};

static void *wake_after_a_turn(void *ctx)
{
	struct waker *w = ctx;

	(void)sem_wait(&w->turned); /* a signal would only make it earlier */
	w->woke = true;
	loop_wake(w->f->loop);
	return NULL;
}

static void stop_when_woken(void *ctx)
{
	struct waker *w = ctx;

	(void)sem_post(&w->turned);
	if (w->woke)
		loop_stop(w->f->loop);
}

static void wake_from_another_thread_makes_a_turn(void **state)
{
	struct fixture *f = *state;
	struct waker w = { .f = f };
	pthread_t thread;

	assert_int_equal(sem_init(&w.turned, 0, 0), 0);
	loop_set_after(f->loop, stop_when_woken, &w);
	assert_int_equal(pthread_create(&thread, NULL, wake_after_a_turn, &w), 0);
	loop_run(f->loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(w.woke);
	assert_false(f->guard_fired);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct fixture *f = handle->data;

	assert_int_equal(number, SIGUSR1);
	loop_stop(f->loop);
}

static void raise_from_timer(uv_timer_t *timer)
{
	(void)timer;
	assert_int_equal(raise(SIGUSR1), 0);
}

static void signals_arrive_through_libuv(void **state)
{
	struct fixture *f = *state;
	uv_signal_t handle;
	uv_timer_t timer;

	uv_signal_init(loop_uv(f->loop), &handle);
	handle.data = f;
	uv_signal_start(&handle, on_signal, SIGUSR1);
	uv_timer_init(loop_uv(f->loop), &timer);
	uv_timer_start(&timer, raise_from_timer, 20, 0);
	loop_run(f->loop);
	assert_false(f->guard_fired);
	uv_close((uv_handle_t *)&handle, NULL);
	uv_close((uv_handle_t *)&timer, NULL);
	one_turn(f);
}

static void hook_runs_in_the_last_turn_too(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop); /* before the run: one turn */
	loop_run(f->loop);
	assert_int_equal(f->turns, 1);
	loop_stop(f->loop);
	loop_run(f->loop);
	assert_int_equal(f->turns, 2);
}

static void sigpipe_does_not_kill(void **state)
{
	struct sigaction action;

	(void)state;
	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(timers_fire_without_busy_turns),
		LOOP_TEST(descriptor_watched_from_a_callback_wakes_the_loop),
		LOOP_TEST(descriptor_watched_from_the_hook_wakes_the_loop),
		LOOP_TEST(wake_from_another_thread_makes_a_turn),
		LOOP_TEST(signals_arrive_through_libuv),
		LOOP_TEST(hook_runs_in_the_last_turn_too),
		LOOP_TEST(sigpipe_does_not_kill),
	};

	return cmocka_run_group_tests(tests, first_loop, NULL);
}
