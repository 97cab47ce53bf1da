#include "agent/creds_fetch.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/creds_process.h"
#include "agent/creds_sts.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define METADATA_TIMEOUT_MS  2000
#define CONTAINER_TIMEOUT_MS 5000
#define METADATA_MAX         65536
#define TOKEN_FILE_MAX       65536
#define TOKEN_TTL            "21600"
#define ROLE_NAME_MAX        128
#define STALE_LIFE_MS        (10 * 60 * INT64_C(1000))
#define ROLES_PATH           "/latest/meta-data/iam/security-credentials/"

struct creds_fetch {
	struct creds_tools tools;
	const struct creds_plan *plan;
	creds_fetch_done_fn done;
	void *ctx;
	uv_timer_t kick; /* begins it on a later turn; its close callback frees */

	struct http_call *http;
	struct creds_process *process;
	struct creds_sts *sts;
	char *metadata_token; /* of the instance's service */
	size_t next_role;
	struct creds_result result; /* of the last step */
};

/* --- the end -------------------------------------------------------------------------
 */

static void kick_closed(uv_handle_t *handle)
{
	struct creds_fetch *f = handle->data;

	creds_done(&f->result.keys);
	creds_wipe(&f->metadata_token);
	free(f);
}

void creds_fetch_cancel(struct creds_fetch *f)
{
	if (!f)
		return;
	http_cancel(f->http);
	creds_process_cancel(f->process);
	creds_sts_cancel(f->sts);
	uv_close((uv_handle_t *)&f->kick, kick_closed);
}

static void failed(struct creds_fetch *f, const struct mh_err *err)
{
	creds_fetch_done_fn done = f->done;
	struct mh_err copy = *err;
	void *ctx = f->ctx;

	creds_fetch_cancel(f);
	done(ctx, NULL, &copy);
}

static void next_step(struct creds_fetch *f);

/* server_ms: what the clock of who gave them says, or -1. */
static void take(struct creds_fetch *f, struct creds_found *found, int64_t server_ms)
{
	int64_t now = server_ms >= 0 ? server_ms
				     : clock_wall_ms() + aws_skew_ms(f->tools.aws, "sts");
	struct mh_err err;

	creds_done(&f->result.keys);
	f->result = (struct creds_result){ .keys = found->keys, .life_ms = CREDS_NEVER };
	found->keys = (struct creds){ 0 };
	if (found->expires_wall_ms != CREDS_NEVER)
		f->result.life_ms = found->expires_wall_ms - now;
	if (f->result.life_ms <= 0 && f->plan->source == CREDS_INSTANCE &&
	    f->next_role == 0) {
		/* What the service has, it has: the keys may well work still, and who
		 * is asked with them says whether they do. */
		f->result.life_ms = STALE_LIFE_MS;
		f->result.stale = true;
	}
	if (f->result.life_ms <= 0) {
		(void)mh_err_set(&err, MH_E_AUTH,
				 "%s: what was given has expired already (is this "
				 "host's clock right?)",
				 f->plan->name);
		failed(f, &err);
		return;
	}
	next_step(f);
}

/* --- metadata services
 * ------------------------------------------------------------------ */

static void get(struct creds_fetch *f, const char *method, const char *url,
		const char *header, int64_t timeout_ms, http_done_fn done)
{
	const char *const headers[] = { "Accept: */*", header, NULL };
	struct http_request r = {
		.method = method,
		.url = url,
		.headers = headers,
		.max_body = METADATA_MAX,
		.timeout_ms = timeout_ms,
		.plain_ok = true,
	};

	f->http = http_send(f->tools.http, &r, done, f);
}

/* An answer that is none: false when it is one. */
static bool bad_answer(struct creds_fetch *f, const struct http_answer *a,
		       const char *what, const char *hint)
{
	struct mh_err err = a->err;

	f->http = NULL;
	if (a->status == 200)
		return false;
	if (a->status != 0)
		(void)mh_err_set(&err, a->status >= 500 ? MH_E_SERVER : MH_E_AUTH,
				 "HTTP %ld", a->status);
	(void)mh_err_wrap(&err, "%s: %s", f->plan->name, what);
	if (hint) {
		char text[MH_ERR_TEXT_MAX];

		memcpy(text, err.text, sizeof(text));
		(void)mh_err_set(&err, err.cls, "%s (%s)", text, hint);
	}
	failed(f, &err);
	return true;
}

static void on_metadata(void *ctx, struct http_answer *a)
{
	struct creds_fetch *f = ctx;
	CLEAN(creds_found) struct creds_found found = { 0 };
	struct mh_err err;
	int rc;

	if (bad_answer(f, a, "credentials",
		       a->status == 401 || a->status == 403 ? "it refuses the token"
							    : NULL))
		return;
	rc = creds_read_metadata(buf_text(&a->body), a->body.len, &found, &err);
	if (a->body.len > 0)
		sodium_memzero(a->body.data, a->body.len);
	if (rc != 0) {
		(void)mh_err_wrap(&err, "%s: credentials", f->plan->name);
		failed(f, &err);
		return;
	}
	take(f, &found, a->age_s < 0 ? a->server_date_ms : -1);
}

static void on_role_name(void *ctx, struct http_answer *a)
{
	struct creds_fetch *f = ctx;
	CLEAN(free) char *header = NULL, *name = NULL, *url = NULL, *role = NULL;
	struct mh_err err;
	size_t len;

	if (bad_answer(f, a, "the role's name",
		       a->status == 404 ? "no role is attached to this instance" : NULL))
		return;
	len = strcspn(buf_text(&a->body), "\r\n");
	if (len == 0 || len > ROLE_NAME_MAX || strlen(buf_text(&a->body)) < len) {
		(void)mh_err_set(&err, MH_E_PROTO,
				 "%s: the role's name: %zu bytes make no name",
				 f->plan->name, len);
		failed(f, &err);
		return;
	}
	name = mh_strndup(buf_text(&a->body), len);
	role = uri_encode(name, len, false);
	url = mh_format("%s" ROLES_PATH "%s", f->plan->url, role);
	header = mh_format("X-aws-ec2-metadata-token: %s", f->metadata_token);
	get(f, "GET", url, header, METADATA_TIMEOUT_MS, on_metadata);
}

/* Why the token did not come, as far as it can be guessed. */
static const char *token_hint(const struct http_answer *a)
{
	if (a->status == 403)
		return "the instance's metadata service is turned off";
	if (a->status != 0)
		return NULL;
	if (a->err.cls == MH_E_TIMEOUT && a->sent)
		return "it took the request and did not answer: in a container or behind "
		       "a router the instance's HttpPutResponseHopLimit must be 2 or "
		       "more";
	return "no other source of credentials is set, and this host may be no EC2 "
	       "instance: see AWS_EC2_METADATA_DISABLED";
}

static bool is_header_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] < ' ' || s[i] > '~')
			return false;
	}
	return len > 0;
}

static void on_token(void *ctx, struct http_answer *a)
{
	struct creds_fetch *f = ctx;
	CLEAN(free) char *header = NULL, *url = NULL;
	struct mh_err err;

	if (bad_answer(f, a, "token", token_hint(a)))
		return;
	if (a->body.len > 4096 || !is_header_text(buf_text(&a->body), a->body.len)) {
		(void)mh_err_set(&err, MH_E_PROTO, "%s: token: %zu bytes make no token",
				 f->plan->name, a->body.len);
		failed(f, &err);
		return;
	}
	creds_wipe(&f->metadata_token);
	f->metadata_token = mh_strndup(a->body.data, a->body.len);
	url = mh_format("%s" ROLES_PATH, f->plan->url);
	header = mh_format("X-aws-ec2-metadata-token: %s", f->metadata_token);
	get(f, "GET", url, header, METADATA_TIMEOUT_MS, on_role_name);
}

static void ask_instance(struct creds_fetch *f)
{
	CLEAN(free) char *url = mh_format("%s/latest/api/token", f->plan->url);

	get(f, "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: " TOKEN_TTL,
	    METADATA_TIMEOUT_MS, on_token);
}

/* Read each time: it is replaced when it gets old. Line ends at its end are none of it.
 */
static int read_token_file(const char *path, char **ret, struct mh_err *err)
{
	struct buf text = BUF_INIT(TOKEN_FILE_MAX);
	size_t len;
	int rc = -1;

	if (fs_read_at(AT_FDCWD, path, &text, err) != 0) {
		buf_done(&text);
		return -1;
	}
	len = text.len;
	while (len > 0 && strchr("\r\n", text.data[len - 1]))
		len--;
	if (len > 0 && is_header_text(text.data, len)) {
		*ret = mh_strndup(text.data, len);
		rc = 0;
	}
	if (text.len > 0)
		sodium_memzero(text.data, text.len);
	buf_done(&text);
	return rc == 0 ? 0 : mh_err_set(err, MH_E_AUTH, "%s: holds no token", path);
}

static void ask_container(struct creds_fetch *f)
{
	const char *text = creds_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	CLEAN(secret) char *token = NULL;
	CLEAN(secret) char *header = NULL;
	struct mh_err err;
	int rc = 0;

	if (f->plan->token_file)
		rc = read_token_file(f->plan->token_file, &token, &err);
	else if (text && is_header_text(text, strlen(text)))
		token = mh_strdup(text);
	else if (text)
		rc = mh_err_set(&err, MH_E_CONFIG,
				"AWS_CONTAINER_AUTHORIZATION_TOKEN holds no token");
	if (rc != 0) {
		(void)mh_err_wrap(&err, "%s", f->plan->name);
		failed(f, &err);
		return;
	}
	if (token)
		header = mh_format("Authorization: %s", token);
	get(f, "GET", f->plan->url, header, CONTAINER_TIMEOUT_MS, on_metadata);
}

/* --- programs, tokens, roles
 * --------------------------------------------------------------- */

static void on_process(void *ctx, struct creds_found *found, const struct mh_err *err)
{
	struct creds_fetch *f = ctx;
	struct mh_err why;

	f->process = NULL;
	if (found) {
		take(f, found, -1);
		return;
	}
	why = *err;
	(void)mh_err_wrap(&why, "%s", f->plan->name);
	failed(f, &why);
}

static void on_sts(void *ctx, struct creds_found *found, int64_t server_ms,
		   const struct mh_err *err)
{
	struct creds_fetch *f = ctx;
	struct mh_err why;

	f->sts = NULL;
	if (found) {
		take(f, found, server_ms);
		return;
	}
	why = *err;
	(void)mh_err_wrap(&why, "%s", f->plan->name);
	failed(f, &why);
}

static void ask_process(struct creds_fetch *f)
{
	struct mh_err err;

	if (creds_process_start(f->tools.loop, f->plan->process,
				f->tools.settings->credentials.process_timeout_ms,
				on_process, f, &f->process, &err) == 0)
		return;
	(void)mh_err_wrap(&err, "%s", f->plan->name);
	failed(f, &err);
}

static void ask_sts(struct creds_fetch *f, const struct creds_role *role,
		    const char *web_token)
{
	struct creds_sts_request r = {
		.http = f->tools.http,
		.aws = f->tools.aws,
		.settings = f->tools.settings,
		.role = role,
		.web_token = web_token,
		.keys = &f->result.keys,
	};
	struct mh_err err;

	if (creds_sts_send(&r, on_sts, f, &f->sts, &err) == 0)
		return;
	(void)mh_err_wrap(&err, "%s", f->plan->name);
	failed(f, &err);
}

static void ask_web_identity(struct creds_fetch *f)
{
	CLEAN(secret) char *token = NULL;
	struct mh_err err;

	if (read_token_file(f->plan->token_file, &token, &err) == 0) {
		ask_sts(f, &f->plan->web, token);
		return;
	}
	(void)mh_err_wrap(&err, "%s", f->plan->name);
	failed(f, &err);
}

/* The keys are there, or not yet good enough: a role is to be assumed with them. */
static void next_step(struct creds_fetch *f)
{
	creds_fetch_done_fn done = f->done;
	struct creds_result result;
	void *ctx = f->ctx;

	if (f->next_role < f->plan->role_count) {
		ask_sts(f, &f->plan->roles[f->next_role++], NULL);
		return;
	}
	result = f->result;
	f->result.keys = (struct creds){ 0 };
	creds_fetch_cancel(f);
	done(ctx, &result, NULL);
	creds_done(&result.keys);
}

static void begin(uv_timer_t *timer)
{
	struct creds_fetch *f = timer->data;
	struct creds_found found = { .expires_wall_ms = CREDS_NEVER };

	switch (f->plan->source) {
	case CREDS_STATIC:
		creds_set(&found.keys, f->plan->keys.access_key_id,
			  f->plan->keys.secret_access_key, f->plan->keys.session_token);
		take(f, &found, -1);
		return;
	case CREDS_PROCESS:
		ask_process(f);
		return;
	case CREDS_WEB_IDENTITY:
		ask_web_identity(f);
		return;
	case CREDS_CONTAINER:
		ask_container(f);
		return;
	case CREDS_INSTANCE:
		ask_instance(f);
		return;
	}
	MH_BUG("no such source");
}

struct creds_fetch *creds_fetch_start(const struct creds_tools *tools,
				      const struct creds_plan *plan,
				      creds_fetch_done_fn done, void *ctx)
{
	struct creds_fetch *f = mh_alloc(sizeof(*f));

	*f = (struct creds_fetch){
		.tools = *tools, .plan = plan, .done = done, .ctx = ctx
	};
	(void)uv_timer_init(loop_uv(tools->loop), &f->kick); /* always 0 */
	f->kick.data = f;
	uv_update_time(loop_uv(tools->loop));
	(void)uv_timer_start(&f->kick, begin, 0, 0); /* fails only without a callback */
	return f;
}
