#include "agent/cp_api.h"

#include <stdio.h>
#include <string.h>

#include "agent/metrics.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define TARGET_PREFIX "CodePipeline_20150709."
#define SERVICE       "codepipeline"

const struct cp_op cp_op_poll = { "PollForJobs", "poll", false };
const struct cp_op cp_op_ack = { "AcknowledgeJob", "ack", true };
const struct cp_op cp_op_details = { "GetJobDetails", "details", false };
const struct cp_op cp_op_put_success = { "PutJobSuccessResult", "put", false };
const struct cp_op cp_op_put_failure = { "PutJobFailureResult", "put", false };
const struct cp_op cp_op_list_actions = { "ListActionExecutions", "watch", false };
const struct cp_op cp_op_third_poll = { "PollForThirdPartyJobs", "third_poll", false };
const struct cp_op cp_op_third_ack = { "AcknowledgeThirdPartyJob", "third_ack", true };
const struct cp_op cp_op_third_details = { "GetThirdPartyJobDetails", "third_details",
					   false };
const struct cp_op cp_op_third_put_success = { "PutThirdPartyJobSuccessResult",
					       "third_put", false };
const struct cp_op cp_op_third_put_failure = { "PutThirdPartyJobFailureResult",
					       "third_put", false };

struct cp {
	struct aws *aws;
	const struct settings *settings;
	struct aws_endpoint endpoint;
	char *path;
	struct creds_store *creds;
	void (*heard)(void *ctx, enum cp_result result);
	void *heard_ctx;
	struct cp_call *calls;
};

struct cp_call {
	struct cp *cp;
	struct aws_call *http;
	const struct cp_op *op;
	char *body;
	cp_done_fn done;
	void *ctx;
	struct creds_wait *wait; /* for credentials; then http is NULL */
	struct cp_answer *refused; /* what to answer unless there are others */
	uint64_t generation; /* of the credentials that signed it */
	bool repeated; /* once, for skew or new credentials */
	int64_t skew_used_ms, sent_wall_ms, sent_mono_ms;
	struct cp_call *prev, *next;
};

/* --- the client ------------------------------------------------------------------ */

int cp_new(const struct cp_options *o, struct cp **ret, struct mh_err *err)
{
	CLEAN(free)
	char *url = o->settings->endpoint
			    ? mh_strdup(o->settings->endpoint)
			    : aws_endpoint_url("codepipeline", o->settings->region);
	struct cp *cp = mh_alloc(sizeof(*cp));

	if (aws_endpoint_init(&cp->endpoint, url, err) != 0) {
		free(cp);
		return mh_err_wrap(err, "endpoint");
	}
	cp->aws = o->aws;
	cp->heard = o->heard;
	cp->heard_ctx = o->heard_ctx;
	cp->settings = o->settings;
	cp->path = mh_format("%s/", cp->endpoint.prefix);
	cp->creds = o->creds;
	*ret = cp;
	return 0;
}

static void call_free(struct cp_call *call)
{
	if (call->prev)
		call->prev->next = call->next;
	else
		call->cp->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	free(call->refused);
	creds_wipe(&call->body); /* it may hold tokens */
	free(call);
}

void cp_cancel(struct cp_call *call)
{
	if (!call)
		return;
	aws_cancel(call->http);
	creds_wait_cancel(call->wait);
	call_free(call);
}

void cp_free(struct cp *cp)
{
	if (!cp)
		return;
	while (cp->calls)
		cp_cancel(cp->calls);
	aws_endpoint_done(&cp->endpoint);
	free(cp->path);
	free(cp);
}

/* --- one call ----------------------------------------------------------------------- */

#ifdef MH_FAULT_POINTS
static void fault_at(const struct cp_call *call, const char *moment)
{
	char point[64];

	(void)snprintf(point, sizeof(point), "%s.%s", call->op->name, moment);
	FAULT_POINT(point);
}
#else
#define fault_at(call, moment) ((void)0)
#endif

static void answered(void *ctx, struct http_answer *http);

static void creds_came(void *ctx, const struct mh_err *err);

static void send_signed(struct cp_call *call, const struct creds *creds)
{
	struct cp *cp = call->cp;
	CLEAN(free)
	char *target = mh_concat("X-Amz-Target: " TARGET_PREFIX, call->op->operation);
	const char *const headers[] = { "Content-Type: application/x-amz-json-1.1",
					target, NULL };
	struct aws_request r = {
		.service = SERVICE,
		.method = "POST",
		.origin = cp->endpoint.origin,
		.host = cp->endpoint.host,
		.path = cp->path,
		.creds = creds,
		.headers = headers,
		.body = call->body,
		.body_len = strlen(call->body),
		.body_fd = -1,
		.answer_fd = -1,
		.timeout_ms = call->op->quick ? cp->settings->ack_timeout_ms
					      : cp->settings->api_timeout_ms,
	};

	call->generation = creds_store_generation(cp->creds);
	call->skew_used_ms = aws_skew_ms(cp->aws, SERVICE);
	call->sent_wall_ms = clock_wall_ms();
	call->sent_mono_ms = clock_mono_ms();
	fault_at(call, "send");
	call->http = aws_send(cp->aws, &r, answered, call);
	fault_at(call, "sent");
}

static void send_call(struct cp_call *call)
{
	const struct creds *creds = creds_store_now(call->cp->creds);

	call->http = NULL;
	if (creds)
		send_signed(call, creds);
	else
		call->wait = creds_store_wait(call->cp->creds, creds_came, call);
}

static bool code_is(const struct cp_answer *a, const char *const *list)
{
	for (; *list; list++) {
		size_t len = strlen(*list);

		if (strncmp(a->code, *list, len) == 0 &&
		    (a->code[len] == '\0' || strcmp(a->code + len, "Exception") == 0))
			return true;
	}
	return false;
}

/* An error that says the clock is wrong, right after the answer taught us the time. */
static bool skew_was_learned(const struct cp_call *call, const struct cp_answer *a)
{
	static const char *const definite[] = { "RequestTimeTooSkewed", "RequestExpired",
						"RequestInTheFuture", NULL };
	static const char *const possible[] = { "InvalidSignature",
						"SignatureDoesNotMatch", "AuthFailure",
						NULL };
	int64_t moved = aws_skew_ms(call->cp->aws, SERVICE) - call->skew_used_ms;

	if (code_is(a, definite))
		return moved != 0;
	return code_is(a, possible) &&
	       (moved > AWS_SKEW_TELLING_MS || moved < -AWS_SKEW_TELLING_MS);
}

/* Credentials that the service does not take: others may be had. */
static bool creds_were_refused(const struct cp_answer *a)
{
	static const char *const stale[] = { "ExpiredToken", "UnrecognizedClient",
					     "InvalidClientTokenId", NULL };

	return code_is(a, stale);
}

static void deliver(struct cp_call *call, struct cp_answer *a)
{
	cp_done_fn done = call->done;
	void *done_ctx = call->ctx;

	if (call->cp->heard)
		call->cp->heard(call->cp->heard_ctx, a->result);
	call_free(call);
	done(done_ctx, a);
	json_object_put(a->body);
}

/* New credentials, or none: then the call ends as if the service had refused it. */
static void creds_came(void *ctx, const struct mh_err *err)
{
	struct cp_call *call = ctx;
	struct cp_answer a = { .result = CP_AUTH,
			       .asked_ms = -1,
			       .sent_wall_ms = clock_wall_ms(),
			       .sent_mono_ms = clock_mono_ms() };

	call->wait = NULL;
	if (!err) {
		if (call->refused)
			METRIC_INC(METRIC_API_RETRIES, "signature");
		send_call(call);
		return;
	}
	if (call->refused)
		a = *call->refused;
	else
		a.err = *err;
	deliver(call, &a);
}

/* x-amz-retry-after is in milliseconds, Retry-After in seconds. */
static int64_t asked_wait_ms(const struct http_answer *http)
{
	const char *ms = http_answer_header(http, "x-amz-retry-after");
	const char *s = http_answer_header(http, "retry-after");
	struct mh_err ignored;
	int64_t value;

	if (ms && str_to_i64(ms, 0, 3600000, "x-amz-retry-after", &value, &ignored) == 0)
		return value;
	if (s && str_to_i64(s, 0, 3600, "Retry-After", &value, &ignored) == 0)
		return value * 1000;
	return -1; /* none, or a date, which we do not need */
}

/* Services repeat what they do not like ("Value '...' at 'nonce' failed"), and their
 * words are logged. */
static void hide_secrets(const struct cp_call *call, struct mh_err *err)
{
	static const char *const names[] = { "nonce", "continuationToken",
					     "clientToken" };
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err ignored;

	if (json_parse_object(call->body, strlen(call->body), &body, &ignored) != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		mh_err_hide(err, json_opt_str(body, names[i], ""));
}

static void answered(void *ctx, struct http_answer *http)
{
	struct cp_call *call = ctx;
	struct cp_answer a = { .asked_ms = -1,
			       .sent_wall_ms = call->sent_wall_ms,
			       .sent_mono_ms = call->sent_mono_ms };
	const char *request_id = http_answer_header(http, "x-amzn-requestid");

	call->http = NULL;
	fault_at(call, "answer");
	cp_classify(&(struct cp_raw){ .status = http->status,
				      .sent = http->sent,
				      .transport = &http->err,
				      .body = http->body.data,
				      .len = http->body.len,
				      .error_type = http_answer_header(
					      http, "x-amzn-errortype") },
		    &a);
	METRIC_INC(METRIC_API_REQUESTS, call->op->operation,
		   cp_code_label(&a, http->status));
	METRIC_TIME(METRIC_API_DURATION, clock_mono_ms() - a.sent_mono_ms,
		    call->op->operation);
	if (a.result == CP_THROTTLED)
		METRIC_INC(METRIC_THROTTLED, call->op->operation);
	if (!call->repeated && a.result == CP_AUTH && skew_was_learned(call, &a)) {
		call->repeated = true;
		METRIC_INC(METRIC_API_RETRIES, "signature");
		send_call(call);
		return;
	}
	if (a.result != CP_OK)
		hide_secrets(call, &a.err);
	a.asked_ms = asked_wait_ms(http);
	if (request_id)
		(void)snprintf(a.request_id, sizeof(a.request_id), "%s", request_id);
	log_event(LOG_LEVEL_DEBUG, "api.answer", call->op->operation,
		  LOG_S("result", cp_result_name(a.result)),
		  LOG_I("status", http->status), LOG_S("request_id", a.request_id),
		  LOG_I("ms", clock_mono_ms() - a.sent_mono_ms), LOG_END);
	if (!call->repeated && creds_were_refused(&a)) {
		call->repeated = true;
		call->refused = mh_alloc(sizeof(a));
		*call->refused = a; /* an error has no body */
		call->wait = creds_store_refused(call->cp->creds, call->generation,
						 creds_came, call);
		return;
	}
	deliver(call, &a);
}

struct cp_call *cp_send(struct cp *cp, const struct cp_op *op, struct json_object *body,
			cp_done_fn done, void *ctx)
{
	struct cp_call *call = mh_alloc(sizeof(*call));

	*call = (struct cp_call){ .cp = cp, .op = op, .done = done, .ctx = ctx };
	call->body = mh_strdup(json_text(body));
	call->next = cp->calls;
	if (call->next)
		call->next->prev = call;
	cp->calls = call;
	send_call(call);
	return call;
}

struct aws_call *cp_wait(struct cp *cp, const char *types, int64_t seconds,
			 aws_done_fn done, void *ctx)
{
	CLEAN(free) char *path = mh_format("%s/_millhand/wait", cp->endpoint.prefix);
	CLEAN(free) char *limit = mh_format("%lld", (long long)seconds);
	CLEAN(uri_query) struct uri_query query = { 0 };
	int64_t timeout_ms = seconds * 1000 + cp->settings->api_timeout_ms;
	struct aws_request r = {
		.service = "codepipeline",
		.method = "GET",
		.origin = cp->endpoint.origin,
		.host = cp->endpoint.host,
		.path = path,
		.query = &query,
		.creds = creds_store_now(cp->creds),
		.body_fd = -1,
		.answer_fd = -1,
		.timeout_ms = timeout_ms,
		.stall_ms = timeout_ms,
		.held = seconds > 0,
	};

	MH_ASSERT(r.creds);
	uri_query_add(&query, "types", types);
	uri_query_add(&query, "seconds", limit);
	return aws_send(cp->aws, &r, done, ctx);
}

/* --- bodies ----------------------------------------------------------------------------
 */

static struct json_object *type_id(const struct action_settings *a)
{
	struct json_object *type = json_object_new_object();

	json_put_str(type, "category", a->category);
	json_put_str(type, "owner", a->owner);
	json_put_str(type, "provider", a->provider);
	json_put_str(type, "version", a->version);
	return type;
}

struct json_object *cp_poll_body(const struct action_settings *a, int batch)
{
	struct json_object *body = json_object_new_object();

	json_put_obj(body, "actionTypeId", type_id(a));
	json_put_i64(body, "maxBatchSize", batch);
	if (a->query && json_object_object_length(a->query) > 0)
		json_put_obj(body, "queryParam", json_object_get(a->query));
	return body;
}

struct json_object *cp_ack_body(const char *job_id, const char *nonce)
{
	struct json_object *body = json_object_new_object();

	json_put_str(body, "jobId", job_id);
	json_put_str(body, "nonce", nonce);
	return body;
}

struct json_object *cp_details_body(const char *job_id)
{
	struct json_object *body = json_object_new_object();

	json_put_str(body, "jobId", job_id);
	return body;
}

struct json_object *cp_list_actions_body(const char *pipeline, const char *execution_id,
					 const char *next_token)
{
	struct json_object *body = json_object_new_object();
	struct json_object *filter = json_object_new_object();

	json_put_str(body, "pipelineName", pipeline);
	json_put_str(filter, "pipelineExecutionId", execution_id);
	json_put_obj(body, "filter", filter);
	json_put_str(body, "nextToken", next_token);
	return body;
}
