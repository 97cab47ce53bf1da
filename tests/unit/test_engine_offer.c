/* AWS's own actions, offered to workers under a custom type. */
#include "tests/unit/engine_world.h"

#define AWS(category, provider)                                                          \
	"{'category':'" category "','owner':'AWS','provider':'" provider                 \
	"','version':'1'}"
#define CUSTOM(category, provider)                                                       \
	"{'category':'" category "','owner':'Custom','provider':'" provider              \
	"','version':'1'}"

static char aws_types[][24] = { "Build/CodeBuild/1", "Deploy/CodeDeploy/1", "Deploy/S3/1",
				"Build/Commands/1" };
static char custom_types[][32] = { "Build/Custom/CodeBuild/1", "Deploy/Custom/Ship/1",
				   "Deploy/Custom/Ship/1", "Build/Custom/Shell/1" };
static struct settings_offer offers[] = {
	{ aws_types[0], custom_types[0] },
	{ aws_types[1], custom_types[1] },
	{ aws_types[2], custom_types[2] },
	{ aws_types[3], custom_types[3] },
};

static int setup(void **state)
{
	struct world *w = world_new(7);

	w->settings.offers = (struct conf_list){ offers, ARRAY_LEN(offers) };
	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void create(struct world *w, const char *build)
{
	CLEAN(free)
	char *stages = mh_format(
		"[{'name':'Source','actions':[{'name':'S','actionTypeId':" CUSTOM(
			"Source", "Src") ",'namespace':'src',"
					 "'outputArtifacts':[{'name':'Code'}]}]},"
					 "{'name':'Build','actions':[%s]}]",
		build);
	CLEAN(free) char *input = declare("p", "SUPERSEDED", stages);
	struct handed job;

	call(w, "CreatePipeline", "%s", input);
	job = take(w, "Src");
	call(w, "PutJobSuccessResult", "{'jobId':'%s','outputVariables':{'Who':'me'}}",
	     job.id);
}

static const char code_build[] = "{'name':'B','actionTypeId':" AWS(
	"Build", "CodeBuild") ",'configuration':"
			      "{'ProjectName':'app-#{src.Who}'},'inputArtifacts':[{'name'"
			      ":'Code'}],"
			      "'outputArtifacts':[{'name':'Program'}]}";

static struct json_object *poll_type(struct world *w, const char *type, const char *more)
{
	return at(call(w, "PollForJobs", "{'actionTypeId':%s%s}", type, more), "jobs");
}

static const char *action_error(struct world *w)
{
	return text_at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
		       "actionExecutionDetails[0].output.executionResult.errorDetails."
		       "code");
}

static void the_job_has_the_custom_type_and_the_views_that_of_aws(void **state)
{
	struct world *w = *state;
	struct json_object *jobs, *views;
	const char *id;

	create(w, code_build);
	jobs = poll_type(w, CUSTOM("Build", "CodeBuild"), "");
	assert_int_equal(json_object_array_length(jobs), 1);
	assert_string_equal(text_at(jobs, "[0].data.actionTypeId.owner"), "Custom");
	assert_string_equal(text_at(jobs, "[0].data.actionTypeId.provider"), "CodeBuild");
	assert_string_equal(text_at(jobs, "[0].data.actionTypeId.category"), "Build");
	assert_string_equal(text_at(jobs, "[0].data.actionTypeId.version"), "1");
	assert_string_equal(
		text_at(jobs, "[0].data.actionConfiguration.configuration.ProjectName"),
		"app-me");
	assert_string_equal(text_at(jobs, "[0].data.inputArtifacts[0].name"), "Code");
	assert_string_equal(text_at(jobs, "[0].data.outputArtifacts[0].name"), "Program");
	assert_non_null(at(jobs, "[0].data.artifactCredentials.sessionToken"));
	id = text_at(jobs, "[0].id");
	assert_string_equal(text_at(call(w, "GetJobDetails", "{'jobId':'%s'}", id),
				    "jobDetails.data.actionTypeId.owner"),
			    "Custom");
	assert_string_equal(acknowledge(w, id, text_at(jobs, "[0].nonce")), "InProgress");
	succeed(w, id);
	views = call(w, "ListActionExecutions", "{'pipelineName':'p'}");
	assert_string_equal(
		text_at(views, "actionExecutionDetails[0].input.actionTypeId.owner"),
		"AWS");
	assert_string_equal(text_at(views, "actionExecutionDetails[0].status"),
			    "Succeeded");
	assert_string_equal(text_at(call(w, "GetPipeline", "{'name':'p'}"),
				    "pipeline.stages[1].actions[0].actionTypeId.owner"),
			    "AWS");
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "Succeeded");
}

static void polls_for_it_need_no_custom_type(void **state)
{
	struct world *w = *state;

	assert_int_equal(
		json_object_array_length(poll_type(w, CUSTOM("Build", "CodeBuild"), "")),
		0);
	assert_string_equal(fails(w, "PollForJobs", "{'actionTypeId':%s}",
				  CUSTOM("Test", "CodeBuild")),
			    "ActionTypeNotFoundException");
	assert_string_equal(
		fails(w, "PollForJobs", "{'actionTypeId':%s}", AWS("Build", "CodeBuild")),
		"ValidationException");
	assert_string_equal(fails(w, "PollForJobs",
				  "{'actionTypeId':%s,'queryParam':{'ProjectName':'x'}}",
				  CUSTOM("Build", "CodeBuild")),
			    "ValidationException");
}

static void it_is_off_by_default(void **state)
{
	struct world *w = *state;

	w->settings.offers = (struct conf_list){ 0 };
	create(w, code_build);
	assert_string_equal(action_error(w), "ConfigurationError");
	assert_string_equal(fails(w, "PollForJobs", "{'actionTypeId':%s}",
				  CUSTOM("Build", "CodeBuild")),
			    "ActionTypeNotFoundException");
}

/* Somebody created it all the same: workers may each serve one project. */
static void the_queryable_property_of_an_existing_custom_type_is_honoured(void **state)
{
	struct world *w = *state;

	call(w, "CreateCustomActionType",
	     "{'category':'Build','provider':'CodeBuild','version':'1',"
	     "'configurationProperties':[{'name':'ProjectName','required':true,'key':"
	     "true,'secret':false,'queryable':true}],"
	     "'inputArtifactDetails':{'minimumCount':0,'maximumCount':5},"
	     "'outputArtifactDetails':{'minimumCount':0,'maximumCount':5}}");
	create(w, code_build);
	assert_int_equal(json_object_array_length(
				 poll_type(w, CUSTOM("Build", "CodeBuild"),
					   ",'queryParam':{'ProjectName':'other'}")),
			 0);
	assert_int_equal(json_object_array_length(
				 poll_type(w, CUSTOM("Build", "CodeBuild"),
					   ",'queryParam':{'ProjectName':'app-me'}")),
			 1);
}

static void an_offer_wins_over_what_the_emulator_does_itself(void **state)
{
	struct world *w = *state;
	struct handed job;

	create(w, "{'name':'B','actionTypeId':" AWS(
			  "Deploy", "S3") ",'inputArtifacts':[{'name':'Code'}],"
					  "'configuration':{'BucketName':'site','Extract'"
					  ":'true'}}");
	job = take(w, "Ship");
	assert_string_equal(text_at(job.data, "actionTypeId.provider"), "Ship");
	succeed(w, job.id);
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "Succeeded");
}

static void a_continuation_and_the_time_limit_are_those_of_custom_actions(void **state)
{
	struct world *w = *state;
	struct json_object *jobs;
	const char *id;

	create(w, code_build);
	jobs = poll_type(w, CUSTOM("Build", "CodeBuild"), "");
	id = text_at(jobs, "[0].id");
	assert_string_equal(acknowledge(w, id, text_at(jobs, "[0].nonce")), "InProgress");
	call(w, "PutJobSuccessResult", "{'jobId':'%s','continuationToken':'more'}", id);
	jobs = poll_type(w, CUSTOM("Build", "CodeBuild"), "");
	assert_string_equal(text_at(jobs, "[0].data.continuationToken"), "more");
	assert_string_equal(text_at(jobs, "[0].data.actionTypeId.owner"), "Custom");
	pass_time(w, DAY - 1);
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "InProgress");
	pass_time(w, 1);
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "Failed");
	assert_string_equal(action_error(w), "Timeout");
}

static void commands_come_as_one_script(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *filler = mh_alloc(901);
	CLEAN(free) char *build = NULL;
	CLEAN(free) char *script = NULL;
	struct json_object *jobs;

	memset(filler, 'x', 900);
	build = mh_format(
		"{'name':'B','actionTypeId':" AWS(
			"Build", "Commands") ",'inputArtifacts':[{'name':'Code'}],"
					     "'commands':['echo #{src.Who}',"
					     "'echo %s','echo %s']}",
		filler, filler);
	script = mh_format("set -e\necho me\necho %s\necho %s", filler, filler);
	create(w, build);
	jobs = poll_type(w, CUSTOM("Build", "Shell"), "");
	assert_string_equal(
		text_at(jobs, "[0].data.actionConfiguration.configuration.command"),
		script);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_job_has_the_custom_type_and_the_views_that_of_aws),
		T(polls_for_it_need_no_custom_type),
		T(it_is_off_by_default),
		T(commands_come_as_one_script),
		T(the_queryable_property_of_an_existing_custom_type_is_honoured),
		T(an_offer_wins_over_what_the_emulator_does_itself),
		T(a_continuation_and_the_time_limit_are_those_of_custom_actions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
