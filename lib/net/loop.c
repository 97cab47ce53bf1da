#include "lib/net/loop.h"

#include <signal.h>
#include <string.h>

/* The longest curl_multi_poll() when nothing is due: any finite time will do. */
#define LOOP_WAIT_MAX_MS (60 * 60 * 1000)

TAILQ_HEAD(failed_list, loop_transfer);

struct loop {
	uv_loop_t uv;
	uv_async_t wake; /* always active: uv_backend_timeout() is right only then */
	CURLM *multi;
	struct failed_list failed; /* in order of turn */
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

static void run_transfers(struct loop *loop)
{
	CURLMsg *message;
	int running, left;

	loop->started = false;
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
		must(curl_multi_remove_handle(loop->multi, easy));
		t->running = false;
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

static void turn(struct loop *loop)
{
	loop->turn++;
	run_transfers(loop);
	run_failed(loop);
	run_uv(loop);
	if (loop->after)
		loop->after(loop->after_ctx);
}

/* The only call of the program that blocks; curl shortens the timeout to its own. */
static void wait_for_something(struct loop *loop)
{
	struct curl_waitfd uv_fd = {
		.fd = uv_backend_fd(&loop->uv),
		.events = CURL_WAIT_POLLIN,
	};

	must(curl_multi_poll(loop->multi, &uv_fd, 1, wait_ms(loop), NULL));
	loop->uv_ready = uv_fd.revents != 0;
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
	t->running = true;
}

static void take_out(struct loop *loop, struct loop_transfer *t)
{
	if (t->running)
		must(curl_multi_remove_handle(loop->multi, t->easy));
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
