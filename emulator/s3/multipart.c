/* Multipart uploads: created, filled part by part, their parts listed, aborted. */
#include <string.h>

#include <sodium.h>

#include "emulator/s3/multipart.h"
#include "lib/base/str.h"

#define PARTS_PAGE 1000
#define ID_BYTES   24

/* ---- shared ---- */

const char *multipart_id(struct s3_request *r)
{
	const char *id = s3_param(r, "uploadId");

	return id != NULL ? id : "";
}

/* An upload is named by its id and the object it is for. */
int multipart_need(struct op_ctx *ctx, const char *id, const struct target *t,
		   struct multipart_row *ret, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	bool found;

	if (multipart_find(ctx->store, id, ret, &found, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (!found || strcmp(ret->bucket, t->bucket) != 0 ||
	    strcmp(ret->key, t->key) != 0)
		return api_fail(err, "NoSuchUpload", "no upload %s", id);
	return 0;
}

static bool take_file(void *ctx, const struct part_row *part)
{
	struct file_list *list = ctx;

	list->ids = mh_realloc(list->ids, (list->count + 1) * sizeof(*list->ids));
	list->ids[list->count++] = mh_strdup(part->file_id);
	return true;
}

/* Takes the upload's rows away; files says what to remove after the commit. */
int multipart_drop(struct op_ctx *ctx, const char *id, struct file_list *files,
		   struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	if (part_each(ctx->store, id, 0, take_file, files, &cause) != 0 ||
	    multipart_delete(ctx->store, id, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

void file_list_done(struct s3 *s3, struct file_list *files, bool remove)
{
	for (size_t i = 0; i < files->count; i++) {
		if (remove)
			blob_remove(&s3->blobs, files->ids[i]);
		free(files->ids[i]);
	}
	free(files->ids);
}

/* ---- CreateMultipartUpload ---- */

struct tx_create {
	const char *id;
	struct multipart_row row;
};

static int tx_create(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_create *c = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (tx_bucket_must_exist(ctx, c->row.bucket, err) != 0)
		return -1;
	c->row.created_ms = ctx->now_ms;
	if (multipart_create(ctx->store, c->id, &c->row, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

static void answer_created(struct s3_request *r, const char *id)
{
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<InitiateMultipartUploadResult" XML_NS ">");
	xml_element(&b, "Bucket", r->target.bucket);
	xml_element(&b, "Key", r->target.key);
	xml_element(&b, "UploadId", id);
	buf_puts(&b, "</InitiateMultipartUploadResult>");
	s3_answer_xml(r, 200, &b);
	meta_echo_encryption(r);
}

/* Which checksum the parts will have, and how the object's is made from theirs: kept
 * beside what the object will be described by. */
static int choose_checksum(struct s3_request *r, struct object_row *meta)
{
	const char *algorithm = s3_header(r, MULTIPART_ALGORITHM);
	const char *type = s3_header(r, META_CHECKSUM_TYPE);
	const struct checksum_name *c = algorithm ? checksum_by_algorithm(algorithm)
						  : NULL;
	bool whole;

	if (algorithm == NULL && type == NULL)
		return 0;
	if (c == NULL)
		return s3_fail_text(r, "InvalidRequest",
				    "Checksum algorithm provided is unsupported. Please "
				    "try again with any of the valid types: [CRC32, "
				    "CRC32C, CRC64NVME, SHA1, SHA256]");
	whole = type ? strcmp(type, "FULL_OBJECT") == 0 : c->kind == DIGEST_CRC64NVME;
	if (type != NULL && !whole && strcmp(type, "COMPOSITE") != 0)
		return s3_fail_text(r, "InvalidRequest",
				    "Value for x-amz-checksum-type header is invalid.");
	if ((whole && !digest_is_crc(c->kind)) || (!whole && c->kind == DIGEST_CRC64NVME))
		return s3_fail_text(
			r, "InvalidRequest",
			"The %s checksum type cannot be used with the %s checksum "
			"algorithm.",
			whole ? "FULL_OBJECT" : "COMPOSITE", c->algorithm);
	meta_set_checksum(meta, c, "", whole ? "FULL_OBJECT" : "COMPOSITE");
	return 0;
}

static void answer_checksum(struct s3_request *r, const struct object_row *meta)
{
	const struct checksum_name *c = meta_checksum_of(meta);

	if (c == NULL)
		return;
	s3_answer_header(r, MULTIPART_ALGORITHM, c->algorithm);
	s3_answer_header(r, META_CHECKSUM_TYPE, meta_checksum_type(meta->headers));
}

int op_create_multipart(struct s3_request *r)
{
	CLEAN(object_row) struct object_row meta = { 0 };
	unsigned char random[ID_BYTES];
	char id[2 * ID_BYTES + 1];
	struct tx_create c = { .id = id };

	if (meta_from_request(r, &meta) != 0 || choose_checksum(r, &meta) != 0)
		return -1;
	randombytes_buf(random, sizeof(random));
	str_hex(random, sizeof(random), id);
	c.row = (struct multipart_row){ .bucket = r->target.bucket,
					.key = r->target.key,
					.content_type = meta.content_type,
					.metadata = meta.metadata,
					.headers = meta.headers,
					.tags = meta.tags };
	if (s3_call(r, tx_create, &c) != 0)
		return -1;
	answer_created(r, id);
	answer_checksum(r, &meta);
	return 0;
}

/* ---- UploadPart, UploadPartCopy ---- */

struct tx_part {
	const struct target *target;
	const char *id;
	struct part_row part;
	const struct checksum_name *checksum; /* of the part; NULL: none */
	char *replaced; /* out */
};

/* A part's checksum is of the upload's algorithm, or of no use to it. */
static int check_algorithm(const struct multipart_row *row, struct tx_part *p,
			   struct api_error *err)
{
	const struct object_row meta = { .headers = row->headers };
	const struct checksum_name *wanted = meta_checksum_of(&meta);

	if (wanted == NULL || p->checksum == NULL) {
		p->part.checksum = NULL;
		return 0;
	}
	return p->checksum == wanted ? 0 : api_fail(err, "InvalidRequest", "checksum");
}

static int tx_put_part(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	CLEAN(multipart_row) struct multipart_row row = { 0 };
	struct tx_part *p = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (multipart_need(ctx, p->id, p->target, &row, err) != 0 ||
	    check_algorithm(&row, p, err) != 0)
		return -1;
	p->part.modified_ms = ctx->now_ms;
	if (part_put(ctx->store, p->id, &p->part, &p->replaced, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

/* Makes the blob the part that the request names. */
static int commit_part(struct s3_request *r, struct blob *b, struct tx_part *p)
{
	struct api_error err = { 0 };
	struct mh_err cause = MH_ERR_INIT;

	if (str_to_i64(s3_param(r, "partNumber"), 1, PARTS_MAX, "partNumber",
		       &p->part.number, &cause) != 0)
		return s3_fail_text(
			r, "InvalidArgument",
			"Part number must be an integer between 1 and %d, inclusive",
			PARTS_MAX);
	p->target = &r->target;
	p->id = multipart_id(r);
	p->part.file_id = b->id;
	if (s3_commit_blob(r->s3, b, tx_put_part, p, &p->replaced, &err) == 0)
		return 0;
	if (strcmp(err.code, "InvalidRequest") == 0)
		return s3_fail_text(r, "InvalidRequest",
				    "Checksum Type mismatch occurred, the upload was "
				    "created with another checksum algorithm than the "
				    "part's, which is %s.",
				    p->checksum->algorithm);
	return s3_fail_api(r, &err);
}

static void answer_part_copy(struct s3_request *r, const struct tx_part *p)
{
	CLEAN(free) char *quoted = mh_format("\"%s\"", p->part.etag);
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<CopyPartResult" XML_NS ">");
	xml_element_time(&b, "LastModified", p->part.modified_ms);
	xml_element(&b, "ETag", quoted);
	buf_puts(&b, "</CopyPartResult>");
	s3_answer_xml(r, 200, &b);
}

/* The bytes that x-amz-copy-source-range names, or all. */
static int copy_range(struct s3_request *r, const struct object_row *source, int fd,
		      struct blob *b, struct tx_part *p, char etag[33])
{
	struct range range = range_parse(s3_header(r, "x-amz-copy-source-range"),
					 source->size);
	unsigned char md5[DIGEST_MAX_SIZE];
	struct mh_err err = MH_ERR_INIT;
	struct digests d;
	int rc;

	if (range.kind == RANGE_UNSATISFIABLE)
		return s3_fail(r, "InvalidRange");
	if (lseek(fd, range.start, SEEK_SET) < 0) {
		(void)mh_err_sys(&err, "cannot read the source's file"); /* told below */
		return s3_fail_internal(r, &err);
	}
	digests_init(&d, DIGEST_BIT(DIGEST_MD5));
	rc = blob_copy_from(b, fd, range.len, &d, &p->part.size, &err);
	if (rc == 0) {
		(void)digests_end(&d, DIGEST_MD5, md5); /* always 16 bytes */
		str_hex(md5, 16, etag);
		p->part.etag = etag;
	} else {
		(void)s3_fail_internal(r, &err); /* rc says it */
	}
	digests_done(&d);
	return rc;
}

static int copy_part(struct s3_request *r)
{
	CLEAN(object_row) struct object_row source = { 0 };
	struct mh_err err = MH_ERR_INIT;
	struct blob b = BLOB_INIT;
	struct tx_part p = { 0 };
	CLEAN(fd) int fd = -1;
	char etag[33];
	int rc = -1;

	if (s3_open_copy_source(r, &source, &fd) != 0)
		return -1;
	if (blob_create(&r->s3->blobs, &b, &err) != 0)
		return s3_fail_internal(r, &err);
	if (copy_range(r, &source, fd, &b, &p, etag) == 0)
		rc = commit_part(r, &b, &p);
	blob_done(&r->s3->blobs, &b);
	if (rc == 0) {
		answer_part_copy(r, &p);
		s3_answer_header(r, "x-amz-copy-source-version-id", source.version_id);
	}
	return rc;
}

int op_upload_part(struct s3_request *r)
{
	struct upload *u = r->upload;
	struct tx_part p = { 0 };

	if (u == NULL)
		return copy_part(r);
	p.part.etag = u->etag;
	p.part.size = u->size;
	p.part.checksum = u->checksum_value;
	p.checksum = u->checksum;
	if (commit_part(r, &u->blob, &p) != 0)
		return -1;
	s3_answer_empty(r, 200);
	s3_answer_etag(r, u->etag);
	if (u->checksum != NULL)
		s3_answer_header(r, u->checksum->header, u->checksum_value);
	return 0;
}

/* ---- AbortMultipartUpload ---- */

struct tx_abort {
	const struct target *target;
	const char *id;
	struct file_list files;
};

static int tx_abort(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	CLEAN(multipart_row) struct multipart_row row = { 0 };
	struct tx_abort *a = arg;

	if (multipart_need(ctx, a->id, a->target, &row, err) != 0)
		return -1;
	return multipart_drop(ctx, a->id, &a->files, err);
}

int op_abort_multipart(struct s3_request *r)
{
	struct tx_abort a = { .target = &r->target, .id = multipart_id(r) };
	int rc = s3_call(r, tx_abort, &a);

	file_list_done(r->s3, &a.files, rc == 0);
	if (rc == 0)
		s3_answer_empty(r, 204);
	return rc;
}

/* ---- ListParts ---- */

struct part_listing {
	const struct target *target;
	const char *id;
	int64_t after, max, count, last;
	bool truncated;
	const struct checksum_name *checksum; /* of the upload; NULL: none */
	char *checksum_type;
	struct buf parts;
};

static bool put_part(void *ctx, const struct part_row *part)
{
	struct part_listing *l = ctx;
	CLEAN(free) char *etag = mh_format("\"%s\"", part->etag);

	if (l->count == l->max) {
		l->truncated = true;
		return false;
	}
	buf_puts(&l->parts, "<Part>");
	xml_element_i64(&l->parts, "PartNumber", part->number);
	xml_element_time(&l->parts, "LastModified", part->modified_ms);
	xml_element(&l->parts, "ETag", etag);
	xml_element_i64(&l->parts, "Size", part->size);
	if (l->checksum != NULL)
		xml_element(&l->parts, l->checksum->element, part->checksum);
	buf_puts(&l->parts, "</Part>");
	l->last = part->number;
	l->count++;
	return true;
}

static int tx_list_parts(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	CLEAN(multipart_row) struct multipart_row row = { 0 };
	struct part_listing *l = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (multipart_need(ctx, l->id, l->target, &row, err) != 0)
		return -1;
	l->checksum = meta_checksum_of(&(struct object_row){ .headers = row.headers });
	if (l->checksum != NULL)
		l->checksum_type = mh_strdup(meta_checksum_type(row.headers));
	if (part_each(ctx->store, l->id, l->after, put_part, l, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

static void answer_parts(struct s3_request *r, struct part_listing *l)
{
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<ListPartsResult" XML_NS ">");
	xml_element(&b, "Bucket", r->target.bucket);
	xml_element(&b, "Key", r->target.key);
	xml_element(&b, "UploadId", l->id);
	s3_put_owner(r, &b, "Initiator");
	s3_put_owner(r, &b, "Owner");
	buf_puts(&b, "<StorageClass>STANDARD</StorageClass>");
	if (l->checksum != NULL)
		xml_element(&b, "ChecksumAlgorithm", l->checksum->algorithm);
	xml_element(&b, "ChecksumType", l->checksum_type);
	xml_element_i64(&b, "PartNumberMarker", l->after);
	if (l->truncated)
		xml_element_i64(&b, "NextPartNumberMarker", l->last);
	xml_element_i64(&b, "MaxParts", l->max);
	xml_element(&b, "IsTruncated", l->truncated ? "true" : "false");
	buf_puts(&b, buf_text(&l->parts));
	buf_puts(&b, "</ListPartsResult>");
	s3_answer_xml(r, 200, &b);
}

int op_list_parts(struct s3_request *r)
{
	struct part_listing l = { .target = &r->target,
				  .id = multipart_id(r),
				  .max = PARTS_PAGE };
	int rc;

	buf_init(&l.parts, S3_XML_MAX / 2);
	rc = s3_count_param(r, "max-parts", PARTS_PAGE, &l.max) != 0 ||
			     s3_count_param(r, "part-number-marker", INT32_MAX,
					    &l.after) != 0
		     ? -1
		     : 0;
	if (rc == 0)
		rc = s3_call(r, tx_list_parts, &l);
	if (rc == 0)
		answer_parts(r, &l);
	buf_done(&l.parts);
	free(l.checksum_type);
	return rc;
}
