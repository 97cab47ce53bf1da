/*
 * What runs in the writer thread, and the two sequences that join rows and files:
 * a file is durable before its row, and goes away after its row.
 */
#include <string.h>

#include "emulator/s3/private.h"
#include "lib/base/fault.h"

/* A read loses against at most so many replacements in a row. */
#define OPEN_TRIES 8

static int need_bucket(struct op_ctx *ctx, const char *bucket, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	bool exists;

	if (bucket_exists(ctx->store, bucket, &exists, &cause) != 0)
		return api_fail_internal(err, &cause);
	return exists ? 0 : api_fail(err, "NoSuchBucket", "no bucket %s", bucket);
}

int tx_bucket_must_exist(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	return need_bucket(ctx, arg, err);
}

int tx_find(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_find *find = arg;
	struct mh_err cause = MH_ERR_INIT;
	bool found;

	if (object_find(ctx->store, find->bucket, find->key, &find->row, &found,
			&cause) != 0)
		return api_fail_internal(err, &cause);
	if (found)
		return 0;
	if (need_bucket(ctx, find->bucket, err) != 0)
		return -1;
	return api_fail(err, "NoSuchKey", "no object %s in bucket %s", find->key,
			find->bucket);
}

/* Conditional writes: judged in the transaction that writes. */
static int check_put_conditions(struct op_ctx *ctx, const struct tx_put *put,
				struct api_error *err)
{
	CLEAN(object_row) struct object_row old = { 0 };
	struct mh_err cause = MH_ERR_INIT;
	bool found;

	if (put->if_match == NULL && put->if_none_match == NULL)
		return 0;
	if (object_find(ctx->store, put->bucket, put->key, &old, &found, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (put->if_match != NULL && !found)
		return api_fail(err, "NoSuchKey", "no object %s", put->key);
	if (put->if_match != NULL && !etag_in_list(put->if_match, old.etag))
		return api_fail(err, "PreconditionFailed", "If-Match");
	if (put->if_none_match != NULL && found &&
	    etag_in_list(put->if_none_match, old.etag))
		return api_fail(err, "PreconditionFailed", "If-None-Match");
	return 0;
}

int tx_put(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_put *put = arg;
	struct mh_err cause = MH_ERR_INIT;
	bool created;

	if (put->make_bucket &&
	    bucket_create(ctx->store, put->bucket, ctx->now_ms, &created, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (need_bucket(ctx, put->bucket, err) != 0 ||
	    check_put_conditions(ctx, put, err) != 0)
		return -1;
	put->row->modified_ms = ctx->now_ms;
	if (object_put(ctx->store, put->bucket, put->key, put->row, &put->replaced,
		       &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

int tx_delete(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_delete *d = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (need_bucket(ctx, d->bucket, err) != 0)
		return -1;
	if (object_delete(ctx->store, d->bucket, d->key, &d->file, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

int s3_find_open(struct s3 *s3, const char *bucket, const char *key,
		 struct object_row *ret, int *ret_fd, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	for (int i = 0; i < OPEN_TRIES; i++) {
		struct tx_find find = { .bucket = bucket, .key = key };

		if (writer_call(s3->writer, tx_find, &find, NULL, err) != 0)
			return -1;
		if (blob_open(&s3->blobs, find.row.file_id, ret_fd, &cause) == 0) {
			*ret = find.row;
			return 0;
		}
		object_row_done(&find.row);
		if (cause.cls != MH_E_NOTFOUND)
			break;
	}
	return api_fail_internal(err, &cause);
}

int s3_commit_blob(struct s3 *s3, struct blob *b, writer_fn fn, void *arg,
		   char **replaced, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	int rc;

	if (blob_keep(&s3->blobs, b, &cause) != 0)
		return api_fail_internal(err, &cause);
	rc = writer_call(s3->writer, fn, arg, NULL, err);
	FAULT_POINT("s3.put.committed");
	blob_remove(&s3->blobs, rc == 0 ? *replaced : b->id);
	free(*replaced);
	*replaced = NULL;
	return rc;
}
