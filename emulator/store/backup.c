#include "emulator/store/backup.h"

static int fail(int rc, const char *what, struct mh_err *err)
{
	return mh_err_set(err, (rc & 0xff) == SQLITE_FULL ? MH_E_FULL : MH_E_SYS,
			  "%s: %s (SQLite %d)", what, sqlite3_errstr(rc), rc);
}

static int copy(sqlite3 *to, sqlite3 *from, struct mh_err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int step, rc;

	if (!backup)
		return fail(sqlite3_errcode(to), "cannot begin to copy the database",
			    err);
	step = sqlite3_backup_step(backup, -1);
	rc = sqlite3_backup_finish(backup);
	if (step != SQLITE_DONE)
		return fail(rc != SQLITE_OK ? rc : step, "cannot copy the database", err);
	return rc == SQLITE_OK ? 0 : fail(rc, "cannot copy the database", err);
}

int store_copy_to(struct store *s, const char *path, struct mh_err *err)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
				 NULL);
	int result;

	if (rc == SQLITE_OK)
		result = copy(db, store_handle(s), err);
	else
		result = fail(rc, path, err);
	(void)sqlite3_close(db); /* nothing is open in it */
	return result;
}

int store_copy_from(struct store *s, const char *path, struct mh_err *err)
{
	struct store *from = NULL;
	int rc;

	if (store_open(path, &from, err) != 0)
		return -1;
	rc = copy(store_handle(s), store_handle(from), err);
	store_close(from);
	return rc;
}
