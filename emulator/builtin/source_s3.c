/* S3 sources: an object of this server's store, copied to the output artifact. */
#include <string.h>

#include "emulator/builtin/task.h"

static void tell_revision(struct task *t, const struct s3_object *o, const char *bucket,
			  const char *key)
{
	bool versioned = strcmp(o->version_id, "null") != 0;

	json_put_str(t->variables, "BucketName", bucket);
	json_put_str(t->variables, "ObjectKey", key);
	json_put_str(t->variables, "ETag", o->etag);
	json_put_str(t->variables, "VersionId", o->version_id);
	t->revision_id = mh_strdup(versioned ? o->version_id : o->etag);
	/* The uploader's own words about this revision (semantics E18). */
	t->revision_summary = mh_strdup(json_opt_str(
		o->metadata, "codepipeline-artifact-revision-summary", NULL));
	t->revision_created_ms = o->modified_ms;
}

int source_s3(struct task *t)
{
	struct s3_object object;
	struct mh_err err = MH_ERR_INIT;
	const char *bucket, *key, *version;
	CLEAN(fd) int fd = -1;
	int rc;

	if (task_config(t, "S3Bucket", &bucket) != 0 ||
	    task_config(t, "S3ObjectKey", &key) != 0)
		return -1;
	version = json_opt_str(t->job->config, "S3ObjectVersionId", NULL);
	if (s3_open_version(t->s3, bucket, key, version, &object, &fd, &err) != 0) {
		if (err.cls == MH_E_NOTFOUND)
			return task_fail(
				t, FAIL_REVISION,
				"The source object s3://%s/%s%s%s was not found: %s.",
				bucket, key, version ? ", version " : "",
				version ? version : "", err.text);
		return task_fail(t, FAIL_SYSTEM, "s3://%s/%s could not be read: %s.",
				 bucket, key, err.text);
	}
	tell_revision(t, &object, bucket, key);
	rc = task_put_output(t, fd, object.content_type);
	s3_object_done(&object);
	return rc;
}
