#include "emulator/store/multipart.h"

#include <string.h>

const char *const store_multipart_schema =
	"CREATE TABLE s3_multipart ("
	" id TEXT PRIMARY KEY,"
	" bucket TEXT NOT NULL REFERENCES s3_bucket (name),"
	" key TEXT NOT NULL,"
	" content_type TEXT NOT NULL,"
	" metadata TEXT NOT NULL,"
	" headers TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL,"
	" tags TEXT"
	") WITHOUT ROWID;"
	"CREATE INDEX s3_multipart_by_key ON s3_multipart (bucket, key, id);"
	"CREATE TABLE s3_part ("
	" multipart TEXT NOT NULL REFERENCES s3_multipart (id) ON DELETE CASCADE,"
	" number INTEGER NOT NULL,"
	" file_id TEXT NOT NULL UNIQUE,"
	" etag TEXT NOT NULL,"
	" size INTEGER NOT NULL,"
	" modified_ms INTEGER NOT NULL,"
	" checksum TEXT,"
	" PRIMARY KEY (multipart, number)"
	") WITHOUT ROWID;";

void multipart_row_done(struct multipart_row *row)
{
	free(row->bucket);
	free(row->key);
	free(row->content_type);
	free(row->metadata);
	free(row->headers);
	free(row->tags);
	*row = (struct multipart_row){ 0 };
}

int multipart_create(struct store *s, const char *id, const struct multipart_row *row,
		     struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"INSERT INTO s3_multipart (id, bucket, key, content_type, metadata,"
		" headers, created_ms, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		"ssssssis", id, row->bucket, row->key, row->content_type, row->metadata,
		row->headers, row->created_ms, row->tags);
}

static void read_row(struct stmt *q, int first, struct multipart_row *ret)
{
	*ret = (struct multipart_row){
		.bucket = mh_strdup(stmt_text(q, first)),
		.key = mh_strdup(stmt_text(q, first + 1)),
		.content_type = mh_strdup(stmt_text(q, first + 2)),
		.metadata = mh_strdup(stmt_text(q, first + 3)),
		.headers = mh_strdup(stmt_text(q, first + 4)),
		.created_ms = stmt_i64(q, first + 5),
		.tags = mh_strdup(stmt_text(q, first + 6)),
	};
}

#define MULTIPART_COLUMNS                                                                \
	" bucket, key, content_type, metadata, headers, created_ms, tags "

int multipart_find(struct store *s, const char *id, struct multipart_row *ret,
		   bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT" MULTIPART_COLUMNS "FROM s3_multipart WHERE id = ?",
		    "s", id);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 1)
		read_row(&q, 0, ret);
	return 0;
}

int multipart_delete(struct store *s, const char *id, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM s3_multipart WHERE id = ?", "s", id);
}

int multipart_bucket_has(struct store *s, const char *bucket, bool *ret,
			 struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT 1 FROM s3_multipart WHERE bucket = ? LIMIT 1", "s",
		    bucket);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int multipart_next(struct store *s, const char *bucket, const char *prefix,
		   const char *from_key, const char *from_id, char **ret_id,
		   struct multipart_row *ret, bool *ret_found, struct mh_err *err)
{
	/* 0xff is in no UTF-8 text, so this is the end of everything under the prefix. */
	CLEAN(free) char *end = mh_format("%s\xff", prefix);
	const char *low = strcmp(from_key, prefix) > 0 ? from_key : prefix;
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT id," MULTIPART_COLUMNS "FROM s3_multipart WHERE bucket = ?1"
		    " AND key >= ?2 AND key < ?3 AND (key, id) > (?2, ?4)"
		    " ORDER BY key, id LIMIT 1",
		    "ssss", bucket, low, end, low == from_key ? from_id : "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 1) {
		*ret_id = mh_strdup(stmt_text(&q, 0));
		read_row(&q, 1, ret);
	}
	return 0;
}

static int find_part_file(struct store *s, const char *id, int64_t number, char **ret,
			  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT file_id FROM s3_part WHERE multipart = ? AND number = ?",
		    "si", id, number);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int part_put(struct store *s, const char *id, const struct part_row *part,
	     char **ret_replaced, struct mh_err *err)
{
	CLEAN(free) char *old = NULL;

	if (find_part_file(s, id, part->number, &old, err) != 0 ||
	    store_exec(s, NULL, err,
		       "INSERT OR REPLACE INTO s3_part (multipart, number, file_id, etag,"
		       " size, modified_ms, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
		       "sissiis", id, part->number, part->file_id, part->etag, part->size,
		       part->modified_ms, part->checksum) != 0)
		return -1;
	*ret_replaced = STEAL_PTR(old);
	return 0;
}

int part_each(struct store *s, const char *id, int64_t after, part_fn fn, void *ctx,
	      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(
		s, &q,
		"SELECT number, file_id, etag, size, modified_ms, checksum FROM s3_part"
		" WHERE multipart = ? AND number > ? ORDER BY number",
		"si", id, after);
	while ((rc = stmt_next(&q, err)) == 1) {
		struct part_row part = {
			.number = stmt_i64(&q, 0),
			.file_id = stmt_text(&q, 1),
			.etag = stmt_text(&q, 2),
			.size = stmt_i64(&q, 3),
			.modified_ms = stmt_i64(&q, 4),
			.checksum = stmt_text(&q, 5),
		};

		if (!fn(ctx, &part))
			return 0;
	}
	return rc;
}

int part_file_is_known(struct store *s, const char *file_id, bool *ret,
		       struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT 1 FROM s3_part WHERE file_id = ?", "s", file_id);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}
