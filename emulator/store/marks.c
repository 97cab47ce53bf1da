/* The table of marks. */
#include "emulator/store/marks.h"

const char *const marks_schema =
	"CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
	" WITHOUT ROWID;";

int marks_get(struct store *s, const char *name, int64_t fallback, int64_t *ret,
	      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT value FROM marks WHERE name = ?", "s", name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? stmt_i64(&q, 0) : fallback;
	return 0;
}

int marks_set(struct store *s, const char *name, int64_t value, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO marks (name, value) VALUES (?, ?)"
			  " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			  "si", name, value);
}
