/*
 * Credentials: one set of them. Where the agent's own come from is creds_plan.h's,
 * how they are fetched creds_fetch.h's, and who keeps them fresh creds_store.h's.
 */
#ifndef MH_AGENT_CREDS_H
#define MH_AGENT_CREDS_H

#include <stdbool.h>

#include "lib/base/err.h"

struct creds {
	char *access_key_id, *secret_access_key; /* both or neither */
	char *session_token; /* NULL when there is none */
};

/* Copies; what was there is wiped. */
void creds_set(struct creds *c, const char *access_key_id, const char *secret_access_key,
	       const char *session_token);
void creds_done(struct creds *c);
static inline void clean_creds(struct creds *c)
{
	creds_done(c);
}
bool creds_equal(const struct creds *a, const struct creds *b);

/* Zeroes the text, frees it and forgets it. */
void creds_wipe(char **text);
static inline void clean_secret(char **text)
{
	creds_wipe(text);
}
/* A variable of the environment; NULL when it is not set or empty. */
const char *creds_env(const char *name);

#endif
