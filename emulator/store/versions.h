/*
 * Versions of objects: what a key was before, and delete markers. The current object of
 * a key is its row of s3_object; every other version, and a delete marker even where it
 * is the newest, is a row of s3_version. So listings of a bucket never meet old versions.
 *
 * Newer versions have lower ranks: (key, rank) is the order in which S3 lists them.
 * A version's id is "null" for what was put while the bucket had no versions, or they
 * were suspended; a key has at most one of those.
 */
#ifndef MH_EMULATOR_STORE_VERSIONS_H
#define MH_EMULATOR_STORE_VERSIONS_H

#include "emulator/store/objects.h"

extern const char *const store_versions_schema;

/* Room for a new newest version of that id: one of the same id goes (*ret_file, or NULL,
 * is its file), the current object becomes an old version. *ret_rank is for the new. */
int version_make_way(struct store *s, const char *bucket, const char *key,
		     const char *version_id, int64_t *ret_rank, char **ret_file,
		     struct mh_err *err) MH_MUST_CHECK;
/* A delete marker becomes the newest version; as above. */
int version_put_marker(struct store *s, const char *bucket, const char *key,
		       const char *version_id, int64_t now_ms, char **ret_file,
		       struct mh_err *err) MH_MUST_CHECK;
/* Current or old, object or marker. */
int version_find(struct store *s, const char *bucket, const char *key,
		 const char *version_id, struct object_row *ret, bool *ret_found,
		 struct mh_err *err) MH_MUST_CHECK;
/* The newest of s3_version: a marker when the key's object was deleted. */
int version_newest_old(struct store *s, const char *bucket, const char *key,
		       struct object_row *ret, bool *ret_found,
		       struct mh_err *err) MH_MUST_CHECK;
/* Takes one version away for good; when it was the newest, the one before is current
 * again. *ret_marker: it was a delete marker. */
int version_delete(struct store *s, const char *bucket, const char *key,
		   const char *version_id, char **ret_file, bool *ret_marker,
		   struct mh_err *err) MH_MUST_CHECK;

/* One step of a listing: the first version after (from_key, from_rank) whose key begins
 * with prefix; from_rank INT64_MIN for all of that key. The key and the row are the
 * caller's. */
int version_next(struct store *s, const char *bucket, const char *prefix,
		 const char *from_key, int64_t from_rank, char **ret_key,
		 struct object_row *ret, bool *ret_found,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
