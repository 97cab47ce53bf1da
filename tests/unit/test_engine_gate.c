/* The engine in front of its stages: lock, superseding, queues, PARALLEL, updates. */
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

static void execution_passes_its_stages_in_order(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");

	assert_string_equal(stage_state(w, "p", "Source"), "InProgress");
	assert_string_equal(latest_in(w, "p", "Build"), "");
	assert_string_equal(work(w, "Src"), e1);
	assert_string_equal(stage_state(w, "p", "Source"), "Succeeded");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	assert_string_equal(work(w, "Make"), e1);
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(stage_state(w, "p", "Deploy"), "Succeeded");
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
}

static void two_executions_are_in_different_stages_at_once(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *e2;

	work(w, "Src");
	e2 = start(w, "p");
	assert_string_equal(latest_in(w, "p", "Build"), e1);
	assert_string_equal(latest_in(w, "p", "Source"), e2);
	assert_string_equal(stage_state(w, "p", "Source"), "InProgress");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
}

/* The founding documents' case: E1 inside, E2 waits, E3 arrives (semantics 001-17). */
static void newer_arrival_supersedes_who_waits_at_a_locked_stage(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *e2, *e3;

	work(w, "Src");
	e2 = start(w, "p");
	work(w, "Src");
	assert_int_equal(inbound_count(w, "p", "Build"), 1);
	assert_string_equal(inbound_id(w, "p", "Build", 0), e2);
	e3 = start(w, "p");
	work(w, "Src");
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_equal(execution_state(w, "p", e2), "Superseded");
	assert_string_equal(execution_state(w, "p", e3), "InProgress");
	assert_int_equal(inbound_count(w, "p", "Build"), 1);
	assert_string_equal(inbound_id(w, "p", "Build", 0), e3);
	/* E1 inside is not touched; when it leaves, E3 enters at once. */
	assert_string_equal(work(w, "Make"), e1);
	assert_string_equal(latest_in(w, "p", "Build"), e3);
	assert_int_equal(inbound_count(w, "p", "Build"), 0);
	assert_string_equal(work(w, "Make"), e3);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(work(w, "Ship"), e3);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
	assert_string_equal(execution_state(w, "p", e2), "Superseded");
	assert_string_equal(execution_state(w, "p", e3), "Succeeded");
}

static void first_stage_supersedes_too(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");
	const char *e2 = start(w, "p"), *e3 = start(w, "p");

	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_equal(execution_state(w, "p", e2), "Superseded");
	assert_string_equal(execution_state(w, "p", e3), "InProgress");
	assert_string_equal(inbound_id(w, "p", "Source", 0), e3);
	/* Never one job of two executions of the same stage. */
	assert_string_equal(poll_one(w, "Src").execution, e1);
	assert_null(poll_one(w, "Src").id);
}

static void failure_unlocks_the_stage_for_who_waits(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *e2;

	work(w, "Src");
	e2 = start(w, "p");
	work(w, "Src");
	fail_job(w, take(w, "Make").id);
	assert_string_equal(execution_state(w, "p", e1), "Failed");
	assert_string_equal(latest_in(w, "p", "Build"), e2);
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	assert_string_equal(latest_in(w, "p", "Deploy"), "");
	assert_string_equal(work(w, "Make"), e2);
}

static void queue_keeps_order_and_supersedes_nobody(void **state)
{
	struct world *w = *state;
	const char *e[4];

	e[0] = create_pipeline(w, "p", "QUEUED");
	for (int i = 1; i < 4; i++)
		e[i] = start(w, "p");
	assert_int_equal(inbound_count(w, "p", "Source"), 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(inbound_id(w, "p", "Source", (size_t)i), e[i + 1]);
	for (int i = 0; i < 4; i++)
		assert_string_equal(work(w, "Src"), e[i]);
	assert_string_equal(latest_in(w, "p", "Build"), e[0]);
	for (int i = 0; i < 3; i++)
		assert_string_equal(inbound_id(w, "p", "Build", (size_t)i), e[i + 1]);
	/* The head fails: the next enters, the order stays. */
	fail_job(w, take(w, "Make").id);
	for (int i = 1; i < 4; i++)
		assert_string_equal(work(w, "Make"), e[i]);
	for (int i = 1; i < 4; i++)
		assert_string_equal(work(w, "Ship"), e[i]);
	assert_string_equal(execution_state(w, "p", e[0]), "Failed");
	for (int i = 1; i < 4; i++)
		assert_string_equal(execution_state(w, "p", e[i]), "Succeeded");
}

static void parallel_has_no_locks(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL"), *e2 = start(w, "p");

	assert_string_equal(poll_one(w, "Src").execution, e1);
	assert_string_equal(poll_one(w, "Src").execution, e2);
	/* The state view shows no execution of such a pipeline. */
	assert_string_equal(latest_in(w, "p", "Source"), "");
	assert_string_equal(action_state(w, "p", "Source", "S", "status"), "");
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
}

static void fifty_executions_are_the_most_of_a_queue(void **state)
{
	struct world *w = *state;

	create_pipeline(w, "q", "QUEUED");
	for (int i = 1; i < 50; i++)
		start(w, "q");
	assert_string_equal(fails(w, "StartPipelineExecution", "{'name':'q'}"),
			    "ConcurrentPipelineExecutionsLimitExceededException");
	fail_job(w, take(w, "Src").id);
	start(w, "q");
}

static void parallel_execution_runs_five_actions_at_once(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *stages = NULL, *input = NULL;
	CLEAN(free) char *list = mh_strdup("");
	struct handed taken[7];

	for (int i = 0; i < 7; i++) {
		char *more = mh_format(
			"%s%s{'name':'B%d','actionTypeId':{'category':'Build',"
			"'owner':'Custom','provider':'Make','version':'1'}}",
			list, i ? "," : "", i);

		free(list);
		list = more;
	}
	stages = mh_format("[{'name':'Source','actions':[{'name':'S','actionTypeId':"
			   "{'category':'Source','owner':'Custom','provider':'Src',"
			   "'version':'1'}}]},{'name':'Build','actions':[%s]}]",
			   list);
	input = declare("p", "PARALLEL", stages);
	call(w, "CreatePipeline", "%s", input);
	work(w, "Src");
	for (int i = 0; i < 5; i++)
		taken[i] = take(w, "Make");
	assert_null(poll_one(w, "Make").id);
	succeed(w, taken[2].id);
	taken[5] = take(w, "Make");
	assert_string_equal(taken[5].action, "B5");
	assert_null(poll_one(w, "Make").id);
}

/* ---- transitions ---- */

static void disabled_transition_holds_even_a_free_stage(void **state)
{
	struct world *w = *state;
	const char *e1, *e2;

	e1 = create_pipeline(w, "p", "SUPERSEDED");
	set_transition(w, "p", "Build", false);
	work(w, "Src");
	assert_string_equal(latest_in(w, "p", "Build"), "");
	assert_string_equal(inbound_id(w, "p", "Build", 0), e1);
	/* Superseding goes on while it is disabled (semantics 000-25). */
	e2 = start(w, "p");
	work(w, "Src");
	assert_string_equal(execution_state(w, "p", e1), "Superseded");
	set_transition(w, "p", "Build", true);
	assert_string_equal(latest_in(w, "p", "Build"), e2);
	assert_string_equal(work(w, "Make"), e2);
}

static void disabled_transition_keeps_the_queue(void **state)
{
	struct world *w = *state;
	const char *e1, *e2;

	e1 = create_pipeline(w, "p", "QUEUED");
	set_transition(w, "p", "Build", false);
	e2 = start(w, "p");
	work(w, "Src");
	work(w, "Src");
	assert_int_equal(inbound_count(w, "p", "Build"), 2);
	set_transition(w, "p", "Build", true);
	assert_string_equal(work(w, "Make"), e1);
	assert_string_equal(work(w, "Make"), e2);
}

static void disabled_transition_holds_parallel_executions(void **state)
{
	struct world *w = *state;

	create_pipeline(w, "p", "PARALLEL");
	start(w, "p");
	set_transition(w, "p", "Build", false);
	work(w, "Src");
	work(w, "Src");
	assert_null(poll_one(w, "Make").id);
	set_transition(w, "p", "Build", true);
	take(w, "Make");
	take(w, "Make");
}

static const char *const modes[] = { "SUPERSEDED", "QUEUED", "PARALLEL" };
static const char *const stage_names[] = { "Source", "Build", "Deploy" };
static const char *const providers[] = { "Src", "Make", "Ship" };

/* A new execution of the pipeline that waits in front of the n-th stage, whose
 * transition was disabled before. */
static const char *hold_at(struct world *w, size_t n)
{
	const char *e;

	set_transition(w, "p", stage_names[n], false);
	e = start(w, "p");
	for (size_t i = 0; i < n; i++)
		assert_string_equal(work(w, providers[i]), e);
	assert_null(poll_one(w, providers[n]).id);
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	return e;
}

static void go_through(struct world *w, size_t n, const char *e)
{
	for (size_t i = n; i < ARRAY_LEN(providers); i++)
		assert_string_equal(work(w, providers[i]), e);
	assert_string_equal(execution_state(w, "p", e), "Succeeded");
}

/* A pipeline in that mode in which nothing is under way. */
static void create_idle(struct world *w, const char *mode)
{
	go_through(w, 0, create_pipeline(w, "p", mode));
}

static void every_stage_can_be_held_in_every_mode(void **state)
{
	struct world *w = *state;

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		create_idle(w, modes[m]);
		for (size_t n = 0; n < ARRAY_LEN(stage_names); n++) {
			const char *e = hold_at(w, n);

			set_transition(w, "p", stage_names[n], true);
			go_through(w, n, e);
		}
		call(w, "DeletePipeline", "{'name':'p'}");
	}
}

static void who_waited_longer_than_30_days_does_not_go_on(void **state)
{
	struct world *w = *state;

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		const char *e;

		create_idle(w, modes[m]);
		e = hold_at(w, 1);
		pass_time(w, 30 * DAY);
		set_transition(w, "p", "Build", true); /* just in time */
		go_through(w, 1, e);
		e = hold_at(w, 1);
		pass_time(w, 30 * DAY + 1);
		set_transition(w, "p", "Build", true);
		assert_string_equal(execution_state(w, "p", e), "Stopped");
		assert_null(poll_one(w, "Make").id);
		assert_contains(
			text_at(call(w, "ListPipelineExecutions",
				     "{'pipelineName':'p','maxResults':1}"),
				"pipelineExecutionSummaries[0].stopTrigger.reason"),
			"30 days");
		go_through(w, 0, start(w, "p"));
		call(w, "DeletePipeline", "{'name':'p'}");
	}
}

static void what_works_behind_a_disabled_transition_goes_on(void **state)
{
	struct world *w = *state;
	const char *e = create_pipeline(w, "p", "SUPERSEDED");
	struct handed job;

	work(w, "Src");
	job = take(w, "Make");
	set_transition(w, "p", "Build", false);
	succeed(w, job.id);
	go_through(w, 2, e);
}

static void state_shows_a_disabled_transition(void **state)
{
	struct world *w = *state;
	struct json_object *o;

	create_pipeline(w, "p", "SUPERSEDED");
	o = at(call(w, "GetPipelineState", "{'name':'p'}"),
	       "stageStates[1].inboundTransitionState");
	assert_string_equal(text_at(o, "enabled"), "true");
	assert_null(at(o, "lastChangedBy"));
	set_transition(w, "p", "Build", false);
	o = at(call(w, "GetPipelineState", "{'name':'p'}"),
	       "stageStates[1].inboundTransitionState");
	assert_string_equal(text_at(o, "enabled"), "false");
	assert_string_equal(text_at(o, "disabledReason"), "freeze");
	assert_non_null(at(o, "lastChangedAt"));
}

/* ---- update and delete (semantics E5, G18) ---- */

static void update(struct world *w, const char *name, const char *mode)
{
	CLEAN(free) char *input = declare(name, mode, three_stages);

	call(w, "UpdatePipeline", "%s", input);
}

static void update_cancels_who_waits_now_and_who_runs_later(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *e2, *e3;
	struct handed job;

	work(w, "Src");
	e2 = start(w, "p");
	work(w, "Src");
	job = take(w, "Make");
	update(w, "p", "SUPERSEDED");
	assert_string_equal(execution_state(w, "p", e2), "Cancelled");
	assert_string_equal(execution_state(w, "p", e1), "InProgress");
	assert_string_equal(stage_state(w, "p", "Build"), "InProgress");
	/* The lock is held until then. */
	e3 = start(w, "p");
	work(w, "Src");
	assert_string_equal(inbound_id(w, "p", "Build", 0), e3);
	succeed(w, job.id);
	assert_string_equal(execution_state(w, "p", e1), "Cancelled");
	assert_string_equal(latest_in(w, "p", "Build"), e3);
	assert_string_equal(work(w, "Make"), e3);
	assert_string_equal(work(w, "Ship"), e3);
	assert_null(poll_one(w, "Ship").id);
}

static void cancelled_execution_stays_cancelled_when_its_action_fails(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "QUEUED");
	struct handed job = take(w, "Src");

	update(w, "p", "QUEUED");
	fail_job(w, job.id);
	assert_string_equal(execution_state(w, "p", e1), "Cancelled");
	assert_string_equal(stage_state(w, "p", "Source"), "Cancelled");
	assert_string_equal(action_state(w, "p", "Source", "S", "status"), "Failed");
}

static void parallel_executions_survive_an_update(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL"), *e2;

	update(w, "p", "QUEUED");
	e2 = start(w, "p");
	assert_string_equal(latest_in(w, "p", "Source"), e2);
	assert_string_equal(work(w, "Src"), e1);
	assert_string_equal(work(w, "Make"), e1);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
	assert_string_equal(work(w, "Src"), e2);
}

/* Semantics E5. */
static void state_is_empty_while_parallel_and_back_afterwards(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED");

	work(w, "Src");
	work(w, "Make");
	work(w, "Ship");
	update(w, "p", "QUEUED");
	assert_string_equal(latest_in(w, "p", "Deploy"), e1);
	update(w, "p", "PARALLEL");
	assert_string_equal(latest_in(w, "p", "Deploy"), "");
	assert_string_equal(action_state(w, "p", "Deploy", "D", "status"), "");
	start(w, "p");
	work(w, "Src");
	update(w, "p", "SUPERSEDED");
	assert_string_equal(latest_in(w, "p", "Deploy"), e1);
	assert_string_equal(latest_in(w, "p", "Source"), e1);
}

static void execution_runs_under_the_version_it_started_with(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL");
	CLEAN(free)
	char *input = declare(
		"p", "PARALLEL",
		"[{'name':'Source','actions':[{'name':'Other','actionTypeId':{'category':"
		"'Source','owner':'Custom','provider':'Src','version':'1'}}]},"
		"{'name':'Last','actions':[{'name':'T','actionTypeId':{'category':'Test',"
		"'owner':'Custom','provider':'Check','version':'1'}}]}]");
	struct json_object *o;

	call(w, "UpdatePipeline", "%s", input);
	assert_string_equal(work(w, "Src"), e1);
	assert_string_equal(take(w, "Make").execution, e1);
	o = call(w, "GetPipelineExecution",
		 "{'pipelineName':'p','pipelineExecutionId':'%s'}", e1);
	assert_string_equal(text_at(o, "pipelineExecution.pipelineVersion"), "1");
}

static void transition_ends_with_its_stage(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "PARALLEL");
	CLEAN(free)
	char *input = declare(
		"p", "PARALLEL",
		"[{'name':'Source','actions':[{'name':'S','actionTypeId':{'category':"
		"'Source','owner':'Custom','provider':'Src','version':'1'}}]},"
		"{'name':'Deploy','actions':[{'name':'T','actionTypeId':{'category':'"
		"Test',"
		"'owner':'Custom','provider':'Check','version':'1'}}]}]");

	set_transition(w, "p", "Build", false);
	set_transition(w, "p", "Deploy", false);
	work(w, "Src");
	assert_null(poll_one(w, "Make").id);
	call(w, "UpdatePipeline", "%s", input);
	/* Nobody can enable the way into Build any more; Deploy's stays disabled. */
	assert_string_equal(work(w, "Make"), e1);
	assert_null(poll_one(w, "Ship").id);
	set_transition(w, "p", "Deploy", true);
	assert_string_equal(work(w, "Ship"), e1);
	assert_string_equal(execution_state(w, "p", e1), "Succeeded");
}

static void delete_makes_its_jobs_unknown(void **state)
{
	struct world *w = *state;
	const char *e1 = create_pipeline(w, "p", "SUPERSEDED"), *again;
	struct handed job = take(w, "Src");

	call(w, "DeletePipeline", "{'name':'p'}");
	assert_string_equal(fails(w, "PutJobSuccessResult", "{'jobId':'%s'}", job.id),
			    "JobNotFoundException");
	assert_string_equal(fails(w, "GetJobDetails", "{'jobId':'%s'}", job.id),
			    "JobNotFoundException");
	assert_null(poll_one(w, "Src").id);
	assert_int_equal(count_rows(w, "SELECT count(*) FROM timers"), 0);
	assert_int_equal(count_rows(w, "SELECT count(*) FROM action_executions"), 0);
	pass_time(w, 2 * DAY);
	/* A later one of the same name has no history. */
	again = create_pipeline(w, "p", "SUPERSEDED");
	assert_string_not_equal(again, e1);
	assert_string_equal(fails(w, "GetPipelineExecution",
				  "{'pipelineName':'p','pipelineExecutionId':'%s'}", e1),
			    "PipelineExecutionNotFoundException");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(execution_passes_its_stages_in_order),
		T(two_executions_are_in_different_stages_at_once),
		T(newer_arrival_supersedes_who_waits_at_a_locked_stage),
		T(first_stage_supersedes_too),
		T(failure_unlocks_the_stage_for_who_waits),
		T(queue_keeps_order_and_supersedes_nobody),
		T(parallel_has_no_locks),
		T(fifty_executions_are_the_most_of_a_queue),
		T(parallel_execution_runs_five_actions_at_once),
		T(disabled_transition_holds_even_a_free_stage),
		T(disabled_transition_keeps_the_queue),
		T(disabled_transition_holds_parallel_executions),
		T(every_stage_can_be_held_in_every_mode),
		T(who_waited_longer_than_30_days_does_not_go_on),
		T(what_works_behind_a_disabled_transition_goes_on),
		T(state_shows_a_disabled_transition),
		T(update_cancels_who_waits_now_and_who_runs_later),
		T(cancelled_execution_stays_cancelled_when_its_action_fails),
		T(parallel_executions_survive_an_update),
		T(state_is_empty_while_parallel_and_back_afterwards),
		T(execution_runs_under_the_version_it_started_with),
		T(transition_ends_with_its_stage),
		T(delete_makes_its_jobs_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
