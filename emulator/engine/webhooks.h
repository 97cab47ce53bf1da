/*
 * What a delivery to a webhook does to its pipeline (semantics B, E13). A delivery that
 * fails is told in the webhook's errorCode until one goes well.
 */
#ifndef MH_EMULATOR_ENGINE_WEBHOOKS_H
#define MH_EMULATOR_ENGINE_WEBHOOKS_H

#include "emulator/op.h"
#include "emulator/store/webhooks.h"

struct hook_event {
	const char *token; /* of the webhook */
	struct json_object *body; /* borrowed */
	const char *event; /* X-GitHub-Event, or NULL */
	/* Of a pull request: the files it changes, as far as they are known, or NULL. */
	struct json_object *files;
};

/* Starts the webhook's pipeline when the body passes all filters. *ret_id is "" when it
 * does not, and then *ret_why says what did not fit (a static text). NotFound,
 * PipelineNotFoundException and what a start says; these are kept with the webhook by
 * the caller (engine_webhook_failed), since a failing call keeps nothing. */
int engine_webhook_deliver(struct op_ctx *ctx, const struct hook_event *e,
			   char ret_id[STR_UUID_SIZE], const char **ret_why,
			   struct api_error *err) MH_MUST_CHECK;
/* The repository of the connection that the webhook's target action is, when pull
 * requests may start its pipeline; else *ret is NULL. The caller frees it. */
int engine_webhook_repository(struct op_ctx *ctx, const struct webhook *w, char **ret,
			      struct api_error *err) MH_MUST_CHECK;
/* Keeps what went wrong with a delivery. */
int engine_webhook_failed(struct op_ctx *ctx, const char *token, const char *code,
			  const char *message, struct api_error *err) MH_MUST_CHECK;

/* Filters and placeholders of a definition against the target action it is made for:
 * InvalidWebhookFilterPatternException. */
int webhook_check_filters(struct json_object *filters, struct json_object *action,
			  struct api_error *err) MH_MUST_CHECK;
/* text with each {Key} replaced from the action's configuration; NULL when there is no
 * such key, and then *ret_missing (may be NULL) is its name, the caller's. */
char *webhook_expand(const char *text, struct json_object *configuration,
		     char **ret_missing);

#endif
