/* Timers: what the engine must do at a time. Gone with the action execution they are for.
 */
#ifndef MH_EMULATOR_STORE_TIMERS_H
#define MH_EMULATOR_STORE_TIMERS_H

#include "emulator/store/store.h"

extern const char *const timers_schema;

int timers_insert(struct store *s, int64_t due_ms, int64_t action,
		  struct mh_err *err) MH_MUST_CHECK;
int timers_delete_of(struct store *s, int64_t action, struct mh_err *err) MH_MUST_CHECK;
/* When the next is due, or -1. */
int timers_next(struct store *s, int64_t *ret_due_ms, struct mh_err *err) MH_MUST_CHECK;
/* Removes the first that is due at now_ms and answers its action execution (seq), or 0.
 */
int timers_take(struct store *s, int64_t now_ms, int64_t *ret_action,
		struct mh_err *err) MH_MUST_CHECK;

#endif
