/* One request to the store under way. Internal to s3*.c. */
#ifndef MH_AGENT_S3_IMPL_H
#define MH_AGENT_S3_IMPL_H

#include <sys/queue.h>

#include "agent/s3.h"

/* Up to S3_PART: those that move an artifact's bytes. */
enum s3_kind { S3_GET, S3_PUT, S3_PART, S3_CREATE, S3_COMPLETE, S3_HEAD, S3_ABORT };

struct s3 {
	struct aws *aws;
	const struct settings *settings;
	bool regional; /* AWS itself, no endpoint configured */
	bool is_address; /* the endpoint is one, not a name */
	struct aws_endpoint endpoint;
	TAILQ_HEAD(s3_call_list, s3_call) aborts; /* that nobody waits for */
};

struct s3_call {
	enum s3_kind kind;
	struct aws_call *http;
	struct s3 *s3; /* borrowed */
	int64_t skew_used_ms;
	int64_t sent_ms; /* monotonic */
	int64_t size; /* PUT, PART: of the body */
	int64_t offset, max_bytes; /* GET: where it began, and the limit of the whole */
	struct checksum *sum; /* GET: or NULL */
	bool sum_begun;
	int64_t length, whole; /* GET of a range: its length, the object's size; else 0 */
	s3_done_fn done;
	void *ctx;
	TAILQ_ENTRY(s3_call) link; /* ABORT */
	char *upload_id; /* ABORT: owned, for the log */
};

/* Sends what r says beyond service, place and stall time; r->headers and the rest are
 * copied. */
struct s3_call *s3_send(struct s3 *s3, enum s3_kind kind, const struct artifact *artifact,
			struct aws_request *r, s3_done_fn done, void *ctx);
/* The same for a request nobody waits for: answered() gets the call as ctx. */
struct s3_call *s3_send_abort(struct s3 *s3, const struct artifact *artifact,
			      struct aws_request *r, aws_done_fn answered);

/* What a refusal means: result and err of *a. code may be "". */
void s3_judge_refusal(const struct s3_call *call, const struct http_answer *http,
		      long status, struct s3_answer *a);
/* s3_multipart.c: the answers that are XML, status 200. */
void s3_judge_created(const struct http_answer *http, struct s3_answer *a);
void s3_judge_completed(const struct s3_call *call, const struct http_answer *http,
			struct s3_answer *a);

#endif
