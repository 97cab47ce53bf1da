/*
 * An object's body on its way in: decoded, counted and hashed as it comes, written
 * to a file, and held against everything that the client promised about it. Memory
 * stays flat at any size.
 */
#include <string.h>
#include <strings.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

static int parse_md5(struct s3_request *r, struct upload *u)
{
	const char *text = s3_header(r, "Content-MD5");
	CLEAN(free) unsigned char *raw = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t len;

	if (text == NULL)
		return 0;
	if (str_unbase64(text, &raw, &len, &err) != 0 || len != sizeof(u->md5))
		return s3_fail(r, "InvalidDigest");
	memcpy(u->md5, raw, sizeof(u->md5));
	u->has_md5 = true;
	return 0;
}

static bool is_streaming(const char *name)
{
	static const char *const known[] = {
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(name, known[i]) == 0)
			return true;
	return false;
}

static int parse_sha256(struct s3_request *r, struct upload *u)
{
	const char *text = s3_header(r, "x-amz-content-sha256");
	unsigned char raw[32];

	if (text == NULL || strcmp(text, SIGV4_UNSIGNED_PAYLOAD) == 0)
		return 0;
	if (is_streaming(text)) {
		u->decodes = true;
		u->signed_trailers = strstr(text, "HMAC") && strstr(text, "-TRAILER");
		return 0;
	}
	if (strlen(text) != 64 || !str_unhex(text, raw, sizeof(raw)))
		return s3_fail_text(r, "InvalidArgument",
				    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a "
				    "STREAMING- name, or a valid sha256 value.");
	str_hex(raw, sizeof(raw), u->sha256);
	return 0;
}

static int check_checksum_form(struct s3_request *r, const struct upload *u)
{
	CLEAN(free) unsigned char *raw = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t len;

	if (str_unbase64(u->checksum_value, &raw, &len, &err) != 0 ||
	    len != u->checksum->size)
		return s3_fail_text(r, "InvalidRequest",
				    "Value for %s header is invalid.",
				    u->checksum->header);
	return 0;
}

/* A checksum in a header, or one promised for the trailer; at most one of them. */
static int parse_checksum(struct s3_request *r, struct upload *u)
{
	const char *trailer = s3_header(r, "x-amz-trailer");

	for (size_t i = 0; i < CHECKSUM_COUNT; i++) {
		const char *value = s3_header(r, checksum_names[i].header);

		if (value == NULL)
			continue;
		if (u->checksum != NULL)
			return s3_fail_text(r, "InvalidRequest",
					    "Expecting a single x-amz-checksum- header. "
					    "Multiple checksum Types are not allowed.");
		u->checksum = &checksum_names[i];
		u->checksum_value = mh_strdup(value);
		if (check_checksum_form(r, u) != 0)
			return -1;
	}
	if (u->checksum == NULL && trailer != NULL) {
		u->checksum = checksum_by_header(trailer);
		if (u->checksum == NULL)
			return s3_fail_text(
				r, "InvalidRequest",
				"The value specified in the x-amz-trailer header is "
				"not supported");
	}
	return 0;
}

static int parse_length(struct s3_request *r, const char *name, int64_t *ret)
{
	const char *text = s3_header(r, name);
	struct mh_err err = MH_ERR_INIT;

	if (text == NULL)
		return 0;
	if (str_to_i64(text, 0, INT64_MAX, name, ret, &err) != 0)
		return s3_fail_text(r, "InvalidArgument", "%s.", err.text);
	return 0;
}

/* What can be judged before the first byte of the body. */
static int check_size_headers(struct s3_request *r, struct upload *u)
{
	const char *encoding = s3_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING);
	int64_t length = -1;

	if (encoding != NULL && strcasestr(encoding, "aws-chunked") != NULL)
		u->decodes = true;
	if (parse_length(r, "x-amz-decoded-content-length", &u->declared) != 0 ||
	    parse_length(r, MHD_HTTP_HEADER_CONTENT_LENGTH, &length) != 0)
		return -1;
	if (u->declared > u->max || (!u->decodes && length > u->max))
		return s3_fail(r, "EntityTooLarge");
	return 0;
}

/* To the file, then to the digests. */
static int pass_piece(struct upload *u, struct mh_err *err)
{
	size_t len;
	const char *piece = lane_piece(&u->lane, &len);

	if (len > 0 && blob_write(&u->blob, piece, len, err) != 0)
		return -1;
	lane_pass(&u->lane);
	return 0;
}

/* Decoded bytes, from wherever they came. */
static int take_bytes(void *ctx, const void *data, size_t len, struct mh_err *err)
{
	struct upload *u = ctx;

	if ((int64_t)len > u->max - u->size)
		return s3_fail(u->request, "EntityTooLarge");
	u->size += (int64_t)len;
	if (u->chunk.wanted != 0)
		digests_update(&u->chunk, data, len);
	for (const char *p = data; len > 0;) {
		size_t room;
		char *to = lane_room(&u->lane, &room);
		size_t n = len < room ? len : room;

		memcpy(to, p, n);
		p += n;
		len -= n;
		if (lane_filled(&u->lane, n) && pass_piece(u, err) != 0)
			return -1;
	}
	return 0;
}

static int take_chunk_end(void *ctx, const char *signature, struct mh_err *err)
{
	struct upload *u = ctx;
	unsigned char hash[DIGEST_MAX_SIZE];

	(void)digests_end(&u->chunk, DIGEST_SHA256, hash); /* always 32 bytes */
	digests_init(&u->chunk, DIGEST_BIT(DIGEST_SHA256));
	return chunk_auth_check(u->request->chunk_auth, hash, signature, err);
}

static int open_file(struct s3_request *r, struct upload *u)
{
	unsigned wanted = DIGEST_BIT(DIGEST_MD5);
	struct mh_err err = MH_ERR_INIT;

	if (u->sha256[0] != '\0')
		wanted |= DIGEST_BIT(DIGEST_SHA256);
	if (u->checksum != NULL)
		wanted |= DIGEST_BIT(u->checksum->kind);
	digests_init(&u->digests, wanted);
	if (r->chunk_auth != NULL && u->decodes)
		digests_init(&u->chunk, DIGEST_BIT(DIGEST_SHA256));
	if (u->decodes)
		chunked_init(&u->decoder,
			     &(struct chunked_sink){
				     .data = take_bytes,
				     .chunk_end = u->chunk.wanted ? take_chunk_end : NULL,
				     .ctx = u });
	if (blob_create(&r->s3->blobs, &u->blob, &err) != 0)
		return s3_fail_internal(r, &err);
	return 0;
}

int upload_begin(struct s3_request *r)
{
	struct upload *u = mh_alloc(sizeof(*u));

	*u = (struct upload){ .request = r,
			      .blob = BLOB_INIT,
			      .max = r->s3->settings->max_object_bytes,
			      .declared = -1 };
	r->upload = u;
	lane_init(&u->lane, &u->digests);
	if (parse_md5(r, u) != 0 || parse_sha256(r, u) != 0 ||
	    parse_checksum(r, u) != 0 || check_size_headers(r, u) != 0)
		return -1;
	return open_file(r, u);
}

/* The file is of no use any more; the rest of the body is not even looked at. */
static void give_up(struct s3_request *r, const struct mh_err *err)
{
	blob_done(&r->s3->blobs, &r->upload->blob);
	if (r->error != NULL)
		return;
	if (err->cls == MH_E_AUTH)
		(void)s3_fail(r, "SignatureDoesNotMatch");
	else if (err->cls == MH_E_PROTO)
		(void)s3_fail_text(r, "InvalidRequest", "%s.", err->text);
	else
		(void)s3_fail_internal(r, err);
}

void upload_data(struct s3_request *r, const void *data, size_t len)
{
	struct upload *u = r->upload;
	struct mh_err err = MH_ERR_INIT;
	int rc;

	if (u->decodes)
		rc = chunked_feed(&u->decoder, data, len, &err);
	else
		rc = take_bytes(u, data, len, &err);
	if (rc != 0)
		give_up(r, &err);
}

static int check_trailer_signature(struct s3_request *r, struct upload *u)
{
	const char *signature = chunked_trailer(&u->decoder, CHUNKED_TRAILER_SIGNATURE);
	CLEAN(free) char *trailers = chunked_signed_trailers(&u->decoder);
	struct mh_err err = MH_ERR_INIT;

	if (r->chunk_auth == NULL)
		return 0; /* nobody's signature is asked for */
	if (signature == NULL ||
	    chunk_auth_check_trailer(r->chunk_auth, trailers, signature, &err) != 0)
		return s3_fail(r, "SignatureDoesNotMatch");
	return 0;
}

static int check_decoded(struct s3_request *r, struct upload *u)
{
	const char *value;

	if (!u->decodes)
		return 0;
	if (!chunked_is_complete(&u->decoder) ||
	    (u->declared >= 0 && u->declared != u->size))
		return s3_fail(r, "IncompleteBody");
	if (u->signed_trailers && check_trailer_signature(r, u) != 0)
		return -1;
	if (u->checksum == NULL || u->checksum_value != NULL)
		return 0;
	value = chunked_trailer(&u->decoder, u->checksum->header);
	if (value == NULL)
		return s3_fail_text(
			r, "InvalidRequest",
			"The trailing header %s was promised and did not come.",
			u->checksum->header);
	u->checksum_value = mh_strdup(value);
	return check_checksum_form(r, u);
}

static int check_checksum(struct s3_request *r, struct upload *u)
{
	unsigned char raw[DIGEST_MAX_SIZE];
	CLEAN(free) char *value = NULL;
	size_t len;

	if (u->checksum == NULL)
		return 0;
	if (u->checksum_value == NULL)
		return s3_fail_text(r, "InvalidRequest",
				    "x-amz-trailer needs an aws-chunked body.");
	if (u->checksum->kind == DIGEST_SHA256 && u->sha256[0] != '\0') {
		/* The same digest was asked for twice, and is done. */
		MH_ASSERT(str_unhex(u->sha256, raw, 32));
		len = 32;
	} else {
		len = digests_end(&u->digests, u->checksum->kind, raw);
	}
	value = str_base64(raw, len);
	if (strcmp(value, u->checksum_value) != 0)
		return s3_fail_text(
			r, "BadDigest",
			"The %s you specified did not match the calculated checksum.",
			u->checksum->algorithm);
	return 0;
}

static int check_digests(struct s3_request *r, struct upload *u)
{
	unsigned char raw[DIGEST_MAX_SIZE];
	char hex[SIGV4_HASH_HEX_SIZE];

	if (u->sha256[0] != '\0') {
		(void)digests_end(&u->digests, DIGEST_SHA256, raw); /* always 32 bytes */
		str_hex(raw, 32, hex);
		if (strcmp(hex, u->sha256) != 0) {
			s3_error_detail(r, "ClientComputedContentSHA256", "%s",
					u->sha256);
			s3_error_detail(r, "S3ComputedContentSHA256", "%s", hex);
			return s3_fail(r, "XAmzContentSHA256Mismatch");
		}
	}
	(void)digests_end(&u->digests, DIGEST_MD5, raw); /* always 16 bytes */
	if (u->has_md5 && memcmp(raw, u->md5, sizeof(u->md5)) != 0) {
		CLEAN(free) char *expected = str_base64(u->md5, sizeof(u->md5));
		CLEAN(free) char *calculated = str_base64(raw, sizeof(u->md5));

		s3_error_detail(r, "ExpectedDigest", "%s", expected);
		s3_error_detail(r, "CalculatedDigest", "%s", calculated);
		return s3_fail_text(r, "BadDigest",
				    "The Content-MD5 you specified did not match what we "
				    "received.");
	}
	str_hex(raw, sizeof(u->md5), u->etag);
	return check_checksum(r, u);
}

int upload_finish(struct s3_request *r)
{
	struct upload *u = r->upload;
	struct mh_err err = MH_ERR_INIT;

	if (check_decoded(r, u) != 0)
		return -1;
	if (pass_piece(u, &err) != 0) {
		give_up(r, &err);
		return -1;
	}
	lane_end(&u->lane);
	return check_digests(r, u);
}

void upload_free(struct upload *u)
{
	if (u == NULL)
		return;
	lane_done(&u->lane);
	blob_done(&u->request->s3->blobs, &u->blob);
	digests_done(&u->digests);
	digests_done(&u->chunk);
	if (u->decodes)
		chunked_done(&u->decoder);
	free(u->checksum_value);
	free(u);
}
