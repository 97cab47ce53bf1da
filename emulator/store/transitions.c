/* The table of transitions. */
#include "emulator/store/transitions.h"

#include "emulator/store/rows.h"

const char *const transitions_schema = "CREATE TABLE transitions ("
				       " pipeline TEXT NOT NULL,"
				       " stage TEXT NOT NULL,"
				       " enabled INTEGER NOT NULL,"
				       " reason TEXT,"
				       " changed_by TEXT,"
				       " changed_ms INTEGER NOT NULL,"
				       " PRIMARY KEY (pipeline, stage)) WITHOUT ROWID;";
/* A row: disabled. */
const char *const transitions_outbound_schema =
	"CREATE TABLE outbound_transitions ("
	" pipeline TEXT NOT NULL,"
	" stage TEXT NOT NULL,"
	" PRIMARY KEY (pipeline, stage)) WITHOUT ROWID;";

void transition_done(struct transition *t)
{
	free(t->reason);
	free(t->changed_by);
	*t = (struct transition){ 0 };
}

int transitions_get(struct store *s, const char *pipeline, const char *stage,
		    struct transition *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT enabled, reason, changed_by, changed_ms FROM transitions"
		    " WHERE pipeline = ? AND stage = ?",
		    "ss", pipeline, stage);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = (struct transition){ .enabled = true };
	if (rc == 1)
		*ret = (struct transition){
			.enabled = stmt_i64(&q, 0) != 0,
			.reason = mh_strdup(stmt_text(&q, 1)),
			.changed_by = mh_strdup(stmt_text(&q, 2)),
			.changed_ms = stmt_i64(&q, 3),
		};
	return 0;
}

int transitions_set(struct store *s, const char *pipeline, const char *stage,
		    const struct transition *t, struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"INSERT OR REPLACE INTO transitions (pipeline, stage, enabled, reason,"
		" changed_by, changed_ms) VALUES (?, ?, ?, ?, ?, ?)",
		"ssdssi", pipeline, stage, (int)t->enabled, t->reason, t->changed_by,
		t->changed_ms);
}

int transitions_outbound_enabled(struct store *s, const char *pipeline, const char *stage,
				 bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT 1 FROM outbound_transitions WHERE pipeline = ? AND stage = ?",
		    "ss", pipeline, stage);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 0;
	return 0;
}

int transitions_set_outbound(struct store *s, const char *pipeline, const char *stage,
			     bool enabled, struct mh_err *err)
{
	if (enabled)
		return store_exec(s, NULL, err,
				  "DELETE FROM outbound_transitions"
				  " WHERE pipeline = ? AND stage = ?",
				  "ss", pipeline, stage);
	return store_exec(s, NULL, err,
			  "INSERT OR IGNORE INTO outbound_transitions (pipeline, stage)"
			  " VALUES (?, ?)",
			  "ss", pipeline, stage);
}

int transitions_stages(struct store *s, const char *pipeline, char ***ret,
		       size_t *ret_count, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	char **list = NULL;
	size_t count = 0;
	int rc;

	store_query(s, &q,
		    "SELECT stage FROM transitions WHERE pipeline = ?"
		    " UNION SELECT stage FROM outbound_transitions WHERE pipeline = ?"
		    " ORDER BY stage",
		    "ss", pipeline, pipeline);
	while ((rc = stmt_next(&q, err)) == 1) {
		list = row_room(list, count, sizeof(*list));
		list[count++] = mh_strdup(stmt_text(&q, 0));
	}
	if (rc < 0) {
		while (count > 0)
			free(list[--count]);
		free(list);
		return -1;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

int transitions_delete(struct store *s, const char *pipeline, const char *stage,
		       struct mh_err *err)
{
	if (transitions_set_outbound(s, pipeline, stage, true, err) != 0)
		return -1;
	return store_exec(s, NULL, err,
			  "DELETE FROM transitions WHERE pipeline = ? AND stage = ?",
			  "ss", pipeline, stage);
}

int transitions_delete_pipeline(struct store *s, const char *pipeline, struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "DELETE FROM outbound_transitions WHERE pipeline = ?", "s",
		       pipeline) != 0)
		return -1;
	return store_exec(s, NULL, err, "DELETE FROM transitions WHERE pipeline = ?", "s",
			  pipeline);
}
