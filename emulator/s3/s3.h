/*
 * The artifact store: S3's API for buckets and objects, in the same server.
 *
 * An object's bytes are a file <data_dir>/objects/<xx>/<id>, whole and synced
 * before its row exists; its row (bucket, key, size, ETag, metadata, file id) is
 * written by the writer. So a 200 to PUT means durable, a reader sees the old
 * object or the new one, never half of one, and a crash leaves at worst a file
 * without a row, which the next start removes.
 */
#ifndef MH_EMULATOR_S3_S3_H
#define MH_EMULATOR_S3_S3_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/jobcreds.h"
#include "emulator/settings.h"
#include "emulator/writer.h"

struct s3;
struct MHD_Connection;

int s3_new(const struct settings *settings, struct writer *writer,
	   const struct creds_key *key, struct s3 **ret,
	   struct mh_err *err) MH_MUST_CHECK;
void s3_free(struct s3 *s3);
/* The emulator's time (vclock.h). */
int64_t s3_now_ms(const struct s3 *s3);

/*
 * The server's front calls these for every request without X-Amz-Target whose path
 * is not under /_millhand/. raw_target is the request target as it came
 * ("/bucket/key%20x?versionId=1"), never decoded by libmicrohttpd.
 *
 * begin: after the headers; *ret_state is the request's own state. Returns what the
 *	access handler returns. When the client waits for 100 Continue and its headers
 *	are wrong already, the answer is queued here, and only drop follows.
 * data: a piece of the body. Errors are kept in the state and told at the end.
 * finish: the body is complete; queues the answer on the connection.
 * drop: the connection ended early, or the answer is out; frees the state.
 */
struct s3_request;
int s3_request_begin(struct s3 *s3, struct MHD_Connection *connection, const char *method,
		     const char *raw_target, struct s3_request **ret_state);
/* false: the request is refused, and what still comes is not looked at. */
bool s3_request_data(struct s3_request *state, const void *data, size_t len);
int s3_request_finish(struct s3_request *state,
		      struct MHD_Connection *connection); /* enum MHD_Result */
void s3_request_drop(struct s3_request *state);

/* For built-in workers and tests; block, and call the writer. */
struct s3_object {
	char *etag; /* with no quotes */
	char *version_id; /* "null" where the bucket had no versions */
	char *content_type;
	struct json_object *metadata; /* x-amz-meta-* without the prefix */
	int64_t size, modified_ms;
};
void s3_object_done(struct s3_object *o);
/* Opens the object's bytes for reading; NOTFOUND. */
int s3_open(struct s3 *s3, const char *bucket, const char *key, struct s3_object *ret,
	    int *ret_fd, struct mh_err *err) MH_MUST_CHECK;
/* The same for one version of the object, which stays what it is whatever the key
 * becomes; NULL: the current one. */
int s3_open_version(struct s3 *s3, const char *bucket, const char *key,
		    const char *version_id, struct s3_object *ret, int *ret_fd,
		    struct mh_err *err) MH_MUST_CHECK;
/* What is stored beside the bytes; all but bucket and key may be left out. */
struct s3_put {
	const char *bucket, *key;
	const char *content_type;
	struct json_object *metadata; /* x-amz-meta-* without the prefix */
	struct json_object *headers; /* others that GET gives back, by lower-case name */
	bool make_bucket;
};
/* Stores what fd holds from its start. NOTFOUND when the bucket is not there. */
int s3_put(struct s3 *s3, const struct s3_put *put, int fd, struct s3_object *ret,
	   struct mh_err *err) MH_MUST_CHECK;
/* Stores what fd holds from its start; makes the bucket when make_bucket. content_type
 * and metadata may be NULL. */
int s3_put_fd(struct s3 *s3, const char *bucket, const char *key, int fd,
	      const char *content_type, struct json_object *metadata, bool make_bucket,
	      struct s3_object *ret, struct mh_err *err) MH_MUST_CHECK;

#endif
