#include "lib/net/loop.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

/* The longest curl_multi_poll() when nothing is due: any finite time will do. */
#define LOOP_WAIT_MAX_MS (60 * 60 * 1000)

TAILQ_HEAD(failed_list, loop_transfer);
TAILQ_HEAD(watch_list, loop_watch);

struct loop {
	uv_loop_t uv;
	uv_async_t wake; /* always active: uv_backend_timeout() is right only then */
	CURLM *multi;
	struct failed_list failed; /* in order of turn */
	struct watch_list watches; /* those that wait */
	struct watch_list due; /* and those whose event is there */
	size_t watch_count; /* of both */
	struct pollfd *fds; /* uv's, and those that are watched; owned */
	struct curl_waitfd *curl_fds; /* the same as curl wants them, owned */
	size_t fds_room;
	size_t running; /* transfers that curl works on */
	uint64_t turn;
	bool stopped;
	bool started; /* a transfer since curl was last asked to go on */
	bool uv_ready; /* the last wait ended because of uv's descriptor */
	void (*after)(void *ctx);
	void *after_ctx;
};

static void must(CURLMcode code)
{
	if (code != CURLM_OK)
		MH_BUG(curl_multi_strerror(code)); /* no memory, or misuse */
}

static void on_wake(uv_async_t *async)
{
	(void)async; /* the wake-up was all that was wanted */
}

static int uv_failed(struct mh_err *err, const char *what, int code)
{
	return mh_err_set(err, MH_E_SYS, "%s: %s", what, uv_strerror(code));
}

static int start_uv(struct loop *loop, struct mh_err *err)
{
	int code = uv_loop_init(&loop->uv);

	if (code != 0)
		return uv_failed(err, "event loop", code);
	code = uv_async_init(&loop->uv, &loop->wake, on_wake);
	if (code != 0) {
		(void)uv_loop_close(&loop->uv); /* holds no handles */
		return uv_failed(err, "event loop wake-up", code);
	}
	return 0;
}

int loop_new(struct loop **ret, struct mh_err *err)
{
	CLEAN(free) struct loop *loop = mh_alloc(sizeof *loop);

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return mh_err_set(err, MH_E_SYS, "libcurl cannot be started");
	if (start_uv(loop, err) != 0) {
		curl_global_cleanup();
		return -1;
	}
	loop->multi = curl_multi_init();
	MH_ASSERT(loop->multi); /* no memory */
	TAILQ_INIT(&loop->failed);
	TAILQ_INIT(&loop->watches);
	TAILQ_INIT(&loop->due);
	loop->turn = 1; /* 0 means no turn in failed_turn */
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
	*ret = STEAL_PTR(loop);
	return 0;
}

static void close_left_over(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	(void)curl_multi_cleanup(loop->multi); /* closes the pool; nothing to be done */
	uv_walk(&loop->uv, close_left_over, NULL);
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* nothing but close callbacks is left */
	if (uv_loop_close(&loop->uv) != 0)
		MH_BUG("a handle is left in the loop");
	curl_global_cleanup();
	free(loop->fds);
	free(loop->curl_fds);
	free(loop);
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

CURLM *loop_curl(struct loop *loop)
{
	return loop->multi;
}

void loop_set_after(struct loop *loop, void (*after)(void *ctx), void *ctx)
{
	loop->after = after;
	loop->after_ctx = ctx;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void loop_wake(struct loop *loop)
{
	(void)uv_async_send(&loop->wake); /* fails only for a closed handle */
}

static void run_failed(struct loop *loop)
{
	struct loop_transfer *t;

	/* Those that fail from now on wait for the next turn. */
	while ((t = TAILQ_FIRST(&loop->failed)) && t->failed_turn < loop->turn) {
		TAILQ_REMOVE(&loop->failed, t, failed);
		t->failed_turn = 0;
		t->done(t, t->code);
	}
}

static void forget(struct loop *loop, struct loop_transfer *t)
{
	must(curl_multi_remove_handle(loop->multi, t->easy));
	t->known = false;
}

static void run_transfers(struct loop *loop)
{
	CURLMsg *message;
	int running, left;

	loop->started = false;
	if (loop->running == 0)
		return; /* curl has nothing to do */
	must(curl_multi_perform(loop->multi, &running));
	/* One at a time: a callback may start or stop any other transfer. */
	while ((message = curl_multi_info_read(loop->multi, &left))) {
		CURLcode code = message->data.result;
		CURL *easy = message->easy_handle;
		struct loop_transfer *t = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t); /* cannot fail */
		MH_ASSERT(t && t->easy == easy);
		if (!t->stays)
			forget(loop, t);
		t->running = false;
		loop->running--;
		t->done(t, code);
	}
}

/*
 * libuv hands new interest in descriptors to epoll only when uv_run() is about to
 * poll: what callbacks asked for since then is unknown to the backend descriptor,
 * and waiting on that would sleep through it. From 1.44 on uv_backend_timeout()
 * answers 0 then. Before, no function tells; but the queue is part of the public
 * struct, and an empty list head points to itself.
 */
static bool uv_has_unwatched(const uv_loop_t *uv)
{
#if UV_VERSION_HEX < 0x012c00
	const void *first;

	memcpy(&first, &uv->watcher_queue, sizeof first);
	return first != (const void *)&uv->watcher_queue;
#else
	(void)uv;
	return false;
#endif
}

/* How long uv can wait: 0 when there is something to run, -1 for ever. */
static int uv_wait_ms(struct loop *loop)
{
	if (uv_has_unwatched(&loop->uv))
		return 0;
	uv_update_time(&loop->uv); /* callbacks may have taken long */
	return uv_backend_timeout(&loop->uv);
}

static int wait_ms(struct loop *loop)
{
	int timeout;

	if (loop->stopped || !TAILQ_EMPTY(&loop->failed))
		return 0;
	timeout = uv_wait_ms(loop);
	return timeout < 0 || timeout > LOOP_WAIT_MAX_MS ? LOOP_WAIT_MAX_MS : timeout;
}

/* Asking uv costs a system call, and most turns are about transfers alone. */
static void run_uv(struct loop *loop)
{
	if (!loop->uv_ready && uv_wait_ms(loop) != 0)
		return;
	loop->uv_ready = false;
	(void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* whether handles are left: known */
}

static void run_watches(struct loop *loop)
{
	struct loop_watch *w;

	/* A watch that is started again meanwhile waits in the other list. */
	while ((w = TAILQ_FIRST(&loop->due))) {
		TAILQ_REMOVE(&loop->due, w, link);
		TAILQ_INSERT_TAIL(&loop->watches, w, link);
		w->due = false;
		w->ready(w);
	}
}

static void turn(struct loop *loop)
{
	loop->turn++;
	run_transfers(loop);
	run_watches(loop);
	run_failed(loop);
	run_uv(loop);
	if (loop->after)
		loop->after(loop->after_ctx);
}

static unsigned fill_fds(struct loop *loop)
{
	const struct loop_watch *w;
	unsigned count = 1;

	if (loop->watch_count + 1 > loop->fds_room) {
		loop->fds_room = 2 * (loop->watch_count + 1);
		loop->fds = mh_realloc(loop->fds, loop->fds_room * sizeof *loop->fds);
		loop->curl_fds = mh_realloc(loop->curl_fds,
					    loop->fds_room * sizeof *loop->curl_fds);
	}
	loop->fds[0] = (struct pollfd){ .fd = uv_backend_fd(&loop->uv),
					.events = POLLIN };
	TAILQ_FOREACH(w, &loop->watches, link)
	loop->fds[count++] = (struct pollfd){ .fd = w->fd, .events = w->events };
	return count;
}

/* Curl has descriptors and timers of its own, and shortens the timeout to those. */
static void wait_with_curl(struct loop *loop, unsigned count, int timeout)
{
	for (unsigned i = 0; i < count; i++)
		loop->curl_fds[i] = (struct curl_waitfd){
			.fd = loop->fds[i].fd,
			.events = (short)((loop->fds[i].events & POLLIN ? CURL_WAIT_POLLIN
									: 0) |
					  (loop->fds[i].events & POLLOUT
						   ? CURL_WAIT_POLLOUT
						   : 0)),
		};
	must(curl_multi_poll(loop->multi, loop->curl_fds, count, timeout, NULL));
	for (unsigned i = 0; i < count; i++)
		loop->fds[i].revents = loop->curl_fds[i].revents;
}

static void note_events(struct loop *loop)
{
	struct loop_watch *w = TAILQ_FIRST(&loop->watches), *next;

	loop->uv_ready = loop->fds[0].revents != 0;
	for (size_t i = 1; w; i++, w = next) {
		next = TAILQ_NEXT(w, link);
		if (loop->fds[i].revents == 0)
			continue;
		TAILQ_REMOVE(&loop->watches, w, link);
		TAILQ_INSERT_TAIL(&loop->due, w, link);
		w->due = true;
	}
}

/* The only place of the program that blocks. */
static void wait_for_something(struct loop *loop)
{
	unsigned count = fill_fds(loop);
	int timeout = wait_ms(loop);

	if (loop->running > 0)
		wait_with_curl(loop, count, timeout);
	else if (poll(loop->fds, count, timeout) < 0)
		return; /* a signal: uv's turn comes, as it has a descriptor for it */
	note_events(loop);
}

void loop_run(struct loop *loop)
{
	do {
		turn(loop);
		/* A new transfer can send at once. Its turn does not wait for others,
		 * so that whatever starts one in each turn cannot shut uv out. */
		if (loop->started && !loop->stopped)
			turn(loop);
		wait_for_something(loop);
	} while (!loop->stopped);
	loop->stopped = false;
}

void loop_transfer_start(struct loop *loop, struct loop_transfer *t)
{
	if (curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t) != CURLE_OK)
		MH_BUG("CURLOPT_PRIVATE");
	must(curl_multi_add_handle(loop->multi, t->easy));
	loop->started = true;
	loop->running++;
	t->running = t->known = true;
}

static void take_out(struct loop *loop, struct loop_transfer *t)
{
	if (t->known)
		forget(loop, t);
	if (t->running)
		loop->running--;
	if (t->failed_turn)
		TAILQ_REMOVE(&loop->failed, t, failed);
	t->running = false;
	t->failed_turn = 0;
}

void loop_transfer_fail(struct loop *loop, struct loop_transfer *t, CURLcode code)
{
	take_out(loop, t);
	t->code = code;
	t->failed_turn = loop->turn;
	TAILQ_INSERT_TAIL(&loop->failed, t, failed);
}

void loop_transfer_stop(struct loop *loop, struct loop_transfer *t)
{
	take_out(loop, t);
}

void loop_watch_start(struct loop *loop, struct loop_watch *w)
{
	MH_ASSERT(!w->on);
	TAILQ_INSERT_TAIL(&loop->watches, w, link);
	w->on = true;
	w->due = false;
	loop->watch_count++;
}

void loop_watch_stop(struct loop *loop, struct loop_watch *w)
{
	if (!w->on)
		return;
	if (w->due)
		TAILQ_REMOVE(&loop->due, w, link);
	else
		TAILQ_REMOVE(&loop->watches, w, link);
	w->on = w->due = false;
	loop->watch_count--;
}
