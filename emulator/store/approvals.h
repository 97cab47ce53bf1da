/* Approval requests (semantics E16): one row per pause, kept after it is closed. */
#ifndef MH_EMULATOR_STORE_APPROVALS_H
#define MH_EMULATOR_STORE_APPROVALS_H

#include "emulator/store/store.h"
#include "lib/base/str.h"

extern const char *const approvals_schema;

struct approval {
	int64_t action; /* seq of the action execution */
	char token[STR_UUID_SIZE];
	char *pipeline, *stage, *action_name;
	bool open;
	bool answered; /* by a person; else it timed out, or its execution ended */
	int64_t expires_ms;
};
void approval_done(struct approval *a);
static inline void clean_approval(struct approval *a)
{
	approval_done(a);
}

int approvals_insert(struct store *s, const struct approval *a,
		     struct mh_err *err) MH_MUST_CHECK;
int approvals_close(struct store *s, int64_t action, bool answered,
		    struct mh_err *err) MH_MUST_CHECK;
int approvals_find(struct store *s, const char *token, struct approval *ret,
		   bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
/* The request of an action execution. */
int approvals_of(struct store *s, int64_t action, struct approval *ret, bool *ret_found,
		 struct mh_err *err) MH_MUST_CHECK;
/* seq of the newest action execution that asked, or 0. */
int approvals_last(struct store *s, const char *pipeline, const char *stage,
		   const char *action_name, int64_t *ret_action,
		   struct mh_err *err) MH_MUST_CHECK;

#endif
