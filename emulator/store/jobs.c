/* The table of jobs. */
#include "emulator/store/jobs.h"

#include "emulator/store/rows.h"

const char *const jobs_schema =
	"CREATE TABLE jobs ("
	" seq INTEGER PRIMARY KEY,"
	" id TEXT NOT NULL UNIQUE,"
	" action INTEGER NOT NULL REFERENCES action_executions (seq) ON DELETE CASCADE,"
	" executor TEXT NOT NULL,"
	" type TEXT NOT NULL,"
	" query_value TEXT,"
	" state TEXT NOT NULL,"
	" visible_ms INTEGER NOT NULL,"
	" dispatches INTEGER NOT NULL DEFAULT 0,"
	" acknowledged INTEGER NOT NULL DEFAULT 0,"
	" token TEXT,"
	" claim_epoch TEXT,"
	" created_ms INTEGER NOT NULL,"
	" ended_ms INTEGER NOT NULL DEFAULT 0,"
	" acked_by TEXT,"
	" result TEXT);"
	"CREATE INDEX jobs_by_action ON jobs (action);"
	"CREATE INDEX jobs_waiting ON jobs (type, seq)"
	" WHERE executor = 'worker' AND state IN ('Created', 'Queued', 'Dispatched');"
	"CREATE INDEX jobs_builtin ON jobs (seq)"
	" WHERE executor = 'builtin' AND state IN ('Queued', 'InProgress');"
	/* At most one open job per action execution (semantics I3). */
	"CREATE UNIQUE INDEX jobs_open ON jobs (action)"
	" WHERE state IN ('Created', 'Queued', 'Dispatched', 'InProgress');";

#define COLUMNS                                                                          \
	"seq, id, action, executor, type, query_value, state, visible_ms, dispatches,"   \
	" acknowledged, token, claim_epoch, created_ms, ended_ms, acked_by, result "     \
	"FROM jobs"

static const char *executor_name(enum job_executor executor)
{
	return executor == EXECUTOR_BUILTIN ? "builtin" : "worker";
}

void job_done(struct job *j)
{
	free(j->type);
	free(j->query_value);
	free(j->token);
	free(j->claim_epoch);
	free(j->acked_by);
	free(j->result);
	*j = (struct job){ 0 };
}

void job_list_done(struct job_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		job_done(&list->items[i]);
	free(list->items);
	*list = (struct job_list){ 0 };
}

static void read_row(struct stmt *q, struct job *j)
{
	*j = (struct job){
		.seq = stmt_i64(q, 0),
		.action = stmt_i64(q, 2),
		.executor = stmt_text(q, 3)[0] == 'b' ? EXECUTOR_BUILTIN
						      : EXECUTOR_WORKER,
		.type = mh_strdup(stmt_text(q, 4)),
		.query_value = mh_strdup(stmt_text(q, 5)),
		.state = job_state_parse(stmt_text(q, 6)),
		.visible_ms = stmt_i64(q, 7),
		.dispatches = stmt_i64(q, 8),
		.acknowledged = stmt_i64(q, 9) != 0,
		.token = mh_strdup(stmt_text(q, 10)),
		.claim_epoch = mh_strdup(stmt_text(q, 11)),
		.created_ms = stmt_i64(q, 12),
		.ended_ms = stmt_i64(q, 13),
		.acked_by = mh_strdup(stmt_text(q, 14)),
		.result = mh_strdup(stmt_text(q, 15)),
	};
	row_uuid(q, 1, j->id);
}

static int read_one(struct stmt *q, struct job *ret, bool *ret_found, struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0)
		return -1;
	if (rc == 1)
		read_row(q, ret);
	*ret_found = rc == 1;
	return 0;
}

int jobs_insert(struct store *s, struct job *j, struct mh_err *err)
{
	if (store_exec(
		    s, NULL, err,
		    "INSERT INTO jobs (id, action, executor, type, query_value, state,"
		    " visible_ms, token, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    "sissssisi", j->id, j->action, executor_name(j->executor), j->type,
		    j->query_value, job_state_name(j->state), j->visible_ms, j->token,
		    j->created_ms) != 0)
		return -1;
	j->seq = store_last_rowid(s);
	return 0;
}

int jobs_save(struct store *s, const struct job *j, struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"UPDATE jobs SET state = ?, visible_ms = ?, dispatches = ?,"
		" acknowledged = ?, claim_epoch = ?, ended_ms = ?, acked_by = ?,"
		" result = ? WHERE seq = ?",
		"siidsissi", job_state_name(j->state), j->visible_ms, j->dispatches,
		(int)j->acknowledged, j->claim_epoch, j->ended_ms, j->acked_by, j->result,
		j->seq);
}

int jobs_find(struct store *s, const char *id, struct job *ret, bool *ret_found,
	      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT " COLUMNS " WHERE id = ?", "s", id);
	return read_one(&q, ret, ret_found, err);
}

int jobs_open_of(struct store *s, int64_t action, struct job *ret, bool *ret_found,
		 struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE action = ?"
		    " AND state IN ('Created', 'Queued', 'Dispatched', 'InProgress')",
		    "i", action);
	return read_one(&q, ret, ret_found, err);
}

int jobs_visible(struct store *s, const char *type, const char *query_value,
		 int64_t now_ms, int64_t limit, struct job_list *ret, struct mh_err *err)
{
	struct job_list list = { 0 };
	CLEAN(stmt) struct stmt q;
	int rc;

	if (query_value)
		store_query(
			s, &q,
			"SELECT " COLUMNS " WHERE executor = 'worker' AND type = ?"
			" AND state IN ('Created', 'Queued', 'Dispatched')"
			" AND visible_ms <= ? AND query_value = ? ORDER BY seq LIMIT ?",
			"sisi", type, now_ms, query_value, limit);
	else
		store_query(s, &q,
			    "SELECT " COLUMNS " WHERE executor = 'worker' AND type = ?"
			    " AND state IN ('Created', 'Queued', 'Dispatched')"
			    " AND visible_ms <= ? ORDER BY seq LIMIT ?",
			    "sii", type, now_ms, limit);
	while ((rc = stmt_next(&q, err)) == 1) {
		list.items = row_room(list.items, list.count, sizeof(*list.items));
		read_row(&q, &list.items[list.count++]);
	}
	if (rc < 0) {
		job_list_done(&list);
		return -1;
	}
	*ret = list;
	return 0;
}

int jobs_next_visible(struct store *s, const char *type, int64_t *ret_ms,
		      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT visible_ms FROM jobs WHERE executor = 'worker' AND type = ?"
		    " AND state IN ('Created', 'Queued', 'Dispatched')"
		    " ORDER BY visible_ms LIMIT 1",
		    "s", type);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_ms = rc == 1 ? stmt_i64(&q, 0) : -1;
	return 0;
}

int jobs_unclaimed(struct store *s, const char *epoch, int64_t now_ms, struct job *ret,
		   bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE executor = 'builtin'"
		    " AND state IN ('Queued', 'InProgress') AND visible_ms <= ?"
		    " AND claim_epoch IS NOT ? ORDER BY seq LIMIT 1",
		    "is", now_ms, epoch);
	return read_one(&q, ret, ret_found, err);
}

int jobs_any_builtin(struct store *s, bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT 1 FROM jobs WHERE executor = 'builtin'"
		    " AND state IN ('Queued', 'InProgress') LIMIT 1",
		    "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int jobs_unclaim(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE jobs SET claim_epoch = NULL WHERE executor = 'builtin'"
			  " AND state IN ('Queued', 'InProgress')",
			  "");
}
