/*
 * The one loop: libcurl's multi interface is the only place that blocks, and
 * libuv (timers, signals, local sockets) is nested in it by its backend
 * descriptor and timeout (design section 4).
 *
 *	loop_new(&loop, &err);
 *	... uv handles on loop_uv(loop), requests by http_send() ...
 *	loop_run(loop);      until loop_stop() was called from a callback
 *	loop_free(loop);
 *
 * One turn: curl's transfers, their completions, libuv's callbacks, then the
 * `after` hook (the agent commits its ledger there), then wait.
 */
#ifndef MH_NET_LOOP_H
#define MH_NET_LOOP_H

#include <curl/curl.h>
#include <uv.h>

#include "lib/base/err.h"

struct loop;

int loop_new(struct loop **ret, struct mh_err *err) MH_MUST_CHECK;
void loop_free(struct loop *loop);

uv_loop_t *loop_uv(struct loop *loop);
CURLM *loop_curl(struct loop *loop);

/* Called once a turn after all callbacks, before waiting. */
void loop_set_after(struct loop *loop, void (*after)(void *ctx), void *ctx);

void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
