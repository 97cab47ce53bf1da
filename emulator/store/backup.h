/*
 * Copies of a whole database, by SQLite's backup: what is committed, and nothing else.
 * Both want a store without an open transaction.
 */
#ifndef MH_EMULATOR_STORE_BACKUP_H
#define MH_EMULATOR_STORE_BACKUP_H

#include "emulator/store/store.h"

/* A new file, durable when this answers but for its name. */
int store_copy_to(struct store *s, const char *path, struct mh_err *err) MH_MUST_CHECK;
/* All of s becomes what the file holds, in one transaction. A file of an older format is
 * brought up to date first; VERSION as for store_open(). */
int store_copy_from(struct store *s, const char *path, struct mh_err *err) MH_MUST_CHECK;

#endif
