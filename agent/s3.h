/*
 * Artifacts in S3: one request of one object, in or out, with the job's own
 * credentials, over the agent's one connection pool. Nothing is retried here; the
 * answer says what retrying would help.
 *
 *	whole objects	s3_get(), s3_put()
 *	in parts	s3_upload_create() gives an id; s3_upload_part() each;
 *			s3_upload_complete() makes them one object; or s3_upload_abort()
 *	afterwards	s3_head()
 *
 * Addressing: s3_style, but a bucket's name is never put in front of an address, and
 * one with a dot never in the host, which no certificate would cover.
 *
 * Either is confirmed only by a 200 with an ETag: a page of some proxy has none. A
 * PUT's payload hash, the archive's
 * SHA-256 as millhand-archive wrote it, is held against the bytes by the store.
 * Encryption is asked for as semantics C9 says: aws:kms, with the pipeline's key
 * when it names one; of an upload in parts at its beginning.
 *
 * The store answers a completion with 200 before it knows how it ended: it is
 * confirmed by a CompleteMultipartUploadResult with an ETag alone, and an Error in
 * that answer counts as the 5xx that it is.
 */
#ifndef MH_AGENT_S3_H
#define MH_AGENT_S3_H

#include "agent/aws.h"
#include "agent/checksum.h"
#include "agent/jobdata.h"
#include "agent/settings.h"

enum s3_result {
	S3_OK,
	S3_AGAIN, /* network, 5xx, throttled: later */
	S3_EXPIRED, /* the credentials: renew them */
	S3_DENIED,
	S3_MISSING, /* no such key or bucket */
	S3_CHANGED, /* not the object or upload that was begun: begin anew */
	S3_TOO_LARGE, /* over max_bytes */
	S3_BAD, /* nothing will help; err says what */
};

#define S3_ETAG_SIZE      128
#define S3_CHECKSUM_SIZE  64
#define S3_UPLOAD_ID_SIZE 1025

struct s3_answer {
	enum s3_result result;
	struct mh_err err; /* set unless OK */
	char etag[S3_ETAG_SIZE]; /* quoted as sent, "" when none was seen */
	int64_t bytes; /* written into the file by this call, even when not OK */
	bool timed_out;
	char sha256[S3_CHECKSUM_SIZE]; /* COMPLETE, HEAD: as the store says it, or "" */
	char upload_id[S3_UPLOAD_ID_SIZE]; /* CREATE: printable, without blanks */
	int64_t size; /* GET, HEAD: of the whole object, or -1 */
	bool cut; /* GET: only the first cut_at bytes were taken */
	const char *checksum_name; /* GET: one of checksum_names, or NULL: none is told */
	char checksum[S3_CHECKSUM_SIZE]; /* of the whole object, base64 */
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
	int64_t length; /* > 0: no more than that, and no less; 0: to the end */
	int64_t size; /* required with length: of the whole object */
	int64_t max_bytes; /* of the whole object, more than offset */
	struct checksum *sum; /* borrowed until done; takes the bytes that are written; or
				 NULL */
	bool sum_begun; /* else the answer says of which kind, if any: checksum_name */
	int64_t cut_above,
		cut_at; /* an object larger than that: only so many; 0: never */
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

/* An object's place, for the requests of an upload in parts and what goes with it. */
struct s3_at {
	const struct artifact *artifact;
	const struct creds *creds;
	const char *upload_id; /* all but create and head */
	int64_t timeout_ms; /* 0 = none */
};
struct s3_call *s3_upload_create(struct s3 *s3, const struct s3_at *at,
				 const char *kms_key_id, s3_done_fn done, void *ctx);

struct s3_part {
	int number; /* from 1 */
	int fd; /* borrowed until done */
	int64_t offset, size;
	const unsigned char *sha256; /* of these bytes: SHA256_SIZE */
};
struct s3_call *s3_upload_part(struct s3 *s3, const struct s3_at *at,
			       const struct s3_part *part, s3_done_fn done, void *ctx);

/* The list of parts, each from a confirmed s3_upload_part(). */
void s3_complete_begin(struct buf *b);
void s3_complete_add(struct buf *b, int number, const char *etag,
		     const unsigned char *sha256);
void s3_complete_end(struct buf *b);
#define S3_COMPLETE_MAX (4 * 1024 * 1024)
struct s3_call *s3_upload_complete(struct s3 *s3, const struct s3_at *at,
				   const struct buf *list, s3_done_fn done, void *ctx);

/* What is there now: etag, size, sha256. */
struct s3_call *s3_head(struct s3 *s3, const struct s3_at *at, s3_done_fn done,
			void *ctx);

/* Nobody waits for it: once, and what came of it is only logged. */
void s3_upload_abort(struct s3 *s3, const struct s3_at *at);

/* The loop that it all runs on. */
struct loop *s3_loop(const struct s3 *s3);
const struct settings *s3_settings(const struct s3 *s3);

/* No callback will come. */
void s3_cancel(struct s3_call *call);

/* Exposed for tests: what a status and an error body mean. */
enum s3_result s3_classify(long status, const char *code);

#endif
