/* A world for tests of conditions: a pipeline whose second stage has some. */
#ifndef MH_TESTS_UNIT_CONDITIONS_WORLD_H
#define MH_TESTS_UNIT_CONDITIONS_WORLD_H

#include "tests/unit/engine_world.h"

static inline int setup(void **state)
{
	struct world *w = world_new(12);

	create_types(w);
	offer_rules(w);
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	world_free(*state);
	return 0;
}

#define ACTION(name, category, provider, more)                                           \
	"{'name':'" name "','actionTypeId':{'category':'" category                       \
	"','owner':'Custom','provider':'" provider "','version':'1'}" more "}"
#define LAMBDA(name) RULE(name, "LambdaInvoke", "'FunctionName':'f'")
#define ALARM        RULE("R", "CloudWatchAlarm", "'AlarmName':'a','WaitTime':'10'")

/* Source -> Build, with these gates ("'beforeEntry':...") -> Deploy. */
static inline const char *create_in(struct world *w, const char *mode, const char *gates)
{
	CLEAN(free)
	char *stages = mh_format(
		"[{'name':'Source','actions':[" ACTION(
			"S", "Source", "Src",
			",'namespace':'src','outputArtifacts':[{'name':'Code'}"
			"]") "]},"
			     "{'name':'Build','actions':[" ACTION(
				     "B", "Build", "Make",
				     "") "],%s},"
					 "{'name':'Deploy','actions':[" ACTION(
						 "D", "Deploy", "Ship", "") "]}]",
		gates);
	CLEAN(free) char *input = declare("p", mode, stages);

	call(w, "CreatePipeline", "%s", input);
	return newest(w, "p");
}

static inline const char *create(struct world *w, const char *gates)
{
	return create_in(w, "SUPERSEDED", gates);
}

static inline void produce(struct world *w, const char *value)
{
	struct handed job = take(w, "Src");

	call(w, "PutJobSuccessResult", "{'jobId':'%s','outputVariables':{'v':'%s'}}",
	     job.id, value);
}

static inline const char *condition(struct world *w, const char *which, const char *path)
{
	struct json_object *state = at(call(w, "GetPipelineState", "{'name':'p'}"),
				       "stageStates[1]");
	CLEAN(free) char *full = mh_format("%sConditionState.%s", which, path);
	struct json_object *o = at(state, full);

	return o ? json_object_get_string(o) : "";
}

#define STATUS "latestExecution.status"
#define RULES  "conditionStates[0].ruleStates[0]."

static inline const char * override(struct world *w, const char *id, const char *type)
{
	CLEAN(free)
	char *input = mh_format("{'pipelineName':'p','stageName':'Build',"
				"'pipelineExecutionId':'%s','conditionType':'%s'}",
				id, type);

	return try_call(w, "OverrideStageCondition", input) ? "" : w->error.code;
}

static inline const char *retry(struct world *w, const char *id, const char *mode)
{
	CLEAN(free)
	char *input = mh_format("{'pipelineName':'p','stageName':'Build',"
				"'pipelineExecutionId':'%s','retryMode':'%s'}",
				id, mode);

	return try_call(w, "RetryStageExecution", input) ? "" : w->error.code;
}

static inline void stop(struct world *w, const char *id, const char *abandon)
{
	call(w, "StopPipelineExecution",
	     "{'pipelineName':'p','pipelineExecutionId':'%s','abandon':%s}", id, abandon);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
