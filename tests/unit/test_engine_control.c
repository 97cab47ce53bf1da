/* Stop, retry, and the ways into and out of stages (semantics E4, E7, E8). */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(1);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

#define STOP  "StopPipelineExecution"
#define RETRY "RetryStageExecution"

static char *stop_input(const char *id, bool abandon)
{
	return mh_format("{'pipelineName':'p','pipelineExecutionId':'%s','abandon':%s,"
			 "'reason':'no more'}",
			 id, abandon ? "true" : "false");
}

static void stop(struct world *w, const char *id, bool abandon)
{
	CLEAN(free) char *input = stop_input(id, abandon);

	assert_string_equal(text_at(call(w, STOP, "%s", input), "pipelineExecutionId"),
			    id);
}

static void stop_fails(struct world *w, const char *id, bool abandon, const char *code)
{
	CLEAN(free) char *input = stop_input(id, abandon);

	assert_string_equal(fails(w, STOP, "%s", input), code);
}

static char *retry_input(const char *stage, const char *id, const char *mode)
{
	return mh_format("{'pipelineName':'p','pipelineExecutionId':'%s','stageName':"
			 "'%s','retryMode':'%s_ACTIONS'}",
			 id, stage, mode);
}

static void retry(struct world *w, const char *stage, const char *id, const char *mode)
{
	CLEAN(free) char *input = retry_input(stage, id, mode);

	assert_string_equal(text_at(call(w, RETRY, "%s", input), "pipelineExecutionId"),
			    id);
}

static void retry_fails(struct world *w, const char *stage, const char *id,
			const char *mode, const char *code)
{
	CLEAN(free) char *input = retry_input(stage, id, mode);

	assert_string_equal(fails(w, RETRY, "%s", input), code);
}

/* Build holds three actions: One and Two (Make, Check) side by side, then Three (Ship).
 */
static const char *create_wide(struct world *w, const char *mode)
{
	CLEAN(free)
	char *input = declare(
		"p", mode,
		"[{'name':'Source','actions':[{'name':'S','actionTypeId':{'category':"
		"'Source','owner':'Custom','provider':'Src','version':'1'}}]},"
		"{'name':'Build','actions':["
		"{'name':'One','actionTypeId':{'category':'Build','owner':'Custom',"
		"'provider':'Make','version':'1'}},"
		"{'name':'Two','actionTypeId':{'category':'Test','owner':'Custom',"
		"'provider':'Check','version':'1'}},"
		"{'name':'Three','runOrder':2,'actionTypeId':{'category':'Deploy','owner'"
		":"
		"'Custom','provider':'Ship','version':'1'}}]}]");
	const char *id;

	call(w, "CreatePipeline", "%s", input);
	id = newest(w, "p");
	work(w, "Src");
	return id;
}

/* ---- stop ---- */

static void stop_and_wait_lets_what_runs_finish(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED");
	struct handed one = take(w, "Make"), two = take(w, "Check");

	stop(w, e1, false);
	assert_string_equal(execution_state(w, "p", e1), "Stopping");
	assert_string_equal(stage_state(w, "p", "Build"), "Stopping");
	succeed(w, one.id);
	assert_string_equal(execution_state(w, "p", e1), "Stopping");
	fail_job(w, two.id); /* it may fail, and the execution is stopped all the same */
	assert_string_equal(execution_state(w, "p", e1), "Stopped");
	assert_string_equal(stage_state(w, "p", "Build"), "Stopped");
	assert_string_equal(action_state(w, "p", "Build", "One", "status"), "Succeeded");
	assert_string_equal(action_state(w, "p", "Build", "Two", "status"), "Failed");
	assert_null(poll_one(w, "Ship").id);
	assert_string_equal(
		text_at(call(w, "ListPipelineExecutions", "{'pipelineName':'p'}"),
			"pipelineExecutionSummaries[0].stopTrigger.reason"),
		"no more");
}

static void stop_and_abandon_waits_for_nobody(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED");
	struct handed one = take(w, "Make"), two = poll_one(w, "Check");

	stop(w, e1, true);
	assert_string_equal(execution_state(w, "p", e1), "Stopped");
	assert_string_equal(stage_state(w, "p", "Build"), "Stopped");
	assert_string_equal(action_state(w, "p", "Build", "One", "status"), "Abandoned");
	assert_string_equal(action_state(w, "p", "Build", "Two", "status"), "Abandoned");
	/* The worker is not told, but cannot change anything (semantics C13). */
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", one.id),
			    "InvalidJobStateException");
	assert_string_equal(acknowledge(w, two.id, two.nonce), "Failed");
	assert_string_equal(action_state(w, "p", "Build", "One", "status"), "Abandoned");
}

static void who_waits_in_front_of_a_stage_never_enters_it(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "QUEUED"), *e2;

	work(w, "Src");
	e2 = start(w, "p");
	work(w, "Src");
	assert_int_equal(inbound_count(w, "p", "Build"), 1);
	stop(w, e2, false);
	assert_string_equal(execution_state(w, "p", e2), "Stopped");
	assert_int_equal(inbound_count(w, "p", "Build"), 0);
	assert_string_equal(work(w, "Make"), e1);
	assert_null(poll_one(w, "Make").id);
	retry_fails(w, "Build", e2, "ALL", "StageNotRetryableException");
}

static void a_stopped_stage_lets_the_next_in(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "QUEUED"), *e2;

	work(w, "Src");
	e2 = start(w, "p");
	work(w, "Src");
	stop(w, e1, true);
	assert_string_equal(latest_in(w, "p", "Build"), e2);
	assert_string_equal(work(w, "Make"), e2);
}

static void stops_repeat_only_to_abandon(void **state)
{
	static const char unknown[] = "11111111-1111-4111-8111-111111111111";
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");

	take(w, "Src");
	stop(w, e1, false);
	stop_fails(w, e1, false, "DuplicatedStopRequestException");
	stop(w, e1, true);
	assert_string_equal(execution_state(w, "p", e1), "Stopped");
	stop_fails(w, e1, true, "PipelineExecutionNotStoppableException");
	stop_fails(w, unknown, false, "PipelineExecutionNotStoppableException");
	assert_string_equal(
		fails(w, STOP, "{'pipelineName':'q','pipelineExecutionId':'%s'}", e1),
		"PipelineNotFoundException");
}

static void a_continuation_goes_on_while_its_execution_is_stopping(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");
	struct handed h = take(w, "Src");

	stop(w, e1, false);
	call(w, "PutJobSuccessResult", "{'jobId':'%s','continuationToken':'t'}", h.id);
	assert_string_equal(execution_state(w, "p", e1), "Stopping");
	assert_string_equal(work(w, "Src"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Stopped");
}

static void an_approval_is_waited_for_or_abandoned(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare(
		"p", "SUPERSEDED",
		"[{'name':'Source','actions':[{'name':'S','actionTypeId':{'category':"
		"'Source','owner':'Custom','provider':'Src','version':'1'}}]},"
		"{'name':'Gate','actions':[{'name':'Ask','actionTypeId':{'category':"
		"'Approval','owner':'AWS','provider':'Manual','version':'1'}}]}]");
	const char *e1, *token;

	call(w, "CreatePipeline", "%s", input);
	e1 = newest(w, "p");
	work(w, "Src");
	token = action_state(w, "p", "Gate", "Ask", "token");
	stop(w, e1, false);
	assert_string_equal(execution_state(w, "p", e1), "Stopping");
	stop(w, e1, true);
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "status"), "Abandoned");
	assert_string_equal(
		fails(w, "PutApprovalResult",
		      "{'pipelineName':'p','stageName':'Gate','actionName':'Ask','token':"
		      "'%s','result':{'summary':'','status':'Approved'}}",
		      token),
		"InvalidApprovalTokenException");
}

/* ---- retry ---- */

static void failed_actions_are_run_again_and_the_rest_follows(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED"), *before;
	struct handed one = take(w, "Make"), two = take(w, "Check");

	succeed(w, one.id);
	fail_job(w, two.id);
	assert_string_equal(execution_state(w, "p", e1), "Failed");
	before = action_state(w, "p", "Build", "Two", "actionExecutionId");
	retry(w, "Build", e1, "FAILED");
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_not_equal(action_state(w, "p", "Build", "Two", "actionExecutionId"),
				before);
	assert_null(poll_one(w, "Make").id); /* it succeeded: it stays as it is */
	assert_string_equal(work(w, "Check"), e1);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
	assert_string_equal(
		text_at(call(w, "GetPipelineState", "{'name':'p'}"),
			"stageStates[1].retryStageMetadata.latestRetryTrigger"),
		"ManualStageRetry");
	/* The history keeps the first attempt. */
	assert_int_equal(json_object_array_length(at(call(w, "ListActionExecutions",
							  "{'pipelineName':'p','filter':{"
							  "'pipelineExecutionId':'%s'}}",
							  e1),
						     "actionExecutionDetails")),
			 5);
}

static void all_actions_are_run_again(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED");

	succeed(w, take(w, "Make").id);
	fail_job(w, take(w, "Check").id);
	retry(w, "Build", e1, "ALL");
	assert_string_equal(work(w, "Make"), e1);
	assert_null(poll_one(w, "Ship").id);
	assert_string_equal(work(w, "Check"), e1);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
}

static void a_stage_that_still_runs_is_retried_for_what_failed(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED");
	struct handed one = take(w, "Make");

	retry_fails(w, "Build", e1, "FAILED", "StageNotRetryableException");
	fail_job(w, take(w, "Check").id);
	retry_fails(w, "Build", e1, "ALL", "StageNotRetryableException");
	retry(w, "Build", e1, "FAILED");
	retry_fails(w, "Build", e1, "FAILED", "ConflictException");
	assert_string_equal(work(w, "Check"), e1);
	succeed(w, one.id);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
}

static void a_stopped_stage_goes_on_where_it_was(void **state)
{
	struct world *w = *state;
	const char *e1 = create_wide(w, "SUPERSEDED");

	succeed(w, take(w, "Make").id);
	take(w, "Check");
	stop(w, e1, true);
	retry(w, "Build", e1, "FAILED");
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_equal(work(w, "Check"), e1);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
}

static void what_came_later_or_changed_cannot_be_retried(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");
	CLEAN(free) char *same = declare("p", "SUPERSEDED", three_stages);

	fail_job(w, take(w, "Src").id);
	retry_fails(w, "Build", e1, "ALL", "StageNotRetryableException");
	retry_fails(w, "Nowhere", e1, "ALL", "StageNotFoundException");
	start(w, "p");
	retry_fails(w, "Source", e1, "ALL", "NotLatestPipelineExecutionException");
	fail_job(w, take(w, "Src").id);
	call(w, "UpdatePipeline", "%s", same);
	retry_fails(w, "Source", newest(w, "p"), "ALL", "StageNotRetryableException");
}

static void a_full_pipeline_has_no_room_for_a_retry(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL");

	fail_job(w, take(w, "Src").id);
	for (int i = 0; i < 50; i++)
		start(w, "p");
	retry_fails(w, "Source", e1, "ALL",
		    "ConcurrentPipelineExecutionsLimitExceededException");
}

/* ---- transitions ---- */

static const char outbound[] =
	"{'pipelineName':'p','stageName':'Source','transitionType':'Outbound'%s}";

static void the_way_out_of_a_stage_bars_the_next(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");
	CLEAN(free) char *disable = mh_format(outbound, ",'reason':'freeze'");
	CLEAN(free) char *enable = mh_format(outbound, "");

	call(w, "DisableStageTransition", "%s", disable);
	work(w, "Src");
	assert_null(poll_one(w, "Make").id);
	assert_int_equal(inbound_count(w, "p", "Build"), 1);
	set_transition(w, "p", "Build", false);
	call(w, "EnableStageTransition", "%s", enable);
	assert_null(poll_one(w, "Make").id);
	set_transition(w, "p", "Build", true);
	assert_string_equal(work(w, "Make"), e1);
}

/* Found by random play: it waits in front of a stage that the declaration lost, and who
 * enables what bars it must let it in. */
static void who_waits_at_a_stage_that_is_gone_goes_on(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL");
	CLEAN(free) char *disable = mh_format(outbound, ",'reason':'freeze'");
	CLEAN(free) char *enable = mh_format(outbound, "");
	CLEAN(free)
	char *input = declare(
		"p", "PARALLEL",
		"[{'name':'Source','actions':[{'name':'S','actionTypeId':{'category':"
		"'Source','owner':'Custom','provider':'Src','version':'1'}}]},"
		"{'name':'Other','actions':[{'name':'T','actionTypeId':{'category':'Test'"
		","
		"'owner':'Custom','provider':'Check','version':'1'}}]}]");

	call(w, "DisableStageTransition", "%s", disable);
	call(w, "UpdatePipeline", "%s", input);
	work(w, "Src");
	assert_null(poll_one(w, "Make").id);
	call(w, "EnableStageTransition", "%s", enable);
	assert_string_equal(work(w, "Make"), e1);
}

static void a_transition_tells_who_shut_it_and_why(void **state)
{
	struct world *w = *state;
	struct json_object *shown;

	create_pipeline(w, "p", "SUPERSEDED");
	set_transition(w, "p", "Build", false);
	set_transition(w, "p", "Build", false); /* once more is no error */
	shown = at(call(w, "GetPipelineState", "{'name':'p'}"),
		   "stageStates[1].inboundTransitionState");
	assert_false(json_opt_bool(shown, "enabled", true));
	assert_string_equal(text_at(shown, "disabledReason"), "freeze");
	assert_non_null(at(shown, "lastChangedBy"));
	set_transition(w, "p", "Build", true);
	shown = at(call(w, "GetPipelineState", "{'name':'p'}"),
		   "stageStates[1].inboundTransitionState");
	assert_true(json_opt_bool(shown, "enabled", false));
	assert_null(at(shown, "disabledReason"));
	assert_string_equal(fails(w, "DisableStageTransition",
				  "{'pipelineName':'p','stageName':'X','transitionType':"
				  "'Inbound','reason':'r'}"),
			    "StageNotFoundException");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stop_and_wait_lets_what_runs_finish),
		TEST(stop_and_abandon_waits_for_nobody),
		TEST(who_waits_in_front_of_a_stage_never_enters_it),
		TEST(a_stopped_stage_lets_the_next_in),
		TEST(stops_repeat_only_to_abandon),
		TEST(a_continuation_goes_on_while_its_execution_is_stopping),
		TEST(an_approval_is_waited_for_or_abandoned),
		TEST(failed_actions_are_run_again_and_the_rest_follows),
		TEST(all_actions_are_run_again),
		TEST(a_stage_that_still_runs_is_retried_for_what_failed),
		TEST(a_stopped_stage_goes_on_where_it_was),
		TEST(what_came_later_or_changed_cannot_be_retried),
		TEST(a_full_pipeline_has_no_room_for_a_retry),
		TEST(the_way_out_of_a_stage_bars_the_next),
		TEST(who_waits_at_a_stage_that_is_gone_goes_on),
		TEST(a_transition_tells_who_shut_it_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
