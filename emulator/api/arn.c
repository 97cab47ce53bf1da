#include "emulator/api/arn.h"

#include <string.h>

#include "emulator/settings.h"

#define PARTS_MAX 5 /* arn, partition, service, region, account */

static char *arn_of(struct op_ctx *ctx, const char *rest)
{
	return mh_format("arn:aws:codepipeline:%s:%s:%s", ctx->settings->region,
			 ctx->settings->account, rest);
}

char *arn_of_pipeline(struct op_ctx *ctx, const char *name)
{
	return arn_of(ctx, name);
}

char *arn_of_webhook(struct op_ctx *ctx, const char *name)
{
	CLEAN(free) char *rest = mh_concat("webhook:", name);

	return arn_of(ctx, rest);
}

/* The next part of *text up to a separator, which is taken too; NULL when there is none.
 * The caller frees it. */
static char *take_part(const char **text, char separator)
{
	const char *end = strchr(*text, separator);
	char *part;

	if (end == NULL)
		return NULL;
	part = mh_strndup(*text, (size_t)(end - *text));
	*text = end + 1;
	return part;
}

static int invalid(const char *arn, const char *why, struct api_error *err)
{
	return api_fail(err, "InvalidArnException",
			"The specified resource ARN is invalid: %.256s: %s", arn, why);
}

/* "Custom/Build/Make/1" */
static int parse_type(const char *arn, const char *rest, struct tagged *ret,
		      struct api_error *err)
{
	CLEAN(free) char *owner = take_part(&rest, '/');

	ret->kind = TAGGED_ACTION_TYPE;
	ret->category = take_part(&rest, '/');
	ret->provider = take_part(&rest, '/');
	if (owner == NULL || ret->category == NULL || ret->provider == NULL ||
	    *rest == '\0' || strchr(rest, '/') != NULL)
		return invalid(arn, "an action type is Custom/category/provider/version",
			       err);
	if (strcmp(owner, "Custom") != 0)
		return invalid(arn, "custom action types alone have tags", err);
	ret->version = mh_strdup(rest);
	return 0;
}

static int parse_rest(const char *arn, const char *rest, struct tagged *ret,
		      struct api_error *err)
{
	static const char type[] = "actiontype:", webhook[] = "webhook:";

	/* Policies write it with a capital T. */
	if (strncasecmp(rest, type, strlen(type)) == 0)
		return parse_type(arn, rest + strlen(type), ret, err);
	ret->kind = TAGGED_PIPELINE;
	if (strncmp(rest, webhook, strlen(webhook)) == 0) {
		ret->kind = TAGGED_WEBHOOK;
		rest += strlen(webhook);
	}
	if (*rest == '\0' || strpbrk(rest, ":/") != NULL)
		return invalid(arn,
			       "pipelines, webhooks and custom action types have tags",
			       err);
	ret->name = mh_strdup(rest);
	return 0;
}

int arn_parse(struct op_ctx *ctx, const char *arn, struct tagged *ret,
	      struct api_error *err)
{
	CLEAN(tagged) struct tagged t = { 0 };
	char *parts[PARTS_MAX] = { NULL };
	const char *rest = arn;
	bool ours = true;

	for (size_t i = 0; i < PARTS_MAX && ours; i++) {
		parts[i] = take_part(&rest, ':');
		ours = parts[i] != NULL;
	}
	ours = ours && strcmp(parts[3], ctx->settings->region) == 0 &&
	       strcmp(parts[4], ctx->settings->account) == 0;
	for (size_t i = 0; i < PARTS_MAX; i++)
		free(parts[i]);
	if (!ours)
		return invalid(arn, "not of this region and account", err);
	if (parse_rest(arn, rest, &t, err) != 0)
		return -1;
	*ret = t;
	t = (struct tagged){ 0 };
	return 0;
}
