#include "emulator/store/versions.h"

#include <string.h>

const char *const store_versions_schema =
	"CREATE TABLE s3_version ("
	" bucket TEXT NOT NULL REFERENCES s3_bucket (name),"
	" key TEXT NOT NULL,"
	" rank INTEGER NOT NULL,"
	" version_id TEXT NOT NULL,"
	" file_id TEXT UNIQUE," /* NULL: a delete marker */
	" etag TEXT,"
	" size INTEGER NOT NULL DEFAULT 0,"
	" modified_ms INTEGER NOT NULL,"
	" content_type TEXT,"
	" metadata TEXT,"
	" headers TEXT,"
	" tags TEXT,"
	" PRIMARY KEY (bucket, key, rank)"
	") WITHOUT ROWID;"
	"CREATE UNIQUE INDEX s3_version_by_id ON s3_version (bucket, key, version_id);";

static int run(struct store *s, const char *sql, const char *bucket, const char *key,
	       struct mh_err *err)
{
	return store_exec(s, NULL, err, sql, "ss", bucket, key);
}

/* Ends the query. */
static int take_row(struct stmt *q, struct object_row *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc == 1)
		object_row_read(q, 0, ret);
	stmt_end(q);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	return 0;
}

int version_find(struct store *s, const char *bucket, const char *key,
		 const char *version_id, struct object_row *ret, bool *ret_found,
		 struct mh_err *err)
{
	struct stmt q;

	store_query(s, &q,
		    "SELECT" OBJECT_COLUMNS
		    "FROM s3_object WHERE bucket = ? AND key = ? AND version_id = ?",
		    "sss", bucket, key, version_id);
	if (take_row(&q, ret, ret_found, err) != 0)
		return -1;
	if (*ret_found)
		return 0;
	store_query(s, &q,
		    "SELECT" OBJECT_COLUMNS
		    "FROM s3_version WHERE bucket = ? AND key = ? AND version_id = ?",
		    "sss", bucket, key, version_id);
	return take_row(&q, ret, ret_found, err);
}

int version_newest_old(struct store *s, const char *bucket, const char *key,
		       struct object_row *ret, bool *ret_found, struct mh_err *err)
{
	struct stmt q;

	store_query(s, &q,
		    "SELECT" OBJECT_COLUMNS
		    "FROM s3_version WHERE bucket = ? AND key = ? ORDER BY rank LIMIT 1",
		    "ss", bucket, key);
	return take_row(&q, ret, ret_found, err);
}

/* Takes the version's row away, wherever it is. *ret_was: which it was, or a row of
 * zeros. */
static int drop(struct store *s, const char *bucket, const char *key,
		const char *version_id, struct object_row *ret_was, struct mh_err *err)
{
	bool found;

	if (version_find(s, bucket, key, version_id, ret_was, &found, err) != 0)
		return -1;
	if (!found)
		return 0;
	if (store_exec(s, NULL, err,
		       "DELETE FROM s3_object WHERE bucket = ? AND key = ?"
		       " AND version_id = ?",
		       "sss", bucket, key, version_id) != 0)
		return -1;
	return store_exec(s, NULL, err,
			  "DELETE FROM s3_version WHERE bucket = ? AND key = ?"
			  " AND version_id = ?",
			  "sss", bucket, key, version_id);
}

static int next_rank(struct store *s, const char *bucket, const char *key, int64_t *ret,
		     struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT min(rank) FROM ("
		    "SELECT rank FROM s3_object WHERE bucket = ?1 AND key = ?2"
		    " UNION ALL "
		    "SELECT min(rank) FROM s3_version WHERE bucket = ?1 AND key = ?2)",
		    "ss", bucket, key);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 && !stmt_is_null(&q, 0) ? stmt_i64(&q, 0) - 1 : 0;
	return 0;
}

int version_make_way(struct store *s, const char *bucket, const char *key,
		     const char *version_id, int64_t *ret_rank, char **ret_file,
		     struct mh_err *err)
{
	CLEAN(object_row) struct object_row same = { 0 };
	int64_t rank;

	/* The rank before the one of the same id goes: ranks are not used twice. */
	if (next_rank(s, bucket, key, &rank, err) != 0 ||
	    drop(s, bucket, key, version_id, &same, err) != 0 ||
	    run(s,
		"INSERT INTO s3_version (bucket, key," OBJECT_COLUMNS
		") SELECT bucket, key," OBJECT_COLUMNS
		"FROM s3_object WHERE bucket = ? AND key = ?",
		bucket, key, err) != 0 ||
	    run(s, "DELETE FROM s3_object WHERE bucket = ? AND key = ?", bucket, key,
		err) != 0)
		return -1;
	*ret_rank = rank;
	*ret_file = STEAL_PTR(same.file_id);
	return 0;
}

int version_put_marker(struct store *s, const char *bucket, const char *key,
		       const char *version_id, int64_t now_ms, char **ret_file,
		       struct mh_err *err)
{
	CLEAN(free) char *file = NULL;
	int64_t rank;

	if (version_make_way(s, bucket, key, version_id, &rank, &file, err) != 0 ||
	    store_exec(s, NULL, err,
		       "INSERT INTO s3_version (bucket, key, version_id, rank,"
		       " modified_ms) VALUES (?, ?, ?, ?, ?)",
		       "sssii", bucket, key, version_id, rank, now_ms) != 0)
		return -1;
	*ret_file = STEAL_PTR(file);
	return 0;
}

/* Where nothing is current, the newest version is, unless it is a marker. */
static int promote(struct store *s, const char *bucket, const char *key,
		   struct mh_err *err)
{
	CLEAN(object_row) struct object_row current = { 0 };
	CLEAN(object_row) struct object_row newest = { 0 };
	bool found;

	if (object_find(s, bucket, key, &current, &found, err) != 0)
		return -1;
	if (found)
		return 0;
	if (version_newest_old(s, bucket, key, &newest, &found, err) != 0)
		return -1;
	if (!found || newest.file_id == NULL)
		return 0;
	if (store_exec(s, NULL, err,
		       "INSERT INTO s3_object (bucket, key," OBJECT_COLUMNS
		       ") SELECT bucket, key," OBJECT_COLUMNS
		       "FROM s3_version WHERE bucket = ? AND key = ? AND rank = ?",
		       "ssi", bucket, key, newest.rank) != 0)
		return -1;
	return store_exec(s, NULL, err,
			  "DELETE FROM s3_version WHERE bucket = ? AND key = ?"
			  " AND rank = ?",
			  "ssi", bucket, key, newest.rank);
}

int version_delete(struct store *s, const char *bucket, const char *key,
		   const char *version_id, char **ret_file, bool *ret_marker,
		   struct mh_err *err)
{
	CLEAN(object_row) struct object_row was = { 0 };

	if (drop(s, bucket, key, version_id, &was, err) != 0 ||
	    promote(s, bucket, key, err) != 0)
		return -1;
	*ret_marker = was.version_id != NULL && was.file_id == NULL;
	*ret_file = STEAL_PTR(was.file_id);
	return 0;
}

int version_next(struct store *s, const char *bucket, const char *prefix,
		 const char *from_key, int64_t from_rank, char **ret_key,
		 struct object_row *ret, bool *ret_found, struct mh_err *err)
{
	/* 0xff is in no UTF-8 text, so this is the end of everything under the prefix. */
	CLEAN(free) char *end = mh_format("%s\xff", prefix);
	bool inside = strcmp(from_key, prefix) > 0;
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT key," OBJECT_COLUMNS "FROM s3_object WHERE bucket = ?1"
		    " AND (key, rank) > (?2, ?3) AND key < ?4"
		    " UNION ALL "
		    "SELECT key," OBJECT_COLUMNS "FROM s3_version WHERE bucket = ?1"
		    " AND (key, rank) > (?2, ?3) AND key < ?4"
		    " ORDER BY key, rank LIMIT 1",
		    "ssis", bucket, inside ? from_key : prefix,
		    inside || strcmp(from_key, prefix) == 0 ? from_rank : INT64_MIN, end);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 1) {
		*ret_key = mh_strdup(stmt_text(&q, 0));
		object_row_read(&q, 1, ret);
	}
	return 0;
}
