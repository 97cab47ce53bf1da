#include <string.h>

#include "emulator/engine/catalogue.h"

/* clang-format off */
/* A key list ends in "*" where the full list is not published, or is open by nature
 * (Image<n>ArtifactName): refusing a key that AWS accepts would be worse than taking
 * a wrong one. */
const struct catalogue_entry catalogue[] = {
	/* category  provider                        in     out    keys */
	{ "Source", "CodeCommit",                    0, 0,  1, 1,
	  "RepositoryName! BranchName! PollForSourceChanges OutputArtifactFormat", false },
	{ "Source", "CodeStarSourceConnection",      0, 0,  1, 1,
	  "ConnectionArn! FullRepositoryId! BranchName! OutputArtifactFormat DetectChanges", false },
	{ "Source", "ECR",                           0, 0,  1, 1, "RepositoryName! ImageTag", false },
	{ "Source", "S3",                            0, 0,  1, 1,
	  "S3Bucket! S3ObjectKey! PollForSourceChanges AllowOverrideForS3ObjectKey", false },

	{ "Build", "CodeBuild",                      1, 5,  0, 5,
	  "ProjectName! PrimarySource BatchEnabled BuildspecOverride CombineArtifacts "
	  "EnvironmentVariables", false },
	{ "Build", "Commands",                       1, 10, 0, 1, "*", true },
	{ "Build", "ECRBuildAndPublish",             1, 1,  0, 0,
	  "ECRRepositoryName! DockerFilePath ImageTags RegistryType *", true },

	{ "Test", "CodeBuild",                       1, 5,  0, 5,
	  "ProjectName! PrimarySource BatchEnabled BuildspecOverride CombineArtifacts "
	  "EnvironmentVariables", false },
	{ "Test", "DeviceFarm",                      1, 1,  0, 0,
	  "App AppType DevicePoolArn ProjectId TestType *", false },

	{ "Deploy", "AppConfig",                     1, 1,  0, 0,
	  "Application Environment ConfigurationProfile InputArtifactConfigurationPath "
	  "DeploymentStrategy *", false },
	{ "Deploy", "CloudFormation",                0, 10, 0, 1,
	  "ActionMode! StackName! Capabilities ChangeSetName OutputFileName ParameterOverrides "
	  "RoleArn TemplateConfiguration TemplatePath", false },
	{ "Deploy", "CloudFormationStackInstances",  0, 10, 0, 1,
	  "StackSetName DeploymentTargets Regions ParameterOverrides FailureTolerancePercentage "
	  "MaxConcurrentPercentage *", false },
	{ "Deploy", "CloudFormationStackSet",        1, 10, 0, 1,
	  "StackSetName TemplatePath Parameters Capabilities PermissionModel DeploymentTargets "
	  "Regions *", false },
	{ "Deploy", "CodeDeploy",                    1, 1,  0, 0,
	  "ApplicationName! DeploymentGroupName!", false },
	{ "Deploy", "CodeDeployToECS",               1, 5,  0, 0,
	  "ApplicationName DeploymentGroupName TaskDefinitionTemplateArtifact "
	  "TaskDefinitionTemplatePath AppSpecTemplateArtifact AppSpecTemplatePath *", false },
	{ "Deploy", "EC2",                           1, 1,  0, 0, "*", true },
	{ "Deploy", "ECS",                           1, 1,  0, 0,
	  "ClusterName! ServiceName! FileName DeploymentTimeout", false },
	{ "Deploy", "EKS",                           1, 1,  0, 0, "*", true },
	{ "Deploy", "ElasticBeanstalk",              1, 1,  0, 0,
	  "ApplicationName! EnvironmentName!", false },
	{ "Deploy", "Lambda",                        0, 5,  0, 5, "FunctionName! *", false },
	{ "Deploy", "OpsWorks",                      1, 1,  0, 0, "Stack App Layer *", false },
	{ "Deploy", "S3",                            1, 1,  0, 0,
	  "BucketName! Extract! ObjectKey KMSEncryptionKeyARN CannedACL CacheControl", false },
	{ "Deploy", "ServiceCatalog",                1, 1,  0, 0,
	  "ProductId ProductType ProductVersionName ProductVersionDescription TemplateFilePath "
	  "ConfigurationFilePath *", false },

	{ "Approval", "Manual",                      0, 0,  0, 0,
	  "CustomData ExternalEntityLink NotificationArn", false },

	{ "Invoke", "CodePipeline",                  0, 5,  0, 5, "PipelineName! *", false },
	{ "Invoke", "InspectorScan",                 0, 1,  0, 1, "*", false },
	{ "Invoke", "Lambda",                        0, 5,  0, 5, "FunctionName! UserParameters", false },
	{ "Invoke", "StepFunctions",                 0, 1,  0, 1,
	  "StateMachineArn! ExecutionNamePrefix InputType Input", false },

	{ "Compute", "Commands",                     1, 10, 0, 1, "*", true },
	{ NULL, NULL, 0, 0, 0, 0, NULL, false },
};
/* clang-format on */

bool catalogue_is_open(const struct catalogue_entry *e)
{
	size_t len = strlen(e->keys);

	return len > 0 && e->keys[len - 1] == '*';
}

const struct catalogue_entry *catalogue_find(const char *category, const char *owner,
					     const char *provider, const char *version)
{
	if (strcmp(owner, "AWS") != 0 || strcmp(version, "1") != 0)
		return NULL;
	for (const struct catalogue_entry *e = catalogue; e->category != NULL; e++) {
		if (strcmp(e->category, category) == 0 &&
		    strcmp(e->provider, provider) == 0)
			return e;
	}
	return NULL;
}

/* The model knows no count over 5, though some types take 10. */
#define SHOWN_COUNT_MAX 5

static void put_counts(struct json_object *o, const char *key, int min, int max)
{
	struct json_object *counts = json_object_new_object();

	if (max > SHOWN_COUNT_MAX)
		max = SHOWN_COUNT_MAX;
	json_put_i64(counts, "minimumCount", min);
	json_put_i64(counts, "maximumCount", max);
	json_put_obj(o, key, counts);
}

static struct json_object *property(const char *word, size_t len)
{
	bool required = word[len - 1] == '!';
	CLEAN(free) char *name = mh_strndup(word, required ? len - 1 : len);
	struct json_object *p = json_object_new_object();

	json_put_str(p, "name", name);
	json_put_bool(p, "required", required);
	json_put_bool(p, "key", required);
	json_put_bool(p, "secret", false);
	json_put_bool(p, "queryable", false);
	return p;
}

struct json_object *catalogue_properties(const char *keys)
{
	struct json_object *list = json_object_new_array();

	for (size_t len; *keys != '\0'; keys += len + strspn(keys + len, " ")) {
		len = strcspn(keys, " ");
		if (*keys != '*')
			json_object_array_add(list, property(keys, len));
	}
	return list;
}

struct json_object *catalogue_definition(const struct catalogue_entry *e)
{
	struct json_object *def = json_object_new_object();
	struct json_object *id = json_object_new_object();

	json_put_str(id, "category", e->category);
	json_put_str(id, "owner", "AWS");
	json_put_str(id, "provider", e->provider);
	json_put_str(id, "version", "1");
	json_put_obj(def, "id", id);
	json_put_obj(def, "actionConfigurationProperties", catalogue_properties(e->keys));
	put_counts(def, "inputArtifactDetails", e->in_min, e->in_max);
	put_counts(def, "outputArtifactDetails", e->out_min, e->out_max);
	return def;
}
