#include "agent/s3_impl.h"

#include <stdio.h>
#include <string.h>

#include "agent/checksum.h"
#include "agent/metrics.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"
#include "lib/net/sigv4.h"
#include "lib/net/uri.h"

#define CODE_SIZE 64

int s3_new(struct aws *aws, const struct settings *settings, struct s3 **ret,
	   struct mh_err *err)
{
	struct s3 *s3 = mh_alloc(sizeof(*s3));
	CLEAN(free)
	char *url = settings->s3_endpoint ? mh_strdup(settings->s3_endpoint)
					  : aws_endpoint_url("s3", settings->region);

	s3->aws = aws;
	s3->settings = settings;
	s3->regional = !settings->s3_endpoint;
	TAILQ_INIT(&s3->aborts);
	if (aws_endpoint_init(&s3->endpoint, url, err) != 0) {
		free(s3);
		return mh_err_wrap(err, "s3_endpoint");
	}
	s3->is_address = s3->endpoint.host[0] == '[' ||
			 strspn(s3->endpoint.host, "0123456789.:") ==
				 strlen(s3->endpoint.host);
	*ret = s3;
	return 0;
}

void s3_free(struct s3 *s3)
{
	struct s3_call *call;

	if (!s3)
		return;
	while ((call = TAILQ_FIRST(&s3->aborts))) {
		TAILQ_REMOVE(&s3->aborts, call, link);
		s3_cancel(call);
	}
	aws_endpoint_done(&s3->endpoint);
	free(s3);
}

struct loop *s3_loop(const struct s3 *s3)
{
	return aws_loop(s3->aws);
}

const struct settings *s3_settings(const struct s3 *s3)
{
	return s3->settings;
}

/* Where one object is; the members are owned. */
struct address {
	char *origin, *host, *path;
};

/* No certificate covers a name with a dot, and no address has names below it. */
static bool names_bucket_in_host(const struct s3 *s3, const char *bucket)
{
	int style = s3->settings->s3_style;

	if (style == S3_STYLE_AUTO)
		style = s3->regional ? S3_STYLE_VIRTUAL : S3_STYLE_PATH;
	return style == S3_STYLE_VIRTUAL && !strchr(bucket, '.') && !s3->is_address;
}

static void address_of(const struct s3 *s3, const struct artifact *a, struct address *ret)
{
	CLEAN(free) char *key = uri_encode(a->key, strlen(a->key), true);

	if (names_bucket_in_host(s3, a->bucket)) {
		const char *host = strstr(s3->endpoint.origin, "://") + 3;

		ret->host = mh_format("%s.%s", a->bucket, s3->endpoint.host);
		ret->origin = mh_format("%.*s%s.%s", (int)(host - s3->endpoint.origin),
					s3->endpoint.origin, a->bucket, host);
		ret->path = mh_format("%s/%s", s3->endpoint.prefix, key);
		return;
	}
	ret->host = mh_strdup(s3->endpoint.host);
	ret->origin = mh_strdup(s3->endpoint.origin);
	ret->path = mh_format("%s/%s/%s", s3->endpoint.prefix, a->bucket, key);
}

static void address_done(struct address *a)
{
	free(a->origin);
	free(a->host);
	free(a->path);
}

/* --- answers ------------------------------------------------------------------------ */

/* The text between <Code> and </Code>, as far as it looks like a code. */
static void read_code(const char *body, char ret[CODE_SIZE])
{
	const char *at = strstr(body, "<Code>");
	size_t n = 0;

	if (at) {
		at += strlen("<Code>");
		n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01234"
			       "56789.");
	}
	if (n >= CODE_SIZE)
		n = CODE_SIZE - 1;
	memcpy(ret, at ? at : "", n);
	ret[n] = '\0';
}

enum s3_result s3_classify(long status, const char *code)
{
	static const struct {
		const char *code;
		enum s3_result result;
	} rows[] = {
		{ "ExpiredToken", S3_EXPIRED },
		{ "TokenRefreshRequired", S3_EXPIRED },
		{ "RequestTimeTooSkewed", S3_AGAIN },
		{ "RequestTimeout", S3_AGAIN },
		{ "SlowDown", S3_AGAIN },
		{ "ThrottlingException", S3_AGAIN },
		{ "OperationAborted", S3_AGAIN },
		{ "AccessDenied", S3_DENIED },
		{ "InvalidAccessKeyId", S3_DENIED },
		{ "SignatureDoesNotMatch", S3_DENIED },
		{ "InvalidToken", S3_DENIED },
		{ "NoSuchKey", S3_MISSING },
		{ "NoSuchBucket", S3_MISSING },
		{ "PreconditionFailed", S3_CHANGED },
		{ "InvalidRange", S3_CHANGED },
		{ "NoSuchUpload", S3_CHANGED },
		{ "InvalidPart", S3_CHANGED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].code, code) == 0)
			return rows[i].result;
	}
	if (status >= 500 || status == 429 || status == 408)
		return S3_AGAIN;
	if (status == 401 || status == 403)
		return S3_DENIED;
	if (status == 404)
		return S3_MISSING;
	if (status == 412 || status == 416)
		return S3_CHANGED;
	/* A refusal without a code of S3's is somebody else's (a proxy's), and may pass.
	 */
	return *code ? S3_BAD : S3_AGAIN;
}

/* A signature that does not match, right after the answer taught us another time. */
static bool is_skew(const struct s3_call *call, const char *code)
{
	int64_t moved = aws_skew_ms(call->s3->aws, "s3") - call->skew_used_ms;

	return strcmp(code, "SignatureDoesNotMatch") == 0 &&
	       (moved > AWS_SKEW_TELLING_MS || moved < -AWS_SKEW_TELLING_MS);
}

/* Spoilt on their way to the store: a part's hash was taken from the file just before. */
static bool is_spoilt_part(const struct s3_call *call, const char *code)
{
	return call->kind == S3_PART && (strcmp(code, "XAmzContentSHA256Mismatch") == 0 ||
					 strcmp(code, "BadDigest") == 0);
}

void s3_judge_refusal(const struct s3_call *call, const struct http_answer *http,
		      long status, struct s3_answer *a)
{
	const char *request_id = http_answer_header(http, "x-amz-request-id");
	char code[CODE_SIZE];

	read_code(buf_text(&http->body), code);
	a->result = is_skew(call, code) || is_spoilt_part(call, code)
			    ? S3_AGAIN
			    : s3_classify(status, code);
	(void)mh_err_set(&a->err, MH_E_REFUSED, "HTTP %ld%s%s%s%s", http->status,
			 *code ? " " : "", code, request_id ? ", request " : "",
			 request_id ? request_id : "");
	if (a->result == S3_BAD && http->status >= 300 && http->status < 400)
		(void)mh_err_wrap(&a->err,
				  "the bucket is somewhere else (another region?)");
}

/* "bytes 100-299/300": the size after the slash, or -1. */
static int64_t whole_size(const char *range)
{
	const char *slash = range ? strchr(range, '/') : NULL;
	struct mh_err ignored;
	int64_t size;

	if (!slash || str_to_i64(slash + 1, 0, INT64_MAX, "size", &size, &ignored) != 0)
		return -1;
	return size;
}

/* A whole answer, or the rest or the range that was asked for. */
static bool is_wanted_part(const struct s3_call *call, const struct http_answer *http)
{
	const char *range = http_answer_header(http, "content-range");
	CLEAN(free) char *want = mh_format("bytes %lld-", (long long)call->offset);

	if (call->offset == 0 && call->length == 0)
		return http->status == 200;
	if (http->status != 206 || !range || !str_starts_with(range, want))
		return false;
	return call->length == 0 || whole_size(range) == call->whole;
}

/* A broken answer may be whole next time; one over the limit, or a disk that is
 * full, will not. */
static void judge_transport(const struct s3_call *call, const struct http_answer *http,
			    struct s3_answer *a)
{
	a->err = http->err;
	a->timed_out = http->err.cls == MH_E_TIMEOUT;
	if (http->too_large && call->kind == S3_GET) {
		a->result = S3_TOO_LARGE;
		(void)mh_err_set(&a->err, MH_E_PROTO,
				 "it is larger than %lld bytes (input_max)",
				 (long long)call->max_bytes);
	} else if (http->err.cls == MH_E_FULL) {
		a->result = S3_BAD;
	} else if (http->err.cls == MH_E_PROTO &&
		   (call->offset > 0 || call->length > 0)) {
		a->result = S3_CHANGED; /* not the part asked for: begin anew */
	} else {
		a->result = S3_AGAIN;
	}
}

/* What does not fit counts as not sent. */
static void take_header(const struct http_answer *http, const char *name, char *ret,
			size_t size)
{
	const char *value = http_answer_header(http, name);

	if (value && strlen(value) < size)
		memcpy(ret, value, strlen(value) + 1);
}

static void take_facts(const struct http_answer *http, struct s3_answer *a)
{
	const char *length = http_answer_header(http, "content-length");
	struct mh_err ignored;

	take_header(http, "x-amz-checksum-sha256", a->sha256, sizeof(a->sha256));
	if (length) /* what does not parse counts as not sent */
		(void)!str_to_i64(length, 0, INT64_MAX, "length", &a->size, &ignored);
}

/* The strongest that is told of the whole object, or NULL. */
static const char *find_checksum(const struct http_answer *http,
				 char ret[S3_CHECKSUM_SIZE])
{
	for (size_t i = 0; checksum_names[i]; i++) {
		CLEAN(free)
		char *name = mh_concat("x-amz-checksum-", checksum_names[i]);

		*ret = '\0';
		take_header(http, name, ret, S3_CHECKSUM_SIZE);
		/* "...-3": made of the checksums of three parts. */
		if (*ret && !strchr(ret, '-'))
			return checksum_names[i];
	}
	return NULL;
}

/* Of an answer whose bytes went into the file. */
static void take_object(const struct s3_call *call, const struct http_answer *http,
			struct s3_answer *a)
{
	if (http->status != 200 && http->status != 206 && http->file_bytes == 0)
		return;
	if (call->offset > 0 || call->length > 0) {
		a->size = whole_size(http_answer_header(http, "content-range"));
		return;
	}
	take_facts(http, a);
	a->checksum_name = find_checksum(http, a->checksum);
}

/* The bytes as they come; which checksum is wanted stands in the same answer. */
static void on_bytes(void *ctx, const struct http_answer *so_far, const void *data,
		     size_t len)
{
	struct s3_call *call = ctx;
	char ignored[S3_CHECKSUM_SIZE];
	const char *name;

	if (!call->sum_begun) {
		name = find_checksum(so_far, ignored);
		if (!name || !checksum_begin(call->sum, name))
			call->sum = NULL;
		call->sum_begun = true;
	}
	if (call->sum)
		checksum_update(call->sum, data, len);
}

static void judge(const struct s3_call *call, const struct http_answer *http,
		  struct s3_answer *a)
{
	take_header(http, "etag", a->etag, sizeof(a->etag));
	a->bytes = http->file_bytes;
	a->cut = http->cut;
	if (call->kind == S3_GET)
		take_object(call, http, a);
	if (http->status == 0) {
		judge_transport(call, http, a);
	} else if (http->status != 200 && (call->kind != S3_GET || http->status != 206)) {
		s3_judge_refusal(call, http, http->status, a);
	} else if (call->kind == S3_CREATE) {
		s3_judge_created(http, a);
	} else if (call->kind == S3_COMPLETE) {
		s3_judge_completed(call, http, a);
	} else if (!*a->etag) {
		a->result = S3_AGAIN;
		(void)mh_err_set(&a->err, MH_E_PROTO, "HTTP %ld without an ETag",
				 http->status);
	} else if (call->kind == S3_HEAD) {
		take_facts(http, a);
	} else if (call->kind == S3_GET && !is_wanted_part(call, http)) {
		a->result = S3_CHANGED;
		(void)mh_err_set(&a->err, MH_E_PROTO,
				 "HTTP %ld is not the part asked for", http->status);
	} else if (call->length > 0 && a->bytes != call->length) {
		a->result = S3_AGAIN;
		(void)mh_err_set(&a->err, MH_E_NET, "the answer broke off");
	}
}

/* For metrics: never a word of the store's own. */
static const char *code_label(const struct http_answer *http, enum s3_result result)
{
	static const char *const labels[] = {
		[S3_OK] = "ok",
		[S3_AGAIN] = "again",
		[S3_EXPIRED] = "expired",
		[S3_DENIED] = "denied",
		[S3_MISSING] = "missing",
		[S3_CHANGED] = "changed",
		[S3_TOO_LARGE] = "too_large",
		[S3_BAD] = "refused",
	};

	if (result != S3_AGAIN)
		return labels[result];
	if (http->status == 0)
		return "no_answer";
	return http->status >= 500 ? "http_5xx" : labels[result];
}

static void observe(const struct s3_call *call, const struct http_answer *http,
		    const struct s3_answer *a)
{
	static const char *const ops[] = {
		[S3_GET] = "S3 GET",           [S3_PUT] = "S3 PUT",
		[S3_CREATE] = "S3 create",     [S3_PART] = "S3 part",
		[S3_COMPLETE] = "S3 complete", [S3_HEAD] = "S3 HEAD",
	};
	const char *op = ops[call->kind];
	const char *dir = call->kind == S3_GET ? "in" : "out";
	int64_t took_ms = clock_mono_ms() - call->sent_ms;
	char code[CODE_SIZE];

	METRIC_INC(METRIC_API_REQUESTS, op, code_label(http, a->result));
	METRIC_TIME(METRIC_API_DURATION, took_ms, op);
	if (call->kind <= S3_PART)
		METRIC_TIME(METRIC_ARTIFACT_DURATION, took_ms, dir);
	/* What a store that said no has taken in cannot be known. */
	if (call->kind == S3_GET)
		METRIC_ADD(METRIC_ARTIFACT_BYTES, (uint64_t)a->bytes, dir);
	else if (a->result == S3_OK && call->size > 0)
		METRIC_ADD(METRIC_ARTIFACT_BYTES, (uint64_t)call->size, dir);
	read_code(buf_text(&http->body), code);
	if (http->status >= 400 && (strcmp(code, "SlowDown") == 0 || http->status == 429))
		METRIC_INC(METRIC_THROTTLED, op);
}

static void answered(void *ctx, struct http_answer *http)
{
	struct s3_call *call = ctx;
	struct s3_answer a = { .result = S3_OK, .size = -1 };
	s3_done_fn done = call->done;
	void *done_ctx = call->ctx;

	if (call->kind == S3_GET)
		FAULT_POINT("fetch.answer");
	else
		FAULT_POINT("store.answer");
	judge(call, http, &a);
	observe(call, http, &a);
	free(call);
	done(done_ctx, &a);
}

/* --- requests ----------------------------------------------------------------------- */

static struct s3_call *send_call(struct s3 *s3, enum s3_kind kind,
				 const struct artifact *artifact, struct aws_request *r,
				 aws_done_fn on_answer)
{
	struct s3_call *call = mh_alloc(sizeof(*call));
	struct address at = { 0 };

	*call = (struct s3_call){ .kind = kind,
				  .s3 = s3,
				  .sent_ms = clock_mono_ms(),
				  .skew_used_ms = aws_skew_ms(s3->aws, "s3") };
	if (r->body_fd > 0)
		call->size = (int64_t)r->body_len;
	address_of(s3, artifact, &at);
	r->service = "s3";
	r->origin = at.origin;
	r->host = at.host;
	r->path = at.path;
	if (r->stall_ms == 0)
		r->stall_ms = s3->settings->stall_timeout_ms;
	if (r->answer_fd > 0 || r->body_fd > 0) /* artifacts: a trickle is no progress */
		r->stall_bytes = s3->settings->min_speed_bytes * r->stall_ms / 1000;
	r->tap_ctx = call;
	if (kind == S3_GET)
		FAULT_POINT("fetch.send");
	else
		FAULT_POINT("store.send");
	call->http = aws_send(s3->aws, r, on_answer, call);
	if (kind == S3_GET)
		FAULT_POINT("fetch.sent");
	else
		FAULT_POINT("store.sent");
	address_done(&at);
	return call;
}

struct s3_call *s3_send(struct s3 *s3, enum s3_kind kind, const struct artifact *artifact,
			struct aws_request *r, s3_done_fn done, void *ctx)
{
	struct s3_call *call = send_call(s3, kind, artifact, r, answered);

	call->done = done;
	call->ctx = ctx;
	return call;
}

struct s3_call *s3_send_abort(struct s3 *s3, const struct artifact *artifact,
			      struct aws_request *r, aws_done_fn on_answer)
{
	return send_call(s3, S3_ABORT, artifact, r, on_answer);
}

static char *range_header(const struct s3_get *get)
{
	if (get->length == 0)
		return mh_format("Range: bytes=%lld-", (long long)get->offset);
	return mh_format("Range: bytes=%lld-%lld", (long long)get->offset,
			 (long long)(get->offset + get->length - 1));
}

struct s3_call *s3_get(struct s3 *s3, const struct s3_get *get, s3_done_fn done,
		       void *ctx)
{
	bool whole = get->offset == 0 && get->length == 0;
	CLEAN(free) char *range = range_header(get);
	CLEAN(free) char *match = mh_format("If-Match: %s", get->etag ? get->etag : "");
	const char *const headers[] = { whole ? "x-amz-checksum-mode: ENABLED" : range,
					whole ? NULL : match, NULL };
	struct aws_request r = {
		.method = "GET",
		.creds = get->creds,
		.headers = headers,
		.body_fd = -1,
		.payload_hash = sigv4_empty_hash,
		.answer_fd = get->fd,
		.answer_offset = get->offset,
		.max_file = get->length ? get->length : get->max_bytes - get->offset,
		.tap = get->sum ? on_bytes : NULL,
		.cut_above = get->cut_above,
		.cut_at = get->cut_at,
		.timeout_ms = get->timeout_ms,
	};
	struct s3_call *call;

	MH_ASSERT(get->offset < get->max_bytes);
	call = s3_send(s3, S3_GET, get->artifact, &r, done, ctx);
	call->sum = get->sum;
	call->sum_begun = get->sum_begun;
	call->offset = get->offset;
	call->max_bytes = get->max_bytes;
	call->length = get->length;
	call->whole = get->size;
	return call;
}

struct s3_call *s3_put(struct s3 *s3, const struct s3_put *put, s3_done_fn done,
		       void *ctx)
{
	CLEAN(free)
	char *kms = mh_format("x-amz-server-side-encryption-aws-kms-key-id: %s",
			      put->kms_key_id ? put->kms_key_id : "");
	const char *const headers[] = { "Content-Type: application/octet-stream",
					"x-amz-server-side-encryption: aws:kms",
					put->kms_key_id ? kms : NULL, NULL };
	struct aws_request r = {
		.method = "PUT",
		.creds = put->creds,
		.headers = headers,
		.body_len = (size_t)put->size,
		.body_fd = put->fd,
		.payload_hash = put->sha256,
		.answer_fd = -1,
		.timeout_ms = put->timeout_ms,
	};

	return s3_send(s3, S3_PUT, put->artifact, &r, done, ctx);
}

void s3_cancel(struct s3_call *call)
{
	if (!call)
		return;
	aws_cancel(call->http);
	free(call->upload_id);
	free(call);
}
