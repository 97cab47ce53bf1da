#include "emulator/store/sources.h"

#include "emulator/store/rows.h"

const char *const sources_schema =
	"CREATE TABLE source_revisions ("
	" pipeline TEXT NOT NULL,"
	" action TEXT NOT NULL,"
	" revision TEXT NOT NULL,"
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" PRIMARY KEY (pipeline, action, revision)) WITHOUT ROWID;"
	"CREATE INDEX source_revisions_by_execution ON source_revisions (execution);"
	"CREATE TABLE source_watches ("
	" source TEXT NOT NULL,"
	" pipeline TEXT NOT NULL,"
	" PRIMARY KEY (source, pipeline)) WITHOUT ROWID;"
	"CREATE INDEX source_watches_by_pipeline ON source_watches (pipeline);"
	"CREATE TABLE source_refs ("
	" repository TEXT PRIMARY KEY,"
	" refs TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE schedules ("
	" name TEXT PRIMARY KEY,"
	" due_ms INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX schedules_by_due ON schedules (due_ms, name);";

/* ---- revisions ---- */

int source_revisions_put(struct store *s, const char *pipeline, const char *action,
			 const char *revision, int64_t execution, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO source_revisions (pipeline, action, revision,"
			  " execution) VALUES (?, ?, ?, ?)"
			  " ON CONFLICT DO UPDATE SET execution = excluded.execution",
			  "sssi", pipeline, action, revision, execution);
}

int source_revisions_find(struct store *s, const char *pipeline, const char *action,
			  const char *revision, char ret_id[STR_UUID_SIZE],
			  bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT e.id FROM source_revisions r JOIN executions e"
		    " ON e.seq = r.execution"
		    " WHERE r.pipeline = ? AND r.action = ? AND r.revision = ?",
		    "sss", pipeline, action, revision);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	if (rc == 1)
		row_uuid(&q, 0, ret_id);
	*ret_found = rc == 1;
	return 0;
}

/* ---- watches ---- */

int source_watches_put(struct store *s, const char *source, const char *pipeline,
		       struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT OR IGNORE INTO source_watches (source, pipeline)"
			  " VALUES (?, ?)",
			  "ss", source, pipeline);
}

int source_watches_clear(struct store *s, const char *pipeline, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM source_watches WHERE pipeline = ?",
			  "s", pipeline);
}

void source_watches_list(struct store *s, struct stmt *q, const char *source)
{
	store_query(s, q,
		    "SELECT pipeline FROM source_watches WHERE source = ?"
		    " ORDER BY pipeline",
		    "s", source);
}

void source_watches_repositories(struct store *s, struct stmt *q)
{
	store_query(s, q,
		    "SELECT DISTINCT substr(source, 5), r.repository IS NOT NULL"
		    " FROM source_watches LEFT JOIN source_refs r"
		    " ON r.repository = substr(source, 5)"
		    " WHERE source >= 'git:' AND source < 'git;' ORDER BY source",
		    "");
}

/* ---- refs ---- */

int source_refs_get(struct store *s, const char *repository, char **ret_refs,
		    struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT refs FROM source_refs WHERE repository = ?", "s",
		    repository);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_refs = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int source_refs_put(struct store *s, const char *repository, const char *refs,
		    struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT OR REPLACE INTO source_refs (repository, refs)"
			  " VALUES (?, ?)",
			  "ss", repository, refs);
}

int source_refs_tidy(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "DELETE FROM source_refs WHERE NOT EXISTS (SELECT 1 FROM"
			  " source_watches w WHERE w.source = 'git:' || repository)",
			  "");
}

/* ---- schedules ---- */

int schedules_get(struct store *s, const char *name, int64_t *ret_due_ms,
		  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT due_ms FROM schedules WHERE name = ?", "s", name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_due_ms = rc == 1 ? stmt_i64(&q, 0) : -1;
	return 0;
}

int schedules_put(struct store *s, const char *name, int64_t due_ms, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT OR REPLACE INTO schedules (name, due_ms) VALUES (?, ?)",
			  "si", name, due_ms);
}

int schedules_next(struct store *s, int64_t *ret_due_ms, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT due_ms FROM schedules ORDER BY due_ms, name LIMIT 1",
		    "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_due_ms = rc == 1 ? stmt_i64(&q, 0) : -1;
	return 0;
}

int schedules_due(struct store *s, int64_t now_ms, char **ret_name, int64_t *ret_due_ms,
		  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT name, due_ms FROM schedules WHERE due_ms <= ?"
		    " ORDER BY due_ms, name LIMIT 1",
		    "i", now_ms);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_name = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	*ret_due_ms = rc == 1 ? stmt_i64(&q, 1) : -1;
	return 0;
}

int schedules_delete(struct store *s, const char *name, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM schedules WHERE name = ?", "s",
			  name);
}

void schedules_list(struct store *s, struct stmt *q)
{
	store_query(s, q, "SELECT name FROM schedules ORDER BY name", "");
}
