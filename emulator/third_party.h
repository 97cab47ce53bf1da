/*
 * Who may do third-party jobs (semantics C14). On AWS the provider of an action type
 * keeps, for each customer, a client id and the secret token that belongs to it; here the
 * settings do:
 *
 *	third_party = ( { type = "Deploy/ThirdParty/Acme/1";
 *			  client_id = "c11e0000-0000-4000-8000-000000000001";
 *			  client_token = "..."; } );
 *
 * A row also makes its type available, with any configuration and up to five artifacts
 * each way, until UpdateActionType declares it exactly. A type without a row has a client
 * id made of the account, and any token opens its jobs: as with credentials, what is not
 * configured is not checked.
 */
#ifndef MH_EMULATOR_THIRD_PARTY_H
#define MH_EMULATOR_THIRD_PARTY_H

#include "emulator/settings.h"
#include "lib/base/str.h"

/* Whether each row names a type of a third party, once, with an id and a token: CONFIG.
 */
int third_party_check(const struct settings *s, struct mh_err *err) MH_MUST_CHECK;
/* The row of a type ("Deploy/ThirdParty/Acme/1"), or NULL. */
const struct settings_third_party *third_party_of(const struct settings *s,
						  const char *type);
/* The client id that a type's jobs are offered with. */
void third_party_client_id(const struct settings *s, const char *type,
			   char ret[STR_UUID_SIZE]);
/* Whether the token is the one that belongs to the type's client id. */
bool third_party_token_fits(const struct settings *s, const char *type,
			    const char *token);

#endif
