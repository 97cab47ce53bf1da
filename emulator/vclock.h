/*
 * The emulator's time: the machine's, or a virtual one that stands still until it is
 * moved (semantics A12 aside: signatures and the Date header always go by the machine's).
 * Whatever the engine does and writes down happens at this time: timestamps, timers,
 * visibility of jobs, expiry of credentials.
 *
 * The writer thread alone moves it, inside a transaction that also keeps it in the store
 * (marks.h), so that a restart finds the same time; all threads may read it.
 *
 *	vclock_now_ms(&clock)              any thread
 *	vclock_load(&clock, store, &err)   once, before the writer starts
 *	vclock_set(&clock, store, ms, &err)  in the writer; VCLOCK_REAL gives it back
 */
#ifndef MH_EMULATOR_VCLOCK_H
#define MH_EMULATOR_VCLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct store;

#define VCLOCK_REAL   ((int64_t)-1)
#define VCLOCK_MAX_MS 253402300799000LL /* the last second of the year 9999 */

struct vclock {
	_Atomic int64_t at_ms; /* VCLOCK_REAL, or the virtual time */
};
#define VCLOCK_INIT                                                                      \
	{                                                                                \
		VCLOCK_REAL                                                              \
	}

/* NULL: the machine's time. */
int64_t vclock_now_ms(const struct vclock *c);
/* The virtual time, or VCLOCK_REAL. */
int64_t vclock_virtual_ms(const struct vclock *c);
/* For the writer, which takes back what was not committed. */
void vclock_restore(struct vclock *c, int64_t at_ms);

int vclock_load(struct vclock *c, struct store *s, struct mh_err *err) MH_MUST_CHECK;
int vclock_set(struct vclock *c, struct store *s, int64_t at_ms,
	       struct mh_err *err) MH_MUST_CHECK;

/* "2026-01-31T12:34:56Z", milliseconds allowed: to the years 1970 to 9999. PROTO says
 * what is wrong with it. */
int vclock_parse(const char *text, int64_t *ret_ms, struct mh_err *err) MH_MUST_CHECK;

#endif
