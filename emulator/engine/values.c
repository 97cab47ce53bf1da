/* What an action gets to see: its resolved configuration and its artifacts. */
#include "emulator/engine/internal.h"
#include "emulator/engine/variables.h"

#include <string.h>

/* ---- source overrides (semantics E12) ---- */

/* The configuration key of the built-in source that an override sets. */
static const struct source_override {
	const char *provider, *revision_type, *key;
} source_overrides[] = {
	{ "CodeCommit", "COMMIT_ID", "CommitId" },
	{ "CodeStarSourceConnection", "COMMIT_ID", "CommitId" },
	/* Not a client's: the branch that a trigger was about. */
	{ "CodeStarSourceConnection", "BRANCH_NAME", "BranchName" },
	{ "S3", "S3_OBJECT_KEY", "S3ObjectKey" },
	{ "S3", "S3_OBJECT_VERSION_ID", "S3ObjectVersionId" },
};

static const struct source_override *find_override(struct json_object *type,
						   const char *revision_type)
{
	const char *provider = json_opt_str(type, "provider", "");

	if (strcmp(json_opt_str(type, "owner", ""), "AWS") != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(source_overrides); i++) {
		if (strcmp(source_overrides[i].provider, provider) == 0 &&
		    strcmp(source_overrides[i].revision_type, revision_type) == 0)
			return &source_overrides[i];
	}
	return NULL;
}

const char *override_refusal(struct json_object *type, struct json_object *configuration,
			     const char *revision_type)
{
	if (!find_override(type, revision_type))
		return "its source provider does not take that kind of revision here";
	if (strcmp(revision_type, "S3_OBJECT_KEY") == 0 &&
	    strcmp(json_opt_str(configuration, "AllowOverrideForS3ObjectKey", ""),
		   "true") != 0)
		return "its configuration does not say AllowOverrideForS3ObjectKey=true";
	return NULL;
}

struct json_object *action_declared_config(const struct run *r,
					   struct json_object *declared)
{
	struct json_object *from = json_opt_object(declared, "configuration");
	struct json_object *type = json_opt_object(declared, "actionTypeId");
	struct json_object *overrides = r->exec.overrides,
			   *out = json_object_new_object();
	size_t count = overrides ? json_object_array_length(overrides) : 0;

	if (from) {
		json_object_object_foreach(from, key, value)
			json_put_obj(out, key, json_object_get(value));
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *o = json_object_array_get_idx(overrides, i);
		const struct source_override *known = find_override(
			type, json_opt_str(o, "revisionType", ""));

		if (known && strcmp(json_opt_str(o, "actionName", ""),
				    json_opt_str(declared, "name", "")) == 0)
			json_put_str(out, known->key,
				     json_opt_str(o, "revisionValue", NULL));
	}
	return out;
}

/* ---- variables (semantics E11) ---- */

static struct json_object *service_values(const struct run *r)
{
	struct json_object *values = json_object_new_object();
	struct json_object *service = json_object_new_object();

	json_put_str(service, VARIABLES_KEY_EXECUTION_ID, r->exec.id);
	json_put_obj(values, VARIABLES_NS_EXECUTION, service);
	json_put_obj(values, VARIABLES_NS_PIPELINE, json_object_get(r->exec.variables));
	return values;
}

static int add_outputs_of(struct op_ctx *ctx, int64_t execution, int64_t before_seq,
			  struct json_object *values, struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };

	if (action_executions_succeeded(ctx->store, execution, &list, err) != 0)
		return -1;
	/* Oldest first: the last attempt's values stay. */
	for (size_t i = 0; i < list.count && list.items[i].seq < before_seq; i++) {
		if (list.items[i].name_space && list.items[i].variables)
			json_put_obj(values, list.items[i].name_space,
				     json_object_get(list.items[i].variables));
	}
	return 0;
}

/* A rollback has what its target produced, and then what it produces itself. */
static int add_outputs(struct op_ctx *ctx, const struct run *r, int64_t before_seq,
		       struct json_object *values, struct mh_err *err)
{
	CLEAN(execution) struct execution target = { 0 };
	bool found = false;

	if (r->exec.rollback_target &&
	    executions_find(ctx->store, r->exec.pipeline, r->exec.rollback_target,
			    &target, &found, err) != 0)
		return -1;
	if (found && add_outputs_of(ctx, target.seq, INT64_MAX, values, err) != 0)
		return -1;
	return add_outputs_of(ctx, r->exec.seq, before_seq, values, err);
}

/* What workers are told of the commands of a Commands action or rule: one shell script.
 */
static void put_commands(struct json_object *config, struct json_object *declared)
{
	struct json_object *list = json_opt_array(declared, "commands");
	char *script;

	if (!list || json_object_array_length(list) == 0)
		return;
	script = mh_strdup("set -e");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		char *longer = mh_format(
			"%s\n%s", script,
			json_object_get_string(json_object_array_get_idx(list, i)));

		free(script);
		script = longer;
	}
	json_put_str(config, "command", script);
	free(script);
}

int action_config(struct op_ctx *ctx, const struct run *r, struct json_object *declared,
		  int64_t before_seq, struct json_object **ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *config = action_declared_config(r, declared);
	CLEAN(json) struct json_object *values = service_values(r);

	put_commands(config, declared);
	if (add_outputs(ctx, r, before_seq, values, err) != 0)
		return -1;
	return variables_resolve_all(config, values, ret, err);
}

/* ---- artifacts ---- */

static void add_artifact(struct json_object *list, const char *name, const char *bucket,
			 const char *key, const char *revision)
{
	struct json_object *o = json_object_new_object();

	json_put_str(o, "name", name);
	json_put_str(o, "bucket", bucket);
	json_put_str(o, "key", key);
	json_put_str(o, "revision", revision);
	json_object_array_add(list, o);
}

static int find_inputs(struct op_ctx *ctx, const struct run *r,
		       struct json_object *declared, struct json_object *list,
		       struct mh_err *err)
{
	struct json_object *names = json_opt_array(declared, "inputArtifacts");
	size_t count = names ? json_object_array_length(names) : 0;

	for (size_t i = 0; i < count; i++) {
		const char *name = json_opt_str(json_object_array_get_idx(names, i),
						"name", "");
		CLEAN(artifact) struct artifact a = { 0 };
		bool found;

		if (artifacts_get(ctx->store, r->exec.seq, name, &a, &found, err) != 0)
			return -1;
		if (!found)
			return mh_err_set(
				err, MH_E_REFUSED,
				"input artifact %s was not made by an earlier action",
				name);
		add_artifact(list, name, a.bucket, a.key, a.revision);
	}
	return 0;
}

/* Dots alone mean another place to many a client that writes the key into a URL. */
static const char *key_part(const char *name)
{
	if (strcmp(name, ".") == 0)
		return "_";
	return strcmp(name, "..") == 0 ? "__" : name;
}

/* <pipeline, at most 20>/<artifact, at most 10>/<7 random characters> (semantics E19):
 * always three parts, and new for each action execution. */
static char *artifact_key(struct op_ctx *ctx, const char *pipeline, const char *artifact)
{
	char random[8];

	ctx->ids->name(ctx->ids, sizeof(random) - 1, random);
	return mh_format("%.20s/%.10s/%s", key_part(pipeline), artifact, random);
}

static int choose_outputs(struct op_ctx *ctx, const struct run *r,
			  struct json_object *declared, struct json_object *list,
			  struct mh_err *err)
{
	struct json_object *names = json_opt_array(declared, "outputArtifacts");
	size_t count = names ? json_object_array_length(names) : 0;
	const char *region = json_opt_str(declared, "region", ctx->settings->region);
	struct json_object *store = run_artifact_store(r, region);

	for (size_t i = 0; i < count; i++) {
		const char *name = json_opt_str(json_object_array_get_idx(names, i),
						"name", "");
		CLEAN(free) char *key = NULL;

		if (!store)
			return mh_err_set(
				err, MH_E_REFUSED,
				"the pipeline has no artifact store in region %s",
				region);
		key = artifact_key(ctx, r->pipeline.name, name);
		add_artifact(list, name, json_opt_str(store, "location", ""), key, NULL);
	}
	return 0;
}

int action_artifacts(struct op_ctx *ctx, const struct run *r,
		     struct json_object *declared, struct action_execution *a,
		     struct mh_err *err)
{
	if (find_inputs(ctx, r, declared, a->inputs, err) != 0)
		return -1;
	return choose_outputs(ctx, r, declared, a->outputs, err);
}
