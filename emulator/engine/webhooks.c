#include "emulator/engine/webhooks.h"

#include <string.h>

#include "emulator/engine/sources.h"
#include "emulator/engine/triggers.h"
#include "emulator/jsonpath.h"
#include "lib/base/buf.h"

#define EXPANDED_MAX 4096

/* ---- filters ---- */

char *webhook_expand(const char *text, struct json_object *configuration,
		     char **ret_missing)
{
	CLEAN(buf) struct buf out = BUF_INIT(EXPANDED_MAX);
	struct mh_err full;

	while (*text) {
		const char *end = *text == '{' ? strchr(text, '}') : NULL;
		size_t len = end ? (size_t)(end - text) + 1 : 1;
		CLEAN(free) char *key = NULL;
		const char *value;

		if (!end) {
			if (buf_add(&out, text, len, &full) != 0)
				return NULL;
			text += len;
			continue;
		}
		key = mh_strndup(text + 1, len - 2);
		value = json_opt_str(configuration, key, NULL);
		if (!value || buf_add(&out, value, strlen(value), &full) != 0) {
			if (ret_missing)
				*ret_missing = STEAL_PTR(key);
			return NULL;
		}
		text = end + 1;
	}
	return mh_strdup(buf_text(&out));
}

static size_t list_length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

int webhook_check_filters(struct json_object *filters, struct json_object *action,
			  struct api_error *err)
{
	for (size_t i = 0; i < list_length(filters); i++) {
		struct json_object *f = json_object_array_get_idx(filters, i);
		const char *equals = json_opt_str(f, "matchEquals", NULL);
		CLEAN(free) char *expanded = NULL, *missing = NULL;
		struct mh_err why = MH_ERR_INIT;

		if (jsonpath_check(json_opt_str(f, "jsonPath", ""), &why) != 0)
			return api_fail(err, "InvalidWebhookFilterPatternException",
					"filters[%zu].jsonPath: %s", i, why.text);
		if (!equals)
			continue;
		expanded = webhook_expand(
			equals, json_opt_object(action, "configuration"), &missing);
		if (!expanded)
			return api_fail(err, "InvalidWebhookFilterPatternException",
					"filters[%zu].matchEquals: {%s} is not in the "
					"configuration of action '%s'",
					i, missing ? missing : "",
					json_opt_str(action, "name", ""));
	}
	return 0;
}

static bool passes(struct json_object *filters, struct json_object *action,
		   struct json_object *body)
{
	for (size_t i = 0; i < list_length(filters); i++) {
		struct json_object *f = json_object_array_get_idx(filters, i);
		const char *path = json_opt_str(f, "jsonPath", "$");
		const char *equals = json_opt_str(f, "matchEquals", NULL);
		CLEAN(free) char *expanded = NULL;

		if (equals) {
			expanded = webhook_expand(
				equals, json_opt_object(action, "configuration"), NULL);
			if (!expanded)
				return false; /* the configuration is another one now */
		}
		if (!jsonpath_matches(path, body, expanded))
			return false;
	}
	return true;
}

/* ---- what GitHub tells of a push, for events (semantics E20) ---- */

static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return text && strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static struct json_object *origin_of_push(struct json_object *body)
{
	struct json_object *commit = json_opt_object(body, "head_commit");
	struct json_object *author = json_opt_object(commit, "author");
	struct json_object *o;
	const char *ref = json_opt_str(body, "ref", NULL);

	if (!commit || !ref)
		return NULL;
	o = json_object_new_object();
	json_put_str(o, "author-display-name", json_opt_str(author, "name", NULL));
	json_put_str(o, "author-id", json_opt_str(author, "username", NULL));
	json_put_str(o, "author-email", json_opt_str(author, "email", NULL));
	json_put_str(o, "author-date", json_opt_str(commit, "timestamp", NULL));
	json_put_str(
		o, "full-repository-name",
		json_opt_str(json_opt_object(body, "repository"), "full_name", NULL));
	json_put_str(o, "provider-type", "GitHub");
	json_put_str(o, "commit-id", json_opt_str(commit, "id", NULL));
	json_put_str(o, "commit-message", json_opt_str(commit, "message", NULL));
	json_put_str(o, "branch-name", behind(ref, "refs/heads/"));
	json_put_str(o, "tag-name", behind(ref, "refs/tags/"));
	return o;
}

/* ---- a delivery ---- */

static int find(struct op_ctx *ctx, const char *token, struct webhook *ret,
		struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (webhooks_find_token(ctx->store, token, ret, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (found)
		return 0;
	(void)api_fail(err, "NotFound", "There is no webhook at this URL.");
	err->status = 404;
	return -1;
}

static int start(struct op_ctx *ctx, const struct webhook *w, const struct pipeline *p,
		 const struct hook_event *e, char ret_id[STR_UUID_SIZE],
		 struct api_error *err)
{
	CLEAN(json) struct json_object *origin = origin_of_push(e->body);
	CLEAN(free)
	char *arn = mh_format("arn:aws:codepipeline:%s:%s:webhook:%s",
			      ctx->settings->region, ctx->settings->account, w->name);
	const struct execution_start how = {
		.trigger_type = "Webhook",
		.trigger_detail = arn,
		.origin = origin,
		.automatic = true,
	};

	return execution_start(ctx, p, &how, ret_id, err);
}

static int note_success(struct op_ctx *ctx, struct webhook *w, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	w->triggered_ms = ctx->now_ms;
	free(w->error_code);
	free(w->error_message);
	w->error_code = w->error_message = NULL;
	if (webhooks_save(ctx->store, w, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* What the webhook is for. An update may have taken the action away. */
static int target(struct op_ctx *ctx, struct json_object *definition, struct pipeline *p,
		  struct json_object **ret_action, struct api_error *err)
{
	const char *name = json_opt_str(definition, "targetAction", "");

	if (pipeline_load(ctx, json_opt_str(definition, "targetPipeline", ""), 0, p,
			  err) != 0)
		return -1;
	*ret_action = source_find(p, name);
	if (!*ret_action)
		return api_fail(err, "ActionNotFoundException",
				"The first stage of pipeline '%s' has no action '%s'",
				p->name, name);
	return 0;
}

/* ---- pull requests (semantics E13) ---- */

static const char *const pull_events[][2] = {
	{ "opened", "OPEN" },
	{ "reopened", "OPEN" },
	{ "synchronize", "UPDATED" },
	{ "closed", "CLOSED" },
};

static const char *pull_event(struct json_object *body)
{
	const char *action = json_opt_str(body, "action", "");

	for (size_t i = 0; i < ARRAY_LEN(pull_events); i++) {
		if (strcmp(pull_events[i][0], action) == 0)
			return pull_events[i][1];
	}
	return NULL;
}

/* Whether pull requests are the business of the pipeline's triggers. */
static bool takes_pulls(const struct pipeline *p, struct json_object *action)
{
	struct json_object *type = json_opt_object(action, "actionTypeId");

	return list_length(json_opt_array(p->declaration, "triggers")) > 0 &&
	       strcmp(json_opt_str(type, "owner", ""), "AWS") == 0 &&
	       strcmp(json_opt_str(type, "provider", ""), "CodeStarSourceConnection") ==
		       0;
}

static struct json_object *origin_of_pull(struct json_object *pull)
{
	struct json_object *user = json_opt_object(pull, "user");
	struct json_object *o = json_object_new_object();

	json_put_str(o, "author-display-name", json_opt_str(user, "login", NULL));
	json_put_str(o, "author-id", json_opt_str(user, "login", NULL));
	json_put_str(o, "author-date", json_opt_str(pull, "updated_at", NULL));
	json_put_str(o, "provider-type", "GitHub");
	json_put_str(o, "commit-message", json_opt_str(pull, "title", NULL));
	return o;
}

static int start_by_pull(struct op_ctx *ctx, const struct pipeline *p,
			 struct json_object *action, const struct hook_event *e,
			 char ret_id[STR_UUID_SIZE], const char **ret_why,
			 struct api_error *err)
{
	struct json_object *pull = json_opt_object(e->body, "pull_request");
	struct json_object *head = json_opt_object(pull, "head");
	CLEAN(json) struct json_object *origin = origin_of_pull(pull);
	const struct git_event event = {
		.repository = json_opt_str(json_opt_object(action, "configuration"),
					   "FullRepositoryId", ""),
		.branch = json_opt_str(json_opt_object(pull, "base"), "ref", NULL),
		.pull_request = pull_event(e->body),
		.source_branch = json_opt_str(head, "ref", NULL),
		.commit = json_opt_str(head, "sha", NULL),
		.files = e->files,
		.origin = origin,
	};

	*ret_why = "no trigger of the pipeline is about this pull request";
	if (!event.branch || !event.source_branch || !event.commit)
		return api_fail(err, "ValidationException",
				"The body is no pull request: base.ref, head.ref and "
				"head.sha are needed");
	if (!event.pull_request)
		return 0; /* a label, an assignment */
	return engine_git_event_for(ctx, p, &event, ret_id, err);
}

int engine_webhook_repository(struct op_ctx *ctx, const struct webhook *w, char **ret,
			      struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(json) struct json_object *definition = NULL;
	struct json_object *action = NULL;
	struct api_error ignored = { 0 }; /* the delivery tells it */
	struct mh_err e = MH_ERR_INIT;

	*ret = NULL;
	if (json_parse_object(w->definition, strlen(w->definition), &definition, &e) != 0)
		return api_fail_internal(err, &e);
	if (target(ctx, definition, &p, &action, &ignored) == 0 &&
	    takes_pulls(&p, action))
		*ret = mh_strdup(json_opt_str(json_opt_object(action, "configuration"),
					      "FullRepositoryId", NULL));
	return 0;
}

/* ---- one delivery ---- */

/* Starts the pipeline as the event asks for; *ret_id stays "" when it does not. */
static int start_by(struct op_ctx *ctx, const struct webhook *w, const struct pipeline *p,
		    struct json_object *action, const struct hook_event *e,
		    char ret_id[STR_UUID_SIZE], const char **ret_why,
		    struct api_error *err)
{
	if (e->event && strcmp(e->event, "pull_request") == 0 && takes_pulls(p, action))
		return start_by_pull(ctx, p, action, e, ret_id, ret_why, err);
	return start(ctx, w, p, e, ret_id, err);
}

int engine_webhook_deliver(struct op_ctx *ctx, const struct hook_event *e,
			   char ret_id[STR_UUID_SIZE], const char **ret_why,
			   struct api_error *err)
{
	CLEAN(webhook) struct webhook w = { 0 };
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(json) struct json_object *definition = NULL;
	struct json_object *action = NULL;
	struct mh_err inner = MH_ERR_INIT;

	ret_id[0] = '\0';
	if (find(ctx, e->token, &w, err) != 0)
		return -1;
	if (json_parse_object(w.definition, strlen(w.definition), &definition, &inner) !=
	    0)
		return api_fail_internal(err, &inner);
	if (target(ctx, definition, &p, &action, err) != 0)
		return -1;
	if (e->event && strcmp(e->event, "ping") == 0) {
		*ret_why = "a ping starts nothing";
		return 0;
	}
	if (!passes(json_opt_array(definition, "filters"), action, e->body)) {
		*ret_why = "the body does not pass the webhook's filters";
		return 0;
	}
	if (start_by(ctx, &w, &p, action, e, ret_id, ret_why, err) != 0)
		return -1;
	return ret_id[0] ? note_success(ctx, &w, err) : 0;
}

int engine_webhook_failed(struct op_ctx *ctx, const char *token, const char *code,
			  const char *message, struct api_error *err)
{
	CLEAN(webhook) struct webhook w = { 0 };
	struct mh_err e = MH_ERR_INIT;

	if (find(ctx, token, &w, err) != 0)
		return -1;
	free(w.error_code);
	free(w.error_message);
	w.error_code = mh_strdup(code);
	w.error_message = mh_strdup(message);
	if (webhooks_save(ctx->store, &w, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}
