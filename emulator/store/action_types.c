#include "emulator/store/action_types.h"

const char *const store_action_types_schema =
	"CREATE TABLE action_types ("
	"  category TEXT NOT NULL,"
	"  provider TEXT NOT NULL,"
	"  version TEXT NOT NULL,"
	"  definition TEXT NOT NULL,"
	"  tags TEXT,"
	"  created_ms INTEGER NOT NULL,"
	"  deleted_ms INTEGER NOT NULL DEFAULT 0," /* 0: live */
	"  PRIMARY KEY (category, provider, version)"
	") WITHOUT ROWID;";

void store_action_type_done(struct store_action_type *t)
{
	free(t->category);
	free(t->provider);
	free(t->version);
	free(t->definition);
	free(t->tags);
	*t = (struct store_action_type){ 0 };
}

int store_action_type_find(struct store *s, const char *category, const char *provider,
			   const char *version, struct store_action_type *ret,
			   bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT definition, tags, deleted_ms FROM action_types"
		    " WHERE category = ? AND provider = ? AND version = ?",
		    "sss", category, provider, version);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 0)
		return 0;
	*ret = (struct store_action_type){
		.category = mh_strdup(category),
		.provider = mh_strdup(provider),
		.version = mh_strdup(version),
		.definition = mh_strdup(stmt_text(&q, 0)),
		.tags = mh_strdup(stmt_text(&q, 1)),
		.deleted_ms = stmt_i64(&q, 2),
	};
	return 0;
}

int store_action_type_insert(struct store *s, const char *category, const char *provider,
			     const char *version, const char *definition,
			     const char *tags, int64_t now_ms, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO action_types"
			  " (category, provider, version, definition, tags, created_ms)"
			  " VALUES (?, ?, ?, ?, ?, ?)",
			  "sssssi", category, provider, version, definition, tags,
			  now_ms);
}

int store_action_type_delete(struct store *s, const char *category, const char *provider,
			     const char *version, int64_t now_ms, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE action_types SET deleted_ms = ?"
			  " WHERE category = ? AND provider = ? AND version = ?"
			  " AND deleted_ms = 0",
			  "isss", now_ms, category, provider, version);
}

int store_action_type_restore(struct store *s, const char *category, const char *provider,
			      const char *version, const char *tags, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE action_types SET deleted_ms = 0, tags = ?"
			  " WHERE category = ? AND provider = ? AND version = ?",
			  "ssss", tags, category, provider, version);
}

int store_action_type_count_live(struct store *s, int64_t *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT count(*) FROM action_types WHERE deleted_ms = 0", "");
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret = stmt_i64(&q, 0);
	return 0;
}

void store_action_type_list(struct store *s, struct stmt *q)
{
	store_query(s, q,
		    "SELECT definition FROM action_types WHERE deleted_ms = 0"
		    " ORDER BY category, provider, version",
		    "");
}
