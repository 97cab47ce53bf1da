/*
 * What a job is told (semantics C9). It is made from the declaration each time, so that
 * secrets in clear are nowhere but there and in the answer.
 */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/jobcreds.h"

#include <string.h>

/* A third party is not told the pipeline's ARN, nor the execution (semantics C9). */
static struct json_object *pipeline_context(struct op_ctx *ctx, const struct work *w,
					    bool third_party)
{
	struct json_object *o = json_object_new_object();
	struct json_object *stage = json_object_new_object();
	struct json_object *action = json_object_new_object();
	CLEAN(free)
	char *arn = mh_format("arn:aws:codepipeline:%s:%s:%s", ctx->settings->region,
			      ctx->settings->account, w->action.pipeline);

	json_put_str(stage, "name", w->action.stage);
	json_put_str(action, "name", w->action.action);
	json_put_str(action, "actionExecutionId", w->action.id);
	json_put_str(o, "pipelineName", w->action.pipeline);
	json_put_obj(o, "stage", stage);
	json_put_obj(o, "action", action);
	json_put_str(o, "pipelineArn", third_party ? NULL : arn);
	json_put_str(o, "pipelineExecutionId",
		     third_party ? NULL : w->action.execution_id);
	return o;
}

static struct json_object *artifacts(struct json_object *list)
{
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *from = json_object_array_get_idx(list, i);
		struct json_object *o = json_object_new_object();
		struct json_object *location = json_object_new_object();
		struct json_object *s3 = json_object_new_object();

		json_put_str(s3, "bucketName", json_opt_str(from, "bucket", ""));
		json_put_str(s3, "objectKey", json_opt_str(from, "key", ""));
		json_put_str(location, "type", "S3");
		json_put_obj(location, "s3Location", s3);
		json_put_str(o, "name", json_opt_str(from, "name", ""));
		json_put_str(o, "revision", json_opt_str(from, "revision", NULL));
		json_put_obj(o, "location", location);
		json_object_array_add(out, o);
	}
	return out;
}

/* Borrows from list; the caller frees the array. */
static struct creds_object *scope(struct json_object *list, size_t *ret_count)
{
	size_t count = json_object_array_length(list);
	struct creds_object *objects = mh_alloc((count + 1) * sizeof(*objects));

	for (size_t i = 0; i < count; i++) {
		struct json_object *from = json_object_array_get_idx(list, i);

		objects[i] =
			(struct creds_object){ .bucket = json_opt_str(from, "bucket", ""),
					       .key = json_opt_str(from, "key", "") };
	}
	*ret_count = count;
	return objects;
}

/* NULL for an action without artifacts: there is nothing to open. */
static struct json_object *credentials(struct op_ctx *ctx,
				       const struct action_execution *a)
{
	size_t input_count, output_count;
	CLEAN(free) struct creds_object *inputs = scope(a->inputs, &input_count);
	CLEAN(free) struct creds_object *outputs = scope(a->outputs, &output_count);
	struct job_creds creds = { 0 };
	struct json_object *o;

	if (input_count + output_count == 0)
		return NULL;
	job_creds_seal(ctx->creds_key, inputs, input_count, outputs, output_count,
		       ctx->now_ms + ctx->settings->job_credentials_ms, &creds);
	o = json_object_new_object();
	json_put_str(o, "accessKeyId", creds.access_key_id);
	json_put_str(o, "secretAccessKey", creds.secret_access_key);
	json_put_str(o, "sessionToken", creds.session_token);
	job_creds_done(&creds);
	return o;
}

static int job_config(struct op_ctx *ctx, const struct work *w, struct json_object **ret,
		      struct mh_err *err)
{
	struct json_object *declared;

	if (w->action.condition)
		return rule_config(ctx, w, ret, err);
	declared = run_action(&w->run, w->stage.stage_index, w->action.action);
	if (!declared)
		return mh_err_set(err, MH_E_NOTFOUND,
				  "action %s is not in version %lld of %s",
				  w->action.action, (long long)w->run.pipeline.version,
				  w->action.pipeline);
	return action_config(ctx, &w->run, declared, w->action.seq, ret, err);
}

static int build(struct op_ctx *ctx, const struct job *j, struct json_object **ret,
		 struct mh_err *err)
{
	CLEAN(json) struct json_object *data = json_object_new_object();
	struct json_object *configuration = json_object_new_object(), *config = NULL,
			   *store;
	CLEAN(work) struct work w = { 0 };

	json_put_obj(data, "actionConfiguration", configuration);
	if (work_load(ctx, j->action, &w, err) != 0 ||
	    job_config(ctx, &w, &config, err) != 0)
		return -1;
	json_put_obj(configuration, "configuration", config);
	/* The type it was polled for, which an offer makes another than the action's. */
	json_put_obj(data, "actionTypeId", type_name_id(j->type));
	json_put_obj(data, "pipelineContext",
		     pipeline_context(ctx, &w, !type_name_is_custom(j->type)));
	json_put_obj(data, "inputArtifacts", artifacts(w.action.inputs));
	json_put_obj(data, "outputArtifacts", artifacts(w.action.outputs));
	if (job_state_is_open(j->state))
		json_put_obj(data, "artifactCredentials", credentials(ctx, &w.action));
	json_put_str(data, "continuationToken", j->token);
	store = run_artifact_store(&w.run, w.action.region);
	json_put_obj(data, "encryptionKey",
		     json_object_get(json_opt_object(store, "encryptionKey")));
	*ret = STEAL_PTR(data);
	return 0;
}

int engine_job_data(struct op_ctx *ctx, const struct job *j, struct json_object **ret,
		    struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return build(ctx, j, ret, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

/* ---- for the workers inside the emulator ---- */

static struct builtin_artifact *builtin_artifacts(struct json_object *list,
						  size_t *ret_count)
{
	size_t count = json_object_array_length(list);
	struct builtin_artifact *out = mh_alloc((count + 1) * sizeof(*out));

	for (size_t i = 0; i < count; i++) {
		struct json_object *from = json_object_array_get_idx(list, i);

		out[i] = (struct builtin_artifact){
			.name = mh_strdup(json_opt_str(from, "name", "")),
			.bucket = mh_strdup(json_opt_str(from, "bucket", "")),
			.key = mh_strdup(json_opt_str(from, "key", "")),
		};
	}
	*ret_count = count;
	return out;
}

int job_data_builtin(struct op_ctx *ctx, const struct job *j, struct builtin_job *ret,
		     struct mh_err *err)
{
	CLEAN(work) struct work w = { 0 };
	struct json_object *config = NULL;

	if (work_load(ctx, j->action, &w, err) != 0 ||
	    job_config(ctx, &w, &config, err) != 0)
		return -1;
	*ret = (struct builtin_job){
		.category = mh_strdup(json_opt_str(w.action.type, "category", "")),
		.provider = mh_strdup(json_opt_str(w.action.type, "provider", "")),
		.config = config,
		.pipeline = mh_strdup(w.action.pipeline),
		.execution_id = mh_strdup(w.action.execution_id),
	};
	memcpy(ret->id, j->id, sizeof(ret->id));
	ret->inputs = builtin_artifacts(w.action.inputs, &ret->input_count);
	ret->outputs = builtin_artifacts(w.action.outputs, &ret->output_count);
	return 0;
}

static void free_artifacts(struct builtin_artifact *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].bucket);
		free(list[i].key);
	}
	free(list);
}

void builtin_job_done(struct builtin_job *job)
{
	free(job->category);
	free(job->provider);
	json_object_put(job->config);
	free(job->pipeline);
	free(job->execution_id);
	free_artifacts(job->inputs, job->input_count);
	free_artifacts(job->outputs, job->output_count);
	*job = (struct builtin_job){ 0 };
}
