/* ListMultipartUploads: pages over the uploads under way, with common prefixes. */
#include <string.h>

#include "emulator/s3/multipart.h"
#include "lib/base/str.h"

#define UPLOADS_MAX 1000

struct upload_listing {
	struct s3_request *request;
	char *bucket;
	const char *prefix, *delimiter; /* "" for none */
	const char *key_marker, *id_marker; /* "" for none */
	int64_t max, count;
	bool encode, truncated;
	char *key, *id; /* the listing stands behind them */
	char *last_key, *last_id; /* of the last entry; last_id NULL: a common prefix */
	struct buf uploads, prefixes;
};

static void put_name(const struct upload_listing *l, struct buf *b, const char *element,
		     const char *name)
{
	CLEAN(free)
	char *encoded = l->encode ? uri_encode(name, strlen(name), true) : NULL;

	xml_element(b, element, encoded ? encoded : name);
}

static void put_upload(struct upload_listing *l, const char *id,
		       const struct multipart_row *row)
{
	const struct object_row meta = { .headers = row->headers };
	const struct checksum_name *c = meta_checksum_of(&meta);
	struct buf *b = &l->uploads;

	buf_puts(b, "<Upload>");
	put_name(l, b, "Key", row->key);
	xml_element(b, "UploadId", id);
	s3_put_owner(l->request, b, "Initiator");
	s3_put_owner(l->request, b, "Owner");
	buf_puts(b, "<StorageClass>STANDARD</StorageClass>");
	xml_element_time(b, "Initiated", row->created_ms);
	if (c != NULL) {
		xml_element(b, "ChecksumAlgorithm", c->algorithm);
		xml_element(b, "ChecksumType", meta_checksum_type(row->headers));
	}
	buf_puts(b, "</Upload>");
}

static void move_to(char **key, char **id, const char *new_key, const char *new_id)
{
	free(*key);
	free(*id);
	*key = mh_strdup(new_key);
	*id = mh_strdup(new_id);
}

static void take_entry(struct upload_listing *l, const char *id,
		       const struct multipart_row *row)
{
	const char *at = l->delimiter[0] == '\0'
				 ? NULL
				 : strstr(row->key + strlen(l->prefix), l->delimiter);
	CLEAN(free) char *prefix = NULL, *behind = NULL;

	l->count++;
	if (at == NULL) {
		put_upload(l, id, row);
		move_to(&l->key, &l->id, row->key, id);
		move_to(&l->last_key, &l->last_id, row->key, id);
		return;
	}
	prefix = mh_strndup(row->key, (size_t)(at - row->key) + strlen(l->delimiter));
	/* 0xff is in no UTF-8 text: behind all that begins so */
	behind = mh_format("%s\xff", prefix);
	buf_puts(&l->prefixes, "<CommonPrefixes>");
	put_name(l, &l->prefixes, "Prefix", prefix);
	buf_puts(&l->prefixes, "</CommonPrefixes>");
	move_to(&l->key, &l->id, behind, "");
	move_to(&l->last_key, &l->last_id, prefix, NULL);
}

/* Without an id the marker's whole key is left out, and all under a common prefix. */
static void start(struct upload_listing *l)
{
	size_t len = strlen(l->key_marker), dlen = strlen(l->delimiter);
	CLEAN(free) char *behind = mh_format("%s\xff", l->key_marker);

	if (dlen > 0 && len >= dlen &&
	    strcmp(l->key_marker + len - dlen, l->delimiter) == 0)
		move_to(&l->key, &l->id, behind, "");
	else if (l->id_marker[0] == '\0' && len > 0)
		move_to(&l->key, &l->id, l->key_marker, "\xff");
	else
		move_to(&l->key, &l->id, l->key_marker, l->id_marker);
}

static int fill_page(struct op_ctx *ctx, struct upload_listing *l, struct mh_err *err)
{
	start(l);
	while (l->max > 0) {
		CLEAN(multipart_row) struct multipart_row row = { 0 };
		CLEAN(free) char *id = NULL;
		bool found;

		if (multipart_next(ctx->store, l->bucket, l->prefix, l->key, l->id, &id,
				   &row, &found, err) != 0)
			return -1;
		if (!found)
			return 0;
		if (l->count == l->max) {
			l->truncated = true;
			return 0;
		}
		take_entry(l, id, &row);
	}
	return 0;
}

static int tx_list_uploads(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct upload_listing *l = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (tx_bucket_must_exist(ctx, l->bucket, err) != 0)
		return -1;
	return fill_page(ctx, l, &cause) == 0 ? 0 : api_fail_internal(err, &cause);
}

static void answer(struct s3_request *r, struct upload_listing *l)
{
	CLEAN(buf) struct buf b = BUF_INIT(2 * S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<ListMultipartUploadsResult" XML_NS ">");
	xml_element(&b, "Bucket", l->bucket);
	put_name(l, &b, "KeyMarker", l->key_marker);
	xml_element(&b, "UploadIdMarker", l->id_marker);
	if (l->truncated) {
		put_name(l, &b, "NextKeyMarker", l->last_key);
		xml_element(&b, "NextUploadIdMarker", l->last_id);
	}
	put_name(l, &b, "Prefix", l->prefix);
	if (l->delimiter[0] != '\0')
		put_name(l, &b, "Delimiter", l->delimiter);
	if (l->encode)
		xml_element(&b, "EncodingType", "url");
	xml_element_i64(&b, "MaxUploads", l->max);
	xml_element(&b, "IsTruncated", l->truncated ? "true" : "false");
	buf_puts(&b, buf_text(&l->uploads));
	buf_puts(&b, buf_text(&l->prefixes));
	buf_puts(&b, "</ListMultipartUploadsResult>");
	s3_answer_xml(r, 200, &b);
}

static const char *param_or_none(struct s3_request *r, const char *name)
{
	const char *value = s3_param(r, name);

	return value != NULL ? value : "";
}

int op_list_multiparts(struct s3_request *r)
{
	struct upload_listing l = {
		.request = r,
		.bucket = r->target.bucket,
		.prefix = param_or_none(r, "prefix"),
		.delimiter = param_or_none(r, "delimiter"),
		.key_marker = param_or_none(r, "key-marker"),
		.max = UPLOADS_MAX,
		.encode = strcmp(param_or_none(r, "encoding-type"), "url") == 0,
	};
	int rc = s3_count_param(r, "max-uploads", UPLOADS_MAX, &l.max);

	/* Without a key, S3 does not look at the id. */
	l.id_marker = l.key_marker[0] ? param_or_none(r, "upload-id-marker") : "";
	buf_init(&l.uploads, S3_XML_MAX);
	buf_init(&l.prefixes, S3_XML_MAX);
	if (rc == 0)
		rc = s3_call(r, tx_list_uploads, &l);
	if (rc == 0)
		answer(r, &l);
	buf_done(&l.uploads);
	buf_done(&l.prefixes);
	free(l.key);
	free(l.id);
	free(l.last_key);
	free(l.last_id);
	return rc;
}
