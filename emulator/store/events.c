/* The table of events. */
#include "emulator/store/events.h"

#include <string.h>

#include "emulator/store/rows.h"

/* AUTOINCREMENT: a number is not given again when the last rows are gone. */
const char *const events_schema = "CREATE TABLE events ("
				  " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
				  " topic TEXT,"
				  " body TEXT NOT NULL);";

void event_list_done(struct event_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].topic);
		free(list->items[i].body);
	}
	free(list->items);
	*list = (struct event_list){ 0 };
}

int events_insert(struct store *s, const char *topic, const char *body, int64_t *ret_seq,
		  struct mh_err *err)
{
	if (store_exec(s, NULL, err, "INSERT INTO events (topic, body) VALUES (?, ?)",
		       "ss", topic, body) != 0)
		return -1;
	*ret_seq = store_last_rowid(s);
	return 0;
}

int events_after(struct store *s, int64_t after_seq, int64_t limit,
		 struct event_list *ret, struct mh_err *err)
{
	CLEAN(event_list) struct event_list list = { 0 };
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q,
		    "SELECT seq, topic, body FROM events WHERE seq > ? ORDER BY seq"
		    " LIMIT ?",
		    "ii", after_seq, limit);
	while ((rc = stmt_next(&q, err)) == 1) {
		list.items = row_room(list.items, list.count, sizeof(*list.items));
		list.items[list.count++] = (struct event){
			.seq = stmt_i64(&q, 0),
			.topic = mh_strdup(stmt_text(&q, 1)),
			.body = mh_strdup(stmt_text(&q, 2)),
		};
	}
	if (rc < 0)
		return -1;
	*ret = list;
	list = (struct event_list){ 0 };
	return 0;
}

int events_last(struct store *s, int64_t *ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	store_query(s, &q, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", "");
	rc = stmt_next(&q, err);
	if (rc < 0)
		return -1;
	*ret = rc == 1 ? stmt_i64(&q, 0) : 0;
	return 0;
}

int events_prune(struct store *s, int64_t keep_after, int64_t drop_upto,
		 struct mh_err *err)
{
	return store_exec(s, NULL, err,
			  "DELETE FROM events WHERE seq <= max(?, min(?, (SELECT"
			  " coalesce(min(value), 9223372036854775807) FROM marks WHERE"
			  " name GLOB 'events:*')))",
			  "ii", drop_upto, keep_after);
}

int events_skip_to(struct store *s, int64_t seq, struct mh_err *err)
{
	int64_t changed = 0;

	if (store_exec(s, &changed, err,
		       "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = "
		       "'events'",
		       "i", seq) != 0)
		return -1;
	return changed > 0 || seq == 0
		       ? 0
		       : store_exec(s, NULL, err,
				    "INSERT INTO sqlite_sequence (name, seq) VALUES"
				    " ('events', ?)",
				    "i", seq);
}

/* One that is in the table and not among names; NULL: there is none. */
static int find_stray(struct store *s, const char *const *names, char **ret,
		      struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	*ret = NULL;
	store_query(s, &q, "SELECT name FROM marks WHERE name GLOB 'events:*'", "");
	while ((rc = stmt_next(&q, err)) == 1) {
		size_t i = 0;

		while (names[i] && strcmp(names[i], stmt_text(&q, 0)) != 0)
			i++;
		if (names[i])
			continue;
		*ret = mh_strdup(stmt_text(&q, 0));
		return 0;
	}
	return rc;
}

int events_forget_marks(struct store *s, const char *const *names, struct mh_err *err)
{
	for (;;) {
		CLEAN(free) char *stray = NULL;

		if (find_stray(s, names, &stray, err) != 0)
			return -1;
		if (!stray)
			return 0;
		if (store_exec(s, NULL, err, "DELETE FROM marks WHERE name = ?", "s",
			       stray) != 0)
			return -1;
	}
}
