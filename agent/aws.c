#include "agent/aws.h"

#include <string.h>

#include "agent/trim.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/net/sigv4.h"
#include "lib/net/uri.h"

#define HEADERS_MAX         16
#define DERIVED_KEYS        16
#define SERVICES            3 /* API, store, token service */
#define SKEW_ELAPSED_MAX_MS (15 * 60 * INT64_C(1000))

struct aws {
	struct http_client *http; /* borrowed */
	char *region;
	struct sigv4_keys *keys; /* most requests are signed with the same one */
	/* Of the services' clocks, which need not be of one server: an answer of the
	 * store must not mislead the next call of the API. */
	struct skew {
		bool known;
		int64_t ms;
	} skews[SERVICES];
};

struct aws_call {
	struct aws *aws;
	struct skew *skew; /* of the service it is for: in aws */
	struct http_call *http;
	aws_done_fn done;
	void *ctx;
	bool held;
};

/* --- endpoints ------------------------------------------------------------------ */

int aws_endpoint_init(struct aws_endpoint *e, const char *url, struct mh_err *err)
{
	CLEAN(uri) struct uri u = { 0 };
	size_t len;

	if (uri_parse(url, &u, err) != 0)
		return -1;
	e->host = uri_host_header(&u);
	e->origin = mh_format("%s://%s", u.scheme, e->host);
	len = strlen(u.path);
	while (len > 0 && u.path[len - 1] == '/')
		len--;
	e->prefix = mh_strndup(u.path, len);
	return 0;
}

void aws_endpoint_done(struct aws_endpoint *e)
{
	free(e->origin);
	free(e->host);
	free(e->prefix);
	*e = (struct aws_endpoint){ 0 };
}

char *aws_endpoint_url(const char *host_prefix, const char *region)
{
	const char *tail = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";

	return mh_format("https://%s.%s.amazonaws.com%s", host_prefix, region, tail);
}

/* --- clock skew (semantics A12) --------------------------------------------------- */

/* A date from 2000 to 2999: any other is a damaged header, and what it would teach
 * cannot be written into a signature. */
#define DATE_MIN_MS 946684800000
#define DATE_MAX_MS 32503679999999

bool aws_skew_of(int64_t server_date_ms, int64_t age_s, int64_t sent_ms,
		 int64_t received_ms, int64_t *ret_ms)
{
	int64_t elapsed = received_ms - sent_ms;

	/* A cached answer's Date is old, and a clock that was set meanwhile, or an
	 * answer that took that long, says nothing. */
	if (server_date_ms < DATE_MIN_MS || server_date_ms > DATE_MAX_MS || age_s >= 0 ||
	    elapsed < 0 || elapsed > SKEW_ELAPSED_MAX_MS)
		return false;
	*ret_ms = server_date_ms - (sent_ms + elapsed / 2);
	return true;
}

static size_t index_of_service(const char *service)
{
	if (strcmp(service, "s3") == 0)
		return 1;
	return strcmp(service, "sts") == 0 ? 2 : 0;
}

/* Until a service has told its own time, another's is the better guess. */
int64_t aws_skew_ms(const struct aws *aws, const char *service)
{
	const struct skew *own = &aws->skews[index_of_service(service)];

	for (size_t i = 0; i < SERVICES && !own->known; i++) {
		if (aws->skews[i].known)
			return aws->skews[i].ms;
	}
	return own->ms;
}

/* --- sending ------------------------------------------------------------------------ */

struct aws *aws_new(struct http_client *http, const char *region)
{
	struct aws *aws = mh_alloc(sizeof(*aws));

	aws->http = http;
	aws->region = mh_strdup(region);
	aws->keys = sigv4_keys_new(DERIVED_KEYS);
	return aws;
}

void aws_free(struct aws *aws)
{
	if (!aws)
		return;
	sigv4_keys_free(aws->keys);
	free(aws->region);
	free(aws);
}

struct loop *aws_loop(const struct aws *aws)
{
	return http_client_loop(aws->http);
}

/* The request's headers, split for the signer, and the lines to send. */
struct header_set {
	struct sigv4_header pairs[HEADERS_MAX];
	char *names[HEADERS_MAX];
	size_t count;
	const char *lines[HEADERS_MAX + 8];
	size_t line_count;
};

static void add_headers(struct header_set *set, const struct aws_request *r)
{
	set->pairs[0] = (struct sigv4_header){ "host", r->host };
	set->count = 1;
	for (const char *const *line = r->headers; line && *line; line++) {
		const char *colon = strchr(*line, ':');

		MH_ASSERT(colon && set->count < HEADERS_MAX);
		set->names[set->count] = mh_strndup(*line, (size_t)(colon - *line));
		set->pairs[set->count] = (struct sigv4_header){
			set->names[set->count], colon + 1 + strspn(colon + 1, " ")
		};
		set->count++;
		set->lines[set->line_count++] = *line;
	}
}

static void sign(struct aws *aws, const struct aws_request *r, struct header_set *set,
		 struct sigv4_result *ret)
{
	char hash[SIGV4_HASH_HEX_SIZE];
	struct sigv4_request to_sign = {
		.method = r->method,
		.path = r->path,
		.query = r->query,
		.headers = set->pairs,
		.header_count = set->count,
		.payload_hash = r->payload_hash,
		.keys = aws->keys,
	};
	struct sigv4_creds creds = { r->creds->access_key_id, r->creds->secret_access_key,
				     r->creds->session_token };
	struct sigv4_scope scope = { aws->region, r->service,
				     clock_wall_ms() + aws_skew_ms(aws, r->service) };

	if (!to_sign.payload_hash) {
		sigv4_hash_hex(r->body ? r->body : "", r->body ? r->body_len : 0, hash);
		to_sign.payload_hash = hash;
	}
	sigv4_sign(&to_sign, &creds, &scope, ret);
}

static void answered(void *ctx, struct http_answer *answer)
{
	struct aws_call *call = ctx;
	aws_done_fn done = call->done;
	void *done_ctx = call->ctx;
	int64_t skew;

	/* Of every answer, good or bad: a stale offset heals by itself. */
	if (answer->status != 0 && !call->held &&
	    aws_skew_of(answer->server_date_ms, answer->age_s, answer->sent_ms,
			answer->received_ms, &skew))
		*call->skew = (struct skew){ true, skew };
	free(call);
	trim_heap_after(answer->body.len);
	done(done_ctx, answer);
}

struct aws_call *aws_send(struct aws *aws, const struct aws_request *r, aws_done_fn done,
			  void *ctx)
{
	struct aws_call *call = mh_alloc(sizeof(*call));
	struct header_set set = { 0 };
	struct sigv4_result signature = { 0 };
	CLEAN(free) char *query = r->query ? uri_query_canonical(r->query) : NULL;
	CLEAN(free)
	char *url = mh_concat(r->origin, r->path, query ? "?" : "", query ? query : "");
	CLEAN(free) char *authorization = NULL;
	struct http_request request;

	add_headers(&set, r);
	sign(aws, r, &set, &signature);
	for (size_t i = 0; i < signature.added_count; i++)
		set.lines[set.line_count++] = signature.added[i];
	authorization = mh_concat("Authorization: ", signature.authorization);
	set.lines[set.line_count++] = authorization;

	request = (struct http_request){
		.method = r->method,
		.url = url,
		.headers = set.lines,
		.body = r->body,
		.body_len = r->body_len,
		.body_fd = r->body_fd,
		.body_offset = r->body_offset,
		.answer_fd = r->answer_fd,
		.answer_offset = r->answer_offset,
		.max_file = r->max_file,
		.tap = r->tap,
		.tap_ctx = r->tap_ctx,
		.max_body = r->max_body,
		.cut_above = r->cut_above,
		.cut_at = r->cut_at,
		.stall_bytes = r->stall_bytes,
		.timeout_ms = r->timeout_ms,
		.stall_ms = r->stall_ms,
	};
	*call = (struct aws_call){
		.aws = aws,
		.skew = &aws->skews[index_of_service(r->service)],
		.done = done,
		.ctx = ctx,
		.held = r->held,
	};
	call->http = http_send(aws->http, &request, answered, call);
	for (size_t i = 0; i < set.count; i++)
		free(set.names[i]);
	sigv4_result_done(&signature);
	return call;
}

void aws_cancel(struct aws_call *call)
{
	if (!call)
		return;
	http_cancel(call->http);
	free(call);
}
