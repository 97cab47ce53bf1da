/* GetObject, HeadObject, GetObjectAttributes, PutObject, DeleteObject. */
#include <string.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

/* Headers that tell of the delete marker in the way, as S3 sends them with its error. */
static int fail_find(struct s3_request *r, const struct tx_find *find,
		     const struct api_error *err)
{
	if (find->marker != NULL) {
		s3_error_header(r, "x-amz-delete-marker", "true");
		s3_error_header(r, "x-amz-version-id", find->marker);
	}
	return s3_fail_api(r, err);
}

static int find_and_open(struct s3_request *r, struct tx_find *find, int *ret_fd)
{
	struct api_error err = { 0 };
	int rc;

	find->bucket = r->target.bucket;
	find->key = r->target.key;
	find->version = s3_param(r, "versionId");
	if (find->version != NULL && find->version[0] == '\0')
		return s3_fail_text(r, "InvalidArgument",
				    "Version id cannot be the empty string");
	rc = ret_fd == NULL ? writer_call(r->s3->writer, tx_find, find, NULL, &err)
			    : s3_find_open(r->s3, find, ret_fd, &err);
	r->versioned = find->versioned;
	return rc == 0 ? 0 : fail_find(r, find, &err);
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

/* What Range or partNumber asks for; *ret_count is told with the latter, else 0. */
static int choose_range(struct s3_request *r, const struct object_row *row,
			struct range *ret, int64_t *ret_count)
{
	const char *text = s3_param(r, "partNumber");
	const char *header = s3_header(r, MHD_HTTP_HEADER_RANGE);
	CLEAN(free) char *parts = NULL;
	struct mh_err err = MH_ERR_INIT;
	int64_t number;

	*ret_count = 0;
	if (text == NULL) {
		*ret = range_parse(header, row->size);
		return 0;
	}
	if (header != NULL)
		return s3_fail_text(r, "InvalidRequest",
				    "Cannot specify both Range header and partNumber "
				    "query parameter");
	if (str_to_i64(text, 1, S3_PARTS_MAX, "partNumber", &number, &err) != 0)
		return s3_fail_text(
			r, "InvalidArgument",
			"Part number must be an integer between 1 and %d, inclusive",
			S3_PARTS_MAX);
	parts = meta_parts(row);
	*ret = range_of_part(parts, number, row->size, ret_count);
	if (ret->kind == RANGE_UNSATISFIABLE) {
		s3_error_detail(r, "ActualPartCount", "%lld", (long long)*ret_count);
		return s3_fail(r, "InvalidPartNumber");
	}
	if (parts == NULL)
		*ret_count = 0;
	return 0;
}

static int answer_part(struct s3_request *r, const struct object_row *row, int take_fd)
{
	const char *header = s3_header(r, MHD_HTTP_HEADER_RANGE);
	CLEAN(fd) int fd = take_fd;
	CLEAN(free) char *content_range = NULL, *count_text = NULL;
	struct range range;
	int64_t count;

	if (choose_range(r, row, &range, &count) != 0)
		return -1;
	if (range.kind == RANGE_UNSATISFIABLE) {
		s3_error_detail(r, "RangeRequested", "%s", header);
		s3_error_detail(r, "ActualObjectSize", "%lld", (long long)row->size);
		content_range = mh_format("bytes */%lld", (long long)row->size);
		s3_error_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
		return s3_fail(r, "InvalidRange");
	}
	if (range.kind == RANGE_PART && range.len > 0) {
		content_range = mh_format("bytes %lld-%lld/%lld", (long long)range.start,
					  (long long)(range.start + range.len - 1),
					  (long long)row->size);
	}
	s3_answer_file(r, content_range ? 206 : 200, STEAL_FD(fd), range.start,
		       range.len);
	s3_answer_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
	if (count > 0) {
		count_text = mh_format("%lld", (long long)count);
		s3_answer_header(r, "x-amz-mp-parts-count", count_text);
	}
	meta_to_answer(r, row, content_range != NULL);
	return 0;
}

static int fail_condition(struct s3_request *r)
{
	bool matched = s3_header(r, MHD_HTTP_HEADER_IF_MATCH) != NULL;

	s3_error_detail(r, "Condition", "%s",
			matched ? "If-Match" : "If-Unmodified-Since");
	return s3_fail(r, "PreconditionFailed");
}

int op_get_object(struct s3_request *r)
{
	CLEAN(tx_find) struct tx_find find = { 0 };
	CLEAN(fd) int fd = -1;

	if (find_and_open(r, &find, r->head ? NULL : &fd) != 0)
		return -1;
	switch (check_conditions(r, &find.row)) {
	case 304:
		s3_answer_empty(r, 304);
		meta_to_answer(r, &find.row, false);
		return 0;
	case 412:
		return fail_condition(r);
	default:
		return answer_part(r, &find.row, STEAL_FD(fd));
	}
}

static bool is_asked_for(struct s3_request *r, const char *attribute)
{
	const char *list = s3_header(r, "x-amz-object-attributes");
	size_t len = strlen(attribute);

	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		if (strncmp(list, attribute, len) == 0 && strcspn(list, " \t,") == len)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static void put_checksum(struct buf *b, const struct object_row *row)
{
	if (meta_checksum_of(row) == NULL)
		return;
	buf_puts(b, "<Checksum>");
	meta_put_checksums(b, row);
	buf_puts(b, "</Checksum>");
}

static void put_part_count(struct buf *b, const struct object_row *row)
{
	CLEAN(free) char *parts = meta_parts(row);
	int64_t count;

	if (parts == NULL)
		return;
	(void)range_of_part(parts, 1, row->size, &count); /* the count is wanted */
	buf_puts(b, "<ObjectParts>");
	xml_element_i64(b, "PartsCount", count);
	buf_puts(b, "</ObjectParts>");
}

int op_get_attributes(struct s3_request *r)
{
	CLEAN(tx_find) struct tx_find find = { 0 };
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (s3_header(r, "x-amz-object-attributes") == NULL)
		return s3_fail_text(r, "InvalidArgument",
				    "x-amz-object-attributes must name at least one of "
				    "ETag, Checksum, StorageClass, ObjectSize.");
	if (find_and_open(r, &find, NULL) != 0)
		return -1;
	buf_puts(&b, XML_HEAD "<GetObjectAttributesOutput" XML_NS ">");
	if (is_asked_for(r, "ETag"))
		xml_element(&b, "ETag", find.row.etag);
	if (is_asked_for(r, "Checksum"))
		put_checksum(&b, &find.row);
	if (is_asked_for(r, "ObjectParts"))
		put_part_count(&b, &find.row);
	if (is_asked_for(r, "StorageClass"))
		xml_element(&b, "StorageClass", "STANDARD");
	if (is_asked_for(r, "ObjectSize"))
		xml_element_i64(&b, "ObjectSize", find.row.size);
	buf_puts(&b, "</GetObjectAttributesOutput>");
	s3_answer_xml(r, 200, &b);
	meta_put_modified(r, &find.row);
	return 0;
}

int s3_commit_object(struct s3_request *r, struct blob *b, struct object_row *row)
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
	r->versioned = put.versioned;
	return 0;
}

int op_put_object(struct s3_request *r)
{
	CLEAN(object_row) struct object_row row = { 0 };

	if (r->upload == NULL)
		return s3_copy_object(r);
	row.etag = mh_strdup(r->upload->etag);
	row.size = r->upload->size;
	if (meta_from_request(r, &row) != 0 ||
	    s3_commit_object(r, &r->upload->blob, &row) != 0)
		return -1;
	s3_answer_empty(r, 200);
	s3_answer_etag(r, row.etag);
	s3_answer_version(r, row.version_id);
	meta_echo_encryption(r);
	if (r->upload->checksum != NULL) {
		s3_answer_header(r, r->upload->checksum->header,
				 r->upload->checksum_value);
		s3_answer_header(r, META_CHECKSUM_TYPE, "FULL_OBJECT");
	}
	return 0;
}

int op_delete_object(struct s3_request *r)
{
	struct tx_delete d = { .bucket = r->target.bucket,
			       .key = r->target.key,
			       .version = s3_param(r, "versionId"),
			       .if_match = s3_header(r, MHD_HTTP_HEADER_IF_MATCH) };
	int rc = s3_call(r, tx_delete, &d);

	if (rc == 0) {
		blob_remove(&r->s3->blobs, d.file);
		s3_answer_empty(r, 204);
		s3_answer_header(r, "x-amz-version-id", d.told);
		s3_answer_header(r, "x-amz-delete-marker", d.marker ? "true" : NULL);
	}
	tx_delete_done(&d);
	return rc;
}
