#include "agent/creds.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"

#define FILE_MAX_BYTES (1 << 20)

static void wipe(char **s)
{
	if (*s)
		sodium_memzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void creds_done(struct creds *c)
{
	wipe(&c->access_key_id);
	wipe(&c->secret_access_key);
	wipe(&c->session_token);
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

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* --- the shared credentials file ------------------------------------------------ */

/* Cuts blanks off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r", s[len - 1]))
		s[--len] = '\0';
	return s;
}

struct profile {
	const char *name;
	bool found;
	const char *id, *secret, *token; /* borrowed from the text */
	const char *unsupported; /* a key this version cannot follow */
};

static void take_line(struct profile *p, char *line)
{
	static const char *const unsupported[] = { "role_arn", "credential_process",
						   "web_identity_token_file",
						   "sso_session", "sso_account_id" };
	char *equals = strchr(line, '=');
	const char *key, *value;

	if (!equals)
		return;
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	if (strcmp(key, "aws_access_key_id") == 0)
		p->id = value;
	else if (strcmp(key, "aws_secret_access_key") == 0)
		p->secret = value;
	else if (strcmp(key, "aws_session_token") == 0)
		p->token = value;
	for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
		if (strcmp(key, unsupported[i]) == 0)
			p->unsupported = unsupported[i];
	}
}

/* INI as the SDKs write it: [name], key = value, '#' and ';' begin a comment line. */
static void read_profile(char *text, struct profile *p)
{
	bool inside = false;
	char *next = text;

	while (next) {
		char *line = next;
		char *end = strchr(line, '\n');

		next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		line = trim(line);
		if (*line == '[') {
			char *close = strchr(line, ']');

			if (close)
				*close = '\0';
			inside = strcmp(trim(line + 1), p->name) == 0;
			p->found = p->found || inside;
		} else if (inside && *line && *line != '#' && *line != ';') {
			take_line(p, line);
		}
	}
}

static char *credentials_file(void)
{
	if (env("AWS_SHARED_CREDENTIALS_FILE"))
		return mh_strdup(env("AWS_SHARED_CREDENTIALS_FILE"));
	return env("HOME") ? mh_format("%s/.aws/credentials", env("HOME")) : NULL;
}

static int judge_profile(const struct profile *p, const char *path, struct creds *ret,
			 char source[CREDS_SOURCE_SIZE], struct mh_err *err)
{
	if (!p->found)
		return mh_err_set(err, MH_E_NOTFOUND, "%s has no profile \"%s\"", path,
				  p->name);
	if (!p->id || !p->secret || !*p->id || !*p->secret)
		return mh_err_set(err, MH_E_CONFIG,
				  "profile \"%s\" of %s has no aws_access_key_id and "
				  "aws_secret_access_key%s%s%s",
				  p->name, path, p->unsupported ? "; it uses " : "",
				  p->unsupported ? p->unsupported : "",
				  p->unsupported ? ", which this version cannot follow"
						 : "");
	creds_set(ret, p->id, p->secret, p->token && *p->token ? p->token : NULL);
	(void)snprintf(source, CREDS_SOURCE_SIZE, "profile %s of %s", p->name, path);
	return 0;
}

/* NOTFOUND when there is no such file or profile. */
static int from_profile(const char *name, struct creds *ret,
			char source[CREDS_SOURCE_SIZE], struct mh_err *err)
{
	CLEAN(free) char *path = credentials_file();
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	struct profile p = { .name = name };
	int rc;

	if (!path)
		return mh_err_set(err, MH_E_NOTFOUND, "HOME is not set");
	if (fs_read_at(AT_FDCWD, path, &text, err) != 0) {
		buf_done(&text);
		return -1;
	}
	if (text.len > 0)
		read_profile(text.data, &p);
	rc = judge_profile(&p, path, ret, source, err);
	if (text.len > 0)
		sodium_memzero(text.data, text.len);
	buf_done(&text);
	return rc;
}

/* --- the chain --------------------------------------------------------------------- */

/* What else an SDK would look at, when it seems to be meant. */
static const char *unsupported_source(void)
{
	if (env("AWS_WEB_IDENTITY_TOKEN_FILE"))
		return "AWS_WEB_IDENTITY_TOKEN_FILE";
	if (env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
		return "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
	if (env("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		return "AWS_CONTAINER_CREDENTIALS_FULL_URI";
	return NULL;
}

int creds_find(const struct credentials_settings *settings, struct creds *ret,
	       char source[CREDS_SOURCE_SIZE], struct mh_err *err)
{
	const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
	const char *profile = settings->profile ? settings->profile : env("AWS_PROFILE");
	const char *other;

	if (settings->access_key_id && settings->secret_access_key) {
		creds_set(ret, settings->access_key_id, settings->secret_access_key,
			  settings->session_token);
		(void)snprintf(source, CREDS_SOURCE_SIZE, "configuration");
		return 0;
	}
	if (!settings->profile && id && secret) {
		creds_set(ret, id, secret, env("AWS_SESSION_TOKEN"));
		(void)snprintf(source, CREDS_SOURCE_SIZE, "environment");
		return 0;
	}
	if (from_profile(profile ? profile : "default", ret, source, err) == 0)
		return 0;
	if (profile || err->cls != MH_E_NOTFOUND)
		return mh_err_wrap(err, "credentials");
	other = unsupported_source();
	return mh_err_set(err, MH_E_AUTH,
			  "no credentials: none in the configuration (credentials), in "
			  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in the shared "
			  "credentials file%s%s%s",
			  other ? "; " : "", other ? other : "",
			  other ? " is set, but this version cannot follow it" : "");
}
