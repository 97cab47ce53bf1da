#include "lib/net/http.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/http_call.h"

/* Idle connections kept for reuse, all hosts together. */
#define HTTP_POOL_CONNECTIONS 64L
/* Handles of plain calls kept for the next ones. */
#define HTTP_IDLE_HANDLES 8

TAILQ_HEAD(call_list, http_call);

struct http_client {
	struct loop *loop;
	struct http_options options; /* its strings are owned */
	char *ca_file, *user_agent;
	struct http_target last; /* where the last call went */
	struct call_list calls;
	CURL *idle[HTTP_IDLE_HANDLES];
	size_t idle_count;
	uv_timer_t *stall_timer; /* its own allocation: libuv closes it later */
};

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

static CURL *take_handle(struct http_client *client, struct http_call *call)
{
	CURL *easy;

	if (call->plain && client->idle_count > 0) {
		call->reused = true;
		return client->idle[--client->idle_count];
	}
	easy = curl_easy_init();
	MH_ASSERT(easy); /* no memory */
	return easy;
}

/* After a call that went well; what failed may have left something behind. */
static void keep_handle(struct http_client *client, struct http_call *call)
{
	if (!call->plain || client->idle_count == HTTP_IDLE_HANDLES)
		return;
	http_wire_forget(call->transfer.easy);
	client->idle[client->idle_count++] = STEAL_PTR(call->transfer.easy);
}

void http_header_list_free(struct http_header_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	free(list->items);
	free(list);
}

static void call_free(struct http_call *call)
{
	curl_easy_cleanup(call->transfer.easy); /* NULL when it was kept */
	curl_slist_free_all(call->headers);
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
	while (client->idle_count > 0)
		curl_easy_cleanup(client->idle[--client->idle_count]);
	uv_close((uv_handle_t *)client->stall_timer, free_timer);
	http_target_done(&client->last);
	free(client->ca_file);
	free(client->user_agent);
	free(client);
}

/* When the next call would count as stalled, or -1 when there is none. */
static int64_t next_stall_ms(const struct http_client *client)
{
	int64_t next = -1;

	for (const struct http_call *call = TAILQ_FIRST(&client->calls); call;
	     call = TAILQ_NEXT(call, link)) {
		int64_t at = call->moved_mono_ms + call->stall_ms;

		if (call->transfer.running && (next < 0 || at < next))
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

static void on_stall_timer(uv_timer_t *timer)
{
	struct http_client *client = timer->data;
	int64_t now = clock_mono_ms();

	/* No callback comes from here, so the list stays as it is. */
	for (struct http_call *call = TAILQ_FIRST(&client->calls); call;
	     call = TAILQ_NEXT(call, link)) {
		if (!call->transfer.running || now < call->moved_mono_ms + call->stall_ms)
			continue;
		(void)mh_err_set(&call->answer.err, MH_E_TIMEOUT,
				 "%s: nothing moved for %lld ms", call->label,
				 (long long)call->stall_ms);
		loop_transfer_fail(client->loop, &call->transfer,
				   CURLE_OPERATION_TIMEDOUT);
	}
	set_stall_timer(client);
}

static void on_done(struct loop_transfer *transfer, CURLcode code)
{
	struct http_call *call = (struct http_call *)transfer;
	struct http_client *client = call->client;

	detach(call);
	http_wire_finish(call, code);
	if (call->answer.status != 0)
		keep_handle(client, call);
	call->done(call->ctx, &call->answer); /* may free the client */
	call_free(call);
}

struct http_call *http_send(struct http_client *client,
			    const struct http_request *request, http_done_fn done,
			    void *ctx)
{
	struct http_call *call = mh_alloc(sizeof *call);

	call->plain = http_wire_is_plain(request);
	call->transfer.easy = take_handle(client, call);
	call->transfer.done = on_done;
	call->client = client;
	call->done = done;
	call->ctx = ctx;
	call->start_wall_ms = clock_wall_ms();
	call->moved_mono_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&client->calls, call, link);
	if (http_wire_set_up(call, request, &client->options, &client->last,
			     &call->answer.err) != 0) {
		loop_transfer_fail(client->loop, &call->transfer, CURLE_URL_MALFORMAT);
		return call;
	}
	loop_transfer_start(client->loop, &call->transfer);
	set_stall_timer(client);
	return call;
}

const char *http_answer_header(const struct http_answer *a, const char *name)
{
	for (size_t i = 0; a->headers && i < a->headers->count; i++) {
		if (strcasecmp(a->headers->items[i].name, name) == 0)
			return a->headers->items[i].value;
	}
	return NULL;
}
