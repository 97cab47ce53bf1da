/*
 * Multipart uploads under way: one row per upload with what its object will be
 * described by, one row per part. As with objects, a function that takes a part's row
 * away answers its file.
 */
#ifndef MH_EMULATOR_STORE_MULTIPART_H
#define MH_EMULATOR_STORE_MULTIPART_H

#include "emulator/store/store.h"

extern const char *const store_multipart_schema;

struct multipart_row {
	char *bucket, *key;
	char *content_type, *metadata, *headers, *tags; /* as in struct object_row */
	int64_t created_ms;
};
void multipart_row_done(struct multipart_row *row);
static inline void clean_multipart_row(struct multipart_row *row)
{
	multipart_row_done(row);
}

int multipart_create(struct store *s, const char *id, const struct multipart_row *row,
		     struct mh_err *err) MH_MUST_CHECK;
int multipart_find(struct store *s, const char *id, struct multipart_row *ret,
		   bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
/* With its parts' rows. */
int multipart_delete(struct store *s, const char *id, struct mh_err *err) MH_MUST_CHECK;
int multipart_bucket_has(struct store *s, const char *bucket, bool *ret,
			 struct mh_err *err) MH_MUST_CHECK;
/* One step of a listing, in order of key and id: the first upload after (from_key,
 * from_id) whose key begins with prefix; from_id "" for all of that key. The id and the
 * row are the caller's. */
int multipart_next(struct store *s, const char *bucket, const char *prefix,
		   const char *from_key, const char *from_id, char **ret_id,
		   struct multipart_row *ret, bool *ret_found,
		   struct mh_err *err) MH_MUST_CHECK;

struct part_row {
	int64_t number, size, modified_ms;
	const char *file_id, *etag; /* borrowed */
	const char *checksum; /* base64, of the upload's algorithm; or NULL; borrowed */
};
/* Replaces the part of that number; *ret_replaced is its file or NULL. */
int part_put(struct store *s, const char *id, const struct part_row *part,
	     char **ret_replaced, struct mh_err *err) MH_MUST_CHECK;
/* By number; fn answers false to stop. */
typedef bool (*part_fn)(void *ctx, const struct part_row *part);
int part_each(struct store *s, const char *id, int64_t after, part_fn fn, void *ctx,
	      struct mh_err *err) MH_MUST_CHECK;
int part_file_is_known(struct store *s, const char *file_id, bool *ret,
		       struct mh_err *err) MH_MUST_CHECK;

#endif
