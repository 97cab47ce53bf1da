/* Starts that come from sources: revisions that are put, pushes, objects, schedules
 * (semantics E12, E13, E15). */
#include "tests/unit/engine_world.h"

#include "emulator/engine/triggers.h"

static int setup(void **state)
{
	struct world *w = world_new(15);

	create_types(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* ---- PutActionRevision ---- */

#define PUT                                                                              \
	"{'pipelineName':'p','stageName':'%s','actionName':'%s','actionRevision':"       \
	"{'revisionId':'%s','revisionChangeId':'1','created':1700000000}}"

/* The answer: "new <id>" or "old <id>". */
static char *put(struct world *w, const char *stage, const char *action,
		 const char *revision)
{
	struct json_object *out = call(w, "PutActionRevision", PUT, stage, action,
				       revision);

	return mh_format("%s %s",
			 json_opt_bool(out, "newRevision", false) ? "new" : "old",
			 text_at(out, "pipelineExecutionId"));
}

static int64_t executions(struct world *w)
{
	return count_rows(w, "SELECT count(*) FROM executions");
}

static void a_new_revision_starts_an_execution_and_a_known_one_does_not(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *first = NULL, *again = NULL, *other = NULL, *taken = NULL;
	const char *id = create_pipeline(w, "p", "QUEUED");
	struct handed job = take(w, "Src");
	struct json_object *e;

	call(w, "PutJobSuccessResult",
	     "{'jobId':'%s','currentRevision':{'revision':'r0','changeIdentifier':'c'}}",
	     job.id);
	/* what an execution took already */
	taken = put(w, "Source", "S", "r0");
	assert_string_equal(taken + 4, id);
	assert_int_equal(strncmp(taken, "old", 3), 0);
	assert_int_equal(executions(w), 1);

	first = put(w, "Source", "S", "r1");
	assert_int_equal(strncmp(first, "new", 3), 0);
	assert_int_equal(executions(w), 2);
	e = call(w, "GetPipelineExecution",
		 "{'pipelineName':'p','pipelineExecutionId':'%s'}", first + 4);
	assert_string_equal(text_at(e, "pipelineExecution.trigger.triggerType"),
			    "PutActionRevision");
	assert_string_equal(text_at(e, "pipelineExecution.trigger.triggerDetail"),
			    "arn:aws:iam::000000000000:user/tester");
	again = put(w, "Source", "S", "r1");
	assert_int_equal(strncmp(again, "old", 3), 0);
	assert_string_equal(again + 4, first + 4);
	other = put(w, "Source", "S", "r2");
	assert_int_equal(strncmp(other, "new", 3), 0);
	assert_int_equal(executions(w), 3);
}

static void revisions_are_put_for_source_actions_that_are_there(void **state)
{
	struct world *w = *state;

	assert_string_equal(fails(w, "PutActionRevision", PUT, "Source", "S", "r"),
			    "PipelineNotFoundException");
	create_pipeline(w, "p", "SUPERSEDED");
	assert_string_equal(fails(w, "PutActionRevision", PUT, "None", "S", "r"),
			    "StageNotFoundException");
	assert_string_equal(fails(w, "PutActionRevision", PUT, "Source", "None", "r"),
			    "ActionNotFoundException");
	assert_string_equal(fails(w, "PutActionRevision", PUT, "Build", "B", "r"),
			    "ValidationException");
	assert_int_equal(executions(w), 1);
}

static void too_many_executions_refuse_a_revision(void **state)
{
	struct world *w = *state;

	create_pipeline(w, "p", "QUEUED");
	for (int i = 1; i < 50; i++)
		start(w, "p");
	assert_string_equal(fails(w, "PutActionRevision", PUT, "Source", "S", "r"),
			    "ConcurrentPipelineExecutionsLimitExceededException");
}

static void a_deleted_pipelines_revisions_are_forgotten(void **state)
{
	struct world *w = *state;
	CLEAN(free) char *before = NULL, *after = NULL;

	create_pipeline(w, "p", "SUPERSEDED");
	before = put(w, "Source", "S", "r1");
	call(w, "DeletePipeline", "{'name':'p'}");
	create_pipeline(w, "p", "SUPERSEDED");
	after = put(w, "Source", "S", "r1");
	assert_int_equal(strncmp(after, "new", 3), 0);
	assert_string_not_equal(before, after);
}

/* ---- the filters of triggers ---- */

#define PUSH(entry) "{\"push\":[" entry "]}"
#define PULL(entry) "{\"pullRequest\":[" entry "]}"
#define OPENED      "OPEN", "feature"

static const struct {
	const char *git, *branch, *tag, *pull, *source;
	const char *files; /* JSON */
	bool created, matches;
} filter_rows[] = {
	/* no filters: pushes to the action's own branch, main */
	{ "{}", "main", NULL, NULL, NULL, NULL, false, true },
	{ "{}", "other", NULL, NULL, NULL, NULL, false, false },
	{ "{}", NULL, "v1", NULL, NULL, NULL, false, false },
	{ "{}", "main", NULL, OPENED, NULL, false, false },
	{ PUSH("{}"), "any", NULL, NULL, NULL, NULL, false, true },
	{ PUSH("{}"), NULL, "v1", NULL, NULL, NULL, false, false },
	/* a kind that is not declared starts nothing */
	{ PULL("{}"), "main", NULL, NULL, NULL, NULL, false, false },
	{ PUSH("{}"), "main", NULL, OPENED, NULL, false, false },
	/* entries are alternatives, their parts are not */
	{ PUSH("{\"branches\":{\"includes\":[\"a\"]}},{\"tags\":{\"includes\":[\"v*\"]}"
	       "}"),
	  "a", NULL, NULL, NULL, NULL, false, true },
	{ PUSH("{\"branches\":{\"includes\":[\"a\"]}},{\"tags\":{\"includes\":[\"v*\"]}"
	       "}"),
	  NULL, "v1", NULL, NULL, NULL, false, true },
	{ PUSH("{\"branches\":{\"includes\":[\"a\"]}},{\"tags\":{\"includes\":[\"v*\"]}"
	       "}"),
	  "b", NULL, NULL, NULL, NULL, false, false },
	/* excludes win; without includes all are in */
	{ PUSH("{\"branches\":{\"excludes\":[\"a*\"]}}"), "b", NULL, NULL, NULL, NULL,
	  false, true },
	{ PUSH("{\"branches\":{\"excludes\":[\"a*\"]}}"), "ab", NULL, NULL, NULL, NULL,
	  false, false },
	{ PUSH("{\"branches\":{\"includes\":[\"a*\"],\"excludes\":[\"ab\"]}}"), "ab",
	  NULL, NULL, NULL, NULL, false, false },
	/* files */
	{ PUSH("{\"branches\":{},\"filePaths\":{\"includes\":[\"src/**\"]}}"), "a", NULL,
	  NULL, NULL, "[\"docs/a\",\"src/b\"]", false, true },
	{ PUSH("{\"branches\":{},\"filePaths\":{\"includes\":[\"src/**\"]}}"), "a", NULL,
	  NULL, NULL, "[\"docs/a\"]", false, false },
	{ PUSH("{\"branches\":{},\"filePaths\":{\"includes\":[\"src/**\"]}}"), "a", NULL,
	  NULL, NULL, "[\"src/b\"]", true, false },
	{ PUSH("{\"branches\":{},\"filePaths\":{\"includes\":[\"src/**\"]}}"), "a", NULL,
	  NULL, NULL, NULL, false, false },
	{ PUSH("{\"branches\":{},\"filePaths\":{\"excludes\":[\"docs/**\"]}}"), "a", NULL,
	  NULL, NULL, "[\"docs/a\"]", false, false },
	/* pull requests */
	{ PULL("{}"), "main", NULL, OPENED, NULL, false, true },
	{ PULL("{\"events\":[\"CLOSED\"]}"), "main", NULL, OPENED, NULL, false, false },
	{ PULL("{\"events\":[\"CLOSED\",\"OPEN\"]}"), "main", NULL, OPENED, NULL, false,
	  true },
	{ PULL("{\"branches\":{\"includes\":[\"feature\"]}}"), "main", NULL, OPENED, NULL,
	  false, false },
	{ PULL("{\"branches\":{\"includes\":[\"main\"]}}"), "main", NULL, OPENED, NULL,
	  false, true },
};

static struct json_object *parsed(const char *text)
{
	struct json_object *o = NULL;
	struct mh_err err;

	if (text)
		assert_ok(json_parse(text, strlen(text), &o, &err), &err);
	return o;
}

static void filters_of_triggers_decide_as_they_are_documented(void **state)
{
	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(filter_rows); i++) {
		CLEAN(json) struct json_object *git = parsed(filter_rows[i].git);
		CLEAN(json) struct json_object *files = parsed(filter_rows[i].files);
		const struct git_event e = {
			.repository = "me/app",
			.branch = filter_rows[i].branch,
			.tag = filter_rows[i].tag,
			.pull_request = filter_rows[i].pull,
			.source_branch = filter_rows[i].source,
			.commit = "c0ffee",
			.created = filter_rows[i].created,
			.files = files,
		};

		if (trigger_matches(git, "main", &e) != filter_rows[i].matches)
			fail_msg("row %zu: %s", i, filter_rows[i].git);
	}
}

/* ---- what deployments tell ---- */

static void a_deployment_has_no_single_targets(void **state)
{
	struct world *w = *state;
	const char *id;

	create_pipeline(w, "p", "SUPERSEDED");
	id = text_at(call(w, "ListActionExecutions", "{'pipelineName':'p'}"),
		     "actionExecutionDetails[0].actionExecutionId");
	assert_string_equal(json_text(call(w, "ListDeployActionExecutionTargets",
					   "{'pipelineName':'p','actionExecutionId':"
					   "'%s','filters':[{'name':'TARGET_STATUS',"
					   "'values':['Failed']}]}",
					   id)),
			    "{\"targets\":[]}");
	call(w, "ListDeployActionExecutionTargets", "{'actionExecutionId':'%s'}", id);
	assert_string_equal(fails(w, "ListDeployActionExecutionTargets",
				  "{'pipelineName':'q','actionExecutionId':'%s'}", id),
			    "PipelineNotFoundException");
	assert_string_equal(fails(w, "ListDeployActionExecutionTargets",
				  "{'pipelineName':'p','actionExecutionId':'x'}"),
			    "ActionExecutionNotFoundException");
	assert_string_equal(fails(w, "ListDeployActionExecutionTargets",
				  "{'actionExecutionId':'%s','nextToken':'AAAA'}", id),
			    "InvalidNextTokenException");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_new_revision_starts_an_execution_and_a_known_one_does_not,
			setup, teardown),
		cmocka_unit_test_setup_teardown(
			revisions_are_put_for_source_actions_that_are_there, setup,
			teardown),
		cmocka_unit_test_setup_teardown(too_many_executions_refuse_a_revision,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_deleted_pipelines_revisions_are_forgotten, setup, teardown),
		cmocka_unit_test(filters_of_triggers_decide_as_they_are_documented),
		cmocka_unit_test_setup_teardown(a_deployment_has_no_single_targets, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("engine_sources", tests, NULL, NULL);
}
