/*
 * The store: one SQLite database (<data_dir>/emulator.db, WAL,
 * synchronous=FULL). All SQL stands behind emulator/store/. Only the writer
 * thread uses a store; tests open one in memory.
 *
 * This header is the ground: opening, transactions, statements. The tables' own
 * functions are in store/<table>.h.
 */
#ifndef MH_EMULATOR_STORE_STORE_H
#define MH_EMULATOR_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "lib/base/err.h"

struct store;

#define STORE_SCHEMA_VERSION 9

/* path ":memory:" for tests. Creates the schema when the file is new, and brings one of
 * an older program up to date; VERSION when it was made by a newer program, or by one too
 * old. */
int store_open(const char *path, struct store **ret, struct mh_err *err) MH_MUST_CHECK;
void store_close(struct store *s);

/* SQLite's own, for emulator/store/ alone. */
sqlite3 *store_handle(struct store *s);

int store_begin(struct store *s, struct mh_err *err) MH_MUST_CHECK;
int store_commit(struct store *s, struct mh_err *err) MH_MUST_CHECK;
void store_rollback(struct store *s);
int store_savepoint(struct store *s, struct mh_err *err) MH_MUST_CHECK;
int store_release(struct store *s, struct mh_err *err) MH_MUST_CHECK;
void store_rollback_to(struct store *s); /* and releases it */
/* false after an error that made SQLite give up the whole transaction (disk full,
 * I/O): nothing of it is kept, and there is nothing left to roll back. */
bool store_in_transaction(struct store *s);

/* The tables: each module of emulator/store/ exports its CREATE statements as
 * `const char *const <table>_schema`, and has a line in schema.c. Ends with NULL. */
extern const char *const *const store_schemas[];
/* The first makes version 2 out of version 1, and so on; each in a transaction of its
 * own. Ends with NULL. */
extern const char *const *const store_migrations[];

/*
 * A cached statement, bound in one go and stepped:
 *
 *	struct stmt q;
 *	store_query(s, &q, "SELECT a, b FROM t WHERE c = ? AND d = ?", "si", c, d);
 *	while ((rc = stmt_next(&q, err)) == 1)
 *		... stmt_text(&q, 0), stmt_i64(&q, 1) ...   borrowed until the next step
 *	stmt_end(&q);
 *
 * Types: s text (NULL binds NULL), i int64_t (exactly that: a bare `1` is an int), d int.
 * The SQL is a string literal; its address is the cache's key. stmt_next answers 1 a row,
 * 0 the end, -1 an error. The same query may run inside itself (recursion).
 */
struct stmt {
	struct store *store;
	sqlite3_stmt *handle; /* NULL when preparing failed; stmt_next tells */
	struct cached_stmt *cached; /* NULL: the cached one was in use, this is a copy */
};
void store_query(struct store *s, struct stmt *q, const char *sql, const char *types,
		 ...);
int stmt_next(struct stmt *q, struct mh_err *err) MH_MUST_CHECK;
const char *stmt_text(struct stmt *q, int column); /* NULL for NULL */
int64_t stmt_i64(struct stmt *q, int column);
bool stmt_is_null(struct stmt *q, int column);
void stmt_end(struct stmt *q);
static inline void clean_stmt(struct stmt *q)
{
	stmt_end(q);
}
/* INSERT, UPDATE, DELETE. *ret_changed may be NULL. */
int store_exec(struct store *s, int64_t *ret_changed, struct mh_err *err, const char *sql,
	       const char *types, ...) MH_MUST_CHECK;
int64_t store_last_rowid(struct store *s);

#endif
