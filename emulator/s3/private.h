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
	char *error_detail; /* text of error_detail_name's element */
	const char *error_detail_name;

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
/* InternalError with its cause logged. */
int s3_fail_internal(struct s3_request *r, const struct mh_err *err);
/* writer_call; its error becomes the request's. */
int s3_fail_api(struct s3_request *r, const struct api_error *err);
int s3_call(struct s3_request *r, writer_fn fn, void *arg);

/* ---- requests and answers (request.c, answer.c) ---- */

/* Borrowed; NULL when absent. */
const char *s3_header(struct s3_request *r, const char *name);
const char *s3_param(struct s3_request *r, const char *name);

void s3_answer_empty(struct s3_request *r, int status);
/* Takes the text out of b. */
void s3_answer_xml(struct s3_request *r, int status, struct buf *b);
/* Takes fd: size bytes from start; fd -1 for a HEAD, which tells the length alone. */
int s3_answer_file(struct s3_request *r, int status, int take_fd, int64_t start,
		   int64_t size);
/* A NULL value adds nothing. */
void s3_answer_header(struct s3_request *r, const char *name, const char *value);
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
void chunk_auth_free(struct chunk_auth *a);

/* ---- bodies (upload.c) ---- */

struct upload {
	struct s3_request *request;
	struct blob blob;
	struct digests digests;
	int64_t size, max;

	bool decodes; /* the body is aws-chunked */
	struct chunked decoder;
	struct digests chunk; /* SHA-256 of the chunk under way, when they are signed */
	int64_t declared; /* x-amz-decoded-content-length, or -1 */

	bool has_md5;
	unsigned char md5[16]; /* Content-MD5 */
	char sha256[SIGV4_HASH_HEX_SIZE]; /* x-amz-content-sha256, or "" */
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
	struct object_row row; /* out */
};
int tx_find(struct op_ctx *ctx, void *arg, struct api_error *err);

struct tx_put {
	const char *bucket, *key;
	struct object_row *row; /* complete but for modified_ms, which is set */
	bool make_bucket;
	const char *if_match, *if_none_match; /* or NULL */
	char *replaced; /* out: a file to remove, or NULL */
};
int tx_put(struct op_ctx *ctx, void *arg, struct api_error *err);

struct tx_delete {
	const char *bucket, *key;
	char *file; /* out: a file to remove, or NULL */
};
int tx_delete(struct op_ctx *ctx, void *arg, struct api_error *err);

/* arg is the bucket's name. */
int tx_bucket_must_exist(struct op_ctx *ctx, void *arg, struct api_error *err);

/* Finds the row and opens its file, again when it was replaced in between. The caller
 * ends *ret with object_row_done. */
int s3_find_open(struct s3 *s3, const char *bucket, const char *key,
		 struct object_row *ret, int *ret_fd, struct api_error *err);
/* Keeps the blob under its id and has fn write a row that names it; the file goes again
 * when that fails. *replaced is what fn says is to be removed (or NULL); it is freed. */
int s3_commit_blob(struct s3 *s3, struct blob *b, writer_fn fn, void *arg,
		   char **replaced, struct api_error *err);

/* What x-amz-copy-source names, if the request may read it and its conditions hold. */
int s3_open_copy_source(struct s3_request *r, struct object_row *ret, int *ret_fd);

/* ---- an object's description (meta.c) ---- */

/* From the request's headers; -1 with the request's error set. */
int meta_from_request(struct s3_request *r, struct object_row *row);
/* Adds what a GET or HEAD gives back. part: only some of the bytes are sent. */
void meta_echo_encryption(struct s3_request *r); /* as asked for, after a PUT */
void meta_to_answer(struct s3_request *r, const struct object_row *row, bool part);

/* ---- operations ---- */

int op_list_buckets(struct s3_request *r);
int op_create_bucket(struct s3_request *r);
int op_head_bucket(struct s3_request *r);
int op_delete_bucket(struct s3_request *r);
int op_bucket_location(struct s3_request *r);
int op_bucket_versioning(struct s3_request *r);
int op_list_v1(struct s3_request *r);
int op_list_v2(struct s3_request *r);
int op_delete_objects(struct s3_request *r);
int op_get_object(struct s3_request *r); /* and HEAD */
int op_put_object(struct s3_request *r); /* and CopyObject */
int op_delete_object(struct s3_request *r);
int op_object_tagging(struct s3_request *r);
int op_create_multipart(struct s3_request *r);
int op_upload_part(struct s3_request *r); /* and UploadPartCopy */
int op_complete_multipart(struct s3_request *r);
int op_abort_multipart(struct s3_request *r);
int op_list_parts(struct s3_request *r);
int op_list_multiparts(struct s3_request *r);

#endif
