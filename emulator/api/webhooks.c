/* PutWebhook, ListWebhooks, DeleteWebhook, RegisterWebhookWithThirdParty,
 * DeregisterWebhookWithThirdParty (semantics B). */
#include <string.h>

#include "emulator/api/arn.h"
#include "emulator/api/ops.h"
#include "emulator/api/page.h"
#include "emulator/api/tags.h"
#include "emulator/delivery.h"
#include "emulator/engine/sources.h"
#include "emulator/engine/webhooks.h"
#include "emulator/seal.h"

#define WEBHOOKS_MAX    300
#define LIST_PAGE_MAX   100
#define TOKEN_LETTERS   40
#define MASK            "****"
#define BAD_AUTH        "InvalidWebhookAuthenticationParametersException"
#define CONFIG          "authenticationConfiguration"
#define NOT_REACHED_URL "http://127.0.0.1" /* of calls that did not come over HTTP */

/* ---- showing ---- */

static char *url_of(struct op_ctx *ctx, const struct webhook *w)
{
	return mh_concat(ctx->base_url ? ctx->base_url : NOT_REACHED_URL, DELIVERY_PREFIX,
			 w->token);
}

static int show(struct op_ctx *ctx, const struct webhook *w, struct json_object **ret,
		struct api_error *err)
{
	CLEAN(json) struct json_object *item = json_object_new_object();
	CLEAN(free) char *url = url_of(ctx, w);
	CLEAN(free) char *arn = arn_of_webhook(ctx, w->name);
	struct json_object *definition = NULL;
	struct mh_err e = MH_ERR_INIT;

	if (json_parse_object(w->definition, strlen(w->definition), &definition, &e) != 0)
		return api_fail_internal(err, &e);
	json_put_obj(item, "definition", definition);
	json_put_str(item, "url", url);
	json_put_str(item, "errorMessage", w->error_message);
	json_put_str(item, "errorCode", w->error_code);
	if (w->triggered_ms)
		json_put_time(item, "lastTriggered", w->triggered_ms);
	json_put_str(item, "arn", arn);
	if (tags_answer(item, w->tags, err) != 0)
		return -1;
	*ret = STEAL_PTR(item);
	return 0;
}

/* ---- putting ---- */

/* The one property that a kind of authentication takes; NULL: none. */
static const char *property_of(const char *authentication)
{
	if (strcmp(authentication, "GITHUB_HMAC") == 0)
		return "SecretToken";
	return strcmp(authentication, "IP") == 0 ? "AllowedIPRange" : NULL;
}

static int check_authentication(struct json_object *definition, struct api_error *err)
{
	struct json_object *config = json_opt_object(definition, CONFIG);
	const char *property = property_of(
		json_opt_str(definition, "authentication", ""));
	const char *value = property ? json_opt_str(config, property, NULL) : NULL;
	bool secret = json_opt_str(config, "SecretToken", NULL) != NULL;
	bool range = json_opt_str(config, "AllowedIPRange", NULL) != NULL;
	struct mh_err why = MH_ERR_INIT;

	if (!property && (secret || range))
		return api_fail(err, BAD_AUTH,
				"'authenticationConfig' should contain no property");
	if (property && (!value || secret == range))
		return api_fail(
			err, BAD_AUTH,
			"'authenticationConfig' should contain only one property: '%s'",
			property);
	if (range && cidr_check(value, &why) != 0)
		return api_fail(err, BAD_AUTH, "AllowedIPRange: %s", why.text);
	return 0;
}

static int check_target(struct op_ctx *ctx, struct json_object *definition,
			struct api_error *err)
{
	const char *name = json_opt_str(definition, "targetAction", "");
	CLEAN(pipeline) struct pipeline p = { 0 };
	struct json_object *action;

	if (pipeline_load(ctx, json_opt_str(definition, "targetPipeline", ""), 0, &p,
			  err) != 0)
		return -1;
	action = source_find(&p, name);
	if (!action)
		return api_fail(err, "ValidationException",
				"The first stage of pipeline '%s' has no action with "
				"name '%s': the target of a webhook is one of its source "
				"actions",
				p.name, name);
	if (check_authentication(definition, err) != 0)
		return -1;
	return webhook_check_filters(json_opt_array(definition, "filters"), action, err);
}

static int check_quota(struct op_ctx *ctx, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t count;

	if (webhooks_count(ctx->store, &count, &e) != 0)
		return api_fail_internal(err, &e);
	if (count >= WEBHOOKS_MAX)
		return api_fail(err, "LimitExceededException",
				"There can only be up to %d webhooks in a region",
				WEBHOOKS_MAX);
	return 0;
}

/* Takes the secret out of the definition. What was masked when it was shown stays what
 * it is. */
static int take_secret(struct op_ctx *ctx, struct webhook *w,
		       struct json_object *definition, struct api_error *err)
{
	struct json_object *config = json_opt_object(definition, CONFIG);
	const char *secret = json_opt_str(config, "SecretToken", NULL);

	if (secret && strcmp(secret, MASK) == 0) {
		if (!w->secret)
			return api_fail(err, BAD_AUTH,
					"'****' may be used as SecretToken only when "
					"updating a webhook that has one");
		return 0;
	}
	free(w->secret);
	w->secret = secret ? seal_text(ctx->creds_key, secret) : NULL;
	if (secret)
		json_put_str(config, "SecretToken", MASK);
	return 0;
}

/* The one of that name, or a new one with a URL of its own. */
static int find_or_make(struct op_ctx *ctx, const char *name, struct webhook *ret,
			struct api_error *err)
{
	char token[TOKEN_LETTERS + 1];
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (webhooks_find(ctx->store, name, ret, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (found)
		return 0;
	if (check_quota(ctx, err) != 0)
		return -1;
	ctx->ids->name(ctx->ids, TOKEN_LETTERS, token);
	ret->name = mh_strdup(name);
	ret->token = mh_strdup(token);
	return 0;
}

static int save(struct op_ctx *ctx, const struct webhook *w, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return webhooks_save(ctx->store, w, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

int op_put_webhook(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		   struct api_error *err)
{
	struct json_object *definition = json_opt_object(in, "webhook");
	struct json_object *tags = json_opt_array(in, "tags");
	const char *name = json_opt_str(definition, "name", "");
	CLEAN(webhook) struct webhook w = { 0 };
	CLEAN(free) char *arn = arn_of_webhook(ctx, name);
	struct json_object *item = NULL;

	if (check_target(ctx, definition, err) != 0 || tags_check(tags, arn, err) != 0 ||
	    find_or_make(ctx, name, &w, err) != 0 ||
	    take_secret(ctx, &w, definition, err) != 0)
		return -1;
	free(w.definition);
	w.definition = mh_strdup(json_text(definition));
	if (tags) {
		free(w.tags);
		w.tags = mh_strdup(tags_text(tags));
	}
	if (save(ctx, &w, err) != 0 || show(ctx, &w, &item, err) != 0)
		return -1;
	json_put_obj(out, "webhook", item);
	return 0;
}

/* ---- listing ---- */

static int fill_page(struct op_ctx *ctx, struct stmt *q, const char *what, int64_t limit,
		     struct json_object *out, struct api_error *err)
{
	struct json_object *page = json_opt_array(out, "webhooks");
	CLEAN(free) char *last = NULL;

	for (;;) {
		CLEAN(webhook) struct webhook w = { 0 };
		struct json_object *item = NULL;
		struct mh_err e = MH_ERR_INIT;
		bool found;

		if (webhooks_next(q, &w, &found, &e) != 0)
			return api_fail_internal(err, &e);
		if (!found)
			return 0;
		if ((int64_t)json_object_array_length(page) == limit) {
			CLEAN(free) char *token = page_token(ctx, what, last);

			json_put_str(out, "NextToken", token);
			return 0;
		}
		if (show(ctx, &w, &item, err) != 0)
			return -1;
		(void)json_object_array_add(page, item); /* fails without memory alone */
		free(last);
		last = STEAL_PTR(w.name);
	}
}

int op_list_webhooks(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		     struct api_error *err)
{
	static const char what[] = "ListWebhooks";
	int64_t limit = json_opt_i64(in, "MaxResults", LIST_PAGE_MAX);
	CLEAN(stmt) struct stmt q = { 0 };
	CLEAN(free) char *after = NULL;

	json_put_obj(out, "webhooks", json_object_new_array());
	if (page_open(ctx, what, json_opt_str(in, "NextToken", NULL), &after, err) != 0)
		return -1;
	webhooks_list(ctx->store, &q, after ? after : "", limit + 1);
	return fill_page(ctx, &q, what, limit, out, err);
}

/* ---- the rest ---- */

int op_delete_webhook(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		      struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)out; /* an empty object; one that is not there is no error */
	if (webhooks_delete(ctx->store, json_opt_str(in, "name", ""), &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* There is no third party to register at: who delivers is told the URL. */
static int check_there(struct op_ctx *ctx, struct json_object *in, struct api_error *err)
{
	const char *name = json_opt_str(in, "webhookName", NULL);
	CLEAN(webhook) struct webhook w = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (!name)
		return api_fail(err, "ValidationException",
				"1 validation error detected: Value at 'webhookName' "
				"failed to satisfy constraint: Member must not be null");
	if (webhooks_find(ctx->store, name, &w, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "WebhookNotFoundException",
				"There is no webhook with name '%s'", name);
	return 0;
}

int op_register_webhook_with_third_party(struct op_ctx *ctx, struct json_object *in,
					 struct json_object *out, struct api_error *err)
{
	(void)out; /* an empty object */
	return check_there(ctx, in, err);
}

int op_deregister_webhook_with_third_party(struct op_ctx *ctx, struct json_object *in,
					   struct json_object *out, struct api_error *err)
{
	(void)out; /* as above */
	return check_there(ctx, in, err);
}
