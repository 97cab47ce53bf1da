/* What is kept about an object beside its bytes: taken from a PUT's headers, given
 * back by GET and HEAD. */
#include <string.h>
#include <strings.h>

#include "emulator/s3/private.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define META_PREFIX "x-amz-meta-"

/* Headers that are kept as they are and given back. */
static const char *const kept_headers[] = {
	"cache-control",
	"content-disposition",
	"content-encoding",
	"content-language",
	"expires",
	"x-amz-server-side-encryption",
	"x-amz-server-side-encryption-aws-kms-key-id",
	"x-amz-server-side-encryption-bucket-key-enabled",
	"x-amz-server-side-encryption-context",
	"x-amz-storage-class",
	"x-amz-website-redirect-location",
};

/* Parameters of a GET that replace a header of its answer. */
static const struct {
	const char *param, *header;
} overrides[] = {
	{ "response-cache-control", "cache-control" },
	{ "response-content-disposition", "content-disposition" },
	{ "response-content-encoding", "content-encoding" },
	{ "response-content-language", "content-language" },
	{ "response-content-type", "content-type" },
	{ "response-expires", "expires" },
};

struct metadata {
	struct json_object *object;
	size_t bytes;
	bool bad;
};

static void lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s += 'a' - 'A';
}

static enum MHD_Result take_metadata(void *ctx, enum MHD_ValueKind kind, const char *name,
				     const char *value)
{
	struct metadata *m = ctx;
	CLEAN(free) char *key = NULL;

	(void)kind; /* headers alone are asked for */
	if (strncasecmp(name, META_PREFIX, strlen(META_PREFIX)) != 0)
		return MHD_YES;
	key = mh_strdup(name + strlen(META_PREFIX));
	lower(key);
	if (value == NULL)
		value = "";
	m->bytes += strlen(key) + strlen(value);
	if (!str_is_utf8(key, strlen(key)) || !str_is_utf8(value, strlen(value)))
		m->bad = true;
	else
		json_put_str(m->object, key, value);
	return MHD_YES;
}

static int read_metadata(struct s3_request *r, char **ret)
{
	CLEAN(json) struct json_object *object = json_object_new_object();
	struct metadata m = { .object = object };

	(void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, take_metadata,
					&m);
	if (m.bad)
		return s3_fail_text(r, "InvalidArgument",
				    "Metadata headers must be UTF-8; encode other values "
				    "(RFC 2047, base64).");
	if (m.bytes > S3_METADATA_MAX)
		return s3_fail(r, "MetadataTooLarge");
	*ret = mh_strdup(json_text(object));
	return 0;
}

/* "aws-chunked" says how the body came, not what the object is. */
static char *strip_aws_chunked(const char *value)
{
	CLEAN(buf) struct buf b = BUF_INIT(8192);
	const char *p = value;

	while (*p != '\0') {
		size_t len;

		p += strspn(p, " \t,");
		len = strcspn(p, ",");
		while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
			len--;
		if (len > 0 && b.len + len + 1 < b.max &&
		    !(len == strlen("aws-chunked") &&
		      strncasecmp(p, "aws-chunked", len) == 0))
			buf_printf(&b, "%s%.*s", b.len > 0 ? "," : "", (int)len, p);
		p += strcspn(p, ",");
	}
	return b.len > 0 ? buf_steal(&b) : NULL;
}

static void keep_header(struct json_object *object, const char *name, const char *value)
{
	CLEAN(free) char *stripped = NULL;

	if (value == NULL || !str_is_utf8(value, strlen(value)))
		return;
	if (strcmp(name, "content-encoding") == 0)
		value = stripped = strip_aws_chunked(value);
	json_put_str(object, name, value);
}

static int check_encryption(struct s3_request *r)
{
	const char *sse = s3_header(r, "x-amz-server-side-encryption");

	if (s3_header(r, "x-amz-server-side-encryption-customer-algorithm") != NULL)
		return s3_fail_text(
			r, "NotImplemented",
			"This server keeps no objects under customer-provided keys.");
	if (sse != NULL && strcmp(sse, "AES256") != 0 && strcmp(sse, "aws:kms") != 0 &&
	    strcmp(sse, "aws:kms:dsse") != 0)
		return s3_fail_text(r, "InvalidArgument",
				    "The encryption method specified is not supported");
	return 0;
}

int meta_from_request(struct s3_request *r, struct object_row *row)
{
	CLEAN(json) struct json_object *headers = json_object_new_object();
	const char *type = s3_header(r, MHD_HTTP_HEADER_CONTENT_TYPE);

	if (check_encryption(r) != 0 || read_metadata(r, &row->metadata) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kept_headers); i++)
		keep_header(headers, kept_headers[i], s3_header(r, kept_headers[i]));
	row->headers = mh_strdup(json_text(headers));
	if (r->upload != NULL && r->upload->checksum != NULL)
		meta_set_checksum(row, r->upload->checksum, r->upload->checksum_value,
				  "FULL_OBJECT");
	row->content_type = mh_strdup(type != NULL && type[0] != '\0' &&
						      str_is_utf8(type, strlen(type))
					      ? type
					      : "binary/octet-stream");
	return tags_from_header(r, s3_header(r, "x-amz-tagging"), &row->tags);
}

/* The rows' own JSON: what does not parse was damaged outside of this program, and is
 * then left out of the answer rather than failing it. */
static struct json_object *parse_own(const char *text)
{
	struct json_object *object = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (json_parse_object(text, strlen(text), &object, &err) != 0)
		return json_object_new_object();
	return object;
}

static const char *override_of(struct s3_request *r, const char *header)
{
	for (size_t i = 0; i < ARRAY_LEN(overrides); i++)
		if (strcmp(overrides[i].header, header) == 0)
			return s3_param(r, overrides[i].param);
	return NULL;
}

/* ---- checksums ---- */

static const struct checksum_name *find_checksum(struct json_object *headers)
{
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		if (json_opt_str(headers, checksum_names[i].header, NULL) != NULL)
			return &checksum_names[i];
	return NULL;
}

const struct checksum_name *meta_checksum_of(const struct object_row *row)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	return find_checksum(headers);
}

const char *meta_checksum_type(const char *headers)
{
	CLEAN(json) struct json_object *object = parse_own(headers);
	const char *type = json_opt_str(object, META_CHECKSUM_TYPE, "FULL_OBJECT");

	return strcmp(type, "COMPOSITE") == 0 ? "COMPOSITE" : "FULL_OBJECT";
}

void meta_set_checksum(struct object_row *row, const struct checksum_name *checksum,
		       const char *value, const char *type)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	json_put_str(headers, checksum->header, value);
	json_put_str(headers, META_CHECKSUM_TYPE, type);
	free(row->headers);
	row->headers = mh_strdup(json_text(headers));
}

void meta_set_digests(struct object_row *row, const char *etag,
		      const struct checksum_name *checksum, struct digests *d)
{
	unsigned char raw[DIGEST_MAX_SIZE];
	char hex[33];

	if ((d->wanted & DIGEST_BIT(DIGEST_MD5)) != 0) {
		(void)digests_end(d, DIGEST_MD5, raw); /* always 16 bytes */
		str_hex(raw, 16, hex);
		etag = hex;
	}
	row->etag = mh_strdup(etag);
	if (checksum != NULL) {
		CLEAN(free)
		char *value = str_base64(raw, digests_end(d, checksum->kind, raw));

		meta_set_checksum(row, checksum, value, "FULL_OBJECT");
	}
}

/* Not the name of any header: a client cannot set it. */
#define PARTS_KEY "parts of this object"

char *meta_parts(const struct object_row *row)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	return mh_strdup(json_opt_str(headers, PARTS_KEY, NULL));
}

void meta_set_parts(struct object_row *row, const char *parts)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	json_put_str(headers, PARTS_KEY, parts);
	free(row->headers);
	row->headers = mh_strdup(json_text(headers));
}

void meta_put_checksums(struct buf *b, const struct object_row *row)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);
	const struct checksum_name *c = find_checksum(headers);

	if (c == NULL)
		return;
	xml_element(b, c->element, json_opt_str(headers, c->header, NULL));
	xml_element(b, "ChecksumType",
		    json_opt_str(headers, META_CHECKSUM_TYPE, "FULL_OBJECT"));
}

static void add_checksum(struct s3_request *r, struct json_object *headers)
{
	const struct checksum_name *c = find_checksum(headers);

	if (c == NULL)
		return;
	s3_answer_header(r, c->header, json_opt_str(headers, c->header, NULL));
	s3_answer_header(r, META_CHECKSUM_TYPE,
			 json_opt_str(headers, META_CHECKSUM_TYPE, "FULL_OBJECT"));
}

/* ---- answers ---- */

static void add_kept(struct s3_request *r, const struct object_row *row, bool checksums)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	for (size_t i = 0; i < ARRAY_LEN(overrides); i++)
		if (strcmp(overrides[i].header, "content-type") != 0)
			s3_answer_header(r, overrides[i].header,
					 s3_param(r, overrides[i].param));
	for (size_t i = 0; i < ARRAY_LEN(kept_headers); i++)
		if (override_of(r, kept_headers[i]) == NULL)
			s3_answer_header(r, kept_headers[i],
					 json_opt_str(headers, kept_headers[i], NULL));
	if (checksums)
		add_checksum(r, headers);
}

static void add_metadata(struct s3_request *r, const struct object_row *row)
{
	CLEAN(json) struct json_object *metadata = parse_own(row->metadata);

	json_object_object_foreach(metadata, key, value)
	{
		CLEAN(free) char *name = mh_format(META_PREFIX "%s", key);

		s3_answer_header(r, name, json_object_get_string(value));
	}
}

static bool is_encryption(const char *header)
{
	return str_starts_with(header, "x-amz-server-side-encryption");
}

void meta_echo_encryption(struct s3_request *r)
{
	for (size_t i = 0; i < ARRAY_LEN(kept_headers); i++)
		if (is_encryption(kept_headers[i]))
			s3_answer_header(r, kept_headers[i],
					 s3_header(r, kept_headers[i]));
}

static void drop_checksum(struct json_object *headers)
{
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		json_object_object_del(headers, checksum_names[i].header);
	json_object_object_del(headers, META_CHECKSUM_TYPE);
}

void meta_drop_checksum(struct object_row *row)
{
	CLEAN(json) struct json_object *headers = parse_own(row->headers);

	drop_checksum(headers);
	free(row->headers);
	row->headers = mh_strdup(json_text(headers));
}

char *meta_merge_encryption(struct s3_request *r, const char *headers)
{
	CLEAN(json) struct json_object *merged = parse_own(headers);
	bool anew = s3_header(r, "x-amz-server-side-encryption") != NULL;

	drop_checksum(merged);
	json_object_object_del(merged, PARTS_KEY); /* a copy is one piece */
	for (size_t i = 0; anew && i < ARRAY_LEN(kept_headers); i++) {
		const char *name = kept_headers[i];

		if (!is_encryption(name))
			continue;
		json_object_object_del(merged, name);
		keep_header(merged, name, s3_header(r, name));
	}
	return mh_strdup(json_text(merged));
}

void meta_put_modified(struct s3_request *r, const struct object_row *row)
{
	char modified[CLOCK_HTTP_SIZE];

	clock_format_http(row->modified_ms, modified);
	s3_answer_header(r, MHD_HTTP_HEADER_LAST_MODIFIED, modified);
	s3_answer_version(r, row->version_id);
}

static void add_tag_count(struct s3_request *r, const struct object_row *row)
{
	CLEAN(free) char *count = mh_format("%lld", (long long)tags_count(row->tags));

	if (row->tags != NULL)
		s3_answer_header(r, "x-amz-tagging-count", count);
}

void meta_to_answer(struct s3_request *r, const struct object_row *row, bool part)
{
	const char *type = override_of(r, "content-type");
	const char *mode = s3_header(r, "x-amz-checksum-mode");

	s3_answer_etag(r, row->etag);
	meta_put_modified(r, row);
	add_tag_count(r, row);
	s3_answer_header(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	s3_answer_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
			 type != NULL ? type : row->content_type);
	/* A checksum is of the whole object: beside a part of it, it would be wrong. */
	add_kept(r, row, !part && mode != NULL && strcasecmp(mode, "ENABLED") == 0);
	add_metadata(r, row);
}
