/* Conditions of stages: entry, success, failure; skipping, overriding, stopping
 * (semantics E10). */
#include "tests/unit/conditions_world.h"

/* ---- entry ---- */

static void an_entry_that_is_granted_lets_the_actions_run(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS(
					   "FAIL", CHECK("R", "#{src.v}", "EQ", "1")));
	struct json_object *row;

	assert_string_equal(condition(w, "beforeEntry", RULES "ruleName"), "R");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "");
	produce(w, "1");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Succeeded");
	assert_string_equal(condition(w, "beforeEntry", "conditionStates[0]." STATUS),
			    "Succeeded");
	assert_string_equal(condition(w, "beforeEntry", RULES STATUS), "Succeeded");
	row = call(w, "ListRuleExecutions", "{'pipelineName':'p'}");
	assert_null(at(row, "ruleExecutionDetails[1]"));
	row = at(row, "ruleExecutionDetails[0]");
	assert_string_equal(text_at(row, "pipelineExecutionId"), id);
	assert_string_equal(text_at(row, "stageName"), "Build");
	assert_string_equal(text_at(row, "input.configuration.Variable"), "#{src.v}");
	assert_string_equal(text_at(row, "input.resolvedConfiguration.Variable"), "1");
	assert_string_equal(text_at(row, "input.ruleTypeId.provider"), "VariableCheck");
	work(w, "Make");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	/* Rules are no actions. */
	assert_int_equal(json_object_array_length(at(
				 call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
				 "actionExecutionDetails")),
			 3);
}

static void an_entry_that_is_not_granted_fails_the_stage(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS(
					   "FAIL", CHECK("R", "#{src.v}", "EQ", "1")));

	produce(w, "2");
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
	assert_string_equal(execution_state(w, "p", id), "Failed");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Failed");
	assert_contains(condition(w, "beforeEntry", "latestExecution.summary"),
			"Rule R failed");
	assert_string_equal(
		condition(w, "beforeEntry", RULES "latestExecution.errorDetails.code"),
		"RuleNotMet");
	assert_null(poll_one(w, "Make").id);
	/* Once more: it is asked again, and says no again. */
	assert_string_equal(retry(w, id, "ALL_ACTIONS"), "");
	assert_string_equal(stage_state(w, "p", "Build"), "Failed");
	assert_int_equal(count_rows(w, "SELECT count(*) FROM conditions"), 2);
}

static void a_stage_is_skipped_and_the_pipeline_goes_on(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS(
					   "SKIP", CHECK("R", "#{src.v}", "EQ", "1")));

	produce(w, "2");
	assert_string_equal(stage_state(w, "p", "Build"), "Skipped");
	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	assert_string_equal(retry(w, id, "ALL_ACTIONS"), "StageNotRetryableException");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	assert_string_equal(fails(w, "RollbackStage",
				  "{'pipelineName':'p','stageName':'Build',"
				  "'targetPipelineExecutionId':'%s'}",
				  id),
			    "UnableToRollbackStageException");
}

static void what_may_be_skipped_cannot_be_overridden(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS("SKIP", LAMBDA("L")));
	struct handed job;

	produce(w, "1");
	job = take(w, "Lambda");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "InProgress");
	fail_job(w, job.id);
	assert_string_equal(stage_state(w, "p", "Build"), "Skipped");
}

static void a_rule_and_an_action_may_have_one_name(void **state)
{
	struct world *w = *state;

	create(w, "'onSuccess':" CONDITIONS("FAIL", LAMBDA("B")));
	produce(w, "1");
	work(w, "Make");
	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "Succeeded");
	assert_string_equal(condition(w, "onSuccess", RULES STATUS), "InProgress");
	work(w, "Lambda");
	assert_string_equal(work(w, "Ship"), newest(w, "p"));
}

static void the_last_stage_can_be_skipped(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare(
		"p", "QUEUED",
		"[{'name':'Source','actions':[" ACTION(
			"S", "Source", "Src",
			",'namespace':'src'") "]},"
					      "{'name':'Build','beforeEntry':" CONDITIONS(
						      "SKIP",
						      CHECK("R", "#{src.v}", "EQ",
							    "1")) ",'actions':"
								  "[" ACTION("B",
									     "Buil"
									     "d",
									     "Make",
									     "") "]"
										 "}"
										 "]");

	call(w, "CreatePipeline", "%s", input);
	produce(w, "2");
	assert_string_equal(execution_state(w, "p", newest(w, "p")), "Succeeded");
}

static void all_rules_are_asked_and_each_must_succeed(void **state)
{
	struct world *w = *state;
	const char *id = create(
		w, "'beforeEntry':" CONDITIONS(
			   "FAIL", LAMBDA("L") "," CHECK("R", "#{src.v}", "EQ", "1")));
	struct handed job;

	produce(w, "2");
	/* One failed already; the other one is waited for. */
	assert_string_equal(condition(w, "beforeEntry", STATUS), "InProgress");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	job = take(w, "Lambda");
	assert_string_equal(job.execution, id);
	assert_string_equal(
		text_at(job.data, "actionConfiguration.configuration.FunctionName"), "f");
	assert_string_equal(text_at(job.data, "actionTypeId.provider"), "Lambda");
	assert_string_equal(job.action, "L");
	succeed(w, job.id);
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Failed");
	assert_string_equal(execution_state(w, "p", id), "Failed");
}

static void the_lock_is_held_while_conditions_are_asked(void **state)
{
	struct world *w = *state;
	const char *first = create(w, "'beforeEntry':" CONDITIONS("FAIL", LAMBDA("L")));
	const char *second;
	struct handed job;

	produce(w, "1");
	second = start(w, "p");
	produce(w, "1");
	assert_string_equal(latest_in(w, "p", "Build"), first);
	assert_string_equal(inbound_id(w, "p", "Build", 0), second);
	job = take(w, "Lambda");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", first), "Failed");
	assert_string_equal(latest_in(w, "p", "Build"), second);
	assert_string_equal(override(w, first, "BEFORE_ENTRY"),
			    "NotLatestPipelineExecutionException");
}

/* ---- success ---- */

static void what_succeeded_can_still_fail_and_be_asked_again(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'onSuccess':" CONDITIONS("FAIL", LAMBDA("L")));
	struct handed job;

	produce(w, "1");
	work(w, "Make");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	assert_null(poll_one(w, "Ship").id);
	assert_string_equal(retry(w, id, "FAILED_ACTIONS"), "ConflictException");
	job = take(w, "Lambda");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Failed");
	assert_string_equal(condition(w, "onSuccess", STATUS), "Failed");
	/* The actions were good: only the condition is asked. */
	assert_string_equal(retry(w, id, "FAILED_ACTIONS"), "");
	assert_null(poll_one(w, "Make").id);
	job = take(w, "Lambda");
	fail_job(w, job.id);
	assert_string_equal(retry(w, id, "ALL_ACTIONS"), "");
	work(w, "Make");
	work(w, "Lambda");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
}

static void a_success_that_does_not_count_is_rolled_back(void **state)
{
	struct world *w = *state;
	const char *good = create(w, "'onSuccess':" CONDITIONS("ROLLBACK", LAMBDA("L")));
	const char *bad, *id;
	struct handed job;

	produce(w, "1");
	work(w, "Make");
	work(w, "Lambda");
	work(w, "Ship");
	bad = start(w, "p");
	produce(w, "2");
	work(w, "Make");
	job = take(w, "Lambda");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", bad), "Failed");
	id = newest(w, "p");
	assert_string_equal(latest_in(w, "p", "Build"), id);
	assert_string_equal(work(w, "Make"), id);
	/* A rollback is asked nothing. */
	assert_null(poll_one(w, "Lambda").id);
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	assert_string_equal(execution_state(w, "p", good), "Succeeded");
	assert_string_equal(override(w, bad, "ON_SUCCESS"),
			    "NotLatestPipelineExecutionException");
}

/* ---- failure ---- */

static void a_failure_is_rolled_back_when_its_rules_say_so(void **state)
{
	static const struct {
		const char *state;
		bool rolls;
	} alarms[] = { { "OK", false }, { "ALARM", true } };
	struct world *w = *state;
	const char *bad;
	struct handed job;

	create(w, "'onFailure':" CONDITIONS(
			  "ROLLBACK", RULE("R", "CloudWatchAlarm", "'AlarmName':'a'")));
	produce(w, "1");
	work(w, "Make");
	work(w, "Ship");
	for (size_t i = 0; i < ARRAY_LEN(alarms); i++) {
		set_alarm(w, "a", alarms[i].state);
		bad = start(w, "p");
		produce(w, "2");
		job = take(w, "Make");
		fail_job(w, job.id);
		assert_string_equal(execution_state(w, "p", bad), "Failed");
		assert_string_equal(condition(w, "onFailure", STATUS),
				    alarms[i].rolls ? "Succeeded" : "Failed");
		assert_int_equal(strcmp(newest(w, "p"), bad) != 0, alarms[i].rolls);
	}
	work(w, "Make");
	assert_string_equal(stage_state(w, "p", "Build"), "Succeeded");
}

/* ---- overriding ---- */

static void a_condition_is_overridden_while_it_is_asked(void **state)
{
	struct world *w = *state;
	const char *id = create(
		w, "'beforeEntry':" CONDITIONS(
			   "FAIL", LAMBDA("L")) ","
						"'onSuccess':" CONDITIONS("ROLLBACK",
									  LAMBDA("M")));
	struct handed job;

	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	produce(w, "1");
	job = take(w, "Lambda");
	assert_string_equal(override(w, id, "ON_SUCCESS"),
			    "ConditionNotOverridableException");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"), "");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Overridden");
	assert_string_equal(condition(w, "beforeEntry", RULES STATUS), "Abandoned");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "InvalidJobStateException");
	work(w, "Make");
	assert_string_equal(override(w, id, "ON_SUCCESS"), "");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
	assert_string_equal(override(w, id, "ON_SUCCESS"),
			    "ConditionNotOverridableException");
}

static void a_stage_that_its_condition_failed_goes_on_when_overridden(void **state)
{
	struct world *w = *state;
	const char *id = create(
		w, "'beforeEntry':" CONDITIONS(
			   "FAIL", CHECK("R", "#{src.v}", "EQ",
					 "1")) ","
					       "'onSuccess':" CONDITIONS(
						       "FAIL", CHECK("R", "#{src.v}",
								     "EQ", "1")));

	produce(w, "2");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"), "");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Overridden");
	assert_string_equal(execution_state(w, "p", id), "InProgress");
	work(w, "Make");
	assert_string_equal(execution_state(w, "p", id), "Failed");
	assert_string_equal(override(w, id, "ON_SUCCESS"), "");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", id), "Succeeded");
}

static void only_what_is_there_can_be_overridden(void **state)
{
	static const char nobody[] = "00000000-0000-0000-0000-000000000000";
	struct world *w = *state;
	const char *id = create(w, "'onFailure':{'result':'RETRY'}");

	produce(w, "1");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	assert_string_equal(override(w, nobody, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	assert_string_equal(fails(w, "OverrideStageCondition",
				  "{'pipelineName':'p','stageName':'X',"
				  "'pipelineExecutionId':'%s','conditionType':"
				  "'ON_SUCCESS'}",
				  id),
			    "StageNotFoundException");
	assert_string_equal(fails(w, "OverrideStageCondition",
				  "{'pipelineName':'q','stageName':'Build',"
				  "'pipelineExecutionId':'%s','conditionType':"
				  "'ON_SUCCESS'}",
				  id),
			    "PipelineNotFoundException");
}

static void a_full_queue_has_no_room_for_an_override(void **state)
{
	struct world *w = *state;
	const char *id = create_in(
		w, "QUEUED",
		"'beforeEntry':" CONDITIONS("FAIL", CHECK("R", "#{src.v}", "EQ", "1")));

	produce(w, "2");
	for (int i = 0; i < 50; i++)
		start(w, "p");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConcurrentPipelineExecutionsLimitExceededException");
}

/* ---- stop and update ---- */

static void a_stop_waits_for_rules_or_abandons_them(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'beforeEntry':" CONDITIONS("FAIL", LAMBDA("L")));
	struct handed job;

	produce(w, "1");
	stop(w, id, "false");
	assert_string_equal(execution_state(w, "p", id), "Stopping");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"), "ConflictException");
	job = take(w, "Lambda");
	succeed(w, job.id);
	assert_string_equal(execution_state(w, "p", id), "Stopped");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Succeeded");
	/* The entry was never made use of: it is asked for again. */
	assert_string_equal(retry(w, id, "FAILED_ACTIONS"), "");
	job = take(w, "Lambda");
	stop(w, id, "true");
	assert_string_equal(execution_state(w, "p", id), "Stopped");
	assert_string_equal(condition(w, "beforeEntry", STATUS), "Abandoned");
	assert_string_equal(condition(w, "beforeEntry", RULES STATUS), "Abandoned");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "InvalidJobStateException");
	assert_string_equal(override(w, id, "BEFORE_ENTRY"),
			    "ConditionNotOverridableException");
	assert_null(poll_one(w, "Make").id);
}

static void an_update_cancels_what_is_asked(void **state)
{
	struct world *w = *state;
	const char *id = create(w, "'onSuccess':" CONDITIONS("FAIL", LAMBDA("L")));
	struct json_object *declaration;
	CLEAN(free) char *input = NULL;

	produce(w, "1");
	work(w, "Make");
	declaration = at(call(w, "GetPipeline", "{'name':'p'}"), "pipeline");
	input = mh_format("{\"pipeline\":%s}", json_text(declaration));
	call(w, "UpdatePipeline", "%s", input);
	assert_string_equal(execution_state(w, "p", id), "Cancelled");
	assert_string_equal(condition(w, "onSuccess", STATUS), "Cancelled");
	assert_string_equal(condition(w, "onSuccess", RULES STATUS), "Abandoned");
	assert_string_equal(stage_state(w, "p", "Build"), "Cancelled");
}

static void parallel_executions_have_conditions_of_their_own(void **state)
{
	struct world *w = *state;
	const char *first = create_in(w, "PARALLEL",
				      "'beforeEntry':" CONDITIONS("FAIL", LAMBDA("L")));
	const char *second = start(w, "p");
	struct handed a, b;

	produce(w, "1");
	produce(w, "1");
	a = take(w, "Lambda");
	b = take(w, "Lambda");
	assert_string_not_equal(a.execution, b.execution);
	/* As with all that is PARALLEL, the state tells nothing of it. */
	assert_string_equal(condition(w, "beforeEntry", STATUS), "");
	fail_job(w, a.id);
	succeed(w, b.id);
	assert_string_equal(execution_state(w, "p", a.execution), "Failed");
	assert_string_equal(override(w, a.execution, "BEFORE_ENTRY"), "");
	work(w, "Make");
	work(w, "Make");
	work(w, "Ship");
	work(w, "Ship");
	assert_string_equal(execution_state(w, "p", first), "Succeeded");
	assert_string_equal(execution_state(w, "p", second), "Succeeded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_entry_that_is_granted_lets_the_actions_run),
		TEST(an_entry_that_is_not_granted_fails_the_stage),
		TEST(a_stage_is_skipped_and_the_pipeline_goes_on),
		TEST(what_may_be_skipped_cannot_be_overridden),
		TEST(a_rule_and_an_action_may_have_one_name),
		TEST(the_last_stage_can_be_skipped),
		TEST(all_rules_are_asked_and_each_must_succeed),
		TEST(the_lock_is_held_while_conditions_are_asked),
		TEST(what_succeeded_can_still_fail_and_be_asked_again),
		TEST(a_success_that_does_not_count_is_rolled_back),
		TEST(a_failure_is_rolled_back_when_its_rules_say_so),
		TEST(a_condition_is_overridden_while_it_is_asked),
		TEST(a_stage_that_its_condition_failed_goes_on_when_overridden),
		TEST(only_what_is_there_can_be_overridden),
		TEST(a_full_queue_has_no_room_for_an_override),
		TEST(a_stop_waits_for_rules_or_abandons_them),
		TEST(an_update_cancels_what_is_asked),
		TEST(parallel_executions_have_conditions_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
