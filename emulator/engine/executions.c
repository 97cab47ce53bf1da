/* Starts of executions. */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/sources.h"

#include <string.h>

/* Executions at the same time, running and waiting, of a QUEUED or PARALLEL pipeline. */
#define OPEN_MAX 50
/* A clientRequestToken stands for its first use this long (semantics E14). */
#define TOKEN_WINDOW_MS ((int64_t)24 * 3600 * 1000)

static struct json_object *array_item(struct json_object *array, size_t i)
{
	return array && i < json_object_array_length(array)
		       ? json_object_array_get_idx(array, i)
		       : NULL;
}

/* ---- pipeline variables (semantics E11) ---- */

static void take_defaults(struct json_object *declared, struct json_object *values)
{
	struct json_object *v;

	for (size_t i = 0; (v = array_item(declared, i)); i++)
		json_put_str(values, json_opt_str(v, "name", ""),
			     json_opt_str(v, "defaultValue", NULL));
}

static bool is_declared(struct json_object *declared, const char *name)
{
	struct json_object *v;

	for (size_t i = 0; (v = array_item(declared, i)); i++) {
		if (strcmp(json_opt_str(v, "name", ""), name) == 0)
			return true;
	}
	return false;
}

static int take_given(const struct pipeline *p, struct json_object *declared,
		      struct json_object *given, struct json_object *values,
		      struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();
	struct json_object *v;

	for (size_t i = 0; (v = array_item(given, i)); i++) {
		const char *name = json_opt_str(v, "name", "");

		if (!is_declared(declared, name))
			return api_fail(err, "ValidationException",
					"Pipeline '%s' does not declare a variable with "
					"name '%s'",
					p->name, name);
		if (json_object_object_get_ex(seen, name, NULL))
			return api_fail(err, "ValidationException",
					"Variable '%s' is given more than once", name);
		json_put_bool(seen, name, true);
		json_put_str(values, name, json_opt_str(v, "value", ""));
	}
	return 0;
}

/* The first declared variable that has no value, or NULL. */
static const char *missing_variable(struct json_object *declared,
				    struct json_object *values)
{
	struct json_object *v;

	for (size_t i = 0; (v = array_item(declared, i)); i++) {
		const char *name = json_opt_str(v, "name", "");

		if (!json_object_object_get_ex(values, name, NULL))
			return name;
	}
	return NULL;
}

/* ---- source overrides (semantics E12) ---- */

static struct json_object *source_action(const struct run *r, const char *name)
{
	struct json_object *action = run_action(r, 0, name);
	struct json_object *type = json_opt_object(action, "actionTypeId");

	return strcmp(json_opt_str(type, "category", ""), "Source") == 0 ? action : NULL;
}

static int check_override(const struct run *r, struct json_object *override,
			  struct api_error *err)
{
	const char *name = json_opt_str(override, "actionName", "");
	const char *kind = json_opt_str(override, "revisionType", "");
	struct json_object *action = source_action(r, name);
	const char *refusal;

	if (!action)
		return api_fail(err, "ValidationException",
				"Pipeline '%s' has no source action with name '%s'",
				r->pipeline.name, name);
	refusal = override_refusal(json_opt_object(action, "actionTypeId"),
				   json_opt_object(action, "configuration"), kind);
	if (refusal)
		return api_fail(err, "ValidationException",
				"The source revision of action '%s' cannot be overridden "
				"by a %s: %s",
				name, kind, refusal);
	return 0;
}

/* Of one kind for one action there is one. */
static int check_not_before(struct json_object *overrides, size_t n,
			    struct api_error *err)
{
	struct json_object *o = array_item(overrides, n);
	const char *name = json_opt_str(o, "actionName", "");
	const char *kind = json_opt_str(o, "revisionType", "");

	for (size_t i = 0; i < n; i++) {
		struct json_object *before = array_item(overrides, i);

		if (strcmp(json_opt_str(before, "actionName", ""), name) == 0 &&
		    strcmp(json_opt_str(before, "revisionType", ""), kind) == 0)
			return api_fail(err, "ValidationException",
					"The source revision of action '%s' is "
					"overridden by a %s more than once",
					name, kind);
	}
	return 0;
}

static int check_overrides(const struct run *r, struct json_object *overrides,
			   struct api_error *err)
{
	size_t count = overrides ? json_object_array_length(overrides) : 0;

	if (count > 0 &&
	    strcmp(json_opt_str(r->pipeline.declaration, "pipelineType", "V1"), "V2") !=
		    0)
		return api_fail(
			err, "ValidationException",
			"Source revision overrides can only be used with V2 pipelines");
	for (size_t i = 0; i < count; i++) {
		if (check_override(r, array_item(overrides, i), err) != 0 ||
		    check_not_before(overrides, i, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- starting ---- */

int execution_room(struct op_ctx *ctx, const struct pipeline *p, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t open = 0;

	if (strcmp(json_opt_str(p->declaration, "executionMode", "SUPERSEDED"),
		   "SUPERSEDED") == 0)
		return 0;
	if (executions_count_open(ctx->store, p->name, &open, &e) != 0)
		return api_fail_internal(err, &e);
	if (open >= OPEN_MAX)
		return api_fail(
			err, "ConcurrentPipelineExecutionsLimitExceededException",
			"Pipeline '%s' has reached the limit of %d concurrent executions",
			p->name, OPEN_MAX);
	return 0;
}

struct run execution_new(struct op_ctx *ctx, const struct pipeline *p,
			 const struct execution_start *how)
{
	struct run r = {
		.exec = {
			.pipeline = mh_strdup(p->name),
			.version = p->version,
			.mode = execution_mode_parse(
				json_opt_str(p->declaration, "executionMode", "SUPERSEDED")),
			.status = EXECUTION_IN_PROGRESS,
			.trigger_type = mh_strdup(how->trigger_type),
			.trigger_detail = mh_strdup(how->trigger_detail),
			.variables = json_object_new_object(),
			.overrides = json_object_get(how->revisions),
			.origin = json_object_get(how->origin),
			.started_ms = ctx->now_ms,
			.updated_ms = ctx->now_ms,
		},
		.pipeline = *p,
	};

	r.pipeline.name = mh_strdup(p->name);
	json_object_get(r.pipeline.declaration);
	ctx->ids->uuid(ctx->ids, r.exec.id);
	return r;
}

/* What a repeated start with the same token must repeat (semantics E14). */
static struct json_object *start_arguments(const struct execution_start *how)
{
	struct json_object *arguments = json_object_new_object();

	json_put_obj(arguments, "variables", json_object_get(how->variables));
	json_put_obj(arguments, "sourceRevisions", json_object_get(how->revisions));
	return arguments;
}

static int begin(struct op_ctx *ctx, struct run *r, const struct execution_start *how,
		 const char *missing, struct mh_err *err)
{
	CLEAN(json) struct json_object *arguments = start_arguments(how);

	if (executions_insert(ctx->store, &r->exec, how->token,
			      how->token ? json_text(arguments) : NULL, err) != 0 ||
	    change_execution(ctx, &r->exec, EXECUTION_IN_PROGRESS, NULL, err) != 0)
		return -1;
	if (missing) {
		CLEAN(free)
		char *summary = mh_format("Variable %s has no value", missing);

		return change_execution(ctx, &r->exec, EXECUTION_FAILED, summary, err);
	}
	return gate_arrive(ctx, r, 0, err);
}

int execution_start(struct op_ctx *ctx, const struct pipeline *p,
		    const struct execution_start *how, char ret_id[STR_UUID_SIZE],
		    struct api_error *err)
{
	CLEAN(run) struct run r = execution_new(ctx, p, how);
	struct json_object *declared = json_opt_array(p->declaration, "variables");
	struct mh_err e = MH_ERR_INIT;
	const char *missing;

	take_defaults(declared, r.exec.variables);
	if (take_given(p, declared, how->variables, r.exec.variables, err) != 0 ||
	    (!how->automatic && check_overrides(&r, how->revisions, err) != 0))
		return -1;
	missing = missing_variable(declared, r.exec.variables);
	if (missing && !how->automatic)
		return api_fail(
			err, "ValidationException",
			"Variable '%s' has no default value: a value must be given",
			missing);
	if (execution_room(ctx, p, err) != 0)
		return -1;
	if (begin(ctx, &r, how, missing, &e) != 0)
		return api_fail_internal(err, &e);
	memcpy(ret_id, r.exec.id, STR_UUID_SIZE);
	return 0;
}

/* The execution that this token has started already, when there is one. */
static int find_started(struct op_ctx *ctx, const struct pipeline *p,
			const struct execution_start *how, char ret_id[STR_UUID_SIZE],
			bool *ret_found, struct api_error *err)
{
	CLEAN(json) struct json_object *arguments = start_arguments(how);
	CLEAN(free) char *before = NULL;
	struct mh_err e = MH_ERR_INIT;

	*ret_found = false;
	if (!how->token)
		return 0;
	if (executions_find_token(ctx->store, p->name, how->token,
				  ctx->now_ms - TOKEN_WINDOW_MS, ret_id, &before,
				  ret_found, &e) != 0)
		return api_fail_internal(err, &e);
	if (*ret_found && strcmp(before, json_text(arguments)) != 0)
		return api_fail(
			err, "ValidationException",
			"clientRequestToken '%s' was used with other arguments before",
			how->token);
	return 0;
}

int engine_start(struct op_ctx *ctx, const struct pipeline *p,
		 struct json_object *variables, struct json_object *revisions,
		 const char *token, char ret_id[STR_UUID_SIZE], struct api_error *err)
{
	struct execution_start how = {
		.trigger_type = "StartPipelineExecution",
		.trigger_detail = ctx->caller_arn,
		.variables = variables,
		.revisions = revisions,
		.token = token,
	};
	bool found;

	if (find_started(ctx, p, &how, ret_id, &found, err) != 0)
		return -1;
	return found ? 0 : execution_start(ctx, p, &how, ret_id, err);
}

int engine_pipeline_created(struct op_ctx *ctx, const struct pipeline *p,
			    struct api_error *err)
{
	struct execution_start how = {
		.trigger_type = "CreatePipeline",
		.trigger_detail = ctx->caller_arn,
		.automatic = true,
	};
	struct mh_err e = MH_ERR_INIT;
	char id[STR_UUID_SIZE];

	if (sources_watch(ctx, p, &e) != 0)
		return api_fail_internal(err, &e);
	return execution_start(ctx, p, &how, id, err);
}
