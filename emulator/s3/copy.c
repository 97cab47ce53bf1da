/* CopyObject, and what UploadPartCopy shares with it. */
#include <string.h>
#include <strings.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

#define COPY_MAX_BYTES (5LL << 30) /* of one copy; larger ones go by parts */

/* Clients encode "bucket/key" part by part or as one string: a slash is a slash. */
static char *with_plain_slashes(const char *source)
{
	char *out = mh_strdup(source), *to = out;

	while (*source && *source != '?') {
		bool slash = strncasecmp(source, "%2F", 3) == 0;

		*to++ = slash ? '/' : *source;
		source += slash ? 3 : 1;
	}
	memmove(to, source, strlen(source) + 1); /* ?versionId= */
	return out;
}

/* "x-amz-copy-source: /bucket/key?versionId=v" or without the first slash,
 * percent-encoded. */
static int parse_copy_source(struct s3_request *r, struct target *ret)
{
	CLEAN(free) char *source = with_plain_slashes(s3_header(r, "x-amz-copy-source"));
	CLEAN(free) char *raw = mh_format("%s%s", source[0] == '/' ? "" : "/", source);
	struct mh_err err = MH_ERR_INIT;
	struct target t;

	if (target_parse(raw, NULL, &t, &err) != 0)
		return s3_fail_text(r, "InvalidArgument", "Invalid copy source: %s.",
				    err.text);
	if (t.key == NULL) {
		target_done(&t);
		return s3_fail_text(r, "InvalidArgument",
				    "Invalid copy source object key");
	}
	*ret = t;
	return 0;
}

static int check_copy_conditions(struct s3_request *r, const struct object_row *source)
{
	struct conditions c = {
		.if_match = s3_header(r, "x-amz-copy-source-if-match"),
		.if_none_match = s3_header(r, "x-amz-copy-source-if-none-match"),
		.if_modified_since = s3_header(r, "x-amz-copy-source-if-modified-since"),
		.if_unmodified_since = s3_header(r,
						 "x-amz-copy-source-if-unmodified-since"),
	};

	if (conditions_check(&c, source->etag, source->modified_ms) == 200)
		return 0;
	return s3_fail(r, "PreconditionFailed");
}

int s3_open_copy_source(struct s3_request *r, struct object_row *ret, int *ret_fd)
{
	CLEAN(tx_find) struct tx_find find = { 0 };
	struct api_error err = { 0 };
	struct target from;
	int rc = 0;

	if (parse_copy_source(r, &from) != 0)
		return -1;
	find.bucket = from.bucket;
	find.key = from.key;
	find.version = uri_query_get(&from.query, "versionId");
	if (r->by_job && !opened_creds_may_read(&r->job, from.bucket, from.key))
		rc = s3_fail(r, "AccessDenied");
	else if (s3_find_open(r->s3, &find, ret_fd, &err) != 0)
		rc = strcmp(err.code, "MethodNotAllowed") == 0
			     ? s3_fail_text(r, "InvalidRequest",
					    "The source of a copy request may not "
					    "specifically refer to a delete marker by "
					    "version id.")
			     : s3_fail_api(r, &err);
	target_done(&from);
	if (rc != 0)
		return -1;
	*ret = find.row;
	find.row = (struct object_row){ 0 };
	if (!find.versioned) {
		free(ret->version_id);
		ret->version_id = NULL; /* not to be told */
	}
	return check_copy_conditions(r, ret);
}

static int directive(struct s3_request *r, const char *header, const char *what,
		     bool *ret_replace)
{
	const char *value = s3_header(r, header);

	*ret_replace = value != NULL && strcmp(value, "REPLACE") == 0;
	if (value == NULL || *ret_replace || strcmp(value, "COPY") == 0)
		return 0;
	return s3_fail_text(r, "InvalidArgument", "Unknown %s directive.", what);
}

/* A copy onto itself must change something. */
static int check_not_idle(struct s3_request *r, bool replaces)
{
	static const char *const changes[] = { "x-amz-storage-class",
					       "x-amz-server-side-encryption",
					       "x-amz-website-redirect-location",
					       "x-amz-checksum-algorithm" };
	struct target from;
	bool same;

	if (replaces || parse_copy_source(r, &from) != 0)
		return r->error == NULL ? 0 : -1;
	same = strcmp(from.bucket, r->target.bucket) == 0 &&
	       strcmp(from.key, r->target.key) == 0 &&
	       uri_query_get(&from.query, "versionId") == NULL;
	target_done(&from);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		same = same && s3_header(r, changes[i]) == NULL;
	if (!same)
		return 0;
	return s3_fail_text(r, "InvalidRequest",
			    "This copy request is illegal because it is trying to copy "
			    "an object to itself without changing the object's metadata, "
			    "storage class, website redirect location or encryption "
			    "attributes.");
}

/* The copy's description: the source's, or the request's own when it says REPLACE. */
static int copy_meta(struct s3_request *r, const struct object_row *source,
		     struct object_row *row)
{
	bool replace, replace_tags;

	if (directive(r, "x-amz-metadata-directive", "metadata", &replace) != 0 ||
	    directive(r, "x-amz-tagging-directive", "tagging", &replace_tags) != 0 ||
	    check_not_idle(r, replace) != 0 || meta_from_request(r, row) != 0)
		return -1;
	if (!replace) {
		object_row_done(row);
		row->metadata = mh_strdup(source->metadata);
		row->headers = meta_merge_encryption(r, source->headers);
		row->content_type = mh_strdup(source->content_type);
	}
	free(row->tags);
	row->tags = NULL;
	if (replace_tags)
		return tags_from_header(r, s3_header(r, "x-amz-tagging"), &row->tags);
	row->tags = mh_strdup(source->tags);
	return 0;
}

static void answer_copy(struct s3_request *r, const struct object_row *source,
			const struct object_row *row)
{
	CLEAN(free) char *quoted = mh_format("\"%s\"", row->etag);
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<CopyObjectResult" XML_NS ">");
	xml_element_time(&b, "LastModified", row->modified_ms);
	xml_element(&b, "ETag", quoted);
	meta_put_checksums(&b, row);
	buf_puts(&b, "</CopyObjectResult>");
	s3_answer_xml(r, 200, &b);
	s3_answer_version(r, row->version_id);
	s3_answer_header(r, "x-amz-copy-source-version-id", source->version_id);
	meta_echo_encryption(r);
}

/* Which checksum the copy has: the one asked for, or the source's own. */
static int choose_checksum(struct s3_request *r, const struct object_row *source,
			   const struct checksum_name **ret)
{
	const char *wanted = s3_header(r, "x-amz-checksum-algorithm");

	*ret = wanted ? checksum_by_algorithm(wanted) : meta_checksum_of(source);
	if (wanted != NULL && *ret == NULL)
		return s3_fail_text(r, "InvalidRequest",
				    "Checksum algorithm provided is unsupported.");
	return 0;
}

/* A copy is one piece: what came in parts gets an ETag and a checksum of its bytes. */
static int copy_bytes(struct s3_request *r, const struct object_row *source, int fd,
		      struct blob *b, struct object_row *row)
{
	const struct checksum_name *checksum;
	struct mh_err err = MH_ERR_INIT;
	struct digests d;
	unsigned wanted;
	int rc;

	if (choose_checksum(r, source, &checksum) != 0)
		return -1;
	wanted = strchr(source->etag, '-') ? DIGEST_BIT(DIGEST_MD5) : 0;
	if (checksum != NULL)
		wanted |= DIGEST_BIT(checksum->kind);
	digests_init(&d, wanted);
	rc = blob_copy_from(b, fd, INT64_MAX, wanted ? &d : NULL, &row->size, &err);
	if (rc != 0)
		(void)s3_fail_internal(r, &err); /* rc says it */
	else
		meta_set_digests(row, source->etag, checksum, &d);
	digests_done(&d);
	return rc;
}

static int copy_to(struct s3_request *r, const struct object_row *source, int fd)
{
	CLEAN(object_row) struct object_row row = { 0 };
	struct mh_err err = MH_ERR_INIT;
	struct blob b = BLOB_INIT;
	int rc = -1;

	if (copy_meta(r, source, &row) != 0)
		return -1;
	if (blob_create(&r->s3->blobs, &b, &err) != 0)
		return s3_fail_internal(r, &err);
	if (copy_bytes(r, source, fd, &b, &row) == 0)
		rc = s3_commit_object(r, &b, &row);
	blob_done(&r->s3->blobs, &b);
	if (rc == 0)
		answer_copy(r, source, &row);
	return rc;
}

int s3_copy_object(struct s3_request *r)
{
	CLEAN(object_row) struct object_row source = { 0 };
	CLEAN(fd) int fd = -1;

	if (s3_open_copy_source(r, &source, &fd) != 0)
		return -1;
	if (source.size > COPY_MAX_BYTES)
		return s3_fail_text(
			r, "InvalidRequest",
			"The specified copy source is larger than the maximum "
			"allowable size for a copy source: %lld",
			COPY_MAX_BYTES);
	return copy_to(r, &source, fd);
}
