/*
 * Stop, retry and update at every point of an execution, in every mode (semantics E4, E5,
 * E7, E8): the whole cross product. A point is a place where an execution can be when
 * somebody interferes; what must follow depends on little besides whether an action is in
 * flight there.
 */
#include "tests/unit/engine_world.h"

#include <stdio.h>

/* clang-format off */
#define CUSTOM(name, category, provider)                                                  \
	"{'name':'" name "','actionTypeId':{'category':'" category                        \
	"','owner':'Custom','provider':'" provider "','version':'1'}}"

static const char stages[] =
	"[{'name':'Source','actions':[" CUSTOM("S", "Source", "Src") "]},"
	"{'name':'Build','actions':[" CUSTOM("B", "Build", "Make") "]},"
	"{'name':'Gate','actions':[{'name':'Ask','actionTypeId':{'category':'Approval',"
	"'owner':'AWS','provider':'Manual','version':'1'}}]},"
	"{'name':'Deploy','actions':[" CUSTOM("D", "Deploy", "Ship") "]}]";
/* clang-format on */

static const char *const modes[] = { "SUPERSEDED", "QUEUED", "PARALLEL" };

/* One pipeline and the execution that is interfered with. */
struct scene {
	struct world *w;
	const char *mode;
	const struct point *point;
	const char *e;
	const char *other; /* who holds the stage that e waits for, or NULL */
	struct handed job; /* its job, when one was taken */
	const char *token; /* of its approval, when that was reached */
	char what[96];
};

struct point {
	const char *name;
	void (*reach)(struct scene *sc);
	/* Goes on from there when nothing hinders: all that is in flight ends well, or
	 * badly. NULL: nothing is in flight. */
	void (*end)(struct scene *sc, bool well);
	const char *stage, *action;
	bool locked_only; /* there are no locks to wait for in PARALLEL */
};

static void same(const struct scene *sc, const char *what, const char *got,
		 const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: %s: got %s, want %s", sc->what, what, got, want);
}

static bool parallel(const struct scene *sc)
{
	return strcmp(sc->mode, "PARALLEL") == 0;
}

/* ---- views that hold in every mode ---- */

static void is(const struct scene *sc, const char *want)
{
	same(sc, "execution", execution_state(sc->w, "p", sc->e), want);
}

/* The newest attempt of the execution's action, from the history; "" when none. */
static const char *history(const struct scene *sc, const char *action, const char *path)
{
	struct json_object *list = at(
		call(sc->w, "ListActionExecutions",
		     "{'pipelineName':'p','filter':{'pipelineExecutionId':'%s'}}", sc->e),
		"actionExecutionDetails");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *a = json_object_array_get_idx(list, i);

		if (strcmp(text_at(a, "actionName"), action) == 0)
			return at(a, path) ? text_at(a, path) : "";
	}
	return "";
}

/* The state view shows nothing of PARALLEL executions. */
static void stage_is(const struct scene *sc, const char *stage, const char *want)
{
	if (!parallel(sc))
		same(sc, stage, stage_state(sc->w, "p", stage), want);
}

static void action_is(const struct scene *sc, const char *want)
{
	same(sc, sc->point->action, history(sc, sc->point->action, "status"), want);
}

static void idle(const struct scene *sc)
{
	static const char *const providers[] = { "Src", "Make", "Ship" };

	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		struct handed h = poll_one(sc->w, providers[i]);

		if (h.id && strcmp(h.execution, sc->e) == 0)
			fail_msg("%s: there is still work for %s", sc->what,
				 providers[i]);
	}
}

/* ---- workers, and who approves ---- */

static const char *token_of(const struct scene *sc)
{
	return parallel(sc)
		       ? history(sc, "Ask", "output.executionResult.externalExecutionId")
		       : action_state(sc->w, "p", "Gate", "Ask", "token");
}

static char *approval_input(const char *token, bool well)
{
	return mh_format("{'pipelineName':'p','stageName':'Gate','actionName':'Ask',"
			 "'token':'%s','result':{'summary':'','status':'%s'}}",
			 token, well ? "Approved" : "Rejected");
}

/* An update to PARALLEL hides an open request; who has read its token may still answer.
 */
static void answer_approval(struct scene *sc, bool well)
{
	const char *token = token_of(sc);
	CLEAN(free) char *input = approval_input(token[0] ? token : sc->token, well);

	call(sc->w, "PutApprovalResult", "%s", input);
}

static void finish_job(struct scene *sc, const struct handed *h, bool well)
{
	if (well)
		succeed(sc->w, h->id);
	else
		fail_job(sc->w, h->id);
}

/* From a stage to the end of the pipeline, all of it going well. */
static void run_from(struct scene *sc, const char *stage)
{
	if (strcmp(stage, "Source") == 0)
		same(sc, "Source's job", work(sc->w, "Src"), sc->e);
	if (strcmp(stage, "Source") == 0 || strcmp(stage, "Build") == 0)
		same(sc, "Build's job", work(sc->w, "Make"), sc->e);
	if (strcmp(stage, "Deploy") != 0)
		answer_approval(sc, true);
	same(sc, "Deploy's job", work(sc->w, "Ship"), sc->e);
	is(sc, "Succeeded");
}

static const char *after(const char *stage)
{
	return strcmp(stage, "Source") == 0  ? "Build"
	       : strcmp(stage, "Build") == 0 ? "Gate"
					     : "Deploy";
}

/* ---- the points ---- */

static void reach_source(struct scene *sc)
{
	sc->job = take(sc->w, "Src");
}

static void reach_offered(struct scene *sc)
{
	sc->job = poll_one(sc->w, "Src"); /* not acknowledged yet */
}

static void reach_build(struct scene *sc)
{
	work(sc->w, "Src");
	sc->job = take(sc->w, "Make");
}

/* One job has ended, the one that continues it waits for a worker. */
static void reach_continuation(struct scene *sc)
{
	reach_build(sc);
	call(sc->w, "PutJobSuccessResult", "{'jobId':'%s','continuationToken':'more'}",
	     sc->job.id);
}

static void reach_approval(struct scene *sc)
{
	work(sc->w, "Src");
	work(sc->w, "Make");
	sc->token = token_of(sc);
}

static void reach_between(struct scene *sc)
{
	set_transition(sc->w, "p", "Deploy", false);
	reach_approval(sc);
	answer_approval(sc, true);
}

static void reach_inbound(struct scene *sc)
{
	sc->other = sc->e;
	reach_build(sc);
	sc->e = start(sc->w, "p");
	work(sc->w, "Src");
}

static void end_taken(struct scene *sc, bool well)
{
	finish_job(sc, &sc->job, well);
}

static void end_offered(struct scene *sc, bool well)
{
	same(sc, "acknowledgement", acknowledge(sc->w, sc->job.id, sc->job.nonce),
	     "InProgress");
	finish_job(sc, &sc->job, well);
}

static void end_continuation(struct scene *sc, bool well)
{
	sc->job = take(sc->w, "Make");
	finish_job(sc, &sc->job, well);
}

static const struct point points[] = {
	{ "in its source", reach_source, end_taken, "Source", "S", false },
	{ "offered to a worker", reach_offered, end_offered, "Source", "S", false },
	{ "in its build", reach_build, end_taken, "Build", "B", false },
	{ "between two jobs", reach_continuation, end_continuation, "Build", "B", false },
	{ "in its approval", reach_approval, answer_approval, "Gate", "Ask", false },
	{ "between stages", reach_between, NULL, "Deploy", "D", false },
	{ "inbound", reach_inbound, NULL, "Build", "B", true },
};

/* Calls visit for the product of points and modes, each in a world of its own. */
static void everywhere(const char *what, void (*visit)(struct scene *sc))
{
	for (size_t p = 0; p < ARRAY_LEN(points); p++) {
		for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
			struct scene sc = { .mode = modes[m], .point = &points[p] };
			CLEAN(free) char *input = declare("p", modes[m], stages);

			if (points[p].locked_only && parallel(&sc))
				continue;
			(void)snprintf(sc.what, sizeof(sc.what), "%s, %s, %s", what,
				       points[p].name, modes[m]);
			sc.w = world_new(p * 8 + m + 1);
			create_types(sc.w);
			call(sc.w, "CreatePipeline", "%s", input);
			sc.e = newest(sc.w, "p");
			points[p].reach(&sc);
			visit(&sc);
			world_free(sc.w);
		}
	}
}

/* ---- stop and retry ---- */

static char *stop_input(const struct scene *sc, bool abandon)
{
	return mh_format("{'pipelineName':'p','pipelineExecutionId':'%s','abandon':%s}",
			 sc->e, abandon ? "true" : "false");
}

static void stop(const struct scene *sc, bool abandon)
{
	CLEAN(free) char *input = stop_input(sc, abandon);

	call(sc->w, "StopPipelineExecution", "%s", input);
}

static void stop_fails(const struct scene *sc, bool abandon, const char *code)
{
	CLEAN(free) char *input = stop_input(sc, abandon);

	same(sc, "stop", fails(sc->w, "StopPipelineExecution", "%s", input), code);
}

static char *retry_input(const struct scene *sc, const char *stage, bool all)
{
	return mh_format("{'pipelineName':'p','pipelineExecutionId':'%s','stageName':"
			 "'%s','retryMode':'%s_ACTIONS'}",
			 sc->e, stage, all ? "ALL" : "FAILED");
}

static void retry(const struct scene *sc, bool all)
{
	CLEAN(free) char *input = retry_input(sc, sc->point->stage, all);

	same(sc, "retry",
	     text_at(call(sc->w, "RetryStageExecution", "%s", input),
		     "pipelineExecutionId"),
	     sc->e);
}

static void no_retry(const struct scene *sc)
{
	static const char *const names[] = { "Source", "Build", "Gate", "Deploy" };

	for (size_t i = 0; i < 2 * ARRAY_LEN(names); i++) {
		CLEAN(free) char *input = retry_input(sc, names[i / 2], i % 2);
		const char *code = fails(sc->w, "RetryStageExecution", "%s", input);

		if (strcmp(code, "StageNotRetryableException") != 0 &&
		    strcmp(code, "NotLatestPipelineExecutionException") != 0)
			fail_msg("%s: retry of %s: %s", sc->what, names[i / 2], code);
	}
}

static void check_stopped(const struct scene *sc)
{
	is(sc, "Stopped");
	idle(sc);
	stop_fails(sc, false, "PipelineExecutionNotStoppableException");
	stop_fails(sc, true, "PipelineExecutionNotStoppableException");
}

/* Nothing was in flight: either stop is at once, and the execution never goes on. */
static void check_stopped_waiting(struct scene *sc)
{
	check_stopped(sc);
	if (!parallel(sc))
		assert_int_equal(inbound_count(sc->w, "p", sc->point->stage), 0);
	no_retry(sc);
	if (sc->other) { /* whoever is inside was not touched */
		same(sc, "the other", execution_state(sc->w, "p", sc->other),
		     "InProgress");
		succeed(sc->w, sc->job.id);
		same(sc, "the other", stage_state(sc->w, "p", "Gate"), "InProgress");
	}
	set_transition(sc->w, "p", sc->point->stage, true);
	idle(sc);
	is(sc, "Stopped");
}

static void check_stopping(struct scene *sc)
{
	is(sc, "Stopping");
	stage_is(sc, sc->point->stage, "Stopping");
	action_is(sc, "InProgress");
	stop_fails(sc, false, "DuplicatedStopRequestException");
}

/* What of it is left to be done once it is retried. */
static void go_on(struct scene *sc, bool again)
{
	is(sc, "InProgress");
	run_from(sc, again ? sc->point->stage : after(sc->point->stage));
}

static void visit_wait_well(struct scene *sc)
{
	stop(sc, false);
	if (!sc->point->end) {
		check_stopped_waiting(sc);
		return;
	}
	check_stopping(sc);
	sc->point->end(sc, true);
	check_stopped(sc);
	stage_is(sc, sc->point->stage, "Stopped");
	action_is(sc, "Succeeded");
	retry(sc,
	      false); /* nothing failed: it goes on behind the stage (semantics G12) */
	go_on(sc, false);
}

static void visit_wait_badly(struct scene *sc)
{
	if (!sc->point->end)
		return;
	stop(sc, false);
	check_stopping(sc);
	sc->point->end(sc, false);
	check_stopped(sc); /* not Failed (semantics G11) */
	stage_is(sc, sc->point->stage, "Stopped");
	action_is(sc, "Failed");
	retry(sc, false);
	go_on(sc, true);
}

static void visit_wait_all(struct scene *sc)
{
	if (!sc->point->end)
		return;
	stop(sc, false);
	sc->point->end(sc, true);
	retry(sc, true);
	go_on(sc, true);
}

static void check_abandoned(struct scene *sc)
{
	check_stopped(sc);
	stage_is(sc, sc->point->stage, "Stopped");
	action_is(sc, "Abandoned");
	if (strcmp(sc->point->action, "Ask") != 0)
		same(sc, "late result",
		     fails(sc->w, "PutJobSuccessResult", "{'jobId':'%s'}", sc->job.id),
		     "InvalidJobStateException");
	action_is(sc, "Abandoned");
}

static void visit_abandon(struct scene *sc)
{
	stop(sc, true);
	if (!sc->point->end) {
		check_stopped_waiting(sc);
		return;
	}
	check_abandoned(sc);
	retry(sc, false);
	go_on(sc, true);
}

static void visit_wait_then_abandon(struct scene *sc)
{
	if (!sc->point->end)
		return;
	stop(sc, false);
	stop(sc, true);
	check_abandoned(sc);
	retry(sc, true);
	go_on(sc, true);
}

/* A token that was given away before the stop opens nothing afterwards. */
static void visit_late_approval(struct scene *sc)
{
	CLEAN(free) char *input = NULL;

	if (strcmp(sc->point->action, "Ask") != 0)
		return;
	input = approval_input(token_of(sc), true);
	stop(sc, true);
	same(sc, "late approval", fails(sc->w, "PutApprovalResult", "%s", input),
	     "InvalidApprovalTokenException");
	retry(sc, false);
	same(sc, "late approval", fails(sc->w, "PutApprovalResult", "%s", input),
	     "InvalidApprovalTokenException");
	go_on(sc, true);
}

/* The stage is free for the next when, and only when, the stop is complete. */
static void visit_next_enters(struct scene *sc)
{
	const char *next;

	if (!sc->point->end || parallel(sc) || strcmp(sc->point->stage, "Build") != 0)
		return;
	next = start(sc->w, "p");
	work(sc->w, "Src");
	stop(sc, false);
	assert_int_equal(inbound_count(sc->w, "p", "Build"), 1);
	sc->point->end(sc, false);
	same(sc, "next", latest_in(sc->w, "p", "Build"), next);
	no_retry(sc); /* its place is taken */
	same(sc, "next", work(sc->w, "Make"), next);
}

static void stop_and_retry_at_every_point_in_every_mode(void **state)
{
	(void)state;
	everywhere("stop, success", visit_wait_well);
	everywhere("stop, failure", visit_wait_badly);
	everywhere("stop, retry of all", visit_wait_all);
	everywhere("abandon", visit_abandon);
	everywhere("stop, then abandon", visit_wait_then_abandon);
	everywhere("abandon, late approval", visit_late_approval);
	everywhere("stop, next", visit_next_enters);
}

/* ---- updates (semantics E5) ---- */

static const char *new_mode;

static void update(const struct scene *sc)
{
	CLEAN(free) char *input = declare("p", new_mode, stages);

	call(sc->w, "UpdatePipeline", "%s", input);
}

/* The state view is empty while the pipeline is PARALLEL. */
static void update_stage_is(const struct scene *sc, const char *want)
{
	if (strcmp(new_mode, "PARALLEL") != 0)
		stage_is(sc, sc->point->stage, want);
}

/* From PARALLEL everything goes on as it began. */
static void survive(struct scene *sc)
{
	is(sc, "InProgress");
	if (!sc->point->end) {
		set_transition(sc->w, "p", sc->point->stage, true);
		run_from(sc, sc->point->stage);
		return;
	}
	sc->point->end(sc, true);
	run_from(sc, after(sc->point->stage));
}

static void visit_update_well(struct scene *sc)
{
	update(sc);
	if (parallel(sc)) {
		survive(sc);
		return;
	}
	if (sc->point->end) {
		is(sc, "InProgress");
		update_stage_is(sc, "InProgress");
		sc->point->end(sc, true);
		update_stage_is(sc, "Cancelled");
		action_is(sc, "Succeeded");
	}
	is(sc, "Cancelled");
	idle(sc);
	no_retry(sc);
	stop_fails(sc, true, "PipelineExecutionNotStoppableException");
}

static void visit_update_badly(struct scene *sc)
{
	if (parallel(sc) || !sc->point->end)
		return;
	update(sc);
	sc->point->end(sc, false);
	update_stage_is(sc, "Cancelled");
	action_is(sc, "Failed");
	is(sc, "Cancelled"); /* not Failed */
	no_retry(sc);
}

static void visit_update_while_stopping(struct scene *sc)
{
	if (parallel(sc) || !sc->point->end)
		return;
	stop(sc, false);
	update(sc);
	is(sc, "Stopping");
	sc->point->end(sc, true);
	is(sc, "Cancelled");
	no_retry(sc);
}

static void visit_abandon_while_cancelling(struct scene *sc)
{
	if (parallel(sc) || !sc->point->end)
		return;
	update(sc);
	stop(sc, true);
	action_is(sc, "Abandoned");
	is(sc, "Cancelled");
	no_retry(sc);
}

/* Who comes after an update runs in the new mode, and gets through. */
static void visit_next_after_update(struct scene *sc)
{
	if (parallel(sc) || !sc->point->end || strcmp(new_mode, "PARALLEL") == 0)
		return;
	update(sc);
	sc->point->end(sc, true);
	sc->e = start(sc->w, "p");
	sc->mode = new_mode;
	run_from(sc, "Source");
}

static void an_update_cancels_at_every_point_in_every_mode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		new_mode = modes[i];
		everywhere("update, success", visit_update_well);
		everywhere("update, failure", visit_update_badly);
		everywhere("stop, then update", visit_update_while_stopping);
		everywhere("update, then abandon", visit_abandon_while_cancelling);
		everywhere("update, next", visit_next_after_update);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_and_retry_at_every_point_in_every_mode),
		cmocka_unit_test(an_update_cancels_at_every_point_in_every_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
