#include <string.h>

#include "emulator/engine/pipelines.h"
#include "emulator/settings.h"
#include "emulator/store/pipelines.h"

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
	*ret = (struct pipeline){
		.rowid = row.rowid,
		.name = STEAL_PTR(row.name),
		.version = row.version,
		.created_ms = row.created_ms,
		.updated_ms = row.updated_ms,
		.declaration = declaration,
	};
	return 0;
}

void pipeline_done(struct pipeline *p)
{
	free(p->name);
	json_object_put(p->declaration);
	*p = (struct pipeline){ 0 };
}
