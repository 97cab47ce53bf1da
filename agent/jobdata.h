/*
 * JobData, as PollForJobs and GetJobDetails bring it (semantics C9), checked:
 * artifact names become directory names and buckets become host names, so
 * nothing is taken that does not look like what the API promises.
 *
 * Everything the agent hands on lives in `doc`, from which the credentials have
 * been taken out. The credentials stay here, in memory, and are wiped.
 */
#ifndef MH_AGENT_JOBDATA_H
#define MH_AGENT_JOBDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "agent/creds.h"
#include "lib/base/err.h"

struct artifact {
	const char *name; /* [a-zA-Z0-9_-]{1,100} */
	const char *bucket; /* [a-zA-Z0-9.-]{3,63} */
	const char *key; /* UTF-8, 1 to 1024 bytes, no NUL */
};

#define JOBDATA_ARTIFACTS_MAX 10

struct jobdata {
	struct json_object *doc; /* JobData without artifactCredentials, owned */
	char *account_id; /* owned, or NULL */
	/* Borrowed from doc; "" where the service gave nothing. */
	const char *category, *owner, *provider, *version;
	const char *pipeline, *stage, *action, *execution_id, *action_execution_id;
	struct json_object *config; /* the pipeline's, or NULL */
	const char *kms_key_id; /* NULL: the account's own key */
	struct artifact inputs[JOBDATA_ARTIFACTS_MAX], outputs[JOBDATA_ARTIFACTS_MAX];
	size_t input_count, output_count;
	struct creds creds; /* of the artifacts; creds.access_key_id NULL when there are
			       none */
	int64_t obtained_mono_ms;
};

/* data is JobData; its artifactCredentials are taken out of it. *ret is to be
 * released with jobdata_free(). PROTO when a rule is broken. */
int jobdata_new(struct json_object *data, const char *account_id, int64_t mono_ms,
		struct jobdata **ret, struct mh_err *err) MH_MUST_CHECK;
void jobdata_free(struct jobdata *d);
static inline void clean_jobdata(struct jobdata **d)
{
	jobdata_free(*d);
}

/* Credentials live about 15 minutes; from 10 on they are renewed before use. */
#define JOBDATA_CREDS_OLD_MS (10 * 60 * 1000)
bool jobdata_creds_usable(const struct jobdata *d, int64_t mono_ms);

#endif
