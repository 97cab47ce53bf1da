#include "agent/creds_profile.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "agent/creds.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define FILE_MAX_BYTES (1 << 20)
#define BLANKS         " \t\r\f\v"

struct creds_profile_line {
	enum creds_profile_file file;
	char *profile;
	char *key, *value; /* NULL for the profile's own heading */
};

static void add(struct creds_profiles *p, enum creds_profile_file file,
		const char *profile, const char *key, const char *value)
{
	if (p->count == p->room) {
		p->room = p->room ? 2 * p->room : 32;
		p->lines = mh_realloc(p->lines, p->room * sizeof(*p->lines));
	}
	p->lines[p->count++] = (struct creds_profile_line){ file, mh_strdup(profile),
							    mh_strdup(key),
							    mh_strdup(value) };
}

void creds_profiles_done(struct creds_profiles *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->lines[i].profile);
		free(p->lines[i].key);
		creds_wipe(&p->lines[i].value);
	}
	free(p->lines);
	free(p->credentials_path);
	free(p->config_path);
	*p = (struct creds_profiles){ 0 };
}

bool creds_profiles_has(const struct creds_profiles *p, const char *profile)
{
	for (size_t i = 0; i < p->count; i++) {
		if (strcmp(p->lines[i].profile, profile) == 0)
			return true;
	}
	return false;
}

const char *creds_profiles_get(const struct creds_profiles *p, const char *profile,
			       enum creds_profile_file file, const char *key)
{
	const struct creds_profile_line *found = NULL;

	for (size_t i = 0; i < p->count; i++) {
		const struct creds_profile_line *l = &p->lines[i];

		if (!(l->file & file) || !l->key || strcmp(l->profile, profile) != 0 ||
		    strcasecmp(l->key, key) != 0)
			continue;
		/* The later one of one file; of both, the credentials file's. */
		if (!found || found->file == l->file || l->file == PROFILE_CREDENTIALS)
			found = l;
	}
	return found && *found->value ? found->value : NULL;
}

/* --- reading ---------------------------------------------------------------------- */

/* Cuts blanks off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, BLANKS);
	len = strlen(s);
	while (len > 0 && strchr(BLANKS, s[len - 1]))
		s[--len] = '\0';
	return s;
}

/* "[profile x]", "[profile 'a b']" or "[default]" of the config file; NULL for
 * another section. */
static char *config_profile(char *name)
{
	size_t len;

	if (strcmp(name, "default") == 0)
		return name;
	if (!str_starts_with(name, "profile") || !strchr(BLANKS "\"'", name[7]))
		return NULL;
	name = trim(name + 7);
	len = strlen(name);
	if (len >= 2 && strchr("\"'", *name) && name[len - 1] == *name) {
		name[len - 1] = '\0';
		return name + 1;
	}
	return *name && !strpbrk(name, BLANKS) ? name : NULL;
}

struct reader {
	struct creds_profiles *p;
	enum creds_profile_file file;
	char *profile; /* the section we are in; NULL: one that is none */
	bool in_value; /* an indented line would go on with it */
	size_t indent; /* of the key above */
};

static void take_section(struct reader *r, char *line)
{
	char *close = strchr(line, ']');

	r->in_value = false;
	r->profile = NULL;
	if (!close)
		return;
	*close = '\0';
	line = trim(line + 1);
	r->profile = r->file == PROFILE_CONFIG ? config_profile(line) : line;
	if (r->profile)
		add(r->p, r->file, r->profile, NULL, NULL);
}

static void take_line(struct reader *r, char *line)
{
	size_t indent = strspn(line, BLANKS), key_len;
	char *text = trim(line);

	if (!*text || *text == '#' || *text == ';' || (r->in_value && indent > r->indent))
		return;
	if (*text == '[') {
		take_section(r, text);
		return;
	}
	key_len = strcspn(text, "=:");
	if (!text[key_len])
		return;
	text[key_len] = '\0';
	r->in_value = true;
	r->indent = indent;
	if (r->profile)
		add(r->p, r->file, r->profile, trim(text), trim(text + key_len + 1));
}

void creds_profiles_parse(struct creds_profiles *p, enum creds_profile_file file,
			  char *text)
{
	struct reader r = { .p = p, .file = file };

	while (text) {
		char *end = strchr(text, '\n');

		if (end)
			*end = '\0';
		take_line(&r, text);
		text = end ? end + 1 : NULL;
	}
}

static char *place(const char *variable, const char *usual)
{
	const char *value = creds_env(variable);
	const char *home = creds_env("HOME");

	if (!value)
		return home ? mh_format("%s/%s", home, usual) : NULL;
	if (str_starts_with(value, "~/") && home)
		return mh_format("%s/%s", home, value + 2);
	return mh_strdup(value);
}

static int read_file(struct creds_profiles *p, enum creds_profile_file file,
		     const char *path, struct mh_err *err)
{
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	int rc = 0;

	if (fs_read_at(AT_FDCWD, path, &text, err) != 0)
		rc = err->cls == MH_E_NOTFOUND ? 0 : -1;
	else if (text.len > 0)
		creds_profiles_parse(p, file, text.data);
	if (text.len > 0)
		sodium_memzero(text.data, text.len);
	buf_done(&text);
	return rc;
}

int creds_profiles_read(struct creds_profiles *ret, struct mh_err *err)
{
	CLEAN(creds_profiles) struct creds_profiles p = { 0 };

	p.credentials_path = place("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
	p.config_path = place("AWS_CONFIG_FILE", ".aws/config");
	if ((p.config_path && read_file(&p, PROFILE_CONFIG, p.config_path, err) != 0) ||
	    (p.credentials_path &&
	     read_file(&p, PROFILE_CREDENTIALS, p.credentials_path, err) != 0))
		return -1;
	*ret = p;
	p = (struct creds_profiles){ 0 };
	return 0;
}
