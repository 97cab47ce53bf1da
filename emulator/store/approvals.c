/* The table of approval requests. */
#include "emulator/store/approvals.h"

#include "emulator/store/rows.h"

const char *const approvals_schema = "CREATE TABLE approvals ("
				     " action INTEGER PRIMARY KEY REFERENCES "
				     "action_executions (seq) ON DELETE CASCADE,"
				     " token TEXT NOT NULL UNIQUE,"
				     " pipeline TEXT NOT NULL,"
				     " stage TEXT NOT NULL,"
				     " action_name TEXT NOT NULL,"
				     " open INTEGER NOT NULL,"
				     " answered INTEGER NOT NULL DEFAULT 0,"
				     " expires_ms INTEGER NOT NULL);"
				     "CREATE INDEX approvals_by_action ON approvals "
				     "(pipeline, stage, action_name, action);";

#define COLUMNS                                                                          \
	"action, token, pipeline, stage, action_name, open, answered, expires_ms FROM "  \
	"approvals"

void approval_done(struct approval *a)
{
	free(a->pipeline);
	free(a->stage);
	free(a->action_name);
	*a = (struct approval){ 0 };
}

static int read_one(struct stmt *q, struct approval *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc == 1) {
		*ret = (struct approval){
			.action = stmt_i64(q, 0),
			.pipeline = mh_strdup(stmt_text(q, 2)),
			.stage = mh_strdup(stmt_text(q, 3)),
			.action_name = mh_strdup(stmt_text(q, 4)),
			.open = stmt_i64(q, 5) != 0,
			.answered = stmt_i64(q, 6) != 0,
			.expires_ms = stmt_i64(q, 7),
		};
		row_uuid(q, 1, ret->token);
	}
	*ret_found = rc == 1;
	return rc < 0 ? -1 : 0;
}

int approvals_insert(struct store *s, const struct approval *a, struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"INSERT INTO approvals (action, token, pipeline, stage, action_name,"
		" open, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
		"issssdi", a->action, a->token, a->pipeline, a->stage, a->action_name,
		(int)a->open, a->expires_ms);
}

int approvals_close(struct store *s, int64_t action, bool answered, struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"UPDATE approvals SET open = 0, answered = ? WHERE action = ? AND open",
		"di", (int)answered, action);
}

int approvals_find(struct store *s, const char *token, struct approval *ret,
		   bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT " COLUMNS " WHERE token = ?", "s", token);
	return read_one(&q, ret, ret_found, err);
}

int approvals_of(struct store *s, int64_t action, struct approval *ret, bool *ret_found,
		 struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT " COLUMNS " WHERE action = ?", "i", action);
	return read_one(&q, ret, ret_found, err);
}

int approvals_last(struct store *s, const char *pipeline, const char *stage,
		   const char *action_name, int64_t *ret_action, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT coalesce(max(action), 0) FROM approvals"
		    " WHERE pipeline = ? AND stage = ? AND action_name = ?",
		    "sss", pipeline, stage, action_name);
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret_action = stmt_i64(&q, 0);
	return 0;
}
