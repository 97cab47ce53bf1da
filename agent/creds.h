/*
 * Credentials: one set of them, and where the agent finds its own.
 *
 *	struct creds c = { 0 };
 *	creds_find(&settings->credentials, &c, &source, &err);
 *	creds_done(&c);      wipes them
 *
 * Looked at in this order: the configuration, AWS_ACCESS_KEY_ID and its fellows,
 * the shared credentials file's static keys (AWS_SHARED_CREDENTIALS_FILE, else
 * ~/.aws/credentials; profile from the configuration, AWS_PROFILE, "default").
 */
#ifndef MH_AGENT_CREDS_H
#define MH_AGENT_CREDS_H

#include <stdbool.h>

#include "agent/settings.h"
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

#define CREDS_SOURCE_SIZE 256

/* AUTH when there are none, CONFIG when a file or profile is wrong: the text says
 * where was looked. source names where they come from ("configuration",
 * "environment", "profile x of /path"), for the log. */
int creds_find(const struct credentials_settings *settings, struct creds *ret,
	       char source[CREDS_SOURCE_SIZE], struct mh_err *err) MH_MUST_CHECK;

#endif
