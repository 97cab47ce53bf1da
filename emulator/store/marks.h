/* Numbers that the emulator keeps by name: the virtual clock, how far events were
 * delivered, how often it was started. */
#ifndef MH_EMULATOR_STORE_MARKS_H
#define MH_EMULATOR_STORE_MARKS_H

#include "emulator/store/store.h"

extern const char *const marks_schema;

int marks_get(struct store *s, const char *name, int64_t fallback, int64_t *ret,
	      struct mh_err *err) MH_MUST_CHECK;
int marks_set(struct store *s, const char *name, int64_t value,
	      struct mh_err *err) MH_MUST_CHECK;

#endif
