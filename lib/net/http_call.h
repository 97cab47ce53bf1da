/*
 * One HTTP exchange under way. Internal: http.c owns the life of a call. It goes out in
 * one of two ways: http_wire.c hands it to libcurl; http_lane.c sends it itself, on a
 * connection that libcurl made.
 */
#ifndef MH_NET_HTTP_CALL_H
#define MH_NET_HTTP_CALL_H

#include <sys/queue.h>

#include "lib/net/http.h"
#include "lib/net/http_parse.h"
#include "lib/net/uri.h"

#define HTTP_MAX_BODY_BYTES    (10 * 1024 * 1024)
#define HTTP_USUAL_HEADERS     16
#define HTTP_STALL_MS          60000
#define HTTP_CONNECT_MS        5000
#define HTTP_FILE_BUFFER_BYTES (512 * 1024)
#define HTTP_LANE_READ_BYTES   16384

/* What a URL turned out to be: most calls go where the last one went. */
struct http_target {
	unsigned users;
	char *url; /* NULL: one with a query, which may hold a secret */
	char *name; /* "http://host/path", for errors */
	char *origin; /* "http://host:port", what a connection is for */
	const char *host; /* as the Host header says it; in origin */
	size_t path_at; /* where path and query begin in the URL; its end: there are none
			 */
	bool is_https;
	bool is_plain; /* http:// beyond this host */
	bool is_near; /* no proxy */
};
/* The target of this URL: *last when it is the same one, else that is replaced. The
 * caller puts it. */
int http_target_get(struct http_target **last, const char *url, struct http_target **ret,
		    struct mh_err *err) MH_MUST_CHECK;
void http_target_put(struct http_target *t);

TAILQ_HEAD(http_call_list, http_call);
TAILQ_HEAD(http_lane_list, http_lane);

struct http_client {
	struct loop *loop;
	struct http_options options; /* its strings are owned */
	char *ca_file, *user_agent;
	struct http_target *last; /* where the last call went, or NULL */
	struct http_call_list calls;
	struct http_lane_list idle; /* lanes without a call, the latest first */
	size_t idle_count;
	bool proxied; /* http:// beyond this host may go by a proxy */
	uv_timer_t *stall_timer; /* its own allocation: libuv closes it later */
	char input[HTTP_LANE_READ_BYTES];
};

struct http_call {
	struct loop_transfer transfer; /* first: a call is found from its transfer */
	struct http_client *client;
	TAILQ_ENTRY(http_call) link;
	http_done_fn done;
	void *ctx;
	struct http_target *target; /* NULL until the URL proves usable */

	struct http_lane *lane; /* what it goes out on, else curl's own way */
	struct http_parse parse; /* of a lane's answer */

	char *label; /* "GET http://host/path", for errors; NULL on a lane */
	struct curl_slist *headers;
	char *body; /* owned copy, or NULL; on a lane the whole request */
	int body_fd;
	int64_t body_offset, body_len, body_read;
	int64_t range_from; /* what the Range header asked for, or -1 */

	int answer_fd;
	int64_t answer_offset, max_file;
	int64_t cut_above, cut_at; /* cut_at: 0 unless it is to be cut */
	bool headers_done, to_file;
	int64_t announced; /* length of the answer's body, or -1 */
	http_tap_fn tap;
	void *tap_ctx;
	/* http_file.c: what curl has read and hands on now, and what of it is held back
	 * to be written with the rest. */
	const char *read_at, *read_end, *held;
	size_t held_len;
	bool held_lost;

	int64_t stall_ms, stall_bytes, moved_mono_ms; /* when a byte last moved */
	curl_off_t moved_bytes;
	int64_t over_mono_ms; /* a lane's call must have ended then; 0: never */
	int64_t start_wall_ms;
	char *curl_text; /* CURL_ERROR_SIZE, of those that curl sends; else NULL */
	struct http_answer answer; /* its err: the first reason a callback found */
};

/* --- http.c --- */
/* The call has ended, its answer is filled in: tells who sent it, and frees it. */
void http_call_end(struct http_call *call);

/* --- http_wire.c: curl does it all --- */
/* Sets the handle up for it. */
int http_wire_set_up(struct http_call *call, const struct http_request *request,
		     struct mh_err *err) MH_MUST_CHECK;
/* Fills the answer in from what libcurl says at the end. */
void http_wire_finish(struct http_call *call, CURLcode code);
/* A handle's options that are the same for all calls of a client. */
void http_wire_constants(CURL *easy, const struct http_options *options);
/* "Name: value": the length of its name. CONFIG when it is no header. */
int http_check_header(const char *line, size_t *ret_name_len,
		      struct mh_err *err) MH_MUST_CHECK;
bool http_has_header(const struct http_request *request, const char *name);
curl_socket_t http_open_socket(int64_t stall_ms, const struct curl_sockaddr *address);
enum mh_err_class http_class_of(CURLcode code);

/* --- http_file.c: an answer that goes into a file --- */
void http_file_set_up(struct http_call *call);
/* -1 and the reason in the answer's err, or when it was cut where it is to be. */
int http_file_write(struct http_call *call, const char *data, size_t len) MH_MUST_CHECK;
/* Says so in the answer's err; answers -1. */
int http_file_too_large(struct http_call *call);
void http_file_finish(struct http_call *call);

/* --- http_lane.c: curl connects, the exchange is ours --- */
/* A lane is a connection that libcurl made (name, proxy, TLS) and keeps, and on which
 * this program speaks HTTP/1.1 itself: a POST from memory whose answer goes to memory,
 * which all calls of the API are, costs a third of what it costs through libcurl. */
bool http_lane_fits(const struct http_call *call, const struct http_request *request);
int http_lane_begin(struct http_call *call, const struct http_request *request,
		    struct mh_err *err) MH_MUST_CHECK;
/* Of a call that ends in any way: the lane waits for another, or is closed. */
void http_lane_leave(struct http_call *call);
/* For a call that did not come to an answer: why. */
void http_lane_failed(struct http_call *call, CURLcode code);
void http_lanes_close(struct http_client *client);

#endif
