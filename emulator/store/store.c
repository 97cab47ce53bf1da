/* The store's ground: opening, transactions, statements. */
#include "emulator/store/store.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STORE_APPLICATION_ID 0x4d48454d /* "MHEM" */
#define STORE_BUSY_MS        5000 /* somebody looks into the file with another program */
#define STORE_CACHE_MAX      512 /* distinct SQL literals of the program */

struct cached_stmt {
	const char *sql; /* the literal's address is the key */
	sqlite3_stmt *handle;
	bool in_use;
};

struct store {
	sqlite3 *db;
	struct cached_stmt cache[STORE_CACHE_MAX]; /* open addressing by address */
	size_t cache_count;
	char prepare_error[MH_ERR_TEXT_MAX]; /* of the last statement that would not
						prepare */
};

static int fail_sqlite(struct store *s, int rc, struct mh_err *err, const char *what)
{
	int primary = rc & 0xff;

	/* the index of its log cannot grow: so a full disk shows when it is opened */
	if (rc == SQLITE_IOERR_SHMSIZE)
		return mh_err_set(err, MH_E_FULL, "%s: the disk is full (SQLite %d)",
				  what, rc);
	return mh_err_set(err, primary == SQLITE_FULL ? MH_E_FULL : MH_E_SYS,
			  "%s: %s (SQLite %d)", what,
			  s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), rc);
}

static int run_sql(struct store *s, const char *sql, struct mh_err *err)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail_sqlite(s, rc, err, sql);
}

/* ---- opening ---- */

static int pragma_i64(struct store *s, const char *sql, int64_t *ret, struct mh_err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(q, 0);
	else
		(void)fail_sqlite(s, rc, err, sql); /* the answer below says it */
	(void)sqlite3_finalize(q); /* repeats the step's own error */
	return rc == SQLITE_ROW ? 0 : -1;
}

static int create_schema(struct store *s, struct mh_err *err)
{
	char sql[96];

	if (run_sql(s, "BEGIN IMMEDIATE", err) != 0)
		return -1;
	for (size_t i = 0; store_schemas[i]; i++) {
		if (run_sql(s, *store_schemas[i], err) != 0) {
			store_rollback(s);
			return -1;
		}
	}
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA application_id = %d; PRAGMA user_version = %d",
		       STORE_APPLICATION_ID, STORE_SCHEMA_VERSION);
	if (run_sql(s, sql, err) != 0 || run_sql(s, "COMMIT", err) != 0) {
		store_rollback(s);
		return -1;
	}
	return 0;
}

/* From the version it has to the one after. */
static int migrate_once(struct store *s, int64_t version, struct mh_err *err)
{
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %lld",
		       (long long)version + 1); /* it fits */
	if (run_sql(s, "BEGIN IMMEDIATE", err) != 0)
		return -1;
	if (run_sql(s, *store_migrations[version - 1], err) != 0 ||
	    run_sql(s, sql, err) != 0 || run_sql(s, "COMMIT", err) != 0) {
		store_rollback(s);
		return -1;
	}
	return 0;
}

static int migrate(struct store *s, int64_t version, struct mh_err *err)
{
	for (; version < STORE_SCHEMA_VERSION; version++) {
		if (migrate_once(s, version, err) != 0)
			return -1;
	}
	return 0;
}

/* *ret_version 0: a new file, which has no tables and both marks at 0. */
static int check_version(struct store *s, const char *path, int64_t *ret_version,
			 struct mh_err *err)
{
	int64_t application = 0, version = 0, tables = 0;

	if (pragma_i64(s, "PRAGMA application_id", &application, err) != 0 ||
	    pragma_i64(s, "PRAGMA user_version", &version, err) != 0 ||
	    pragma_i64(s, "SELECT count(*) FROM sqlite_master", &tables, err) != 0)
		return -1;
	*ret_version = version;
	if (application == 0 && version == 0 && tables == 0)
		return 0;
	if (application != STORE_APPLICATION_ID)
		return mh_err_set(err, MH_E_VERSION,
				  "%s is not a database of millhand-emulator", path);
	if (version < 1 || version > STORE_SCHEMA_VERSION)
		return mh_err_set(
			err, MH_E_VERSION,
			"%s was made by %s millhand-emulator (format %lld, this "
			"program writes %d): use that version, or another data directory",
			path, version > STORE_SCHEMA_VERSION ? "a newer" : "an older",
			(long long)version, STORE_SCHEMA_VERSION);
	return 0;
}

static int set_up(struct store *s, const char *path, struct mh_err *err)
{
	int64_t version = 0;

	(void)sqlite3_extended_result_codes(s->db, 1); /* cannot fail on an open handle */
	(void)sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	/* Marks are read before anything is written: a foreign file stays as it is. */
	if (check_version(s, path, &version, err) != 0)
		return -1;
	if (run_sql(s,
		    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		    "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
		    "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384",
		    err) != 0)
		return -1;
	return version == 0 ? create_schema(s, err) : migrate(s, version, err);
}

/* SQLite counts its memory under a lock, at each allocation: nobody asks for the count.
 */
static void configure_sqlite(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* refused once it has begun */
}

int store_open(const char *path, struct store **ret, struct mh_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct store *s = mh_alloc(sizeof(*s));
	/* One thread at a time uses it: SQLite needs no mutex of its own. */
	int rc;

	(void)pthread_once(&once, configure_sqlite); /* cannot fail */
	rc = sqlite3_open_v2(
		path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK) {
		(void)fail_sqlite(s, rc, err, path); /* -1 below */
		store_close(s);
		return -1;
	}
	if (set_up(s, path, err) != 0) {
		if (err->cls != MH_E_VERSION)
			(void)mh_err_wrap(err, "cannot use the database %s", path);
		store_close(s);
		return -1;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < STORE_CACHE_MAX; i++)
		(void)sqlite3_finalize(s->cache[i].handle); /* repeats an old error */
	(void)sqlite3_close_v2(s->db); /* nothing is lost: commits are durable already */
	free(s);
}

sqlite3 *store_handle(struct store *s)
{
	return s->db;
}

/* ---- transactions ---- */

int store_begin(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err, "BEGIN IMMEDIATE", "");
}

int store_commit(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err, "COMMIT", "");
}

bool store_in_transaction(struct store *s)
{
	return sqlite3_get_autocommit(s->db) == 0;
}

static void undo(struct store *s, const char *sql)
{
	/* Rolling back fails only when SQLite has already done so. */
	if (store_in_transaction(s))
		(void)sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

void store_rollback(struct store *s)
{
	undo(s, "ROLLBACK");
}

int store_savepoint(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err, "SAVEPOINT one", "");
}

int store_release(struct store *s, struct mh_err *err)
{
	return store_exec(s, NULL, err, "RELEASE one", "");
}

void store_rollback_to(struct store *s)
{
	undo(s, "ROLLBACK TO one; RELEASE one");
}

/* ---- statements ---- */

static size_t cache_slot(const struct store *s, const char *sql)
{
	size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15ULL % STORE_CACHE_MAX;

	while (s->cache[i].sql && s->cache[i].sql != sql)
		i = (i + 1) % STORE_CACHE_MAX;
	return i;
}

static sqlite3_stmt *prepare(struct store *s, const char *sql, unsigned flags)
{
	sqlite3_stmt *handle = NULL;
	int rc = sqlite3_prepare_v3(s->db, sql, -1, flags, &handle, NULL);

	if (rc != SQLITE_OK)
		(void)snprintf(s->prepare_error, sizeof(s->prepare_error),
			       "%s (SQLite %d) in: %s", sqlite3_errmsg(s->db), rc, sql);
	return handle;
}

static void take_handle(struct store *s, struct stmt *q, const char *sql)
{
	struct cached_stmt *e = &s->cache[cache_slot(s, sql)];

	*q = (struct stmt){ .store = s };
	if (!e->sql) {
		/* The table never fills: distinct literals are a few hundred at most. */
		MH_ASSERT(s->cache_count < STORE_CACHE_MAX * 3 / 4);
		e->handle = prepare(s, sql, SQLITE_PREPARE_PERSISTENT);
		if (!e->handle)
			return;
		e->sql = sql;
		s->cache_count++;
	}
	if (e->in_use) {
		q->handle = prepare(s, sql, 0);
		return;
	}
	/* An address that now holds other text was no literal. */
	MH_ASSERT(strcmp(sqlite3_sql(e->handle), sql) == 0);
	e->in_use = true;
	q->handle = e->handle;
	q->cached = e;
}

static void bind_all(struct stmt *q, const char *types, va_list ap)
{
	int n = 0;

	/* A wrong count is a mistake in the program, found by the first test that runs
	 * it. */
	MH_ASSERT(sqlite3_bind_parameter_count(q->handle) == (int)strlen(types));
	for (; types[n]; n++) {
		int rc;

		if (types[n] == 's') {
			const char *text = va_arg(ap, const char *);

			rc = text ? sqlite3_bind_text(q->handle, n + 1, text, -1,
						      SQLITE_TRANSIENT)
				  : sqlite3_bind_null(q->handle, n + 1);
		} else if (types[n] == 'd') {
			rc = sqlite3_bind_int(q->handle, n + 1, va_arg(ap, int));
		} else {
			MH_ASSERT(types[n] == 'i');
			rc = sqlite3_bind_int64(q->handle, n + 1, va_arg(ap, int64_t));
		}
		MH_ASSERT(rc == SQLITE_OK); /* no memory, or text over SQLite's 1 GB */
	}
}

void store_query(struct store *s, struct stmt *q, const char *sql, const char *types, ...)
{
	va_list ap;

	take_handle(s, q, sql);
	if (!q->handle)
		return;
	va_start(ap, types);
	bind_all(q, types, ap);
	va_end(ap);
}

int stmt_next(struct stmt *q, struct mh_err *err)
{
	int rc;

	if (!q->handle)
		return mh_err_set(err, MH_E_SYS, "%s", q->store->prepare_error);
	rc = sqlite3_step(q->handle);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return fail_sqlite(q->store, rc, err, sqlite3_sql(q->handle));
}

const char *stmt_text(struct stmt *q, int column)
{
	return (const char *)sqlite3_column_text(q->handle, column);
}

int64_t stmt_i64(struct stmt *q, int column)
{
	return sqlite3_column_int64(q->handle, column);
}

bool stmt_is_null(struct stmt *q, int column)
{
	return sqlite3_column_type(q->handle, column) == SQLITE_NULL;
}

void stmt_end(struct stmt *q)
{
	if (!q->handle)
		return;
	if (q->cached) {
		(void)sqlite3_reset(q->handle); /* repeats the last step's error */
		(void)sqlite3_clear_bindings(q->handle); /* always OK */
		q->cached->in_use = false;
	} else {
		(void)sqlite3_finalize(q->handle); /* repeats the last step's error */
	}
	q->handle = NULL;
}

int store_exec(struct store *s, int64_t *ret_changed, struct mh_err *err, const char *sql,
	       const char *types, ...)
{
	CLEAN(stmt) struct stmt q = { 0 };
	va_list ap;
	int rc;

	take_handle(s, &q, sql);
	if (q.handle) {
		va_start(ap, types);
		bind_all(&q, types, ap);
		va_end(ap);
	}
	do {
		rc = stmt_next(&q, err);
	} while (rc == 1); /* RETURNING rows are not wanted here */
	if (rc == 0 && ret_changed)
		*ret_changed = sqlite3_changes(s->db);
	return rc;
}

int64_t store_last_rowid(struct store *s)
{
	return sqlite3_last_insert_rowid(s->db);
}
