/*
 * One HTTP exchange under way. Internal: http.c owns the life of a call,
 * http_wire.c sets up the curl handle and takes the answer in.
 */
#ifndef MH_NET_HTTP_CALL_H
#define MH_NET_HTTP_CALL_H

#include <sys/queue.h>

#include "lib/net/http.h"
#include "lib/net/uri.h"

#define HTTP_MAX_BODY_BYTES    (10 * 1024 * 1024)
#define HTTP_MAX_HEADERS       256
#define HTTP_USUAL_HEADERS     16
#define HTTP_MAX_HEADER_BYTES  (256 * 1024)
#define HTTP_STALL_MS          60000
#define HTTP_CONNECT_MS        5000
#define HTTP_FILE_BUFFER_BYTES (512 * 1024)

struct http_header {
	char *name, *value; /* one allocation, owned by name */
};
struct http_header_list {
	struct http_header *items;
	size_t count, room, bytes;
};

/* What a URL turned out to be: most calls go where the last one went. */
struct http_target {
	char *url; /* NULL: none yet, or one with a query, which may hold a secret */
	char *name; /* "http://host/path", for errors */
	bool is_plain; /* http:// beyond this host */
	bool is_near; /* no proxy */
};
/* *t for this URL: as it is when it is for the same one. */
int http_target_find(struct http_target *t, const char *url,
		     struct mh_err *err) MH_MUST_CHECK;
void http_target_done(struct http_target *t);

struct http_call {
	struct loop_transfer transfer; /* first: a call is found from its transfer */
	struct http_client *client;
	TAILQ_ENTRY(http_call) link;
	bool plain; /* its curl handle can serve another plain call afterwards */
	bool reused; /* it did: what is the same for all of them is set */
	http_done_fn done;
	void *ctx;

	char *label; /* "GET http://host/path", for errors */
	struct curl_slist *headers;
	char *body; /* owned copy, or NULL */
	int body_fd;
	int64_t body_offset, body_len, body_read;
	bool begun; /* a connection was there to send it on */
	int64_t range_from; /* what the Range header asked for, or -1 */

	int answer_fd;
	int64_t answer_offset, max_file;
	int64_t cut_above, cut_at; /* cut_at: 0 unless it is to be cut */
	bool headers_done, to_file;

	int64_t stall_ms, stall_bytes, moved_mono_ms; /* when a byte last moved */
	curl_off_t moved_bytes;
	int64_t start_wall_ms;
	char curl_text[CURL_ERROR_SIZE];
	struct http_answer answer; /* its err: the first reason a callback found */
};

/* Whether it is a POST from memory whose answer goes to memory: all calls of the API
 * are, and a curl handle costs more to make than one of them to send. */
bool http_wire_is_plain(const struct http_request *request);
/* Before the handle of an ended plain call is kept: it forgets the call. */
void http_wire_forget(CURL *easy);
/* Checks the request and sets the handle up for it. */
int http_wire_set_up(struct http_call *call, const struct http_request *request,
		     const struct http_options *options, struct http_target *last,
		     struct mh_err *err) MH_MUST_CHECK;
/* Fills the answer in from what libcurl says at the end. */
void http_wire_finish(struct http_call *call, CURLcode code);
void http_header_list_free(struct http_header_list *list);

#endif
