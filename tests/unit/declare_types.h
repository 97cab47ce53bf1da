/* A custom action type and a pipeline that several tests of declarations begin with. */
#ifndef MH_TESTS_UNIT_DECLARE_TYPES_H
#define MH_TESTS_UNIT_DECLARE_TYPES_H

/* Input of CreateCustomActionType: Build/Custom/Make/1. */
#define MAKE_TYPE                                                                        \
	"{\"category\":\"Build\",\"provider\":\"Make\",\"version\":\"1\","               \
	"\"configurationProperties\":["                                                  \
	"{\"name\":\"Target\",\"required\":true,\"key\":true,\"secret\":false},"         \
	"{\"name\":\"Queue\",\"required\":true,\"key\":false,\"secret\":false,"          \
	"\"queryable\":true},"                                                           \
	"{\"name\":\"Token\",\"required\":false,\"key\":false,\"secret\":true},"         \
	"{\"name\":\"Jobs\",\"required\":false,\"key\":false,\"secret\":false,\"type\":" \
	"\"Number\"},"                                                                   \
	"{\"name\":\"Loud\",\"required\":false,\"key\":false,\"secret\":false,"          \
	"\"type\":\"Boolean\"}],"                                                        \
	"\"inputArtifactDetails\":{\"minimumCount\":0,\"maximumCount\":2},"              \
	"\"outputArtifactDetails\":{\"minimumCount\":0,\"maximumCount\":1}}"

/* PipelineDeclaration: Source (connection), Build (the type above, with a secret),
 * Deploy. */
#define MAKE_PIPELINE                                                                    \
	"{\"name\":\"P\",\"roleArn\":\"arn:aws:iam::000000000000:role/r\","              \
	"\"pipelineType\":\"V2\",\"artifactStore\":{\"type\":\"S3\",\"location\":"       \
	"\"bucket\"},"                                                                   \
	"\"stages\":["                                                                   \
	"{\"name\":\"Source\",\"actions\":[{\"name\":\"Src\",\"namespace\":\"SrcVars\"," \
	"\"actionTypeId\":{\"category\":\"Source\",\"owner\":\"AWS\","                   \
	"\"provider\":\"CodeStarSourceConnection\",\"version\":\"1\"},"                  \
	"\"configuration\":{\"ConnectionArn\":\"c\",\"FullRepositoryId\":\"o/r\","       \
	"\"BranchName\":\"main\"},\"outputArtifacts\":[{\"name\":\"SrcOut\"}]}]},"       \
	"{\"name\":\"Build\",\"actions\":[{\"name\":\"Make\",\"namespace\":\"Built\","   \
	"\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\","                 \
	"\"provider\":\"Make\",\"version\":\"1\"},"                                      \
	"\"configuration\":{\"Target\":\"all\",\"Queue\":\"linux\",\"Token\":"           \
	"\"hunter22\"},"                                                                 \
	"\"inputArtifacts\":[{\"name\":\"SrcOut\"}],\"outputArtifacts\":[{\"name\":"     \
	"\"Dist\"}]}]},"                                                                 \
	"{\"name\":\"Deploy\",\"actions\":[{\"name\":\"Ship\","                          \
	"\"actionTypeId\":{\"category\":\"Deploy\",\"owner\":\"AWS\","                   \
	"\"provider\":\"S3\",\"version\":\"1\"},"                                        \
	"\"configuration\":{\"BucketName\":\"out\",\"Extract\":\"true\"},"               \
	"\"inputArtifacts\":[{\"name\":\"Dist\"}]}]}]}"

#endif
