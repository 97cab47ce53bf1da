#include "agent/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define APPLICATION_ID 0x4d484c31 /* "MHL1" in the file's header */
#define BUSY_MS        5000 /* a reader (millhand jobs) is never long */

/* --- the columns ------------------------------------------------------------ */

enum column_kind {
	COL_I64,
	COL_INT,
	COL_BOOL,
	COL_CHARS, /* char[size] */
	COL_TEXT, /* char *, owned */
	COL_STATE,
	COL_END,
	COL_KIND,
};

struct column {
	const char *name, *type;
	enum column_kind kind;
	size_t offset, size;
};

#define FIELD(f) offsetof(struct job_record, f), sizeof(((struct job_record *)0)->f)

static const struct column columns[] = {
	{ "n", "INTEGER PRIMARY KEY AUTOINCREMENT", COL_I64, FIELD(n) },
	{ "job_id", "TEXT NOT NULL", COL_CHARS, FIELD(id) },
	{ "entry", "TEXT NOT NULL", COL_TEXT, FIELD(entry) },
	{ "nonce", "TEXT NOT NULL", COL_CHARS, FIELD(nonce) },
	{ "state", "TEXT NOT NULL", COL_STATE, FIELD(state) },
	{ "end", "TEXT NOT NULL", COL_END, FIELD(end) },
	{ "owned", "INTEGER NOT NULL", COL_BOOL, FIELD(owned) },
	{ "put_doubt", "INTEGER NOT NULL", COL_BOOL, FIELD(put_doubt) },
	{ "ack_attempts", "INTEGER NOT NULL", COL_INT, FIELD(ack_attempts) },
	{ "put_attempts", "INTEGER NOT NULL", COL_INT, FIELD(put_attempts) },
	{ "runs", "INTEGER NOT NULL", COL_INT, FIELD(runs) },
	{ "offered_ms", "INTEGER NOT NULL", COL_I64, FIELD(offered_ms) },
	{ "owned_ms", "INTEGER NOT NULL", COL_I64, FIELD(owned_ms) },
	{ "deadline_ms", "INTEGER NOT NULL", COL_I64, FIELD(deadline_ms) },
	{ "started_ms", "INTEGER NOT NULL", COL_I64, FIELD(started_ms) },
	{ "outcome_ms", "INTEGER NOT NULL", COL_I64, FIELD(outcome_ms) },
	{ "due_ms", "INTEGER NOT NULL", COL_I64, FIELD(due_ms) },
	{ "closed_ms", "INTEGER NOT NULL", COL_I64, FIELD(closed_ms) },
	{ "boot_id", "TEXT NOT NULL", COL_CHARS, FIELD(boot_id) },
	{ "outcome", "TEXT", COL_TEXT, FIELD(outcome) },
	{ "kind", "TEXT NOT NULL", COL_KIND, FIELD(kind) },
	{ "failure", "TEXT NOT NULL", COL_CHARS, FIELD(failure) },
	{ "pipeline", "TEXT NOT NULL", COL_CHARS, FIELD(pipeline) },
	{ "stage", "TEXT NOT NULL", COL_CHARS, FIELD(stage) },
	{ "action", "TEXT NOT NULL", COL_CHARS, FIELD(action) },
	{ "execution_id", "TEXT NOT NULL", COL_CHARS, FIELD(execution_id) },
	{ "action_execution_id", "TEXT NOT NULL", COL_CHARS, FIELD(action_execution_id) },
	{ "client_id", "TEXT NOT NULL DEFAULT ''", COL_CHARS, FIELD(client_id) },
};

struct ledger {
	sqlite3 *db;
	sqlite3_stmt *put, *was_ours, *begin, *commit;
	char *path;
	int lock_fd;
	int64_t next_n;
	bool relaxed; /* synchronous=NORMAL at present */
};

/* What only a person can mend. */
static int damaged(const struct ledger *l, struct mh_err *err)
{
	if (err->cls != MH_E_PROTO)
		return -1;
	if (!str_starts_with(err->text, l->path))
		(void)mh_err_wrap(err, "%s", l->path);
	return mh_err_wrap(err, "the ledger is damaged, or none: restore it, or move it "
				"away and forget the jobs it holds");
}

static int db_error(struct ledger *l, struct mh_err *err, const char *doing)
{
	int code = sqlite3_errcode(l->db);
	enum mh_err_class cls = MH_E_SYS;

	/* the index of its log cannot grow: so a full disk shows when it is opened */
	if (sqlite3_extended_errcode(l->db) == SQLITE_IOERR_SHMSIZE)
		return mh_err_set(err, MH_E_FULL, "%s: %s: the disk is full", l->path,
				  doing);
	if (code == SQLITE_FULL)
		cls = MH_E_FULL;
	else if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR)
		cls = MH_E_PROTO; /* our SQL is fixed: an error in it is in the tables */
	return mh_err_set(err, cls, "%s: %s: %s", l->path, doing, sqlite3_errmsg(l->db));
}

static int run_as(struct ledger *l, const char *doing, const char *sql,
		  struct mh_err *err)
{
	if (sqlite3_exec(l->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(l, err, doing);
	return 0;
}

static int run(struct ledger *l, const char *sql, struct mh_err *err)
{
	return run_as(l, sql, sql, err);
}

static int prepare(struct ledger *l, const char *sql, sqlite3_stmt **ret,
		   struct mh_err *err)
{
	if (sqlite3_prepare_v2(l->db, sql, -1, ret, NULL) != SQLITE_OK)
		return db_error(l, err, sql);
	return 0;
}

/* A statement that is run again and again, without rows; prepared when there is none. */
static int step(struct ledger *l, const char *sql, sqlite3_stmt **st, struct mh_err *err)
{
	int rc;

	if (!*st && prepare(l, sql, st, err) != 0)
		return -1;
	rc = sqlite3_step(*st);
	if (rc != SQLITE_DONE)
		(void)db_error(l, err, sql);
	(void)sqlite3_reset(*st); /* repeats the step's error, which is told already */
	return rc == SQLITE_DONE ? 0 : -1;
}

/* One number, or 0 when there is no row. */
static int ask_i64(struct ledger *l, const char *sql, int64_t *ret, struct mh_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (prepare(l, sql, &st, err) != 0)
		return -1;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		*ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	else
		(void)db_error(l, err, sql);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* --- opening ------------------------------------------------------------------ */

static int create_schema(struct ledger *l, struct mh_err *err)
{
	CLEAN(buf) struct buf sql = BUF_INIT(8192);

	buf_puts(&sql, "BEGIN IMMEDIATE; CREATE TABLE jobs(");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, "%s\"%s\" %s", i ? ", " : "", columns[i].name,
			   columns[i].type);
	buf_printf(&sql,
		   "); CREATE INDEX jobs_by_id ON jobs(job_id);"
		   " CREATE INDEX jobs_open ON jobs(state) WHERE state <> 'closed';"
		   " PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
		   APPLICATION_ID, LEDGER_VERSION);
	return run_as(l, "make a new ledger", buf_text(&sql), err);
}

/* How many columns each version had; later ones stand after them. */
static const size_t columns_of[LEDGER_VERSION + 1] = {
	[1] = 27, [2] = ARRAY_LEN(columns)
};

/* Every column of later versions has a default: rows of before stay as they are. */
static int add_columns(struct ledger *l, int64_t version, struct mh_err *err)
{
	CLEAN(buf) struct buf sql = BUF_INIT(8192);

	buf_puts(&sql, "BEGIN IMMEDIATE;");
	for (size_t i = columns_of[version]; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, " ALTER TABLE jobs ADD COLUMN \"%s\" %s;",
			   columns[i].name, columns[i].type);
	buf_printf(&sql, " PRAGMA user_version=%d; COMMIT;", LEDGER_VERSION);
	if (run_as(l, "bring an older ledger up to date", buf_text(&sql), err) == 0)
		return 0;
	ledger_rollback(l);
	return -1;
}

static int check_version(struct ledger *l, struct mh_err *err)
{
	int64_t version, app, tables;

	if (ask_i64(l, "PRAGMA user_version", &version, err) != 0 ||
	    ask_i64(l, "PRAGMA application_id", &app, err) != 0 ||
	    ask_i64(l, "SELECT count(*) FROM sqlite_master", &tables, err) != 0)
		return damaged(l, err);
	if (version == 0 && app == 0 && tables == 0)
		return create_schema(l, err);
	if (app != APPLICATION_ID)
		return mh_err_set(err, MH_E_VERSION,
				  "%s: is a database, but no ledger of millhand-agent; "
				  "name another "
				  "state_dir",
				  l->path);
	if (version >= 1 && version < LEDGER_VERSION)
		return add_columns(l, version, err);
	if (version != LEDGER_VERSION)
		return mh_err_set(
			err, MH_E_VERSION,
			"%s: made by %s version of millhand-agent (ledger version %lld, "
			"this program knows %d); run that version, or name another "
			"state_dir",
			l->path, version > LEDGER_VERSION ? "a newer" : "an older",
			(long long)version, LEDGER_VERSION);
	return 0;
}

static int prepare_put(struct ledger *l, struct mh_err *err)
{
	CLEAN(buf) struct buf sql = BUF_INIT(8192);

	buf_puts(&sql, "INSERT INTO jobs(");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, "%s\"%s\"", i ? "," : "", columns[i].name);
	buf_puts(&sql, ") VALUES(");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_puts(&sql, i ? ",?" : "?");
	buf_puts(&sql, ") ON CONFLICT(n) DO UPDATE SET ");
	for (size_t i = 1; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, "%s\"%s\"=excluded.\"%s\"", i > 1 ? "," : "",
			   columns[i].name, columns[i].name);
	if (sqlite3_prepare_v2(l->db, buf_text(&sql), -1, &l->put, NULL) != SQLITE_OK)
		return db_error(l, err, "its table is not as expected");
	return 0;
}

static int open_database(struct ledger *l, struct mh_err *err)
{
	int fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return mh_err_sys(err, "open %s", l->path);
	(void)close(fd); /* it only had to exist, with that mode */
	if (sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return db_error(l, err, "open");
	sqlite3_extended_result_codes(l->db, 0);
	sqlite3_busy_timeout(l->db, BUSY_MS);
	/* Before anything is written: a ledger of another version stays as it is. */
	if (check_version(l, err) != 0)
		return -1;
	return run(l,
		   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
		   "secure_delete=ON",
		   err);
}

static int take_lock(struct ledger *l, const char *state_dir, struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("%s/agent.lock", state_dir);
	pid_t holder = 0;
	bool got;

	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock_fd < 0)
		return mh_err_sys(err, "state_dir, as user %u: open %s",
				  (unsigned)geteuid(), path);
	if (fs_lock(l->lock_fd, &got, err) != 0)
		return mh_err_wrap(err, "%s", path);
	if (got)
		return 0;
	if (fs_lock_holder(l->lock_fd, &holder, err) != 0)
		return -1;
	return mh_err_set(err, MH_E_DENIED,
			  "%s: another agent (pid %ld) uses this state directory",
			  state_dir, (long)holder);
}

int ledger_open(const char *state_dir, struct ledger **ret, struct mh_err *err)
{
	struct ledger *l;

	if (fs_mkdir_p(state_dir, 0700, err) != 0)
		return mh_err_wrap(err, "state_dir, as user %u", (unsigned)geteuid());
	l = mh_alloc(sizeof(*l));
	l->lock_fd = -1;
	l->path = mh_format("%s/ledger.db", state_dir);
	if (take_lock(l, state_dir, err) != 0 || open_database(l, err) != 0 ||
	    prepare_put(l, err) != 0 ||
	    prepare(l,
		    "SELECT 1 FROM jobs WHERE job_id=? AND owned<>0 AND state='closed' "
		    "LIMIT 1",
		    &l->was_ours, err) != 0 ||
	    ask_i64(l, "SELECT seq FROM sqlite_sequence WHERE name='jobs'", &l->next_n,
		    err) != 0) {
		ledger_close(l);
		return -1;
	}
	l->next_n++;
	*ret = l;
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	sqlite3_finalize(l->put);
	sqlite3_finalize(l->was_ours);
	sqlite3_finalize(l->begin);
	sqlite3_finalize(l->commit);
	(void)sqlite3_close(l->db); /* cannot fail: no statement is left */
	if (l->lock_fd >= 0)
		(void)close(l->lock_fd); /* gives the lock back */
	free(l->path);
	free(l);
}

int64_t ledger_next_n(struct ledger *l)
{
	return l->next_n++;
}

void ledger_skip_n(struct ledger *l, int64_t n)
{
	if (l->next_n <= n)
		l->next_n = n + 1;
}

/* --- writing -------------------------------------------------------------------- */

static int bind(sqlite3_stmt *st, int at, const struct column *c, const void *field)
{
	const char *text = NULL;

	switch (c->kind) {
	case COL_I64:
		return sqlite3_bind_int64(st, at, *(const int64_t *)field);
	case COL_INT:
		return sqlite3_bind_int(st, at, *(const int *)field);
	case COL_BOOL:
		return sqlite3_bind_int(st, at, *(const bool *)field);
	case COL_CHARS:
		text = field;
		break;
	case COL_TEXT:
		text = *(char *const *)field;
		break;
	case COL_STATE:
		text = job_state_name(*(const enum job_state *)field);
		break;
	case COL_END:
		text = job_end_name(*(const enum job_end *)field);
		break;
	case COL_KIND:
		text = outcome_kind_name(*(const enum outcome_kind *)field);
		break;
	}
	return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

int ledger_begin(struct ledger *l, bool durable, struct mh_err *err)
{
	/* Outside a transaction: SQLite refuses to change it inside one. */
	if (l->relaxed != !durable) {
		if (run(l,
			durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
			err) != 0)
			return -1;
		l->relaxed = !durable;
	}
	return step(l, "BEGIN IMMEDIATE", &l->begin, err);
}

int ledger_put(struct ledger *l, const struct job_record *rec, struct mh_err *err)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(columns) && rc == SQLITE_OK; i++)
		rc = bind(l->put, (int)i + 1, &columns[i],
			  (const char *)rec + columns[i].offset);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(l->put);
	if (rc != SQLITE_DONE)
		(void)db_error(l, err, "write a job");
	/* Repeats the step's error, which is told already. */
	(void)sqlite3_reset(l->put);
	(void)sqlite3_clear_bindings(l->put);
	return rc == SQLITE_DONE ? 0 : -1;
}

int ledger_commit(struct ledger *l, struct mh_err *err)
{
	FAULT_POINT("commit.before");
	if (step(l, "COMMIT", &l->commit, err) != 0)
		return -1;
	FAULT_POINT("commit.after");
	return 0;
}

void ledger_rollback(struct ledger *l)
{
	/* Some errors roll back by themselves; then there is nothing to do. */
	if (!sqlite3_get_autocommit(l->db))
		(void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
}

/* --- reading --------------------------------------------------------------------- */

static int read_enum(const struct column *c, const char *text, void *field,
		     struct mh_err *err)
{
	bool known = false;

	if (c->kind == COL_STATE)
		known = job_state_parse(text, field);
	else if (c->kind == COL_END)
		known = job_end_parse(text, field);
	else if (c->kind == COL_KIND)
		known = outcome_kind_parse(text, field);
	if (!known)
		return mh_err_set(err, MH_E_PROTO, "ledger: %s '%s' is not known",
				  c->name, text);
	return 0;
}

static int read_column(sqlite3_stmt *st, int at, const struct column *c, void *field,
		       struct mh_err *err)
{
	const char *text = (const char *)sqlite3_column_text(st, at);

	switch (c->kind) {
	case COL_I64:
		*(int64_t *)field = sqlite3_column_int64(st, at);
		return 0;
	case COL_INT:
		*(int *)field = sqlite3_column_int(st, at);
		return 0;
	case COL_BOOL:
		*(bool *)field = sqlite3_column_int(st, at) != 0;
		return 0;
	case COL_CHARS:
		if (!text || strlen(text) >= c->size)
			return mh_err_set(err, MH_E_PROTO,
					  "ledger: %s is missing or too long", c->name);
		memcpy(field, text, strlen(text) + 1);
		return 0;
	case COL_TEXT:
		*(char **)field = mh_strdup(text);
		return 0;
	case COL_STATE:
	case COL_END:
	case COL_KIND:
		break;
	}
	return read_enum(c, text ? text : "", field, err);
}

/* Whether a row is one that we wrote: what follows from it is done unasked. */
static int check_record(const struct job_record *rec, struct mh_err *err)
{
	bool needs_outcome = rec->state == JOB_STORING || rec->state == JOB_OUTCOME ||
			     rec->state == JOB_WAITING || rec->state == JOB_REPORTING;
	CLEAN(json) struct json_object *doc = NULL;
	bool id_ok = *rec->client_id ? *rec->id && str_is_uuid(rec->client_id)
				     : str_is_uuid(rec->id);

	if (rec->n <= 0 || !rec->entry || !id_ok)
		return mh_err_set(err, MH_E_PROTO, "ledger: job %lld is damaged",
				  (long long)rec->n);
	if (needs_outcome && !rec->outcome)
		return mh_err_set(err, MH_E_PROTO, "ledger: job %lld has no outcome",
				  (long long)rec->n);
	if (needs_outcome && outcome_doc(rec->outcome, &doc, err) != 0)
		return mh_err_wrap(err, "ledger: job %lld", (long long)rec->n);
	return 0;
}

static int read_record(sqlite3_stmt *st, struct job_record *ret, struct mh_err *err)
{
	struct job_record rec = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (read_column(st, (int)i, &columns[i], (char *)&rec + columns[i].offset,
				err) != 0) {
			job_record_done(&rec);
			return -1;
		}
	}
	if (check_record(&rec, err) != 0) {
		job_record_done(&rec);
		return -1;
	}
	*ret = rec;
	return 0;
}

static int load_rows(struct ledger *l, sqlite3_stmt *st, struct job_record **rows,
		     size_t *count, struct mh_err *err)
{
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		*rows = mh_realloc(*rows, (*count + 1) * sizeof(**rows));
		if (read_record(st, &(*rows)[*count], err) != 0)
			return -1;
		++*count;
	}
	return rc == SQLITE_DONE ? 0 : db_error(l, err, "read the jobs");
}

int ledger_load(struct ledger *l, struct job_record **ret, size_t *ret_count,
		struct mh_err *err)
{
	CLEAN(buf) struct buf sql = BUF_INIT(8192);
	struct job_record *rows = NULL;
	sqlite3_stmt *st = NULL;
	size_t count = 0;
	int rc;

	buf_puts(&sql, "SELECT ");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, "%s\"%s\"", i ? "," : "", columns[i].name);
	buf_puts(&sql, " FROM jobs WHERE state <> 'closed' ORDER BY n");
	if (sqlite3_prepare_v2(l->db, buf_text(&sql), -1, &st, NULL) != SQLITE_OK)
		return db_error(l, err, "its table is not as expected");
	rc = load_rows(l, st, &rows, &count, err);
	sqlite3_finalize(st);
	if (rc != 0) {
		while (count > 0)
			job_record_done(&rows[--count]);
		free(rows);
		return damaged(l, err);
	}
	*ret = rows;
	*ret_count = count;
	return 0;
}

int ledger_was_ours(struct ledger *l, const char *job_id, bool *ret, struct mh_err *err)
{
	int rc;

	(void)sqlite3_bind_text(l->was_ours, 1, job_id, -1, SQLITE_STATIC);
	rc = sqlite3_step(l->was_ours);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		*ret = rc == SQLITE_ROW;
	else
		(void)db_error(l, err, "look for a job");
	(void)sqlite3_reset(l->was_ours); /* repeats the step's error */
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int ledger_finished(struct ledger *l, enum outcome_kind kind, int64_t since_ms,
		    int64_t *ret_n, size_t max, size_t *ret_count, struct mh_err *err)
{
	sqlite3_stmt *st = NULL;
	size_t count = 0;
	int rc;

	if (prepare(l,
		    "SELECT n FROM jobs WHERE state='closed' AND kind=? AND runs>0 AND "
		    "closed_ms>=? ORDER BY n DESC LIMIT ?",
		    &st, err) != 0)
		return -1;
	(void)sqlite3_bind_text(st, 1, outcome_kind_name(kind), -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 2, since_ms);
	(void)sqlite3_bind_int64(st, 3, (int64_t)max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		ret_n[count++] = sqlite3_column_int64(st, 0);
	if (rc != SQLITE_DONE)
		(void)db_error(l, err, "list finished jobs");
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return -1;
	*ret_count = count;
	return 0;
}

int ledger_prune(struct ledger *l, int64_t before_ms, int64_t keep, struct mh_err *err)
{
	CLEAN(free)
	char *sql = mh_format(
		"DELETE FROM jobs WHERE state='closed' AND closed_ms < %lld AND n NOT IN"
		" (SELECT n FROM jobs WHERE state='closed' ORDER BY n DESC LIMIT %lld)",
		(long long)before_ms, (long long)keep);

	return run(l, sql, err);
}
