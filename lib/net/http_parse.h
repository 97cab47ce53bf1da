/*
 * An HTTP/1.x answer as it comes in, a piece at a time. Internal: http_lane.c reads,
 * this file understands.
 *
 *	struct http_parse p = HTTP_PARSE_INIT;
 *	http_parse_take(&p, data, len, &answer, &err)    until p.state is PARSE_DONE
 *	http_parse_end(&p, &answer, &err)                when the connection ended before
 *	http_parse_done(&p)
 *
 * Facts, headers and body go to the answer; its status is for the caller to set once the
 * answer is whole, from p.status. Interim answers and trailers are left out. Errors are
 * PROTO for what is no HTTP or over a limit, NET for an answer that broke off.
 */
#ifndef MH_NET_HTTP_PARSE_H
#define MH_NET_HTTP_PARSE_H

#include "lib/net/http.h"

#define HTTP_MAX_HEADERS      256
#define HTTP_MAX_HEADER_BYTES (256 * 1024)

struct http_header {
	char *name, *value; /* name is an allocation of its own unless the list is one */
	size_t name_len;
};
struct http_header_list {
	struct http_header *items;
	size_t count, room, bytes;
	bool whole; /* list, items and text are one allocation */
};
void http_header_list_free(struct http_header_list *list);
/* Date and Age of the headers, into the answer. */
void http_answer_facts(struct http_answer *answer);

enum http_parse_state {
	PARSE_HEAD,
	PARSE_COUNTED, /* `left` bytes of the body are to come */
	PARSE_CHUNK_SIZE,
	PARSE_CHUNK_EXTENSION, /* what is left of a chunk size's line */
	PARSE_CHUNK, /* `left` bytes of it are to come */
	PARSE_CHUNK_END,
	PARSE_TRAILER,
	PARSE_TO_END, /* the connection's end is the body's */
	PARSE_DONE,
};

struct http_parse {
	enum http_parse_state state;
	long status;
	bool keep; /* once done: the connection can take another request */
	struct buf head; /* what came of a head that is not whole yet */
	size_t head_bytes; /* with those of interim answers */
	int64_t left;
	unsigned digits; /* of a chunk's size so far */
	size_t line_bytes; /* of a trailer's line so far */
};

#define HTTP_PARSE_INIT                                                                  \
	{                                                                                \
		.state = PARSE_HEAD, .head = BUF_INIT(HTTP_MAX_HEADER_BYTES)             \
	}

int http_parse_take(struct http_parse *p, const char *data, size_t len,
		    struct http_answer *answer, struct mh_err *err) MH_MUST_CHECK;
int http_parse_end(struct http_parse *p, struct mh_err *err) MH_MUST_CHECK;
void http_parse_done(struct http_parse *p);

#endif
