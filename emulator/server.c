/* The HTTP server: connections, the life of a request, and the API's requests. */
#include "emulator/server_impl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "emulator/listen.h"
#include "emulator/quiet.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

#define CONNECTION_BYTES (64 * 1024) /* request line and headers */
#define DRAIN_MAX_BYTES  (64LL << 20) /* a larger body is not even read to its end */
#define QUIET_MS         60000 /* deterministic: for the emulator's own work */
#define DERIVED_KEYS     64
#define STOP_WAIT_S      10

/* ---- answers ---- */

enum MHD_Result server_send_text(const struct request *r,
				 struct MHD_Connection *connection, int status,
				 const char *content_type, char *take_body,
				 const char *error_type)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(take_body), take_body, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result rc;

	if (!response) {
		free(take_body);
		return MHD_NO;
	}
	/* They fail without memory alone; then a header is missing. MHD adds Date. */
	(void)MHD_add_response_header(response, "Content-Type", content_type);
	(void)MHD_add_response_header(response, "x-amzn-RequestId", r->id);
	if (error_type)
		(void)MHD_add_response_header(response, "x-amzn-ErrorType", error_type);
	rc = MHD_queue_response(connection, (unsigned)status, response);
	MHD_destroy_response(response);
	return rc;
}

enum MHD_Result server_send_error(const struct request *r,
				  struct MHD_Connection *connection,
				  const struct api_error *err)
{
	return server_send_text(r, connection, err->status, FRONT_CONTENT_TYPE,
				front_error_body(err), err->code);
}

/* ---- the API ---- */

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct signed_headers *h = cls;

	(void)kind; /* headers alone were asked for */
	if (h->count == SERVER_HEADERS_MAX) {
		h->too_many = true;
		return MHD_NO;
	}
	h->items[h->count++] = (struct sigv4_header){ .name = name,
						      .value = value ? value : "" };
	return MHD_YES;
}

const char *server_header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* What of X-Amz-Target names the operation. */
static const char *operation_of(const char *target)
{
	const char *dot = target ? strrchr(target, '.') : NULL;

	return dot ? dot + 1 : "";
}

static void log_call(const struct request *r, const struct front_answer *a,
		     const struct fault *fault)
{
	if (fault->id)
		log_event(LOG_LEVEL_INFO, "api.fault",
			  "a request was hit by a fault that was asked for",
			  LOG_S("request", r->id), LOG_I("fault", fault->id),
			  LOG_I("status", a->status), LOG_S("code", a->error.code),
			  LOG_END);
	else if (a->status >= 500)
		log_event(LOG_LEVEL_ERROR, "api.failed", "an operation failed inside",
			  LOG_S("request", r->id), LOG_S("operation", a->operation),
			  LOG_S("code", a->error.code), LOG_S("error", a->error.message),
			  LOG_END);
	else
		log_event(LOG_LEVEL_DEBUG, "api.call", "answered",
			  LOG_S("request", r->id), LOG_S("operation", a->operation),
			  LOG_I("status", a->status), LOG_S("code", a->error.code),
			  LOG_I("ms", clock_mono_ms() - r->begun_ms), LOG_END);
}

/* By the name that the client has for this server; it goes into URLs, so it may not hold
 * anything else. */
static char *base_url_of(const struct request *r, struct MHD_Connection *connection)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789.-_:[]";
	const char *scheme = r->server->tls.cert ? "https://" : "http://";
	const char *host = server_header(connection, "Host");

	if (host && *host && strlen(host) <= 255 && host[strspn(host, allowed)] == '\0')
		return mh_concat(scheme, host);
	return mh_format("%s127.0.0.1:%d", scheme, r->server->port);
}

static enum MHD_Result serve_api(struct request *r, struct MHD_Connection *connection,
				 struct sigv4_request *signed_request)
{
	CLEAN(free) char *base_url = base_url_of(r, connection);
	struct front_request in = {
		.base_url = base_url,
		.target = server_header(connection, "X-Amz-Target"),
		.content_type = server_header(connection, "Content-Type"),
		.body = buf_text(&r->body),
		.body_len = r->body.len,
		.body_too_large = r->body_too_large,
		.signed_request = signed_request,
	};
	struct front_answer out = { .operation = "" };
	struct fault fault;
	const char *error_type;
	enum MHD_Result rc;

	FAULT_POINT("api.request");
	faults_pick(r->server->o.faults, operation_of(in.target), &fault);
	server_fault_delay(r, connection, &fault);
	if (server_fault_error(&fault, &out.error)) {
		out.status = out.error.status;
		out.body = front_error_body(&out.error);
	} else {
		front_serve(&r->server->o.front, &in, &out);
	}
	log_call(r, &out, &fault);
	FAULT_POINT("api.answer");
	error_type = out.status == 200 ? NULL : out.error.code;
	rc = fault.id ? server_send_faulty(r, connection, &fault, out.status, error_type,
					   STEAL_PTR(out.body))
		      : server_send_text(r, connection, out.status, FRONT_CONTENT_TYPE,
					 STEAL_PTR(out.body), error_type);
	front_answer_done(&out);
	return rc;
}

void clean_gathered(struct gathered *g)
{
	free(g->path);
	uri_query_done(&g->query);
}

int server_gather(const struct request *r, struct MHD_Connection *connection,
		  const char *method, struct gathered *g, struct api_error *err)
{
	const char *query = strchr(r->target, '?');
	struct mh_err why = MH_ERR_INIT;

	g->path = mh_strndup(r->target, strcspn(r->target, "?"));
	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header,
					&g->headers); /* it counts for itself */
	if (g->headers.too_many ||
	    uri_query_parse(query ? query + 1 : NULL, &g->query, &why) != 0)
		return api_fail(err, "MalformedHttpRequestException", "%s",
				g->headers.too_many ? "The request has too many headers."
						    : why.text);
	g->request = (struct sigv4_request){ .method = method,
					     .path = g->path,
					     .query = &g->query,
					     .headers = g->headers.items,
					     .header_count = g->headers.count,
					     .keys = r->server->keys };
	return 0;
}

static enum MHD_Result finish_api(struct request *r, struct MHD_Connection *connection,
				  const char *method)
{
	CLEAN(gathered) struct gathered g = { 0 };
	struct api_error err = { 0 };

	if (server_gather(r, connection, method, &g, &err) != 0)
		return server_send_error(r, connection, &err);
	return serve_api(r, connection, &g.request);
}

/* ---- the life of a request ---- */

static void *request_new(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct request *r = mh_alloc(sizeof(*r));

	(void)connection; /* its headers are not there yet */
	r->server = cls;
	/* A proxy's form has the server in front of the path. */
	if (str_starts_with(uri, "http://") || str_starts_with(uri, "https://")) {
		uri = strstr(uri, "//") + 2;
		uri += strcspn(uri, "/");
	}
	r->target = mh_strdup(*uri ? uri : "/");
	buf_init(&r->body, FRONT_BODY_MAX);
	return r;
}

static void count_active(struct server *s, int change)
{
	pthread_mutex_lock(&s->lock);
	s->active += change;
	if (s->active == 0)
		pthread_cond_signal(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static void request_free(void *cls, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode why)
{
	struct request *r = *con_cls;

	(void)cls;
	(void)connection;
	(void)why; /* however it ended: everything of it goes */
	if (!r)
		return;
	if (r->begun)
		FAULT_POINT("request.answered");
	s3_request_drop(r->s3);
	if (r->begun)
		count_active(r->server, -1);
	buf_done(&r->body);
	free(r->target);
	free(r);
	*con_cls = NULL;
}

static enum route route_of(const struct request *r, struct MHD_Connection *connection,
			   const char *method)
{
	if (server_header(connection, "X-Amz-Target"))
		return ROUTE_API;
	if (str_starts_with(r->target, SERVER_OWN_PREFIX))
		return ROUTE_OWN;
	/* No operation of S3 is a POST to the root: it is the API's, with its header
	 * lost. */
	if (strcmp(method, "POST") == 0 && strcmp(r->target, "/") == 0)
		return ROUTE_API;
	return ROUTE_S3;
}

/* Whether the announced body is so large that it is not worth reading, or the client
 * waits to be told. */
static bool refuse_early(struct MHD_Connection *connection)
{
	const char *length = server_header(connection, "Content-Length");
	const char *expect = server_header(connection, "Expect");
	struct mh_err
		ignored; /* MHD judges the header; without a number it is not large */
	int64_t n = 0;

	if (!length || str_to_i64(length, 0, INT64_MAX, "length", &n, &ignored) != 0)
		return false;
	return n > DRAIN_MAX_BYTES ||
	       (n > FRONT_BODY_MAX && expect && strcasecmp(expect, "100-continue") == 0);
}

/* What an answer shows must not depend on how fast the emulator's own work is. */
static void let_work_end(const struct request *r)
{
	struct api_error late = { 0 };

	if (quiet_wait(r->server->o.front.writer, r->server->o.bell, QUIET_MS, &late) !=
	    0)
		log_event(LOG_LEVEL_WARN, "emulator.not_quiet",
			  "a request is answered although the emulator's own work is not "
			  "done: answers may differ",
			  LOG_S("error", late.message), LOG_END);
}

static enum MHD_Result begin(struct request *r, struct MHD_Connection *connection,
			     const char *method)
{
	r->begun = true;
	r->begun_ms = clock_mono_ms();
	if (r->server->o.front.settings->deterministic)
		let_work_end(r);
	ids_random.uuid(&ids_random, r->id);
	count_active(r->server, 1);
	r->route = route_of(r, connection, method);
	if (r->route == ROUTE_S3)
		return s3_request_begin(r->server->o.s3, connection, method, r->target,
					&r->s3);
	if (refuse_early(connection)) {
		r->body_too_large = true;
		return finish_api(r, connection, method);
	}
	return MHD_YES;
}

/* MHD answers only when all came; what never ends is cut off. */
static enum MHD_Result take_data(struct request *r, const char *data, size_t len)
{
	struct mh_err ignored; /* too much is told when all came */
	bool wanted;

	if (r->route == ROUTE_S3) {
		wanted = s3_request_data(r->s3, data, len);
	} else {
		wanted = !r->body_too_large &&
			 buf_add(&r->body, data, len, &ignored) == 0;
		r->body_too_large = !wanted;
	}
	if (!wanted)
		r->drained_bytes += (int64_t)len;
	return r->drained_bytes > DRAIN_MAX_BYTES ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection,
			      const char *url, const char *method, const char *version,
			      const char *upload_data, size_t *upload_data_size,
			      void **con_cls)
{
	struct request *r = *con_cls;

	(void)cls;
	(void)url; /* decoded by MHD: r->target is the true one */
	(void)version;
	if (!r->begun)
		return begin(r, connection, method);
	if (*upload_data_size > 0) {
		size_t len = *upload_data_size;

		*upload_data_size = 0;
		return take_data(r, upload_data, len);
	}
	switch (r->route) {
	case ROUTE_API:
		return finish_api(r, connection, method);
	case ROUTE_OWN:
		return server_finish_own(r, connection, method);
	case ROUTE_S3:
		return server_finish_s3(r, connection, method);
	}
	return MHD_NO;
}

/* ---- starting and stopping ---- */

static void log_mhd(void *cls, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void log_mhd(void *cls, const char *fmt, va_list ap)
{
	char text[256];
	int n = vsnprintf(text, sizeof(text), fmt, ap); /* cut at the size */

	(void)cls;
	if (n > 0 && n < (int)sizeof(text) && text[n - 1] == '\n')
		text[n - 1] = '\0';
	log_event(LOG_LEVEL_DEBUG, "http.trouble", text, LOG_END);
}

static struct MHD_Daemon *start_daemon(struct server *s, unsigned max_connections)
{
	const struct settings *settings = s->o.front.settings;
	const struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls.cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls.key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION |
			MHD_USE_ITC | MHD_USE_ERROR_LOG |
			(s->tls.cert ? MHD_USE_TLS : MHD_NO_FLAG),
		0, NULL, NULL, handle, s, /* the socket below has the port */
		MHD_OPTION_EXTERNAL_LOGGER, log_mhd,
		NULL, /* first: later options may log */
		MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_URI_LOG_CALLBACK,
		request_new, s, MHD_OPTION_NOTIFY_COMPLETED, request_free, NULL,
		MHD_OPTION_CONNECTION_LIMIT, max_connections,
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(settings->idle_timeout_ms / 1000),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_ARRAY, s->tls.cert ? tls : &tls[ARRAY_LEN(tls) - 1],
		MHD_OPTION_END);
}

static void server_free(struct server *s)
{
	(void)close(s->listen_fd); /* nothing was written to it */
	tls_done(&s->tls);
	sigv4_keys_free(s->keys);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int server_start(const struct server_options *options, struct server **ret,
		 struct mh_err *err)
{
	const struct settings *settings = options->front.settings;
	struct server *s = mh_alloc(sizeof(*s));
	unsigned max_connections = 0;

	s->o = *options;
	if (listen_connections(settings, &max_connections, err) != 0 ||
	    tls_read(settings, &s->tls, err) != 0 ||
	    listen_open(settings->listen, &s->listen_fd, &s->port, err) != 0) {
		tls_done(&s->tls);
		free(s);
		return -1;
	}
	/* The other half of the connections stays for other requests. */
	wait_hub_limit(options->hub, (int)(max_connections + 1) / 2);
	streams_limit(options->streams, (int)(max_connections + 3) / 4);
	s->keys = sigv4_keys_new(DERIVED_KEYS);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->daemon = start_daemon(s, max_connections);
	if (!s->daemon) {
		server_free(s);
		return mh_err_set(err, MH_E_SYS, "the HTTP server cannot start");
	}
	*ret = s;
	return 0;
}

int server_port(const struct server *s)
{
	return s->port;
}

/* Requests that run end by themselves, unless one takes too long. */
static void wait_until_idle(struct server *s)
{
	int64_t until_ms = clock_wall_ms() + STOP_WAIT_S * 1000;
	struct timespec until = { .tv_sec = until_ms / 1000,
				  .tv_nsec = until_ms % 1000 * 1000000 };

	pthread_mutex_lock(&s->lock);
	while (s->active > 0) {
		if (pthread_cond_timedwait(&s->idle, &s->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&s->lock);
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	(void)MHD_quiesce_daemon(
		s->daemon); /* gives the socket back: listen_fd, closed below */
	wait_hub_stop(s->o.hub);
	wait_until_idle(s);
	MHD_stop_daemon(s->daemon);
	server_free(s);
}
