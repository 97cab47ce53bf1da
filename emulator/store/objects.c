#include "emulator/store/objects.h"

#include <stdio.h>
#include <string.h>

#include "emulator/store/versions.h"

const char *const store_objects_schema =
	"CREATE TABLE s3_bucket ("
	" name TEXT PRIMARY KEY,"
	" created_ms INTEGER NOT NULL,"
	" versioning TEXT NOT NULL DEFAULT ''"
	") WITHOUT ROWID;"
	"CREATE TABLE s3_object ("
	" bucket TEXT NOT NULL REFERENCES s3_bucket (name),"
	" key TEXT NOT NULL,"
	" file_id TEXT NOT NULL UNIQUE,"
	" etag TEXT NOT NULL,"
	" size INTEGER NOT NULL,"
	" modified_ms INTEGER NOT NULL,"
	" content_type TEXT NOT NULL,"
	" metadata TEXT NOT NULL,"
	" headers TEXT NOT NULL,"
	" tags TEXT,"
	" version_id TEXT NOT NULL DEFAULT 'null',"
	" rank INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (bucket, key)"
	") WITHOUT ROWID;";

/* Whether the query has a row. Ends it. */
static int has_row(struct stmt *q, bool *ret, struct mh_err *err)
{
	int rc = stmt_next(q, err);

	stmt_end(q);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int bucket_create(struct store *s, const char *name, int64_t now_ms, bool *ret_created,
		  struct mh_err *err)
{
	int64_t changed;

	if (store_exec(s, &changed, err,
		       "INSERT INTO s3_bucket (name, created_ms) VALUES (?, ?)"
		       " ON CONFLICT DO NOTHING",
		       "si", name, now_ms) != 0)
		return -1;
	*ret_created = changed == 1;
	return 0;
}

int bucket_exists(struct store *s, const char *name, bool *ret, struct mh_err *err)
{
	struct stmt q;

	store_query(s, &q, "SELECT 1 FROM s3_bucket WHERE name = ?", "s", name);
	return has_row(&q, ret, err);
}

int bucket_is_empty(struct store *s, const char *name, bool *ret_empty,
		    struct mh_err *err)
{
	struct stmt q;
	bool has;

	store_query(s, &q,
		    "SELECT 1 WHERE EXISTS (SELECT 1 FROM s3_object WHERE bucket = ?1)"
		    " OR EXISTS (SELECT 1 FROM s3_version WHERE bucket = ?1)",
		    "s", name);
	if (has_row(&q, &has, err) != 0)
		return -1;
	*ret_empty = !has;
	return 0;
}

int bucket_versioning(struct store *s, const char *name, char ret[BUCKET_VERSIONING_SIZE],
		      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT versioning FROM s3_bucket WHERE name = ?", "s", name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	(void)snprintf(ret, BUCKET_VERSIONING_SIZE, "%s",
		       rc == 1 ? stmt_text(&q, 0) : ""); /* ours: it fits */
	return 0;
}

int bucket_set_versioning(struct store *s, const char *name, const char *status,
			  struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE s3_bucket SET versioning = ? WHERE name = ?", "ss",
			  status, name);
}

int bucket_delete(struct store *s, const char *name, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM s3_bucket WHERE name = ?", "s",
			  name);
}

int bucket_each(struct store *s, bucket_fn fn, void *ctx, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT name, created_ms FROM s3_bucket ORDER BY name", "");
	while ((rc = stmt_next(&q, err)) == 1)
		fn(ctx, stmt_text(&q, 0), stmt_i64(&q, 1));
	return rc;
}

void object_row_done(struct object_row *row)
{
	free(row->file_id);
	free(row->etag);
	free(row->content_type);
	free(row->metadata);
	free(row->headers);
	free(row->tags);
	free(row->version_id);
	*row = (struct object_row){ 0 };
}

void object_row_read(struct stmt *q, int first, struct object_row *ret)
{
	*ret = (struct object_row){
		.file_id = mh_strdup(stmt_text(q, first)),
		.etag = mh_strdup(stmt_text(q, first + 1)),
		.size = stmt_i64(q, first + 2),
		.modified_ms = stmt_i64(q, first + 3),
		.content_type = mh_strdup(stmt_text(q, first + 4)),
		.metadata = mh_strdup(stmt_text(q, first + 5)),
		.headers = mh_strdup(stmt_text(q, first + 6)),
		.tags = mh_strdup(stmt_text(q, first + 7)),
		.version_id = mh_strdup(stmt_text(q, first + 8)),
		.rank = stmt_i64(q, first + 9),
	};
}

int object_find(struct store *s, const char *bucket, const char *key,
		struct object_row *ret, bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT" OBJECT_COLUMNS "FROM s3_object WHERE bucket = ? AND key = ?",
		    "ss", bucket, key);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 1)
		object_row_read(&q, 0, ret);
	return 0;
}

/* The file of an object, or NULL when there is no such object. */
static int find_file(struct store *s, const char *bucket, const char *key, char **ret,
		     struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT file_id FROM s3_object WHERE bucket = ? AND key = ?",
		    "ss", bucket, key);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

static int insert(struct store *s, const char *bucket, const char *key,
		  const struct object_row *row, int64_t rank, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO s3_object (bucket, key," OBJECT_COLUMNS
			  ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			  "ssssiisssssi", bucket, key, row->file_id, row->etag, row->size,
			  row->modified_ms, row->content_type, row->metadata,
			  row->headers, row->tags,
			  row->version_id ? row->version_id : OBJECT_VERSION_NULL, rank);
}

int object_put(struct store *s, const char *bucket, const char *key,
	       const struct object_row *row, char **ret_replaced, struct mh_err *err)
{
	const char *version = row->version_id ? row->version_id : OBJECT_VERSION_NULL;
	CLEAN(free) char *old = NULL;
	int64_t rank;

	if (version_make_way(s, bucket, key, version, &rank, &old, err) != 0 ||
	    insert(s, bucket, key, row, rank, err) != 0)
		return -1;
	*ret_replaced = STEAL_PTR(old);
	return 0;
}

int object_delete(struct store *s, const char *bucket, const char *key, char **ret_file,
		  struct mh_err *err)
{
	CLEAN(free) char *old = NULL;

	if (find_file(s, bucket, key, &old, err) != 0 ||
	    store_exec(s, NULL, err, "DELETE FROM s3_object WHERE bucket = ? AND key = ?",
		       "ss", bucket, key) != 0)
		return -1;
	*ret_file = STEAL_PTR(old);
	return 0;
}

int object_set_tags(struct store *s, const char *bucket, const char *key,
		    const char *version_id, const char *tags, struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "UPDATE s3_object SET tags = ? WHERE bucket = ? AND key = ?"
		       " AND version_id = ?",
		       "ssss", tags, bucket, key, version_id) != 0)
		return -1;
	return store_exec(s, NULL, err,
			  "UPDATE s3_version SET tags = ? WHERE bucket = ? AND key = ?"
			  " AND version_id = ?",
			  "ssss", tags, bucket, key, version_id);
}

int object_file_is_known(struct store *s, const char *file_id, bool *ret,
			 struct mh_err *err)
{
	struct stmt q;

	store_query(s, &q,
		    "SELECT 1 WHERE EXISTS (SELECT 1 FROM s3_object WHERE file_id = ?1)"
		    " OR EXISTS (SELECT 1 FROM s3_version WHERE file_id = ?1)",
		    "s", file_id);
	return has_row(&q, ret, err);
}

int object_next(struct store *s, const char *bucket, const char *prefix, const char *from,
		char **ret_key, struct object_row *ret, bool *ret_found,
		struct mh_err *err)
{
	/* 0xff is in no UTF-8 text, so this is the end of everything under the prefix. */
	CLEAN(free) char *end = mh_format("%s\xff", prefix);
	const char *low = strcmp(from, prefix) > 0 ? from : prefix;
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT key," OBJECT_COLUMNS
		    "FROM s3_object WHERE bucket = ? AND key >= ? AND key < ?"
		    " ORDER BY key LIMIT 1",
		    "sss", bucket, low, end);
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
