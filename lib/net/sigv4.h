/*
 * AWS Signature Version 4: pure functions, no clock, no network, shared by the
 * agent (signing) and the emulator (verifying).
 *
 * Signing:
 *	struct sigv4_request r = { .method = "POST", .path = "/", ... };
 *	struct sigv4_result res;
 *	sigv4_sign(&r, &creds, &scope, &res);   adds x-amz-date etc. in res
 *	send with res.authorization and the headers in res.added
 *	sigv4_result_done(&res);
 *
 * Rules: S3 paths are encoded once and not normalised; other services' twice,
 * normalised. Query pairs and headers sort by (encoded name, encoded value);
 * header values are trimmed and inner blanks collapsed; repeats join by comma.
 * Secrets and derived keys are wiped. Derived keys are cached per (secret,
 * date, region, service) in a struct sigv4_keys the caller owns, or not at all.
 *
 * Verifying:
 *	sigv4_claim_parse(&r, &claim, &err)     who signs, for what, when
 *	find the secret of claim.access_key_id; check claim.time_ms against the clock
 *	sigv4_verify(&r, &claim, secret, &err)
 *	sigv4_claim_done(&claim);
 */
#ifndef MH_NET_SIGV4_H
#define MH_NET_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/net/uri.h"

#define SIGV4_HASH_HEX_SIZE    65
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
extern const char sigv4_empty_hash[SIGV4_HASH_HEX_SIZE]; /* SHA-256 of no bytes */

/* Derived keys of up to `slots` (secret, date, region, service); any number of threads
 * may sign and verify with one. Holds no secret, only keys of one day and service. */
struct sigv4_keys;
struct sigv4_keys *sigv4_keys_new(size_t slots) MH_MUST_CHECK;
void sigv4_keys_free(struct sigv4_keys *keys);

struct sigv4_header {
	const char *name; /* any case */
	const char *value; /* as sent */
};

struct sigv4_creds {
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* NULL or "" when there is none */
};

struct sigv4_scope {
	const char *region;
	const char *service; /* "codepipeline", "s3", "sts" */
	int64_t time_ms; /* wall time of the signature, skew included */
};

struct sigv4_request {
	const char *method;
	const char *path; /* as it goes on the wire: percent-encoded, begins with '/' */
	const struct uri_query *query; /* or NULL */
	const struct sigv4_header *headers; /* all to be signed; must include host */
	size_t header_count;
	/* Hex, or SIGV4_UNSIGNED_PAYLOAD, or a STREAMING-... name; NULL: no body. */
	const char *payload_hash;
	struct sigv4_keys *keys; /* cache of derived keys, or NULL */
	bool path_as_is; /* leave dot segments and double slashes, as s3 always does */
};

struct sigv4_result {
	char *canonical_request; /* for tests and debugging */
	char *string_to_sign;
	char *signed_headers; /* "a;b;c" */
	char *signature; /* hex */
	char *authorization; /* value of the Authorization header */
	/* Headers to send besides those given: x-amz-date, x-amz-security-token,
	 * and x-amz-content-sha256 for s3. "name: value", owned. */
	char *added[4];
	size_t added_count;
	char *query; /* sigv4_presign: the whole query to send, without '?' */
};

/* Headers given in the request win over the ones it would add (a test or a client
 * may bring its own x-amz-date). */
void sigv4_sign(const struct sigv4_request *r, const struct sigv4_creds *creds,
		const struct sigv4_scope *scope, struct sigv4_result *ret);
/* Query signing: expires_s 1 to 604800; payload_hash is used as given. */
void sigv4_presign(const struct sigv4_request *r, const struct sigv4_creds *creds,
		   const struct sigv4_scope *scope, int64_t expires_s,
		   struct sigv4_result *ret);
void sigv4_result_done(struct sigv4_result *r);
static inline void clean_sigv4_result(struct sigv4_result *r)
{
	sigv4_result_done(r);
}

/* What a client claims, taken from a request it sent. */
struct sigv4_claim {
	bool presigned;
	char *access_key_id;
	char *date; /* YYYYMMDD of the scope */
	char *region;
	char *service;
	char *signed_headers; /* "a;b;c" */
	char *signature;
	char *session_token; /* or NULL */
	int64_t time_ms; /* x-amz-date (or Date) */
	int64_t expires_s; /* presigned alone */
};

/* From the Authorization header or the X-Amz-* query. NOTFOUND when the request
 * is not signed at all, PROTO when it is badly so (both ways at once, a part missing or
 * twice, another algorithm, a scope of another day than the date). */
int sigv4_claim_parse(const struct sigv4_request *r, struct sigv4_claim *ret,
		      struct mh_err *err) MH_MUST_CHECK;
void sigv4_claim_done(struct sigv4_claim *c);
static inline void clean_sigv4_claim(struct sigv4_claim *c)
{
	sigv4_claim_done(c);
}

/* Whether the claim's signature is the one that secret gives. Demands that host
 * and every x-amz-* header sent are signed (semantics A2): AUTH when not, or when
 * the signature differs, or when an x-amz-content-sha256 header is not payload_hash.
 * That payload_hash is the body's is for the caller to see to, as are clock rules. */
int sigv4_verify(const struct sigv4_request *r, const struct sigv4_claim *claim,
		 const char *secret_access_key, struct mh_err *err) MH_MUST_CHECK;

/* The same; made gets what was computed, so that a client can be told what its
 * own canonical request should have been. The caller ends it, also after a failure. */
int sigv4_verify_made(const struct sigv4_request *r, const struct sigv4_claim *claim,
		      const char *secret_access_key, struct sigv4_result *made,
		      struct mh_err *err) MH_MUST_CHECK;

/* The first header that must be signed and is not: "host", or one of x-amz-*, as it was
 * sent; NULL: none. */
const char *sigv4_unsigned_header(const struct sigv4_request *r,
				  const struct sigv4_claim *claim);

/* Lower-case hex SHA-256. */
void sigv4_hash_hex(const void *data, size_t len, char out[SIGV4_HASH_HEX_SIZE]);

#endif
