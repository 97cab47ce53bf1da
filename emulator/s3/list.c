/* ListObjects and ListObjectsV2: pages over keys in order, with common prefixes. */
#include <string.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

#define KEYS_MAX 1000

struct listing {
	const char *bucket;
	const char *prefix, *delimiter; /* delimiter "" for none */
	const char *after; /* keys (and common prefixes) up to it are left out */
	int64_t max;
	bool encode; /* encoding-type=url */
	bool owner;
	const char *account;

	struct buf contents, prefixes; /* out: XML */
	int64_t count;
	bool truncated;
	char *last; /* the last key or common prefix told */
};

static void put_name(struct listing *l, struct buf *b, const char *element,
		     const char *name)
{
	CLEAN(free)
	char *encoded = l->encode ? uri_encode(name, strlen(name), true) : NULL;

	xml_element(b, element, encoded ? encoded : name);
}

static void put_object(struct listing *l, const char *key, const struct object_row *row)
{
	struct buf *b = &l->contents;
	CLEAN(free) char *etag = mh_format("\"%s\"", row->etag);

	buf_puts(b, "<Contents>");
	put_name(l, b, "Key", key);
	xml_element_time(b, "LastModified", row->modified_ms);
	xml_element(b, "ETag", etag);
	xml_element_i64(b, "Size", row->size);
	if (l->owner) {
		buf_puts(b, "<Owner>");
		xml_element(b, "ID", l->account);
		xml_element(b, "DisplayName", l->account);
		buf_puts(b, "</Owner>");
	}
	buf_puts(b, "<StorageClass>STANDARD</StorageClass></Contents>");
}

static void put_prefix(struct listing *l, const char *prefix)
{
	buf_puts(&l->prefixes, "<CommonPrefixes>");
	put_name(l, &l->prefixes, "Prefix", prefix);
	buf_puts(&l->prefixes, "</CommonPrefixes>");
}

/* The part of the key up to the first delimiter after the prefix, or NULL. */
static char *common_prefix(const struct listing *l, const char *key)
{
	const char *at;

	if (l->delimiter[0] == '\0')
		return NULL;
	at = strstr(key + strlen(l->prefix), l->delimiter);
	if (at == NULL)
		return NULL;
	return mh_strndup(key, (size_t)(at - key) + strlen(l->delimiter));
}

/* The first place after everything that begins with s: no UTF-8 text holds 0xff. */
static char *after_all(const char *s)
{
	return mh_format("%s\xff", s);
}

/* The first place after the key itself: keys hold no zero byte. */
static char *after_key(const char *key)
{
	return mh_format("%s\x01", key);
}

/* Where a listing that goes on after `after` begins. A common prefix that was told
 * covers all that begins with it. */
static char *first_place(const struct listing *l)
{
	size_t len = strlen(l->after), dlen = strlen(l->delimiter);

	if (len == 0)
		return mh_strdup("");
	if (dlen > 0 && len >= strlen(l->prefix) + dlen &&
	    str_starts_with(l->after, l->prefix) &&
	    strcmp(l->after + len - dlen, l->delimiter) == 0)
		return after_all(l->after);
	return after_key(l->after);
}

/* One key or one common prefix; *place moves behind it. */
static void take_entry(struct listing *l, const char *key, const struct object_row *row,
		       char **place)
{
	char *prefix = common_prefix(l, key);

	free(*place);
	free(l->last);
	if (prefix != NULL) {
		put_prefix(l, prefix);
		*place = after_all(prefix);
		l->last = prefix;
	} else {
		put_object(l, key, row);
		*place = after_key(key);
		l->last = mh_strdup(key);
	}
	l->count++;
}

static int fill_page(struct op_ctx *ctx, struct listing *l, struct mh_err *err)
{
	CLEAN(free) char *place = first_place(l);

	if (l->max == 0)
		return 0;
	for (;;) {
		CLEAN(object_row) struct object_row row = { 0 };
		CLEAN(free) char *key = NULL;
		bool found;

		if (object_next(ctx->store, l->bucket, l->prefix, place, &key, &row,
				&found, err) != 0)
			return -1;
		if (!found)
			return 0;
		if (l->count == l->max) {
			l->truncated = true;
			return 0;
		}
		take_entry(l, key, &row, &place);
	}
}

static int tx_list(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct listing *l = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (tx_bucket_must_exist(ctx, (void *)(uintptr_t)l->bucket, err) != 0)
		return -1;
	return fill_page(ctx, l, &cause) == 0 ? 0 : api_fail_internal(err, &cause);
}

static const char *param_or(struct s3_request *r, const char *name, const char *fallback)
{
	const char *value = s3_param(r, name);

	return value != NULL ? value : fallback;
}

static int parse_listing(struct s3_request *r, struct listing *l)
{
	const char *encoding = s3_param(r, "encoding-type");

	l->bucket = r->target.bucket;
	l->account = r->s3->settings->account;
	l->prefix = param_or(r, "prefix", "");
	l->delimiter = param_or(r, "delimiter", "");
	l->after = "";
	l->max = KEYS_MAX;
	buf_init(&l->contents, S3_XML_MAX);
	buf_init(&l->prefixes, S3_XML_MAX);
	if (s3_count_param(r, "max-keys", KEYS_MAX, &l->max) != 0)
		return -1;
	if (encoding != NULL && strcmp(encoding, "url") != 0)
		return s3_fail_text(r, "InvalidArgument",
				    "Invalid Encoding Method specified in Request");
	l->encode = encoding != NULL;
	if (!str_is_utf8(l->prefix, strlen(l->prefix)) ||
	    !str_is_utf8(l->delimiter, strlen(l->delimiter)))
		return s3_fail_text(r, "InvalidArgument",
				    "The prefix and the delimiter must be UTF-8.");
	return 0;
}

static void listing_done(struct listing *l)
{
	buf_done(&l->contents);
	buf_done(&l->prefixes);
	free(l->last);
}

static void put_common(struct listing *l, struct buf *b)
{
	buf_puts(b, XML_HEAD "<ListBucketResult" XML_NS ">");
	xml_element(b, "Name", l->bucket);
	put_name(l, b, "Prefix", l->prefix);
	if (l->delimiter[0] != '\0')
		put_name(l, b, "Delimiter", l->delimiter);
	xml_element_i64(b, "MaxKeys", l->max);
	if (l->encode)
		xml_element(b, "EncodingType", "url");
	xml_element(b, "IsTruncated", l->truncated ? "true" : "false");
}

static int put_entries(struct s3_request *r, struct listing *l, struct buf *b)
{
	struct mh_err err = MH_ERR_INIT;

	if (buf_add(b, buf_text(&l->contents), l->contents.len, &err) != 0 ||
	    buf_add(b, buf_text(&l->prefixes), l->prefixes.len, &err) != 0)
		return s3_fail_internal(r, &err);
	buf_puts(b, "</ListBucketResult>");
	s3_answer_xml(r, 200, b);
	return 0;
}

static int answer_v1(struct s3_request *r, struct listing *l)
{
	CLEAN(buf) struct buf b = BUF_INIT(2 * S3_XML_MAX);

	put_common(l, &b);
	put_name(l, &b, "Marker", param_or(r, "marker", ""));
	/* S3 tells NextMarker only with a delimiter; without, the last key serves. */
	if (l->truncated && l->delimiter[0] != '\0')
		put_name(l, &b, "NextMarker", l->last);
	return put_entries(r, l, &b);
}

int op_list_v1(struct s3_request *r)
{
	struct listing l = { 0 };
	int rc = parse_listing(r, &l);

	l.owner = true;
	if (rc == 0) {
		l.after = param_or(r, "marker", "");
		rc = s3_call(r, tx_list, &l);
	}
	if (rc == 0)
		rc = answer_v1(r, &l);
	listing_done(&l);
	return rc;
}

/* A continuation token is the last entry told, in base64: it needs no memory here. */
static int parse_token(struct s3_request *r, char **ret)
{
	const char *token = s3_param(r, "continuation-token");
	unsigned char *raw = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t len;

	if (token == NULL)
		return 0;
	if (str_unbase64(token, &raw, &len, &err) == 0) {
		*ret = mh_strndup((char *)raw, len);
		free(raw);
		if (strlen(*ret) == len && str_is_utf8(*ret, len))
			return 0;
	}
	return s3_fail_text(r, "InvalidArgument",
			    "The continuation token provided is incorrect");
}

static int answer_v2(struct s3_request *r, struct listing *l)
{
	CLEAN(buf) struct buf b = BUF_INIT(2 * S3_XML_MAX);
	const char *start = s3_param(r, "start-after");

	put_common(l, &b);
	xml_element_i64(&b, "KeyCount", l->count);
	xml_element(&b, "ContinuationToken", s3_param(r, "continuation-token"));
	if (start != NULL)
		put_name(l, &b, "StartAfter", start);
	if (l->truncated) {
		CLEAN(free) char *token = str_base64(l->last, strlen(l->last));

		xml_element(&b, "NextContinuationToken", token);
	}
	return put_entries(r, l, &b);
}

int op_list_v2(struct s3_request *r)
{
	struct listing l = { 0 };
	CLEAN(free) char *token = NULL;
	int rc = parse_listing(r, &l);

	if (rc == 0)
		rc = parse_token(r, &token);
	if (rc == 0) {
		l.owner = strcmp(param_or(r, "fetch-owner", ""), "true") == 0;
		l.after = token != NULL ? token : param_or(r, "start-after", "");
		rc = s3_call(r, tx_list, &l);
	}
	if (rc == 0)
		rc = answer_v2(r, &l);
	listing_done(&l);
	return rc;
}
