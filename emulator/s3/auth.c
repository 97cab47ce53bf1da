/*
 * Who asks. A token that this server sealed for a job is verified always: its
 * signature, its expiry, and what it opens. Others are believed unless the settings
 * name keys; then each signature must be right.
 */
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "emulator/s3/private.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define SKEW_MAX_MS   (15 * 60 * 1000) /* S3's (semantics A12) */
#define HEADERS_MAX   128
#define SIGNED_CHUNKS "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

struct signed_request {
	struct sigv4_request request;
	struct sigv4_header headers[HEADERS_MAX];
	bool too_many;
};

static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct signed_request *s = ctx;

	(void)kind; /* headers alone are asked for */
	if (s->request.header_count == HEADERS_MAX) {
		s->too_many = true;
		return MHD_NO;
	}
	s->headers[s->request.header_count++] =
		(struct sigv4_header){ .name = name, .value = value ? value : "" };
	return MHD_YES;
}

static int collect(struct s3_request *r, struct signed_request *s)
{
	s->request = (struct sigv4_request){
		.method = r->method,
		.path = r->target.path,
		.query = &r->target.query,
		.headers = s->headers,
		.payload_hash = s3_header(r, "x-amz-content-sha256"),
	};
	(void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, take_header, s);
	if (s->too_many)
		return s3_fail_text(r, "InvalidRequest",
				    "The request has over %d headers.", HEADERS_MAX);
	return 0;
}

static const char *claimed_token(struct s3_request *r)
{
	const char *token = s3_header(r, "x-amz-security-token");

	if (token == NULL)
		token = s3_param(r, "X-Amz-Security-Token");
	/* So version 2 writes it. */
	return token != NULL ? token : s3_param(r, "x-amz-security-token");
}

/* What stands behind `before` in text, up to one of `ends`; NULL when it does not. */
static char *part_after(const char *text, const char *before, const char *ends)
{
	const char *at = text != NULL ? strstr(text, before) : NULL;

	return at != NULL ? mh_strndup(at + strlen(before),
				       strcspn(at + strlen(before), ends))
			  : NULL;
}

/* The access key id that the request names, by any version of signatures; NULL: none. */
static char *claimed_key_id(struct s3_request *r)
{
	const char *authorization = s3_header(r, MHD_HTTP_HEADER_AUTHORIZATION);
	char *id = part_after(authorization, "Credential=", "/,");

	if (id == NULL)
		id = part_after(authorization, "AWS ", ":");
	if (id == NULL)
		id = part_after(s3_param(r, "X-Amz-Credential"), "", "/");
	return id != NULL ? id : mh_strdup(s3_param(r, "AWSAccessKeyId"));
}

/* A job's key without its token is nobody's: to believe it would hide the mistake of
 * a worker that forgets the token. */
static int check_not_half_a_job(struct s3_request *r)
{
	CLEAN(free) char *id = claimed_key_id(r);

	if (id == NULL || !job_creds_is_key_id(r->s3->key, id))
		return 0;
	return s3_fail_text(r, "InvalidAccessKeyId",
			    "The AWS Access Key Id you provided does not exist in our "
			    "records. (It is a job's: its session token must be sent "
			    "too.)");
}

/* Signature versions before 4 are known, and refused by their name. */
static int fail_unsigned(struct s3_request *r)
{
	const char *authorization = s3_header(r, MHD_HTTP_HEADER_AUTHORIZATION);

	if (authorization != NULL || s3_param(r, "Signature") != NULL)
		return s3_fail_text(
			r, "InvalidRequest",
			"The authorization mechanism you have provided is not "
			"supported. Please use AWS4-HMAC-SHA256.");
	return s3_fail(r, "AccessDenied");
}

/* What is wrong with a presigned request's parameters. */
static int fail_query(struct s3_request *r, const struct mh_err *err)
{
	static const char *const needed[] = { "X-Amz-Algorithm",     "X-Amz-Credential",
					      "X-Amz-Signature",     "X-Amz-Date",
					      "X-Amz-SignedHeaders", "X-Amz-Expires" };

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (s3_param(r, needed[i]) == NULL)
			return s3_fail_text(
				r, "AuthorizationQueryParametersError",
				"Query-string authentication version 4 requires the "
				"X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
				"X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires "
				"parameters.");
	return s3_fail_text(r, "AuthorizationQueryParametersError", "%s.", err->text);
}

static int parse_claim(struct s3_request *r, const struct signed_request *s,
		       struct sigv4_claim *ret)
{
	const char *authorization = s3_header(r, MHD_HTTP_HEADER_AUTHORIZATION);
	struct mh_err err = MH_ERR_INIT;

	if (authorization != NULL && (s3_param(r, "X-Amz-Algorithm") != NULL ||
				      s3_param(r, "X-Amz-Signature") != NULL))
		return s3_fail_text(
			r, "InvalidArgument",
			"Only one auth mechanism allowed; only the X-Amz-Algorithm query "
			"parameter, Signature query string parameter or the "
			"Authorization header should be specified");
	if (authorization != NULL && !str_starts_with(authorization, "AWS4-HMAC-SHA256"))
		return fail_unsigned(r);
	if (sigv4_claim_parse(&s->request, ret, &err) == 0)
		return 0;
	if (err.cls == MH_E_NOTFOUND)
		return fail_unsigned(r);
	if (authorization != NULL)
		return s3_fail_text(r, "AuthorizationHeaderMalformed",
				    "The authorization header is malformed; %s.",
				    err.text);
	return fail_query(r, &err);
}

/* The secret that belongs to the claim's access key, borrowed; NULL: no such key. */
static const char *find_secret(struct s3_request *r, const struct sigv4_claim *claim)
{
	const struct settings_key *keys = r->s3->settings->keys.items;

	if (r->by_job)
		return strcmp(claim->access_key_id, r->job.access_key_id) == 0
			       ? r->job.secret_access_key
			       : NULL;
	for (size_t i = 0; i < r->s3->settings->keys.count; i++)
		if (strcmp(keys[i].access_key_id, claim->access_key_id) == 0)
			return keys[i].secret_access_key;
	return NULL;
}

static int check_presigned_times(struct s3_request *r, const struct sigv4_claim *claim,
				 int64_t now)
{
	int64_t ends = claim->time_ms + claim->expires_s * 1000;
	char ends_iso[CLOCK_ISO_SIZE], now_iso[CLOCK_ISO_SIZE];

	clock_format_iso(ends, ends_iso);
	clock_format_iso(now, now_iso);
	if (claim->time_ms - now > SKEW_MAX_MS)
		return s3_fail_text(r, "AccessDenied", "Request is not yet valid");
	if (now <= ends)
		return 0;
	s3_error_detail(r, "X-Amz-Expires", "%lld", (long long)claim->expires_s);
	s3_error_detail(r, "Expires", "%s", ends_iso);
	s3_error_detail(r, "ServerTime", "%s", now_iso);
	return s3_fail_text(r, "AccessDenied", "Request has expired");
}

static int check_times(struct s3_request *r, const struct sigv4_claim *claim)
{
	int64_t now = clock_wall_ms();
	int64_t age_ms = now - claim->time_ms;
	char signed_at[CLOCK_AMZ_SIZE], now_iso[CLOCK_ISO_SIZE];

	if (claim->presigned) {
		if (check_presigned_times(r, claim, now) != 0)
			return -1;
	} else if (age_ms > SKEW_MAX_MS || age_ms < -SKEW_MAX_MS) {
		clock_format_amz(claim->time_ms, signed_at);
		clock_format_iso(now, now_iso);
		s3_error_detail(r, "RequestTime", "%s", signed_at);
		s3_error_detail(r, "ServerTime", "%s", now_iso);
		s3_error_detail(r, "MaxAllowedSkewMilliseconds", "%d", SKEW_MAX_MS);
		return s3_fail(r, "RequestTimeTooSkewed");
	}
	/* A job's credentials are the engine's: they expire at its time. */
	if (r->by_job && writer_now_ms(r->s3->writer) >= r->job.expires_ms)
		return s3_fail(r, "ExpiredToken");
	return 0;
}

static int fail_scope(struct s3_request *r, const struct sigv4_claim *claim,
		      const char *what)
{
	if (claim->presigned)
		return s3_fail_text(r, "AuthorizationQueryParametersError",
				    "Error parsing the X-Amz-Credential parameter; %s",
				    what);
	return s3_fail_text(r, "AuthorizationHeaderMalformed",
			    "The authorization header is malformed; %s", what);
}

/* A job's credentials are good in any region while nobody's keys are asked for. */
static int check_scope(struct s3_request *r, const struct sigv4_claim *claim)
{
	const struct settings *settings = r->s3->settings;
	CLEAN(free) char *what = NULL;

	if (strcmp(claim->service, "s3") != 0) {
		what = mh_format("incorrect service \"%s\". This endpoint belongs to "
				 "\"s3\".",
				 claim->service);
		return fail_scope(r, claim, what);
	}
	if (settings->keys.count == 0 || strcmp(claim->region, settings->region) == 0)
		return 0;
	s3_error_detail(r, "Region", "%s", settings->region);
	s3_error_header(r, "x-amz-bucket-region", settings->region);
	what = mh_format("the region '%s' is wrong; expecting '%s'", claim->region,
			 settings->region);
	return fail_scope(r, claim, what);
}

static int check_payload_hash(struct s3_request *r, struct signed_request *s,
			      const struct sigv4_claim *claim)
{
	if (s->request.payload_hash != NULL)
		return 0;
	if (!claim->presigned)
		return s3_fail_text(
			r, "InvalidRequest",
			"Missing required header for this request: x-amz-content-sha256");
	s->request.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
	return 0;
}

static void hmac(const void *key, size_t key_len, const char *text, unsigned char out[32])
{
	crypto_auth_hmacsha256_state state;

	(void)crypto_auth_hmacsha256_init(&state, key, key_len); /* these never fail */
	(void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)text,
					    strlen(text));
	(void)crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

static struct chunk_auth *chunk_auth_new(const struct sigv4_claim *claim,
					 const char *secret)
{
	struct chunk_auth *a = mh_alloc(sizeof(*a));
	CLEAN(free) char *first = mh_format("AWS4%s", secret);
	char stamp[CLOCK_AMZ_SIZE];

	hmac(first, strlen(first), claim->date, a->key);
	hmac(a->key, sizeof(a->key), claim->region, a->key);
	hmac(a->key, sizeof(a->key), claim->service, a->key);
	hmac(a->key, sizeof(a->key), "aws4_request", a->key);
	sodium_memzero(first, strlen(first));
	clock_format_amz(claim->time_ms, stamp);
	a->prefix = mh_format("%s\n%s/%s/%s/aws4_request\n", stamp, claim->date,
			      claim->region, claim->service);
	(void)snprintf(a->previous, sizeof(a->previous), "%s", claim->signature);
	return a;
}

/* The text must have the signature; it is then the one before the next. */
static int check_link(struct chunk_auth *a, const char *text, const char *signature,
		      struct mh_err *err)
{
	unsigned char mac[32];
	char want[65];

	hmac(a->key, sizeof(a->key), text, mac);
	str_hex(mac, sizeof(mac), want);
	if (!str_equal_secret(want, signature))
		return mh_err_set(err, MH_E_AUTH, "a chunk's signature does not match");
	memcpy(a->previous, want, sizeof(want));
	return 0;
}

int chunk_auth_check(struct chunk_auth *a, const unsigned char hash[32],
		     const char *signature, struct mh_err *err)
{
	CLEAN(free) char *text = NULL;
	char hex[65];

	str_hex(hash, 32, hex);
	text = mh_format("AWS4-HMAC-SHA256-PAYLOAD\n%s%s\n%s\n%s", a->prefix, a->previous,
			 sigv4_empty_hash, hex);
	return check_link(a, text, signature, err);
}

int chunk_auth_check_trailer(struct chunk_auth *a, const char *trailers,
			     const char *signature, struct mh_err *err)
{
	CLEAN(free) char *text = NULL;
	char hex[SIGV4_HASH_HEX_SIZE];

	sigv4_hash_hex(trailers, strlen(trailers), hex);
	text = mh_format("AWS4-HMAC-SHA256-TRAILER\n%s%s\n%s", a->prefix, a->previous,
			 hex);
	return check_link(a, text, signature, err);
}

void chunk_auth_free(struct chunk_auth *a)
{
	if (a == NULL)
		return;
	free(a->prefix);
	sodium_memzero(a, sizeof(*a));
	free(a);
}

static int check_headers(struct s3_request *r, const struct signed_request *s,
			 const struct sigv4_claim *claim)
{
	const char *name = sigv4_unsigned_header(&s->request, claim);

	if (name == NULL)
		return 0;
	s3_error_detail(r, "HeadersNotSigned", "%s", name);
	return s3_fail_text(r, "AccessDenied",
			    "There were headers present in the request which were not "
			    "signed");
}

/* As S3 does, what should have been signed is told: it is the client's own request. */
static int fail_signature(struct s3_request *r, const struct sigv4_claim *claim,
			  const struct sigv4_result *made)
{
	s3_error_detail(r, "AWSAccessKeyId", "%s", claim->access_key_id);
	if (made->string_to_sign != NULL)
		s3_error_detail(r, "StringToSign", "%s", made->string_to_sign);
	s3_error_detail(r, "SignatureProvided", "%s", claim->signature);
	/* With a token in it, it is not for repeating. */
	if (made->canonical_request != NULL && claim->session_token == NULL)
		s3_error_detail(r, "CanonicalRequest", "%s", made->canonical_request);
	return s3_fail(r, "SignatureDoesNotMatch");
}

static int verify_claim(struct s3_request *r, struct signed_request *s,
			const struct sigv4_claim *claim)
{
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };
	struct mh_err err = MH_ERR_INIT;
	const char *secret = find_secret(r, claim);

	if (check_scope(r, claim) != 0)
		return -1;
	if (secret == NULL) {
		s3_error_detail(r, "AWSAccessKeyId", "%s", claim->access_key_id);
		return s3_fail(r, "InvalidAccessKeyId");
	}
	if (check_times(r, claim) != 0 || check_payload_hash(r, s, claim) != 0 ||
	    check_headers(r, s, claim) != 0)
		return -1;
	if (sigv4_verify_made(&s->request, claim, secret, &made, &err) != 0)
		return fail_signature(r, claim, &made);
	if (str_starts_with(s->request.payload_hash, SIGNED_CHUNKS))
		r->chunk_auth = chunk_auth_new(claim, secret);
	return 0;
}

static int verify(struct s3_request *r)
{
	CLEAN(free) struct signed_request *s = mh_alloc(sizeof(*s));
	struct sigv4_claim claim;
	int rc;

	if (collect(r, s) != 0 || parse_claim(r, s, &claim) != 0)
		return -1;
	rc = verify_claim(r, s, &claim);
	sigv4_claim_done(&claim);
	return rc;
}

int s3_authenticate(struct s3_request *r)
{
	const char *token = claimed_token(r);
	struct mh_err err = MH_ERR_INIT;
	bool strict = r->s3->settings->keys.count > 0;

	if (token != NULL && job_creds_open(r->s3->key, token, &r->job, &err) == 0)
		r->by_job = true;
	/* A token that is not ours is a client's own business, but then no key of the
	 * settings is known to belong to it. */
	else if (token != NULL && (err.cls != MH_E_NOTFOUND || strict))
		return s3_fail(r, "InvalidToken");
	if (!r->by_job && check_not_half_a_job(r) != 0)
		return -1;
	return r->by_job || strict ? verify(r) : 0;
}

static bool job_may(const struct s3_request *r, enum s3_right right)
{
	const struct target *t = &r->target;
	bool read = opened_creds_may_read(&r->job, t->bucket, t->key);
	bool write = opened_creds_may_write(&r->job, t->bucket, t->key);

	switch (right) {
	case S3_RIGHT_READ:
		return read;
	case S3_RIGHT_WRITE:
		return write;
	case S3_RIGHT_HEAD:
		return read || write;
	default:
		return false;
	}
}

int s3_authorize(struct s3_request *r)
{
	if (!r->by_job)
		return 0;
	if (r->op != NULL && r->target.key != NULL && job_may(r, r->op->right))
		return 0;
	return s3_fail(r, "AccessDenied");
}
