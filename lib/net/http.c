#include "lib/net/http.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/http_call.h"

/* Idle connections of curl's own kept for reuse, all hosts together. */
#define HTTP_POOL_CONNECTIONS 64L

static void on_stall_timer(uv_timer_t *timer);

int http_client_new(struct loop *loop, const struct http_options *options,
		    struct http_client **ret, struct mh_err *err)
{
	struct http_client *client;

	if (options->ca_file && access(options->ca_file, R_OK) != 0) {
		(void)mh_err_sys(err, "CA bundle %s", options->ca_file);
		err->cls = MH_E_CONFIG;
		return -1;
	}
	client = mh_alloc(sizeof *client);
	client->loop = loop;
	client->ca_file = mh_strdup(options->ca_file);
	client->user_agent = mh_strdup(options->user_agent);
	client->options = *options;
	client->options.ca_file = client->ca_file;
	client->options.user_agent = client->user_agent;
	TAILQ_INIT(&client->calls);
	TAILQ_INIT(&client->idle);
	client->proxied = getenv("http_proxy") || getenv("all_proxy") ||
			  getenv("ALL_PROXY");
	client->stall_timer = mh_alloc(sizeof *client->stall_timer);
	(void)uv_timer_init(loop_uv(loop), client->stall_timer); /* always 0 */
	client->stall_timer->data = client;
	if (curl_multi_setopt(loop_curl(loop), CURLMOPT_MAXCONNECTS,
			      HTTP_POOL_CONNECTIONS) != CURLM_OK)
		MH_BUG("CURLMOPT_MAXCONNECTS");
	*ret = client;
	return 0;
}

struct loop *http_client_loop(const struct http_client *client)
{
	return client->loop;
}

static void call_free(struct http_call *call)
{
	http_lane_leave(call);
	curl_easy_cleanup(call->transfer.easy); /* NULL on a lane */
	curl_slist_free_all(call->headers);
	http_target_put(call->target);
	http_parse_done(&call->parse);
	free(call->curl_text);
	free(call->label);
	free(call->body);
	buf_done(&call->answer.body);
	http_header_list_free(call->answer.headers);
	free(call);
}

static void detach(struct http_call *call)
{
	TAILQ_REMOVE(&call->client->calls, call, link);
	call->client = NULL;
}

void http_cancel(struct http_call *call)
{
	if (!call)
		return;
	MH_ASSERT(call->client); /* else its callback has begun */
	loop_transfer_stop(call->client->loop, &call->transfer);
	http_lane_leave(call);
	detach(call);
	call_free(call);
}

static void free_timer(uv_handle_t *handle)
{
	free(handle);
}

void http_client_free(struct http_client *client)
{
	struct http_call *call;

	if (!client)
		return;
	while ((call = TAILQ_FIRST(&client->calls)))
		http_cancel(call);
	http_lanes_close(client);
	uv_close((uv_handle_t *)client->stall_timer, free_timer);
	http_target_put(client->last);
	free(client->ca_file);
	free(client->user_agent);
	free(client);
}

/* When it would count as stalled, or its time is over. */
static int64_t limit_of(const struct http_call *call)
{
	int64_t at = call->moved_mono_ms + call->stall_ms;

	return call->over_mono_ms && call->over_mono_ms < at ? call->over_mono_ms : at;
}

/* Not of those that have failed already, and wait to be told so. */
static bool is_under_way(const struct http_call *call)
{
	return call->transfer.failed_turn == 0;
}

/* When the next call would count as stalled, or -1 when there is none. */
static int64_t next_stall_ms(const struct http_client *client)
{
	int64_t next = -1;

	for (const struct http_call *call = TAILQ_FIRST(&client->calls); call;
	     call = TAILQ_NEXT(call, link)) {
		int64_t at = limit_of(call);

		if (is_under_way(call) && (next < 0 || at < next))
			next = at;
	}
	return next;
}

static void set_stall_timer(struct http_client *client)
{
	int64_t next = next_stall_ms(client);
	int64_t wait = next - clock_mono_ms();

	if (next < 0)
		(void)uv_timer_stop(client->stall_timer); /* always 0 */
	else
		(void)uv_timer_start(client->stall_timer, on_stall_timer,
				     wait > 0 ? (uint64_t)wait : 0, 0); /* as above */
}

static void give_up(struct http_call *call, int64_t now)
{
	const char *method = call->label ? "" : "POST ";
	const char *name = call->label ? call->label : call->target->name;

	if (now >= call->moved_mono_ms + call->stall_ms)
		(void)mh_err_set(&call->answer.err, MH_E_TIMEOUT,
				 "%s%s: nothing moved for %lld ms", method, name,
				 (long long)call->stall_ms);
	else
		(void)mh_err_set(&call->answer.err, MH_E_TIMEOUT,
				 "%s%s: no answer in its time", method, name);
	http_lane_leave(call);
	loop_transfer_fail(call->client->loop, &call->transfer, CURLE_OPERATION_TIMEDOUT);
}

static void on_stall_timer(uv_timer_t *timer)
{
	struct http_client *client = timer->data;
	int64_t now = clock_mono_ms();

	/* No callback comes from here, so the list stays as it is. */
	for (struct http_call *call = TAILQ_FIRST(&client->calls); call;
	     call = TAILQ_NEXT(call, link)) {
		if (is_under_way(call) && now >= limit_of(call))
			give_up(call, now);
	}
	set_stall_timer(client);
}

void http_call_end(struct http_call *call)
{
	http_lane_leave(call); /* it may serve what the callback sends */
	detach(call);
	call->done(call->ctx, &call->answer); /* may free the client */
	call_free(call);
}

static void on_done(struct loop_transfer *transfer, CURLcode code)
{
	struct http_call *call = (struct http_call *)transfer;

	if (call->transfer.easy)
		http_wire_finish(call, code);
	else
		http_lane_failed(call, code);
	http_call_end(call);
}

static bool is_method(const char *method)
{
	return *method && method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

/* Where it goes, and whether it may. */
static int aim(struct http_call *call, const struct http_request *request,
	       struct mh_err *err)
{
	struct http_client *client = call->client;

	if (http_target_get(&client->last, request->url, &call->target, err) != 0)
		return mh_err_wrap(err, "%s", request->method);
	if (call->target->is_plain && !client->options.insecure_plain_ok &&
	    !request->plain_ok)
		return mh_err_set(
			err, MH_E_CONFIG,
			"%s %s: http:// beyond this host would send everything in clear; "
			"use https:// or allow it with allow_plain_http",
			request->method, call->target->name);
	if (!is_method(request->method))
		return mh_err_set(err, MH_E_CONFIG, "'%s' is not an HTTP method",
				  request->method);
	return 0;
}

static void init_call(struct http_call *call, const struct http_request *request)
{
	call->transfer.done = on_done;
	call->start_wall_ms = clock_wall_ms();
	call->moved_mono_ms = clock_mono_ms();
	call->stall_ms = request->stall_ms ? request->stall_ms : HTTP_STALL_MS;
	call->stall_bytes = request->stall_bytes ? request->stall_bytes : 1;
	call->range_from = -1;
	call->parse = (struct http_parse)HTTP_PARSE_INIT;
	call->answer.server_date_ms = call->answer.age_s = -1;
	call->answer.sent_ms = call->start_wall_ms;
	buf_init(&call->answer.body,
		 request->max_body ? request->max_body : HTTP_MAX_BODY_BYTES);
}

static int begin(struct http_call *call, const struct http_request *request,
		 struct mh_err *err)
{
	if (aim(call, request, err) != 0)
		return -1;
	if (http_lane_fits(call, request))
		return http_lane_begin(call, request, err);
	if (http_wire_set_up(call, request, err) != 0)
		return -1;
	loop_transfer_start(call->client->loop, &call->transfer);
	return 0;
}

struct http_call *http_send(struct http_client *client,
			    const struct http_request *request, http_done_fn done,
			    void *ctx)
{
	struct http_call *call = mh_alloc(sizeof *call);

	call->client = client;
	call->done = done;
	call->ctx = ctx;
	init_call(call, request);
	TAILQ_INSERT_TAIL(&client->calls, call, link);
	if (begin(call, request, &call->answer.err) != 0) {
		http_lane_leave(call);
		loop_transfer_fail(client->loop, &call->transfer, CURLE_URL_MALFORMAT);
		return call;
	}
	set_stall_timer(client);
	return call;
}
