/* The paths under /_millhand/: what the API of AWS does not have. */
#include "emulator/server_impl.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "emulator/builtin/watch.h"
#include "emulator/delivery.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"

/* MHD would count the wait as idleness, and close the connection at its end. */
void server_allow_idle(const struct request *r, struct MHD_Connection *connection,
		       bool allow)
{
	int64_t ms = r->server->o.front.settings->idle_timeout_ms;

	(void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					allow ? 0U : (unsigned)(ms / 1000)); /* known */
}

static int wait_here(const struct request *r, struct MHD_Connection *connection,
		     const struct uri_query *query, struct json_object **ret,
		     struct api_error *err)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	const struct wait_request request = { .types = uri_query_get(query, "types"),
					      .seconds = uri_query_get(query, "seconds"),
					      .client_fd = info ? info->connect_fd : -1 };
	int rc;

	server_allow_idle(r, connection, true);
	rc = wait_for_work(r->server->o.hub, r->server->o.front.writer, &request, ret,
			   err);
	server_allow_idle(r, connection, false);
	return rc;
}

/* Signed as every request to the API, when signatures are asked for. arn: the caller. */
static int check_caller(const struct request *r, struct gathered *g,
			char arn[AUTH_ARN_SIZE], struct api_error *err)
{
	const struct front *front = &r->server->o.front;
	char hash[SIGV4_HASH_HEX_SIZE];

	sigv4_hash_hex(r->body.len ? r->body.data : "", r->body.len, hash);
	g->request.payload_hash = hash;
	return auth_check(front->settings, front->creds_key, &g->request, clock_wall_ms(),
			  writer_now_ms(front->writer), arn, err);
}

static enum MHD_Result send_json(const struct request *r,
				 struct MHD_Connection *connection,
				 struct json_object *answer)
{
	return server_send_text(r, connection, 200, "application/json",
				mh_strdup(json_text(answer)), NULL);
}

static enum MHD_Result answer_wait(const struct request *r,
				   struct MHD_Connection *connection, const char *method)
{
	CLEAN(gathered) struct gathered g = { 0 };
	CLEAN(json) struct json_object *answer = json_object_new_object();
	struct json_object *types = NULL;
	char arn[AUTH_ARN_SIZE];
	struct api_error err = { 0 };

	if (server_gather(r, connection, method, &g, &err) != 0 ||
	    check_caller(r, &g, arn, &err) != 0 ||
	    wait_here(r, connection, &g.query, &types, &err) != 0)
		return server_send_error(r, connection, &err);
	json_put_obj(answer, "types", types);
	FAULT_POINT("wait.hint");
	return send_json(r, connection, answer);
}

static enum MHD_Result answer_health(const struct request *r,
				     struct MHD_Connection *connection,
				     const char *method)
{
	(void)method;
	return server_send_text(r, connection, 200, "application/json",
				mh_strdup("{\"status\":\"ok\"}"), NULL);
}

/* ---- events ---- */

static ssize_t read_stream(void *cls, uint64_t at, char *buf, size_t max)
{
	size_t n = stream_read(cls, buf, max);

	(void)at;
	return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void close_stream(void *cls)
{
	stream_close(cls);
}

static int open_stream(const struct request *r, struct MHD_Connection *connection,
		       const char *method, struct stream **ret, struct api_error *err)
{
	CLEAN(gathered) struct gathered g = { 0 };
	char arn[AUTH_ARN_SIZE];

	if (server_gather(r, connection, method, &g, err) != 0 ||
	    check_caller(r, &g, arn, err) != 0)
		return -1;
	return streams_open(r->server->o.streams,
			    server_header(connection, "Last-Event-ID"),
			    uri_query_get(&g.query, "after"), ret, err);
}

/* Small pieces: an event is seen when it is there, not when a piece is full. */
#define STREAM_PIECE 4096

static enum MHD_Result answer_events(const struct request *r,
				     struct MHD_Connection *connection,
				     const char *method)
{
	struct MHD_Response *response;
	struct stream *stream = NULL;
	struct api_error err = { 0 };
	enum MHD_Result rc;

	if (open_stream(r, connection, method, &stream, &err) != 0)
		return server_send_error(r, connection, &err);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PIECE,
						     read_stream, stream, close_stream);
	if (!response) {
		stream_close(stream);
		return MHD_NO;
	}
	/* They fail without memory alone; then a header is missing. */
	(void)MHD_add_response_header(response, "Content-Type", STREAM_CONTENT_TYPE);
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	(void)MHD_add_response_header(response, "x-amzn-RequestId", r->id);
	rc = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return rc;
}

/* ---- the admin interface ---- */

static bool is_local(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info ? info->client_addr : NULL;

	if (address && address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (address && address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
			in6->sin6_addr.s6_addr[12] == 127);
	}
	return false;
}

/* A page in a browser on this host could send a form here: it says where it is from. */
static int check_no_browser(struct MHD_Connection *connection, struct api_error *err)
{
	if (!server_header(connection, "Origin"))
		return 0;
	return admin_fail(err, 403, "AccessDenied",
			  "The admin interface answers no pages of web sites.");
}

static int serve_admin(const struct request *r, struct MHD_Connection *connection,
		       const char *method, struct json_object **ret,
		       struct api_error *err)
{
	CLEAN(gathered) struct gathered g = { 0 };
	char arn[AUTH_ARN_SIZE];
	struct admin_request request = {
		.method = method,
		.body = buf_text(&r->body),
		.body_len = r->body.len,
		.caller_arn = arn,
		.local = is_local(connection),
	};
	int rc;

	if (r->body_too_large)
		return admin_fail(err, 413, "RequestEntityTooLargeException",
				  "The request's body is larger than %d bytes.",
				  FRONT_BODY_MAX);
	if (server_gather(r, connection, method, &g, err) != 0 ||
	    check_no_browser(connection, err) != 0 || check_caller(r, &g, arn, err) != 0)
		return -1;
	request.path = g.path + strlen(ADMIN_PREFIX);
	server_allow_idle(r, connection, true);
	rc = admin_serve(r->server->o.admin, &request, ret, err);
	/* A snapshot that was restored may watch other repositories. */
	if (rc == 0 && strstr(request.path, "restore"))
		watcher_settle(r->server->o.front.watcher);
	server_allow_idle(r, connection, false);
	return rc;
}

static enum MHD_Result answer_admin(const struct request *r,
				    struct MHD_Connection *connection, const char *method)
{
	CLEAN(json) struct json_object *answer = NULL;
	struct api_error err = { 0 };

	if (serve_admin(r, connection, method, &answer, &err) != 0)
		return server_send_error(r, connection, &err);
	return send_json(r, connection, answer);
}

/* ---- webhooks ---- */

static enum MHD_Result answer_webhook(const struct request *r,
				      struct MHD_Connection *connection,
				      const char *method)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct front *front = &r->server->o.front;
	const char *path = r->target + strlen(DELIVERY_PREFIX);
	CLEAN(free) char *token = mh_strndup(path, strcspn(path, "?"));
	const struct delivery d = {
		.token = token,
		.body = buf_text(&r->body),
		.body_len = r->body.len,
		.sha1 = server_header(connection, "X-Hub-Signature"),
		.sha256 = server_header(connection, "X-Hub-Signature-256"),
		.event = server_header(connection, "X-GitHub-Event"),
		.from = info ? info->client_addr : NULL,
		.settings = front->settings,
	};
	CLEAN(json) struct json_object *answer = NULL;
	struct api_error err = { 0 };

	(void)method; /* POST */
	if (r->body_too_large) {
		(void)api_fail(&err, "RequestEntityTooLargeException",
			       "The delivery is larger than %d bytes.", FRONT_BODY_MAX);
		err.status = 413;
	}
	if (r->body_too_large ||
	    delivery_serve(front->writer, front->creds_key, &d, &answer, &err) != 0)
		return server_send_error(r, connection, &err);
	return send_json(r, connection, answer);
}

/* ---- the table ---- */

static const struct own_path {
	const char *path;
	bool query; /* may follow */
	const char *methods; /* that are answered; NULL: the answer looks for itself */
	enum MHD_Result (*answer)(const struct request *r,
				  struct MHD_Connection *connection, const char *method);
	bool prefix; /* more may follow the path, which ends with a slash */
} own_paths[] = {
	{ ADMIN_PREFIX, true, NULL, answer_admin, true },
	{ "/_millhand/events", true, "GET", answer_events, false },
	{ "/_millhand/health", false, "GET HEAD", answer_health, false },
	{ "/_millhand/wait", true, "GET", answer_wait, false },
	{ DELIVERY_PREFIX, true, "POST", answer_webhook, true },
};

static bool fits(const struct own_path *p, const char *target)
{
	size_t len = strlen(p->path), have = strcspn(target, "?");

	if (have < len || strncmp(p->path, target, len) != 0 ||
	    (!p->prefix && have != len))
		return false;
	return p->query || target[have] == '\0';
}

static const struct own_path *find_own(const char *target)
{
	for (size_t i = 0; i < ARRAY_LEN(own_paths); i++) {
		if (fits(&own_paths[i], target))
			return &own_paths[i];
	}
	return NULL;
}

/* methods: words with a blank between. */
static bool has_method(const char *methods, const char *method)
{
	size_t len = strlen(method);

	while (*methods) {
		size_t n = strcspn(methods, " ");

		if (n == len && strncmp(methods, method, len) == 0)
			return true;
		methods += n + (methods[n] == ' ');
	}
	return false;
}

enum MHD_Result server_finish_own(const struct request *r,
				  struct MHD_Connection *connection, const char *method)
{
	const struct own_path *path = find_own(r->target);
	struct api_error err = { 0 };

	if (!path) {
		(void)api_fail(&err, "NotFound", "There is nothing at this path.");
		err.status = 404;
	} else if (path->methods && !has_method(path->methods, method)) {
		(void)api_fail(&err, "MethodNotAllowed", "Send %.4s.", path->methods);
		err.status = 405;
	} else {
		return path->answer(r, connection, method);
	}
	return server_send_error(r, connection, &err);
}
