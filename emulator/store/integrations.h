/*
 * Action types of the integration model (semantics C15), as UpdateActionType declared
 * them: one row for each identity.
 */
#ifndef MH_EMULATOR_STORE_INTEGRATIONS_H
#define MH_EMULATOR_STORE_INTEGRATIONS_H

#include "emulator/store/store.h"

extern const char *const integrations_schema;

/* The ActionTypeDeclaration as JSON, the caller's to free; NULL when there is none. type:
 * "Deploy/ThirdParty/Acme/1". */
int integrations_find(struct store *s, const char *type, char **ret,
		      struct mh_err *err) MH_MUST_CHECK;
/* Takes the place of one that is there. */
int integrations_put(struct store *s, const char *type, const char *declaration,
		     struct mh_err *err) MH_MUST_CHECK;

/* All of them: column 0 is the type, column 1 the declaration (see
 * store_action_type_list). */
void integrations_list(struct store *s, struct stmt *q);

#endif
