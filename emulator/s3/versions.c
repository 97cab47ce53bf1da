/* A bucket's versions: switched on, suspended, listed. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/s3/xml_read.h"
#include "emulator/store/versions.h"
#include "lib/base/str.h"

#define VERSIONS_MAX 1000

/* ---- GetBucketVersioning, PutBucketVersioning ---- */

struct tx_versioning {
	char *bucket;
	char status[BUCKET_VERSIONING_SIZE]; /* in to set, out to get */
	bool set;
};

static int tx_versioning(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_versioning *v = arg;
	struct mh_err cause = MH_ERR_INIT;
	int rc;

	if (tx_bucket_must_exist(ctx, v->bucket, err) != 0)
		return -1;
	rc = v->set ? bucket_set_versioning(ctx->store, v->bucket, v->status, &cause)
		    : bucket_versioning(ctx->store, v->bucket, v->status, &cause);
	return rc == 0 ? 0 : api_fail_internal(err, &cause);
}

/* Never switched on: S3 then says nothing at all. */
int op_get_versioning(struct s3_request *r)
{
	struct tx_versioning v = { .bucket = r->target.bucket };
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (s3_call(r, tx_versioning, &v) != 0)
		return -1;
	buf_puts(&b, XML_HEAD "<VersioningConfiguration" XML_NS ">");
	if (v.status[0] != '\0')
		xml_element(&b, "Status", v.status);
	buf_puts(&b, "</VersioningConfiguration>");
	s3_answer_xml(r, 200, &b);
	return 0;
}

static int take_status(void *ctx, int depth, const char *name, const char *text)
{
	struct tx_versioning *v = ctx;

	if (depth == 2 && strcmp(name, "MfaDelete") == 0)
		return strcmp(text, "Disabled") == 0 ? 0 : -1;
	if (depth != 2 || strcmp(name, "Status") != 0)
		return 0;
	if (strcmp(text, "Enabled") != 0 && strcmp(text, "Suspended") != 0)
		return -1;
	(void)snprintf(v->status, sizeof(v->status), "%s", text); /* one of the two */
	return 0;
}

int op_put_versioning(struct s3_request *r)
{
	struct tx_versioning v = { .bucket = r->target.bucket, .set = true };
	struct mh_err err = MH_ERR_INIT;

	if (xml_read(buf_text(&r->body), r->body.len, "VersioningConfiguration",
		     take_status, &v, &err) != 0)
		return s3_fail(r, "MalformedXML");
	if (v.status[0] == '\0')
		return s3_fail_text(r, "IllegalVersioningConfigurationException",
				    "The Versioning element must be specified");
	if (s3_call(r, tx_versioning, &v) != 0)
		return -1;
	s3_answer_empty(r, 200);
	return 0;
}

/* ---- ListObjectVersions ---- */

struct version_listing {
	const char *bucket, *prefix, *delimiter, *account;
	const char *key_marker, *version_marker; /* "" for none */
	int64_t max, count;
	bool encode, truncated;
	/* Where the listing stands: after this version of this key. */
	char *key;
	int64_t rank;
	bool told; /* the newest version of `key` was told, or is skipped */
	char *last_version; /* of the last entry; NULL: it was a common prefix */
	char *last_key;
	struct buf entries, prefixes;
};

static void put_name(const struct version_listing *l, struct buf *b, const char *element,
		     const char *name)
{
	CLEAN(free)
	char *encoded = l->encode ? uri_encode(name, strlen(name), true) : NULL;

	xml_element(b, element, encoded ? encoded : name);
}

static void put_version(struct version_listing *l, const char *key,
			const struct object_row *row, bool latest)
{
	const char *element = row->file_id ? "Version" : "DeleteMarker";
	struct buf *b = &l->entries;

	buf_printf(b, "<%s>", element);
	put_name(l, b, "Key", key);
	xml_element(b, "VersionId", row->version_id);
	xml_element(b, "IsLatest", latest ? "true" : "false");
	xml_element_time(b, "LastModified", row->modified_ms);
	if (row->file_id != NULL) {
		CLEAN(free) char *etag = mh_format("\"%s\"", row->etag);

		xml_element(b, "ETag", etag);
		xml_element_i64(b, "Size", row->size);
		buf_puts(b, "<StorageClass>STANDARD</StorageClass>");
	}
	buf_puts(b, "<Owner>");
	xml_element(b, "ID", l->account);
	xml_element(b, "DisplayName", l->account);
	buf_printf(b, "</Owner></%s>", element);
}

/* The part of the key up to the first delimiter after the prefix, or NULL. */
static char *common_prefix(const struct version_listing *l, const char *key)
{
	const char *at;

	if (l->delimiter[0] == '\0')
		return NULL;
	at = strstr(key + strlen(l->prefix), l->delimiter);
	return at ? mh_strndup(key, (size_t)(at - key) + strlen(l->delimiter)) : NULL;
}

static void move_to(struct version_listing *l, char *take_key, int64_t rank)
{
	free(l->key);
	l->key = take_key;
	l->rank = rank;
}

static void remember(struct version_listing *l, const char *key, const char *version)
{
	free(l->last_key);
	free(l->last_version);
	l->last_key = mh_strdup(key);
	l->last_version = mh_strdup(version);
}

static void take_entry(struct version_listing *l, const char *key,
		       const struct object_row *row)
{
	CLEAN(free) char *prefix = common_prefix(l, key);

	l->count++;
	if (prefix != NULL) {
		buf_puts(&l->prefixes, "<CommonPrefixes>");
		put_name(l, &l->prefixes, "Prefix", prefix);
		buf_puts(&l->prefixes, "</CommonPrefixes>");
		remember(l, prefix, NULL);
		/* 0xff is in no UTF-8 text: behind all that begins so */
		move_to(l, mh_format("%s\xff", prefix), INT64_MIN);
		l->told = false;
		return;
	}
	put_version(l, key, row, !l->told || strcmp(key, l->key) != 0);
	remember(l, key, row->version_id);
	move_to(l, mh_strdup(key), row->rank);
	l->told = true;
}

/* Where a listing goes on: behind all of the marker's key, or behind one version. */
static int start(struct op_ctx *ctx, struct version_listing *l, struct mh_err *err)
{
	CLEAN(object_row) struct object_row row = { 0 };
	size_t len = strlen(l->key_marker), dlen = strlen(l->delimiter);
	bool found = false;

	l->told = true;
	if (len == 0) {
		move_to(l, mh_strdup(""), INT64_MIN);
		return 0;
	}
	if (dlen > 0 && len >= dlen && str_starts_with(l->key_marker, l->prefix) &&
	    strcmp(l->key_marker + len - dlen, l->delimiter) == 0) {
		move_to(l, mh_format("%s\xff", l->key_marker), INT64_MIN);
		return 0;
	}
	if (l->version_marker[0] != '\0' &&
	    version_find(ctx->store, l->bucket, l->key_marker, l->version_marker, &row,
			 &found, err) != 0)
		return -1;
	move_to(l, mh_strdup(l->key_marker), found ? row.rank : INT64_MAX);
	return 0;
}

static int fill_page(struct op_ctx *ctx, struct version_listing *l, struct mh_err *err)
{
	if (start(ctx, l, err) != 0)
		return -1;
	while (l->max > 0) {
		CLEAN(object_row) struct object_row row = { 0 };
		CLEAN(free) char *key = NULL;
		bool found;

		if (version_next(ctx->store, l->bucket, l->prefix, l->key, l->rank, &key,
				 &row, &found, err) != 0)
			return -1;
		if (!found)
			return 0;
		if (l->count == l->max) {
			l->truncated = true;
			return 0;
		}
		take_entry(l, key, &row);
	}
	return 0;
}

static int tx_list(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct version_listing *l = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (tx_bucket_must_exist(ctx, (void *)(uintptr_t)l->bucket, err) != 0)
		return -1;
	return fill_page(ctx, l, &cause) == 0 ? 0 : api_fail_internal(err, &cause);
}

static const char *param_or_none(struct s3_request *r, const char *name)
{
	const char *value = s3_param(r, name);

	return value != NULL ? value : "";
}

static int parse(struct s3_request *r, struct version_listing *l)
{
	const char *encoding = s3_param(r, "encoding-type");

	*l = (struct version_listing){
		.bucket = r->target.bucket,
		.prefix = param_or_none(r, "prefix"),
		.delimiter = param_or_none(r, "delimiter"),
		.account = r->s3->settings->account,
		.key_marker = param_or_none(r, "key-marker"),
		.version_marker = param_or_none(r, "version-id-marker"),
		.max = VERSIONS_MAX,
	};
	buf_init(&l->entries, S3_XML_MAX);
	buf_init(&l->prefixes, S3_XML_MAX);
	if (l->version_marker[0] != '\0' && l->key_marker[0] == '\0')
		return s3_fail_text(r, "InvalidArgument",
				    "A version-id marker cannot be specified without a "
				    "key marker.");
	if (encoding != NULL && strcmp(encoding, "url") != 0)
		return s3_fail_text(r, "InvalidArgument",
				    "Invalid Encoding Method specified in Request");
	l->encode = encoding != NULL;
	return s3_count_param(r, "max-keys", VERSIONS_MAX, &l->max);
}

static void answer(struct s3_request *r, struct version_listing *l)
{
	CLEAN(buf) struct buf b = BUF_INIT(2 * S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<ListVersionsResult" XML_NS ">");
	xml_element(&b, "Name", l->bucket);
	put_name(l, &b, "Prefix", l->prefix);
	put_name(l, &b, "KeyMarker", l->key_marker);
	xml_element(&b, "VersionIdMarker", l->version_marker);
	if (l->truncated) {
		put_name(l, &b, "NextKeyMarker", l->last_key);
		xml_element(&b, "NextVersionIdMarker", l->last_version);
	}
	xml_element_i64(&b, "MaxKeys", l->max);
	if (l->delimiter[0] != '\0')
		put_name(l, &b, "Delimiter", l->delimiter);
	if (l->encode)
		xml_element(&b, "EncodingType", "url");
	xml_element(&b, "IsTruncated", l->truncated ? "true" : "false");
	buf_puts(&b, buf_text(&l->entries));
	buf_puts(&b, buf_text(&l->prefixes));
	buf_puts(&b, "</ListVersionsResult>");
	s3_answer_xml(r, 200, &b);
}

int op_list_versions(struct s3_request *r)
{
	struct version_listing l;
	int rc = parse(r, &l);

	if (rc == 0)
		rc = s3_call(r, tx_list, &l);
	if (rc == 0)
		answer(r, &l);
	buf_done(&l.entries);
	buf_done(&l.prefixes);
	free(l.key);
	free(l.last_key);
	free(l.last_version);
	return rc;
}
