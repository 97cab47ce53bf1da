#include "emulator/store/webhooks.h"

const char *const webhooks_schema = "CREATE TABLE webhooks ("
				    " name TEXT PRIMARY KEY,"
				    " token TEXT NOT NULL UNIQUE,"
				    " definition TEXT NOT NULL,"
				    " secret TEXT,"
				    " tags TEXT,"
				    " error_code TEXT,"
				    " error_message TEXT,"
				    " triggered_ms INTEGER NOT NULL DEFAULT 0"
				    ") WITHOUT ROWID;";

#define COLUMNS                                                                          \
	"name, token, definition, secret, tags, error_code, error_message, triggered_ms"

void webhook_done(struct webhook *w)
{
	free(w->name);
	free(w->token);
	free(w->definition);
	free(w->secret);
	free(w->tags);
	free(w->error_code);
	free(w->error_message);
	*w = (struct webhook){ 0 };
}

int webhooks_next(struct stmt *q, struct webhook *ret, bool *ret_found,
		  struct mh_err *err)
{
	int rc = stmt_next(q, err);

	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	if (rc == 1)
		*ret = (struct webhook){
			.name = mh_strdup(stmt_text(q, 0)),
			.token = mh_strdup(stmt_text(q, 1)),
			.definition = mh_strdup(stmt_text(q, 2)),
			.secret = mh_strdup(stmt_text(q, 3)),
			.tags = mh_strdup(stmt_text(q, 4)),
			.error_code = mh_strdup(stmt_text(q, 5)),
			.error_message = mh_strdup(stmt_text(q, 6)),
			.triggered_ms = stmt_i64(q, 7),
		};
	return 0;
}

int webhooks_find(struct store *s, const char *name, struct webhook *ret, bool *ret_found,
		  struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT " COLUMNS " FROM webhooks WHERE name = ?", "s", name);
	return webhooks_next(&q, ret, ret_found, err);
}

int webhooks_find_token(struct store *s, const char *token, struct webhook *ret,
			bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT " COLUMNS " FROM webhooks WHERE token = ?", "s",
		    token);
	return webhooks_next(&q, ret, ret_found, err);
}

int webhooks_save(struct store *s, const struct webhook *w, struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "INSERT OR REPLACE INTO webhooks (" COLUMNS
			  ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			  "sssssssi", w->name, w->token, w->definition, w->secret,
			  w->tags, w->error_code, w->error_message, w->triggered_ms);
}

int webhooks_delete(struct store *s, const char *name, struct mh_err *err)
{
	return store_exec(s, NULL, err, "DELETE FROM webhooks WHERE name = ?", "s", name);
}

int webhooks_count(struct store *s, int64_t *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, "SELECT count(*) FROM webhooks", "");
	if (stmt_next(&q, err) < 0)
		return -1;
	*ret = stmt_i64(&q, 0);
	return 0;
}

int webhooks_any_sealed(struct store *s, bool *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT 1 FROM webhooks WHERE secret IS NOT NULL LIMIT 1", "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1;
	return 0;
}

void webhooks_list(struct store *s, struct stmt *q, const char *after, int64_t limit)
{
	store_query(s, q,
		    "SELECT " COLUMNS " FROM webhooks WHERE name > ? ORDER BY name"
		    " LIMIT ?",
		    "si", after, limit);
}
