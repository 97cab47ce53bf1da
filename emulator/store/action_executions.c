/* The tables of action executions and artifacts. */
#include "emulator/store/action_executions.h"

#include "emulator/store/rows.h"

const char *const action_executions_schema =
	"CREATE TABLE action_executions ("
	" seq INTEGER PRIMARY KEY,"
	" id TEXT NOT NULL UNIQUE,"
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" stage_execution INTEGER NOT NULL,"
	" pipeline TEXT NOT NULL,"
	" stage TEXT NOT NULL,"
	" action TEXT NOT NULL,"
	" locked INTEGER NOT NULL,"
	" type TEXT NOT NULL,"
	" role_arn TEXT,"
	" region TEXT,"
	" namespace TEXT,"
	" config_masked TEXT NOT NULL,"
	" resolved_masked TEXT,"
	" inputs TEXT NOT NULL,"
	" outputs TEXT NOT NULL,"
	" started_ms INTEGER NOT NULL,"
	" status TEXT NOT NULL,"
	" updated_ms INTEGER NOT NULL,"
	" status_ms INTEGER NOT NULL,"
	" updated_by TEXT,"
	" summary TEXT,"
	" external_id TEXT,"
	" external_url TEXT,"
	" percent INTEGER NOT NULL DEFAULT -1,"
	" error_code TEXT,"
	" error_message TEXT,"
	" revision_id TEXT,"
	" revision_change_id TEXT,"
	" revision_summary TEXT,"
	" revision_url TEXT,"
	" revision_created_ms INTEGER NOT NULL DEFAULT 0,"
	" variables TEXT,"
	" condition INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX action_executions_by_stage ON action_executions (stage_execution);"
	"CREATE INDEX action_executions_by_execution ON action_executions (execution, "
	"seq);"
	"CREATE INDEX action_executions_by_pipeline ON action_executions (pipeline, seq);"
	"CREATE INDEX action_executions_by_action"
	" ON action_executions (pipeline, stage, action, seq);"
	"CREATE INDEX action_executions_by_condition ON action_executions (condition, "
	"seq)"
	" WHERE condition <> 0;"
	"CREATE INDEX action_executions_rules ON action_executions (pipeline, seq)"
	" WHERE condition <> 0;"
	"CREATE INDEX action_executions_rules_running ON action_executions (seq)"
	" WHERE condition <> 0 AND status = 'InProgress';";

const char *const artifacts_schema =
	"CREATE TABLE artifacts ("
	" execution INTEGER NOT NULL REFERENCES executions (seq) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" bucket TEXT NOT NULL,"
	" key TEXT NOT NULL,"
	" revision TEXT,"
	" PRIMARY KEY (execution, name)) WITHOUT ROWID;";

#define COLUMNS                                                                          \
	"a.seq, a.id, a.execution, e.id, e.version, a.stage_execution, a.pipeline, "     \
	"a.stage,"                                                                       \
	" a.action, a.locked, a.type, a.role_arn, a.region, a.namespace, "               \
	"a.config_masked,"                                                               \
	" a.resolved_masked, a.inputs, a.outputs, a.started_ms, a.status,"               \
	" a.updated_ms, a.status_ms, a.updated_by, a.summary, a.external_id,"            \
	" a.external_url, a.percent, a.error_code, a.error_message, a.revision_id,"      \
	" a.revision_change_id, a.revision_summary, a.revision_url, "                    \
	"a.revision_created_ms,"                                                         \
	" a.variables, a.condition FROM action_executions a JOIN executions e ON e.seq " \
	"= a.execution"

void action_execution_done(struct action_execution *a)
{
	char *texts[] = {
		a->pipeline,         a->stage,
		a->action,           a->role_arn,
		a->region,           a->name_space,
		a->updated_by,       a->summary,
		a->external_id,      a->external_url,
		a->error_code,       a->error_message,
		a->revision_id,      a->revision_change_id,
		a->revision_summary, a->revision_url,
	};
	struct json_object *docs[] = { a->type,   a->config_masked, a->resolved_masked,
				       a->inputs, a->outputs,       a->variables };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		json_object_put(docs[i]);
	*a = (struct action_execution){ 0 };
}

void action_execution_list_done(struct action_execution_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		action_execution_done(&list->items[i]);
	free(list->items);
	*list = (struct action_execution_list){ 0 };
}

static char *text_column(struct stmt *q, int column)
{
	return mh_strdup(stmt_text(q, column));
}

static int read_documents(struct stmt *q, struct action_execution *a, struct mh_err *err)
{
	if (row_json(q, 10, &a->type, err) != 0 ||
	    row_json(q, 14, &a->config_masked, err) != 0 ||
	    row_json(q, 15, &a->resolved_masked, err) != 0 ||
	    row_json(q, 16, &a->inputs, err) != 0 ||
	    row_json(q, 17, &a->outputs, err) != 0 ||
	    row_json(q, 34, &a->variables, err) != 0)
		return -1;
	return 0;
}

static int read_row(struct stmt *q, struct action_execution *ret, struct mh_err *err)
{
	struct action_execution a = {
		.seq = stmt_i64(q, 0),
		.execution = stmt_i64(q, 2),
		.version = stmt_i64(q, 4),
		.stage_execution = stmt_i64(q, 5),
		.pipeline = text_column(q, 6),
		.stage = text_column(q, 7),
		.action = text_column(q, 8),
		.locked = stmt_i64(q, 9) != 0,
		.role_arn = text_column(q, 11),
		.region = text_column(q, 12),
		.name_space = text_column(q, 13),
		.started_ms = stmt_i64(q, 18),
		.status = action_status_parse(stmt_text(q, 19)),
		.updated_ms = stmt_i64(q, 20),
		.status_ms = stmt_i64(q, 21),
		.updated_by = text_column(q, 22),
		.summary = text_column(q, 23),
		.external_id = text_column(q, 24),
		.external_url = text_column(q, 25),
		.percent = stmt_i64(q, 26),
		.error_code = text_column(q, 27),
		.error_message = text_column(q, 28),
		.revision_id = text_column(q, 29),
		.revision_change_id = text_column(q, 30),
		.revision_summary = text_column(q, 31),
		.revision_url = text_column(q, 32),
		.revision_created_ms = stmt_i64(q, 33),
		.condition = stmt_i64(q, 35),
	};

	row_uuid(q, 1, a.id);
	row_uuid(q, 3, a.execution_id);
	if (read_documents(q, &a, err) != 0) {
		action_execution_done(&a);
		return -1;
	}
	*ret = a;
	return 0;
}

static int read_one(struct stmt *q, struct action_execution *ret, bool *ret_found,
		    struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0 || (rc == 1 && read_row(q, ret, err) != 0))
		return -1;
	*ret_found = rc == 1;
	return 0;
}

static int read_list(struct stmt *q, struct action_execution_list *ret,
		     struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list list = { 0 };
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
	list = (struct action_execution_list){ 0 };
	return 0;
}

/* NULL stays NULL. */
static const char *document(struct json_object *doc)
{
	return doc ? json_text(doc) : NULL;
}

int action_executions_insert(struct store *s, struct action_execution *a,
			     struct mh_err *err)
{
	if (store_exec(s, NULL, err,
		       "INSERT INTO action_executions (id, execution, stage_execution, "
		       "pipeline,"
		       " stage, action, locked, type, role_arn, region, namespace, "
		       "config_masked,"
		       " resolved_masked, inputs, outputs, started_ms, status,"
		       " updated_ms, status_ms, condition)"
		       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		       "?, ?)",
		       "siisssdssssssssisiii", a->id, a->execution, a->stage_execution,
		       a->pipeline, a->stage, a->action, (int)a->locked,
		       json_text(a->type), a->role_arn, a->region, a->name_space,
		       json_text(a->config_masked), document(a->resolved_masked),
		       json_text(a->inputs), json_text(a->outputs), a->started_ms,
		       action_status_name(a->status), a->updated_ms, a->status_ms,
		       a->condition) != 0)
		return -1;
	a->seq = store_last_rowid(s);
	return 0;
}

int action_executions_save(struct store *s, const struct action_execution *a,
			   struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"UPDATE action_executions SET status = ?, updated_ms = ?, status_ms = ?,"
		" updated_by = ?, summary = ?, external_id = ?, external_url = ?, "
		"percent = ?,"
		" error_code = ?, error_message = ?, revision_id = ?, revision_change_id "
		"= ?,"
		" revision_summary = ?, revision_url = ?, revision_created_ms = ?, "
		"variables = ?"
		" WHERE seq = ?",
		"siissssissssssisi", action_status_name(a->status), a->updated_ms,
		a->status_ms, a->updated_by, a->summary, a->external_id, a->external_url,
		a->percent, a->error_code, a->error_message, a->revision_id,
		a->revision_change_id, a->revision_summary, a->revision_url,
		a->revision_created_ms, document(a->variables), a->seq);
}

int action_executions_get(struct store *s, int64_t seq, struct action_execution *ret,
			  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	bool found = false;

	store_query(s, &q, "SELECT " COLUMNS " WHERE a.seq = ?", "i", seq);
	if (read_one(&q, ret, &found, err) != 0)
		return -1;
	return found ? 0
		     : mh_err_set(err, MH_E_NOTFOUND, "no action execution number %lld",
				  (long long)seq);
}

int action_executions_exists(struct store *s, const char *pipeline, const char *id,
			     bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT 1 FROM action_executions WHERE id = ?"
		    " AND pipeline = coalesce(?, pipeline)",
		    "ss", id, pipeline);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

int action_executions_of_stage(struct store *s, int64_t stage_execution, int64_t from_seq,
			       struct action_execution_list *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS
		    " WHERE a.stage_execution = ? AND a.seq >= ? AND a.condition = 0"
		    " ORDER BY a.seq",
		    "ii", stage_execution, from_seq);
	return read_list(&q, ret, err);
}

int action_executions_next_seq(struct store *s, int64_t *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT coalesce(max(seq), 0) + 1 FROM action_executions", "");
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret = stmt_i64(&q, 0);
	return 0;
}

int action_executions_succeeded(struct store *s, int64_t execution,
				struct action_execution_list *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS " WHERE a.execution = ? AND a.status = 'Succeeded'"
		    " AND a.condition = 0 ORDER BY a.seq",
		    "i", execution);
	return read_list(&q, ret, err);
}

int action_executions_latest(struct store *s, const char *pipeline, const char *stage,
			     const char *action, struct action_execution *ret,
			     bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS
		    " WHERE a.pipeline = ? AND a.stage = ? AND a.action = ?"
		    " AND a.locked AND a.condition = 0 ORDER BY a.seq DESC LIMIT 1",
		    "sss", pipeline, stage, action);
	return read_one(&q, ret, ret_found, err);
}

#define PAGE(of, which)                                                                  \
	"SELECT " COLUMNS " WHERE a." of " = ? AND a.seq >= ? AND a.seq < ?"             \
	" AND a.condition " which " ORDER BY a.seq DESC LIMIT ?"

/* The newest first, of one execution or of all of the pipeline's. */
static int read_page(struct store *s, const char *of_execution, const char *of_pipeline,
		     const char *pipeline, int64_t execution, int64_t from_seq,
		     int64_t before_seq, int64_t limit, struct action_execution_list *ret,
		     struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int64_t before = before_seq > 0 ? before_seq : INT64_MAX;

	if (execution)
		store_query(s, &q, of_execution, "iiii", execution, from_seq, before,
			    limit);
	else
		store_query(s, &q, of_pipeline, "siii", pipeline, from_seq, before,
			    limit);
	return read_list(&q, ret, err);
}

int action_executions_page(struct store *s, const char *pipeline, int64_t execution,
			   int64_t from_seq, int64_t before_seq, int64_t limit,
			   struct action_execution_list *ret, struct mh_err *err)
{
	return read_page(s, PAGE("execution", "= 0"), PAGE("pipeline", "= 0"), pipeline,
			 execution, from_seq, before_seq, limit, ret, err);
}

/* ---- rules ---- */

int action_executions_of_condition(struct store *s, int64_t condition,
				   struct action_execution_list *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS
		    " WHERE a.condition = ? AND a.condition <> 0 ORDER BY a.seq",
		    "i", condition);
	return read_list(&q, ret, err);
}

int action_executions_rules_running(struct store *s, struct action_execution_list *ret,
				    struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q,
		    "SELECT " COLUMNS
		    " WHERE a.condition <> 0 AND a.status = 'InProgress'"
		    " ORDER BY a.seq",
		    "");
	return read_list(&q, ret, err);
}

int action_executions_rules_page(struct store *s, const char *pipeline, int64_t execution,
				 int64_t from_seq, int64_t before_seq, int64_t limit,
				 struct action_execution_list *ret, struct mh_err *err)
{
	return read_page(s, PAGE("execution", "<> 0"), PAGE("pipeline", "<> 0"), pipeline,
			 execution, from_seq, before_seq, limit, ret, err);
}

/* ---- artifacts ---- */

void artifact_done(struct artifact *a)
{
	free(a->bucket);
	free(a->key);
	free(a->revision);
	*a = (struct artifact){ 0 };
}

int artifacts_put(struct store *s, int64_t execution, const char *name,
		  const char *bucket, const char *key, const char *revision,
		  struct mh_err *err)
{
	return store_exec(
		s, NULL, err,
		"INSERT OR REPLACE INTO artifacts (execution, name, bucket, key,"
		" revision) VALUES (?, ?, ?, ?, ?)",
		"issss", execution, name, bucket, key, revision);
}

int artifacts_copy(struct store *s, int64_t from_execution, int64_t to_execution,
		   struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT INTO artifacts (execution, name, bucket, key, revision)"
			  " SELECT ?, name, bucket, key, revision FROM artifacts"
			  " WHERE execution = ?",
			  "ii", to_execution, from_execution);
}

int artifacts_get(struct store *s, int64_t execution, const char *name,
		  struct artifact *ret, bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT bucket, key, revision FROM artifacts WHERE execution = ? AND "
		    "name = ?",
		    "is", execution, name);
	rc = stmt_next(&q, err);
	if (rc == 1)
		*ret = (struct artifact){
			.bucket = text_column(&q, 0),
			.key = text_column(&q, 1),
			.revision = text_column(&q, 2),
		};
	*ret_found = rc == 1;
	return rc < 0 ? -1 : 0;
}
