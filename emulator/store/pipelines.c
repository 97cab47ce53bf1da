#include "emulator/store/pipelines.h"

/* clang-format off: a column a line */
const char *const store_pipelines_schema = "CREATE TABLE pipelines ("
					   "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
					   "  name TEXT NOT NULL UNIQUE,"
					   "  version INTEGER NOT NULL," /* the newest */
					   "  pipeline_type TEXT NOT NULL,"
					   "  execution_mode TEXT NOT NULL,"
					   "  tags TEXT,"
					   "  created_ms INTEGER NOT NULL,"
					   "  updated_ms INTEGER NOT NULL"
					   ");"
					   "CREATE TABLE pipeline_versions ("
					   "  pipeline INTEGER NOT NULL,"
					   "  version INTEGER NOT NULL,"
					   "  declaration TEXT NOT NULL,"
					   "  created_ms INTEGER NOT NULL,"
					   "  PRIMARY KEY (pipeline, version)"
					   ") WITHOUT ROWID;";
/* clang-format on */

void store_pipeline_done(struct store_pipeline *p)
{
	free(p->name);
	free(p->declaration);
	*p = (struct store_pipeline){ 0 };
}

int store_pipeline_find(struct store *s, const char *name, int64_t version,
			struct store_pipeline *ret, enum store_pipeline_found *ret_found,
			struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT p.id, p.created_ms, p.updated_ms, v.version, v.declaration"
		    " FROM pipelines p LEFT JOIN pipeline_versions v ON v.pipeline = p.id"
		    " AND v.version = CASE ? WHEN 0 THEN p.version ELSE ? END"
		    " WHERE p.name = ?",
		    "iis", version, version, name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		*ret_found = STORE_PIPELINE_NONE;
		return 0;
	}
	if (stmt_is_null(&q, 3)) {
		*ret_found = STORE_PIPELINE_NO_VERSION;
		return 0;
	}
	*ret_found = STORE_PIPELINE_OK;
	*ret = (struct store_pipeline){
		.rowid = stmt_i64(&q, 0),
		.name = mh_strdup(name),
		.version = stmt_i64(&q, 3),
		.created_ms = stmt_i64(&q, 1),
		.updated_ms = stmt_i64(&q, 2),
		.declaration = mh_strdup(stmt_text(&q, 4)),
	};
	return 0;
}

int store_pipeline_exists(struct store *s, const char *name, bool *ret,
			  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT 1 FROM pipelines WHERE name = ?", "s", name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int store_pipeline_any_sealed(struct store *s, bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	/* Within a string the quotes would be escaped: this is the member itself. */
	store_query(s, &q,
		    "SELECT 1 FROM pipeline_versions"
		    " WHERE instr(declaration, '{\"sealed\":\"') > 0 LIMIT 1",
		    "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc > 0;
	return 0;
}

int store_pipeline_count(struct store *s, int64_t *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT count(*) FROM pipelines", "");
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret = stmt_i64(&q, 0);
	return 0;
}

int store_pipeline_insert(struct store *s, const char *name, const char *tags,
			  int64_t now_ms, int64_t *ret_rowid, struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "INSERT INTO pipelines (name, version, pipeline_type, "
		       "execution_mode, tags,"
		       " created_ms, updated_ms) VALUES (?, 0, '', '', ?, ?, ?)",
		       "ssii", name, tags, now_ms, now_ms) != 0)
		return -1;
	*ret_rowid = store_last_rowid(s);
	return 0;
}

int store_pipeline_add_version(struct store *s, int64_t rowid, int64_t version,
			       const char *declaration,
			       const struct store_pipeline_summary *summary,
			       int64_t now_ms, struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "INSERT INTO pipeline_versions (pipeline, version, declaration, "
		       "created_ms)"
		       " VALUES (?, ?, ?, ?)",
		       "iisi", rowid, version, declaration, now_ms) != 0)
		return -1;
	return store_exec(
		s, NULL, err,
		"UPDATE pipelines SET version = ?, pipeline_type = ?, execution_mode = ?,"
		" updated_ms = ? WHERE id = ?",
		"issii", version, summary->pipeline_type, summary->execution_mode, now_ms,
		rowid);
}

int store_pipeline_delete(struct store *s, int64_t rowid, struct mh_err *err)
{
	if (store_exec(s, NULL, err, "DELETE FROM pipeline_versions WHERE pipeline = ?",
		       "i", rowid) != 0)
		return -1;
	return store_exec(s, NULL, err, "DELETE FROM pipelines WHERE id = ?", "i", rowid);
}

void store_pipeline_list(struct store *s, struct stmt *q, const char *after,
			 int64_t limit)
{
	store_query(s, q,
		    "SELECT name, version, pipeline_type, execution_mode, created_ms, "
		    "updated_ms"
		    " FROM pipelines WHERE name > ? ORDER BY name LIMIT ?",
		    "si", after, limit);
}
