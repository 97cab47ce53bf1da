/* GetObject, HeadObject, PutObject, CopyObject, DeleteObject, GetObjectTagging. */
#include <string.h>

#include "emulator/s3/private.h"

/* Buckets here have no versions: "null" names what is there, as in S3. */
static int check_version(struct s3_request *r)
{
	const char *version = s3_param(r, "versionId");

	if (version == NULL || strcmp(version, "null") == 0)
		return 0;
	return s3_fail(r, "NoSuchVersion");
}

static int find_and_open(struct s3_request *r, struct object_row *row, int *ret_fd)
{
	struct tx_find find = { .bucket = r->target.bucket, .key = r->target.key };
	struct api_error err = { 0 };

	if (r->head) {
		if (s3_call(r, tx_find, &find) != 0)
			return -1;
		*row = find.row;
		return 0;
	}
	if (s3_find_open(r->s3, r->target.bucket, r->target.key, row, ret_fd, &err) != 0)
		return s3_fail_api(r, &err);
	return 0;
}

static int check_conditions(struct s3_request *r, const struct object_row *row)
{
	struct conditions c = {
		.if_match = s3_header(r, MHD_HTTP_HEADER_IF_MATCH),
		.if_none_match = s3_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.if_modified_since = s3_header(r, MHD_HTTP_HEADER_IF_MODIFIED_SINCE),
		.if_unmodified_since = s3_header(r, MHD_HTTP_HEADER_IF_UNMODIFIED_SINCE),
	};

	return conditions_check(&c, row->etag, row->modified_ms);
}

static int answer_part(struct s3_request *r, const struct object_row *row, int take_fd)
{
	struct range range = range_parse(s3_header(r, MHD_HTTP_HEADER_RANGE), row->size);
	CLEAN(fd) int fd = take_fd;
	CLEAN(free) char *content_range = NULL;

	if (range.kind == RANGE_UNSATISFIABLE) {
		r->error_detail_name = "ActualObjectSize";
		r->error_detail = mh_format("%lld", (long long)row->size);
		return s3_fail(r, "InvalidRange");
	}
	if (range.kind == RANGE_PART) {
		content_range = mh_format("bytes %lld-%lld/%lld", (long long)range.start,
					  (long long)(range.start + range.len - 1),
					  (long long)row->size);
	}
	s3_answer_file(r, content_range ? 206 : 200, STEAL_FD(fd), range.start,
		       range.len);
	s3_answer_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
	meta_to_answer(r, row, content_range != NULL);
	return 0;
}

int op_get_object(struct s3_request *r)
{
	CLEAN(object_row) struct object_row row = { 0 };
	CLEAN(fd) int fd = -1;

	if (check_version(r) != 0 || find_and_open(r, &row, &fd) != 0)
		return -1;
	switch (check_conditions(r, &row)) {
	case 304:
		s3_answer_empty(r, 304);
		meta_to_answer(r, &row, false);
		return 0;
	case 412:
		return s3_fail(r, "PreconditionFailed");
	default:
		return answer_part(r, &row, STEAL_FD(fd));
	}
}

static int commit(struct s3_request *r, struct blob *b, struct object_row *row)
{
	struct api_error err = { 0 };
	struct tx_put put = {
		.bucket = r->target.bucket,
		.key = r->target.key,
		.row = row,
		.if_match = s3_header(r, MHD_HTTP_HEADER_IF_MATCH),
		.if_none_match = s3_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH),
	};

	row->file_id = mh_strdup(b->id);
	if (s3_commit_blob(r->s3, b, tx_put, &put, &put.replaced, &err) != 0)
		return s3_fail_api(r, &err);
	return 0;
}

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

/* "x-amz-copy-source: /bucket/key" or without the first slash, percent-encoded. */
static int parse_copy_source(struct s3_request *r, struct target *ret)
{
	CLEAN(free) char *source = with_plain_slashes(s3_header(r, "x-amz-copy-source"));
	CLEAN(free) char *raw = mh_format("%s%s", source[0] == '/' ? "" : "/", source);
	struct mh_err err = MH_ERR_INIT;
	const char *version;
	struct target t;

	if (target_parse(raw, NULL, &t, &err) != 0)
		return s3_fail_text(r, "InvalidArgument", "Invalid copy source: %s.",
				    err.text);
	version = uri_query_get(&t.query, "versionId");
	if (t.key == NULL || (version != NULL && strcmp(version, "null") != 0)) {
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

/* The copy's description: the source's, or the request's own when it says REPLACE. */
static int copy_meta(struct s3_request *r, const struct object_row *source,
		     struct object_row *row)
{
	const char *directive = s3_header(r, "x-amz-metadata-directive");

	if (directive != NULL && strcmp(directive, "REPLACE") == 0)
		return meta_from_request(r, row);
	row->metadata = mh_strdup(source->metadata);
	row->headers = mh_strdup(source->headers);
	row->content_type = mh_strdup(source->content_type);
	return 0;
}

static void answer_copy(struct s3_request *r, const struct object_row *row)
{
	CLEAN(free) char *quoted = mh_format("\"%s\"", row->etag);
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<CopyObjectResult" XML_NS ">");
	xml_element_time(&b, "LastModified", row->modified_ms);
	xml_element(&b, "ETag", quoted);
	buf_puts(&b, "</CopyObjectResult>");
	s3_answer_xml(r, 200, &b);
}

static int copy_bytes(struct s3_request *r, const struct object_row *source, int fd)
{
	CLEAN(object_row) struct object_row row = { .etag = mh_strdup(source->etag) };
	struct mh_err err = MH_ERR_INIT;
	struct blob b = BLOB_INIT;
	int rc = -1;

	if (copy_meta(r, source, &row) != 0)
		return -1;
	if (blob_create(&r->s3->blobs, &b, &err) != 0 ||
	    blob_copy_from(&b, fd, INT64_MAX, NULL, &row.size, &err) != 0)
		(void)s3_fail_internal(r, &err); /* rc says it */
	else
		rc = commit(r, &b, &row);
	blob_done(&r->s3->blobs, &b);
	if (rc == 0)
		answer_copy(r, &row);
	return rc;
}

int s3_open_copy_source(struct s3_request *r, struct object_row *ret, int *ret_fd)
{
	struct api_error err = { 0 };
	struct target from;
	int rc = 0;

	if (parse_copy_source(r, &from) != 0)
		return -1;
	if (r->by_job && !opened_creds_may_read(&r->job, from.bucket, from.key))
		rc = s3_fail(r, "AccessDenied");
	else if (s3_find_open(r->s3, from.bucket, from.key, ret, ret_fd, &err) != 0)
		rc = s3_fail_api(r, &err);
	target_done(&from);
	return rc == 0 ? check_copy_conditions(r, ret) : -1;
}

static int copy_object(struct s3_request *r)
{
	CLEAN(object_row) struct object_row source = { 0 };
	CLEAN(fd) int fd = -1;

	if (s3_open_copy_source(r, &source, &fd) != 0)
		return -1;
	return copy_bytes(r, &source, fd);
}

int op_put_object(struct s3_request *r)
{
	CLEAN(object_row) struct object_row row = { 0 };

	if (r->upload == NULL)
		return copy_object(r);
	row.etag = mh_strdup(r->upload->etag);
	row.size = r->upload->size;
	if (meta_from_request(r, &row) != 0 || commit(r, &r->upload->blob, &row) != 0)
		return -1;
	s3_answer_empty(r, 200);
	s3_answer_etag(r, row.etag);
	meta_echo_encryption(r);
	if (r->upload->checksum != NULL)
		s3_answer_header(r, r->upload->checksum->header,
				 r->upload->checksum_value);
	return 0;
}

int op_delete_object(struct s3_request *r)
{
	struct tx_delete d = { .bucket = r->target.bucket, .key = r->target.key };

	if (check_version(r) != 0 || s3_call(r, tx_delete, &d) != 0)
		return -1;
	blob_remove(&r->s3->blobs, d.file);
	free(d.file);
	s3_answer_empty(r, 204);
	return 0;
}

/* Nobody can give an object tags here. Clients that copy large objects ask all the same,
 * to take them along. */
int op_object_tagging(struct s3_request *r)
{
	struct tx_find find = { .bucket = r->target.bucket, .key = r->target.key };
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (check_version(r) != 0 || s3_call(r, tx_find, &find) != 0)
		return -1;
	object_row_done(&find.row);
	buf_puts(&b, XML_HEAD "<Tagging" XML_NS "><TagSet/></Tagging>");
	s3_answer_xml(r, 200, &b);
	return 0;
}
