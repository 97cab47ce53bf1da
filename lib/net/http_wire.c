/* A call that curl carries out: its handle's options, its callbacks, what came back. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/net/http_call.h"

static void must(CURLcode code)
{
	if (code != CURLE_OK)
		MH_BUG(curl_easy_strerror(code)); /* no memory, or an unknown option */
}

/* ---- the request ---- */

static bool was_sent(const struct http_call *call)
{
	long bytes = 0;

	(void)curl_easy_getinfo(call->transfer.easy, CURLINFO_REQUEST_SIZE,
				&bytes); /* cannot fail */
	return bytes > 0;
}

curl_socket_t http_open_socket(int64_t stall_ms, const struct curl_sockaddr *address)
{
	unsigned timeout_ms = (unsigned)stall_ms;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
			address->protocol);

	/* A peer that vanished ends the connection; a kernel without it does not. */
	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
				 sizeof timeout_ms);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	struct http_call *call = ctx;
	curl_socket_t fd = http_open_socket(call->stall_ms, address);

	(void)purpose; /* there is but one */
	/* Another address may do: only a lack of descriptors is final. */
	if (fd == CURL_SOCKET_BAD && (errno == EMFILE || errno == ENFILE))
		(void)mh_err_sys(&call->answer.err, "%s: socket", call->label);
	return fd;
}

static size_t read_body(char *out, size_t size, size_t count, void *ctx)
{
	struct http_call *call = ctx;
	int64_t left = call->body_len - call->body_read;
	size_t want = size * count;
	ssize_t n;

	if ((int64_t)want > left)
		want = (size_t)left;
	if (call->body) {
		memcpy(out, call->body + call->body_read, want);
		n = (ssize_t)want;
	} else if (want == 0) {
		n = 0;
	} else {
		do
			n = pread(call->body_fd, out, want,
				  call->body_offset + call->body_read);
		while (n < 0 && errno == EINTR);
		if (n < 0) {
			(void)mh_err_sys(&call->answer.err, "%s: body file", call->label);
			return CURL_READFUNC_ABORT;
		}
		if (n == 0) {
			(void)mh_err_set(&call->answer.err, MH_E_SYS,
					 "%s: the body file is shorter than %lld bytes",
					 call->label, (long long)call->body_len);
			return CURL_READFUNC_ABORT;
		}
	}
	call->body_read += n;
	return (size_t)n;
}

/* A body is never sent a second time by libcurl itself: what was sent on a dead
 * connection may have arrived, and only the caller knows whether that matters. */
static int refuse_resend(void *ctx, curl_off_t offset, int origin)
{
	(void)ctx;
	(void)offset;
	(void)origin;
	return CURL_SEEKFUNC_FAIL;
}

static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-')
			continue; /* nearly all */
		if (c <= ' ' || c == 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
			return false;
	}
	return len > 0;
}

int http_check_header(const char *line, size_t *ret_name_len, struct mh_err *err)
{
	const char *colon = strchr(line, ':');
	size_t name_len = colon ? (size_t)(colon - line) : strlen(line);

	if (!colon || !is_token(line, name_len))
		return mh_err_set(err, MH_E_CONFIG, "'%.*s' is not a header name",
				  (int)name_len, line);
	if (strchr(colon, '\r') || strchr(colon, '\n'))
		return mh_err_set(err, MH_E_CONFIG,
				  "the header %.*s has a line break in its value",
				  (int)name_len, line);
	*ret_name_len = name_len;
	return 0;
}

static int add_header(struct http_call *call, const char *line, struct mh_err *err)
{
	CLEAN(free) char *empty = NULL;
	struct curl_slist *list;
	const char *value;
	size_t name_len;

	if (http_check_header(line, &name_len, err) != 0)
		return mh_err_wrap(err, "%s", call->label);
	value = line + name_len + 1;
	value += strspn(value, " \t");
	/* "Name;" is how curl is told to send a header without a value. */
	if (!*value)
		empty = mh_format("%.*s;", (int)name_len, line);
	list = curl_slist_append(call->headers, empty ? empty : line);
	MH_ASSERT(list); /* no memory */
	call->headers = list;
	if (strncasecmp(line, "Range:", 6) == 0 && str_starts_with(value, "bytes=")) {
		const char *from = value + 6;
		CLEAN(free) char *digits = mh_strndup(from, strspn(from, "0123456789"));
		struct mh_err ignored;

		/* A range that counts from the end has no start to compare. */
		(void)!str_to_i64(digits, 0, INT64_MAX, "range", &call->range_from,
				  &ignored);
	}
	return 0;
}

bool http_has_header(const struct http_request *request, const char *name)
{
	size_t len = strlen(name);

	for (const char *const *h = request->headers; h && *h; h++) {
		if (strncasecmp(*h, name, len) == 0 && (*h)[len] == ':')
			return true;
	}
	return false;
}

static int set_headers(struct http_call *call, const struct http_request *request,
		       struct mh_err *err)
{
	/* What curl would add unasked; a line that ends in ':' takes it away. */
	static const char *const unwanted[][2] = { { "Expect", "Expect:" },
						   { "Accept", "Accept:" },
						   { "Content-Type", "Content-Type:" } };

	for (const char *const *h = request->headers; h && *h; h++) {
		if (add_header(call, *h, err) != 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(unwanted); i++) {
		struct curl_slist *list;

		if (http_has_header(request, unwanted[i][0]))
			continue;
		list = curl_slist_append(call->headers, unwanted[i][1]);
		MH_ASSERT(list); /* no memory */
		call->headers = list;
	}
	must(curl_easy_setopt(call->transfer.easy, CURLOPT_HTTPHEADER, call->headers));
	return 0;
}

static void set_url(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->transfer.easy;

	must(curl_easy_setopt(easy, CURLOPT_URL, request->url));
	must(curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L));
	must(curl_easy_setopt(easy, CURLOPT_PROXY, call->target->is_near ? "" : NULL));
}

static int set_body(struct http_call *call, const struct http_request *request,
		    struct mh_err *err)
{
	CURL *easy = call->transfer.easy;
	bool with_body = request->body_len > 0 || strcmp(request->method, "PUT") == 0 ||
			 strcmp(request->method, "POST") == 0;

	call->body_fd = request->body_fd;
	call->body_offset = request->body_offset;
	call->body_len = (int64_t)request->body_len;
	if (call->body_len < 0)
		return mh_err_set(err, MH_E_CONFIG, "%s: body too large", call->label);
	if (request->body_len > 0 && request->body) {
		call->body = mh_alloc(request->body_len);
		memcpy(call->body, request->body, request->body_len);
	} else if (request->body_len > 0 && request->body_fd <= 0) {
		return mh_err_set(err, MH_E_CONFIG, "%s: a body length but no body",
				  call->label);
	}
	if (strcmp(request->method, "HEAD") == 0) {
		must(curl_easy_setopt(easy, CURLOPT_NOBODY, 1L));
		return 0;
	}
	must(curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method));
	if (!with_body)
		return 0;
	must(curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L));
	must(curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
			      (curl_off_t)call->body_len));
	must(curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body));
	must(curl_easy_setopt(easy, CURLOPT_READDATA, call));
	must(curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, refuse_resend));
	if (!call->body && call->body_len > 0)
		must(curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
				      (long)HTTP_FILE_BUFFER_BYTES));
	return 0;
}

/* ---- the answer ---- */

static long status_of(const struct http_call *call)
{
	long status = 0;

	(void)curl_easy_getinfo(call->transfer.easy, CURLINFO_RESPONSE_CODE,
				&status); /* cannot fail */
	return status;
}

/* Callbacks that find the answer unusable note why and make curl end the transfer. */
static int refuse(struct http_call *call, const char *why)
{
	return mh_err_set(&call->answer.err, MH_E_PROTO, "%s: %s", call->label, why);
}

static void start_headers(struct http_call *call)
{
	http_header_list_free(call->answer.headers);
	call->answer.headers = mh_alloc(sizeof *call->answer.headers);
	call->answer.received_ms = clock_wall_ms();
}

static int take_header(struct http_call *call, const char *line, size_t len)
{
	struct http_header_list *list = call->answer.headers;
	const char *colon = memchr(line, ':', len);
	struct http_header *h;
	char *text;

	if (!colon || colon == line || memchr(line, '\0', len))
		return 0; /* no header: as good as not sent */
	list->bytes += len;
	if (list->count == HTTP_MAX_HEADERS || list->bytes > HTTP_MAX_HEADER_BYTES)
		return refuse(call, "the answer has too many headers");
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : HTTP_USUAL_HEADERS;
		list->items = mh_realloc(list->items, list->room * sizeof *list->items);
	}
	text = mh_strndup(line, len);
	h = &list->items[list->count++];
	h->name = text;
	h->name_len = (size_t)(colon - line);
	text[h->name_len] = '\0';
	h->value = text + h->name_len + 1;
	h->value += strspn(h->value, " \t");
	return 0;
}

static int check_range(struct http_call *call, long status)
{
	const char *range = http_answer_header(&call->answer, "Content-Range");
	CLEAN(free) char *begins = NULL;

	if (call->range_from < 0)
		return 0;
	if (status == 200 && call->range_from > 0)
		return refuse(call, "the server ignored the range");
	if (status != 206)
		return 0;
	begins = mh_format("bytes %lld-", (long long)call->range_from);
	if (!range || !str_starts_with(range, begins))
		return refuse(call, "the server answered with another range");
	return 0;
}

static int end_headers(struct http_call *call)
{
	long status = status_of(call);
	curl_off_t length = -1;

	if (status < 200)
		return 0; /* 100 Continue and its like: the answer is still to come */
	call->headers_done = true;
	http_answer_facts(&call->answer);
	call->to_file = call->answer_fd > 0 && (status == 200 || status == 206);
	if (check_range(call, status) != 0)
		return -1;
	(void)curl_easy_getinfo(call->transfer.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
				&length); /* cannot fail */
	if (call->to_file && call->max_file > 0 && length > call->max_file)
		return http_file_too_large(call);
	if (!call->to_file || length <= call->cut_above)
		call->cut_at = 0;
	call->announced = length;
	return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
	struct http_call *call = ctx;
	size_t len = size * count;
	size_t text_len = len;
	int result = 0;

	while (text_len > 0 && strchr("\r\n \t", data[text_len - 1]) &&
	       data[text_len - 1] != '\0')
		text_len--;
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0 && !call->headers_done)
		start_headers(call);
	else if (call->headers_done || !call->answer.headers)
		result = 0; /* trailers are not headers */
	else if (text_len == 0)
		result = end_headers(call);
	else
		result = take_header(call, data, text_len);
	return result == 0 ? len : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_call *call = ctx;
	size_t len = size * count;
	struct mh_err err;

	if (call->to_file)
		return http_file_write(call, data, len) == 0 ? len : 0;
	if (buf_add(&call->answer.body, data, len, &err) != 0) {
		(void)http_file_too_large(call);
		return 0;
	}
	return len;
}

static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down,
		       curl_off_t up_total, curl_off_t up)
{
	struct http_call *call = ctx;

	(void)down_total;
	(void)up_total;
	if (down + up - call->moved_bytes >= call->stall_bytes) {
		call->moved_bytes = down + up;
		call->moved_mono_ms = clock_mono_ms();
	}
	return 0;
}

void http_wire_constants(CURL *easy, const struct http_options *options)
{
	int64_t connect_ms = options->connect_timeout_ms;

	must(curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L));
	must(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
	must(curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L));
#if LIBCURL_VERSION_NUM >= 0x075500
	must(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
#else
	must(curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
			      (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)));
#endif
	/* One connection a transfer: bulk transfers must not share one. */
	must(curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1));
	must(curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2));
	must(curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L));
	must(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			      (long)(connect_ms ? connect_ms : HTTP_CONNECT_MS)));
	if (options->ca_file)
		must(curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file));
	if (options->user_agent)
		must(curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent));
}

/* This call's: where callbacks find it, and its limits. */
static void set_call(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->transfer.easy;

	call->answer_fd = request->answer_fd;
	call->answer_offset = request->answer_offset;
	call->max_file = request->max_file;
	call->cut_above = request->cut_above;
	call->cut_at = request->cut_above > 0 ? request->cut_at : 0;
	call->tap = request->tap;
	call->tap_ctx = request->tap_ctx;
	call->curl_text = mh_alloc(CURL_ERROR_SIZE);
	must(curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header));
	must(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
	must(curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress));
	must(curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L));
	must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket));
	must(curl_easy_setopt(easy, CURLOPT_HEADERDATA, call));
	must(curl_easy_setopt(easy, CURLOPT_WRITEDATA, call));
	must(curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call));
	must(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call));
	must(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text));
	must(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms));
	if (call->answer_fd > 0)
		http_file_set_up(call);
}

int http_wire_set_up(struct http_call *call, const struct http_request *request,
		     struct mh_err *err)
{
	call->label = mh_concat(request->method, " ", call->target->name);
	call->transfer.easy = curl_easy_init();
	MH_ASSERT(call->transfer.easy); /* no memory */
	http_wire_constants(call->transfer.easy, &call->client->options);
	set_call(call, request);
	set_url(call, request);
	if (set_headers(call, request, err) != 0 || set_body(call, request, err) != 0)
		return -1;
	return 0;
}

enum mh_err_class http_class_of(CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return MH_E_TIMEOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CACERT_BADFILE:
		return MH_E_CONFIG;
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: what came was no HTTP */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		return MH_E_PROTO;
	default:
		return MH_E_NET;
	}
}

/* When the request itself began to go out: connecting is not part of the time that
 * the server's clock is compared over. */
static int64_t sent_at(const struct http_call *call)
{
	curl_off_t us = 0;

	(void)curl_easy_getinfo(call->transfer.easy, CURLINFO_PRETRANSFER_TIME_T,
				&us); /* cannot fail */
	return call->start_wall_ms + us / 1000;
}

void http_wire_finish(struct http_call *call, CURLcode code)
{
	struct http_answer *answer = &call->answer;

	answer->sent = was_sent(call);
	answer->sent_ms = sent_at(call);
	if (answer->received_ms == 0)
		answer->received_ms = clock_wall_ms();
	http_file_finish(call);
	answer->cut = answer->cut && answer->err.cls == MH_OK; /* what was cut is there */
	if ((code == CURLE_OK && call->headers_done && !call->held_lost) || answer->cut) {
		answer->status = status_of(call);
		answer->err = (struct mh_err)MH_ERR_INIT;
		return;
	}
	answer->status = 0;
	if (answer->err.cls != MH_OK)
		return;
	/* curl takes a connection that ends within the headers for a whole answer. */
	(void)mh_err_set(&answer->err, http_class_of(code), "%s: %s", call->label,
			 code == CURLE_OK   ? "the answer broke off"
			 : *call->curl_text ? call->curl_text
					    : curl_easy_strerror(code));
}
