/* The store as a whole, and its use from inside the server. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/store/multipart.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

struct known_files {
	char (*ids)[BLOB_ID_SIZE];
	size_t count;
	bool *known;
};

static int tx_known_files(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct known_files *k = arg;
	struct mh_err cause = MH_ERR_INIT;

	for (size_t i = 0; i < k->count; i++)
		if (object_file_is_known(ctx->store, k->ids[i], &k->known[i], &cause) !=
			    0 ||
		    (!k->known[i] && part_file_is_known(ctx->store, k->ids[i],
							&k->known[i], &cause) != 0))
			return api_fail_internal(err, &cause);
	return 0;
}

static int ask_known_files(void *ctx, char (*ids)[BLOB_ID_SIZE], size_t count,
			   bool *known, struct mh_err *err)
{
	struct known_files k = { .ids = ids, .count = count, .known = known };
	struct api_error failed = { 0 };

	if (writer_call(ctx, tx_known_files, &k, NULL, &failed) != 0)
		return mh_err_set(err, MH_E_SYS, "cannot look up object files: %s",
				  failed.message);
	return 0;
}

int s3_new(const struct settings *settings, struct writer *writer,
	   const struct creds_key *key, struct s3 **ret, struct mh_err *err)
{
	struct s3 *s3 = mh_alloc(sizeof(*s3));
	int64_t removed = 0;

	*s3 = (struct s3){
		.settings = settings, .writer = writer, .key = key, .blobs = BLOBS_INIT
	};
	if (blobs_open(settings->data_dir, &s3->blobs, err) != 0 ||
	    blobs_sweep(&s3->blobs, ask_known_files, writer, &removed, err) != 0) {
		s3_free(s3);
		return -1;
	}
	if (removed > 0)
		log_event(LOG_LEVEL_INFO, "s3.swept",
			  "removed object files that no row names",
			  LOG_I("files", removed), LOG_END);
	*ret = s3;
	return 0;
}

void s3_free(struct s3 *s3)
{
	if (s3 == NULL)
		return;
	blobs_close(&s3->blobs);
	free(s3);
}

int64_t s3_now_ms(const struct s3 *s3)
{
	return writer_now_ms(s3->writer);
}

void s3_object_done(struct s3_object *o)
{
	free(o->etag);
	free(o->version_id);
	free(o->content_type);
	json_object_put(o->metadata);
	*o = (struct s3_object){ 0 };
}

/* Takes the row's strings. */
static void describe(struct object_row *row, struct s3_object *ret)
{
	struct mh_err err = MH_ERR_INIT;

	*ret = (struct s3_object){ .size = row->size, .modified_ms = row->modified_ms };
	ret->etag = STEAL_PTR(row->etag);
	ret->version_id = row->version_id ? STEAL_PTR(row->version_id)
					  : mh_strdup(OBJECT_VERSION_NULL);
	ret->content_type = STEAL_PTR(row->content_type);
	if (json_parse_object(row->metadata, strlen(row->metadata), &ret->metadata,
			      &err) != 0)
		ret->metadata = json_object_new_object();
}

static int fail_inside(const struct api_error *failed, struct mh_err *err)
{
	const struct s3_error *known = s3_error_find(failed->code);
	bool missing = known != NULL && (known->status == 404 || known->status == 405);

	return mh_err_set(err, missing ? MH_E_NOTFOUND : MH_E_SYS, "%s", failed->message);
}

int s3_open_version(struct s3 *s3, const char *bucket, const char *key,
		    const char *version_id, struct s3_object *ret, int *ret_fd,
		    struct mh_err *err)
{
	CLEAN(tx_find)
	struct tx_find find = { .bucket = bucket, .key = key, .version = version_id };
	struct api_error failed = { 0 };

	if (s3_find_open(s3, &find, ret_fd, &failed) != 0)
		return fail_inside(&failed, err);
	describe(&find.row, ret);
	return 0;
}

int s3_open(struct s3 *s3, const char *bucket, const char *key, struct s3_object *ret,
	    int *ret_fd, struct mh_err *err)
{
	return s3_open_version(s3, bucket, key, NULL, ret, ret_fd, err);
}

/* The bytes into a new blob, with their size and ETag into row. */
static int take_fd(struct s3 *s3, int fd, struct blob *b, struct object_row *row,
		   struct mh_err *err)
{
	unsigned char md5[DIGEST_MAX_SIZE];
	struct digests d;
	int rc;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return mh_err_sys(err, "cannot read the bytes to store");
	if (blob_create(&s3->blobs, b, err) != 0)
		return -1;
	digests_init(&d, DIGEST_BIT(DIGEST_MD5));
	rc = blob_copy_from(b, fd, INT64_MAX, &d, &row->size, err);
	if (rc == 0) {
		char hex[33];

		(void)digests_end(&d, DIGEST_MD5, md5); /* always 16 bytes */
		str_hex(md5, 16, hex);
		row->etag = mh_strdup(hex);
	}
	digests_done(&d);
	return rc;
}

int s3_put(struct s3 *s3, const struct s3_put *put, int fd, struct s3_object *ret,
	   struct mh_err *err)
{
	CLEAN(object_row)
	struct object_row row = {
		.content_type = mh_strdup(put->content_type ? put->content_type
							    : "binary/octet-stream"),
		.metadata = mh_strdup(put->metadata ? json_text(put->metadata) : "{}"),
		.headers = mh_strdup(put->headers ? json_text(put->headers) : "{}"),
	};
	struct tx_put tx = { .bucket = put->bucket,
			     .key = put->key,
			     .row = &row,
			     .make_bucket = put->make_bucket };
	struct api_error failed = { 0 };
	struct blob b = BLOB_INIT;
	int rc = take_fd(s3, fd, &b, &row, err);

	row.file_id = mh_strdup(b.id);
	if (rc == 0 && s3_commit_blob(s3, &b, tx_put, &tx, &tx.replaced, &failed) != 0)
		rc = fail_inside(&failed, err);
	blob_done(&s3->blobs, &b);
	if (rc == 0)
		describe(&row, ret);
	return rc;
}

int s3_put_fd(struct s3 *s3, const char *bucket, const char *key, int fd,
	      const char *content_type, struct json_object *metadata, bool make_bucket,
	      struct s3_object *ret, struct mh_err *err)
{
	struct s3_put put = { .bucket = bucket,
			      .key = key,
			      .content_type = content_type,
			      .metadata = metadata,
			      .make_bucket = make_bucket };

	return s3_put(s3, &put, fd, ret, err);
}
