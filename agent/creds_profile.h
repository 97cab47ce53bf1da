/*
 * The shared files of the SDKs, ~/.aws/credentials and ~/.aws/config, as one set of
 * profiles (places: AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE).
 *
 *	CLEAN(creds_profiles) struct creds_profiles p = { 0 };
 *	creds_profiles_read(&p, &err);      a file that is not there is an empty one
 *	role = creds_profiles_get(&p, "build", PROFILE_ANYWHERE, "role_arn");
 *
 * INI as botocore reads it: names of keys in any case, '=' or ':' between key and
 * value, '#' and ';' begin a comment line, an indented line belongs to the value
 * above it and is no key of its own. In the config file profiles are called
 * "[profile name]" or "[default]". What the credentials file says wins. Everything
 * is wiped at the end.
 */
#ifndef MH_AGENT_CREDS_PROFILE_H
#define MH_AGENT_CREDS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct creds_profile_line; /* one key of one profile */
struct creds_profiles {
	struct creds_profile_line *lines; /* owned */
	size_t count, room;
	char *credentials_path, *config_path; /* what was read, for errors; or NULL */
};

enum creds_profile_file {
	PROFILE_CREDENTIALS = 1,
	PROFILE_CONFIG = 2,
	PROFILE_ANYWHERE = 3,
};

/* SYS, PROTO when a file is there but cannot be read, or is over 1 MiB. */
int creds_profiles_read(struct creds_profiles *ret, struct mh_err *err) MH_MUST_CHECK;
/* Adds what text says. text is spoilt. */
void creds_profiles_parse(struct creds_profiles *p, enum creds_profile_file file,
			  char *text);
void creds_profiles_done(struct creds_profiles *p);
static inline void clean_creds_profiles(struct creds_profiles *p)
{
	creds_profiles_done(p);
}

bool creds_profiles_has(const struct creds_profiles *p, const char *profile);
/* Borrowed; NULL when it is not there or empty. */
const char *creds_profiles_get(const struct creds_profiles *p, const char *profile,
			       enum creds_profile_file file, const char *key);

#endif
