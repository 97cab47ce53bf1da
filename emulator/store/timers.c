/* The table of timers. */
#include "emulator/store/timers.h"

/* One per action execution: its time limit. */
const char *const timers_schema =
	"CREATE TABLE timers ("
	" action INTEGER PRIMARY KEY REFERENCES action_executions (seq) ON DELETE "
	"CASCADE,"
	" due_ms INTEGER NOT NULL);"
	"CREATE INDEX timers_by_due ON timers (due_ms, action);";

int timers_insert(struct store *s, int64_t due_ms, int64_t action, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO timers (action, due_ms) VALUES (?, ?)", "ii",
			  action, due_ms);
}

int timers_delete_of(struct store *s, int64_t action, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM timers WHERE action = ?", "i",
			  action);
}

int timers_next(struct store *s, int64_t *ret_due_ms, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT due_ms FROM timers ORDER BY due_ms, action LIMIT 1",
		    "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_due_ms = rc == 1 ? stmt_i64(&q, 0) : -1;
	return 0;
}

static int first_due(struct store *s, int64_t now_ms, int64_t *ret_action,
		     struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT action FROM timers WHERE due_ms <= ? ORDER BY due_ms, action "
		    "LIMIT 1",
		    "i", now_ms);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_action = rc == 1 ? stmt_i64(&q, 0) : 0;
	return 0;
}

int timers_take(struct store *s, int64_t now_ms, int64_t *ret_action, struct mh_err *err)
{
	int64_t action = 0;

	if (first_due(s, now_ms, &action, err) != 0 ||
	    (action && timers_delete_of(s, action, err) != 0))
		return -1;
	*ret_action = action;
	return 0;
}
