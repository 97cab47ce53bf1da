/* Approvals: tokens, answers, limits (semantics E16). */
#include "tests/unit/engine_world.h"

static int setup(void **state)
{
	struct world *w = world_new(4);

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

#define BUILD(name, order)                                                               \
	"{'name':'" name "','runOrder':" order "," TYPE("Build", "Make") "}"

/* ---- approvals (semantics E16) ---- */

#define APPROVAL(name, order, more)                                                      \
	"{'name':'" name "','runOrder':" order more                                      \
	",'actionTypeId':{'category':'Approval',"                                        \
	"'owner':'AWS','provider':'Manual','version':'1'}}"

static const char *answer(struct world *w, const char *token, const char *status)
{
	CLEAN(free)
	char *input = mh_format(
		"{'pipelineName':'p','stageName':'Gate','actionName':'Ask','token':'%s',"
		"'result':{'status':'%s','summary':'\xc4\x91\xe1\xbb\x93ng \xc3\xbd'}}",
		token, status);

	return try_call(w, "PutApprovalResult", input) ? "ok" : w->error.code;
}

static const char *token_of(struct world *w)
{
	return action_state(w, "p", "Gate", "Ask", "token");
}

static void approval_holds_the_next_action_and_stage(void **state)
{
	struct world *w = *state;
	const char *e = begin(
		w, "{'name':'Gate','actions':[" APPROVAL("Ask", "1", "") "," BUILD(
			   "After", "2") "]},{'name':'Last','actions':[" BUILD("Z",
									       "1") "]}");
	const char *token = token_of(w);

	assert_true(str_is_uuid(token));
	assert_null(poll_one(w, "Make").id);
	assert_string_equal(latest_in(w, "p", "Last"), "");
	assert_string_equal(answer(w, token, "Approved"), "ok");
	assert_string_equal(token_of(w), "");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "status"), "Succeeded");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "summary"),
			    "\xc4\x91\xe1\xbb\x93ng \xc3\xbd");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "lastUpdatedBy"),
			    "arn:aws:iam::000000000000:user/tester");
	assert_string_equal(take(w, "Make").action, "After");
	assert_string_equal(answer(w, token, "Approved"),
			    "ApprovalAlreadyCompletedException");
	assert_string_equal(answer(w, token, "Rejected"),
			    "ApprovalAlreadyCompletedException");
	assert_string_equal(execution_state(w, "p", e), "InProgress");
}

static void rejection_fails_the_execution(void **state)
{
	struct world *w = *state;
	const char *e = begin(w,
			      "{'name':'Gate','actions':[" APPROVAL(
				      "Ask", "1", "") "]},"
						      "{'name':'Last','actions':[" BUILD(
							      "Z", "1") "]}");

	assert_string_equal(answer(w, token_of(w), "Rejected"), "ok");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "status"), "Failed");
	assert_string_equal(stage_state(w, "p", "Gate"), "Failed");
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_null(poll_one(w, "Make").id);
}

static void stale_and_foreign_tokens_approve_nothing(void **state)
{
	struct world *w = *state;
	const char *first, *second;

	begin(w, "{'name':'Gate','actions':[" APPROVAL("Ask", "1", "") "," APPROVAL(
			 "Other", "1", "") "]}");
	first = token_of(w);
	assert_string_equal(answer(w, "00000000-0000-4000-8000-000000000000", "Approved"),
			    "InvalidApprovalTokenException");
	assert_string_equal(
		answer(w, action_state(w, "p", "Gate", "Other", "token"), "Approved"),
		"InvalidApprovalTokenException");
	assert_string_equal(answer(w, first, "Rejected"), "ok");
	call(w, "PutApprovalResult",
	     "{'pipelineName':'p','stageName':'Gate','actionName':'Other','token':'%s',"
	     "'result':{'status':'Approved','summary':''}}",
	     action_state(w, "p", "Gate", "Other", "token"));
	start(w, "p");
	work(w, "Src");
	second = token_of(w);
	assert_string_not_equal(first, second);
	assert_string_equal(answer(w, first, "Approved"),
			    "InvalidApprovalTokenException");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "status"), "InProgress");
	assert_string_equal(answer(w, second, "Approved"), "ok");
}

static void approval_of_unknown_things_names_them(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *pipeline, *stage, *action, *code;
	} cases[] = {
		{ "none", "Gate", "Ask", "PipelineNotFoundException" },
		{ "p", "None", "Ask", "StageNotFoundException" },
		{ "p", "Gate", "None", "ActionNotFoundException" },
		{ "p", "Source", "S", "InvalidApprovalTokenException" },
	};

	begin(w, "{'name':'Gate','actions':[" APPROVAL("Ask", "1", "") "]}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(
			fails(w, "PutApprovalResult",
			      "{'pipelineName':'%s','stageName':'%s','actionName':"
			      "'%s','token':'%s','result':{'status':'Approved',"
			      "'summary':''}}",
			      cases[i].pipeline, cases[i].stage, cases[i].action,
			      token_of(w)),
			cases[i].code);
}

static void unanswered_approval_fails_after_its_time(void **state)
{
	struct world *w = *state;
	const char *e = begin(w,
			      "{'name':'Gate','actions':[" APPROVAL("Ask", "1", "") "]}"),
		   *token = token_of(w);

	pass_time(w, 7 * DAY - 1);
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	/* The engine's timer may be a moment late; the token is not. */
	w->now_ms++;
	assert_string_equal(answer(w, token, "Approved"),
			    "InvalidApprovalTokenException");
	pass_time(w, 0);
	assert_string_equal(execution_state(w, "p", e), "Failed");
	assert_string_equal(action_state(w, "p", "Gate", "Ask", "errorDetails.code"),
			    "Timeout");
	assert_string_equal(answer(w, token, "Approved"),
			    "InvalidApprovalTokenException");
}

static void approval_may_have_its_own_limit(void **state)
{
	struct world *w = *state;
	const char *e = begin(w, "{'name':'Gate','actions':[" APPROVAL(
					 "Ask", "1", ",'timeoutInMinutes':5") "]}");

	pass_time(w, 299 * SECOND);
	assert_string_equal(execution_state(w, "p", e), "InProgress");
	pass_time(w, SECOND);
	assert_string_equal(execution_state(w, "p", e), "Failed");
}

static void token_of_a_parallel_execution_is_its_external_id(void **state)
{
	struct world *w = *state;
	CLEAN(free)
	char *input = declare(
		"p", "PARALLEL",
		"[" SOURCE ",{'name':'Gate','actions':[" APPROVAL("Ask", "1", "") "]}]");
	const char *path =
		"actionExecutionDetails[0].output.executionResult.externalExecutionId";
	struct json_object *o;

	call(w, "CreatePipeline", "%s", input);
	work(w, "Src");
	assert_string_equal(token_of(w), "");
	o = call(w, "ListActionExecutions", "{'pipelineName':'p'}");
	assert_string_equal(answer(w, text_at(o, path), "Approved"), "ok");
	o = call(w, "ListActionExecutions", "{'pipelineName':'p'}");
	assert_null(at(o, path));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(approval_holds_the_next_action_and_stage),
		T(rejection_fails_the_execution),
		T(stale_and_foreign_tokens_approve_nothing),
		T(approval_of_unknown_things_names_them),
		T(unanswered_approval_fails_after_its_time),
		T(approval_may_have_its_own_limit),
		T(token_of_a_parallel_execution_is_its_external_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
