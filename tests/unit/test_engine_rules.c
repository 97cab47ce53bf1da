/* Rules of conditions: by workers, alarms, windows; their lists (semantics E10, E21). */
#include "tests/unit/conditions_world.h"

static void a_rule_that_nobody_serves_says_how_to_offer_it(void **state)
{
	struct world *w = *state;

	w->settings.offers = (struct conf_list){ 0 };
	create(w, "'beforeEntry':" CONDITIONS("FAIL", LAMBDA("L")));
	produce(w, "1");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Errored");
	assert_contains(
		condition(w, "beforeEntry", RULES "latestExecution.errorDetails.message"),
		"aws = \"Rule/LambdaInvoke/1\"");
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
}

static void commands_come_as_one_script_with_their_artifacts(void **state)
{
	struct world *w = *state;
	struct handed job;

	create(w,
	       "'beforeEntry':" CONDITIONS(
		       "FAIL", "{'name':'C','ruleTypeId':{'category':'Rule','provider':"
			       "'Commands'},'commands':['echo #{src.v}','ls'],"
			       "'inputArtifacts':[{'name':'Code'}]}"));
	produce(w, "7");
	job = take(w, "Lambda");
	assert_string_equal(
		text_at(job.data, "actionConfiguration.configuration.command"),
		"set -e\necho 7\nls");
	assert_string_equal(text_at(job.data, "inputArtifacts[0].name"), "Code");
	assert_non_null(at(job.data, "artifactCredentials"));
	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','executionDetails':{'summary':'good','externalExecutionId':"
	     "'x-1'}}",
	     job.id);
	assert_string_equal(condition(w, "beforeEntry", RULES "latestExecution.summary"),
			    "good");
	work(w, "Make");
}

static void a_rule_has_its_time_and_no_more(void **state)
{
	static const struct {
		const char *more;
		int64_t minutes;
	} limits[] = { { "", 60 }, { ",'timeoutInMinutes':5", 5 } };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		CLEAN(free)
		char *gates = mh_format(
			"'beforeEntry':" CONDITIONS(
				"FAIL", "{'name':'L','ruleTypeId':{'category':'Rule',"
					"'provider':'LambdaInvoke'},'configuration':"
					"{'FunctionName':'f'}%s}"),
			limits[i].more);
		struct handed job;

		create(w, gates);
		produce(w, "1");
		job = take(w, "Lambda");
		pass_time(w, limits[i].minutes * 60 * SECOND - 1);
		assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
		pass_time(w, 1);
		assert_string_equal(stage_state(w, "p", "Build"), "Failed");
		assert_string_equal(condition(w, "beforeEntry",
					      RULES "latestExecution.errorDetails.code"),
				    "Timeout");
		assert_string_equal(
			fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			"InvalidJobStateException");
		call(w, "DeletePipeline", "{'name':'p'}");
	}
}

static void an_alarm_is_waited_for(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS("FAIL", ALARM));

	set_alarm(w, "a", "ALARM");
	produce(w, "1");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "InProgress");
	pass_time(w, 5 * 60 * SECOND);
	set_alarm(w, "other", "OK");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "InProgress");
	set_alarm(w, "a", "OK");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Succeeded");
	work(w, "Make");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	set_alarm(w, "a", "ALARM");
	start(w, "p");
	produce(w, "1");
	pass_time(w, 10 * 60 * SECOND - 1);
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	pass_time(w, 1);
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
}

static void an_alarm_is_waited_for_no_longer_than_the_rule_may_take(void **state)
{
	static const struct {
		int limit_minutes, ends_minutes;
	} rows[] = { { 5, 5 }, { 20, 10 } };
	struct world *w = *state;

	set_alarm(w, "a", "ALARM");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *gates = mh_format(
			"'beforeEntry':" CONDITIONS(
				"FAIL", "{'name':'R','ruleTypeId':{'category':'Rule',"
					"'provider':'CloudWatchAlarm'},'configuration':"
					"{'AlarmName':'a','WaitTime':'10'},"
					"'timeoutInMinutes':%d}"),
			rows[i].limit_minutes);

		create(w, gates);
		produce(w, "1");
		pass_time(w, rows[i].ends_minutes * 60 * SECOND - 1);
		assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
		pass_time(w, 1);
		assert_string_equal(stage_state(w, "p", "Build"), "Failed");
		call(w, "DeletePipeline", "{'name':'p'}");
	}
}

static void an_alarm_that_nobody_knows_is_an_error(void **state)
{
	struct world *w = *state;

	create(w, "'beforeEntry':" CONDITIONS("FAIL", ALARM));
	produce(w, "1");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Errored");
	assert_contains(
		condition(w, "beforeEntry", RULES "latestExecution.errorDetails.message"),
		"no alarm 'a'");
}

static void a_window_is_open_or_not(void **state)
{
	/* The world begins on Thursday, 2025-11-20, 10:39:03 UTC. */
	static const struct {
		const char *cron, *zone, *status;
	} windows[] = {
		{ "* * 9-17 ? * MON-FRI *", "UTC", "Succeeded" },
		{ "* * 9-17 ? * SAT-SUN *", "UTC", "Failed" },
		{ "* * 11-17 ? * *", "UTC", "Failed" },
		{ "* * 11-17 ? * *", "UTC+05:30", "Succeeded" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
		CLEAN(free)
		char *gates = mh_format(
			"'beforeEntry':" CONDITIONS("FAIL",
						    RULE("R", "DeploymentWindow",
							 "'Cron':'%s','TimeZone':'%s'")),
			windows[i].cron, windows[i].zone);

		create(w, gates);
		produce(w, "1");
		assert_string_equal(condition(w, "beforeEntry", STATUS),
				    windows[i].status);
		call(w, "DeletePipeline", "{'name':'p'}");
	}
}

static void rule_executions_come_in_pages(void **state)
{
	struct world *w = *state;
	const char *id = create(
		w, "'beforeEntry':" CONDITIONS(
			   "FAIL", CHECK("R1", "#{src.v}", "EQ",
					 "1") "," CHECK("R2", "#{src.v}", "NE", "2")));
	struct json_object *page;
	const char *token;

	produce(w, "2");
	assert_string_equal(retry(w, id, "ALL_ACTIONS"), "");
	page = call(w, "ListRuleExecutions", "{'pipelineName':'p','maxResults':3}");
	assert_int_equal(json_object_array_length(at(page, "ruleExecutionDetails")), 3);
	assert_string_equal(text_at(page, "ruleExecutionDetails[0].ruleName"), "R2");
	token = text_at(page, "nextToken");
	page = call(w, "ListRuleExecutions",
		    "{'pipelineName':'p','maxResults':3,'nextToken':'%s'}", token);
	assert_int_equal(json_object_array_length(at(page, "ruleExecutionDetails")), 1);
	assert_null(at(page, "nextToken"));
	page = call(w, "ListRuleExecutions",
		    "{'pipelineName':'p','filter':{'latestInPipelineExecution':"
		    "{'pipelineExecutionId':'%s','startTimeRange':'Latest'}}}",
		    id);
	assert_int_equal(json_object_array_length(at(page, "ruleExecutionDetails")), 2);
	assert_string_equal(
		fails(w, "ListRuleExecutions", "{'pipelineName':'p','nextToken':'x'}"),
		"InvalidNextTokenException");
	/* A token is of its own list. */
	assert_string_equal(fails(w, "ListActionExecutions",
				  "{'pipelineName':'p','nextToken':'%s'}", token),
			    "InvalidNextTokenException");
	assert_string_equal(fails(w, "ListRuleExecutions", "{'pipelineName':'q'}"),
			    "PipelineNotFoundException");
	assert_string_equal(fails(w, "ListRuleExecutions",
				  "{'pipelineName':'p','filter':{'pipelineExecutionId':"
				  "'00000000-0000-0000-0000-000000000000'}}"),
			    "PipelineExecutionNotFoundException");
}

static void rule_types_are_listed(void **state)
{
	struct world *w = *state;
	struct json_object *types = call(w, "ListRuleTypes", "{'ruleOwnerFilter':'AWS'}");

	assert_int_equal(json_object_array_length(at(types, "ruleTypes")), 5);
	assert_string_equal(text_at(types, "ruleTypes[0].id.provider"),
			    "CloudWatchAlarm");
	assert_string_equal(text_at(types, "ruleTypes[0].id.category"), "Rule");
	assert_string_equal(
		text_at(types, "ruleTypes[0].ruleConfigurationProperties[0].name"),
		"AlarmName");
	assert_non_null(at(types, "ruleTypes[4].inputArtifactDetails.maximumCount"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rule_that_nobody_serves_says_how_to_offer_it),
		TEST(commands_come_as_one_script_with_their_artifacts),
		TEST(a_rule_has_its_time_and_no_more),
		TEST(an_alarm_is_waited_for),
		TEST(an_alarm_is_waited_for_no_longer_than_the_rule_may_take),
		TEST(an_alarm_that_nobody_knows_is_an_error),
		TEST(a_window_is_open_or_not),
		TEST(rule_executions_come_in_pages),
		TEST(rule_types_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
