#include "agent/creds_sts.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macros.h"
#include "lib/base/str.h"
#include "lib/net/uri.h"

#define SERVICE    "sts"
#define TIMEOUT_MS 10000
#define ANSWER_MAX 65536
#define FORM_TYPE  "Content-Type: application/x-www-form-urlencoded; charset=utf-8"

struct creds_sts {
	struct http_client *http;
	struct aws *aws;
	const struct creds *keys;
	bool is_signed, repeated; /* once, for a wrong clock */
	int64_t skew_used_ms;
	struct aws_endpoint endpoint;
	char *path, *form;
	struct aws_call *call; /* one of these two */
	struct http_call *plain;
	creds_sts_done_fn done;
	void *ctx;
};

static void sts_free(struct creds_sts *s)
{
	aws_endpoint_done(&s->endpoint);
	free(s->path);
	creds_wipe(&s->form);
	free(s);
}

void creds_sts_cancel(struct creds_sts *s)
{
	if (!s)
		return;
	aws_cancel(s->call);
	http_cancel(s->plain);
	sts_free(s);
}

/* --- the form ---------------------------------------------------------------------- */

char *creds_sts_form(const struct creds_role *role, const char *web_token)
{
	CLEAN(uri_query) struct uri_query q = { 0 };
	char *form;

	uri_query_add(&q, "Action",
		      web_token ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	uri_query_add(&q, "Version", "2011-06-15");
	uri_query_add(&q, "RoleArn", role->arn);
	uri_query_add(&q, "RoleSessionName", role->session_name);
	if (role->duration_s > 0) {
		CLEAN(free)
		char *duration = mh_format("%lld", (long long)role->duration_s);

		uri_query_add(&q, "DurationSeconds", duration);
	}
	if (role->external_id && !web_token)
		uri_query_add(&q, "ExternalId", role->external_id);
	if (web_token)
		uri_query_add(&q, "WebIdentityToken", web_token);
	form = uri_query_canonical(&q);
	for (size_t i = 0; web_token && i < q.count; i++) {
		if (strcmp(q.pairs[i].name, "WebIdentityToken") == 0)
			sodium_memzero(q.pairs[i].value, strlen(q.pairs[i].value));
	}
	return form;
}

/* --- answers -------------------------------------------------------------------------
 */

static void send_it(struct creds_sts *s);

/* A signature spoilt by our clock, after the answer taught us the time (A12). */
static bool was_the_clock(struct creds_sts *s, const char *code)
{
	static const char *const codes[] = {
		"RequestExpired",        "RequestTimeTooSkewed", "RequestInTheFuture",
		"SignatureDoesNotMatch", "InvalidSignature",     "AuthFailure"
	};
	int64_t moved = aws_skew_ms(s->aws, SERVICE) - s->skew_used_ms;
	bool is_one = false;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		is_one = is_one || str_starts_with(code, codes[i]);
	return s->is_signed && !s->repeated && is_one &&
	       (moved > AWS_SKEW_TELLING_MS || moved < -AWS_SKEW_TELLING_MS);
}

static int judge(const struct http_answer *a, const char *code, const char *message,
		 struct creds_found *ret, struct mh_err *err)
{
	if (a->status == 0) {
		*err = a->err;
		return mh_err_wrap(err, "STS");
	}
	if (a->status == 200) {
		if (creds_read_sts(buf_text(&a->body), a->body.len, ret, err) == 0)
			return 0;
		return mh_err_wrap(err, "STS");
	}
	return mh_err_set(err,
			  a->status >= 500                   ? MH_E_SERVER
			  : str_starts_with(code, "Throttl") ? MH_E_THROTTLED
							     : MH_E_AUTH,
			  "STS: HTTP %ld%s%s%s%s", a->status, *code ? " " : "", code,
			  *message ? ": " : "", message);
}

static void answered(void *ctx, struct http_answer *a)
{
	struct creds_sts *s = ctx;
	CLEAN(creds_found) struct creds_found found = { 0 };
	char code[CREDS_CODE_SIZE] = "", message[CREDS_TEXT_SIZE] = "";
	int64_t server_ms = a->status != 0 && a->age_s < 0 ? a->server_date_ms : -1;
	creds_sts_done_fn done = s->done;
	void *done_ctx = s->ctx;
	struct mh_err err = MH_ERR_INIT;
	int rc;

	s->call = NULL;
	s->plain = NULL;
	if (a->status != 0 && a->status != 200)
		creds_read_sts_error(a->body.data, a->body.len, code, message);
	if (was_the_clock(s, code)) {
		s->repeated = true;
		send_it(s);
		return;
	}
	rc = judge(a, code, message, &found, &err);
	if (a->body.len > 0)
		sodium_memzero(a->body.data, a->body.len);
	sts_free(s);
	done(done_ctx, rc == 0 ? &found : NULL, server_ms, rc == 0 ? NULL : &err);
}

/* --- sending ---------------------------------------------------------------------------
 */

static void send_it(struct creds_sts *s)
{
	const char *const headers[] = { FORM_TYPE, NULL };
	struct aws_request r = {
		.service = SERVICE,
		.method = "POST",
		.origin = s->endpoint.origin,
		.host = s->endpoint.host,
		.path = s->path,
		.creds = s->keys,
		.headers = headers,
		.body = s->form,
		.body_len = strlen(s->form),
		.body_fd = -1,
		.answer_fd = -1,
		.timeout_ms = TIMEOUT_MS,
	};

	s->skew_used_ms = aws_skew_ms(s->aws, SERVICE);
	s->call = aws_send(s->aws, &r, answered, s);
}

static void send_unsigned(struct creds_sts *s)
{
	const char *const headers[] = { FORM_TYPE, NULL };
	CLEAN(free) char *url = mh_format("%s%s", s->endpoint.origin, s->path);
	struct http_request r = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = s->form,
		.body_len = strlen(s->form),
		.max_body = ANSWER_MAX,
		.timeout_ms = TIMEOUT_MS,
	};

	s->plain = http_send(s->http, &r, answered, s);
}

int creds_sts_send(const struct creds_sts_request *r, creds_sts_done_fn done, void *ctx,
		   struct creds_sts **ret, struct mh_err *err)
{
	CLEAN(free)
	char *url = r->settings->sts_endpoint
			    ? mh_strdup(r->settings->sts_endpoint)
			    : aws_endpoint_url(SERVICE, r->settings->region);
	struct creds_sts *s = mh_alloc(sizeof(*s));

	*s = (struct creds_sts){ .http = r->http,
				 .aws = r->aws,
				 .keys = r->keys,
				 .is_signed = !r->web_token,
				 .done = done,
				 .ctx = ctx };
	if (aws_endpoint_init(&s->endpoint, url, err) != 0) {
		sts_free(s);
		return mh_err_wrap(err, "sts_endpoint");
	}
	s->path = mh_format("%s/", s->endpoint.prefix);
	s->form = creds_sts_form(r->role, r->web_token);
	if (s->is_signed)
		send_it(s);
	else
		send_unsigned(s);
	*ret = s;
	return 0;
}
