/* Calls whose exchange is ours, on connections that curl made. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/net/http_call.h"

#define LANES_IDLE_MAX 32
#define IDLE_MAX_MS    118000 /* services and what is in between forget them later */

struct http_lane {
	struct loop_transfer transfer; /* first: its connection, and curl's work on it */
	struct loop_watch watch;
	struct http_client *client;
	struct http_target *target; /* whose origin it leads to */
	struct http_call *call; /* NULL: idle */
	bool failed; /* good for nothing any more */
	int64_t idle_mono_ms; /* since when */
	int64_t stall_ms; /* of the call that it was opened for */
	int open_errno; /* a lack of descriptors; 0: none */
	char curl_text[CURL_ERROR_SIZE];
	TAILQ_ENTRY(http_lane) link; /* of the idle ones */
};

static void must(CURLcode code)
{
	if (code != CURLE_OK)
		MH_BUG(curl_easy_strerror(code)); /* no memory, or an unknown option */
}

/* --- the request ------------------------------------------------------------------ */

bool http_lane_fits(const struct http_call *call, const struct http_request *request)
{
	const struct http_target *t = call->target;

	/* A proxy for http:// wants another request line; one for https:// is asked for a
	 * tunnel, and curl does that. */
	return request->body && request->body_len > 0 && request->answer_fd <= 0 &&
	       strcmp(request->method, "POST") == 0 &&
	       (t->is_https || t->is_near || !call->client->proxied);
}

/* Appends; the caller made room. */
static char *put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

static char *put_text(char *at, const char *text)
{
	return put(at, text, strlen(text));
}

static char *put_header(char *at, const char *line, size_t name_len)
{
	const char *value = line + name_len + 1;

	value += strspn(value, " \t");
	at = put(at, line, name_len + 1);
	if (*value) {
		*at++ = ' ';
		at = put_text(at, value);
	}
	return put(at, "\r\n", 2);
}

#define FRAME_BYTES 128 /* of what is not in the strings that are counted */

/* The whole request, as one text. */
static int compose(struct http_call *call, const struct http_request *request,
		   struct mh_err *err)
{
	const char *path = request->url + call->target->path_at;
	const char *agent = call->client->options.user_agent;
	size_t room = FRAME_BYTES + strlen(path) + strlen(call->target->host) +
		      (agent ? strlen(agent) : 0) + request->body_len;
	char *at;

	for (const char *const *h = request->headers; h && *h; h++)
		room += strlen(*h) + 4;
	at = call->body = mh_realloc(NULL, room);
	at = put_text(at, "POST ");
	if (*path != '/')
		*at++ = '/';
	at = put_text(at, path);
	at = put_text(at, " HTTP/1.1\r\nHost: ");
	at = put_text(at, call->target->host);
	if (agent) {
		at = put_text(at, "\r\nUser-Agent: ");
		at = put_text(at, agent);
	}
	at = put(at, "\r\n", 2);
	for (const char *const *h = request->headers; h && *h; h++) {
		size_t name_len;

		if (http_check_header(*h, &name_len, err) != 0)
			return mh_err_wrap(err, "POST %s", call->target->name);
		at = put_header(at, *h, name_len);
	}
	at += snprintf(at, FRAME_BYTES / 2, "Content-Length: %zu\r\n\r\n",
		       request->body_len);
	at = put(at, request->body, request->body_len);
	call->body_len = at - call->body;
	return 0;
}

/* --- lanes ------------------------------------------------------------------------- */

static void close_lane(struct http_lane *lane)
{
	loop_watch_stop(lane->client->loop, &lane->watch);
	loop_transfer_stop(lane->client->loop, &lane->transfer);
	curl_easy_cleanup(lane->transfer.easy);
	http_target_put(lane->target);
	free(lane);
}

static void forget_idle(struct http_lane *lane)
{
	TAILQ_REMOVE(&lane->client->idle, lane, link);
	lane->client->idle_count--;
}

void http_lanes_close(struct http_client *client)
{
	struct http_lane *lane;

	while ((lane = TAILQ_FIRST(&client->idle))) {
		forget_idle(lane);
		close_lane(lane);
	}
}

void http_lane_leave(struct http_call *call)
{
	struct http_lane *lane = STEAL_PTR(call->lane);
	struct http_client *client = call->client;

	if (!lane)
		return;
	lane->call = NULL;
	loop_watch_stop(client->loop, &lane->watch);
	/* Only what was answered whole, to a whole request, leaves it as it was. */
	if (lane->failed || call->parse.state != PARSE_DONE || !call->parse.keep ||
	    call->body_read < call->body_len) {
		close_lane(lane);
		return;
	}
	if (client->idle_count == LANES_IDLE_MAX) {
		struct http_lane *oldest = TAILQ_LAST(&client->idle, http_lane_list);

		forget_idle(oldest);
		close_lane(oldest);
	}
	lane->idle_mono_ms = clock_mono_ms();
	TAILQ_INSERT_HEAD(&client->idle, lane, link);
	client->idle_count++;
}

static void fail_call(struct http_call *call, enum mh_err_class cls, const char *why)
{
	if (call->answer.err.cls == MH_OK)
		(void)mh_err_set(&call->answer.err, cls, "POST %s: %s",
				 call->target->name, why);
}

/* Whether the other side still wants it; what it says unasked (but for TLS's own
 * messages, which curl takes in) is the end of a connection as well. */
static bool is_alive(struct http_lane *lane)
{
	char byte;
	size_t n = 0;

	return clock_mono_ms() - lane->idle_mono_ms < IDLE_MAX_MS &&
	       curl_easy_recv(lane->transfer.easy, &byte, 1, &n) == CURLE_AGAIN;
}

/* One that waits for work on this origin, or NULL. */
static struct http_lane *take_idle(struct http_call *call)
{
	struct http_lane *lane, *next;

	for (lane = TAILQ_FIRST(&call->client->idle); lane; lane = next) {
		next = TAILQ_NEXT(lane, link);
		if (lane->target != call->target &&
		    strcmp(lane->target->origin, call->target->origin) != 0)
			continue;
		forget_idle(lane);
		if (is_alive(lane))
			return lane;
		close_lane(lane);
	}
	return NULL;
}

/* --- the exchange ------------------------------------------------------------------ */

/* False: the call has failed. */
static bool send_some(struct http_call *call)
{
	struct http_lane *lane = call->lane;

	while (call->body_read < call->body_len) {
		size_t n = 0;
		CURLcode code = curl_easy_send(
			lane->transfer.easy, call->body + call->body_read,
			(size_t)(call->body_len - call->body_read), &n);

		if (code == CURLE_AGAIN)
			return true;
		if (code != CURLE_OK) {
			lane->failed = true;
			fail_call(call, MH_E_NET, "the connection broke off");
			return false;
		}
		if (!call->answer.sent)
			call->answer.sent_ms = clock_wall_ms();
		call->answer.sent = true;
		call->body_read += (int64_t)n;
	}
	return true;
}

static void note_moved(struct http_call *call, size_t bytes)
{
	call->moved_bytes += (curl_off_t)bytes;
	if (call->moved_bytes < call->stall_bytes)
		return;
	call->moved_bytes = 0;
	call->moved_mono_ms = clock_mono_ms();
}

/* False: the call has failed. */
static bool take_end(struct http_call *call, CURLcode code)
{
	struct mh_err err;

	call->lane->failed = true;
	if (code == CURLE_OK && http_parse_end(&call->parse, &err) == 0)
		return true;
	if (code == CURLE_OK)
		fail_call(call, err.cls, err.text);
	else
		fail_call(call, MH_E_NET, "the connection broke off");
	return false;
}

/* Until the answer is whole or no more is there. False: the call has failed. */
static bool receive_some(struct http_call *call)
{
	struct http_client *client = call->client;
	struct mh_err err;

	while (call->parse.state != PARSE_DONE) {
		size_t n = 0;
		CURLcode code = curl_easy_recv(call->lane->transfer.easy, client->input,
					       sizeof client->input, &n);

		if (code == CURLE_AGAIN)
			return true;
		if (code != CURLE_OK || n == 0)
			return take_end(call, code);
		note_moved(call, n);
		if (http_parse_take(&call->parse, client->input, n, &call->answer,
				    &err) != 0) {
			call->lane->failed = true;
			fail_call(call, err.cls, err.text);
			return false;
		}
	}
	return true;
}

static void end(struct http_call *call, bool well)
{
	call->answer.status = well ? call->parse.status : 0;
	if (call->answer.received_ms == 0)
		call->answer.received_ms = clock_wall_ms();
	http_call_end(call);
}

static void on_ready(struct loop_watch *watch)
{
	struct http_lane *lane = (struct http_lane *)((char *)watch -
						      offsetof(struct http_lane, watch));
	struct http_call *call = lane->call;
	int64_t before = call->body_read;
	bool sent = send_some(call);

	note_moved(call, (size_t)(call->body_read - before));
	/* A refusal may be there although not all of the request was taken. */
	if (!receive_some(call))
		end(call, false);
	else if (call->parse.state == PARSE_DONE)
		end(call, true);
	else if (!sent)
		end(call, false);
	else
		watch->events = call->body_read < call->body_len ? POLLIN | POLLOUT
								 : POLLIN;
}

/* The request goes out, as far as the socket takes it. */
static bool start(struct http_call *call)
{
	struct http_lane *lane = call->lane;

	call->moved_mono_ms = clock_mono_ms();
	if (!send_some(call))
		return false;
	lane->watch.events = call->body_read < call->body_len ? POLLIN | POLLOUT : POLLIN;
	loop_watch_start(lane->client->loop, &lane->watch);
	return true;
}

/* --- connecting --------------------------------------------------------------------- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	struct http_lane *lane = ctx;
	curl_socket_t fd = http_open_socket(lane->stall_ms, address);

	(void)purpose; /* there is but one */
	/* Another address may do: only a lack of descriptors is final. */
	if (fd == CURL_SOCKET_BAD && (errno == EMFILE || errno == ENFILE))
		lane->open_errno = errno;
	return fd;
}

void http_lane_failed(struct http_call *call, CURLcode code)
{
	call->answer.status = 0;
	if (call->answer.received_ms == 0)
		call->answer.received_ms = clock_wall_ms();
	fail_call(call, http_class_of(code), curl_easy_strerror(code));
}

static void note_connect_error(struct http_call *call, CURLcode code)
{
	const struct http_lane *lane = call->lane;

	if (lane->open_errno) {
		errno = lane->open_errno;
		(void)mh_err_sys(&call->answer.err, "POST %s: socket",
				 call->target->name);
		return;
	}
	fail_call(call, http_class_of(code),
		  *lane->curl_text ? lane->curl_text : curl_easy_strerror(code));
}

static void on_connected(struct loop_transfer *transfer, CURLcode code)
{
	struct http_lane *lane = (struct http_lane *)transfer;
	struct http_call *call = lane->call;
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (code == CURLE_OK)
		code = curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (code != CURLE_OK || fd == CURL_SOCKET_BAD) {
		lane->failed = true;
		note_connect_error(call, code == CURLE_OK ? CURLE_COULDNT_CONNECT : code);
		end(call, false);
		return;
	}
	lane->watch.fd = fd;
	if (!start(call))
		end(call, false);
}

static void open_lane(struct http_call *call, const struct http_request *request)
{
	struct http_lane *lane = mh_alloc(sizeof *lane);
	CURL *easy = curl_easy_init();

	MH_ASSERT(easy); /* no memory */
	lane->transfer.easy = easy;
	lane->transfer.done = on_connected;
	lane->transfer.stays = true;
	lane->watch.ready = on_ready;
	lane->client = call->client;
	lane->target = call->target;
	lane->target->users++;
	lane->call = call;
	lane->stall_ms = call->stall_ms;
	call->lane = lane;
	http_wire_constants(easy, &call->client->options);
	must(curl_easy_setopt(easy, CURLOPT_URL, call->target->origin));
	must(curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L));
	must(curl_easy_setopt(easy, CURLOPT_PROXY, call->target->is_near ? "" : NULL));
	must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket));
	must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, lane));
	must(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, lane->curl_text));
	must(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms));
	loop_transfer_start(call->client->loop, &lane->transfer);
}

int http_lane_begin(struct http_call *call, const struct http_request *request,
		    struct mh_err *err)
{
	if (compose(call, request, err) != 0)
		return -1;
	if (request->timeout_ms > 0)
		call->over_mono_ms = call->moved_mono_ms + request->timeout_ms;
	call->lane = take_idle(call);
	if (!call->lane) {
		open_lane(call, request);
		return 0;
	}
	call->lane->call = call;
	/* Its callback must not come from inside http_send(): as any other failure. */
	return start(call) ? 0 : -1;
}
