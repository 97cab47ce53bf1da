/*
 * The one loop: libcurl's multi interface (poll(2) while it has nothing to do) is the
 * only place that blocks, and
 * libuv (timers, signals, local sockets) is nested in it by its backend
 * descriptor and timeout (design section 4).
 *
 *	loop_new(&loop, &err);
 *	... uv handles on loop_uv(loop), requests by http_send() ...
 *	loop_run(loop);      until loop_stop() was called from a callback
 *	loop_free(loop);
 *
 * One turn: curl's transfers, their completions, libuv's callbacks, then the
 * `after` hook (the agent commits its ledger there), then wait. All callbacks run
 * on the thread of loop_run(); from another thread only loop_wake() may be called.
 *
 * Handles of libuv belong to who made them: close them (uv_close) before what
 * they live in is freed; loop_free() runs the callbacks of closes under way.
 *
 * SIGPIPE is ignored from loop_new() on: a peer that goes away is an error of that
 * connection. Children must get the default back (POSIX_SPAWN_SETSIGDEF), and be
 * spawned with a closefrom: descriptors that libcurl makes for itself (its wake-up
 * pair, the resolver threads') are not close-on-exec.
 */
#ifndef MH_NET_LOOP_H
#define MH_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <curl/curl.h>
#include <uv.h>

#include "lib/base/err.h"

struct loop;

int loop_new(struct loop **ret, struct mh_err *err) MH_MUST_CHECK;
void loop_free(struct loop *loop);

uv_loop_t *loop_uv(struct loop *loop);
CURLM *loop_curl(struct loop *loop);

/* Called once a turn after all callbacks, before waiting; also in the last turn. */
void loop_set_after(struct loop *loop, void (*after)(void *ctx), void *ctx);

/* Until loop_stop(): the turn under way is finished, its hook included. A stop
 * that came before the run lets it make one turn. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Makes a waiting loop take another turn; from any thread. */
void loop_wake(struct loop *loop);

/*
 * Transfers, for http.c alone. The easy handle's CURLOPT_PRIVATE is taken. done() is
 * called once, from a later turn, never from inside start or fail; by then the
 * transfer is out of the loop and may be freed.
 */
struct loop_transfer {
	CURL *easy;
	void (*done)(struct loop_transfer *t, CURLcode code);
	bool stays; /* it is a connection, and curl keeps it until loop_transfer_stop() */
	/* The loop's own: */
	TAILQ_ENTRY(loop_transfer) failed;
	uint64_t failed_turn; /* 0: not failed */
	CURLcode code;
	bool running; /* done() is still to come from curl */
	bool known; /* to curl */
};
void loop_transfer_start(struct loop *loop, struct loop_transfer *t);
/* Takes it from curl, if it runs, and tells done() this code in the next turn. */
void loop_transfer_fail(struct loop *loop, struct loop_transfer *t, CURLcode code);
/* Takes it out; done() will not be called. */
void loop_transfer_stop(struct loop *loop, struct loop_transfer *t);

/*
 * A descriptor that the loop waits for besides, for http_lane.c alone. ready() is called
 * once a turn while one of the events is there; it may start and stop any watch.
 */
struct loop_watch {
	int fd;
	short events; /* POLLIN, perhaps POLLOUT too */
	void (*ready)(struct loop_watch *w);
	/* The loop's own: */
	TAILQ_ENTRY(loop_watch) link;
	bool on, due;
};
void loop_watch_start(struct loop *loop, struct loop_watch *w);
/* One that is not watched is no matter. */
void loop_watch_stop(struct loop *loop, struct loop_watch *w);

#endif
