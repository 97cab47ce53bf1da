#include "emulator/store/objects.h"

#include <string.h>

const char *const store_objects_schema =
	"CREATE TABLE s3_bucket ("
	" name TEXT PRIMARY KEY,"
	" created_ms INTEGER NOT NULL"
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

	store_query(s, &q, "SELECT 1 FROM s3_object WHERE bucket = ? LIMIT 1", "s", name);
	if (has_row(&q, &has, err) != 0)
		return -1;
	*ret_empty = !has;
	return 0;
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
	*row = (struct object_row){ 0 };
}

#define OBJECT_COLUMNS                                                                   \
	" file_id, etag, size, modified_ms, content_type, metadata, headers "

static void read_row(struct stmt *q, int first, struct object_row *ret)
{
	*ret = (struct object_row){
		.file_id = mh_strdup(stmt_text(q, first)),
		.etag = mh_strdup(stmt_text(q, first + 1)),
		.size = stmt_i64(q, first + 2),
		.modified_ms = stmt_i64(q, first + 3),
		.content_type = mh_strdup(stmt_text(q, first + 4)),
		.metadata = mh_strdup(stmt_text(q, first + 5)),
		.headers = mh_strdup(stmt_text(q, first + 6)),
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
		read_row(&q, 0, ret);
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

int object_put(struct store *s, const char *bucket, const char *key,
	       const struct object_row *row, char **ret_replaced, struct mh_err *err)
{
	CLEAN(free) char *old = NULL;

	if (find_file(s, bucket, key, &old, err) != 0 ||
	    store_exec(s, NULL, err,
		       "INSERT OR REPLACE INTO s3_object (bucket, key," OBJECT_COLUMNS
		       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "ssssiisss", bucket, key, row->file_id, row->etag, row->size,
		       row->modified_ms, row->content_type, row->metadata,
		       row->headers) != 0)
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

int object_file_is_known(struct store *s, const char *file_id, bool *ret,
			 struct mh_err *err)
{
	struct stmt q;

	store_query(s, &q, "SELECT 1 FROM s3_object WHERE file_id = ?", "s", file_id);
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
		read_row(&q, 1, ret);
	}
	return 0;
}
