#include "emulator/delivery.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <string.h>

#include "emulator/builtin/git.h"
#include "emulator/engine/webhooks.h"
#include "emulator/seal.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

/* ---- who sends ---- */

/* "sha256=<hex>" over the body. */
static bool is_hmac_of(const char *given, const char *prefix, const EVP_MD *md,
		       const char *secret, const struct delivery *d)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned int len = 0;

	if (!str_starts_with(given, prefix) ||
	    HMAC(md, secret, (int)strlen(secret), (const unsigned char *)d->body,
		 d->body_len, digest, &len) == NULL)
		return false;
	str_hex(digest, len, hex);
	return str_equal_secret(given + strlen(prefix), hex);
}

bool delivery_is_signed(const char *secret, const struct delivery *d)
{
	if (d->sha256)
		return is_hmac_of(d->sha256, "sha256=", EVP_sha256(), secret, d);
	return d->sha1 && is_hmac_of(d->sha1, "sha1=", EVP_sha1(), secret, d);
}

static int refuse(struct api_error *err, const char *why)
{
	(void)api_fail(err, "AccessDenied", "%s", why);
	err->status = 403;
	return -1;
}

static int check_signature(const struct webhook *w, const struct creds_key *key,
			   const struct delivery *d, struct api_error *err)
{
	CLEAN(free) char *secret = NULL;
	struct mh_err why = MH_ERR_INIT;
	bool right;

	/* Sealed under a key that is gone: nobody can sign any more. */
	if (!w->secret || seal_open(key, w->secret, &secret, &why) != 0)
		return refuse(err,
			      "The webhook's secret is lost: put the webhook again.");
	right = delivery_is_signed(secret, d);
	sodium_memzero(secret, strlen(secret));
	return right ? 0
		     : refuse(err, "X-Hub-Signature-256 (or X-Hub-Signature) is not the "
				   "body's HMAC with the webhook's secret.");
}

static int check_sender(const struct webhook *w, struct json_object *definition,
			const struct creds_key *key, const struct delivery *d,
			struct api_error *err)
{
	struct json_object *config = json_opt_object(definition,
						     "authenticationConfiguration");
	const char *how = json_opt_str(definition, "authentication", "");

	if (strcmp(how, "GITHUB_HMAC") == 0)
		return check_signature(w, key, d, err);
	if (strcmp(how, "IP") == 0 &&
	    !cidr_contains(json_opt_str(config, "AllowedIPRange", ""), d->from))
		return refuse(err, "The sender's address is not in AllowedIPRange.");
	return 0;
}

/* ---- one delivery ---- */

struct lookup {
	const char *token;
	bool pull_request;
	struct webhook webhook;
	char *repository; /* of a pull request that may start something; or NULL */
};

static int not_found(struct api_error *err)
{
	(void)api_fail(err, "NotFound", "There is no webhook at this URL.");
	err->status = 404;
	return -1;
}

static int tx_lookup(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct lookup *l = arg;
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (webhooks_find_token(ctx->store, l->token, &l->webhook, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return not_found(err);
	return l->pull_request
		       ? engine_webhook_repository(ctx, &l->webhook, &l->repository, err)
		       : 0;
}

struct outcome {
	struct hook_event event;
	char id[STR_UUID_SIZE];
	const char *why;
};

static int tx_deliver(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct outcome *o = arg;

	return engine_webhook_deliver(ctx, &o->event, o->id, &o->why, err);
}

struct failure {
	const char *token;
	const struct api_error *error;
};

static int tx_failed(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct failure *f = arg;

	return engine_webhook_failed(ctx, f->token, f->error->code, f->error->message,
				     err);
}

/* The delivery's own error stays what it is, whether it could be kept or not. */
static int keep_failure(struct writer *writer, const struct webhook *w,
			const struct api_error *error)
{
	struct failure f = { .token = w->token, .error = error };
	struct api_error ignored = { 0 };

	if ((!w->error_code || strcmp(w->error_code, error->code) != 0) &&
	    writer_call(writer, tx_failed, &f, NULL, &ignored) != 0)
		log_event(LOG_LEVEL_WARN, "webhook.not_kept", ignored.message,
			  LOG_S("webhook", w->name), LOG_END);
	log_event(LOG_LEVEL_WARN, "webhook.refused", error->message,
		  LOG_S("webhook", w->name), LOG_S("code", error->code), LOG_END);
	return -1;
}

static int take_body(const struct delivery *d, struct json_object **ret,
		     struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;

	if (json_parse_object(d->body, d->body_len, ret, &why) != 0)
		return api_fail(err, "SerializationException",
				"The body is no JSON object: %s", why.text);
	return 0;
}

/* GitHub does not tell which files a pull request changes: the repository does. */
static struct json_object *files_of_pull(const struct delivery *d, const char *repository,
					 struct json_object *body)
{
	struct json_object *pull = json_opt_object(body, "pull_request");

	return git_changed_files(d->settings, repository,
				 json_opt_str(json_opt_object(pull, "base"), "sha", ""),
				 json_opt_str(json_opt_object(pull, "head"), "sha", ""));
}

static void log_outcome(const struct webhook *w, const struct outcome *o)
{
	log_event(LOG_LEVEL_INFO, o->id[0] ? "webhook.started" : "webhook.ignored",
		  o->id[0] ? "a delivery started the pipeline" : o->why,
		  LOG_S("webhook", w->name), LOG_S("execution", o->id), LOG_END);
}

static int serve(struct writer *writer, const struct creds_key *key,
		 const struct delivery *d, const struct lookup *l,
		 struct json_object **ret, struct api_error *err)
{
	const struct webhook *w = &l->webhook;
	CLEAN(json) struct json_object *files = NULL;
	CLEAN(json) struct json_object *definition = NULL;
	CLEAN(json) struct json_object *body = NULL;
	struct outcome o = { .event = { .token = d->token, .event = d->event } };
	struct mh_err e = MH_ERR_INIT;

	if (json_parse_object(w->definition, strlen(w->definition), &definition, &e) != 0)
		return api_fail_internal(err, &e);
	if (check_sender(w, definition, key, d, err) != 0 ||
	    take_body(d, &body, err) != 0)
		return -1;
	o.event.body = body;
	if (l->repository)
		files = files_of_pull(d, l->repository, body);
	o.event.files = files;
	if (writer_call(writer, tx_deliver, &o, NULL, err) != 0)
		return -1;
	log_outcome(w, &o);
	*ret = json_object_new_object();
	json_put_str(*ret, o.id[0] ? "pipelineExecutionId" : "ignored",
		     o.id[0] ? o.id : o.why);
	return 0;
}

int delivery_serve(struct writer *writer, const struct creds_key *key,
		   const struct delivery *d, struct json_object **ret,
		   struct api_error *err)
{
	struct lookup l = { .token = d->token,
			    .pull_request = d->event &&
					    strcmp(d->event, "pull_request") == 0 };
	int rc;

	if (writer_call(writer, tx_lookup, &l, NULL, err) != 0)
		return -1;
	rc = serve(writer, key, d, &l, ret, err);
	if (rc != 0)
		rc = keep_failure(writer, &l.webhook, err);
	webhook_done(&l.webhook);
	free(l.repository);
	return rc;
}
