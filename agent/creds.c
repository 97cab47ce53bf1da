#include "agent/creds.h"

#include <sodium.h>
#include <string.h>

#include "lib/base/macros.h"

void creds_wipe(char **text)
{
	if (*text)
		sodium_memzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void creds_done(struct creds *c)
{
	creds_wipe(&c->access_key_id);
	creds_wipe(&c->secret_access_key);
	creds_wipe(&c->session_token);
}

void creds_set(struct creds *c, const char *access_key_id, const char *secret_access_key,
	       const char *session_token)
{
	struct creds fresh = { mh_strdup(access_key_id), mh_strdup(secret_access_key),
			       mh_strdup(session_token) };

	creds_done(c);
	*c = fresh;
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool creds_equal(const struct creds *a, const struct creds *b)
{
	return same(a->access_key_id, b->access_key_id) &&
	       same(a->secret_access_key, b->secret_access_key) &&
	       same(a->session_token, b->session_token);
}

const char *creds_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}
