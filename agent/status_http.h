/*
 * The little HTTP server that shows how the agent is: /metrics and the like, on a
 * loopback address. It lives on the agent's own loop: no thread, and nothing that
 * wakes up while nobody asks.
 *
 *	status_http_open(loop, "127.0.0.1:9464", answer, ctx, &server, &err);
 *	static void answer(void *ctx, const struct status_request *r,
 *			   struct status_answer *a) { a->status = 200; buf_puts(&a->body,
 *...); } status_http_close(server);            before the loop is freed
 *
 * GET and HEAD of HTTP/1.0 and 1.1, one request for each connection, its head at most
 * 4 KiB, 8 connections at once, 5 s for each. Whoever asks must name this host by an
 * address or as localhost: a page in somebody's browser that resolves its own name to
 * 127.0.0.1 learns nothing.
 */
#ifndef MH_AGENT_STATUS_HTTP_H
#define MH_AGENT_STATUS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/net/loop.h"

#define STATUS_HTTP_HEAD_MAX    4096
#define STATUS_HTTP_CONNECTIONS 8
#define STATUS_HTTP_TIME_MS     5000

struct status_request {
	bool is_head;
	char path[128]; /* without the query; "" when it was longer */
	bool wants_json; /* by ?format=json or Accept: application/json */
};

struct status_answer {
	int status;
	const char *type; /* Content-Type */
	struct buf body; /* up to STATUS_HTTP_BODY_MAX */
};
#define STATUS_HTTP_BODY_MAX (8u << 20)

typedef void (*status_http_fn)(void *ctx, const struct status_request *r,
			       struct status_answer *a);

struct status_http;
/* NET when the address cannot be had. */
int status_http_open(struct loop *loop, const char *listen, status_http_fn answer,
		     void *ctx, struct status_http **ret,
		     struct mh_err *err) MH_MUST_CHECK;
int status_http_port(const struct status_http *s);
void status_http_close(struct status_http *s);

/* "127.0.0.1:9464", "[::1]:9464": CONFIG unless it is a loopback address and a port
 * (0: any that is free). */
int status_http_address(const char *listen, struct sockaddr_storage *ret,
			struct mh_err *err) MH_MUST_CHECK;

/* Exposed for tests: 0 when the request may be answered, else the status that refuses
 * it. head is everything up to and including the empty line. */
int status_http_parse(const char *head, size_t len, struct status_request *ret);
/* The length of a whole head, 0 when its end has not come. */
size_t status_http_head(const char *data, size_t len);

#endif
