/* Rollback by hand and by itself, automatic retry (semantics E8, E9, E18). */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(11);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

#define ACTION(name, category, provider, more)                                           \
	"{'name':'" name "','actionTypeId':{'category':'" category                       \
	"','owner':'Custom','provider':'" provider "','version':'1'}" more "}"
#define SOURCE                                                                           \
	"{'name':'Source','actions':[" ACTION("S", "Source", "Src",                      \
					      ",'outputArtifacts':[{'name':'Code'}],"    \
					      "'namespace':'src'") "]}"
#define DEPLOY                                                                           \
	"{'name':'Deploy','actions':[" ACTION(                                           \
		"D", "Deploy", "Ship",                                                   \
		",'inputArtifacts':[{'name':'Code'}],'configuration':"                   \
		"{'Target':'#{src.v}-#{variables.who}'}") "]"
#define LAST "{'name':'Last','actions':[" ACTION("L", "Test", "Check", "") "]}"

/* Source -> Deploy (with what failure says) -> Last; a pipeline variable "who". */
static const char *create(struct world *w, const char *mode, const char *failure)
{
	CLEAN(free)
	char *input = mh_format(
		"{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
		"'artifactStore':{'type':'S3','location':'artifacts'},"
		"'pipelineType':'V2','executionMode':'%s','variables':[{'name':'who',"
		"'defaultValue':'me'}],'stages':[" SOURCE "," DEPLOY "%s}," LAST "]}}",
		mode, failure);

	call(w, "CreatePipeline", "%s", input);
	return newest(w, "p");
}

static void produce(struct world *w, const char *revision)
{
	struct handed job = take(w, "Src");

	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','currentRevision':{'revision':'%s','changeIdentifier':'c'},"
	     "'outputVariables':{'v':'%s'}}",
	     job.id, revision, revision);
}

/* One execution through the whole pipeline, as another who. */
static const char *release(struct world *w, const char *revision)
{
	const char *id = text_at(call(w, "StartPipelineExecution",
				      "{'name':'p','variables':[{'name':'who','value':"
				      "'%s'}]}",
				      revision),
				 "pipelineExecutionId");

	produce(w, revision);
	work(w, "Ship");
	work(w, "Check");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	return id;
}

static const char *roll_back(struct world *w, const char *target)
{
	return text_at(call(w, "RollbackStage",
			    "{'pipelineName':'p','stageName':'Deploy',"
			    "'targetPipelineExecutionId':'%s'}",
			    target),
		       "pipelineExecutionId");
}

static const char *refused(struct world *w, const char *stage, const char *target)
{
	return fails(w, "RollbackStage",
		     "{'pipelineName':'p','stageName':'%s',"
		     "'targetPipelineExecutionId':'%s'}",
		     stage, target);
}

static struct json_object *shown(struct world *w, const char *id)
{
	return at(call(w, "GetPipelineExecution",
		       "{'pipelineName':'p','pipelineExecutionId':'%s'}", id),
		  "pipelineExecution");
}

static struct json_object *deploy(struct world *w)
{
	return at(call(w, "GetPipelineState", "{'name':'p'}"), "stageStates[1]");
}

/* ---- by hand ---- */

static void a_rollback_runs_one_stage_with_what_its_target_brought(void **state)
{
	struct world *w = *state;
	const char *first = create(w, "SUPERSEDED", ""), *old, *id;
	struct json_object *e, *row;
	struct handed job, before;

	call(w, "StopPipelineExecution",
	     "{'pipelineName':'p','pipelineExecutionId':'%s','abandon':true}", first);
	old = release(w, "one");
	release(w, "two");
	id = roll_back(w, old);
	e = shown(w, id);
	assert_string_equal(text_at(e, "executionType"), "ROLLBACK");
	assert_string_equal(
		text_at(e, "rollbackMetadata.rollbackTargetPipelineExecutionId"), old);
	assert_string_equal(text_at(e, "trigger.triggerType"), "ManualRollback");
	assert_string_equal(text_at(e, "trigger.triggerDetail"),
			    "arn:aws:iam::000000000000:user/tester");
	assert_string_equal(text_at(e, "artifactRevisions[0].revisionId"), "one");
	assert_string_equal(text_at(e, "variables[0].resolvedValue"), "one");
	assert_string_equal(text_at(deploy(w), "latestExecution.type"), "ROLLBACK");
	row = call(w, "ListPipelineExecutions", "{'pipelineName':'p'}");
	row = at(row, "pipelineExecutionSummaries[0]");
	assert_string_equal(text_at(row, "executionType"), "ROLLBACK");
	assert_string_equal(text_at(row, "sourceRevisions[0].revisionId"), "one");
	assert_string_equal(
		text_at(row, "rollbackMetadata.rollbackTargetPipelineExecutionId"), old);

	job = take(w, "Ship");
	assert_string_equal(job.execution, id);
	assert_string_equal(text_at(job.data, "actionConfiguration.configuration.Target"),
			    "one-one");
	row = call(w, "ListActionExecutions",
		   "{'pipelineName':'p','filter':{'pipelineExecutionId':'%s'}}", old);
	before.data = at(row, "actionExecutionDetails[2].output.outputArtifacts[0]");
	assert_string_equal(
		text_at(job.data, "inputArtifacts[0].location.s3Location.objectKey"),
		text_at(before.data, "s3location.key"));
	succeed(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	assert_null(poll_one(w, "Check").id); /* the next stage is not touched */
}

static void a_rollback_goes_ahead_of_who_waits(void **state)
{
	struct world *w = *state;
	const char *old = create(w, "QUEUED", ""), *waiting, *id;
	struct handed job;

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	set_transition(w, "p", "Deploy", false);
	waiting = start(w, "p");
	produce(w, "two");
	assert_int_equal(inbound_count(w, "p", "Deploy"), 1);
	id = roll_back(w, old);
	assert_string_equal(latest_in(w, "p", "Deploy"), id);
	set_transition(w, "p", "Deploy", true);
	assert_string_equal(inbound_id(w, "p", "Deploy", 0), waiting);
	assert_string_equal(refused(w, "Deploy", old), "ConflictException");
	assert_string_equal(work(w, "Ship"), id);
	job = take(w, "Ship");
	assert_string_equal(job.execution, waiting);
	assert_string_equal(refused(w, "Deploy", old), "UnableToRollbackStageException");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", waiting), "Failed");
}

static void a_rollback_that_fails_can_be_retried_and_is_not_rolled_back(void **state)
{
	struct world *w = *state;
	const char *old = create(w, "SUPERSEDED", ",'onFailure':{'result':'ROLLBACK'}");
	const char *id;
	struct handed job;

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	id = roll_back(w, old);
	job = take(w, "Ship");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Failed");
	assert_string_equal(newest(w, "p"), id);
	call(w, "RetryStageExecution",
	     "{'pipelineName':'p','stageName':'Deploy','pipelineExecutionId':'%s',"
	     "'retryMode':'FAILED_ACTIONS'}",
	     id);
	assert_string_equal(work(w, "Ship"), id);
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	assert_string_equal(refused(w, "Deploy", id), "UnableToRollbackStageException");
}

static void only_what_can_be_gone_back_to_is(void **state)
{
	static const char nobody[] = "00000000-0000-0000-0000-000000000000";
	struct world *w = *state;
	const char *old = create(w, "SUPERSEDED", ""), *failed;
	struct handed job;

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	failed = start(w, "p");
	produce(w, "two");
	job = take(w, "Ship");
	fail_job(w, job.id);
	assert_string_equal(refused(w, "Nowhere", old), "StageNotFoundException");
	assert_string_equal(refused(w, "Source", old), "UnableToRollbackStageException");
	assert_string_equal(refused(w, "Deploy", nobody),
			    "PipelineExecutionNotFoundException");
	assert_string_equal(refused(w, "Deploy", failed),
			    "UnableToRollbackStageException");
	assert_string_equal(refused(w, "Last", failed), "UnableToRollbackStageException");
	assert_string_equal(fails(w, "RollbackStage",
				  "{'pipelineName':'q','stageName':'Deploy',"
				  "'targetPipelineExecutionId':'%s'}",
				  old),
			    "PipelineNotFoundException");
	roll_back(w, old);
	/* The failed one is not the stage's latest any more. */
	assert_string_equal(fails(w, "RetryStageExecution",
				  "{'pipelineName':'p','stageName':'Deploy',"
				  "'pipelineExecutionId':'%s','retryMode':'ALL_ACTIONS'}",
				  failed),
			    "NotLatestPipelineExecutionException");
}

static void another_version_is_outdated(void **state)
{
	struct world *w = *state;
	const char *old = create(w, "SUPERSEDED", "");
	CLEAN(free) char *input = NULL;

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	input = declare("p", "SUPERSEDED", "[" SOURCE "," LAST "]");
	call(w, "UpdatePipeline", "%s", input);
	assert_string_equal(refused(w, "Last", old),
			    "PipelineExecutionOutdatedException");
	assert_string_equal(refused(w, "Deploy", old), "StageNotFoundException");
}

static void parallel_pipelines_cannot_be_rolled_back(void **state)
{
	struct world *w = *state;
	const char *old = create(w, "PARALLEL", "");

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	assert_string_equal(refused(w, "Deploy", old), "UnableToRollbackStageException");
}

static void a_full_queue_has_no_room_for_a_rollback(void **state)
{
	struct world *w = *state;
	const char *old = create(w, "QUEUED", "");

	produce(w, "one");
	work(w, "Ship");
	work(w, "Check");
	for (int i = 0; i < 50; i++)
		start(w, "p");
	assert_string_equal(refused(w, "Deploy", old), "ConflictException");
}

/* ---- by itself ---- */

static void a_failed_stage_goes_back_to_its_last_success(void **state)
{
	struct world *w = *state;
	const char *good, *bad, *id;
	CLEAN(free) char *detail = NULL;
	struct handed job;

	create(w, "SUPERSEDED", ",'onFailure':{'result':'ROLLBACK'}");
	produce(w, "none");
	job = take(w, "Ship");
	fail_job(w, job.id); /* nothing succeeded there before: it just fails */
	assert_string_equal(stage_state(w, "p", "Deploy"), "Failed");
	release(w, "one");
	good = release(w, "two");
	bad = start(w, "p");
	produce(w, "three");
	job = take(w, "Ship");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", bad), "Failed");
	id = newest(w, "p");
	assert_string_not_equal(id, bad);
	detail = mh_format("{\"FailedPipelineExecutionId\":\"%s\"}", bad);
	assert_string_equal(text_at(shown(w, id), "trigger.triggerType"),
			    "AutomatedRollback");
	assert_string_equal(text_at(shown(w, id), "trigger.triggerDetail"), detail);
	assert_string_equal(text_at(shown(w, id),
				    "rollbackMetadata.rollbackTargetPipelineExecutionId"),
			    good);
	job = take(w, "Ship");
	assert_string_equal(text_at(job.data, "actionConfiguration.configuration.Target"),
			    "two-two");
	fail_job(w, job.id);
	assert_string_equal(newest(w, "p"), id); /* no rollback of a rollback */
}

/* ---- automatic retry ---- */

static void check_retries(struct world *w, int64_t automatic, int64_t manual,
			  const char *trigger)
{
	struct json_object *o = at(deploy(w), "retryStageMetadata");

	assert_int_equal(json_opt_i64(o, "autoStageRetryAttempt", 0), automatic);
	assert_int_equal(json_opt_i64(o, "manualStageRetryAttempt", 0), manual);
	assert_string_equal(text_at(o, "latestRetryTrigger"), trigger);
}

static void a_failed_stage_is_retried_once_by_itself(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "SUPERSEDED", ",'onFailure':{'result':'RETRY'}");
	struct handed job;

	produce(w, "one");
	assert_null(at(deploy(w), "retryStageMetadata"));
	job = take(w, "Ship");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "InProgress");
	check_retries(w, 1, 0, "AutomatedStageRetry");
	job = take(w, "Ship");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Failed");
	call(w, "RetryStageExecution",
	     "{'pipelineName':'p','stageName':'Deploy','pipelineExecutionId':'%s',"
	     "'retryMode':'FAILED_ACTIONS'}",
	     id);
	check_retries(w, 1, 1, "ManualStageRetry");
	work(w, "Ship");
	work(w, "Check");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
}

static void retry_takes_failed_or_all_actions_as_declared(void **state)
{
	static const struct {
		const char *mode;
		bool all;
	} modes[] = { { "FAILED_ACTIONS", false }, { "ALL_ACTIONS", true } };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		CLEAN(free)
		char *stages = mh_format(
			"[" SOURCE ",{'name':'Build','actions':[" ACTION(
				"A", "Build", "Make",
				"") "," ACTION("B", "Test", "Check",
					       "") "],"
						   "'onFailure':{'result':'RETRY','"
						   "retryConfiguration':"
						   "{'retryMode':'%s'}}}]",
			modes[i].mode);
		CLEAN(free) char *name = mh_format("q%zu", i);
		CLEAN(free) char *input = declare(name, "SUPERSEDED", stages);
		struct handed job;

		call(w, "CreatePipeline", "%s", input);
		produce(w, "one");
		work(w, "Make");
		job = take(w, "Check");
		fail_job(w, job.id);
		if (modes[i].all)
			work(w, "Make");
		assert_null(poll_one(w, "Make").id);
		work(w, "Check");
		assert_string_equal(stage_state(w, name, "Build"), "Succeeded");
	}
}

static void a_stage_that_is_stopped_is_not_retried_by_itself(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "SUPERSEDED", ",'onFailure':{'result':'RETRY'}");
	struct handed job;

	produce(w, "one");
	job = take(w, "Ship");
	call(w, "StopPipelineExecution",
	     "{'pipelineName':'p','pipelineExecutionId':'%s'}", id);
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Stopped");
	assert_null(poll_one(w, "Ship").id);
}

static void a_source_stage_is_retried_by_itself(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare("p", "SUPERSEDED",
			      "[{'name':'Source','onFailure':{'result':'RETRY'},"
			      "'actions':[" ACTION("S", "Source", "Src", "") "]}," LAST
									     "]");
	struct handed job;

	call(w, "CreatePipeline", "%s", input);
	job = take(w, "Src");
	fail_job(w, job.id);
	work(w, "Src");
	work(w, "Check");
	assert_string_equal(stage_state(w, "p", "Last"), "Succeeded");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rollback_runs_one_stage_with_what_its_target_brought),
		TEST(a_rollback_goes_ahead_of_who_waits),
		TEST(a_rollback_that_fails_can_be_retried_and_is_not_rolled_back),
		TEST(only_what_can_be_gone_back_to_is),
		TEST(another_version_is_outdated),
		TEST(parallel_pipelines_cannot_be_rolled_back),
		TEST(a_full_queue_has_no_room_for_a_rollback),
		TEST(a_failed_stage_goes_back_to_its_last_success),
		TEST(a_failed_stage_is_retried_once_by_itself),
		TEST(retry_takes_failed_or_all_actions_as_declared),
		TEST(a_stage_that_is_stopped_is_not_retried_by_itself),
		TEST(a_source_stage_is_retried_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
