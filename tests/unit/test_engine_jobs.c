/* Jobs: handing out, nonces, redelivery, continuation, results, data (semantics C). */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(2);

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

/* ---- poll ---- */

static const char *poll_error(struct world *w, const char *owner, const char *provider,
			      const char *more)
{
	return fails(w, "PollForJobs",
		     "{'actionTypeId':{'category':'Build','owner':'%s','provider':'%s',"
		     "'version':'1'}%s}",
		     owner, provider, more);
}

static void poll_refuses_what_it_cannot_serve(void **state)
{
	struct world *w = *state;

	assert_string_equal(poll_error(w, "AWS", "CodeBuild", ""), "ValidationException");
	assert_string_equal(w->error.message,
			    "ActionType with owner 'AWS' is not supported");
	assert_string_equal(poll_error(w, "ThirdParty", "X", ""), "ValidationException");
	assert_string_equal(poll_error(w, "Custom", "X", ""),
			    "ActionTypeNotFoundException");
	assert_string_equal(
		w->error.message,
		"ActionType (Category: 'Build', Owner: 'Custom', Provider: 'X',"
		" Version: '1') is not available");
	assert_string_equal(poll_error(w, "Custom", "Make", ",'maxBatchSize':0"),
			    "ValidationException");
	assert_string_equal(
		poll_error(w, "Custom", "Make", ",'queryParam':{'Target':'a'}"),
		"ValidationException");
	call(w, "DeleteCustomActionType",
	     "{'category':'Build','provider':'Make','version':'1'}");
	assert_string_equal(poll_error(w, "Custom", "Make", ""),
			    "ActionTypeNotFoundException");
}

static void empty_poll_writes_nothing(void **state)
{
	struct world *w = *state;
	int64_t before;

	create_pipeline(w, "p", "SUPERSEDED");
	before = count_rows(w, "SELECT total_changes()");
	assert_null(poll_one(w, "Make").id);
	assert_int_equal(count_rows(w, "SELECT total_changes()"), before);
	assert_non_null(poll_one(w, "Src").id);
	assert_true(count_rows(w, "SELECT total_changes()") > before);
}

static struct json_object *poll_batch(struct world *w, int64_t max)
{
	return at(call(w, "PollForJobs",
		       "{'actionTypeId':{'category':'Source','owner':'Custom','provider':"
		       "'Src',"
		       "'version':'1'},'maxBatchSize':%lld}",
		       (long long)max),
		  "jobs");
}

static void jobs_come_oldest_first_and_not_more_than_wanted(void **state)
{
	struct world *w = *state;
	const char *e[5];
	struct json_object *jobs;

	e[0] = create_pipeline(w, "p", "PARALLEL");
	for (int i = 1; i < 5; i++)
		e[i] = start(w, "p");
	jobs = poll_batch(w, 2);
	assert_int_equal(json_object_array_length(jobs), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(text_at(json_object_array_get_idx(jobs, i),
					    "data.pipelineContext.pipelineExecutionId"),
				    e[i]);
	w->settings.max_batch = 2;
	jobs = poll_batch(w, 1000000);
	assert_int_equal(json_object_array_length(jobs), 2);
	assert_string_equal(text_at(jobs, "[0].data.pipelineContext.pipelineExecutionId"),
			    e[2]);
	assert_int_equal(json_object_array_length(poll_batch(w, 10)), 1);
}

static void query_value_chooses_jobs(void **state)
{
	struct world *w = *state;
	const char type[] = "'actionTypeId':{'category':'Deploy','owner':'Custom',"
			    "'provider':'Q','version':'1'}";
	CLEAN(free) char *input = NULL;
	struct json_object *jobs;

	call(w, "CreateCustomActionType",
	     "{'category':'Deploy','provider':'Q','version':'1','configurationProperties'"
	     ":["
	     "{'name':'Group','required':true,'key':true,'secret':false,'queryable':true}"
	     "],"
	     "'inputArtifactDetails':{'minimumCount':0,'maximumCount':0},"
	     "'outputArtifactDetails':{'minimumCount':0,'maximumCount':0}}");
	input = declare(
		"p", "SUPERSEDED",
		"[{'name':'S','actions':[{'name':'S','namespace':'s','actionTypeId':"
		"{'category':'Source','owner':'Custom','provider':'Src','version':'1'}}]}"
		","
		"{'name':'D','actions':[{'name':'A','configuration':{'Group':'#{s.g}'},"
		"'actionTypeId':{'category':'Deploy','owner':'Custom','provider':'Q',"
		"'version':'1'}},{'name':'B','configuration':{'Group':'two'},"
		"'actionTypeId':{'category':'Deploy','owner':'Custom','provider':'Q',"
		"'version':'1'}}]}]");
	call(w, "CreatePipeline", "%s", input);
	call(w, "PutJobSuccessResult", "{'jobId':'%s','outputVariables':{'g':'one'}}",
	     take(w, "Src").id);
	/* It has a queryable property: the poll must name it. */
	assert_string_equal(fails(w, "PollForJobs", "{%s}", type), "ValidationException");
	assert_string_equal(
		fails(w, "PollForJobs", "{%s,'queryParam':{'Other':'one'}}", type),
		"ValidationException");
	jobs = at(call(w, "PollForJobs", "{%s,'queryParam':{'Group':'three'}}", type),
		  "jobs");
	assert_int_equal(json_object_array_length(jobs), 0);
	jobs = at(call(w, "PollForJobs",
		       "{%s,'queryParam':{'Group':'one'},'maxBatchSize':9}", type),
		  "jobs");
	assert_int_equal(json_object_array_length(jobs), 1);
	assert_string_equal(
		text_at(jobs, "[0].data.actionConfiguration.configuration.Group"), "one");
}

/* ---- acknowledge (semantics C4, C5) ---- */

static void one_poller_gets_a_job_until_its_time_is_up(void **state)
{
	struct world *w = *state;
	struct handed first, second;

	waiting_build(w);
	first = poll_one(w, "Make");
	assert_string_equal(first.nonce, "1");
	assert_null(poll_one(w, "Make").id);
	pass_time(w, 60 * SECOND - 1);
	assert_null(poll_one(w, "Make").id);
	pass_time(w, 1);
	second = poll_one(w, "Make");
	assert_string_equal(second.id, first.id);
	assert_string_equal(second.nonce, "2");
	/* The slower one learns that it lost, and can do no harm. */
	assert_string_equal(acknowledge(w, first.id, first.nonce),
			    "InvalidNonceException");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", first.id),
			    "InvalidJobStateException");
	assert_string_equal(acknowledge(w, second.id, second.nonce), "InProgress");
	assert_string_equal(acknowledge(w, first.id, first.nonce),
			    "InvalidNonceException");
	/* Acknowledged, it is never handed out again. */
	pass_time(w, HOUR);
	assert_null(poll_one(w, "Make").id);
}

static void late_acknowledgement_counts_while_nobody_else_polled(void **state)
{
	struct world *w = *state;
	struct handed job;

	waiting_build(w);
	job = poll_one(w, "Make");
	pass_time(w, HOUR);
	assert_string_equal(acknowledge(w, job.id, job.nonce), "InProgress");
	assert_null(poll_one(w, "Make").id);
}

static void repeated_acknowledgement_is_ours_unless_strict(void **state)
{
	struct world *w = *state;
	struct handed job;

	waiting_build(w);
	job = take(w, "Make");
	assert_string_equal(acknowledge(w, job.id, job.nonce), "InProgress");
	assert_string_equal(acknowledge(w, job.id, "2"), "InvalidNonceException");
	assert_string_equal(acknowledge(w, job.id, "01"), "InvalidNonceException");
	w->settings.strict_ack = true;
	assert_string_equal(acknowledge(w, job.id, job.nonce), "InvalidNonceException");
	w->settings.strict_ack = false;
	succeed(w, job.id);
	assert_string_equal(acknowledge(w, job.id, job.nonce), "Succeeded");
}

static void job_never_handed_out_has_no_valid_nonce(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *id = NULL;

	waiting_build(w);
	{
		CLEAN(stmt) struct stmt q;
		struct mh_err err = MH_ERR_INIT;

		store_query(w->store, &q, "SELECT id FROM jobs WHERE ended_ms = 0", "");
		assert_int_equal(stmt_next(&q, &err), 1);
		id = mh_strdup(stmt_text(&q, 0));
	}
	assert_string_equal(acknowledge(w, id, "0"), "InvalidNonceException");
	assert_string_equal(acknowledge(w, id, "1"), "InvalidNonceException");
	/* Its data may be looked at (semantics G7). */
	call(w, "GetJobDetails", "{'jobId':'%s'}", id);
}

static void unknown_and_forgotten_jobs_are_not_found(void **state)
{
	struct world *w = *state;
	const char *none = "00000000-0000-4000-8000-000000000000";
	struct handed job;

	waiting_build(w);
	assert_string_equal(acknowledge(w, none, "1"), "JobNotFoundException");
	assert_string_equal(fails(w, "GetJobDetails", "{'jobId':'%s'}", none),
			    "JobNotFoundException");
	assert_string_equal(fails(w, "GetJobDetails", "{'jobId':'not-a-uuid'}"),
			    "ValidationException");
	job = take(w, "Make");
	succeed(w, job.id);
	pass_time(w, 7 * DAY - 1);
	call(w, "GetJobDetails", "{'jobId':'%s'}", job.id);
	pass_time(w, 1);
	assert_string_equal(fails(w, "GetJobDetails", "{'jobId':'%s'}", job.id),
			    "JobNotFoundException");
}

/* ---- results ---- */

static void result_counts_once_and_only_in_progress(void **state)
{
	struct world *w = *state;
	struct handed job;

	waiting_build(w);
	job = poll_one(w, "Make");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "InvalidJobStateException");
	assert_string_equal(acknowledge(w, job.id, job.nonce), "InProgress");
	succeed(w, job.id);
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "InvalidJobStateException");
	assert_string_equal(fails(w, "PutJobFailureResult",
				  "{'jobId':'%s','failureDetails':{'type':'JobFailed',"
				  "'message':'late'}}",
				  job.id),
			    "InvalidJobStateException");
	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "Succeeded");
}

static void failure_is_told_as_it_was(void **state)
{
	struct world *w = *state;
	static const char *const types[] = { "JobFailed",           "ConfigurationError",
					     "PermissionError",     "RevisionOutOfSync",
					     "RevisionUnavailable", "SystemUnavailable" };

	create_pipeline(w, "p", "SUPERSEDED");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (i > 0)
			start(w, "p");
		call(w, "PutJobFailureResult",
		     "{'jobId':'%s','failureDetails':{'type':'%s','message':'no luck',"
		     "'externalExecutionId':'x/1'}}",
		     take(w, "Src").id, types[i]);
		assert_string_equal(
			action_state(w, "p", "Source", "S", "errorDetails.code"),
			types[i]);
		assert_string_equal(
			action_state(w, "p", "Source", "S", "errorDetails.message"),
			"no luck");
		assert_string_equal(
			action_state(w, "p", "Source", "S", "externalExecutionUrl"),
			"https://x/x%2F1");
	}
}

static void continuation_is_a_new_job_of_the_same_action(void **state)
{
	struct world *w = *state;
	const char *execution = waiting_build(w), *action, *earlier = "";
	struct handed job = { 0 };

	action = action_state(w, "p", "Build", "B", "actionExecutionId");
	for (int round = 0; round < 4; round++) {
		job = take(w, "Make");
		assert_string_not_equal(job.id, earlier);
		assert_string_equal(job.nonce, "1");
		assert_string_equal(
			text_at(job.data, "pipelineContext.action.actionExecutionId"),
			action);
		if (round == 0)
			assert_null(at(job.data, "continuationToken"));
		else
			assert_string_equal(text_at(job.data, "continuationToken"),
					    "the-token");
		call(w, "PutJobSuccessResult",
		     "{'jobId':'%s','continuationToken':'the-token','executionDetails':"
		     "{'percentComplete':%d,'summary':'round %d'%s}}",
		     job.id, round * 10, round,
		     round ? "" : ",'externalExecutionId':'ext'");
		assert_string_equal(action_state(w, "p", "Build", "B", "status"),
				    "InProgress");
		assert_string_equal(
			action_state(w, "p", "Build", "B", "externalExecutionId"), "ext");
		assert_string_equal(
			action_state(w, "p", "Build", "B", "externalExecutionUrl"),
			"https://x/ext");
		/* The one before is over for good. */
		assert_string_equal(
			fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			"InvalidJobStateException");
		earlier = job.id;
	}
	assert_string_equal(action_state(w, "p", "Build", "B", "percentComplete"), "30");
	assert_string_equal(action_state(w, "p", "Build", "B", "summary"), "round 3");
	assert_string_equal(work(w, "Make"), execution);
	assert_string_equal(action_state(w, "p", "Build", "B", "status"), "Succeeded");
	assert_string_equal(action_state(w, "p", "Build", "B", "summary"), "round 3");
}

static void continuation_becomes_visible_after_its_delay(void **state)
{
	struct world *w = *state;

	waiting_build(w);
	w->settings.continuation_delay_ms = 30 * SECOND;
	call(w, "PutJobSuccessResult", "{'jobId':'%s','continuationToken':'t'}",
	     take(w, "Make").id);
	assert_null(poll_one(w, "Make").id);
	pass_time(w, 30 * SECOND - 1);
	assert_null(poll_one(w, "Make").id);
	pass_time(w, 1);
	work(w, "Make");
	assert_string_equal(stage_state(w, "p", "Build"), "Succeeded");
}

static void output_variables_have_their_rules(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *big = mh_alloc(122881);
	struct handed job;
	struct json_object *o;

	waiting_build(w);
	job = take(w, "Make");
	memset(big, 'x', 122880);
	assert_string_equal(fails(w, "PutJobSuccessResult",
				  "{'jobId':'%s','outputVariables':{'k':'%s'}}", job.id,
				  big),
			    "OutputVariablesSizeExceededException");
	assert_string_equal(fails(w, "PutJobSuccessResult",
				  "{'jobId':'%s','continuationToken':'t',"
				  "'outputVariables':{'k':'v'}}",
				  job.id),
			    "ValidationException");
	/* The job is still in progress. */
	big[122879] = '\0';
	call(w, "PutJobSuccessResult", "{'jobId':'%s','outputVariables':{'k':'%s'}}",
	     job.id, big);
	o = call(w, "ListActionExecutions", "{'pipelineName':'p'}");
	assert_int_equal(
		strlen(text_at(o, "actionExecutionDetails[1].output.outputVariables.k")),
		122879);
}

static void unfinished_action_fails_after_a_day(void **state)
{
	struct world *w = *state;
	const char *e = waiting_build(w);
	struct handed job = take(w, "Make");

	pass_time(w, 12 * HOUR);
	/* A continuation does not extend it (semantics C11). */
	call(w, "PutJobSuccessResult", "{'jobId':'%s','continuationToken':'t'}", job.id);
	job = take(w, "Make");
	pass_time(w, 12 * HOUR - 1);
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	pass_time(w, 1);
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_string_equal(action_state(w, "p", "Build", "B", "errorDetails.code"),
			    "Timeout");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "InvalidJobStateException");
	assert_string_equal(acknowledge(w, job.id, job.nonce), "TimedOut");
}

static void job_that_nobody_takes_times_out_too(void **state)
{
	struct world *w = *state;
	const char *e = waiting_build(w);

	pass_time(w, DAY);
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_null(poll_one(w, "Make").id);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(poll_refuses_what_it_cannot_serve),
		T(empty_poll_writes_nothing),
		T(jobs_come_oldest_first_and_not_more_than_wanted),
		T(query_value_chooses_jobs),
		T(one_poller_gets_a_job_until_its_time_is_up),
		T(late_acknowledgement_counts_while_nobody_else_polled),
		T(repeated_acknowledgement_is_ours_unless_strict),
		T(job_never_handed_out_has_no_valid_nonce),
		T(unknown_and_forgotten_jobs_are_not_found),
		T(result_counts_once_and_only_in_progress),
		T(failure_is_told_as_it_was),
		T(continuation_is_a_new_job_of_the_same_action),
		T(continuation_becomes_visible_after_its_delay),
		T(output_variables_have_their_rules),
		T(unfinished_action_fails_after_a_day),
		T(job_that_nobody_takes_times_out_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
