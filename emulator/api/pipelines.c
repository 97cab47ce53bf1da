/* CreatePipeline, GetPipeline, UpdatePipeline, ListPipelines, DeletePipeline. */
#include <inttypes.h>
#include <string.h>

#include "emulator/api/arn.h"
#include "emulator/api/ops.h"
#include "emulator/api/page.h"
#include "emulator/api/tags.h"
#include "emulator/engine/declare.h"
#include "emulator/settings.h"
#include "emulator/store/pipelines.h"

#define PIPELINES_MAX 1000 /* unless the settings say otherwise */
#define LIST_PAGE_MAX 1000

/* ---- action types for a declaration ---- */

/* For what is stored already: deleted types are still there. */
static int find_any_type(void *arg, struct json_object *id, struct action_type *ret,
			 bool *ret_found, struct api_error *err)
{
	return action_type_load(arg, id, ret, ret_found, err);
}

static struct declare_env env_for_stored(struct op_ctx *ctx)
{
	return (struct declare_env){ .region = ctx->settings->region,
				     .find_type = find_any_type,
				     .arg = ctx };
}

struct new_types {
	struct op_ctx *ctx;
	struct json_object *old; /* the declaration before; NULL at creation */
};

static bool same_id(struct json_object *a, struct json_object *b)
{
	static const char *const keys[] = { "category", "owner", "provider", "version" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(json_opt_str(a, keys[i], ""), json_opt_str(b, keys[i], "")) !=
		    0)
			return false;
	}
	return true;
}

static bool uses_type(struct json_object *declaration, struct json_object *id)
{
	struct json_object *stages = json_opt_array(declaration, "stages");
	size_t stage_count = stages != NULL ? json_object_array_length(stages) : 0;

	for (size_t s = 0; s < stage_count; s++) {
		struct json_object *actions = json_opt_array(
			json_object_array_get_idx(stages, s), "actions");
		size_t count = actions != NULL ? json_object_array_length(actions) : 0;

		for (size_t a = 0; a < count; a++) {
			struct json_object *action = json_object_array_get_idx(actions,
									       a);

			if (same_id(json_opt_object(action, "actionTypeId"), id))
				return true;
		}
	}
	return false;
}

/* For what is to be stored: a deleted type stays with the pipelines that have it (D2),
 * so that what GetPipeline tells can always be given back. */
static int find_new_type(void *arg, struct json_object *id, struct action_type *ret,
			 bool *ret_found, struct api_error *err)
{
	const struct new_types *types = arg;
	struct action_type type = { 0 };
	bool found = false;

	if (action_type_load(types->ctx, id, &type, &found, err) != 0)
		return -1;
	if (found && type.deleted && !uses_type(types->old, id)) {
		action_type_done(&type);
		found = false;
	}
	if (found)
		*ret = type;
	*ret_found = found;
	return 0;
}

/* The declaration as it will be stored, held against every rule. old is NULL at creation.
 */
static int accept_declaration(struct op_ctx *ctx, struct json_object *given,
			      const struct pipeline *old, struct json_object **ret,
			      struct api_error *err)
{
	struct new_types types = { .ctx = ctx,
				   .old = old != NULL ? old->declaration : NULL };
	const struct declare_env env = { .region = ctx->settings->region,
					 .find_type = find_new_type,
					 .arg = &types };
	CLEAN(json)
	struct json_object *declaration = declare_complete(
		given, old != NULL ? old->version + 1 : 1);

	if (declare_keep_secrets(&env, types.old, declaration, err) != 0 ||
	    declare_check(&env, declaration, err) != 0)
		return -1;
	*ret = STEAL_PTR(declaration);
	return 0;
}

static int put_masked(struct op_ctx *ctx, struct json_object *out,
		      struct json_object *declaration, struct api_error *err)
{
	const struct declare_env env = env_for_stored(ctx);
	struct json_object *masked = NULL;

	if (declare_masked(&env, declaration, &masked, err) != 0)
		return -1;
	json_put_obj(out, "pipeline", masked);
	return 0;
}

/* ---- create ---- */

static int check_name_free(struct op_ctx *ctx, const char *name, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	bool exists;

	if (store_pipeline_exists(ctx->store, name, &exists, &e) != 0)
		return api_fail_internal(err, &e);
	if (exists)
		return api_fail(
			err, "PipelineNameInUseException",
			"A pipeline with the name '%s' already exists in account '%s'",
			name, ctx->settings->account);
	return 0;
}

static int check_quota(struct op_ctx *ctx, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t max = ctx->settings->max_pipelines ? ctx->settings->max_pipelines
						   : PIPELINES_MAX;
	int64_t count;

	if (store_pipeline_count(ctx->store, &count, &e) != 0)
		return api_fail_internal(err, &e);
	if (count >= max)
		return api_fail(
			err, "LimitExceededException",
			"There can only be up to %" PRId64 " pipelines in a region", max);
	return 0;
}

static int insert_pipeline(struct op_ctx *ctx, const char *name, const char *tags,
			   struct json_object *declaration, struct api_error *err)
{
	const struct declare_env env = env_for_stored(ctx);
	struct mh_err e = MH_ERR_INIT;
	int64_t rowid;

	if (store_pipeline_insert(ctx->store, name, tags, ctx->now_ms, &rowid, &e) != 0)
		return api_fail_internal(err, &e);
	return pipeline_save(ctx, &env, rowid, declaration, err);
}

int op_create_pipeline(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	struct json_object *given = json_opt_object(in, "pipeline");
	struct json_object *tags = json_opt_array(in, "tags");
	const char *name = json_opt_str(given, "name", "");
	CLEAN(json) struct json_object *declaration = NULL;
	CLEAN(free) char *arn = arn_of_pipeline(ctx, name);
	CLEAN(pipeline) struct pipeline p = { 0 };

	if (check_name_free(ctx, name, err) != 0 || tags_check(tags, arn, err) != 0 ||
	    accept_declaration(ctx, given, NULL, &declaration, err) != 0 ||
	    check_quota(ctx, err) != 0)
		return -1;
	if (insert_pipeline(ctx, name, tags_text(tags), declaration, err) != 0 ||
	    pipeline_load(ctx, name, 0, &p, err) != 0 ||
	    engine_pipeline_created(ctx, &p, err) != 0)
		return -1;
	if (put_masked(ctx, out, declaration, err) != 0)
		return -1;
	return tags_answer(out, tags_text(tags), err);
}

/* ---- get ---- */

int op_get_pipeline(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		    struct api_error *err)
{
	const char *name = json_opt_str(in, "name", "");
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(free) char *arn = arn_of_pipeline(ctx, name);
	struct json_object *metadata;

	if (pipeline_load(ctx, name, json_opt_i64(in, "version", 0), &p, err) != 0 ||
	    put_masked(ctx, out, p.declaration, err) != 0)
		return -1;
	metadata = json_object_new_object();
	json_put_str(metadata, "pipelineArn", arn);
	json_put_time(metadata, "created", p.created_ms);
	json_put_time(metadata, "updated", p.updated_ms);
	json_put_obj(out, "metadata", metadata);
	return 0;
}

/* ---- update ---- */

int op_update_pipeline(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	struct json_object *given = json_opt_object(in, "pipeline");
	const char *name = json_opt_str(given, "name", "");
	CLEAN(json) struct json_object *declaration = NULL;
	CLEAN(pipeline) struct pipeline old = { 0 }, p = { 0 };
	const struct declare_env env = env_for_stored(ctx);

	/* An unknown name: the model lists no error for it here.
	 * PipelineNotFoundException is what clients have a type for, and what they look
	 * for (semantics G14). */
	if (pipeline_load(ctx, name, 0, &old, err) != 0 ||
	    accept_declaration(ctx, given, &old, &declaration, err) != 0)
		return -1;
	if (pipeline_save(ctx, &env, old.rowid, declaration, err) != 0 ||
	    pipeline_load(ctx, name, 0, &p, err) != 0 ||
	    engine_pipeline_updated(ctx, &old, &p, err) != 0)
		return -1;
	return put_masked(ctx, out, declaration, err);
}

/* ---- delete ---- */

int op_delete_pipeline(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	const char *name = json_opt_str(in, "name", "");
	CLEAN(pipeline) struct pipeline p = { 0 };
	struct mh_err e = MH_ERR_INIT;
	bool exists;

	(void)out; /* this operation has no output */
	if (store_pipeline_exists(ctx->store, name, &exists, &e) != 0)
		return api_fail_internal(err, &e);
	if (!exists)
		return 0; /* idempotent: there is no error for it */
	if (pipeline_load(ctx, name, 0, &p, err) != 0 ||
	    engine_pipeline_deleted(ctx, &p, err) != 0)
		return -1;
	if (store_pipeline_delete(ctx->store, p.rowid, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* ---- list ---- */

static struct json_object *summary_of(struct stmt *q)
{
	struct json_object *s = json_object_new_object();

	json_put_str(s, "name", stmt_text(q, 0));
	json_put_i64(s, "version", stmt_i64(q, 1));
	json_put_str(s, "pipelineType", stmt_text(q, 2));
	json_put_str(s, "executionMode", stmt_text(q, 3));
	json_put_time(s, "created", stmt_i64(q, 4));
	json_put_time(s, "updated", stmt_i64(q, 5));
	return s;
}

int op_list_pipelines(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		      struct api_error *err)
{
	static const char what[] = "ListPipelines";
	int64_t limit = json_opt_i64(in, "maxResults", LIST_PAGE_MAX);
	CLEAN(free) char *after = NULL, *last = NULL;
	struct json_object *page = json_object_new_array();
	CLEAN(stmt) struct stmt q = { 0 };
	struct mh_err e = MH_ERR_INIT;
	int rc;

	json_put_obj(out, "pipelines", page);
	if (page_open(ctx, what, json_opt_str(in, "nextToken", NULL), &after, err) != 0)
		return -1;
	/* One more than asked for says whether there is a next page. */
	store_pipeline_list(ctx->store, &q, after != NULL ? after : "", limit + 1);
	while ((rc = stmt_next(&q, &e)) == 1) {
		if ((int64_t)json_object_array_length(page) == limit) {
			CLEAN(free) char *token = page_token(ctx, what, last);

			json_put_str(out, "nextToken", token);
			return 0;
		}
		(void)json_object_array_add(
			page, summary_of(&q)); /* fails without memory alone */
		free(last);
		last = mh_strdup(stmt_text(&q, 0));
	}
	return rc == 0 ? 0 : api_fail_internal(err, &e);
}
