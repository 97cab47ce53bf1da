/*
 * What EventBridge would tell of a change (semantics E20), and SNS of an approval (E16):
 * written into the outbox in the transaction of the change, in the order of the changes,
 * which makes the order of G27.
 *
 * start-time is the start of what the event is about: of the execution, of the stage's
 * latest attempt, of the action execution.
 */
#include "emulator/engine/internal.h"

#include <stdio.h>
#include <string.h>

#include "emulator/api/arn.h"
#include "emulator/store/events.h"
#include "lib/base/clock.h"

#define PRUNE_EVERY 256 /* events */

/* ---- parts ---- */

/* As EventBridge shows numbers: 3.0. */
static void put_number(struct json_object *o, const char *key, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld.0", (long long)value); /* it fits */
	json_put_obj(o, key, json_object_new_double_s((double)value, text));
}

static void put_iso(struct json_object *o, const char *key, int64_t ms)
{
	char text[CLOCK_ISO_SIZE];

	clock_format_iso(ms, text);
	json_put_str(o, key, text);
}

/* "2026-01-31T12:34:56Z": to the second. */
static void put_seconds(struct json_object *o, const char *key, int64_t ms)
{
	char text[CLOCK_ISO_SIZE];

	clock_format_iso(ms, text);
	memcpy(text + strlen("2026-01-31T12:34:56"), "Z", 2);
	json_put_str(o, key, text);
}

static struct json_object *common(const struct execution *e, int64_t started_ms)
{
	struct json_object *detail = json_object_new_object();

	json_put_str(detail, "pipeline", e->pipeline);
	json_put_str(detail, "execution-id", e->id);
	put_iso(detail, "start-time", started_ms);
	return detail;
}

static void put_common_end(struct json_object *detail, const struct execution *e,
			   const char *state)
{
	json_put_str(detail, "state", state);
	put_number(detail, "version", e->version);
	put_number(detail, "pipeline-execution-attempt", e->attempt);
}

/* ---- the envelope, into the outbox ---- */

struct envelope {
	const char *source, *type;
	const char *topic; /* of a notification; else NULL */
};

static int prune(struct op_ctx *ctx, int64_t last, struct mh_err *err)
{
	if (last % PRUNE_EVERY != 0)
		return 0;
	return events_prune(ctx->store, last - ctx->settings->events_keep,
			    last - ctx->settings->events_backlog, err);
}

static int emit(struct op_ctx *ctx, const struct envelope *how, const char *pipeline,
		struct json_object *take_detail, struct mh_err *err)
{
	CLEAN(json) struct json_object *o = json_object_new_object();
	CLEAN(free) char *arn = arn_of_pipeline(ctx, pipeline);
	struct json_object *resources = json_object_new_array();
	char id[STR_UUID_SIZE];
	int64_t seq;

	ctx->ids->uuid(ctx->ids, id);
	(void)json_object_array_add(resources, json_object_new_string(arn));
	json_put_str(o, "version", "0");
	json_put_str(o, "id", id);
	json_put_str(o, "detail-type", how->type);
	json_put_str(o, "source", how->source);
	json_put_str(o, "account", ctx->settings->account);
	put_seconds(o, "time", ctx->now_ms);
	json_put_str(o, "region", ctx->settings->region);
	json_put_obj(o, "resources", resources);
	json_put_obj(o, "detail", take_detail);
	if (events_insert(ctx->store, how->topic, json_text(o), &seq, err) != 0)
		return -1;
	return prune(ctx, seq, err);
}

static int emit_change(struct op_ctx *ctx, const char *type, const struct execution *e,
		       struct json_object *take_detail, struct mh_err *err)
{
	const struct envelope how = { .source = "aws.codepipeline", .type = type };

	return emit(ctx, &how, e->pipeline, take_detail, err);
}

/* ---- executions ---- */

static const char *execution_event(const struct execution *e)
{
	static const char *const names[] = {
		[EXECUTION_IN_PROGRESS] = "STARTED",
		[EXECUTION_STOPPING] = "STOPPING",
		[EXECUTION_STOPPED] = "STOPPED",
		[EXECUTION_SUCCEEDED] = "SUCCEEDED",
		[EXECUTION_SUPERSEDED] = "SUPERSEDED",
		[EXECUTION_FAILED] = "FAILED",
		[EXECUTION_CANCELLED] = "CANCELED",
	};

	if (e->status == EXECUTION_IN_PROGRESS && e->attempt > 1)
		return "RESUMED";
	return names[e->status];
}

/* What a push or a pull request says is told at the end once more. */
static void put_trigger(struct json_object *detail, const struct execution *e,
			bool started)
{
	struct json_object *trigger;

	if (e->origin) {
		json_put_obj(detail, "execution-trigger", json_object_get(e->origin));
		return;
	}
	if (!started)
		return;
	trigger = json_object_new_object();
	json_put_str(trigger, "trigger-type", e->trigger_type);
	json_put_str(trigger, "trigger-detail", e->trigger_detail);
	json_put_obj(detail, "execution-trigger", trigger);
}

int event_execution(struct op_ctx *ctx, const struct execution *e, struct mh_err *err)
{
	const char *state = execution_event(e);
	struct json_object *detail;

	if (!ctx->settings->events)
		return 0;
	detail = common(e, e->started_ms);
	if (strcmp(state, "STARTED") == 0 || e->status == EXECUTION_SUCCEEDED ||
	    e->status == EXECUTION_FAILED)
		put_trigger(detail, e, strcmp(state, "STARTED") == 0);
	if (e->status == EXECUTION_STOPPING)
		json_put_str(detail, "stop-execution-comments", e->stop_reason);
	put_common_end(detail, e, state);
	return emit_change(ctx, "CodePipeline Pipeline Execution State Change", e, detail,
			   err);
}

/* ---- stages ---- */

int event_stage(struct op_ctx *ctx, const struct execution *e,
		const struct stage_execution *s, struct mh_err *err)
{
	static const char *const names[] = {
		[STAGE_IN_PROGRESS] = "STARTED", [STAGE_STOPPING] = "STOPPING",
		[STAGE_STOPPED] = "STOPPED",     [STAGE_SUCCEEDED] = "SUCCEEDED",
		[STAGE_FAILED] = "FAILED",       [STAGE_CANCELLED] = "CANCELED",
		[STAGE_SKIPPED] = "SKIPPED",
	};
	bool resumed = s->status == STAGE_IN_PROGRESS && s->retried_ms > 0;
	struct json_object *detail;

	if (!ctx->settings->events || s->status == STAGE_INBOUND)
		return 0;
	detail = common(e, s->entered_ms ? s->entered_ms : s->arrived_ms);
	json_put_str(detail, "stage", s->stage);
	if (s->retried_ms > 0)
		put_iso(detail, "stage-last-retry-attempt-time", s->retried_ms);
	put_common_end(detail, e, resumed ? "RESUMED" : names[s->status]);
	return emit_change(ctx, "CodePipeline Stage Execution State Change", e, detail,
			   err);
}

/* ---- actions ---- */

static struct json_object *event_type(const struct action_execution *a)
{
	static const char *const keys[] = { "owner", "provider", "category", "version" };
	struct json_object *type = json_object_new_object();

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_put_str(type, keys[i], json_opt_str(a->type, keys[i], ""));
	return type;
}

static struct json_object *artifacts(struct json_object *list)
{
	struct json_object *out = json_object_new_array();
	size_t count = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *from = json_object_array_get_idx(list, i);
		struct json_object *o = json_object_new_object();
		struct json_object *where = json_object_new_object();

		json_put_str(o, "name", json_opt_str(from, "name", ""));
		json_put_str(where, "bucket", json_opt_str(from, "bucket", ""));
		json_put_str(where, "key", json_opt_str(from, "key", ""));
		json_put_obj(o, "s3location", where);
		(void)json_object_array_add(out, o); /* fails without memory alone */
	}
	return out;
}

static struct json_object *result_of(const struct action_execution *a)
{
	struct json_object *result = json_object_new_object();

	json_put_str(result, "external-execution-url", a->external_url);
	json_put_str(result, "external-execution-summary", a->summary);
	json_put_str(result, "external-execution-id", a->external_id);
	if (a->status == ACTION_FAILED)
		json_put_str(result, "error-code", a->error_code);
	return result;
}

int event_action(struct op_ctx *ctx, const struct execution *e,
		 const struct action_execution *a, struct mh_err *err)
{
	static const char *const names[] = {
		[ACTION_IN_PROGRESS] = "STARTED",
		[ACTION_SUCCEEDED] = "SUCCEEDED",
		[ACTION_FAILED] = "FAILED",
		[ACTION_ABANDONED] = "ABANDONED",
	};
	struct json_object *detail;

	if (!ctx->settings->events)
		return 0;
	detail = common(e, a->started_ms);
	json_put_str(detail, "stage", a->stage);
	if (a->status != ACTION_IN_PROGRESS)
		json_put_obj(detail, "execution-result", result_of(a));
	json_put_obj(detail, "output-artifacts", artifacts(a->outputs));
	json_put_str(detail, "action-execution-id", a->id);
	json_put_str(detail, "action", a->action);
	json_put_str(detail, "region", a->region ? a->region : ctx->settings->region);
	json_put_obj(detail, "type", event_type(a));
	json_put_obj(detail, "input-artifacts", artifacts(a->inputs));
	put_common_end(detail, e, names[a->status]);
	return emit_change(ctx, "CodePipeline Action Execution State Change", e, detail,
			   err);
}

/* ---- approvals ---- */

/* "2026-01-31T12:34Z": to the minute. */
static void put_minutes(struct json_object *o, const char *key, int64_t ms)
{
	char text[CLOCK_ISO_SIZE];

	clock_format_iso(ms, text);
	memcpy(text + strlen("2026-01-31T12:34"), "Z", 2);
	json_put_str(o, key, text);
}

static struct json_object *approval_of(const struct approval *request,
				       struct json_object *config, const char *console)
{
	struct json_object *o = json_object_new_object();
	CLEAN(free)
	char *review = mh_format("%s/%s/%s/approve/%s", console, request->stage,
				 request->action_name, request->token);

	json_put_str(o, "pipelineName", request->pipeline);
	json_put_str(o, "stageName", request->stage);
	json_put_str(o, "actionName", request->action_name);
	json_put_str(o, "token", request->token);
	put_minutes(o, "expires", request->expires_ms);
	json_put_str(o, "externalEntityLink",
		     json_opt_str(config, "ExternalEntityLink", NULL));
	json_put_str(o, "approvalReviewLink", review);
	json_put_str(o, "customData", json_opt_str(config, "CustomData", NULL));
	return o;
}

int event_approval(struct op_ctx *ctx, const struct approval *request,
		   struct json_object *config, struct mh_err *err)
{
	const char *topic = json_opt_str(config, "NotificationArn", "");
	const struct envelope how = { .source = "millhand.emulator",
				      .type = "Millhand Approval Notification",
				      .topic = topic };
	struct json_object *detail, *message;
	CLEAN(free) char *console = NULL;

	if (!ctx->settings->events)
		return 0;
	console = mh_format("https://console.aws.amazon.com/codepipeline/home?region=%s"
			    "#/view/%s",
			    ctx->settings->region, request->pipeline);
	message = json_object_new_object();
	json_put_str(message, "region", ctx->settings->region);
	json_put_str(message, "consoleLink", console);
	json_put_obj(message, "approval", approval_of(request, config, console));
	detail = json_object_new_object();
	json_put_str(detail, "notification-arn", *topic ? topic : NULL);
	json_put_obj(detail, "message", message);
	return emit(ctx, &how, request->pipeline, detail, err);
}
