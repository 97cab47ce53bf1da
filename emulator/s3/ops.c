/* Which operation a request asks for. */
#include <string.h>

#include "emulator/s3/private.h"

static const struct s3_op ops[] = {
	{ "GET", S3_SERVICE, NULL, S3_BODY_NONE, S3_RIGHT_NONE, op_list_buckets },

	{ "GET", S3_BUCKET, "location", S3_BODY_NONE, S3_RIGHT_NONE, op_bucket_location },
	{ "GET", S3_BUCKET, "versioning", S3_BODY_NONE, S3_RIGHT_NONE,
	  op_get_versioning },
	{ "PUT", S3_BUCKET, "versioning", S3_BODY_SMALL, S3_RIGHT_NONE,
	  op_put_versioning },
	{ "GET", S3_BUCKET, "versions", S3_BODY_NONE, S3_RIGHT_NONE, op_list_versions },
	{ "GET", S3_BUCKET, "list-type", S3_BODY_NONE, S3_RIGHT_NONE, op_list_v2 },
	{ "POST", S3_BUCKET, "delete", S3_BODY_SMALL, S3_RIGHT_NONE, op_delete_objects },
	{ "GET", S3_BUCKET, "uploads", S3_BODY_NONE, S3_RIGHT_NONE, op_list_multiparts },
	{ "GET", S3_BUCKET, NULL, S3_BODY_NONE, S3_RIGHT_NONE, op_list_v1 },
	{ "PUT", S3_BUCKET, NULL, S3_BODY_SMALL, S3_RIGHT_NONE, op_create_bucket },
	{ "HEAD", S3_BUCKET, NULL, S3_BODY_NONE, S3_RIGHT_NONE, op_head_bucket },
	{ "DELETE", S3_BUCKET, NULL, S3_BODY_NONE, S3_RIGHT_NONE, op_delete_bucket },

	{ "POST", S3_OBJECT, "uploads", S3_BODY_NONE, S3_RIGHT_WRITE,
	  op_create_multipart },
	{ "PUT", S3_OBJECT, "partNumber", S3_BODY_OBJECT, S3_RIGHT_WRITE,
	  op_upload_part },
	{ "POST", S3_OBJECT, "uploadId", S3_BODY_SMALL, S3_RIGHT_WRITE,
	  op_complete_multipart },
	{ "DELETE", S3_OBJECT, "uploadId", S3_BODY_NONE, S3_RIGHT_WRITE,
	  op_abort_multipart },
	{ "GET", S3_OBJECT, "uploadId", S3_BODY_NONE, S3_RIGHT_WRITE, op_list_parts },
	{ "GET", S3_OBJECT, "tagging", S3_BODY_NONE, S3_RIGHT_NONE, op_get_tagging },
	{ "PUT", S3_OBJECT, "tagging", S3_BODY_SMALL, S3_RIGHT_NONE, op_put_tagging },
	{ "DELETE", S3_OBJECT, "tagging", S3_BODY_NONE, S3_RIGHT_NONE,
	  op_delete_tagging },
	{ "GET", S3_OBJECT, "attributes", S3_BODY_NONE, S3_RIGHT_NONE,
	  op_get_attributes },
	{ "GET", S3_OBJECT, "partNumber", S3_BODY_NONE, S3_RIGHT_READ, op_get_object },
	{ "HEAD", S3_OBJECT, "partNumber", S3_BODY_NONE, S3_RIGHT_HEAD, op_get_object },
	{ "GET", S3_OBJECT, NULL, S3_BODY_NONE, S3_RIGHT_READ, op_get_object },
	{ "HEAD", S3_OBJECT, NULL, S3_BODY_NONE, S3_RIGHT_HEAD, op_get_object },
	{ "PUT", S3_OBJECT, NULL, S3_BODY_OBJECT, S3_RIGHT_WRITE, op_put_object },
	{ "DELETE", S3_OBJECT, NULL, S3_BODY_NONE, S3_RIGHT_NONE, op_delete_object },
};

/* Parameters that turn a request into another one: without an operation of their own
 * above they must not be taken for the plain one. */
static const char *const subresources[] = {
	"accelerate",
	"acl",
	"analytics",
	"append",
	"attributes",
	"cors",
	"delete",
	"encryption",
	"intelligent-tiering",
	"inventory",
	"legal-hold",
	"lifecycle",
	"location",
	"logging",
	"metrics",
	"notification",
	"object-lock",
	"ownershipControls",
	"partNumber",
	"policy",
	"policyStatus",
	"publicAccessBlock",
	"replication",
	"requestPayment",
	"restore",
	"retention",
	"select",
	"tagging",
	"torrent",
	"uploadId",
	"uploads",
	"versioning",
	"versions",
	"website",
};

static enum s3_level level_of(const struct target *t)
{
	if (t->bucket == NULL)
		return S3_SERVICE;
	return t->key == NULL ? S3_BUCKET : S3_OBJECT;
}

static const char *subresource_of(struct s3_request *r)
{
	for (size_t i = 0; i < ARRAY_LEN(subresources); i++)
		if (s3_param(r, subresources[i]) != NULL)
			return subresources[i];
	return NULL;
}

const struct s3_op *s3_op_find(struct s3_request *r)
{
	const char *subresource = subresource_of(r);
	enum s3_level level = level_of(&r->target);

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		const struct s3_op *op = &ops[i];

		if (op->level != level || strcmp(op->method, r->method) != 0)
			continue;
		if (op->query != NULL ? s3_param(r, op->query) != NULL
				      : subresource == NULL)
			return op;
	}
	if (subresource != NULL)
		(void)s3_fail_text(r, "NotImplemented",
				   "This server has no %s of '?%s'. It keeps buckets and "
				   "objects: create, list, put, get, head, copy, delete.",
				   r->method, subresource);
	else
		(void)s3_fail(r, "MethodNotAllowed");
	return NULL;
}
