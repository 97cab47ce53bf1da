/*
 * Landlock: from now on this process and its children can write only beneath the
 * given paths. Reading and running stay free. The constants that Debian 12's headers
 * lack are defined in the .c; what the kernel can do is asked at run time.
 */
#ifndef MH_JOB_LANDLOCK_H
#define MH_JOB_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

#define LANDLOCK_ABI_SIGNALS 6 /* the first that keeps signals inside */

/* The kernel's Landlock ABI, 0 when it has none or it is switched off. */
int landlock_abi(void);

struct landlock_rules;

/* A rule set for this ABI (>= 1), with nothing allowed yet. With scope_signals
 * processes inside cannot signal those outside (ABI 6). Rules are made before the
 * process gives up rights it needs to open the paths. */
int landlock_new(int abi, bool scope_signals, struct landlock_rules **ret,
		 struct mh_err *err) MH_MUST_CHECK;
void landlock_free(struct landlock_rules *rules);
static inline void clean_landlock(struct landlock_rules **rules)
{
	landlock_free(*rules);
}

/* Allows writing to a file, or anything beneath a directory. NOTFOUND when it is
 * not there. */
int landlock_allow(struct landlock_rules *rules, const char *path,
		   struct mh_err *err) MH_MUST_CHECK;
/* Needs no_new_privs. Cannot be undone. */
int landlock_enter(struct landlock_rules *rules, struct mh_err *err) MH_MUST_CHECK;

#endif
