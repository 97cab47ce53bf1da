#include <string.h>

#include "emulator/engine/declare.h"
#include "emulator/engine/pipelines.h"
#include "emulator/seal.h"
#include "emulator/settings.h"
#include "emulator/store/pipelines.h"

#define MASK "****"

/* ---- secrets on disk: {"sealed":"..."} where a string would be ---- */

static struct json_object *sealed_value(void *arg, const char *value)
{
	struct op_ctx *ctx = arg;
	CLEAN(free) char *sealed = seal_text(ctx->creds_key, value);
	struct json_object *o = json_object_new_object();

	json_put_str(o, "sealed", sealed);
	return o;
}

/* A value that was sealed under a key that is gone stays masked: the pipeline can still
 * be seen, and be given the secret anew. */
static void open_values(struct op_ctx *ctx, struct json_object *configuration)
{
	if (configuration == NULL)
		return;
	json_object_object_foreach(configuration, key, value)
	{
		const char *sealed = json_opt_str(value, "sealed", NULL);
		CLEAN(free) char *text = NULL;
		struct mh_err e = MH_ERR_INIT;

		if (sealed == NULL)
			continue;
		/* Replacing a member's value does not move the iteration. */
		if (seal_open(ctx->creds_key, sealed, &text, &e) == 0)
			json_put_str(configuration, key, text);
		else
			json_put_str(configuration, key, MASK);
	}
}

static void open_secrets(struct op_ctx *ctx, struct json_object *declaration)
{
	struct json_object *stages = json_opt_array(declaration, "stages");
	size_t stage_count = stages != NULL ? json_object_array_length(stages) : 0;

	for (size_t s = 0; s < stage_count; s++) {
		struct json_object *actions = json_opt_array(
			json_object_array_get_idx(stages, s), "actions");
		size_t count = actions != NULL ? json_object_array_length(actions) : 0;

		for (size_t a = 0; a < count; a++)
			open_values(ctx,
				    json_opt_object(json_object_array_get_idx(actions, a),
						    "configuration"));
	}
}

int pipeline_save(struct op_ctx *ctx, const struct declare_env *env, int64_t rowid,
		  struct json_object *declaration, struct api_error *err)
{
	const struct store_pipeline_summary summary = {
		.pipeline_type = json_opt_str(declaration, "pipelineType", ""),
		.execution_mode = json_opt_str(declaration, "executionMode", ""),
	};
	CLEAN(json) struct json_object *sealed = NULL;
	struct mh_err e = MH_ERR_INIT;

	if (declare_replace_secrets(env, declaration, sealed_value, ctx, &sealed, err) !=
	    0)
		return -1;
	if (store_pipeline_add_version(ctx->store, rowid,
				       json_opt_i64(declaration, "version", 0),
				       json_text(sealed), &summary, ctx->now_ms, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* ---- loading ---- */

static int fail_not_found(struct op_ctx *ctx, const char *name, struct api_error *err)
{
	return api_fail(err, "PipelineNotFoundException",
			"Account '%s' does not have a pipeline with name '%s'",
			ctx->settings->account, name);
}

static int fail_no_version(const char *name, int64_t version, struct api_error *err)
{
	return api_fail(err, "PipelineVersionNotFoundException",
			"Pipeline '%s' does not have a version %lld", name,
			(long long)version);
}

int pipeline_load(struct op_ctx *ctx, const char *name, int64_t version,
		  struct pipeline *ret, struct api_error *err)
{
	CLEAN(store_pipeline) struct store_pipeline row = { 0 };
	struct json_object *declaration = NULL;
	enum store_pipeline_found found;
	struct mh_err e = MH_ERR_INIT;

	if (store_pipeline_find(ctx->store, name, version, &row, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (found == STORE_PIPELINE_NONE)
		return fail_not_found(ctx, name, err);
	if (found == STORE_PIPELINE_NO_VERSION)
		return fail_no_version(name, version, err);
	if (json_parse_object(row.declaration, strlen(row.declaration), &declaration,
			      &e) != 0)
		return api_fail_internal(err, &e);
	open_secrets(ctx, declaration);
	ret->rowid = row.rowid;
	ret->name = STEAL_PTR(row.name);
	ret->version = row.version;
	ret->created_ms = row.created_ms;
	ret->updated_ms = row.updated_ms;
	ret->declaration = declaration;
	return 0;
}

void pipeline_done(struct pipeline *p)
{
	free(p->name);
	json_object_put(p->declaration);
	*p = (struct pipeline){ 0 };
}
