/*
 * What runs in the writer thread, and the two sequences that join rows and files:
 * a file is durable before its row, and goes away after its row.
 */
#include <string.h>

#include "emulator/engine/triggers.h"
#include "emulator/s3/private.h"
#include "emulator/store/versions.h"
#include "lib/base/fault.h"

/* A read loses against at most so many replacements in a row. */
#define OPEN_TRIES      8
#define VERSION_LETTERS 32 /* of a version's id, as many as S3's have */

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

/* What the bucket's versioning says: "", "Enabled" or "Suspended". */
static int read_versioning(struct op_ctx *ctx, const char *bucket,
			   char status[BUCKET_VERSIONING_SIZE], struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	if (bucket_versioning(ctx->store, bucket, status, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

void tx_find_done(struct tx_find *find)
{
	object_row_done(&find->row);
	free(find->marker);
	find->marker = NULL;
}

static int find_row(struct op_ctx *ctx, struct tx_find *find, bool *ret_found,
		    struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	int rc;

	if (find->version != NULL)
		rc = version_find(ctx->store, find->bucket, find->key, find->version,
				  &find->row, ret_found, &cause);
	else
		rc = object_find(ctx->store, find->bucket, find->key, &find->row,
				 ret_found, &cause);
	return rc == 0 ? 0 : api_fail_internal(err, &cause);
}

/* No object is there: why not? */
static int not_found(struct op_ctx *ctx, struct tx_find *find, struct api_error *err)
{
	CLEAN(object_row) struct object_row newest = { 0 };
	struct mh_err cause = MH_ERR_INIT;
	bool found;

	if (need_bucket(ctx, find->bucket, err) != 0)
		return -1;
	if (find->version != NULL)
		return api_fail(err, "NoSuchVersion", "no version %s of %s",
				find->version, find->key);
	if (version_newest_old(ctx->store, find->bucket, find->key, &newest, &found,
			       &cause) != 0)
		return api_fail_internal(err, &cause);
	if (found)
		find->marker = STEAL_PTR(newest.version_id);
	return api_fail(err, "NoSuchKey", "no object %s in bucket %s", find->key,
			find->bucket);
}

int tx_find(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	char status[BUCKET_VERSIONING_SIZE];
	struct tx_find *find = arg;
	bool found;

	if (find_row(ctx, find, &found, err) != 0 ||
	    read_versioning(ctx, find->bucket, status, err) != 0)
		return -1;
	find->versioned = status[0] != '\0';
	if (!found)
		return not_found(ctx, find, err);
	if (find->row.file_id != NULL)
		return 0;
	find->marker = mh_strdup(find->row.version_id);
	return api_fail(err, "MethodNotAllowed", "%s is a delete marker", find->marker);
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

/* The id of the version that is about to be made. */
static char *new_version(struct op_ctx *ctx, const char *status)
{
	char name[VERSION_LETTERS + 1];

	if (strcmp(status, "Enabled") != 0)
		return mh_strdup(OBJECT_VERSION_NULL);
	ctx->ids->name(ctx->ids, VERSION_LETTERS, name);
	return mh_strdup(name);
}

int tx_put(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	char status[BUCKET_VERSIONING_SIZE];
	struct tx_put *put = arg;
	struct mh_err cause = MH_ERR_INIT;
	bool created;

	if (put->make_bucket &&
	    bucket_create(ctx->store, put->bucket, ctx->now_ms, &created, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (need_bucket(ctx, put->bucket, err) != 0 ||
	    check_put_conditions(ctx, put, err) != 0 ||
	    read_versioning(ctx, put->bucket, status, err) != 0)
		return -1;
	put->versioned = status[0] != '\0';
	put->row->modified_ms = ctx->now_ms;
	free(put->row->version_id);
	put->row->version_id = new_version(ctx, status);
	if (object_put(ctx->store, put->bucket, put->key, put->row, &put->replaced,
		       &cause) != 0)
		return api_fail_internal(err, &cause);
	return engine_object_changed(
		ctx, put->bucket, put->key,
		strcmp(status, "Enabled") == 0 ? put->row->version_id : NULL, err);
}

void tx_delete_done(struct tx_delete *d)
{
	free(d->file);
	free(d->told);
	d->file = d->told = NULL;
}

static int check_delete_condition(struct op_ctx *ctx, const struct tx_delete *d,
				  struct api_error *err)
{
	CLEAN(tx_find)
	struct tx_find find = { .bucket = d->bucket,
				.key = d->key,
				.version = d->version };
	bool found;

	if (d->if_match == NULL)
		return 0;
	if (find_row(ctx, &find, &found, err) != 0)
		return -1;
	if (!found || find.row.file_id == NULL)
		return api_fail(err, "NoSuchKey", "no object %s", d->key);
	return etag_in_list(d->if_match, find.row.etag)
		       ? 0
		       : api_fail(err, "PreconditionFailed", "If-Match");
}

static int delete_current(struct op_ctx *ctx, struct tx_delete *d, struct mh_err *err)
{
	char status[BUCKET_VERSIONING_SIZE];

	if (bucket_versioning(ctx->store, d->bucket, status, err) != 0)
		return -1;
	if (status[0] == '\0')
		return object_delete(ctx->store, d->bucket, d->key, &d->file, err);
	d->marker = true;
	d->told = new_version(ctx, status);
	return version_put_marker(ctx->store, d->bucket, d->key, d->told, ctx->now_ms,
				  &d->file, err);
}

int tx_delete(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_delete *d = arg;
	struct mh_err cause = MH_ERR_INIT;
	int rc;

	if (need_bucket(ctx, d->bucket, err) != 0 ||
	    check_delete_condition(ctx, d, err) != 0)
		return -1;
	if (d->version == NULL) {
		rc = delete_current(ctx, d, &cause);
	} else {
		d->told = mh_strdup(d->version);
		rc = version_delete(ctx->store, d->bucket, d->key, d->version, &d->file,
				    &d->marker, &cause);
	}
	return rc == 0 ? 0 : api_fail_internal(err, &cause);
}

int s3_find_open(struct s3 *s3, struct tx_find *find, int *ret_fd, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	for (int i = 0; i < OPEN_TRIES; i++) {
		tx_find_done(find);
		if (writer_call(s3->writer, tx_find, find, NULL, err) != 0)
			return -1;
		if (blob_open(&s3->blobs, find->row.file_id, ret_fd, &cause) == 0)
			return 0;
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
