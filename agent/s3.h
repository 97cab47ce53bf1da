/*
 * Artifacts in S3: one object in or out, with the job's own credentials, over
 * the agent's one connection pool. Nothing is retried here; the answer says what
 * retrying would help.
 *
 * Addressing: path style on a configured endpoint; on AWS by bucket name in the
 * host, but for names with a dot, which no certificate covers.
 *
 * Either is confirmed only by a 200 with an ETag: a page of some proxy has none. A
 * PUT's payload hash, the archive's
 * SHA-256 as millhand-archive wrote it, is held against the bytes by the store.
 * Encryption is asked for as semantics C9 says: aws:kms, with the pipeline's key
 * when it names one.
 */
#ifndef MH_AGENT_S3_H
#define MH_AGENT_S3_H

#include "agent/aws.h"
#include "agent/jobdata.h"
#include "agent/settings.h"

enum s3_result {
	S3_OK,
	S3_AGAIN, /* network, 5xx, throttled: later */
	S3_EXPIRED, /* the credentials: renew them */
	S3_DENIED,
	S3_MISSING, /* no such key or bucket */
	S3_CHANGED, /* not the object that was begun, or not its rest: begin anew */
	S3_TOO_LARGE, /* over max_bytes */
	S3_BAD, /* nothing will help; err says what */
};

#define S3_ETAG_SIZE 128

struct s3_answer {
	enum s3_result result;
	struct mh_err err; /* set unless OK */
	char etag[S3_ETAG_SIZE]; /* quoted as sent, "" when none was seen */
	int64_t bytes; /* written into the file by this call, even when not OK */
	bool timed_out;
};

struct s3;
int s3_new(struct aws *aws, const struct settings *settings, struct s3 **ret,
	   struct mh_err *err) MH_MUST_CHECK;
void s3_free(struct s3 *s3);

struct s3_call;
typedef void (*s3_done_fn)(void *ctx, const struct s3_answer *a);

struct s3_get {
	const struct artifact *artifact;
	const struct creds *creds;
	int fd; /* borrowed until done */
	int64_t offset; /* > 0: the rest of an object of which so much is here */
	const char *etag; /* required with offset */
	int64_t max_bytes; /* of the whole object, more than offset */
	int64_t timeout_ms; /* for all of it; 0 = none */
};
struct s3_call *s3_get(struct s3 *s3, const struct s3_get *get, s3_done_fn done,
		       void *ctx);

struct s3_put {
	const struct artifact *artifact;
	const struct creds *creds;
	int fd; /* borrowed until done */
	int64_t size;
	const char *sha256; /* lower-case hex */
	const char *kms_key_id; /* or NULL */
	int64_t timeout_ms; /* for all of it; 0 = none */
};
struct s3_call *s3_put(struct s3 *s3, const struct s3_put *put, s3_done_fn done,
		       void *ctx);

/* No callback will come. */
void s3_cancel(struct s3_call *call);

/* Exposed for tests: what a status and an error body mean. */
enum s3_result s3_classify(long status, const char *code);

#endif
