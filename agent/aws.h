/*
 * Signed requests to AWS-compatible services, over the one HTTP client.
 *
 *	aws_new(http, region, &aws);
 *	aws_send(aws, &request, done, ctx);    signs with the corrected clock
 *
 * The clock: every answer with a Date tells how far this host's clock is off;
 * the next signature takes it into account (semantics A12). Nothing is retried
 * here.
 */
#ifndef MH_AGENT_AWS_H
#define MH_AGENT_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/creds.h"
#include "lib/net/http.h"
#include "lib/net/uri.h"

/* Where a service is: an endpoint from the configuration, taken apart. */
struct aws_endpoint {
	char *origin; /* "https://host:port" */
	char *host; /* the Host header */
	char *prefix; /* path before every other, without a '/' at its end; often "" */
};
/* CONFIG when it is not a URL. */
int aws_endpoint_init(struct aws_endpoint *e, const char *url,
		      struct mh_err *err) MH_MUST_CHECK;
void aws_endpoint_done(struct aws_endpoint *e);
/* AWS's own: "https://codepipeline.eu-west-1.amazonaws.com". The caller frees it. */
char *aws_endpoint_url(const char *host_prefix, const char *region) MH_MUST_CHECK;

struct aws;
struct aws *aws_new(struct http_client *http, const char *region) MH_MUST_CHECK;
void aws_free(struct aws *aws);
struct loop *aws_loop(const struct aws *aws);

struct aws_request {
	const char *service; /* "codepipeline", "s3", "sts" */
	const char *method;
	const char *origin, *host; /* as in struct aws_endpoint */
	const char *path; /* percent-encoded, begins with '/' */
	const struct uri_query *query; /* or NULL */
	const struct creds *creds;
	const char *const *headers; /* "Name: value", NULL-terminated; all are signed */
	const void *body; /* copied */
	size_t body_len;
	int body_fd; /* -1: none; body_len bytes from body_offset */
	int64_t body_offset;
	const char *payload_hash; /* NULL: of body */
	int answer_fd; /* -1: into memory */
	int64_t answer_offset, max_file;
	http_tap_fn tap; /* as in struct http_request */
	void *tap_ctx;
	size_t max_body; /* 0 = 10 MiB */
	int64_t cut_above, cut_at, stall_bytes; /* as in struct http_request */
	int64_t timeout_ms, stall_ms;
	bool held; /* the server answers when it pleases: tells nothing about clocks */
};

struct aws_call;
typedef void (*aws_done_fn)(void *ctx, struct http_answer *answer); /* answer borrowed */
/* Never calls done from inside; the call is valid until done or aws_cancel(). */
struct aws_call *aws_send(struct aws *aws, const struct aws_request *r, aws_done_fn done,
			  void *ctx);
void aws_cancel(struct aws_call *call);

/* How far this host's clock is behind that service's (ms to add): "codepipeline" and
 * "s3" (and "sts") need not be of one server. */
int64_t aws_skew_ms(const struct aws *aws, const char *service);

/* An error that may mean a wrong clock means it when the clock was that wrong (A12). */
#define AWS_SKEW_TELLING_MS (4 * 60 * INT64_C(1000))

/* Exposed for tests: the skew an answer shows; false when it shows none. */
bool aws_skew_of(int64_t server_date_ms, int64_t age_s, int64_t sent_ms,
		 int64_t received_ms, int64_t *ret_ms);

#endif
