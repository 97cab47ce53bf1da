/* An action from its start to its end. */
#include "emulator/engine/internal.h"
#include "emulator/engine/sources.h"
#include "emulator/offer.h"

#include <string.h>

#define MINUTE_MS ((int64_t)60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

enum served_by { BY_NOBODY, BY_WORKER, BY_BUILTIN, BY_PERSON };

/* What the emulator runs itself, and how long it may take (semantics C11, F). */
static const struct {
	const char *category, *provider;
	enum served_by by;
	int64_t limit_ms;
} own_actions[] = {
	{ "Source", "CodeCommit", BY_BUILTIN, HOUR_MS },
	{ "Source", "CodeStarSourceConnection", BY_BUILTIN, HOUR_MS },
	{ "Source", "S3", BY_BUILTIN, HOUR_MS },
	{ "Deploy", "S3", BY_BUILTIN, 90 * MINUTE_MS },
	{ "Approval", "Manual", BY_PERSON, 7 * DAY_MS },
};

static enum served_by who_serves(struct op_ctx *ctx, struct json_object *id,
				 const struct action_type *type, int64_t *ret_limit_ms)
{
	const char *owner = json_opt_str(id, "owner", "");

	if (strcmp(owner, "Custom") == 0 || offer_of(ctx->settings, id)) {
		*ret_limit_ms = ctx->settings->custom_timeout_ms;
		return BY_WORKER;
	}
	if (type->polled) {
		*ret_limit_ms = type->job_timeout_ms
					? type->job_timeout_ms
					: ctx->settings->third_party_timeout_ms;
		return BY_WORKER;
	}
	for (size_t i = 0; strcmp(owner, "AWS") == 0 && i < ARRAY_LEN(own_actions); i++) {
		if (strcmp(own_actions[i].category, json_opt_str(id, "category", "")) ==
			    0 &&
		    strcmp(own_actions[i].provider, json_opt_str(id, "provider", "")) ==
			    0) {
			*ret_limit_ms = own_actions[i].limit_ms;
			return own_actions[i].by;
		}
	}
	return BY_NOBODY;
}

/* ---- starting ---- */

/* Everything about an action that is on its way to start. */
struct start {
	struct run *run;
	struct json_object *declared;
	struct action_execution action;
	struct action_type type;
	bool type_found;
	struct json_object *config; /* resolved, in clear; NULL while it could not be */
	enum served_by by;
	int64_t limit_ms;
};

static void clean_start(struct start *st)
{
	action_execution_done(&st->action);
	if (st->type_found)
		action_type_done(&st->type);
	json_object_put(st->config);
}

/* Of a type that nobody knows, no value is shown. */
static struct json_object *mask_all(struct json_object *config)
{
	struct json_object *out = json_object_new_object();

	json_object_object_foreach(config, key, value)
	{
		(void)value; /* exactly what must not be shown */
		json_put_str(out, key, "****");
	}
	return out;
}

static struct json_object *masked(const struct start *st, struct json_object *config)
{
	return st->type_found ? action_type_mask(&st->type, config) : mask_all(config);
}

static int describe(struct op_ctx *ctx, struct start *st, const struct stage_execution *s,
		    struct mh_err *err)
{
	CLEAN(json)
	struct json_object *config = action_declared_config(st->run, st->declared);
	struct action_execution *a = &st->action;

	*a = (struct action_execution){
		.execution = st->run->exec.seq,
		.stage_execution = s->seq,
		.pipeline = mh_strdup(s->pipeline),
		.stage = mh_strdup(s->stage),
		.action = mh_strdup(json_opt_str(st->declared, "name", "")),
		.locked = s->locked,
		.type = json_object_get(json_opt_object(st->declared, "actionTypeId")),
		.role_arn = mh_strdup(json_opt_str(st->declared, "roleArn", NULL)),
		.region = mh_strdup(
			json_opt_str(st->declared, "region", ctx->settings->region)),
		.name_space = mh_strdup(json_opt_str(st->declared, "namespace", NULL)),
		.inputs = json_object_new_array(),
		.outputs = json_object_new_array(),
		.percent = -1,
	};
	ctx->ids->uuid(ctx->ids, a->id);
	if (type_load(ctx, a->type, &st->type, &st->type_found, err) != 0)
		return -1;
	a->config_masked = masked(st, config);
	return 0;
}

/* For one of AWS's own types: what to write to have it done (offer.h). */
static int fail_not_offered(const struct action_execution *a, const char *type,
			    struct mh_err *err)
{
	const char *category = json_opt_str(a->type, "category", "");
	const char *provider = json_opt_str(a->type, "provider", "");
	const char *version = json_opt_str(a->type, "version", "");
	/* The category that custom types have for it. */
	const char *as = strcmp(category, "Compute") == 0 ? "Build" : category;

	return mh_err_set(
		err, MH_E_REFUSED,
		"no worker serves the action type %s here: offer it to your "
		"workers in the configuration of millhand-emulator, offer = ( { "
		"aws = \"%s/%s/%s\"; as = \"%s/Custom/%s/%s\"; } );",
		type, category, provider, version, as, provider, version);
}

/* Whether anybody can do this work: REFUSED when not. */
static int check_served(struct op_ctx *ctx, struct start *st, struct mh_err *err)
{
	CLEAN(free) char *type = type_name_of(st->action.type);

	if (!st->type_found || st->type.deleted)
		return mh_err_set(err, MH_E_REFUSED, "the action type %s %s", type,
				  st->type_found ? "was deleted" : "does not exist");
	st->by = who_serves(ctx, st->action.type, &st->type, &st->limit_ms);
	if (st->by != BY_NOBODY)
		return 0;
	if (strcmp(json_opt_str(st->action.type, "owner", ""), "AWS") == 0)
		return fail_not_offered(&st->action, type, err);
	return mh_err_set(err, MH_E_REFUSED,
			  "no worker polls for the action type %s: its executor is none "
			  "that does (JobWorker)",
			  type);
}

static int prepare(struct op_ctx *ctx, struct start *st, struct mh_err *err)
{
	if (check_served(ctx, st, err) != 0 ||
	    action_config(ctx, st->run, st->declared, INT64_MAX, &st->config, err) != 0)
		return -1;
	st->action.resolved_masked = masked(st, st->config);
	if (action_type_check_resolved(&st->type, st->config, err) != 0)
		return -1;
	return action_artifacts(ctx, st->run, st->declared, &st->action, err);
}

static int create_job(struct op_ctx *ctx, int64_t action, enum job_executor executor,
		      const struct action_type *type, const char *type_name,
		      struct json_object *config, struct mh_err *err)
{
	const char *queryable = action_type_queryable(type);
	const char *value = queryable ? json_opt_str(config, queryable, NULL) : NULL;

	if (executor == EXECUTOR_BUILTIN)
		ctx->wake_builtin = true;
	return job_create(ctx, action, executor, type_name, value, NULL, ctx->now_ms,
			  err);
}

/* Under the custom type, whether somebody created that or not. */
int job_create_offered(struct op_ctx *ctx, int64_t action, const char *as,
		       struct json_object *config, struct mh_err *err)
{
	CLEAN(json) struct json_object *id = type_name_id(as);
	struct action_type type = { 0 };
	bool found;
	int rc;

	if (type_load(ctx, id, &type, &found, err) != 0)
		return -1;
	rc = create_job(ctx, action, EXECUTOR_WORKER, &type, as, config, err);
	if (found)
		action_type_done(&type);
	return rc;
}

static int hand_to_program(struct op_ctx *ctx, struct start *st, struct mh_err *err)
{
	const char *as = offer_of(ctx->settings, st->action.type);
	CLEAN(free) char *type = type_name_of(st->action.type);

	if (as)
		return job_create_offered(ctx, st->action.seq, as, st->config, err);
	return create_job(ctx, st->action.seq,
			  st->by == BY_WORKER ? EXECUTOR_WORKER : EXECUTOR_BUILTIN,
			  &st->type, type, st->config, err);
}

/* Gives the work to whoever does it, and limits its time. */
static int hand_over(struct op_ctx *ctx, struct start *st, struct mh_err *err)
{
	int64_t limit_ms = st->limit_ms;
	int rc;

	if (st->by == BY_PERSON) {
		limit_ms = json_opt_i64(st->declared, "timeoutInMinutes",
					limit_ms / MINUTE_MS) *
			   MINUTE_MS;
		rc = approval_open(ctx, &st->action, limit_ms, err);
	} else {
		rc = hand_to_program(ctx, st, err);
	}
	if (rc != 0)
		return -1;
	return timers_insert(ctx->store, ctx->now_ms + limit_ms, st->action.seq, err);
}

static void set_text(char **field, const char *value)
{
	char *copy = mh_strdup(value);

	free(*field);
	*field = copy;
}

static int set_failed(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		      const char *code, const char *message, struct mh_err *err)
{
	set_text(&a->error_code, code);
	set_text(&a->error_message, message);
	return change_action(ctx, r, a, ACTION_FAILED, err);
}

int action_start(struct op_ctx *ctx, struct run *r, struct stage_execution *s,
		 struct json_object *declared, struct mh_err *err)
{
	CLEAN(start) struct start st = { .run = r, .declared = declared };
	struct mh_err why = MH_ERR_INIT;
	int prepared;

	if (describe(ctx, &st, s, err) != 0)
		return -1;
	prepared = prepare(ctx, &st, &why);
	if (prepared != 0 && why.cls != MH_E_REFUSED) {
		*err = why;
		return -1;
	}
	if (change_action(ctx, r, &st.action, ACTION_IN_PROGRESS, err) != 0)
		return -1;
	if (prepared != 0)
		return set_failed(ctx, r, &st.action, "ConfigurationError", why.text,
				  err);
	return hand_over(ctx, &st, err);
}

/* ---- reports ---- */

static int update_url(struct op_ctx *ctx, struct action_execution *a, struct mh_err *err)
{
	struct action_type type = { 0 };
	bool found;

	if (type_load(ctx, a->type, &type, &found, err) != 0)
		return -1;
	if (!found)
		return 0;
	free(a->external_url);
	/* Secrets are not allowed in templates: the masked configuration will do. */
	a->external_url = action_type_url(&type, "executionUrlTemplate",
					  a->resolved_masked, a->external_id);
	action_type_done(&type);
	return 0;
}

static void set_told(char **field, const char *value)
{
	if (value)
		set_text(field, value);
}

static void take_revision(struct op_ctx *ctx, struct action_execution *a,
			  const struct action_report *report)
{
	size_t len = strlen(report->revision_id);

	/* The API requires a change identifier and a time wherever it shows a revision;
	 * where none was told, the revision itself (at most 100 bytes) and now stand in.
	 */
	set_text(&a->revision_id, report->revision_id);
	free(a->revision_change_id);
	a->revision_change_id = report->revision_change_id
					? mh_strdup(report->revision_change_id)
					: mh_strndup(report->revision_id,
						     str_utf8_floor(report->revision_id,
								    len, 100));
	a->revision_created_ms = report->revision_created_ms ? report->revision_created_ms
							     : ctx->now_ms;
	set_text(&a->revision_summary, report->revision_summary);
	set_text(&a->revision_url, report->revision_url);
}

int action_report(struct op_ctx *ctx, struct work *w, const struct action_report *report,
		  struct mh_err *err)
{
	struct action_execution *a = &w->action;

	set_told(&a->updated_by, ctx->caller_arn[0] ? ctx->caller_arn : NULL);
	set_told(&a->summary, report->summary);
	set_told(&a->external_id, report->external_id);
	if (report->percent >= 0)
		a->percent = report->percent;
	if (report->revision_id)
		take_revision(ctx, a, report);
	if (report->variables) {
		json_object_put(a->variables);
		a->variables = json_object_get(report->variables);
	}
	if (report->external_url)
		set_text(&a->external_url, report->external_url);
	else if (report->external_id)
		return update_url(ctx, a, err);
	return 0;
}

/* ---- ending ---- */

static int publish(struct op_ctx *ctx, const struct action_execution *a,
		   struct mh_err *err)
{
	bool source = strcmp(json_opt_str(a->type, "category", ""), "Source") == 0;

	for (size_t i = 0; i < json_object_array_length(a->outputs); i++) {
		struct json_object *o = json_object_array_get_idx(a->outputs, i);

		if (artifacts_put(ctx->store, a->execution, json_opt_str(o, "name", ""),
				  json_opt_str(o, "bucket", ""),
				  json_opt_str(o, "key", ""),
				  source ? a->revision_id : NULL, err) != 0)
			return -1;
	}
	return 0;
}

int action_succeed(struct op_ctx *ctx, struct work *w, struct mh_err *err)
{
	if (w->action.condition)
		return rule_end(ctx, w, NULL, NULL, err);
	if (publish(ctx, &w->action, err) != 0 ||
	    source_taken(ctx, &w->action, err) != 0 ||
	    timers_delete_of(ctx->store, w->action.seq, err) != 0 ||
	    change_action(ctx, &w->run, &w->action, ACTION_SUCCEEDED, err) != 0)
		return -1;
	return stage_advance(ctx, &w->run, &w->stage, err);
}

int action_fail(struct op_ctx *ctx, struct work *w, const char *code, const char *message,
		struct mh_err *err)
{
	if (w->action.condition)
		return rule_end(ctx, w, code, message, err);
	if (timers_delete_of(ctx->store, w->action.seq, err) != 0 ||
	    set_failed(ctx, &w->run, &w->action, code, message, err) != 0)
		return -1;
	return stage_advance(ctx, &w->run, &w->stage, err);
}

int action_abandon(struct op_ctx *ctx, struct run *r, struct action_execution *a,
		   struct mh_err *err)
{
	if (job_end_of(ctx, a->seq, JOB_FAILED, err) != 0 ||
	    approvals_close(ctx->store, a->seq, false, err) != 0 ||
	    timers_delete_of(ctx->store, a->seq, err) != 0)
		return -1;
	return change_action(ctx, r, a, ACTION_ABANDONED, err);
}
