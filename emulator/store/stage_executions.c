/* The table of stage executions. */
#include "emulator/store/stage_executions.h"

#include "emulator/store/rows.h"

const char *const stage_executions_schema =
	"CREATE TABLE stage_executions ("
	" seq INTEGER PRIMARY KEY,"
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" pipeline TEXT NOT NULL,"
	" stage TEXT NOT NULL,"
	" stage_index INTEGER NOT NULL,"
	" locked INTEGER NOT NULL,"
	" status TEXT NOT NULL,"
	" arrived_ms INTEGER NOT NULL,"
	" entered_ms INTEGER NOT NULL DEFAULT 0,"
	" ended_ms INTEGER NOT NULL DEFAULT 0,"
	" first_action INTEGER NOT NULL DEFAULT 0,"
	" manual_retries INTEGER NOT NULL DEFAULT 0,"
	" retried_ms INTEGER NOT NULL DEFAULT 0,"
	" auto_retries INTEGER NOT NULL DEFAULT 0,"
	" retried_by_itself INTEGER NOT NULL DEFAULT 0,"
	" phase TEXT NOT NULL DEFAULT 'actions',"
	" condition INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX stage_executions_by_execution ON stage_executions (execution, "
	"stage);"
	"CREATE INDEX stage_executions_by_stage ON stage_executions (pipeline, stage, "
	"seq);"
	"CREATE INDEX stage_executions_inbound ON stage_executions (pipeline, stage, seq)"
	" WHERE status = 'Inbound';"
	/* The stage lock, once more: nothing that goes wrong above can break it. */
	"CREATE UNIQUE INDEX stage_executions_lock ON stage_executions (pipeline, stage)"
	" WHERE locked AND status IN ('InProgress', 'Stopping');";

#define COLUMNS                                                                          \
	"s.seq, s.execution, e.id, s.pipeline, s.stage, s.stage_index, s.locked, "       \
	"s.status,"                                                                      \
	" s.arrived_ms, s.entered_ms, s.ended_ms, s.first_action, s.manual_retries,"     \
	" s.auto_retries, s.retried_by_itself, s.phase, s.condition,"                    \
	" e.rollback_target IS NOT NULL, s.retried_ms"                                   \
	" FROM stage_executions s JOIN executions e ON e.seq = s.execution"

void stage_execution_done(struct stage_execution *s)
{
	free(s->pipeline);
	free(s->stage);
	*s = (struct stage_execution){ 0 };
}

void stage_execution_list_done(struct stage_execution_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		stage_execution_done(&list->items[i]);
	free(list->items);
	*list = (struct stage_execution_list){ 0 };
}

static void read_row(struct stmt *q, struct stage_execution *row)
{
	*row = (struct stage_execution){
		.seq = stmt_i64(q, 0),
		.execution = stmt_i64(q, 1),
		.pipeline = mh_strdup(stmt_text(q, 3)),
		.stage = mh_strdup(stmt_text(q, 4)),
		.stage_index = stmt_i64(q, 5),
		.locked = stmt_i64(q, 6) != 0,
		.status = stage_status_parse(stmt_text(q, 7)),
		.arrived_ms = stmt_i64(q, 8),
		.entered_ms = stmt_i64(q, 9),
		.ended_ms = stmt_i64(q, 10),
		.first_action = stmt_i64(q, 11),
		.manual_retries = stmt_i64(q, 12),
		.auto_retries = stmt_i64(q, 13),
		.retried_by_itself = stmt_i64(q, 14) != 0,
		.phase = stage_phase_parse(stmt_text(q, 15)),
		.condition = stmt_i64(q, 16),
		.rollback = stmt_i64(q, 17) != 0,
		.retried_ms = stmt_i64(q, 18),
	};
	row_uuid(q, 2, row->execution_id);
}

static int read_one(struct stmt *q, struct stage_execution *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0)
		return -1;
	if (rc == 1)
		read_row(q, ret);
	*ret_found = rc == 1;
	return 0;
}

int stage_executions_insert(struct store *s, struct stage_execution *row,
			    struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "INSERT INTO stage_executions (execution, pipeline, stage, "
		       "stage_index,"
		       " locked, status, arrived_ms, entered_ms) VALUES (?, ?, ?, ?, ?, "
		       "?, ?, ?)",
		       "issidsii", row->execution, row->pipeline, row->stage,
		       row->stage_index, (int)row->locked, stage_status_name(row->status),
		       row->arrived_ms, row->entered_ms) != 0)
		return -1;
	row->seq = store_last_rowid(s);
	return 0;
}

int stage_executions_save(struct store *s, const struct stage_execution *row,
			  struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"UPDATE stage_executions SET status = ?, entered_ms = ?, ended_ms = ?,"
		" first_action = ?, manual_retries = ?, auto_retries = ?,"
		" retried_by_itself = ?, phase = ?, condition = ?, retried_ms = ?"
		" WHERE seq = ?",
		"siiiiidsiii", stage_status_name(row->status), row->entered_ms,
		row->ended_ms, row->first_action, row->manual_retries, row->auto_retries,
		(int)row->retried_by_itself, stage_phase_name(row->phase), row->condition,
		row->retried_ms, row->seq);
}

int stage_executions_delete(struct store *s, int64_t seq, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM stage_executions WHERE seq = ?", "i",
			  seq);
}

int stage_executions_get(struct store *s, int64_t seq, struct stage_execution *ret,
			 struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	bool found = false;

	store_query(s, &q, "SELECT " COLUMNS " WHERE s.seq = ?", "i", seq);
	if (read_one(&q, ret, &found, err) != 0)
		return -1;
	return found ? 0
		     : mh_err_set(err, MH_E_NOTFOUND, "no stage execution number %lld",
				  (long long)seq);
}

int stage_executions_is_locked(struct store *s, const char *pipeline, const char *stage,
			       bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT 1 FROM stage_executions WHERE pipeline = ? AND stage = ? AND "
		    "locked"
		    " AND status IN ('InProgress', 'Stopping')",
		    "ss", pipeline, stage);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int stage_executions_inbound(struct store *s, const char *pipeline, const char *stage,
			     bool locked, struct stage_execution_list *ret,
			     struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list list = { 0 };
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE s.pipeline = ? AND s.stage = ?"
		    " AND s.status = 'Inbound' AND s.locked = ? ORDER BY s.seq",
		    "ssd", pipeline, stage, (int)locked);
	while ((rc = stmt_next(&q, err)) == 1) {
		list.items = row_room(list.items, list.count, sizeof(*list.items));
		read_row(&q, &list.items[list.count++]);
	}
	if (rc < 0)
		return -1;
	*ret = list;
	list = (struct stage_execution_list){ 0 };
	return 0;
}

int stage_executions_behind(struct store *s, const char *pipeline, const char *stage,
			    struct mh_err *err)
{
	CLEAN(stage_execution_list) struct stage_execution_list waiting = { 0 };

	if (stage_executions_inbound(s, pipeline, stage, true, &waiting, err) != 0)
		return -1;
	for (size_t i = 0; i < waiting.count; i++) {
		if (store_exec(s, NULL, err,
			       "UPDATE stage_executions SET seq = (SELECT max(seq) + 1"
			       " FROM stage_executions) WHERE seq = ?",
			       "i", waiting.items[i].seq) != 0)
			return -1;
	}
	return 0;
}

int stage_executions_next_waiting(struct store *s, const char *pipeline,
				  const char *after, char **ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT stage FROM stage_executions WHERE pipeline = ? AND stage > ?"
		    " AND status = 'Inbound' ORDER BY stage LIMIT 1",
		    "ss", pipeline, after);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int stage_executions_open_of(struct store *s, int64_t execution,
			     struct stage_execution *ret, bool *ret_found,
			     struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE s.execution = ?"
		    " AND s.status IN ('Inbound', 'InProgress', 'Stopping')",
		    "i", execution);
	return read_one(&q, ret, ret_found, err);
}

int stage_executions_of(struct store *s, int64_t execution, const char *stage,
			struct stage_execution *ret, bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE s.execution = ? AND s.stage = ?"
		    " AND s.status <> 'Inbound' ORDER BY s.seq DESC LIMIT 1",
		    "is", execution, stage);
	return read_one(&q, ret, ret_found, err);
}

int stage_executions_latest(struct store *s, const char *pipeline, const char *stage,
			    struct stage_execution *ret, bool *ret_found,
			    struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE s.pipeline = ? AND s.stage = ? AND s.locked"
		    " AND s.status <> 'Inbound' ORDER BY s.seq DESC LIMIT 1",
		    "ss", pipeline, stage);
	return read_one(&q, ret, ret_found, err);
}

int stage_executions_last_success(struct store *s, const char *pipeline,
				  const char *stage, int64_t version, int64_t *ret,
				  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT e.seq FROM stage_executions s JOIN executions e"
		    " ON e.seq = s.execution WHERE s.pipeline = ? AND s.stage = ?"
		    " AND s.status = 'Succeeded' AND e.version = ?"
		    " AND e.rollback_target IS NULL ORDER BY s.seq DESC LIMIT 1",
		    "ssi", pipeline, stage, version);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? stmt_i64(&q, 0) : 0;
	return 0;
}
