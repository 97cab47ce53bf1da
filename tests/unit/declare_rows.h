/*
 * One row for each rule: edits of the base pipeline (tests/unit/declare_types.h) that
 * break it, and the error with its words. A table: longer than other files.
 */
#ifndef MH_TESTS_UNIT_DECLARE_ROWS_H
#define MH_TESTS_UNIT_DECLARE_ROWS_H

#include "tests/unit/declare_world.h"

#define ACTION    "InvalidActionDeclarationException"
#define STAGE     "InvalidStageDeclarationException"
#define STRUCTURE "InvalidStructureException"
#define APPROVAL                                                                         \
	"{\"name\":\"Ok\",\"actionTypeId\":{\"category\":\"Approval\",\"owner\":"        \
	"\"AWS\","                                                                       \
	"\"provider\":\"Manual\",\"version\":\"1\"}}"
#define S3_SOURCE(name, artifact)                                                        \
	"{\"name\":\"" name                                                              \
	"\",\"actionTypeId\":{\"category\":\"Source\",\"owner\":\"AWS\","                \
	"\"provider\":\"S3\",\"version\":\"1\"},\"configuration\":{\"S3Bucket\":\"b\","  \
	"\"S3ObjectKey\":\"k\"},\"outputArtifacts\":[{\"name\":\"" artifact "\"}]}"
#define MAKE(name, more)                                                                 \
	"{\"name\":\"" name                                                              \
	"\",\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\","              \
	"\"provider\":\"Make\",\"version\":\"1\"},\"configuration\":{\"Target\":\"t\","  \
	"\"Queue\":\"q\"}" more "}"
#define AWS_ACTION(category, provider, more)                                             \
	"{\"name\":\"A\",\"actionTypeId\":{\"category\":\"" category                     \
	"\",\"owner\":\"AWS\","                                                          \
	"\"provider\":\"" provider "\",\"version\":\"1\"}" more "}"
#define CONDITION(result, rule)                                                          \
	"{\"conditions\":[{\"result\":\"" result "\",\"rules\":[" rule "]}]}"
#define RULE(provider, more)                                                             \
	"{\"name\":\"r\",\"ruleTypeId\":{\"category\":\"Rule\",\"provider\":\"" provider \
	"\"}" more "}"
#define COMPARE(variable, op, value)                                                     \
	RULE("VariableCheck", ",\"configuration\":{\"Variable\":\"" variable             \
			      "\",\"Operator\":\"" op "\",\"Value\":\"" value "\"}")
#define COMPARED COMPARE("x", "EQ", "y")
#define WINDOW   RULE("DeploymentWindow", ",\"configuration\":{\"Cron\":\"* * 9 ? * *\"}")
#define TRIGGER(source, more)                                                            \
	"{\"providerType\":\"CodeStarSourceConnection\",\"gitConfiguration\":"           \
	"{\"sourceActionName\":\"" source "\"" more "}}"

struct row {
	struct edit edits[EDITS_MAX];
	const char *code; /* NULL: accepted */
	const char *message;
};

static const struct row rows[] = {
	{ { { "/name", "\"P\"" } }, NULL, NULL },

	/* stages */
	{ { { "/stages", "[{\"name\":\"S\",\"actions\":[" S3_SOURCE("A", "x") "]}]" } },
	  STRUCTURE,
	  "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a "
	  "pipeline" },
	{ { { "/stages", "[]" } },
	  STRUCTURE,
	  "Pipeline has only 0 stage(s). There should be a minimum of 2 stages in a "
	  "pipeline" },
	{ { { "/stages/0/actions/-", MAKE("M", "") } },
	  STRUCTURE,
	  "Pipeline should start with a stage that only contains source actions" },
	{ { { "/stages/0/actions", "[" APPROVAL "]" } },
	  STRUCTURE,
	  "Pipeline should start with a stage that only contains source actions" },
	{ { { "/stages/0/actions", "[]" } },
	  STRUCTURE,
	  "Pipeline should start with a stage that only contains source actions" },
	{ { { "/stages/1/actions/-", S3_SOURCE("A", "x") } },
	  STRUCTURE,
	  "Source actions can only be included in the first stage of the pipeline" },
	{ { { "/stages", "[{\"name\":\"S\",\"actions\":[" S3_SOURCE(
				 "A", "x") "]},"
					   "{\"name\":\"T\",\"actions\":[" S3_SOURCE(
						   "B", "y") "]}]" } },
	  STRUCTURE,
	  "Pipeline should contain at least 1 action whose category is not Source" },
	{ { { "/stages/1/name", "\"Deploy\"" } },
	  STAGE,
	  "Stage name 'Deploy' is used more than once" },
	{ { { "/stages/2/actions", "[]" } },
	  STAGE,
	  "Stage 'Deploy' should have at least 1 action" },
	{ { { "/stages/1/blockers", "[{\"name\":\"b\",\"type\":\"Schedule\"}]" } },
	  "InvalidBlockerDeclarationException",
	  "Stage 'Build' declares blockers, which are reserved for future use" },
	{ { { "/stages/1/blockers", "[]" } }, NULL, NULL },

	/* names and types */
	{ { { "/stages/1/actions/-", MAKE("Make", "") } },
	  ACTION,
	  "Action name 'Make' is used more than once in stage 'Build'" },
	{ { { "/stages/2/actions/0/name", "\"Make\"" } },
	  NULL,
	  NULL }, /* of another stage */
	{ { { "/stages/1/actions/0/actionTypeId/version", "\"2\"" },
	    { "/stages/1/actions/0/actionTypeId/provider", "\"Other\"" } },
	  ACTION,
	  "ActionType (Category: 'Build', Provider: 'Other', Owner: 'Custom', Version: "
	  "'2') in "
	  "action 'Make' is not available in region 'US_EAST_1'" },
	{ { { "/stages/2/actions/0/actionTypeId/category", "\"Test\"" } },
	  ACTION,
	  "ActionType (Category: 'Test', Provider: 'S3', Owner: 'AWS', Version: '1') in "
	  "action "
	  "'Ship' is not available in region 'US_EAST_1'" },

	/* configuration */
	{ { { MAKE_CONFIG "/Target", NULL } },
	  ACTION,
	  "Action configuration for action 'Make' is missing required configuration "
	  "'Target'" },
	{ { { "/stages/2/actions/0/configuration", NULL } },
	  ACTION,
	  "Action configuration for action 'Ship' is missing required configuration "
	  "'BucketName'" },
	{ { { MAKE_CONFIG "/Targets", "\"x\"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains unknown configuration "
	  "'Targets'" },
	{ { { "/stages/2/actions/0/configuration/Bucket", "\"x\"" } },
	  ACTION,
	  "Action configuration for action 'Ship' contains unknown configuration "
	  "'Bucket'" },
	{ { { MAKE_CONFIG "/Jobs", "\"four\"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains a value for 'Jobs' that is "
	  "not a "
	  "number" },
	{ { { MAKE_CONFIG "/Jobs", "\"4 \"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains a value for 'Jobs' that is "
	  "not a "
	  "number" },
	{ { { MAKE_CONFIG "/Jobs", "\"4.5\"" }, { MAKE_CONFIG "/Loud", "\"false\"" } },
	  NULL,
	  NULL },
	{ { { MAKE_CONFIG "/Jobs", "\"#{SrcVars.N}\"" } }, NULL, NULL },
	{ { { MAKE_CONFIG "/Loud", "\"yes\"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains a value for 'Loud' that is "
	  "neither "
	  "'true' nor 'false'" },
	{ { { MAKE_CONFIG "/Queue", "\"12345678901234567890\"" } }, NULL, NULL },
	{ { { MAKE_CONFIG "/Queue", "\"123456789012345678901\"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains an invalid value for the "
	  "queryable "
	  "property 'Queue': at most 20 characters of a-z, A-Z, 0-9, _ and - are "
	  "allowed" },
	{ { { MAKE_CONFIG "/Queue", "\"a b\"" } },
	  ACTION,
	  "Action configuration for action 'Make' contains an invalid value for the "
	  "queryable "
	  "property 'Queue': at most 20 characters of a-z, A-Z, 0-9, _ and - are "
	  "allowed" },
	{ { { MAKE_CONFIG "/Queue", "\"#{SrcVars.ThisNameIsLonger}\"" } }, NULL, NULL },

	/* members of some types alone */
	{ { { "/stages/1/actions/-", AWS_ACTION("Compute", "Commands", "") } },
	  ACTION,
	  "Action A must have a non-empty commands field" },
	{ { { "/stages/1/actions/-",
	      AWS_ACTION("Compute", "Commands",
			 ",\"commands\":[\"ls\"],\"inputArtifacts\":[{\"name\":"
			 "\"SrcOut\"}]") } },
	  NULL,
	  NULL },
	{ { { "/stages/1/actions/0/commands", "[\"ls\"]" } },
	  ACTION,
	  "Action Make has a commands field, which only Commands actions may have" },
	{ { { "/stages/1/actions/0/timeoutInMinutes", "5" } },
	  ACTION,
	  "Action Make has a timeoutInMinutes field, which only approval actions may "
	  "have" },
	{ { { "/stages/1/actions/-", APPROVAL },
	    { "/stages/1/actions/1/timeoutInMinutes", "5" } },
	  NULL,
	  NULL },

	/* artifact counts */
	{ { { "/stages/2/actions/0/inputArtifacts", "[]" } },
	  ACTION,
	  "Action Ship declares 0 input artifacts which is less than the minimum count "
	  "(1)" },
	{ { { "/stages/2/actions/0/inputArtifacts",
	      "[{\"name\":\"Dist\"},{\"name\":\"SrcOut\"}]" } },
	  ACTION,
	  "Action Ship declares 2 input artifacts which is more than the maximum count "
	  "(1)" },
	{ { { "/stages/2/actions/0/outputArtifacts", "[{\"name\":\"More\"}]" } },
	  ACTION,
	  "Action Ship declares 1 output artifacts which is more than the maximum count "
	  "(0)" },
	{ { { "/stages/0/actions/0/outputArtifacts", "[]" },
	    { "/stages/1/actions/0/inputArtifacts", "[]" } },
	  ACTION,
	  "Action Src declares 0 output artifacts which is less than the minimum count "
	  "(1)" },

	/* artifacts */
	{ { { "/stages/1/actions/0/outputArtifacts", "[{\"name\":\"SrcOut\"}]" } },
	  ACTION,
	  "Output Artifact Bundle name must be unique within the pipeline. SrcOut has "
	  "been used "
	  "more than once." },
	{ { { "/stages/1/actions/0/inputArtifacts", "[{\"name\":\"Nothing\"}]" } },
	  ACTION,
	  "Input Artifact Bundle Nothing in action Make is not declared as Output "
	  "Artifact Bundle "
	  "in any of the preceding actions" },
	{ { { "/stages/1/actions/0/inputArtifacts",
	      "[{\"name\":\"Dist\"}]" } }, /* its own */
	  ACTION,
	  "Input Artifact Bundle Dist in action Make is not declared as Output Artifact "
	  "Bundle in "
	  "any of the preceding actions" },
	{ { { "/stages/1/actions/-",
	      MAKE("Twin", ",\"inputArtifacts\":[{\"name\":\"Dist\"}]") } },
	  ACTION, /* equal run order: at the same time */
	  "Input Artifact Bundle Dist in action Twin is not declared as Output Artifact "
	  "Bundle in "
	  "any of the preceding actions" },
	{ { { "/stages/1/actions/-",
	      MAKE("Next",
		   ",\"runOrder\":2,\"inputArtifacts\":[{\"name\":\"Dist\"}]") } },
	  NULL,
	  NULL },
	{ { { "/stages/1/actions/0/inputArtifacts",
	      "[{\"name\":\"SrcOut\"},{\"name\":\"SrcOut\"}]" } },
	  ACTION,
	  "Input Artifact Bundle SrcOut is used more than once in action Make" },

	/* stores and regions */
	{ { { "/artifactStore", NULL } },
	  STRUCTURE,
	  "Pipeline must have either 'pipeline.artifactStore' or "
	  "'pipeline.artifactStores', and "
	  "not both" },
	{ { { "/artifactStores",
	      "{\"us-east-1\":{\"type\":\"S3\",\"location\":\"bbb\"}}" } },
	  STRUCTURE,
	  "Pipeline must have either 'pipeline.artifactStore' or "
	  "'pipeline.artifactStores', and "
	  "not both" },
	{ { { "/artifactStore", NULL },
	    { "/artifactStores",
	      "{\"us-west-2\":{\"type\":\"S3\",\"location\":\"bbb\"}}" } },
	  STRUCTURE,
	  "Your pipeline must have an artifact store, such as an artifact bucket, for "
	  "each region "
	  "where you have an action. The following region is missing in "
	  "'pipeline.artifactStores': us-east-1." },
	{ { { "/stages/2/actions/0/region", "\"us-west-2\"" } },
	  STRUCTURE,
	  "Your pipeline contains actions in more than one region. Use "
	  "'pipeline.artifactStores' "
	  "instead of 'pipeline.artifactStore' to declare an artifact store, such as an "
	  "artifact "
	  "bucket, for each region where you have an action." },
	{ { { "/stages/2/actions/0/region", "\"us-east-1\"" } }, NULL, NULL },
	{ { { "/artifactStore", NULL },
	    { "/artifactStores",
	      "{\"us-east-1\":{\"type\":\"S3\",\"location\":\"bbb\"},"
	      "\"us-west-2\":{\"type\":\"S3\",\"location\":\"ccc\"}}" },
	    { "/stages/2/actions/0/region", "\"us-west-2\"" } },
	  NULL,
	  NULL },
	{ { { "/artifactStore", NULL },
	    { "/artifactStores",
	      "{\"us-east-1\":{\"type\":\"S3\",\"location\":\"bbb\"},"
	      "\"us-west-2\":{\"type\":\"S3\",\"location\":\"ccc\"}}" },
	    { "/stages/1/actions/0/region", "\"us-west-2\"" } },
	  ACTION,
	  "Action Make cannot be in region us-west-2: source, custom and third-party "
	  "actions run in "
	  "the region of their pipeline" },

	/* V1 */
	{ { { "/pipelineType", "\"V1\"" } }, NULL, NULL },
	{ { { "/pipelineType", NULL }, { "/executionMode", "\"QUEUED\"" } },
	  STRUCTURE,
	  "QUEUED or PARALLEL mode can only be used with V2 pipelines" },
	{ { { "/pipelineType", "\"V1\"" }, { "/executionMode", "\"PARALLEL\"" } },
	  STRUCTURE,
	  "QUEUED or PARALLEL mode can only be used with V2 pipelines" },
	{ { { "/executionMode", "\"PARALLEL\"" } }, NULL, NULL },
	{ { { "/pipelineType", "\"V1\"" }, { "/variables", "[{\"name\":\"v\"}]" } },
	  STRUCTURE,
	  "Pipeline variable can only be used with V2 pipelines" },
	{ { { "/pipelineType", "\"V1\"" }, { "/triggers", "[" TRIGGER("Src", "") "]" } },
	  STRUCTURE,
	  "Triggers on tag can only be used with V2 pipelines" },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/variables", "[]" },
	    { "/triggers", "[]" } },
	  NULL,
	  NULL },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/onFailure", "{\"result\":\"ROLLBACK\"}" } },
	  STAGE,
	  "Stage level conditions can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/beforeEntry", CONDITION("FAIL", COMPARED) } },
	  STAGE,
	  "Stage level conditions can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED) } },
	  STAGE,
	  "Stage level conditions can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/actions/-", AWS_ACTION("Compute", "Commands", "") } },
	  ACTION,
	  "Commands Action can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/actions/-", AWS_ACTION("Build", "ECRBuildAndPublish", "") } },
	  ACTION,
	  "ECRBuildAndPublish Action can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/actions/-", AWS_ACTION("Deploy", "EKS", "") } },
	  ACTION,
	  "EKS Action can only be used with V2 pipelines." },

	/* conditions */
	{ { { "/stages/1/onFailure", "{\"result\":\"ROLLBACK\"}" } }, NULL, NULL },
	{ { { "/stages/1/onFailure", "{\"result\":\"RETRY\",\"retryConfiguration\":"
				     "{\"retryMode\":\"ALL_ACTIONS\"}}" } },
	  NULL,
	  NULL },
	{ { { "/stages/1/onFailure", CONDITION("ROLLBACK", WINDOW) } }, NULL, NULL },
	{ { { "/stages/1/beforeEntry", CONDITION("SKIP", COMPARED) } }, NULL, NULL },
	{ { { "/executionMode", "\"PARALLEL\"" },
	    { "/stages/1/onFailure", "{\"result\":\"ROLLBACK\"}" } },
	  STAGE,
	  "Failure conditions with rollback result type cannot be added to a PARALLEL "
	  "pipeline." },
	{ { { "/executionMode", "\"PARALLEL\"" },
	    { "/stages/1/onFailure", CONDITION("ROLLBACK", COMPARED) } },
	  STAGE,
	  "Failure conditions with rollback result type cannot be added to a PARALLEL "
	  "pipeline." },
	{ { { "/stages/1/onFailure", CONDITION("ROLLBACK", COMPARED) },
	    { "/stages/1/onFailure/result", "\"RETRY\"" } },
	  STAGE,
	  "The following stage cannot have a failure exit gate configured with both top "
	  "level "
	  "result and conditions: 'Build'" },
	{ { { "/stages/1/onFailure", "{\"result\":\"SKIP\"}" } },
	  STAGE,
	  "Stage 'Build' declares the failure result SKIP, which is not available "
	  "there" },
	{ { { "/stages/1/onSuccess", CONDITION("SKIP", COMPARED) } },
	  STAGE,
	  "Stage 'Build' declares a onSuccess condition with the result SKIP, which is "
	  "not "
	  "available there" },
	{ { { "/stages/1/beforeEntry", CONDITION("ROLLBACK", COMPARED) } },
	  STAGE,
	  "Stage 'Build' declares a beforeEntry condition with the result ROLLBACK, "
	  "which is not "
	  "available there" },
	{ { { "/stages/1/beforeEntry", CONDITION("SKIP", WINDOW) } },
	  STAGE,
	  "Stage 'Build' declares the rule 'r' of type DeploymentWindow in a condition "
	  "with the "
	  "result SKIP; only LambdaInvoke and VariableCheck are available there" },

	/* rules */
	{ { { "/stages/1/beforeEntry",
	      "{\"conditions\":[{\"rules\":[" COMPARED "]}]}" } },
	  STAGE,
	  "Stage 'Build' declares a beforeEntry condition without a result" },
	{ { { "/stages/1/onSuccess", "{\"conditions\":[{\"result\":\"FAIL\"}]}" } },
	  STAGE,
	  "Stage 'Build' declares a onSuccess condition without rules" },
	{ { { "/stages/1/onFailure", "{\"result\":\"ROLLBACK\",\"retryConfiguration\":"
				     "{\"retryMode\":\"ALL_ACTIONS\"}}" } },
	  STAGE,
	  "Stage 'Build' declares a retryConfiguration, which only the failure result "
	  "RETRY takes" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED "," WINDOW) } },
	  STAGE,
	  "Rule 'r' of the onSuccess condition of stage 'Build': the name is used more "
	  "than once" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED) },
	    { "/stages/1/beforeEntry", CONDITION("FAIL", COMPARED) } },
	  NULL,
	  NULL },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", RULE("Oracle", "")) } },
	  STAGE,
	  "RuleType (Category: 'Rule', Provider: 'Oracle', Owner: 'AWS', Version: '1') "
	  "in rule 'r' is not available in region 'US_EAST_1'" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED) },
	    { "/stages/1/onSuccess/conditions/0/rules/0/ruleTypeId/version", "\"2\"" } },
	  STAGE,
	  "RuleType (Category: 'Rule', Provider: 'VariableCheck', Owner: 'AWS', "
	  "Version: '2') in rule 'r' is not available in region 'US_EAST_1'" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", RULE("LambdaInvoke", "")) } },
	  STAGE,
	  "Rule configuration for rule 'r' is missing required configuration "
	  "'FunctionName'" },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL", RULE("LambdaInvoke", ",\"configuration\":{"
						     "\"FunctionName\":\"f\","
						     "\"Color\":\"red\"}")) } },
	  STAGE,
	  "Rule configuration for rule 'r' contains unknown configuration 'Color'" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARE("x", "LT", "y")) } },
	  STAGE,
	  "Rule 'r' of the onSuccess condition of stage 'Build': Operator is 'LT': it "
	  "must be EQ, NE, CONTAINS or MATCHES" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARE("x", "MATCHES", "(")) } },
	  STAGE,
	  "Rule 'r' of the onSuccess condition of stage 'Build': Value is no regular "
	  "expression that is understood here: pattern '(', character 2: open "
	  "parenthesis" },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL", RULE("DeploymentWindow", ",\"configuration\":{\"Cron\":"
							 "\"* * 25 ? * *\"}")) } },
	  STAGE,
	  "*Cron: " },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL", RULE("DeploymentWindow",
				     ",\"configuration\":{\"Cron\":\"* * 9 ? * *\","
				     "\"TimeZone\":\"Nowhere/Town\"}")) } },
	  STAGE,
	  "*TimeZone: " },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL",
			RULE("CloudWatchAlarm", ",\"configuration\":{\"AlarmName\":\"a\","
						"\"AlarmStates\":\"OK,GOOD\"}")) } },
	  STAGE,
	  "Rule 'r' of the onSuccess condition of stage 'Build': AlarmStates holds "
	  "'GOOD': a state is OK, ALARM or INSUFFICIENT_DATA" },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL",
			RULE("CloudWatchAlarm", ",\"configuration\":{\"AlarmName\":\"a\","
						"\"WaitTime\":\"soon\"}")) } },
	  STAGE,
	  "*WaitTime, in minutes: " },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", RULE("Commands", "")) } },
	  STAGE,
	  "Rule r must have a non-empty commands field" },
	{ { { "/stages/1/onSuccess",
	      CONDITION("FAIL", RULE("Commands", ",\"commands\":[\"ls\"]")) } },
	  NULL,
	  NULL },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED) },
	    { "/stages/1/onSuccess/conditions/0/rules/0/commands", "[\"ls\"]" } },
	  STAGE,
	  "Rule 'r' of the onSuccess condition of stage 'Build': only Commands rules may "
	  "have a commands field" },
	{ { { "/stages/1/onSuccess", CONDITION("FAIL", COMPARED) },
	    { "/stages/1/onSuccess/conditions/0/rules/0/inputArtifacts",
	      "[{\"name\":\"Code\"}]" } },
	  STAGE,
	  "Rule r declares 1 input artifacts which is more than the maximum count (0)" },
	{ { { "/stages/1/beforeEntry",
	      CONDITION("FAIL", RULE("Commands", ",\"commands\":[\"ls\"],"
						 "\"inputArtifacts\":[{\"name\":"
						 "\"Nothing\"}]")) } },
	  STAGE,
	  "Input Artifact Bundle Nothing in rule r is not declared as Output Artifact "
	  "Bundle in any of the preceding actions" },
	{ { { "/stages/1/beforeEntry",
	      CONDITION("FAIL", COMPARE("#{nobody.x}", "EQ", "y")) } },
	  STAGE,
	  "Rule r of stage Build refers to #{nobody.x}, but no action that has run "
	  "before it has that namespace" },
	{ { { "/stages/1/beforeEntry",
	      CONDITION("FAIL", COMPARE("#{variables.v}", "EQ", "y")) } },
	  STAGE,
	  "Rule r of stage Build refers to #{variables.v}, which the pipeline does not "
	  "declare" },
	{ { { "/stages/1/beforeEntry",
	      CONDITION("FAIL", COMPARE("#{codepipeline.Name}", "EQ", "y")) } },
	  STAGE,
	  "Rule r of stage Build refers to #{codepipeline.Name}, which is not one of the "
	  "service's variables" },
	{ { { "/stages/1/actions/0/namespace", "\"built\"" },
	    { "/stages/1/beforeEntry",
	      CONDITION("FAIL", COMPARE("#{built.x}", "EQ", "y")) } },
	  STAGE,
	  "Rule r of stage Build refers to #{built.x}, but no action that has run before "
	  "it has that namespace" },
	{ { { "/stages/1/actions/0/namespace", "\"built\"" },
	    { "/stages/1/onSuccess",
	      CONDITION("FAIL", COMPARE("#{built.x}", "MATCHES", "#{built.y}")) } },
	  NULL,
	  NULL },

	/* variables and namespaces */
	{ { { "/variables", "[{\"name\":\"v\"},{\"name\":\"w\"},{\"name\":\"v\"}]" } },
	  STRUCTURE,
	  "Variable names must be unique. The following variable name is already in use: "
	  "v" },
	{ { { "/variables", "[{\"name\":\"v\"}]" },
	    { MAKE_CONFIG "/Target", "\"#{variables.v}\"" } },
	  NULL,
	  NULL },
	{ { { MAKE_CONFIG "/Target", "\"#{variables.v}\"" } },
	  ACTION,
	  "Action Make refers to #{variables.v}, but the pipeline does not declare the "
	  "variable "
	  "'v'" },
	{ { { "/variables", "[{\"name\":\"v\"}]" },
	    { "/stages/0/actions/0/configuration/BranchName", "\"#{variables.v}\"" } },
	  ACTION,
	  "Action Src refers to #{variables.v}: pipeline variables cannot be used in "
	  "source "
	  "actions" },
	{ { { MAKE_CONFIG "/Target", "\"#{codepipeline.PipelineExecutionId}\"" } },
	  NULL,
	  NULL },
	{ { { MAKE_CONFIG "/Target", "\"#{codepipeline.Other}\"" } },
	  ACTION,
	  "Action Make refers to #{codepipeline.Other}, which is not one of the "
	  "service's "
	  "variables" },
	{ { { MAKE_CONFIG "/Target", "\"a #{SrcVars.CommitId} b #{Nope.x}\"" } },
	  ACTION,
	  "Action Make refers to #{Nope.x}, but no action that is sure to have run "
	  "before it has "
	  "the namespace 'Nope'" },
	{ { { MAKE_CONFIG "/Target", "\"#{Built.x}\"" } }, /* its own */
	  ACTION,
	  "Action Make refers to #{Built.x}, but no action that is sure to have run "
	  "before it has "
	  "the namespace 'Built'" },
	{ { { MAKE_CONFIG "/Target", "\"#{not a reference} #{SrcVars.CommitId}\"" } },
	  NULL,
	  NULL },
	{ { { "/stages/1/actions/0/namespace", "\"codepipeline\"" } },
	  ACTION,
	  "Action Make declares the namespace 'codepipeline', which is reserved" },
	{ { { "/stages/1/actions/0/namespace", "\"variables\"" } },
	  ACTION,
	  "Action Make declares the namespace 'variables', which is reserved" },
	{ { { "/stages/1/actions/0/namespace", "\"SrcVars\"" } },
	  ACTION,
	  "Namespace 'SrcVars' is used more than once; namespaces must be unique within "
	  "the "
	  "pipeline" },
	{ { { "/stages/1/actions/0/namespace", "\"Dist\"" } },
	  ACTION,
	  "Action Make declares the namespace 'Dist', which is the name of an artifact" },

	/* triggers */
	{ { { "/triggers",
	      "[" TRIGGER("Src", ",\"push\":[{\"branches\":{\"includes\":[\"main\"]},"
				 "\"filePaths\":{\"includes\":[\"src/**\"]}},"
				 "{\"tags\":{\"includes\":[\"v*\"]}}]") "]" } },
	  NULL,
	  NULL },
	{ { { "/triggers", "[" TRIGGER("Make", "") "]" } },
	  STRUCTURE,
	  "Triggers for connections must reference a CodeStarSourceConnection action. "
	  "Note that "
	  "when you specify a trigger, you can't specify more than one trigger per "
	  "source "
	  "action." },
	{ { { "/triggers", "[" TRIGGER("Src", "") "," TRIGGER("Src", "") "]" } },
	  STRUCTURE,
	  "Triggers for connections must reference a CodeStarSourceConnection action. "
	  "Note that "
	  "when you specify a trigger, you can't specify more than one trigger per "
	  "source "
	  "action." },
	{ { { "/triggers",
	      "[" TRIGGER("Src", ",\"push\":[{\"tags\":{\"includes\":[\"v\"]},"
				 "\"branches\":{\"includes\":[\"m\"]}}]") "]" } },
	  STRUCTURE,
	  "Trigger for source action 'Src': a push filter cannot combine tags with "
	  "branches or "
	  "filePaths" },
	{ { { "/triggers", "[" TRIGGER("Src", ",\"pullRequest\":[{\"filePaths\":{"
					      "\"includes\":[\"m\"]}}]") "]" } },
	  STRUCTURE,
	  "Trigger for source action 'Src': a pullRequest filter with filePaths needs "
	  "branches" },
};

#endif
