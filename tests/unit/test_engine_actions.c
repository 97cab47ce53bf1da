/* Actions: groups, failures, approvals, variables, built-in work, what cannot start. */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(3);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

#define TYPE(category, provider)                                                         \
	"'actionTypeId':{'category':'" category                                          \
	"','owner':'Custom','provider':'" provider "','version':'1'}"
#define SOURCE                                                                           \
	"{'name':'Source','actions':[{'name':'S','namespace':'src'," TYPE("Source",      \
									  "Src") "}]}"

/* A pipeline of a custom source and what more says; the source is done. */
static const char *begin(struct world *w, const char *more)
{
	CLEAN(free) char *stages = mh_format("[" SOURCE ",%s]", more);
	CLEAN(free) char *input = declare("p", "SUPERSEDED", stages);
	const char *id;

	call(w, "CreatePipeline", "%s", input);
	id = newest(w, "p");
	work(w, "Src");
	return id;
}

/* ---- groups (semantics E6) ---- */

#define BUILD(name, order)                                                               \
	"{'name':'" name "','runOrder':" order "," TYPE("Build", "Make") "}"

static void group_starts_when_all_of_the_former_succeeded(void **state)
{
	struct world *w = *state;
	struct handed build, lint, package;

	begin(w, "{'name':'Build','actions':[" BUILD("Package", "7") "," BUILD(
			 "Build", "1") "," BUILD("Lint", "1") "]}");
	build = take(w, "Make");
	lint = take(w, "Make");
	assert_string_equal(build.action, "Build");
	assert_string_equal(lint.action, "Lint");
	assert_null(poll_one(w, "Make").id);
	succeed(w, lint.id);
	assert_null(poll_one(w, "Make").id);
	assert_string_equal(action_state(w, "p", "Build", "Package", "status"), "");
	succeed(w, build.id);
	package = take(w, "Make");
	assert_string_equal(package.action, "Package");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	succeed(w, package.id);
	assert_string_equal(stage_state(w, "p", "Build"), "Succeeded");
}

static void failure_lets_siblings_finish_and_starts_no_later_group(void **state)
{
	struct world *w = *state;
	const char *e = begin(w, "{'name':'Build','actions':[" BUILD("A", "1") "," BUILD(
					 "B", "1") "," BUILD("C", "2") "]}");
	struct handed a = take(w, "Make"), b = take(w, "Make");

	fail_job(w, a.id);
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	succeed(w, b.id);
	assert_string_equal(action_state(w, "p", "Build", "A", "status"), "Failed");
	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "Succeeded");
	assert_string_equal(action_state(w, "p", "Build", "C", "status"), "");
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_null(poll_one(w, "Make").id);
	assert_int_equal(
		count_rows(w,
			   "SELECT count(*) FROM action_executions WHERE action = 'C'"),
		0);
}

/* ---- variables (semantics E11) ---- */

static void variables_are_resolved_when_the_action_starts(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *stages = mh_format(
		"[" SOURCE
		",{'name':'Build','actions':[{'name':'B','configuration':{'Target':"
		"'#{src.Commit}-#{codepipeline.PipelineExecutionId}-#{variables.Who}-#{"
		"no}',"
		"'Password':'#{src.Key}'}," TYPE("Build", "Make") "}]}]");
	struct handed job;
	struct json_object *o;

	call(w, "CreatePipeline",
	     "{'pipeline':{'name':'p','roleArn':'arn:aws:iam::000000000000:role/r',"
	     "'artifactStore':{'type':'S3','location':'artifacts'},'pipelineType':'V2',"
	     "'variables':[{'name':'Who','defaultValue':'me'}],'stages':%s}}",
	     stages);
	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','outputVariables':{'Commit':'abc','Key':'s3cret-value'}}",
	     take(w, "Src").id);
	job = take(w, "Make");
	{
		CLEAN(free) char *expected = mh_format("abc-%s-me-#{no}", job.execution);

		assert_string_equal(
			text_at(job.data, "actionConfiguration.configuration.Target"),
			expected);
		o = call(w, "ListActionExecutions", "{'pipelineName':'p'}");
		assert_string_equal(text_at(o, "actionExecutionDetails[0].input."
					       "resolvedConfiguration.Target"),
				    expected);
	}
	assert_string_equal(
		text_at(job.data, "actionConfiguration.configuration.Password"),
		"s3cret-value");
	assert_string_equal(
		text_at(o, "actionExecutionDetails[0].input.configuration.Target"),
		"#{src.Commit}-#{codepipeline.PipelineExecutionId}-#{variables.Who}-#{"
		"no}");
	assert_string_equal(
		text_at(o,
			"actionExecutionDetails[0].input.resolvedConfiguration.Password"),
		"****");
	/* The values given at the start win over the defaults. */
	succeed(w, job.id);
	call(w, "StartPipelineExecution",
	     "{'name':'p','variables':[{'name':'Who','value':'you'}]}");
	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','outputVariables':{'Commit':'def','Key':'k'}}",
	     take(w, "Src").id);
	assert_contains(
		text_at(take(w, "Make").data, "actionConfiguration.configuration.Target"),
		"-you-");
	o = call(w, "GetPipelineExecution",
		 "{'pipelineName':'p','pipelineExecutionId':'%s'}", newest(w, "p"));
	assert_string_equal(text_at(o, "pipelineExecution.variables[0].resolvedValue"),
			    "you");
}

static void unresolvable_variable_fails_the_action(void **state)
{
	struct world *w = *state;
	const char *e = begin(
		w, "{'name':'Build','actions':[{'name':'B','configuration':{'Target':"
		   "'#{src.Missing}'}," TYPE("Build", "Make") "}," BUILD("Sibling",
									 "1") "]}");

	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "Failed");
	assert_string_equal(action_state(w, "p", "Build", "B", "errorDetails.code"),
			    "ConfigurationError");
	/* Its sibling started all the same, and finishes. */
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	work(w, "Make");
	assert_string_equal(execution_state(w, "p", e), "Failed");
}

static void resolved_value_that_does_not_fit_fails_the_action(void **state)
{
	static const struct {
		const char *value, *says; /* NULL: it fits */
	} rows[] = {
		{ "{'Name':'#{src.v}','Count':'#{src.n}','Fast':'#{src.b}'}", NULL },
		{ "{'Name':'#{src.slash}'}", "Name: the value cannot be asked for" },
		{ "{'Name':'#{src.empty}'}", "Name: the value cannot be asked for" },
		{ "{'Name':'a-#{codepipeline.PipelineExecutionId}'}", NULL },
		{ "{'Name':'#{codepipeline.PipelineExecutionId}#{src.n}#{src.n}x'}",
		  "Name: the value cannot be asked for" },
		{ "{'Name':'x','Count':'#{src.v}'}", "Count: the value is not a number" },
		{ "{'Name':'x','Fast':'#{src.v}'}", "Fast: the value is neither" },
	};
	struct world *w = *state;

	call(w, "CreateCustomActionType",
	     "{'category':'Build','provider':'Typed','version':'1','"
	     "configurationProperties':["
	     "{'name':'Name','required':true,'key':true,'secret':false,'queryable':true},"
	     "{'name':'Count','required':false,'key':false,'secret':false,'type':'Number'"
	     "},"
	     "{'name':'Fast','required':false,'key':false,'secret':false,'type':'Boolean'"
	     "}],"
	     "'inputArtifactDetails':{'minimumCount':0,'maximumCount':0},"
	     "'outputArtifactDetails':{'minimumCount':0,'maximumCount':0}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *name = mh_format("p%zu", i);
		CLEAN(free)
		char *stages = mh_format(
			"[" SOURCE ",{'name':'Build','actions':[{'name':"
			"'B','configuration':%s," TYPE("Build", "Typed") "}]}]",
			rows[i].value);
		CLEAN(free) char *input = declare(name, "SUPERSEDED", stages);

		call(w, "CreatePipeline", "%s", input);
		call(w, "PutJobSuccessResult",
		     "{'jobId':'%s','outputVariables':{'v':'main','n':'1234567','b':"
		     "'true','slash':'feature/x','empty':''}}",
		     take(w, "Src").id);
		assert_string_equal(action_state(w, name, "Build", "B", "status"),
				    rows[i].says ? "Failed" : "InProgress");
		if (!rows[i].says)
			continue;
		assert_string_equal(
			action_state(w, name, "Build", "B", "errorDetails.code"),
			"ConfigurationError");
		assert_contains(
			action_state(w, name, "Build", "B", "errorDetails.message"),
			rows[i].says);
	}
}

static void revision_of_a_custom_source_is_shown(void **state)
{
	struct world *w = *state;
	const char *e = create_pipeline(w, "p", "SUPERSEDED");
	struct json_object *o;
	struct handed job;

	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','currentRevision':{'revision':'r1','changeIdentifier':'c1',"
	     "'created':1763635000.5,'revisionSummary':'first'}}",
	     take(w, "Src").id);
	o = call(w, "GetPipelineExecution",
		 "{'pipelineName':'p','pipelineExecutionId':'%s'}", e);
	assert_string_equal(text_at(o, "pipelineExecution.artifactRevisions[0].name"),
			    "Code");
	assert_string_equal(
		text_at(o, "pipelineExecution.artifactRevisions[0].revisionId"), "r1");
	assert_string_equal(text_at(o, "pipelineExecution.artifactRevisions[0]."
				       "revisionChangeIdentifier"),
			    "c1");
	assert_string_equal(text_at(o, "pipelineExecution.artifactRevisions[0].created"),
			    "1763635000.500");
	o = call(w, "ListPipelineExecutions", "{'pipelineName':'p'}");
	assert_string_equal(
		text_at(o, "pipelineExecutionSummaries[0].sourceRevisions[0].actionName"),
		"S");
	assert_string_equal(text_at(o, "pipelineExecutionSummaries[0].sourceRevisions[0]."
				       "revisionSummary"),
			    "first");
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(text_at(o, "stageStates[0].actionStates[0].currentRevision."
				       "revisionChangeId"),
			    "c1");
	job = take(w, "Make");
	assert_string_equal(text_at(job.data, "inputArtifacts[0].revision"), "r1");
	assert_null(at(job.data, "outputArtifacts[0].revision"));
	/* What is built of it is no revision of a source. */
	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','currentRevision':{'revision':'b9','changeIdentifier':'b'}}",
	     job.id);
	job = take(w, "Ship");
	assert_string_equal(text_at(job.data, "inputArtifacts[0].name"), "Program");
	assert_null(at(job.data, "inputArtifacts[0].revision"));
}

/* ---- what cannot start ---- */

static void action_without_a_worker_says_so(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare(
		"p", "SUPERSEDED",
		"[{'name':'Source','actions':[{'name':'S','outputArtifacts':[{'name':'A'}"
		"]," TYPE("Source", "Src") "}]},{'name':'Build','actions':[{'name':'B',"
					   "'inputArtifacts':[{'name':'A'}],'"
					   "configuration':{'ProjectName':'x'},"
					   "'actionTypeId':{'category':'Build','owner':'"
					   "AWS','provider':'CodeBuild',"
					   "'version':'1'}}]}]");

	call(w, "CreatePipeline", "%s", input);
	work(w, "Src");
	assert_string_equal(action_state(w, "p", "Build", "B", "errorDetails.code"),
			    "ConfigurationError");
	assert_contains(action_state(w, "p", "Build", "B", "errorDetails.message"),
			"no worker serves the action type Build/AWS/CodeBuild/1");
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
}

static void queue_of_executions_that_all_fail_at_once_drains(void **state)
{
	struct world *w = *state;

	create_pipeline(w, "p", "QUEUED");
	for (int i = 0; i < 40; i++)
		start(w, "p");
	call(w, "DeleteCustomActionType",
	     "{'category':'Source','provider':'Src','version':'1'}");
	/* The running one times out; each of the others then fails as it enters. */
	pass_time(w, DAY);
	assert_int_equal(
		count_rows(w, "SELECT count(*) FROM executions WHERE status = 'Failed'"),
		41);
}

static void deleted_type_fails_the_action_when_it_is_reached(void **state)
{
	struct world *w = *state;

	create_pipeline(w, "p", "SUPERSEDED");
	call(w, "DeleteCustomActionType",
	     "{'category':'Build','provider':'Make','version':'1'}");
	work(w, "Src");
	assert_string_equal(action_state(w, "p", "Build", "B", "errorDetails.code"),
			    "ConfigurationError");
	assert_contains(action_state(w, "p", "Build", "B", "errorDetails.message"),
			"Build/Custom/Make/1 was deleted");
	assert_null(
		strstr(json_text(call(w, "ListActionExecutions", "{'pipelineName':'p'}")),
		       "hunter2"));
}

/* ---- built-in work ---- */

static struct op_ctx inner_ctx(struct world *w)
{
	return (struct op_ctx){ .store = w->store,
				.now_ms = w->now_ms,
				.ids = &w->ids,
				.settings = &w->settings,
				.creds_key = w->key,
				.caller_arn = "" };
}

static bool claim(struct world *w, const char *epoch, struct builtin_job *ret)
{
	struct op_ctx ctx = inner_ctx(w);
	bool found = false;

	if (engine_claim_builtin(&ctx, epoch, ret, &found, &w->error) != 0)
		fail_msg("%s", w->error.message);
	check_invariants(w);
	return found;
}

static void finish(struct world *w, const char *id, const struct builtin_result *result)
{
	struct op_ctx ctx = inner_ctx(w);

	if (engine_finish_builtin(&ctx, id, result, &w->error) != 0)
		fail_msg("%s", w->error.message);
	check_invariants(w);
}

static const char *git_pipeline(struct world *w, const char *more)
{
	CLEAN(free)
	char *stages = mh_format(
		"[{'name':'Source','actions':[{'name':'Git','namespace':'git',"
		"'outputArtifacts':[{'name':'A'}],'configuration':{'RepositoryName':'r',"
		"'BranchName':'main'},'actionTypeId':{'category':'Source','owner':'AWS',"
		"'provider':'CodeCommit','version':'1'}}]},"
		"{'name':'Build','actions':[{'name':'B','inputArtifacts':[{'name':'A'}],"
		"'configuration':{'Target':'#{git.CommitId}'}," TYPE("Build",
								     "Make") "}]}%s]",
		more);
	CLEAN(free) char *input = declare("p", "SUPERSEDED", stages);

	call(w, "CreatePipeline", "%s", input);
	return newest(w, "p");
}

static void built_in_source_is_claimed_once_and_again_after_a_restart(void **state)
{
	struct world *w = *state;
	struct builtin_job job = { 0 }, again = { 0 };

	git_pipeline(w, "");
	assert_true(w->woke);
	assert_true(claim(w, "life-1", &job));
	assert_string_equal(job.category, "Source");
	assert_string_equal(job.provider, "CodeCommit");
	assert_string_equal(text_at(job.config, "BranchName"), "main");
	assert_int_equal(job.output_count, 1);
	assert_string_equal(job.outputs[0].name, "A");
	assert_string_equal(job.outputs[0].bucket, "artifacts");
	assert_false(claim(w, "life-1", &again));
	assert_true(claim(w, "life-2", &again));
	assert_string_equal(again.id, job.id);
	assert_string_equal(again.outputs[0].key, job.outputs[0].key);
	assert_false(claim(w, "life-2", &job));
	/* It is no worker's job. */
	assert_string_equal(fails(w, "GetJobDetails", "{'jobId':'%s'}", job.id),
			    "JobNotFoundException");
	builtin_job_done(&job);
	builtin_job_done(&again);
}

static void built_in_result_moves_the_pipeline_on(void **state)
{
	struct world *w = *state;
	CLEAN(json) struct json_object *variables = json_object_new_object();
	struct builtin_result result = { .revision_id = "deadbeef",
					 .revision_summary = "fix",
					 .revision_url = "git:deadbeef",
					 .variables = variables };
	struct builtin_result late = { .failure_type = "JobFailed", .message = "late" };
	struct builtin_job job = { 0 };
	const char *e = git_pipeline(w, "");
	struct json_object *o;

	json_put_str(variables, "CommitId", "deadbeef");
	assert_true(claim(w, "life", &job));
	finish(w, job.id, &result);
	finish(w, job.id, &late); /* dropped */
	assert_string_equal(stage_state(w, "p", "Source"), "Succeeded");
	o = call(w, "GetPipelineState", "{'name':'p'}");
	assert_string_equal(text_at(o, "stageStates[0].actionStates[0].revisionUrl"),
			    "git:deadbeef");
	assert_string_equal(
		text_at(o, "stageStates[0].actionStates[0].currentRevision.revisionId"),
		"deadbeef");
	o = take(w, "Make").data;
	assert_string_equal(text_at(o, "actionConfiguration.configuration.Target"),
			    "deadbeef");
	assert_string_equal(text_at(o, "inputArtifacts[0].revision"), "deadbeef");
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	builtin_job_done(&job);
}

static void long_texts_of_built_in_work_are_cut_to_what_views_can_show(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *text = mh_alloc(9001);
	struct builtin_result result = { .revision_id = "x",
					 .summary = text,
					 .revision_summary = text,
					 .external_id = text };
	struct builtin_job job = { 0 };

	memset(text, 'x', 9000);
	git_pipeline(w, "");
	assert_true(claim(w, "life", &job));
	finish(w, job.id, &result);
	builtin_job_done(&job);
	/* Each answer is held against the service model. */
	call(w, "GetPipelineState", "{'name':'p'}");
	call(w, "ListActionExecutions", "{'pipelineName':'p'}");
	assert_int_equal(strlen(action_state(w, "p", "Source", "Git", "summary")), 2048);
}

static void built_in_failure_fails_the_action(void **state)
{
	struct world *w = *state;
	struct builtin_result result = { .failure_type = "RevisionUnavailable",
					 .message = "no branch main" };
	struct builtin_job job = { 0 };
	const char *e = git_pipeline(w, "");

	assert_true(claim(w, "life", &job));
	finish(w, job.id, &result);
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_string_equal(action_state(w, "p", "Source", "Git", "errorDetails.message"),
			    "no branch main");
	builtin_job_done(&job);
}

static void built_in_work_for_a_deleted_pipeline_is_dropped(void **state)
{
	struct world *w = *state;
	struct builtin_result result = { .revision_id = "x" };
	struct builtin_job job = { 0 };

	git_pipeline(w, "");
	assert_true(claim(w, "life", &job));
	call(w, "DeletePipeline", "{'name':'p'}");
	finish(w, job.id, &result);
	assert_false(claim(w, "other", &job));
	builtin_job_done(&job);
}

static void commit_override_reaches_the_source(void **state)
{
	struct world *w = *state;
	struct builtin_result result = { .revision_id = "x" };
	struct builtin_job job = { 0 };

	git_pipeline(w, "");
	assert_true(claim(w, "life", &job));
	assert_null(at(job.config, "CommitId"));
	finish(w, job.id, &result);
	builtin_job_done(&job);
	call(w, "StartPipelineExecution",
	     "{'name':'p','sourceRevisions':[{'actionName':'Git','revisionType':'COMMIT_"
	     "ID',"
	     "'revisionValue':'cafe'}]}");
	assert_true(claim(w, "life", &job));
	assert_string_equal(text_at(job.config, "CommitId"), "cafe");
	builtin_job_done(&job);
}

static void one_source_is_overridden_once(void **state)
{
	struct world *w = *state;

	git_pipeline(w, "");
	assert_string_equal(
		fails(w, "StartPipelineExecution",
		      "{'name':'p','sourceRevisions':[{'actionName':'Git',"
		      "'revisionType':'COMMIT_ID','revisionValue':'cafe'},{'actionName':"
		      "'Git','revisionType':'COMMIT_ID','revisionValue':'beef'}]}"),
		"ValidationException");
	assert_contains(w->error.message, "'Git' is overridden by a COMMIT_ID more than");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(group_starts_when_all_of_the_former_succeeded),
		T(failure_lets_siblings_finish_and_starts_no_later_group),
		T(variables_are_resolved_when_the_action_starts),
		T(unresolvable_variable_fails_the_action),
		T(resolved_value_that_does_not_fit_fails_the_action),
		T(revision_of_a_custom_source_is_shown),
		T(action_without_a_worker_says_so),
		T(queue_of_executions_that_all_fail_at_once_drains),
		T(deleted_type_fails_the_action_when_it_is_reached),
		T(built_in_source_is_claimed_once_and_again_after_a_restart),
		T(built_in_result_moves_the_pipeline_on),
		T(long_texts_of_built_in_work_are_cut_to_what_views_can_show),
		T(built_in_failure_fails_the_action),
		T(built_in_work_for_a_deleted_pipeline_is_dropped),
		T(commit_override_reaches_the_source),
		T(one_source_is_overridden_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
