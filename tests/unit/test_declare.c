/* What a pipeline declaration must be (semantics E1 to E3, E11, E13). */
#include "tests/unit/test.h"

#include <json-c/json_pointer.h>

#include "emulator/engine/catalogue.h"
#include "emulator/engine/declare.h"
#include "tests/unit/declare_types.h"

static struct json_object *parse(const char *text)
{
	struct json_object *doc = NULL;
	struct mh_err err;

	assert_ok(json_parse(text, strlen(text), &doc, &err), &err);
	return doc;
}

/* The one custom type, as the API tells it. */
static struct json_object *make_definition(void)
{
	struct json_object *def = parse(MAKE_TYPE);
	struct json_object *properties = json_opt_array(def, "configurationProperties");

	json_put_obj(def, "actionConfigurationProperties", json_object_get(properties));
	return def;
}

static int find_type(void *arg, struct json_object *id, struct action_type *ret,
		     bool *ret_found, struct api_error *err)
{
	const char *owner = json_opt_str(id, "owner", "");
	const char *provider = json_opt_str(id, "provider", "");
	const char *category = json_opt_str(id, "category", "");
	const struct catalogue_entry *entry = catalogue_find(
		category, owner, provider, json_opt_str(id, "version", ""));

	(void)arg, (void)err; /* nothing here can fail */
	*ret_found = true;
	if (entry != NULL)
		*ret = (struct action_type){ .definition = catalogue_definition(entry) };
	else if (strcmp(owner, "Custom") == 0 && strcmp(provider, "Make") == 0)
		*ret = (struct action_type){ .definition = make_definition() };
	else
		*ret_found = false;
	return 0;
}

static const struct declare_env env = { .region = "us-east-1", .find_type = find_type };

/* Sets the value at an RFC 6901 pointer; NULL text removes the member. */
static void patch(struct json_object **doc, const char *pointer, const char *text)
{
	CLEAN(free) char *parent_pointer = mh_strdup(pointer);
	char *slash = strrchr(parent_pointer, '/');
	struct json_object *parent = NULL;

	if (text != NULL) {
		assert_int_equal(json_pointer_set(doc, pointer, parse(text)), 0);
		return;
	}
	*slash = '\0';
	assert_int_equal(json_pointer_get(*doc, parent_pointer, &parent), 0);
	json_object_object_del(parent, slash + 1);
}

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
	"{\"conditions\":[{\"result\":\"" result "\",\"rules\":[{\"name\":\"r\","        \
	"\"ruleTypeId\":{\"category\":\"Rule\",\"provider\":\"" rule "\"}}]}]}"
#define TRIGGER(source, more)                                                            \
	"{\"providerType\":\"CodeStarSourceConnection\",\"gitConfiguration\":"           \
	"{\"sourceActionName\":\"" source "\"" more "}}"

#define MAKE_CONFIG "/stages/1/actions/0/configuration"
#define EDITS_MAX   4

struct edit {
	const char *pointer;
	const char *text; /* JSON; NULL removes */
};

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
	    { "/stages/1/beforeEntry", CONDITION("FAIL", "VariableCheck") } },
	  STAGE,
	  "Stage level conditions can only be used with V2 pipelines." },
	{ { { "/pipelineType", "\"V1\"" },
	    { "/stages/1/onSuccess", CONDITION("FAIL", "VariableCheck") } },
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
	{ { { "/stages/1/onFailure", CONDITION("ROLLBACK", "DeploymentWindow") } },
	  NULL,
	  NULL },
	{ { { "/stages/1/beforeEntry", CONDITION("SKIP", "VariableCheck") } },
	  NULL,
	  NULL },
	{ { { "/executionMode", "\"PARALLEL\"" },
	    { "/stages/1/onFailure", "{\"result\":\"ROLLBACK\"}" } },
	  STAGE,
	  "Failure conditions with rollback result type cannot be added to a PARALLEL "
	  "pipeline." },
	{ { { "/executionMode", "\"PARALLEL\"" },
	    { "/stages/1/onFailure", CONDITION("ROLLBACK", "VariableCheck") } },
	  STAGE,
	  "Failure conditions with rollback result type cannot be added to a PARALLEL "
	  "pipeline." },
	{ { { "/stages/1/onFailure", CONDITION("ROLLBACK", "VariableCheck") },
	    { "/stages/1/onFailure/result", "\"RETRY\"" } },
	  STAGE,
	  "The following stage cannot have a failure exit gate configured with both top "
	  "level "
	  "result and conditions: 'Build'" },
	{ { { "/stages/1/onFailure", "{\"result\":\"SKIP\"}" } },
	  STAGE,
	  "Stage 'Build' declares the failure result SKIP, which is not available "
	  "there" },
	{ { { "/stages/1/onSuccess", CONDITION("SKIP", "VariableCheck") } },
	  STAGE,
	  "Stage 'Build' declares a onSuccess condition with the result SKIP, which is "
	  "not "
	  "available there" },
	{ { { "/stages/1/beforeEntry", CONDITION("ROLLBACK", "VariableCheck") } },
	  STAGE,
	  "Stage 'Build' declares a beforeEntry condition with the result ROLLBACK, "
	  "which is not "
	  "available there" },
	{ { { "/stages/1/beforeEntry", CONDITION("SKIP", "DeploymentWindow") } },
	  STAGE,
	  "Stage 'Build' declares the rule 'r' of type DeploymentWindow in a condition "
	  "with the "
	  "result SKIP; only LambdaInvoke and VariableCheck are available there" },

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

/* The rule must have been broken by the edits alone: the base is accepted by row 0. */
static void every_rule_has_its_error_and_words(void **state)
{
	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
		CLEAN(json) struct json_object *declaration = NULL;
		struct api_error err = { 0 };

		for (size_t e = 0; e < EDITS_MAX && rows[i].edits[e].pointer != NULL; e++)
			patch(&given, rows[i].edits[e].pointer, rows[i].edits[e].text);
		declaration = declare_complete(given, 1);
		if (rows[i].code == NULL) {
			if (declare_check(&env, declaration, &err) != 0)
				fail_msg("row %zu: %s: %s", i, err.code, err.message);
			continue;
		}
		if (declare_check(&env, declaration, &err) != -1)
			fail_msg("row %zu was accepted, expected: %s", i,
				 rows[i].message);
		assert_string_equal(err.message, rows[i].message);
		assert_string_equal(err.code, rows[i].code);
		assert_int_equal(err.status, 400);
	}
}

/* ---- numbers ---- */

static struct json_object *with_stages(int count)
{
	struct json_object *p = parse(MAKE_PIPELINE);
	struct json_object *stages = json_opt_array(p, "stages");

	for (int i = 3; i < count; i++) {
		CLEAN(free)
		char *text = mh_format("{\"name\":\"S%d\",\"actions\":[" APPROVAL "]}",
				       i);

		assert_int_equal(json_object_array_add(stages, parse(text)), 0);
	}
	return p;
}

static struct json_object *with_actions(int count)
{
	struct json_object *p = parse(MAKE_PIPELINE);
	struct json_object *stage = json_object_array_get_idx(json_opt_array(p, "stages"),
							      1);
	struct json_object *actions = json_opt_array(stage, "actions");

	for (int i = 1; i < count; i++) {
		CLEAN(free) char *name = mh_format("A%d", i);
		struct json_object *action = parse(APPROVAL);

		json_put_str(action, "name", name);
		assert_int_equal(json_object_array_add(actions, action), 0);
	}
	return p;
}

static void counts_are_accepted_to_the_limit_and_no_further(void **state)
{
	static const struct {
		struct json_object *(*make)(int count);
		int limit;
		const char *code, *message;
	} limits[] = {
		{ with_stages, 50, STRUCTURE,
		  "Pipeline has too many stages. There can only be up to 50 stages in a "
		  "pipeline" },
		{ with_actions, 50, STAGE,
		  "Stage 'Build' has too many actions. There can only be up to 50 "
		  "actions in a "
		  "stage" },
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		CLEAN(json) struct json_object *at = limits[i].make(limits[i].limit);
		CLEAN(json)
		struct json_object *over = limits[i].make(limits[i].limit + 1);
		struct api_error err = { 0 };

		if (declare_check(&env, at, &err) != 0)
			fail_msg("%s", err.message);
		assert_int_equal(declare_check(&env, over, &err), -1);
		assert_string_equal(err.message, limits[i].message);
		assert_string_equal(err.code, limits[i].code);
	}
}

/* ---- defaults ---- */

static void defaults_are_filled_in_and_nothing_else_changes(void **state)
{
	CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *untouched = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *bare = NULL, *full = NULL, *again = NULL;
	struct json_object *action = NULL;

	(void)state; /* none */
	full = declare_complete(given, 3);
	assert_true(json_object_equal(given, untouched));
	assert_string_equal(json_opt_str(full, "executionMode", ""), "SUPERSEDED");
	assert_string_equal(json_opt_str(full, "pipelineType", ""), "V2");
	assert_int_equal(json_opt_i64(full, "version", 0), 3);
	assert_int_equal(json_pointer_get(full, "/stages/2/actions/0", &action), 0);
	assert_int_equal(json_opt_i64(action, "runOrder", 0), 1);
	assert_int_equal(
		json_object_array_length(json_opt_array(action, "outputArtifacts")), 0);
	again = declare_complete(full, 3);
	assert_true(json_object_equal(full, again));

	patch(&given, "/pipelineType", NULL);
	patch(&given, "/version", "77"); /* input is not believed */
	patch(&given, "/stages/1/actions/0/configuration", NULL);
	patch(&given, "/stages/1/actions/0/inputArtifacts", NULL);
	bare = declare_complete(given, 1);
	assert_string_equal(json_opt_str(bare, "pipelineType", ""), "V1");
	assert_int_equal(json_opt_i64(bare, "version", 0), 1);
	assert_int_equal(json_pointer_get(bare, "/stages/1/actions/0", &action), 0);
	assert_int_equal(
		json_object_object_length(json_opt_object(action, "configuration")), 0);
	assert_int_equal(
		json_object_array_length(json_opt_array(action, "inputArtifacts")), 0);
}

/* ---- secrets ---- */

static const char *token_of(struct json_object *declaration, int stage)
{
	CLEAN(free)
	char *pointer = mh_format("/stages/%d/actions/0/configuration/Token", stage);
	struct json_object *value = NULL;

	return json_pointer_get(declaration, pointer, &value) == 0
		       ? json_object_get_string(value)
		       : NULL;
}

static void secrets_are_masked_and_the_rest_is_not(void **state)
{
	CLEAN(json) struct json_object *declaration = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *masked = NULL;
	struct api_error err = { 0 };

	(void)state; /* none */
	assert_int_equal(declare_masked(&env, declaration, &masked, &err), 0);
	assert_string_equal(token_of(masked, 1), "****");
	assert_null(strstr(json_text(masked), "hunter22"));
	assert_string_equal(token_of(declaration, 1), "hunter22");
	patch(&masked, MAKE_CONFIG "/Token", "\"hunter22\"");
	assert_true(json_object_equal(masked, declaration));
}

#define NEW_ACTION_TEXT(action)                                                          \
	"Action configuration for the new action '" action                               \
	"' contains an invalid configuration for the secret property 'Token'. '****' "   \
	"may "                                                                           \
	"be used in secret properties only when updating an existing action."

static void the_mask_keeps_a_secret_of_the_same_action_alone(void **state)
{
	static const struct {
		struct edit edits[EDITS_MAX]; /* of what comes back masked */
		const char *token; /* NULL: refused with... */
		const char *message;
	} cases[] = {
		{ { { "/name", "\"P\"" } }, "hunter22", NULL },
		{ { { MAKE_CONFIG "/Queue", "\"other\"" } },
		  "hunter22",
		  NULL }, /* no key */
		{ { { MAKE_CONFIG "/Token", "\"fresh\"" } }, "fresh", NULL },
		{ { { MAKE_CONFIG "/Token", "\"*****\"" } }, "*****", NULL },
		{ { { "/stages/1/name", "\"Renamed\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/actions/0/name", "\"Mk\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Mk") },
		{ { { MAKE_CONFIG "/Target", "\"other\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/actions/0/actionTypeId/version", "\"2\"" } },
		  NULL,
		  NEW_ACTION_TEXT("Make") },
		{ { { "/stages/1/name", "\"Renamed\"" },
		    { MAKE_CONFIG "/Token", "\"fresh\"" } },
		  "fresh",
		  NULL },
		/* a mask is a value like any other where nothing is secret */
		{ { { MAKE_CONFIG "/Queue", "\"****\"" } }, "hunter22", NULL },
	};

	(void)state; /* none */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(json) struct json_object *old = parse(MAKE_PIPELINE);
		CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
		struct api_error err = { 0 };
		int rc;

		patch(&given, MAKE_CONFIG "/Token", "\"****\"");
		for (size_t e = 0; e < EDITS_MAX && cases[i].edits[e].pointer != NULL;
		     e++)
			patch(&given, cases[i].edits[e].pointer, cases[i].edits[e].text);
		rc = declare_keep_secrets(&env, old, given, &err);
		if (cases[i].token != NULL) {
			if (rc != 0)
				fail_msg("case %zu: %s", i, err.message);
			assert_string_equal(token_of(given, 1), cases[i].token);
		} else {
			assert_int_equal(rc, -1);
			assert_string_equal(err.code, ACTION);
			assert_string_equal(err.message, cases[i].message);
		}
	}
}

static void the_mask_means_nothing_to_a_new_pipeline_or_a_new_secret(void **state)
{
	CLEAN(json) struct json_object *old = parse(MAKE_PIPELINE);
	CLEAN(json) struct json_object *given = parse(MAKE_PIPELINE);
	struct api_error err = { 0 };

	(void)state; /* none */
	patch(&given, MAKE_CONFIG "/Token", "\"****\"");
	assert_int_equal(declare_keep_secrets(&env, NULL, given, &err), -1);
	assert_string_equal(err.message, NEW_ACTION_TEXT("Make"));
	patch(&old, MAKE_CONFIG "/Token", NULL); /* nothing is stored for it */
	assert_int_equal(declare_keep_secrets(&env, old, given, &err), -1);
	assert_string_equal(err.message, NEW_ACTION_TEXT("Make"));
}

/* ---- the documents' own pipelines ---- */

static struct json_object *shared_file(const char *name)
{
	const char *shared = getenv("MH_SHARED");
	CLEAN(free)
	char *path = mh_format("%s/data/%s", shared != NULL ? shared : "", name);

	return shared != NULL ? json_object_from_file(path) : NULL;
}

static void the_guides_pipeline_is_accepted_as_it_stands(void **state)
{
	CLEAN(json) struct json_object *guide = shared_file("guide-pipeline.json");
	CLEAN(json) struct json_object *approval = shared_file("approval-stage.json");
	CLEAN(json) struct json_object *plain = NULL, *longer = NULL;
	struct api_error err = { 0 };
	struct json_object *stages;

	(void)state; /* none */
	if (guide == NULL || approval == NULL)
		skip();
	plain = declare_complete(json_opt_object(guide, "pipeline"), 1);
	if (declare_check(&env, plain, &err) != 0)
		fail_msg("%s: %s", err.code, err.message);
	longer = declare_complete(plain, 2);
	stages = json_opt_array(longer, "stages");
	assert_int_equal(
		json_object_array_put_idx(
			stages, 3, json_object_get(json_object_array_get_idx(stages, 2))),
		0);
	assert_int_equal(json_object_array_put_idx(stages, 2, json_object_get(approval)),
			 0);
	if (declare_check(&env, longer, &err) != 0)
		fail_msg("%s: %s", err.code, err.message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_has_its_error_and_words),
		cmocka_unit_test(counts_are_accepted_to_the_limit_and_no_further),
		cmocka_unit_test(defaults_are_filled_in_and_nothing_else_changes),
		cmocka_unit_test(secrets_are_masked_and_the_rest_is_not),
		cmocka_unit_test(the_mask_keeps_a_secret_of_the_same_action_alone),
		cmocka_unit_test(
			the_mask_means_nothing_to_a_new_pipeline_or_a_new_secret),
		cmocka_unit_test(the_guides_pipeline_is_accepted_as_it_stands),
	};

	return cmocka_run_group_tests_name("declare", tests, NULL, NULL);
}
