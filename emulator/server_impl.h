/*
 * What the files of the HTTP server share, and nobody else: server.c (connections, the
 * life of a request, the API), server_own.c (the paths under /_millhand/).
 */
#ifndef MH_EMULATOR_SERVER_IMPL_H
#define MH_EMULATOR_SERVER_IMPL_H

#include "emulator/server.h"

#include <microhttpd.h>
#include <pthread.h>

#include "emulator/faults.h"
#include "emulator/tls.h"
#include "lib/base/buf.h"
#include "lib/net/uri.h"

#define SERVER_HEADERS_MAX 128
#define SERVER_OWN_PREFIX  "/_millhand/"

struct server {
	struct server_options o;
	struct MHD_Daemon *daemon;
	struct tls_files tls;
	struct sigv4_keys *keys; /* derived once a day and key, for all threads */
	int listen_fd;
	int port;
	pthread_mutex_t lock; /* of `active` */
	pthread_cond_t idle;
	int active; /* requests between their headers and the end of their answer */
};

enum route { ROUTE_API, ROUTE_OWN, ROUTE_S3 };

struct request {
	struct server *server;
	char *target; /* as it came: "/path?query", never decoded */
	bool begun;
	enum route route;
	char id[STR_UUID_SIZE]; /* x-amzn-RequestId, and in the log */
	int64_t begun_ms; /* monotonic */
	struct buf body;
	bool body_too_large;
	int64_t drained_bytes; /* of a body that is refused once it has come */
	struct s3_request *s3;
};

/* Each queues one answer on the connection; error_type may be NULL. */
enum MHD_Result server_send_text(const struct request *r,
				 struct MHD_Connection *connection, int status,
				 const char *content_type, char *take_body,
				 const char *error_type);
enum MHD_Result server_send_error(const struct request *r,
				  struct MHD_Connection *connection,
				  const struct api_error *err);

/* A request's header, borrowed; NULL when it is absent. */
const char *server_header(struct MHD_Connection *connection, const char *name);

struct signed_headers {
	struct sigv4_header items[SERVER_HEADERS_MAX];
	size_t count;
	bool too_many;
};

/* What a signature covers: everything of a request but the payload's hash. */
struct gathered {
	char *path;
	struct uri_query query;
	struct signed_headers headers;
	struct sigv4_request request; /* borrows from the above */
};
int server_gather(const struct request *r, struct MHD_Connection *connection,
		  const char *method, struct gathered *ret,
		  struct api_error *err) MH_MUST_CHECK;
void clean_gathered(struct gathered *g);

/* MHD closes a connection on which nothing moved for idle_timeout; allowed here while a
 * request waits, taken back before it is answered. */
void server_allow_idle(const struct request *r, struct MHD_Connection *connection,
		       bool allow);

/* ---- server_faults.c: f->id 0 is no fault ---- */

void server_fault_delay(const struct request *r, struct MHD_Connection *connection,
			const struct fault *f);
/* Whether the request is not to be served, but answered so. */
bool server_fault_error(const struct fault *f, struct api_error *ret);
/* Queues what the fault leaves of the answer; MHD_NO ends the connection. */
enum MHD_Result server_send_faulty(const struct request *r,
				   struct MHD_Connection *connection,
				   const struct fault *f, int status,
				   const char *error_type, char *take_body);
/* s3_request_finish(), with the faults for S3. */
enum MHD_Result server_finish_s3(struct request *r, struct MHD_Connection *connection,
				 const char *method);

/* Answers a request to a path under SERVER_OWN_PREFIX, whose body has come. */
enum MHD_Result server_finish_own(const struct request *r,
				  struct MHD_Connection *connection, const char *method);

#endif
