/*
 * HTTP targets: an event is the body of a POST, a 2xx its receipt. Notifications of
 * approvals are sent as SNS sends them raw: the message alone, with SNS's headers.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "emulator/events/sink.h"
#include "lib/base/json.h"

#define CONNECT_MS 5000
#define REQUEST_MS 30000

int sink_http_init(struct mh_err *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return mh_err_set(err, MH_E_SYS, "libcurl cannot start");
	return 0;
}

static bool wants(const struct sink *s, const struct event *e)
{
	if (!s->topic || !e->topic)
		return !s->topic && !e->topic;
	return strcmp(s->topic, "*") == 0 || strcmp(s->topic, e->topic) == 0;
}

/* ---- curl's side ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	(void)ctx;
	(void)purpose; /* all are alike: not for the programs that are started */
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* What the target says is not read. */
static size_t drop_body(char *data, size_t size, size_t count, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * count;
}

/* Asked about once a second: the server stops, and the request is over. */
static int is_over(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct sink *s = ctx;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return bell_is_stopped(s->bell);
}

/* None of these can fail with a curl that is new enough to be built against. */
static CURL *new_handle(const struct sink *s)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		return NULL;
	(void)curl_easy_setopt(curl, CURLOPT_URL, s->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS,
			       (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
	(void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_over);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, s);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "millhand-emulator");
	return curl;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name,
				     const char *value)
{
	CLEAN(free) char *line = mh_format("%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(list, line);

	MH_ASSERT(longer); /* no memory */
	return longer;
}

/* ---- one request ---- */

/* What it says of the event itself: the same will be said again. */
static bool is_refusal(long status)
{
	return status == 400 || status == 413 || status == 415 || status == 422;
}

static int post(struct sink *s, const char *body, struct curl_slist *headers,
		long *ret_status, struct mh_err *err)
{
	CURLcode rc;

	if (!s->handle)
		s->handle = new_handle(s);
	if (!s->handle)
		return mh_err_set(err, MH_E_SYS, "libcurl has no handle");
	(void)curl_easy_setopt(s->handle, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(s->handle, CURLOPT_POSTFIELDS, body);
	rc = curl_easy_perform(s->handle);
	(void)curl_easy_setopt(s->handle, CURLOPT_HTTPHEADER, NULL);
	if (rc != CURLE_OK)
		return mh_err_set(err, MH_E_NET, "%s", curl_easy_strerror(rc));
	(void)curl_easy_getinfo(s->handle, CURLINFO_RESPONSE_CODE, ret_status);
	return 0;
}

/* A notification's message, and its headers as SNS has them. */
static char *notification(const struct event *e, struct curl_slist **headers)
{
	CLEAN(json) struct json_object *o = NULL;
	struct json_object *detail;
	struct mh_err ignored; /* what we wrote ourselves can be read */

	if (json_parse_object(e->body, strlen(e->body), &o, &ignored) != 0)
		return NULL;
	detail = json_opt_object(o, "detail");
	*headers = add_header(*headers, "x-amz-sns-message-type", "Notification");
	*headers = add_header(*headers, "x-amz-sns-message-id",
			      json_opt_str(o, "id", ""));
	*headers = add_header(*headers, "x-amz-sns-rawdelivery", "true");
	if (*e->topic)
		*headers = add_header(*headers, "x-amz-sns-topic-arn", e->topic);
	return mh_strdup(json_text(json_opt_object(detail, "message")));
}

static int deliver_one(struct sink *s, const struct event *e, struct mh_err *err)
{
	struct curl_slist *headers = add_header(NULL, "Content-Type",
						e->topic ? "text/plain; charset=UTF-8"
							 : "application/json");
	CLEAN(free)
	char *body = e->topic ? notification(e, &headers) : mh_strdup(e->body);
	long status = 0;
	int rc;

	if (s->authorization)
		headers = add_header(headers, "Authorization", s->authorization);
	rc = body ? post(s, body, headers, &status, err) : 0;
	curl_slist_free_all(headers);
	if (rc != 0)
		return -1;
	if (!body || (status >= 200 && status < 300))
		return 0;
	return mh_err_set(err, is_refusal(status) ? MH_E_REFUSED : MH_E_NET,
			  "it answered %ld", status);
}

static int deliver(struct sink *s, const struct event *const *events, size_t count,
		   size_t *ret_done, struct mh_err *err)
{
	for (*ret_done = 0; *ret_done < count; (*ret_done)++) {
		if (deliver_one(s, events[*ret_done], err) != 0)
			return -1;
	}
	return 0;
}

static void close_http(struct sink *s)
{
	curl_easy_cleanup(s->handle); /* NULL is nothing */
	s->handle = NULL;
}

const struct sink_kind sink_http = {
	.wants = wants,
	.deliver = deliver,
	.close = close_http,
};
