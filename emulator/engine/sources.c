#include "emulator/engine/sources.h"

#include <string.h>

#include "emulator/engine/engine.h"
#include "emulator/store/sources.h"

static struct json_object *first_actions(const struct pipeline *p)
{
	struct json_object *stages = json_opt_array(p->declaration, "stages");

	return stages && json_object_array_length(stages) > 0
		       ? json_opt_array(json_object_array_get_idx(stages, 0), "actions")
		       : NULL;
}

struct json_object *source_find(const struct pipeline *p, const char *action)
{
	struct json_object *actions = first_actions(p);
	size_t count = actions ? json_object_array_length(actions) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *a = json_object_array_get_idx(actions, i);

		if (strcmp(json_opt_str(a, "name", ""), action) == 0)
			return a;
	}
	return NULL;
}

char *source_of(struct json_object *action)
{
	struct json_object *type = json_opt_object(action, "actionTypeId");
	struct json_object *config = json_opt_object(action, "configuration");
	const char *provider = json_opt_str(type, "provider", "");

	if (strcmp(json_opt_str(type, "owner", ""), "AWS") != 0)
		return NULL;
	if (strcmp(provider, "CodeCommit") == 0)
		return mh_concat("git:", json_opt_str(config, "RepositoryName", ""));
	if (strcmp(provider, "CodeStarSourceConnection") == 0)
		return mh_concat("git:", json_opt_str(config, "FullRepositoryId", ""));
	if (strcmp(provider, "S3") == 0)
		return mh_concat("s3:", json_opt_str(config, "S3Bucket", ""), "/",
				 json_opt_str(config, "S3ObjectKey", ""));
	return NULL;
}

int sources_forget(struct op_ctx *ctx, const char *pipeline, struct mh_err *err)
{
	ctx->sources_changed = true;
	if (source_watches_clear(ctx->store, pipeline, err) != 0)
		return -1;
	return source_refs_tidy(ctx->store, err);
}

int sources_watch(struct op_ctx *ctx, const struct pipeline *p, struct mh_err *err)
{
	struct json_object *actions = first_actions(p);
	size_t count = actions ? json_object_array_length(actions) : 0;

	ctx->sources_changed = true;
	if (source_watches_clear(ctx->store, p->name, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		CLEAN(free)
		char *source = source_of(json_object_array_get_idx(actions, i));

		if (source && source_watches_put(ctx->store, source, p->name, err) != 0)
			return -1;
	}
	return source_refs_tidy(ctx->store, err);
}

void source_pin(struct json_object **list, const char *action, const char *revision_type,
		const char *value)
{
	struct json_object *o;

	if (!value)
		return;
	o = json_object_new_object();
	json_put_str(o, "actionName", action);
	json_put_str(o, "revisionType", revision_type);
	json_put_str(o, "revisionValue", value);
	if (!*list)
		*list = json_object_new_array();
	(void)json_object_array_add(*list, o); /* fails without memory alone */
}

int source_taken(struct op_ctx *ctx, const struct action_execution *a, struct mh_err *err)
{
	if (!a->revision_id ||
	    strcmp(json_opt_str(a->type, "category", ""), "Source") != 0)
		return 0;
	return source_revisions_put(ctx->store, a->pipeline, a->action, a->revision_id,
				    a->execution, err);
}

/* ---- PutActionRevision (semantics E15) ---- */

static bool is_commit(const char *text)
{
	size_t len = strlen(text);

	return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

/* What the built-in sources can be held to; others take what is newest. */
static struct json_object *pins_for(struct json_object *action, const char *revision)
{
	struct json_object *type = json_opt_object(action, "actionTypeId");
	const char *provider = json_opt_str(type, "provider", "");
	struct json_object *pins = NULL;

	/* Of an S3 source it may be an ETag as well as a version. */
	if (strcmp(json_opt_str(type, "owner", ""), "AWS") == 0 &&
	    strcmp(provider, "S3") != 0 && is_commit(revision))
		source_pin(&pins, json_opt_str(action, "name", ""), "COMMIT_ID",
			   revision);
	return pins;
}

static int start_with(struct op_ctx *ctx, const struct pipeline *p,
		      struct json_object *action, const char *revision,
		      char ret_id[STR_UUID_SIZE], struct api_error *err)
{
	CLEAN(json) struct json_object *pins = pins_for(action, revision);
	CLEAN(execution) struct execution e = { 0 };
	const struct execution_start how = {
		.trigger_type = "PutActionRevision",
		.trigger_detail = ctx->caller_arn,
		.revisions = pins,
		.automatic = true,
	};
	struct mh_err inner = MH_ERR_INIT;
	bool found;

	if (execution_start(ctx, p, &how, ret_id, err) != 0)
		return -1;
	if (executions_find(ctx->store, p->name, ret_id, &e, &found, &inner) != 0 ||
	    (found &&
	     source_revisions_put(ctx->store, p->name, json_opt_str(action, "name", ""),
				  revision, e.seq, &inner) != 0))
		return api_fail_internal(err, &inner);
	return 0;
}

int engine_put_revision(struct op_ctx *ctx, const struct pipeline *p,
			struct json_object *action, const char *revision,
			char ret_id[STR_UUID_SIZE], bool *ret_new, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	bool known;

	if (source_revisions_find(ctx->store, p->name, json_opt_str(action, "name", ""),
				  revision, ret_id, &known, &e) != 0)
		return api_fail_internal(err, &e);
	*ret_new = !known;
	return known ? 0 : start_with(ctx, p, action, revision, ret_id, err);
}
