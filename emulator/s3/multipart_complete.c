/* CompleteMultipartUpload: many parts become one object. */
#include <stdio.h>
#include <string.h>

#include "emulator/s3/multipart.h"
#include "emulator/s3/xml_read.h"
#include "lib/base/str.h"

#define PART_MIN_BYTES (5 * 1024 * 1024) /* of all but the last */

struct completion {
	struct s3_request *request;
	const char *id;
	struct multipart_row upload;

	struct wanted_part {
		int64_t number;
		char etag[40];
		char checksum[64]; /* base64; "": none is told, or known */
		char file_id[BLOB_ID_SIZE]; /* "": not found yet */
		int64_t size;
	} * parts;
	size_t count;
	struct wanted_part next; /* being read */
	size_t matched;

	struct tx_put put;
	struct file_list files;
	bool out_of_order, mismatch;
};

static bool is_checksum(const char *element)
{
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		if (strcmp(element, checksum_names[i].element) == 0)
			return true;
	return false;
}

static int take_element(void *ctx, int depth, const char *name, const char *text)
{
	struct completion *c = ctx;
	struct mh_err err = MH_ERR_INIT;

	if (depth == 3 && strcmp(name, "PartNumber") == 0)
		return str_to_i64(text, 1, PARTS_MAX, "PartNumber", &c->next.number,
				  &err);
	if (depth == 3 && strcmp(name, "ETag") == 0) {
		const char *p = text + (text[0] == '"');

		(void)snprintf(c->next.etag, sizeof(c->next.etag), "%.*s",
			       (int)strcspn(p, "\""), p); /* cut, it matches nothing */
	}
	if (depth == 3 && is_checksum(name))
		(void)snprintf(c->next.checksum, sizeof(c->next.checksum), "%s",
			       text); /* as above */
	if (depth != 2 || strcmp(name, "Part") != 0)
		return 0;
	if (c->next.number == 0 || c->count == PARTS_MAX)
		return -1;
	if (c->count > 0 && c->next.number <= c->parts[c->count - 1].number)
		c->out_of_order = true;
	c->parts = mh_realloc(c->parts, (c->count + 1) * sizeof(*c->parts));
	c->parts[c->count++] = c->next;
	c->next = (struct wanted_part){ 0 };
	return 0;
}

static int parse_completion(struct s3_request *r, struct completion *c)
{
	struct mh_err err = MH_ERR_INIT;

	if (xml_read(buf_text(&r->body), r->body.len, "CompleteMultipartUpload",
		     take_element, c, &err) != 0 ||
	    c->count == 0)
		return s3_fail(r, "MalformedXML");
	return c->out_of_order ? s3_fail(r, "InvalidPartOrder") : 0;
}

/* Parts come by number, as the wanted ones stand. */
static bool match_part(void *ctx, const struct part_row *part)
{
	struct completion *c = ctx;
	struct wanted_part *want = &c->parts[c->matched];

	if (part->number < want->number)
		return true; /* uploaded, but not wanted */
	if (part->number > want->number || strcmp(part->etag, want->etag) != 0 ||
	    (want->checksum[0] != '\0' && part->checksum != NULL &&
	     strcmp(part->checksum, want->checksum) != 0)) {
		c->mismatch = true;
		return false;
	}
	(void)snprintf(want->checksum, sizeof(want->checksum), "%s",
		       part->checksum ? part->checksum : ""); /* fits */
	want->size = part->size;
	(void)snprintf(want->file_id, sizeof(want->file_id), "%s",
		       part->file_id); /* fits */
	return ++c->matched < c->count;
}

static int tx_match_parts(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct completion *c = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (multipart_need(ctx, c->id, &c->request->target, &c->upload, err) != 0)
		return -1;
	if (part_each(ctx->store, c->id, 0, match_part, c, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (c->mismatch || c->matched < c->count)
		return api_fail(err, "InvalidPart", "a part is missing or another one");
	return 0;
}

static int check_sizes(struct s3_request *r, const struct completion *c)
{
	int64_t total = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (i + 1 < c->count && c->parts[i].size < PART_MIN_BYTES)
			return s3_fail(r, "EntityTooSmall");
		total += c->parts[i].size;
	}
	return total > r->s3->settings->max_object_bytes ? s3_fail(r, "EntityTooLarge")
							 : 0;
}

static int append_part(struct s3_request *r, struct blob *b,
		       const struct wanted_part *part)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(fd) int fd = -1;
	int64_t size;

	if (blob_open(&r->s3->blobs, part->file_id, &fd, &err) != 0)
		return err.cls == MH_E_NOTFOUND ? s3_fail(r, "InvalidPart")
						: s3_fail_internal(r, &err);
	if (blob_copy_from(b, fd, INT64_MAX, NULL, &size, &err) != 0)
		return s3_fail_internal(r, &err);
	return 0;
}

/* S3's form: the MD5 of the parts' MD5s, and how many there were. */
static char *multipart_etag(const struct completion *c)
{
	unsigned char md5[DIGEST_MAX_SIZE];
	struct digests d;
	char hex[33];

	digests_init(&d, DIGEST_BIT(DIGEST_MD5));
	for (size_t i = 0; i < c->count; i++) {
		MH_ASSERT(str_unhex(c->parts[i].etag, md5, 16)); /* we made it */
		digests_update(&d, md5, 16);
	}
	(void)digests_end(&d, DIGEST_MD5, md5); /* always 16 bytes */
	digests_done(&d);
	str_hex(md5, 16, hex);
	return mh_format("%s-%zu", hex, c->count);
}

/* ---- the object's checksum, from its parts' ---- */

static size_t part_checksum(const struct completion *c, size_t i,
			    unsigned char out[DIGEST_MAX_SIZE])
{
	CLEAN(free) unsigned char *raw = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t len = 0;

	if (str_unbase64(c->parts[i].checksum, &raw, &len, &err) != 0 ||
	    len > DIGEST_MAX_SIZE)
		return 0; /* what was stored was verified */
	memcpy(out, raw, len);
	return len;
}

/* As if the whole object had been read. */
static char *whole_checksum(const struct completion *c, enum digest_kind kind)
{
	unsigned char all[DIGEST_MAX_SIZE] = { 0 }, one[DIGEST_MAX_SIZE] = { 0 };
	size_t len = part_checksum(c, 0, all);

	for (size_t i = 1; i < c->count; i++) {
		(void)part_checksum(c, i, one); /* of the same length */
		digest_crc_join(kind, all, one, c->parts[i].size);
	}
	return str_base64(all, len);
}

/* The checksum of the parts' checksums, and how many there were. */
static char *composite_checksum(const struct completion *c, enum digest_kind kind)
{
	unsigned char raw[DIGEST_MAX_SIZE] = { 0 };
	CLEAN(free) char *value = NULL;
	struct digests d;

	digests_init(&d, DIGEST_BIT(kind));
	for (size_t i = 0; i < c->count; i++)
		digests_update(&d, raw, part_checksum(c, i, raw));
	value = str_base64(raw, digests_end(&d, kind, raw));
	digests_done(&d);
	return mh_format("%s-%zu", value, c->count);
}

static bool all_have_checksums(const struct completion *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->parts[i].checksum[0] == '\0')
			return false;
	return true;
}

/* Sets it, and holds it against what the request says it is. */
static int set_checksum(struct s3_request *r, const struct completion *c,
			struct object_row *row)
{
	const struct checksum_name *name = meta_checksum_of(row);
	const char *type = meta_checksum_type(row->headers);
	CLEAN(free) char *value = NULL;
	const char *promised;

	if (name == NULL)
		return 0;
	if (!all_have_checksums(c)) {
		meta_drop_checksum(row);
		return 0;
	}
	value = strcmp(type, "COMPOSITE") == 0 ? composite_checksum(c, name->kind)
					       : whole_checksum(c, name->kind);
	meta_set_checksum(row, name, value, type);
	promised = s3_header(r, name->header);
	if (promised != NULL && strcmp(promised, value) != 0)
		return s3_fail_text(
			r, "BadDigest",
			"The %s you specified did not match the calculated checksum.",
			name->algorithm);
	return 0;
}

static void set_parts(const struct completion *c, struct object_row *row)
{
	CLEAN(buf) struct buf b = BUF_INIT(PARTS_MAX * 24);

	for (size_t i = 0; i < c->count; i++)
		buf_printf(&b, "%s%lld", i > 0 ? "," : "", (long long)c->parts[i].size);
	meta_set_parts(row, buf_text(&b));
}

static int check_promised_size(struct s3_request *r, const struct object_row *row)
{
	const char *text = s3_header(r, "x-amz-mp-object-size");
	struct mh_err err = MH_ERR_INIT;
	int64_t size;

	if (text == NULL)
		return 0;
	if (str_to_i64(text, 0, INT64_MAX, "x-amz-mp-object-size", &size, &err) == 0 &&
	    size == row->size)
		return 0;
	return s3_fail_text(
		r, "InvalidRequest",
		"The provided 'x-amz-mp-object-size' header value %s does not "
		"match what was computed: %lld",
		text, (long long)row->size);
}

static int tx_complete(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	CLEAN(multipart_row) struct multipart_row row = { 0 };
	struct completion *c = arg;

	/* Aborted, or completed by another request meanwhile? */
	if (multipart_need(ctx, c->id, &c->request->target, &row, err) != 0 ||
	    tx_put(ctx, &c->put, err) != 0)
		return -1;
	return multipart_drop(ctx, c->id, &c->files, err);
}

static int assemble(struct s3_request *r, struct completion *c, struct blob *b,
		    struct object_row *row)
{
	for (size_t i = 0; i < c->count; i++) {
		if (append_part(r, b, &c->parts[i]) != 0)
			return -1;
		row->size += c->parts[i].size;
	}
	row->file_id = mh_strdup(b->id);
	row->etag = multipart_etag(c);
	row->content_type = STEAL_PTR(c->upload.content_type);
	row->metadata = STEAL_PTR(c->upload.metadata);
	row->headers = STEAL_PTR(c->upload.headers);
	row->tags = STEAL_PTR(c->upload.tags);
	set_parts(c, row);
	return set_checksum(r, c, row) == 0 ? check_promised_size(r, row) : -1;
}

static void answer_completed(struct s3_request *r, const struct object_row *row)
{
	const char *host = s3_header(r, MHD_HTTP_HEADER_HOST);
	CLEAN(free) char *quoted = mh_format("\"%s\"", row->etag);
	const char *scheme = r->s3->settings->tls_cert ? "https://" : "http://";
	CLEAN(free)
	char *location = mh_format("%s%s%s", host ? scheme : "", host ? host : "",
				   r->target.path);
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<CompleteMultipartUploadResult" XML_NS ">");
	xml_element(&b, "Location", location);
	xml_element(&b, "Bucket", r->target.bucket);
	xml_element(&b, "Key", r->target.key);
	xml_element(&b, "ETag", quoted);
	meta_put_checksums(&b, row);
	buf_puts(&b, "</CompleteMultipartUploadResult>");
	s3_answer_xml(r, 200, &b);
	s3_answer_version(r, row->version_id);
}

static int complete(struct s3_request *r, struct completion *c)
{
	CLEAN(object_row) struct object_row row = { 0 };
	struct api_error err = { 0 };
	struct mh_err cause = MH_ERR_INIT;
	struct blob b = BLOB_INIT;
	int rc = -1;

	if (blob_create(&r->s3->blobs, &b, &cause) != 0)
		return s3_fail_internal(r, &cause);
	if (assemble(r, c, &b, &row) == 0) {
		c->put = (struct tx_put){
			.bucket = r->target.bucket,
			.key = r->target.key,
			.row = &row,
			.if_match = s3_header(r, MHD_HTTP_HEADER_IF_MATCH),
			.if_none_match = s3_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH),
		};
		rc = s3_commit_blob(r->s3, &b, tx_complete, c, &c->put.replaced, &err);
		if (rc != 0)
			(void)s3_fail_api(r, &err); /* rc says it */
	}
	blob_done(&r->s3->blobs, &b);
	if (rc == 0) {
		r->versioned = c->put.versioned;
		answer_completed(r, &row);
	}
	return rc;
}

int op_complete_multipart(struct s3_request *r)
{
	struct completion c = { .request = r, .id = multipart_id(r) };
	int rc = parse_completion(r, &c);

	if (rc == 0)
		rc = s3_call(r, tx_match_parts, &c);
	if (rc == 0)
		rc = check_sizes(r, &c);
	if (rc == 0)
		rc = complete(r, &c);
	file_list_done(r->s3, &c.files, rc == 0);
	multipart_row_done(&c.upload);
	free(c.parts);
	return rc;
}
