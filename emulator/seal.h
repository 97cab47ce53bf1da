/*
 * Texts that must not lie on disk in clear (design promise 8): secret
 * configuration values. Sealed under a key derived from the data directory's.
 *
 * The same text gives the same sealed text: no random source is needed, so the
 * engine stays repeatable. What is visible is which values are equal, and their
 * length.
 */
#ifndef MH_EMULATOR_SEAL_H
#define MH_EMULATOR_SEAL_H

#include "emulator/jobcreds.h"

/* The caller frees it. */
char *seal_text(const struct creds_key *key, const char *text) MH_MUST_CHECK;
/* AUTH when it was sealed under another key, or altered. The caller frees *ret. */
int seal_open(const struct creds_key *key, const char *sealed, char **ret,
	      struct mh_err *err) MH_MUST_CHECK;

#endif
