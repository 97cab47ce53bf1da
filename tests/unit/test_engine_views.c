/* Starts and views: idempotent starts, inputs of a start, listings, filters, paging. */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(6);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static const char none[] = "00000000-0000-4000-8000-000000000000";

/* ---- starts ---- */

static void start_is_idempotent_by_its_token(void **state)
{
	struct world *w = *state;
	const char *first, *again;

	create_pipeline(w, "p", "QUEUED");
	first = text_at(call(w, "StartPipelineExecution",
			     "{'name':'p','clientRequestToken':'abc'}"),
			"pipelineExecutionId");
	again = text_at(call(w, "StartPipelineExecution",
			     "{'name':'p','clientRequestToken':'abc'}"),
			"pipelineExecutionId");
	assert_string_equal(first, again);
	assert_string_equal(
		fails(w, "StartPipelineExecution",
		      "{'name':'p','clientRequestToken':'abc','sourceRevisions':["
		      "{'actionName':'S','revisionType':'COMMIT_ID','revisionValue':"
		      "'x'}]}"),
		"ValidationException");
	assert_int_equal(count_rows(w, "SELECT count(*) FROM executions"), 2);
	pass_time(w, DAY + 1);
	again = text_at(call(w, "StartPipelineExecution",
			     "{'name':'p','clientRequestToken':'abc'}"),
			"pipelineExecutionId");
	assert_string_not_equal(first, again);
}

static void start_refuses_what_the_pipeline_does_not_know(void **state)
{
	struct world *w = *state;
	static const char *const cases[] = {
		"'variables':[{'name':'None','value':'x'}]",
		"'variables':[{'name':'A','value':'x'},{'name':'A','value':'y'}]",
		"'sourceRevisions':[{'actionName':'None','revisionType':'COMMIT_ID',"
		"'revisionValue':'x'}]",
		"'sourceRevisions':[{'actionName':'S','revisionType':'COMMIT_ID',"
		"'revisionValue':'x'}]",
		"'sourceRevisions':[{'actionName':'B','revisionType':'COMMIT_ID',"
		"'revisionValue':'x'}]",
	};

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStore':{'type':'S3','location':'artifacts'},'pipelineType':'V2',"
	     "'variables':[{'name':'A','defaultValue':'a'}],'stages':%s}}",
	     three_stages);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(
			fails(w, "StartPipelineExecution", "{'name':'p',%s}", cases[i]),
			"ValidationException");
	assert_string_equal(fails(w, "StartPipelineExecution", "{'name':'none'}"),
			    "PipelineNotFoundException");
	assert_int_equal(count_rows(w, "SELECT count(*) FROM executions"), 1);
}

static void variable_without_default_must_be_given(void **state)
{
	struct world *w = *state;

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStore':{'type':'S3','location':'artifacts'},'pipelineType':'V2',"
	     "'variables':[{'name':'A'}],'stages':%s}}",
	     three_stages);
	/* Nobody could give it to the execution that starts with the pipeline. */
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "Failed");
	assert_null(poll_one(w, "Src").id);
	assert_string_equal(fails(w, "StartPipelineExecution", "{'name':'p'}"),
			    "ValidationException");
	call(w, "StartPipelineExecution",
	     "{'name':'p','variables':[{'name':'A','value':'x'}]}");
	assert_non_null(poll_one(w, "Src").id);
}

static void overrides_are_for_v2_pipelines(void **state)
{
	struct world *w = *state;

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStore':{'type':'S3','location':'artifacts'},'stages':%s}}",
	     three_stages);
	assert_string_equal(fails(w, "StartPipelineExecution",
				  "{'name':'p','sourceRevisions':[{'actionName':'S',"
				  "'revisionType':'COMMIT_ID','revisionValue':'x'}]}"),
			    "ValidationException");
	assert_contains(w->error.message, "V2");
	call(w, "StartPipelineExecution", "{'name':'p','sourceRevisions':[]}");
}

static void trigger_tells_who_started_it(void **state)
{
	struct world *w = *state;
	struct json_object *o;

	create_pipeline(w, "p", "SUPERSEDED");
	start(w, "p");
	o = at(call(w, "ListPipelineExecutions", "{'pipelineName':'p'}"),
	       "pipelineExecutionSummaries");
	assert_string_equal(text_at(o, "[0].trigger.triggerType"),
			    "StartPipelineExecution");
	assert_string_equal(text_at(o, "[0].trigger.triggerDetail"),
			    "arn:aws:iam::000000000000:user/tester");
	assert_string_equal(text_at(o, "[1].trigger.triggerType"), "CreatePipeline");
	assert_string_equal(text_at(o, "[0].executionMode"), "SUPERSEDED");
}

/* ---- views ---- */

static void execution_of_another_pipeline_is_not_found(void **state)
{
	struct world *w = *state;
	const char *e = create_pipeline(w, "p", "SUPERSEDED");

	create_pipeline(w, "q", "SUPERSEDED");
	assert_string_equal(fails(w, "GetPipelineExecution",
				  "{'pipelineName':'q','pipelineExecutionId':'%s'}", e),
			    "PipelineExecutionNotFoundException");
	assert_string_equal(fails(w, "GetPipelineExecution",
				  "{'pipelineName':'none','pipelineExecutionId':'%s'}",
				  e),
			    "PipelineNotFoundException");
	assert_string_equal(
		fails(w, "ListActionExecutions",
		      "{'pipelineName':'q','filter':{'pipelineExecutionId':'%s'}}", e),
		"PipelineExecutionNotFoundException");
	assert_string_equal(fails(w, "GetPipelineState", "{'name':'none'}"),
			    "PipelineNotFoundException");
	assert_string_equal(fails(w, "ListPipelineExecutions", "{'pipelineName':'none'}"),
			    "PipelineNotFoundException");
}

static void state_of_a_stage_that_never_ran_is_bare(void **state)
{
	struct world *w = *state;
	struct json_object *o;

	create_pipeline(w, "p", "SUPERSEDED");
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(text_at(o, "pipelineVersion"), "1");
	assert_non_null(at(o, "created"));
	assert_string_equal(text_at(o, "stageStates[2].stageName"), "Deploy");
	assert_null(at(o, "stageStates[2].latestExecution"));
	assert_null(at(o, "stageStates[2].actionStates[0].latestExecution"));
	assert_string_equal(text_at(o, "stageStates[2].actionStates[0].actionName"), "D");
	assert_int_equal(
		json_object_array_length(at(o, "stageStates[2].inboundExecutions")), 0);
	assert_string_equal(text_at(o, "stageStates[2].inboundTransitionState.enabled"),
			    "true");
}

static void state_shows_each_actions_own_latest_execution(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *e2;
	struct json_object *o;

	work(w, "Src");
	work(w, "Make");
	e2 = start(w, "p");
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(
		text_at(o, "stageStates[0].latestExecution.pipelineExecutionId"), e2);
	assert_string_equal(
		text_at(o, "stageStates[1].latestExecution.pipelineExecutionId"), e1);
	assert_string_equal(text_at(o, "stageStates[1].latestExecution.status"),
			    "Succeeded");
	assert_string_equal(
		text_at(o, "stageStates[2].latestExecution.pipelineExecutionId"), e1);
	assert_string_equal(text_at(o, "stageStates[2].latestExecution.status"),
			    "InProgress");
	work(w, "Src");
	work(w, "Make");
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(
		text_at(o, "stageStates[2].inboundExecution.pipelineExecutionId"), e2);
	assert_string_equal(text_at(o, "stageStates[2].inboundExecution.status"),
			    "InProgress");
}

static void urls_come_from_the_types_templates(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *input = NULL;
	struct json_object *o;

	call(w, "CreateCustomActionType",
	     "{'category':'Test','provider':'U','version':'1','configurationProperties':["
	     "{'name':'Project','required':true,'key':true,'secret':false}],'settings':{"
	     "'entityUrlTemplate':'https://e/{Config:Project}',"
	     "'executionUrlTemplate':'https://x/{Config:Project}/{ExternalExecutionId}'},"
	     "'inputArtifactDetails':{'minimumCount':0,'maximumCount':0},"
	     "'outputArtifactDetails':{'minimumCount':0,'maximumCount':0}}");
	input = declare(
		"p", "SUPERSEDED",
		"[{'name':'S','actions':[{'name':'S','namespace':'s','actionTypeId':"
		"{'category':'Source','owner':'Custom','provider':'Src','version':'1'}}]}"
		","
		"{'name':'T','actions':[{'name':'T','configuration':{'Project':'a b'},"
		"'actionTypeId':{'category':'Test','owner':'Custom','provider':'U',"
		"'version':'1'}}]}]");
	call(w, "CreatePipeline", "%s", input);
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(text_at(o, "stageStates[1].actionStates[0].entityUrl"),
			    "https://e/a%20b");
	work(w, "Src");
	o = call(w, "PollForJobs",
		 "{'actionTypeId':{'category':'Test','owner':'Custom','provider':'U',"
		 "'version':'1'}}");
	acknowledge(w, text_at(o, "jobs[0].id"), "1");
	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','executionDetails':{'externalExecutionId':'7'}}",
	     text_at(o, "jobs[0].id"));
	assert_string_equal(action_state(w, "p", "T", "T", "externalExecutionUrl"),
			    "https://x/a%20b/7");
}

static void history_of_an_action_shows_its_artifacts(void **state)
{
	struct world *w = *state;
	struct json_object *o;
	struct handed job;

	create_pipeline(w, "p", "SUPERSEDED");
	work(w, "Src");
	job = take(w, "Make");
	o = at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
	       "actionExecutionDetails[0]");
	assert_string_equal(text_at(o, "actionName"), "B");
	assert_string_equal(text_at(o, "status"), "InProgress");
	assert_string_equal(
		text_at(o, "input.inputArtifacts[0].s3location.key"),
		text_at(job.data, "inputArtifacts[0].location.s3Location.objectKey"));
	assert_int_equal(json_object_array_length(at(o, "output.outputArtifacts")), 0);
	succeed(w, job.id);
	o = at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
	       "actionExecutionDetails[1]");
	assert_string_equal(
		text_at(o, "output.outputArtifacts[0].s3location.key"),
		text_at(job.data, "outputArtifacts[0].location.s3Location.objectKey"));
	assert_string_equal(text_at(o, "input.region"), "us-east-1");
	assert_string_equal(text_at(o, "input.actionTypeId.owner"), "Custom");
}

/* ---- listings ---- */

static void pages_hold_everything_once_though_new_ones_come(void **state)
{
	struct world *w = *state;
	const char *token = NULL, *e[7];
	size_t seen = 7;

	e[0] = create_pipeline(w, "p", "QUEUED");
	for (int i = 1; i < 7; i++)
		e[i] = start(w, "p");
	do {
		CLEAN(free)
		char *more = token ? mh_format(",'nextToken':'%s'", token)
				   : mh_strdup("");
		struct json_object *o = call(w, "ListPipelineExecutions",
					     "{'pipelineName':'p','maxResults':3%s}",
					     more);
		struct json_object *list = at(o, "pipelineExecutionSummaries");

		for (size_t i = 0; i < json_object_array_length(list); i++)
			assert_string_equal(text_at(json_object_array_get_idx(list, i),
						    "pipelineExecutionId"),
					    e[--seen]);
		token = at(o, "nextToken") ? text_at(o, "nextToken") : NULL;
		start(w, "p"); /* moves no page */
	} while (token);
	assert_int_equal(seen, 0);
}

static void token_of_another_listing_is_refused(void **state)
{
	struct world *w = *state;
	const char *token;

	create_pipeline(w, "p", "QUEUED");
	create_pipeline(w, "q", "QUEUED");
	start(w, "p");
	token = text_at(
		call(w, "ListPipelineExecutions", "{'pipelineName':'p','maxResults':1}"),
		"nextToken");
	assert_string_equal(fails(w, "ListPipelineExecutions",
				  "{'pipelineName':'q','nextToken':'%s'}", token),
			    "InvalidNextTokenException");
	assert_string_equal(fails(w, "ListActionExecutions",
				  "{'pipelineName':'p','nextToken':'%s'}", token),
			    "InvalidNextTokenException");
	assert_string_equal(fails(w, "ListPipelineExecutions",
				  "{'pipelineName':'p','nextToken':'nonsense'}"),
			    "InvalidNextTokenException");
}

static size_t succeeded_in(struct world *w, const char *stage)
{
	return json_object_array_length(at(call(w, "ListPipelineExecutions",
						"{'pipelineName':'p','filter':{'"
						"succeededInStage':{'stageName':'%s'}}}",
						stage),
					   "pipelineExecutionSummaries"));
}

static void filter_finds_who_succeeded_in_a_stage(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *input = declare("p", "QUEUED", three_stages);

	create_pipeline(w, "p", "QUEUED");
	start(w, "p");
	work(w, "Src");
	work(w, "Src");
	work(w, "Make");
	fail_job(w, take(w, "Make").id);
	assert_int_equal(succeeded_in(w, "Source"), 2);
	assert_int_equal(succeeded_in(w, "Build"), 1);
	assert_int_equal(succeeded_in(w, "Deploy"), 0);
	assert_int_equal(succeeded_in(w, "None"), 0);
	/* In the current version of the pipeline. */
	call(w, "UpdatePipeline", "%s", input);
	assert_int_equal(succeeded_in(w, "Source"), 0);
}

static size_t actions_listed(struct world *w, const char *filter)
{
	return json_object_array_length(
		at(call(w, "ListActionExecutions", "{'pipelineName':'p','filter':{%s}}",
			filter),
		   "actionExecutionDetails"));
}

static void filters_find_the_actions_of_an_execution(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "QUEUED"), *e2;
	CLEAN(free) char *by_id = NULL, *all = NULL, *latest = NULL, *unknown = NULL;
	const char *token;

	work(w, "Src");
	e2 = start(w, "p");
	by_id = mh_format("'pipelineExecutionId':'%s'", e1);
	all = mh_format("'latestInPipelineExecution':{'pipelineExecutionId':'%s',"
			"'startTimeRange':'All'}",
			e2);
	latest = mh_format("'latestInPipelineExecution':{'pipelineExecutionId':'%s',"
			   "'startTimeRange':'Latest'}",
			   e1);
	unknown = mh_format("'latestInPipelineExecution':{'pipelineExecutionId':'%s',"
			    "'startTimeRange':'All'}",
			    none);
	assert_int_equal(actions_listed(w, ""), 3);
	assert_int_equal(actions_listed(w, by_id), 2);
	assert_int_equal(actions_listed(w, all), 1);
	assert_int_equal(actions_listed(w, latest), 2);
	assert_string_equal(fails(w, "ListActionExecutions",
				  "{'pipelineName':'p','filter':{%s}}", unknown),
			    "PipelineExecutionNotFoundException");
	token = text_at(
		call(w, "ListActionExecutions", "{'pipelineName':'p','maxResults':2}"),
		"nextToken");
	assert_string_equal(text_at(call(w, "ListActionExecutions",
					 "{'pipelineName':'p','nextToken':'%s'}", token),
				    "actionExecutionDetails[0].pipelineExecutionId"),
			    e1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(start_is_idempotent_by_its_token),
		T(start_refuses_what_the_pipeline_does_not_know),
		T(variable_without_default_must_be_given),
		T(overrides_are_for_v2_pipelines),
		T(trigger_tells_who_started_it),
		T(execution_of_another_pipeline_is_not_found),
		T(state_of_a_stage_that_never_ran_is_bare),
		T(state_shows_each_actions_own_latest_execution),
		T(urls_come_from_the_types_templates),
		T(history_of_an_action_shows_its_artifacts),
		T(pages_hold_everything_once_though_new_ones_come),
		T(token_of_another_listing_is_refused),
		T(filter_finds_who_succeeded_in_a_stage),
		T(filters_find_the_actions_of_an_execution),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
