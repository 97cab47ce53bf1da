#include "emulator/store/integrations.h"

const char *const integrations_schema = "CREATE TABLE integrations ("
					"  type TEXT PRIMARY KEY,"
					"  declaration TEXT NOT NULL"
					") WITHOUT ROWID;";

int integrations_find(struct store *s, const char *type, char **ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT declaration FROM integrations WHERE type = ?", "s",
		    type);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int integrations_put(struct store *s, const char *type, const char *declaration,
		     struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO integrations (type, declaration) VALUES (?, ?)"
			  " ON CONFLICT (type) DO UPDATE"
			  " SET declaration = excluded.declaration",
			  "ss", type, declaration);
}

void integrations_list(struct store *s, struct stmt *q)
{
	store_query(s, q, "SELECT type, declaration FROM integrations ORDER BY type", "");
}
