/*
 * The artifact store's tables: buckets, and one row per object. The bytes are
 * files (emulator/s3/blob.h); a row names its file, and a function that takes a
 * row away answers the file's id, so that the caller removes it after the commit.
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
/* *ret_empty: whether it holds no objects. */
int bucket_is_empty(struct store *s, const char *name, bool *ret_empty,
		    struct mh_err *err) MH_MUST_CHECK;
int bucket_delete(struct store *s, const char *name, struct mh_err *err) MH_MUST_CHECK;
/* In order of name. */
typedef void (*bucket_fn)(void *ctx, const char *name, int64_t created_ms);
int bucket_each(struct store *s, bucket_fn fn, void *ctx,
		struct mh_err *err) MH_MUST_CHECK;

struct object_row {
	char *file_id;
	char *etag; /* no quotes */
	int64_t size, modified_ms;
	char *content_type;
	char *metadata; /* JSON object: x-amz-meta-* without the prefix */
	char *headers; /* JSON object: other headers that are given back, lower-case names
			*/
};
void object_row_done(struct object_row *row);
static inline void clean_object_row(struct object_row *row)
{
	object_row_done(row);
}

int object_find(struct store *s, const char *bucket, const char *key,
		struct object_row *ret, bool *ret_found,
		struct mh_err *err) MH_MUST_CHECK;
/* Replaces what was there; *ret_replaced is that one's file or NULL, the caller's to
 * free. */
int object_put(struct store *s, const char *bucket, const char *key,
	       const struct object_row *row, char **ret_replaced,
	       struct mh_err *err) MH_MUST_CHECK;
/* *ret_file NULL when there was none. */
int object_delete(struct store *s, const char *bucket, const char *key, char **ret_file,
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
