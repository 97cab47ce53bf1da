/* One request from its headers to its answer. */
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

const char *s3_header(struct s3_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *s3_param(struct s3_request *r, const char *name)
{
	return uri_query_get(&r->target.query, name);
}

int s3_count_param(struct s3_request *r, const char *name, int64_t max, int64_t *ret)
{
	const char *text = s3_param(r, name);
	struct mh_err err = MH_ERR_INIT;

	if (text == NULL || text[0] == '\0')
		return 0;
	if (str_to_i64(text, 0, INT32_MAX, name, ret, &err) != 0) {
		s3_error_detail(r, "ArgumentName", "%s", name);
		s3_error_detail(r, "ArgumentValue", "%s", text);
		return s3_fail_text(r, "InvalidArgument",
				    "Argument %s must be an integer between 0 and "
				    "2147483647",
				    name);
	}
	if (*ret > max)
		*ret = max;
	return 0;
}

static int parse_target(struct s3_request *r, const char *raw_target)
{
	struct mh_err err = MH_ERR_INIT;

	if (target_parse(raw_target, s3_header(r, MHD_HTTP_HEADER_HOST), &r->target,
			 &err) != 0)
		return s3_fail_text(r, "InvalidURI",
				    "Couldn't parse the specified URI: %s.", err.text);
	if (r->target.key != NULL && strlen(r->target.key) > S3_KEY_MAX_BYTES)
		return s3_fail(r, "KeyTooLongError");
	return 0;
}

static int begin_body(struct s3_request *r)
{
	if (r->op->body == S3_BODY_OBJECT && s3_header(r, "x-amz-copy-source") == NULL)
		return upload_begin(r);
	return 0;
}

static void begin(struct s3_request *r, const char *raw_target)
{
	if (parse_target(r, raw_target) != 0)
		return;
	r->op = s3_op_find(r);
	/* Who asks stands before what is asked: a stranger learns nothing. */
	if (r->op == NULL) {
		const struct s3_error *wrong = r->error;
		CLEAN(free) char *message = STEAL_PTR(r->error_message);

		r->error = NULL;
		if (s3_authenticate(r) != 0 || s3_authorize(r) != 0)
			return;
		r->error = wrong;
		r->error_message = STEAL_PTR(message);
		return;
	}
	if (s3_authenticate(r) != 0 || s3_authorize(r) != 0)
		return;
	(void)begin_body(r); /* the error is kept in r */
}

/* A client that waits for 100 Continue has sent no body yet: what its headers make
 * wrong is told now, and the body need never come. */
static bool answers_early(struct s3_request *r)
{
	const char *expect = s3_header(r, MHD_HTTP_HEADER_EXPECT);

	if (expect == NULL || strcasecmp(expect, "100-continue") != 0)
		return false;
	if (r->error == NULL && r->upload != NULL)
		(void)s3_call(r, tx_bucket_must_exist, r->target.bucket); /* kept in r */
	return r->error != NULL;
}

int s3_request_begin(struct s3 *s3, struct MHD_Connection *connection, const char *method,
		     const char *raw_target, struct s3_request **ret_state)
{
	struct s3_request *r = mh_alloc(sizeof(*r));
	unsigned char random[(S3_REQUEST_ID_SIZE - 1) / 2];

	r->s3 = s3;
	r->connection = connection;
	r->method = mh_strdup(method);
	r->head = strcmp(method, "HEAD") == 0;
	randombytes_buf(random, sizeof(random));
	str_hex(random, sizeof(random), r->id);
	buf_init(&r->body, S3_SMALL_BODY_MAX);
	*ret_state = r;
	begin(r, raw_target);
	return answers_early(r) ? s3_send(r) : MHD_YES;
}

bool s3_request_data(struct s3_request *r, const void *data, size_t len)
{
	struct mh_err err = MH_ERR_INIT;

	if (r->error != NULL)
		return false;
	if (r->upload != NULL)
		upload_data(r, data, len);
	else if (r->op->body == S3_BODY_SMALL && buf_add(&r->body, data, len, &err) != 0)
		(void)s3_fail(r, "EntityTooLarge"); /* kept in r */
	return r->error == NULL;
}

/* Whether the header, when it is there, is the body's digest in base64. */
static bool is_digest(struct s3_request *r, const char *header, enum digest_kind kind)
{
	const char *promised = s3_header(r, header);
	unsigned char raw[DIGEST_MAX_SIZE];
	CLEAN(free) char *made = NULL;
	struct digests d;

	if (promised == NULL)
		return true;
	digests_init(&d, DIGEST_BIT(kind));
	digests_update(&d, buf_text(&r->body), r->body.len);
	made = str_base64(raw, digests_end(&d, kind, raw));
	digests_done(&d);
	return strcmp(made, promised) == 0;
}

/* What the client promised, and what the signature covers, must be what came. */
static int check_small_body(struct s3_request *r)
{
	const char *promised = s3_header(r, "x-amz-content-sha256");
	char hash[SIGV4_HASH_HEX_SIZE];

	if (r->op->body != S3_BODY_SMALL)
		return 0;
	if (!is_digest(r, "Content-MD5", DIGEST_MD5))
		return s3_fail(r, "BadDigest");
	for (size_t i = 0; i < CHECKSUM_COUNT; i++)
		/* At a completion it is the object's own. */
		if (r->op->run != op_complete_multipart &&
		    !is_digest(r, checksum_names[i].header, checksum_names[i].kind))
			return s3_fail(r, "BadDigest");
	if (promised == NULL || strlen(promised) != 64)
		return 0;
	sigv4_hash_hex(buf_text(&r->body), r->body.len, hash);
	return strcasecmp(hash, promised) == 0 ? 0
					       : s3_fail(r, "XAmzContentSHA256Mismatch");
}

int s3_request_finish(struct s3_request *r, struct MHD_Connection *connection)
{
	r->connection = connection;
	if (r->error == NULL && check_small_body(r) == 0 &&
	    (r->upload == NULL || upload_finish(r) == 0))
		(void)r->op->run(r); /* the error is kept in r */
	return s3_send(r);
}

void s3_request_drop(struct s3_request *r)
{
	if (r == NULL)
		return;
	upload_free(r->upload);
	chunk_auth_free(r->chunk_auth);
	opened_creds_done(&r->job);
	target_done(&r->target);
	buf_done(&r->body);
	if (r->response != NULL)
		MHD_destroy_response(r->response);
	free(r->method);
	free(r->error_message);
	for (size_t i = 0; i < r->detail_count; i++)
		free(r->details[i].text);
	for (size_t i = 0; i < r->error_header_count; i++)
		free(r->error_headers[i].text);
	free(r);
}
