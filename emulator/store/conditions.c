/* The tables of conditions and alarms. */
#include "emulator/store/conditions.h"

#include "emulator/store/rows.h"

const char *const conditions_schema =
	"CREATE TABLE conditions ("
	" seq INTEGER PRIMARY KEY,"
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" stage_execution INTEGER NOT NULL,"
	" pipeline TEXT NOT NULL,"
	" stage TEXT NOT NULL,"
	" phase TEXT NOT NULL,"
	" locked INTEGER NOT NULL,"
	" status TEXT NOT NULL,"
	" summary TEXT,"
	" status_ms INTEGER NOT NULL);"
	"CREATE INDEX conditions_by_execution ON conditions (execution);"
	"CREATE INDEX conditions_by_stage ON conditions (pipeline, stage, phase, seq);";

const char *const alarms_schema = "CREATE TABLE alarms ("
				  " name TEXT PRIMARY KEY,"
				  " state TEXT NOT NULL,"
				  " changed_ms INTEGER NOT NULL) WITHOUT ROWID;";

#define COLUMNS                                                                          \
	"seq, execution, stage_execution, pipeline, stage, phase, locked, status,"       \
	" summary, status_ms FROM conditions"

void condition_done(struct condition *c)
{
	free(c->pipeline);
	free(c->stage);
	free(c->summary);
	*c = (struct condition){ 0 };
}

static int read_one(struct stmt *q, struct condition *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0)
		return -1;
	if (rc == 1)
		*ret = (struct condition){
			.seq = stmt_i64(q, 0),
			.execution = stmt_i64(q, 1),
			.stage_execution = stmt_i64(q, 2),
			.pipeline = mh_strdup(stmt_text(q, 3)),
			.stage = mh_strdup(stmt_text(q, 4)),
			.phase = stage_phase_parse(stmt_text(q, 5)),
			.locked = stmt_i64(q, 6) != 0,
			.status = condition_status_parse(stmt_text(q, 7)),
			.summary = mh_strdup(stmt_text(q, 8)),
			.status_ms = stmt_i64(q, 9),
		};
	*ret_found = rc == 1;
	return 0;
}

int conditions_insert(struct store *s, struct condition *c, struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "INSERT INTO conditions (execution, stage_execution, pipeline,"
		       " stage, phase, locked, status, summary, status_ms)"
		       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "iisssdssi", c->execution, c->stage_execution, c->pipeline,
		       c->stage, stage_phase_name(c->phase), (int)c->locked,
		       condition_status_name(c->status), c->summary, c->status_ms) != 0)
		return -1;
	c->seq = store_last_rowid(s);
	return 0;
}

int conditions_save(struct store *s, const struct condition *c, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "UPDATE conditions SET status = ?, summary = ?, status_ms = ?"
			  " WHERE seq = ?",
			  "ssii", condition_status_name(c->status), c->summary,
			  c->status_ms, c->seq);
}

int conditions_get(struct store *s, int64_t seq, struct condition *ret,
		   struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	bool found = false;

	store_query(s, &q, "SELECT " COLUMNS " WHERE seq = ?", "i", seq);
	if (read_one(&q, ret, &found, err) != 0)
		return -1;
	return found ? 0
		     : mh_err_set(err, MH_E_NOTFOUND, "no condition number %lld",
				  (long long)seq);
}

int conditions_latest(struct store *s, const char *pipeline, const char *stage,
		      enum stage_phase phase, struct condition *ret, bool *ret_found,
		      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE pipeline = ? AND stage = ? AND phase = ?"
		    " AND locked ORDER BY seq DESC LIMIT 1",
		    "sss", pipeline, stage, stage_phase_name(phase));
	return read_one(&q, ret, ret_found, err);
}

/* ---- alarms ---- */

int alarm_set(struct store *s, const char *name, const char *state, int64_t now_ms,
	      struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT OR REPLACE INTO alarms (name, state, changed_ms)"
			  " VALUES (?, ?, ?)",
			  "ssi", name, state, now_ms);
}

int alarm_get(struct store *s, const char *name, char **ret_state, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT state FROM alarms WHERE name = ?", "s", name);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_state = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int alarms_list(struct store *s, struct json_object *list, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT name, state FROM alarms ORDER BY name", "");
	while ((rc = stmt_next(&q, err)) == 1) {
		struct json_object *o = json_object_new_object();

		json_put_str(o, "name", stmt_text(&q, 0));
		json_put_str(o, "state", stmt_text(&q, 1));
		json_object_array_add(list, o);
	}
	return rc < 0 ? -1 : 0;
}
