/*
 * The inside of emulator/s3/: one request's life, and what its operations share.
 *
 * request.c takes a request in: target, operation (table in ops.c), who asks
 * (auth.c), body (upload.c or r->body). At the end the operation runs and leaves
 * an answer in r->response, or an error by s3_fail; request.c sends either.
 * tx.c has what runs in the writer thread.
 */
#ifndef MH_EMULATOR_S3_PRIVATE_H
#define MH_EMULATOR_S3_PRIVATE_H

#include <microhttpd.h>

#include "emulator/s3/blob.h"
#include "emulator/s3/chunked.h"
#include "emulator/s3/digest.h"
#include "emulator/s3/lane.h"
#include "emulator/s3/range.h"
#include "emulator/s3/s3.h"
#include "emulator/s3/target.h"
#include "emulator/s3/xml.h"
#include "emulator/store/objects.h"
#include "lib/base/json.h"
#include "lib/net/sigv4.h"

#define S3_SMALL_BODY_MAX  (1024 * 1024) /* XML documents that clients send */
#define S3_XML_MAX         (32 * 1024 * 1024) /* a page of 1000 long keys, escaped */
#define S3_METADATA_MAX    2048 /* bytes of x-amz-meta-* names and values, as S3 */
#define S3_REQUEST_ID_SIZE 17
#define S3_DETAILS_MAX     8
#define S3_PARTS_MAX       10000

struct s3 {
	const struct settings *settings;
	struct writer *writer;
	const struct creds_key *key;
	struct blobs blobs;
};

enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };
enum s3_body { S3_BODY_NONE, S3_BODY_SMALL, S3_BODY_OBJECT };
/* What a job's credentials must allow; S3_RIGHT_NONE: never theirs. */
enum s3_right { S3_RIGHT_NONE, S3_RIGHT_HEAD, S3_RIGHT_READ, S3_RIGHT_WRITE };

struct s3_request;
struct s3_op {
	const char *method;
	enum s3_level level;
	const char *query; /* the parameter that selects it, or NULL */
	enum s3_body body;
	enum s3_right right;
	int (*run)(struct s3_request *r);
};
/* NULL with the request's error set when there is none for this request. */
const struct s3_op *s3_op_find(struct s3_request *r);

struct s3_error {
	const char *code;
	int status;
	const char *message;
};

/* The chunks of a signed streaming body, each signed over the one before. */
struct chunk_auth {
	unsigned char key[32];
	char previous[65];
	char *prefix; /* "AWS4-HMAC-SHA256-PAYLOAD\n<date>\n<scope>\n" */
};

struct s3_request {
	struct s3 *s3;
	struct MHD_Connection *connection;
	const struct s3_op *op;
	char *method;
	struct target target;
	bool head; /* answers have no body */
	char id[S3_REQUEST_ID_SIZE];

	const struct s3_error *error; /* the first one; NULL: none so far */
	char *error_message; /* instead of the table's */
	struct xml_detail details[S3_DETAILS_MAX]; /* of the error's document */
	size_t detail_count;
	struct xml_detail error_headers[S3_DETAILS_MAX]; /* sent with the error */
	size_t error_header_count;

	bool versioned; /* the bucket has, or had, versions: their ids are told */
	bool by_job; /* signed with a job's own credentials, in `job` */
	struct opened_creds job;
	struct chunk_auth *chunk_auth; /* NULL: chunks are not signed or not verified */

	struct buf body; /* S3_BODY_SMALL */
	struct upload *upload; /* S3_BODY_OBJECT */

	struct MHD_Response *response; /* the answer, when an operation made one */
	int status;
};

/* ---- errors (errors.c) ---- */

const struct s3_error *s3_error_find(const char *code); /* NULL: not in the table */
/* Keep the first error; answer -1. The code must be in the table. */
int s3_fail(struct s3_request *r, const char *code);
int s3_fail_text(struct s3_request *r, const char *code, const char *fmt, ...)
	MH_PRINTF(3, 4);
/* One more element of the error's document, one more header of the error's answer. */
void s3_error_detail(struct s3_request *r, const char *name, const char *fmt, ...)
	MH_PRINTF(3, 4);
void s3_error_header(struct s3_request *r, const char *name, const char *value);
/* InternalError with its cause logged. */
int s3_fail_internal(struct s3_request *r, const struct mh_err *err);
/* writer_call; its error becomes the request's. */
int s3_fail_api(struct s3_request *r, const struct api_error *err);
int s3_call(struct s3_request *r, writer_fn fn, void *arg);

/* ---- requests and answers (request.c, answer.c) ---- */

/* Borrowed; NULL when absent. */
const char *s3_header(struct s3_request *r, const char *name);
const char *s3_param(struct s3_request *r, const char *name);
/* A count that a listing is asked for: *ret stays when there is none, and is no more than
 * max. */
int s3_count_param(struct s3_request *r, const char *name, int64_t max, int64_t *ret);

void s3_answer_empty(struct s3_request *r, int status);
/* Takes the text out of b. */
void s3_answer_xml(struct s3_request *r, int status, struct buf *b);
/* Takes fd: size bytes from start; fd -1 for a HEAD, which tells the length alone. */
int s3_answer_file(struct s3_request *r, int status, int take_fd, int64_t start,
		   int64_t size);
/* <name><ID>...: every bucket and object belongs to the one account there is. */
void s3_put_owner(struct s3_request *r, struct buf *b, const char *name);
/* A NULL value adds nothing. */
void s3_answer_header(struct s3_request *r, const char *name, const char *value);
/* x-amz-version-id, where the bucket has versions. */
void s3_answer_version(struct s3_request *r, const char *version_id);
void s3_answer_etag(struct s3_request *r, const char *etag);
/* Queues the answer, or the error's document. */
enum MHD_Result s3_send(struct s3_request *r);

/* ---- who asks (auth.c) ---- */

int s3_authenticate(struct s3_request *r);
/* After r->op is known: whether a job's credentials reach this far. */
int s3_authorize(struct s3_request *r);
/* Follows chunk after chunk. */
int chunk_auth_check(struct chunk_auth *a, const unsigned char hash[32],
		     const char *signature, struct mh_err *err) MH_MUST_CHECK;
/* The trailers, signed over the last chunk: "name:value\n" each. */
int chunk_auth_check_trailer(struct chunk_auth *a, const char *trailers,
			     const char *signature, struct mh_err *err) MH_MUST_CHECK;
void chunk_auth_free(struct chunk_auth *a);

/* ---- bodies (upload.c) ---- */

struct upload {
	struct s3_request *request;
	struct blob blob;
	struct digests digests;
	struct lane lane; /* the way of the decoded bytes to file and digests */
	int64_t size, max;

	bool decodes; /* the body is aws-chunked */
	struct chunked decoder;
	struct digests chunk; /* SHA-256 of the chunk under way, when they are signed */
	int64_t declared; /* x-amz-decoded-content-length, or -1 */

	bool has_md5;
	unsigned char md5[16]; /* Content-MD5 */
	char sha256[SIGV4_HASH_HEX_SIZE]; /* x-amz-content-sha256, or "" */
	bool signed_trailers;
	const struct checksum_name *checksum; /* NULL: none promised */
	char *checksum_value; /* base64; NULL until the trailer is there */

	char etag[33]; /* set at the end */
};
int upload_begin(struct s3_request *r);
void upload_data(struct s3_request *r, const void *data, size_t len);
/* Everything the client promised about the body holds; the file is durable. */
int upload_finish(struct s3_request *r);
void upload_free(struct upload *u);

/* ---- in the writer thread (tx.c); codes are S3's ---- */

struct tx_find {
	const char *bucket, *key;
	const char *version; /* NULL: what is current */
	struct object_row row; /* out */
	bool versioned; /* out: the bucket has versions, or had */
	char *marker; /* out: the delete marker that stands there instead, or NULL */
};
void tx_find_done(struct tx_find *find);
static inline void clean_tx_find(struct tx_find *find)
{
	tx_find_done(find);
}
int tx_find(struct op_ctx *ctx, void *arg, struct api_error *err);

struct tx_put {
	const char *bucket, *key;
	struct object_row *row; /* complete but for modified_ms, which is set */
	bool make_bucket;
	const char *if_match, *if_none_match; /* or NULL */
	char *replaced; /* out: a file to remove, or NULL */
	bool versioned; /* out; the row has its version_id */
};
int tx_put(struct op_ctx *ctx, void *arg, struct api_error *err);

struct tx_delete {
	const char *bucket, *key;
	const char *version; /* NULL: the current object; a marker where there are
				versions */
	const char *if_match; /* or NULL */
	char *file; /* out: a file to remove, or NULL */
	char *told; /* out: the version that was made or taken away, or NULL */
	bool marker; /* out: that one is a delete marker */
};
void tx_delete_done(struct tx_delete *d);
int tx_delete(struct op_ctx *ctx, void *arg, struct api_error *err);

/* arg is the bucket's name. */
int tx_bucket_must_exist(struct op_ctx *ctx, void *arg, struct api_error *err);

/* Finds the row and opens its file, again when it was replaced in between. The caller
 * ends *find with tx_find_done, also after a failure. */
int s3_find_open(struct s3 *s3, struct tx_find *find, int *ret_fd, struct api_error *err);
/* Keeps the blob under its id and has fn write a row that names it; the file goes again
 * when that fails. *replaced is what fn says is to be removed (or NULL); it is freed. */
int s3_commit_blob(struct s3 *s3, struct blob *b, writer_fn fn, void *arg,
		   char **replaced, struct api_error *err);

/* ---- copying (copy.c) ---- */

/* What x-amz-copy-source names, if the request may read it and its conditions hold. */
int s3_open_copy_source(struct s3_request *r, struct object_row *ret, int *ret_fd);
int s3_copy_object(struct s3_request *r);
/* Makes the blob the object that the request names; row gets the file's id. */
int s3_commit_object(struct s3_request *r, struct blob *b, struct object_row *row);

/* ---- tags (tags.c): kept as a JSON object ---- */

/* "a=1&b=2", as x-amz-tagging has them; *ret NULL for none. */
int tags_from_header(struct s3_request *r, const char *header, char **ret);
int64_t tags_count(const char *tags);

/* ---- an object's description (meta.c) ---- */

/* From the request's headers; -1 with the request's error set. */
int meta_from_request(struct s3_request *r, struct object_row *row);
/* Adds what a GET or HEAD gives back. part: only some of the bytes are sent. */
void meta_echo_encryption(struct s3_request *r); /* as asked for, after a PUT */
/* headers for a copy: the source's without its checksums, encrypted as asked for. */
char *meta_merge_encryption(struct s3_request *r, const char *headers);
void meta_put_modified(struct s3_request *r, const struct object_row *row);

#define META_CHECKSUM_TYPE "x-amz-checksum-type"
/* "FULL_OBJECT" or "COMPOSITE": what a row's headers say. */
const char *meta_checksum_type(const char *headers);
/* The checksum that the row has, or NULL. */
const struct checksum_name *meta_checksum_of(const struct object_row *row);
/* type: "FULL_OBJECT", of all bytes, or "COMPOSITE", of the parts' checksums. */
void meta_set_checksum(struct object_row *row, const struct checksum_name *checksum,
		       const char *value, const char *type);
/* How long each part of an object was that came in parts: "5242880,77"; NULL: it did not.
 * The caller frees it. */
char *meta_parts(const struct object_row *row);
void meta_set_parts(struct object_row *row, const char *parts);
void meta_drop_checksum(struct object_row *row);
/* Ends the digests that were asked for, as the row's ETag (or etag, without MD5) and
 * checksum (NULL for none). */
void meta_set_digests(struct object_row *row, const char *etag,
		      const struct checksum_name *checksum, struct digests *d);
/* As elements of an answer's document. */
void meta_put_checksums(struct buf *b, const struct object_row *row);
void meta_to_answer(struct s3_request *r, const struct object_row *row, bool part);

/* ---- operations ---- */

int op_list_buckets(struct s3_request *r);
int op_create_bucket(struct s3_request *r);
int op_head_bucket(struct s3_request *r);
int op_delete_bucket(struct s3_request *r);
int op_bucket_location(struct s3_request *r);
int op_get_versioning(struct s3_request *r);
int op_put_versioning(struct s3_request *r);
int op_list_versions(struct s3_request *r);
int op_list_v1(struct s3_request *r);
int op_list_v2(struct s3_request *r);
int op_delete_objects(struct s3_request *r);
int op_get_object(struct s3_request *r); /* and HEAD */
int op_put_object(struct s3_request *r); /* and CopyObject */
int op_delete_object(struct s3_request *r);
int op_get_tagging(struct s3_request *r);
int op_put_tagging(struct s3_request *r);
int op_delete_tagging(struct s3_request *r);
int op_get_attributes(struct s3_request *r);
int op_create_multipart(struct s3_request *r);
int op_upload_part(struct s3_request *r); /* and UploadPartCopy */
int op_complete_multipart(struct s3_request *r);
int op_abort_multipart(struct s3_request *r);
int op_list_parts(struct s3_request *r);
int op_list_multiparts(struct s3_request *r);

#endif
