/* What a job is told (semantics C9). */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(5);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* A pipeline whose Build job waits for a worker. */
static const char *waiting_build(struct world *w)
{
	const char *e = create_pipeline(w, "p", "SUPERSEDED");

	work(w, "Src");
	return e;
}

/* ---- data (semantics C9) ---- */

static void job_data_is_complete(void **state)
{
	struct world *w = *state;
	const char *execution = waiting_build(w);
	struct handed job = take(w, "Make");
	const char *prefix = "p/Code/", *key;

	assert_string_equal(text_at(job.data, "actionTypeId.provider"), "Make");
	assert_string_equal(text_at(job.data, "actionTypeId.owner"), "Custom");
	assert_string_equal(text_at(job.data, "actionConfiguration.configuration.Target"),
			    "all");
	assert_string_equal(text_at(job.data, "pipelineContext.pipelineName"), "p");
	assert_string_equal(text_at(job.data, "pipelineContext.stage.name"), "Build");
	assert_string_equal(text_at(job.data, "pipelineContext.action.name"), "B");
	assert_string_equal(text_at(job.data, "pipelineContext.pipelineArn"),
			    "arn:aws:codepipeline:us-east-1:000000000000:p");
	assert_string_equal(text_at(job.data, "pipelineContext.pipelineExecutionId"),
			    execution);
	assert_string_equal(text_at(job.data, "inputArtifacts[0].name"), "Code");
	assert_string_equal(text_at(job.data, "inputArtifacts[0].location.type"), "S3");
	assert_string_equal(
		text_at(job.data, "inputArtifacts[0].location.s3Location.bucketName"),
		"artifacts");
	key = text_at(job.data, "inputArtifacts[0].location.s3Location.objectKey");
	assert_memory_equal(key, prefix, strlen(prefix));
	assert_int_equal(strlen(key), strlen(prefix) + 7);
	assert_string_equal(text_at(job.data, "outputArtifacts[0].name"), "Program");
	key = text_at(job.data, "outputArtifacts[0].location.s3Location.objectKey");
	assert_memory_equal(key, "p/Program/", 10);
	assert_null(at(job.data, "encryptionKey"));
}

static void keys_are_cut_and_stay_the_same_for_a_job(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *input = NULL;
	const char *key, *again, *name = "a-pipeline-with-a-long-name";
	struct handed job;

	input = declare(
		name, "SUPERSEDED",
		"[{'name':'S','actions':[{'name':'S','outputArtifacts':[{'name':"
		"'SourceArtifact'}],'actionTypeId':{'category':'Source','owner':'Custom',"
		"'provider':'Src','version':'1'}}]},"
		"{'name':'B','actions':[{'name':'B','inputArtifacts':[{'name':"
		"'SourceArtifact'}],'actionTypeId':{'category':'Build','owner':'Custom',"
		"'provider':'Make','version':'1'}}]}]");
	call(w, "CreatePipeline", "%s", input);
	job = take(w, "Src");
	key = text_at(job.data, "outputArtifacts[0].location.s3Location.objectKey");
	assert_memory_equal(key, "a-pipeline-with-a-lo/SourceArti/", 32);
	again = text_at(
		call(w, "GetJobDetails", "{'jobId':'%s'}", job.id),
		"jobDetails.data.outputArtifacts[0].location.s3Location.objectKey");
	assert_string_equal(key, again);
	succeed(w, job.id);
	again = text_at(take(w, "Make").data,
			"inputArtifacts[0].location.s3Location.objectKey");
	assert_string_equal(key, again);
}

static void keys_hold_no_dot_segments(void **state)
{
	static const struct {
		const char *name, *begins;
	} rows[] = { { ".", "_/" }, { "..", "__/" }, { "...", ".../" } };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *key;

		create_pipeline(w, rows[i].name, "SUPERSEDED");
		key = text_at(take(w, "Src").data,
			      "outputArtifacts[0].location.s3Location.objectKey");
		assert_memory_equal(key, rows[i].begins, strlen(rows[i].begins));
	}
}

static void credentials_open_the_artifacts_of_their_job_alone(void **state)
{
	struct world *w = *state;
	struct opened_creds c = { 0 };
	struct mh_err err = MH_ERR_INIT;
	struct json_object *details;
	struct handed job;
	const char *in, *out;

	waiting_build(w);
	job = take(w, "Make");
	in = text_at(job.data, "inputArtifacts[0].location.s3Location.objectKey");
	out = text_at(job.data, "outputArtifacts[0].location.s3Location.objectKey");
	assert_ok(job_creds_open(w->key,
				 text_at(job.data, "artifactCredentials.sessionToken"),
				 &c, &err),
		  &err);
	assert_int_equal(c.expires_ms, w->now_ms + 900 * SECOND);
	assert_true(opened_creds_may_read(&c, "artifacts", in));
	assert_false(opened_creds_may_write(&c, "artifacts", in));
	assert_true(opened_creds_may_write(&c, "artifacts", out));
	assert_false(opened_creds_may_read(&c, "other", in));
	opened_creds_done(&c);
	/* Asked again later, they live longer (semantics G8). */
	pass_time(w, 600 * SECOND);
	details = call(w, "GetJobDetails", "{'jobId':'%s'}", job.id);
	assert_ok(job_creds_open(
			  w->key,
			  text_at(details,
				  "jobDetails.data.artifactCredentials.sessionToken"),
			  &c, &err),
		  &err);
	assert_int_equal(c.expires_ms, w->now_ms + 900 * SECOND);
	opened_creds_done(&c);
	/* A job that has ended gets none (semantics G7). */
	succeed(w, job.id);
	details = call(w, "GetJobDetails", "{'jobId':'%s'}", job.id);
	assert_null(at(details, "jobDetails.data.artifactCredentials"));
	assert_non_null(at(details, "jobDetails.data.inputArtifacts[0]"));
}

static void action_without_artifacts_gets_no_credentials(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare(
		"p", "SUPERSEDED",
		"[{'name':'S','actions':[{'name':'S','actionTypeId':{'category':'Source',"
		"'owner':'Custom','provider':'Src','version':'1'}}]},{'name':'T',"
		"'actions':[{'name':'T','actionTypeId':{'category':'Test','owner':"
		"'Custom','provider':'Check','version':'1'}}]}]");

	call(w, "CreatePipeline", "%s", input);
	assert_null(at(take(w, "Src").data, "artifactCredentials"));
}

static void encryption_key_comes_from_the_artifact_store(void **state)
{
	struct world *w = *state;

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStore':{'type':'S3','location':'artifacts','encryptionKey':"
	     "{'id':'alias/k','type':'KMS'}},'stages':%s}}",
	     three_stages);
	assert_string_equal(text_at(take(w, "Src").data, "encryptionKey.id"), "alias/k");
}

static void artifacts_go_to_the_store_of_the_actions_region(void **state)
{
	struct world *w = *state;
	struct handed job;

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStores':{'eu-west-1':{'type':'S3','location':'there'},"
	     "'us-east-1':{'type':'S3','location':'here','encryptionKey':{'id':'k',"
	     "'type':'KMS'}}},'stages':%s}}",
	     three_stages);
	job = take(w, "Src");
	assert_string_equal(
		text_at(job.data, "outputArtifacts[0].location.s3Location.bucketName"),
		"here");
	assert_string_equal(text_at(job.data, "encryptionKey.id"), "k");
}

static void secrets_are_in_job_data_alone(void **state)
{
	struct world *w = *state;
	static const char *const views[][2] = {
		{ "GetPipeline", "{'name':'p'}" },
		{ "GetPipelineState", "{'name':'p'}" },
		{ "ListActionExecutions", "{'pipelineName':'p'}" },
		{ "ListPipelineExecutions", "{'pipelineName':'p'}" },
	};
	struct handed job;

	waiting_build(w);
	job = take(w, "Make");
	assert_string_equal(
		text_at(job.data, "actionConfiguration.configuration.Password"),
		"hunter2-secret");
	assert_contains(json_text(call(w, "GetJobDetails", "{'jobId':'%s'}", job.id)),
			"hunter2-secret");
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		struct json_object *o = try_call(w, views[i][0], views[i][1]);

		assert_non_null(o);
		assert_null(strstr(json_text(o), "hunter2"));
	}
	assert_string_equal(
		text_at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
			"actionExecutionDetails[0].input.configuration.Password"),
		"****");
	assert_string_equal(
		text_at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
			"actionExecutionDetails[0].input.resolvedConfiguration.Password"),
		"****");
	/* The engine's own tables hold none either. */
	assert_int_equal(
		count_rows(w, "SELECT count(*) FROM action_executions WHERE"
			      " config_masked LIKE '%hunter2%' OR resolved_masked LIKE"
			      " '%hunter2%'"),
		0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(job_data_is_complete),
		T(keys_are_cut_and_stay_the_same_for_a_job),
		T(keys_hold_no_dot_segments),
		T(credentials_open_the_artifacts_of_their_job_alone),
		T(action_without_artifacts_gets_no_credentials),
		T(encryption_key_comes_from_the_artifact_store),
		T(artifacts_go_to_the_store_of_the_actions_region),
		T(secrets_are_in_job_data_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
