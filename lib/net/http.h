/*
 * HTTP requests on the loop: one request in, one completion callback out,
 * exactly once, never from inside http_send(). Redirects are not followed.
 * Sockets are close-on-exec from birth.
 *
 *	struct http_request r = { .method = "POST", .url = url, .headers = headers,
 *				  .body = text, .body_len = len };
 *	http_send(client, &r, done, job);     r and what it points to may go now
 *	... done(job, answer) on a later turn of the loop
 *
 * Nothing is retried here, only facts are told: the caller knows what may be sent
 * twice. libcurl's own resending, when a kept-alive connection turns out to be dead,
 * is barred for requests with a body; one without a body it may repeat.
 *
 * Bodies: from memory, or from a file descriptor with a known length. Answers:
 * into memory up to max_body bytes (more is PROTO), or into a file descriptor
 * (only when the status is 200 or 206; other answers go to memory).
 *
 * On the wire are the headers given, Host, Content-Length and User-Agent; an
 * Expect, Accept or Content-Type that was not asked for is not added. The proxy
 * variables of the environment (https_proxy, no_proxy) are honoured, but for
 * loopback and link-local hosts.
 */
#ifndef MH_NET_HTTP_H
#define MH_NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/loop.h"

struct http_client; /* one connection pool, by host, for all credentials */

struct http_options {
	const char *ca_file; /* PEM bundle (AWS_CA_BUNDLE); NULL: the system's */
	const char *user_agent;
	int64_t connect_timeout_ms; /* 5000 when 0 */
	bool insecure_plain_ok; /* http:// to other than loopback; else CONFIG */
};

int http_client_new(struct loop *loop, const struct http_options *options,
		    struct http_client **ret, struct mh_err *err) MH_MUST_CHECK;
struct loop *http_client_loop(const struct http_client *client);
/* Cancels what is under way without callbacks. */
void http_client_free(struct http_client *client);

struct http_answer;
/* Sees the bytes that were written into the answer's file, in order; of the answer the
 * headers are there. */
typedef void (*http_tap_fn)(void *ctx, const struct http_answer *so_far, const void *data,
			    size_t len);

struct http_request {
	const char *method; /* GET, PUT, POST, HEAD, DELETE */
	const char *url; /* sent as written: already encoded */
	const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
	const void *body; /* copied; NULL when body_fd or none */
	size_t body_len;
	int body_fd; /* 0 or -1: none; body_len bytes read with pread from body_offset;
			borrowed until done */
	int64_t body_offset;
	int answer_fd; /* 0 or -1: memory; pwrite from answer_offset; borrowed until done
			*/
	int64_t answer_offset;
	size_t max_body; /* of an answer in memory; 0 = 10 MiB */
	int64_t max_file; /* of an answer in a file; 0 = no limit */
	http_tap_fn tap; /* or NULL */
	void *tap_ctx;
	int64_t cut_above, cut_at; /* when the answer announces more than cut_above bytes
				      for the file, only the first cut_at are taken, and
				      the connection is closed; 0 = never */
	int64_t timeout_ms; /* whole exchange; 0 = none */
	int64_t stall_ms; /* no byte moved for so long; 0 = 60 s */
	int64_t stall_bytes; /* fewer than so many count as none; 0 = 1 */
	bool plain_ok; /* http:// here even without insecure_plain_ok: metadata services
			*/
};

/* A request with a "Range: bytes=N-" header whose answer does not begin at N (the
 * server ignored the range: 200, or another Content-Range) fails with PROTO before a
 * byte is written. */
struct http_answer {
	long status; /* 0 when no whole answer arrived: then err says why */
	bool sent; /* whether the request may have reached the server */
	bool cut; /* by cut_above: status is the answer's */
	bool too_large; /* status 0: it was, or announced to be, over a limit */
	struct buf body; /* memory answers; may be taken with buf_steal() */
	int64_t file_bytes; /* file answers: bytes written, also when status is 0 */
	int64_t server_date_ms; /* Date header, or -1 */
	int64_t age_s; /* Age header, or -1 */
	/* Wall clock, for skew (semantics A12): when the request began to be sent, and
	 * when the first line of the answer was there (or the failure). */
	int64_t sent_ms, received_ms;
	struct http_header_list *headers;
	/* NET: no name, connection, TLS, or it broke off. TIMEOUT: a deadline, a stall.
	 * PROTO: not HTTP, over a limit, wrong range. SYS, FULL: a file. CONFIG: the
	 * request itself. Class OK when status != 0. URLs in it have no query. */
	struct mh_err err;
};
/* By name in any case; NULL when absent. Borrowed from the answer. */
const char *http_answer_header(const struct http_answer *a, const char *name);

struct http_call; /* handle of a request under way, valid until its callback or cancel */
typedef void (*http_done_fn)(void *ctx, struct http_answer *answer); /* answer borrowed */

/* Cannot fail by itself: what goes wrong at once is told to the callback on the
 * next turn. */
struct http_call *http_send(struct http_client *client,
			    const struct http_request *request, http_done_fn done,
			    void *ctx);
/* No callback will come. Not for a call whose callback has begun. NULL is no call. */
void http_cancel(struct http_call *call);

#endif
