#include "emulator/store/tags.h"

void tagged_done(struct tagged *t)
{
	free(t->name);
	free(t->category);
	free(t->provider);
	free(t->version);
	*t = (struct tagged){ 0 };
}

static void query(struct store *s, const struct tagged *t, struct stmt *q)
{
	switch (t->kind) {
	case TAGGED_PIPELINE:
		store_query(s, q, "SELECT tags FROM pipelines WHERE name = ?", "s",
			    t->name);
		return;
	case TAGGED_ACTION_TYPE:
		store_query(s, q,
			    "SELECT tags FROM action_types WHERE category = ?"
			    " AND provider = ? AND version = ? AND deleted_ms = 0",
			    "sss", t->category, t->provider, t->version);
		return;
	case TAGGED_WEBHOOK:
		store_query(s, q, "SELECT tags FROM webhooks WHERE name = ?", "s",
			    t->name);
		return;
	}
	MH_BUG("no such kind");
}

int store_tags_get(struct store *s, const struct tagged *t, char **ret_tags,
		   bool *ret_found, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	query(s, t, &q);
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret_found = rc == 1;
	*ret_tags = rc == 1 ? mh_strdup(stmt_text(&q, 0)) : NULL;
	return 0;
}

int store_tags_set(struct store *s, const struct tagged *t, const char *tags,
		   struct mh_err *err)
{
	switch (t->kind) {
	case TAGGED_PIPELINE:
		return store_exec(s, NULL, err,
				  "UPDATE pipelines SET tags = ? WHERE name = ?", "ss",
				  tags, t->name);
	case TAGGED_ACTION_TYPE:
		return store_exec(s, NULL, err,
				  "UPDATE action_types SET tags = ? WHERE category = ?"
				  " AND provider = ? AND version = ?",
				  "ssss", tags, t->category, t->provider, t->version);
	case TAGGED_WEBHOOK:
		return store_exec(s, NULL, err,
				  "UPDATE webhooks SET tags = ? WHERE name = ?", "ss",
				  tags, t->name);
	}
	MH_BUG("no such kind");
}
