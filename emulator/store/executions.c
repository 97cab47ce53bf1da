/* The table of pipeline executions. */
#include "emulator/store/executions.h"

#include <stdio.h>

#include "emulator/store/rows.h"

const char *const executions_schema =
	"CREATE TABLE executions ("
	" seq INTEGER PRIMARY KEY,"
	" id TEXT NOT NULL UNIQUE,"
	" pipeline TEXT NOT NULL,"
	" version INTEGER NOT NULL,"
	" mode TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" cancelling INTEGER NOT NULL DEFAULT 0,"
	" stop_abandons INTEGER NOT NULL DEFAULT 0,"
	" stop_reason TEXT,"
	" status_summary TEXT,"
	" trigger_type TEXT NOT NULL,"
	" trigger_detail TEXT NOT NULL,"
	" variables TEXT NOT NULL,"
	" overrides TEXT,"
	" rollback_target TEXT,"
	" first_action INTEGER NOT NULL DEFAULT 0,"
	" attempt INTEGER NOT NULL DEFAULT 1,"
	" started_ms INTEGER NOT NULL,"
	" updated_ms INTEGER NOT NULL,"
	" token TEXT,"
	" arguments TEXT,"
	" origin TEXT);"
	"CREATE INDEX executions_by_pipeline ON executions (pipeline, seq);"
	"CREATE INDEX executions_by_token ON executions (pipeline, token)"
	" WHERE token IS NOT NULL;"
	"CREATE INDEX executions_open ON executions (pipeline, seq)"
	" WHERE status IN ('InProgress', 'Stopping');";

#define COLUMNS                                                                          \
	"seq, id, pipeline, version, mode, status, cancelling, status_summary,"          \
	" trigger_type, trigger_detail, variables, overrides, first_action,"             \
	" started_ms, updated_ms, stop_abandons, stop_reason, origin,"                   \
	" attempt, rollback_target"

void execution_done(struct execution *e)
{
	free(e->pipeline);
	free(e->stop_reason);
	free(e->status_summary);
	free(e->trigger_type);
	free(e->trigger_detail);
	free(e->rollback_target);
	json_object_put(e->variables);
	json_object_put(e->overrides);
	json_object_put(e->origin);
	*e = (struct execution){ 0 };
}

void execution_list_done(struct execution_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		execution_done(&list->items[i]);
	free(list->items);
	*list = (struct execution_list){ 0 };
}

static int read_row(struct stmt *q, struct execution *e, struct mh_err *err)
{
	*e = (struct execution){
		.seq = stmt_i64(q, 0),
		.pipeline = mh_strdup(stmt_text(q, 2)),
		.version = stmt_i64(q, 3),
		.mode = execution_mode_parse(stmt_text(q, 4)),
		.status = execution_status_parse(stmt_text(q, 5)),
		.cancelling = stmt_i64(q, 6) != 0,
		.status_summary = mh_strdup(stmt_text(q, 7)),
		.trigger_type = mh_strdup(stmt_text(q, 8)),
		.trigger_detail = mh_strdup(stmt_text(q, 9)),
		.first_action = stmt_i64(q, 12),
		.started_ms = stmt_i64(q, 13),
		.updated_ms = stmt_i64(q, 14),
		.stop_abandons = stmt_i64(q, 15) != 0,
		.stop_reason = mh_strdup(stmt_text(q, 16)),
		.attempt = stmt_i64(q, 18),
		.rollback_target = mh_strdup(stmt_text(q, 19)),
	};
	row_uuid(q, 1, e->id);
	if (row_json(q, 10, &e->variables, err) != 0 ||
	    row_json(q, 11, &e->overrides, err) != 0 ||
	    row_json(q, 17, &e->origin, err) != 0) {
		execution_done(e);
		return -1;
	}
	return 0;
}

/* The one row of q, or none. */
static int read_one(struct stmt *q, struct execution *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0 || (rc == 1 && read_row(q, ret, err) != 0))
		return -1;
	*ret_found = rc == 1;
	return 0;
}

static int read_list(struct stmt *q, struct execution_list *ret, struct mh_err *err)
{
	CLEAN(execution_list) struct execution_list list = { 0 };
	int rc;

	while ((rc = stmt_next(q, err)) == 1) {
		list.items = row_room(list.items, list.count, sizeof(*list.items));
		if (read_row(q, &list.items[list.count], err) != 0)
			return -1;
		list.count++;
	}
	if (rc < 0)
		return -1;
	*ret = list;
	list = (struct execution_list){ 0 };
	return 0;
}

int executions_insert(struct store *s, struct execution *e, const char *token,
		      const char *arguments, struct mh_err *err)
{
	if (store_exec(
		    s, NULL, err,
		    "INSERT INTO executions (id, pipeline, version, mode, status,"
		    " status_summary, trigger_type, trigger_detail, variables, overrides,"
		    " started_ms, updated_ms, token, arguments, origin, rollback_target)"
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    "ssisssssssiissss", e->id, e->pipeline, e->version,
		    execution_mode_name(e->mode), execution_status_name(e->status),
		    e->status_summary, e->trigger_type, e->trigger_detail,
		    json_text(e->variables),
		    e->overrides ? json_text(e->overrides) : NULL, e->started_ms,
		    e->updated_ms, token, arguments,
		    e->origin ? json_text(e->origin) : NULL, e->rollback_target) != 0)
		return -1;
	e->seq = store_last_rowid(s);
	return 0;
}

int executions_get(struct store *s, int64_t seq, struct execution *ret,
		   struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	bool found = false;

	store_query(s, &q, "SELECT " COLUMNS " FROM executions WHERE seq = ?", "i", seq);
	if (read_one(&q, ret, &found, err) != 0)
		return -1;
	return found ? 0
		     : mh_err_set(err, MH_E_NOTFOUND, "no execution number %lld",
				  (long long)seq);
}

int executions_find(struct store *s, const char *pipeline, const char *id,
		    struct execution *ret, bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " FROM executions WHERE pipeline = ? AND id = ?",
		    "ss", pipeline, id);
	return read_one(&q, ret, ret_found, err);
}

int executions_find_token(struct store *s, const char *pipeline, const char *token,
			  int64_t since_ms, char ret_id[STR_UUID_SIZE],
			  char **ret_arguments, bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(
		s, &q,
		"SELECT id, arguments FROM executions WHERE pipeline = ? AND token = ?"
		" AND started_ms >= ? ORDER BY seq DESC LIMIT 1",
		"ssi", pipeline, token, since_ms);
	rc = stmt_next(&q, err);
	if (rc == 1) {
		row_uuid(&q, 0, ret_id);
		*ret_arguments = mh_strdup(stmt_text(&q, 1));
	}
	*ret_found = rc == 1;
	return rc < 0 ? -1 : 0;
}

int executions_save(struct store *s, const struct execution *e, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE executions SET status = ?, cancelling = ?,"
			  " stop_abandons = ?, stop_reason = ?, status_summary = ?,"
			  " first_action = ?, updated_ms = ?, attempt = ? WHERE seq = ?",
			  "sddssiiii", execution_status_name(e->status),
			  (int)e->cancelling, (int)e->stop_abandons, e->stop_reason,
			  e->status_summary, e->first_action, e->updated_ms, e->attempt,
			  e->seq);
}

int executions_touch(struct store *s, int64_t seq, int64_t now_ms, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE executions SET updated_ms = ? WHERE seq = ?", "ii",
			  now_ms, seq);
}

int executions_any(struct store *s, bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT 1 FROM executions LIMIT 1", "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int executions_count_open(struct store *s, const char *pipeline, int64_t *ret,
			  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT count(*) FROM executions WHERE pipeline = ?"
		    " AND status IN ('InProgress', 'Stopping')",
		    "s", pipeline);
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret = stmt_i64(&q, 0);
	return 0;
}

int executions_open_locked(struct store *s, const char *pipeline,
			   struct execution_list *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " FROM executions WHERE pipeline = ?"
		    " AND status IN ('InProgress', 'Stopping') AND mode <> 'PARALLEL' "
		    "ORDER BY seq",
		    "s", pipeline);
	return read_list(&q, ret, err);
}

int executions_page(struct store *s, const char *pipeline, int64_t before_seq,
		    const char *succeeded_in, int64_t version, int64_t limit,
		    struct execution_list *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int64_t before = before_seq > 0 ? before_seq : INT64_MAX;

	if (succeeded_in)
		store_query(
			s, &q,
			"SELECT " COLUMNS
			" FROM executions e WHERE pipeline = ? AND seq < ?"
			" AND version = ? AND EXISTS (SELECT 1 FROM stage_executions s"
			" WHERE s.execution = e.seq AND s.stage = ? AND s.status = "
			"'Succeeded')"
			" ORDER BY seq DESC LIMIT ?",
			"siisi", pipeline, before, version, succeeded_in, limit);
	else
		store_query(s, &q,
			    "SELECT " COLUMNS
			    " FROM executions WHERE pipeline = ? AND seq < ?"
			    " ORDER BY seq DESC LIMIT ?",
			    "sii", pipeline, before, limit);
	return read_list(&q, ret, err);
}

int executions_delete_pipeline(struct store *s, const char *pipeline, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM executions WHERE pipeline = ?", "s",
			  pipeline);
}
