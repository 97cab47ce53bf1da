/*
 * The artifact store's tables: buckets, and one row per object. The bytes are
 * files (emulator/s3/blob.h); a row names its file, and a function that takes a
 * row away answers the file's id, so that the caller removes it after the commit.
 *
 * s3_object has what a key is now. What it was before, in a bucket with versions, and
 * delete markers, are rows of s3_version (versions.h).
 */
#ifndef MH_EMULATOR_STORE_OBJECTS_H
#define MH_EMULATOR_STORE_OBJECTS_H

#include "emulator/store/store.h"

extern const char *const store_objects_schema;

/* *ret_created false: it is there already. */
int bucket_create(struct store *s, const char *name, int64_t now_ms, bool *ret_created,
		  struct mh_err *err) MH_MUST_CHECK;
int bucket_exists(struct store *s, const char *name, bool *ret,
		  struct mh_err *err) MH_MUST_CHECK;
/* *ret_empty: whether it holds no objects, and no versions of any. */
int bucket_is_empty(struct store *s, const char *name, bool *ret_empty,
		    struct mh_err *err) MH_MUST_CHECK;
int bucket_delete(struct store *s, const char *name, struct mh_err *err) MH_MUST_CHECK;
/* "", "Enabled" or "Suspended"; the bucket must be there. */
#define BUCKET_VERSIONING_SIZE 12
int bucket_versioning(struct store *s, const char *name, char ret[BUCKET_VERSIONING_SIZE],
		      struct mh_err *err) MH_MUST_CHECK;
int bucket_set_versioning(struct store *s, const char *name, const char *status,
			  struct mh_err *err) MH_MUST_CHECK;
/* In order of name. */
typedef void (*bucket_fn)(void *ctx, const char *name, int64_t created_ms);
int bucket_each(struct store *s, bucket_fn fn, void *ctx,
		struct mh_err *err) MH_MUST_CHECK;

#define OBJECT_VERSION_NULL "null" /* of what a bucket without versions holds */

struct object_row {
	char *file_id; /* NULL: a delete marker, which has no more than a version and a
			  time */
	char *etag; /* no quotes */
	int64_t size, modified_ms;
	char *content_type;
	char *metadata; /* JSON object: x-amz-meta-* without the prefix */
	char *headers; /* JSON object: other headers that are given back, lower-case names
			*/
	char *tags; /* JSON object, or NULL for none */
	char *version_id; /* in a row to put, NULL stands for "null" */
	int64_t rank; /* among its key's versions: newer ones have lower */
};
void object_row_done(struct object_row *row);
static inline void clean_object_row(struct object_row *row)
{
	object_row_done(row);
}

/* For store/versions.c: the columns of a row after its key, and their reader. */
#define OBJECT_COLUMNS                                                                   \
	" file_id, etag, size, modified_ms, content_type, metadata, headers, tags,"      \
	" version_id, rank "
void object_row_read(struct stmt *q, int first, struct object_row *ret);

int object_find(struct store *s, const char *bucket, const char *key,
		struct object_row *ret, bool *ret_found,
		struct mh_err *err) MH_MUST_CHECK;
/* Makes it the key's current object. It replaces the version of the same id; what was
 * current under another id is kept as a version. *ret_replaced is the replaced one's file
 * or NULL, the caller's to free. */
int object_put(struct store *s, const char *bucket, const char *key,
	       const struct object_row *row, char **ret_replaced,
	       struct mh_err *err) MH_MUST_CHECK;
/* Takes the current object away, without a trace. *ret_file NULL when there was none. */
int object_delete(struct store *s, const char *bucket, const char *key, char **ret_file,
		  struct mh_err *err) MH_MUST_CHECK;
int object_set_tags(struct store *s, const char *bucket, const char *key,
		    const char *version_id, const char *tags,
		    struct mh_err *err) MH_MUST_CHECK;
/* Whether a row names that file. */
int object_file_is_known(struct store *s, const char *file_id, bool *ret,
			 struct mh_err *err) MH_MUST_CHECK;

/*
 * One step of a listing: the first object of the bucket whose key begins with prefix
 * and is not below `from` (bytes compared, which is UTF-8's order). *ret_found false at
 * the end. The key and the row are the caller's.
 */
int object_next(struct store *s, const char *bucket, const char *prefix, const char *from,
		char **ret_key, struct object_row *ret, bool *ret_found,
		struct mh_err *err) MH_MUST_CHECK;

#endif
