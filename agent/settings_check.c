/* What no single key can tell about a configuration. */
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/client_file.h"
#include "agent/creds_read.h"
#include "agent/settings.h"
#include "agent/status_http.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/net/uri.h"

#define PROVIDER_MAX  35
#define VERSION_MAX   9
#define QUERY_MAX     50
#define EXCLUSIVE_MAX 64
#define REGION_MAX    63
#define ROLE_MIN_MS   (15 * 60 * INT64_C(1000))
#define NAME_CHARS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static const char *const categories[] = { "Source", "Build", "Deploy", "Test", "Invoke" };

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static void fall_back(char **field, const char *value)
{
	if (!*field && value)
		*field = mh_strdup(value);
}

void settings_complete(struct settings *s)
{
	bool env_ok = !env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") ||
		      strcmp(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") != 0;
	const char *any = env_ok ? env("AWS_ENDPOINT_URL") : NULL;

	fall_back(&s->s3_endpoint, s->endpoint);
	fall_back(&s->s3_endpoint, env_ok ? env("AWS_ENDPOINT_URL_S3") : NULL);
	fall_back(&s->s3_endpoint, any);
	fall_back(&s->sts_endpoint, env_ok ? env("AWS_ENDPOINT_URL_STS") : NULL);
	fall_back(&s->sts_endpoint, any);
	fall_back(&s->endpoint, env_ok ? env("AWS_ENDPOINT_URL_CODEPIPELINE") : NULL);
	fall_back(&s->endpoint, any);
	fall_back(&s->region, env("AWS_REGION"));
	fall_back(&s->region, env("AWS_DEFAULT_REGION"));
	fall_back(&s->ca_file, env("AWS_CA_BUNDLE"));
	if (!s->work_dir)
		s->work_dir = mh_format("%s/work", s->state_dir);
}

bool settings_exposed(const char *path, const struct settings *s)
{
	struct stat st;

	return s->credentials.secret_access_key && stat(path, &st) == 0 &&
	       (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
}

/* --- what is checked, and where ---------------------------------------------------- */

struct check {
	const char *path, *text; /* of the file */
	const struct settings *settings;
	struct mh_err *err;
	size_t index; /* of the action entry */
	const struct action_settings *action;
};

/* "FILE:LINE: key: text" */
static int bad(const struct check *c, const char *key, const char *fmt, ...)
	MH_PRINTF(3, 4);
static int bad(const struct check *c, const char *key, const char *fmt, ...)
{
	CLEAN(free) char *where = conf_where(c->path, c->text, key);
	char text[MH_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a long text is cut */
	va_end(args);
	return mh_err_set(c->err, MH_E_CONFIG, "%s: %s: %s", where, key, text);
}

/* The same about a key of the action entry. */
static int bad_entry(const struct check *c, const char *key, const char *fmt, ...)
	MH_PRINTF(3, 4);
static int bad_entry(const struct check *c, const char *key, const char *fmt, ...)
{
	CLEAN(free) char *full = mh_format("actions.[%zu].%s", c->index, key);
	CLEAN(free) char *entry = mh_format("actions.[%zu]", c->index);
	CLEAN(free) char *where = conf_where(c->path, c->text, full);
	char text[MH_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a long text is cut */
	va_end(args);
	if (strcmp(where, c->path) == 0) { /* a default: name the entry at least */
		free(where);
		where = conf_where(c->path, c->text, entry);
	}
	return mh_err_set(c->err, MH_E_CONFIG, "%s: actions[%zu].%s: %s", where, c->index,
			  key, text);
}

static bool is_name(const char *s, size_t max)
{
	size_t len = strlen(s);

	return len > 0 && len <= max && strspn(s, NAME_CHARS) == len;
}

/* --- the host's settings --------------------------------------------------------------
 */

static int check_file_mode(const struct check *c)
{
	struct stat st;

	if (stat(c->path, &st) != 0)
		return 0; /* the text came from elsewhere */
	if (st.st_mode & S_IWOTH)
		return mh_err_set(
			c->err, MH_E_CONFIG,
			"%s: everybody may write it; take that away (chmod o-w)",
			c->path);
	return 0;
}

static int check_endpoint(const struct check *c, const char *key, const char *value)
{
	CLEAN(uri) struct uri u = { 0 };
	struct mh_err why;

	if (!value)
		return 0;
	if (uri_parse(value, &u, &why) != 0)
		return bad(c, key, "%s", why.text);
	if (u.query)
		return bad(c, key, "an endpoint has no query");
	if (strcmp(u.scheme, "http") == 0 && !uri_is_loopback(&u) &&
	    !c->settings->allow_plain_http)
		return bad(c, key,
			   "%s is not encrypted and not on this host; use https, or set "
			   "allow_plain_http = true",
			   value);
	return 0;
}

static int check_network(const struct check *c)
{
	const struct settings *s = c->settings;

	if (!s->region)
		return bad(c, "region",
			   "is missing; name one, as region = \"us-east-1\" or in "
			   "AWS_REGION");
	if (!is_name(s->region, REGION_MAX))
		return bad(c, "region", "\"%s\" is no name of a region", s->region);
	if (check_endpoint(c, "endpoint", s->endpoint) != 0 ||
	    check_endpoint(c, "s3_endpoint", s->s3_endpoint) != 0 ||
	    check_endpoint(c, "sts_endpoint", s->sts_endpoint) != 0)
		return -1;
	if (s->ca_file && access(s->ca_file, R_OK) != 0)
		return bad(c, "ca_file", "%s: %s", s->ca_file, strerror(errno));
	return 0;
}

static int check_metrics(const struct check *c)
{
	const char *listen = c->settings->metrics_listen;
	struct sockaddr_storage ignored;
	struct mh_err why = MH_ERR_INIT;

	if (!listen || status_http_address(listen, &ignored, &why) == 0)
		return 0;
	return bad(c, "metrics_listen", "%s", why.text);
}

static int check_credentials(const struct check *c)
{
	const struct credentials_settings *k = &c->settings->credentials;

	if ((k->access_key_id != NULL) != (k->secret_access_key != NULL))
		return bad(c, "credentials",
			   "access_key_id and secret_access_key belong together");
	if (k->access_key_id && (!*k->access_key_id || !*k->secret_access_key))
		return bad(c, "credentials",
			   "access_key_id or secret_access_key is empty");
	if (k->role_duration_ms > 0 && k->role_duration_ms < ROLE_MIN_MS)
		return bad(c, "credentials.role_duration", "is shorter than 15m");
	if (!k->role_arn &&
	    (k->role_session_name || k->external_id || k->role_duration_ms > 0))
		return bad(c, "credentials",
			   "role_session_name, external_id and role_duration are for "
			   "role_arn, which is missing");
	return 0;
}

/* Of whose words the first is a program that can be started, now that a person looks. */
static int check_command(const struct check *c, const char *key, const char *command)
{
	CLEAN(free) char *file = NULL;
	char **words = NULL;
	struct mh_err why;
	int rc = 0;

	if (creds_split_command(command, &words, &why) != 0)
		return bad(c, key, "%s", why.text);
	file = settings_find_program(words[0]);
	if (!file)
		rc = bad(c, key, "there is no program \"%s\" that may be started",
			 words[0]);
	creds_words_free(words);
	return rc;
}

static int check_client_tokens(const struct check *c)
{
	const struct client_tokens_settings *t = &c->settings->client_tokens;
	CLEAN(client_file) struct client_file found = { 0 };
	struct mh_err why;

	if (t->file && t->command)
		return bad(c, "client_tokens", "file and command exclude each other");
	if (t->file && t->file[0] != '/')
		return bad(c, "client_tokens.file", "\"%s\" is not an absolute path",
			   t->file);
	if (t->file && client_file_read(t->file, &found, &why) != 0)
		return bad(c, "client_tokens.file", "%s", why.text);
	return t->command ? check_command(c, "client_tokens.command", t->command) : 0;
}

static int check_health(const struct check *c)
{
	const char *command = c->settings->health.command;

	return command && *command ? check_command(c, "health.command", command) : 0;
}

static int check_absolute(const struct check *c, const char *key, const char *value)
{
	return value[0] == '/' ? 0 : bad(c, key, "\"%s\" is not an absolute path", value);
}

static int check_directories(const struct check *c)
{
	static const char *const programs[] = { "millhand-job", "millhand-archive" };
	const struct settings *s = c->settings;

	if (check_absolute(c, "state_dir", s->state_dir) != 0 ||
	    check_absolute(c, "work_dir", s->work_dir) != 0 ||
	    check_absolute(c, "plugin_dir", s->plugin_dir) != 0 ||
	    check_absolute(c, "libexec_dir", s->libexec_dir) != 0)
		return -1;
	if (s->lock_dir && (check_absolute(c, "lock_dir", s->lock_dir) != 0 ||
			    access(s->lock_dir, W_OK | X_OK) != 0))
		return bad(c, "lock_dir",
			   "\"%s\" must be a directory that the agent may write",
			   s->lock_dir);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		CLEAN(free)
		char *program = mh_format("%s/%s", s->libexec_dir, programs[i]);

		if (access(program, X_OK) != 0)
			return bad(c, "libexec_dir", "there is no program %s", program);
	}
	return 0;
}

/* --- one action entry ------------------------------------------------------------------
 */

static int check_type(const struct check *c)
{
	const struct action_settings *a = c->action;
	size_t i = 0;

	if (strcmp(a->owner, "AWS") == 0)
		return bad_entry(
			c, "owner",
			"PollForJobs does not serve action types owned by AWS; create "
			"a custom "
			"action type and use owner = \"Custom\"");
	if (strcmp(a->owner, "Custom") != 0 && !settings_is_third_party(a))
		return bad_entry(c, "owner",
				 "\"%s\" is not known; use \"Custom\" or "
				 "\"ThirdParty\"",
				 a->owner);
	if (settings_is_third_party(a) && !c->settings->client_tokens.file &&
	    !c->settings->client_tokens.command)
		return bad_entry(c, "owner",
				 "a third party's jobs take the tokens of its clients; "
				 "say where they are in client_tokens (file or command)");
	while (i < ARRAY_LEN(categories) && strcmp(categories[i], a->category) != 0)
		i++;
	if (i == ARRAY_LEN(categories))
		return bad_entry(c, "category",
				 "\"%s\" is none of Source, Build, Deploy, Test, Invoke",
				 a->category);
	if (!is_name(a->provider, PROVIDER_MAX))
		return bad_entry(c, "provider",
				 "\"%s\" must be 1 to %d letters, digits, '_' or '-'",
				 a->provider, PROVIDER_MAX);
	if (!is_name(a->version, VERSION_MAX))
		return bad_entry(c, "version",
				 "\"%s\" must be 1 to %d letters, digits, '_' or '-'",
				 a->version, VERSION_MAX);
	return 0;
}

static int check_exclusive(const struct check *c)
{
	const char *name = c->action->exclusive;

	if (name && !is_name(name, EXCLUSIVE_MAX))
		return bad_entry(c, "exclusive",
				 "\"%s\" must be 1 to %d letters, digits, '_' or '-'",
				 name, EXCLUSIVE_MAX);
	return 0;
}

static int check_query(const struct check *c)
{
	struct json_object *query = c->action->query;

	if (!query)
		return 0;
	if (settings_is_third_party(c->action))
		return bad_entry(c, "query",
				 "third-party jobs cannot be asked for by a property");
	if (json_object_object_length(query) > 1)
		return bad_entry(c, "query",
				 "an action type has at most one queryable property");
	json_object_object_foreach(query, name, value)
	{
		const char *text = json_object_get_string(value);

		if (strlen(name) > QUERY_MAX || !is_name(text, QUERY_MAX))
			return bad_entry(c, "query",
					 "%s = \"%s\": a value must be 1 to %d letters, "
					 "digits, '_' or '-'",
					 name, text, QUERY_MAX);
	}
	return 0;
}

static int check_plugin(const struct check *c)
{
	const char *plugin = c->action->plugin;
	CLEAN(free) char *file = NULL;
	struct stat st;

	if (plugin[0] != '/' && !is_name(plugin, 100))
		return bad_entry(
			c, "plugin",
			"\"%s\" is neither a name (letters, digits, '_', '-') nor an "
			"absolute "
			"path",
			plugin);
	file = settings_plugin_path(c->settings, c->action);
	if (stat(file, &st) != 0 || !S_ISREG(st.st_mode))
		return bad_entry(c, "plugin", "\"%s\": there is no plugin file %s",
				 plugin, file);
	if (st.st_mode & S_IWOTH)
		return bad_entry(c, "plugin", "everybody may write %s", file);
	return 0;
}

static int check_sandbox(const struct check *c)
{
	const struct conf_strings *lists[] = { &c->action->sandbox.read,
					       &c->action->sandbox.write };
	const char *user = c->action->sandbox.user;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (size_t k = 0; k < lists[i]->count; k++) {
			if (lists[i]->items[k][0] != '/')
				return bad_entry(c, i ? "sandbox.write" : "sandbox.read",
						 "\"%s\" is not an absolute path",
						 lists[i]->items[k]);
		}
	}
	if (user && *user && !getpwnam(user))
		return bad_entry(c, "sandbox.user", "there is no user \"%s\"", user);
	return 0;
}

static int check_once(const struct check *c)
{
	CLEAN(free) char *name = settings_entry_name(c->action);

	for (size_t i = 0; i < c->index; i++) {
		CLEAN(free)
		char *other = settings_entry_name(settings_action(c->settings, i));

		if (strcmp(name, other) == 0)
			return bad_entry(c, "provider",
					 "%s is already served by actions[%zu]", name, i);
	}
	return 0;
}

int settings_check(const char *path, const char *text, const struct settings *s,
		   struct mh_err *err)
{
	struct check c = { .path = path, .text = text, .settings = s, .err = err };

	if (check_file_mode(&c) != 0 || check_directories(&c) != 0 ||
	    check_network(&c) != 0 || check_metrics(&c) != 0 ||
	    check_credentials(&c) != 0 || check_client_tokens(&c) != 0 ||
	    check_health(&c) != 0)
		return -1;
	if (s->poll_interval_min_ms > s->poll_interval_max_ms)
		return bad(&c, "poll_interval_min", "is longer than poll_interval_max");
	if (s->actions.count == 0)
		return bad(&c, "actions", "there is none, so there is nothing to do");
	for (; c.index < s->actions.count; c.index++) {
		c.action = settings_action(s, c.index);
		if (check_type(&c) != 0 || check_query(&c) != 0 ||
		    check_exclusive(&c) != 0 || check_plugin(&c) != 0 ||
		    check_sandbox(&c) != 0 || check_once(&c) != 0)
			return -1;
	}
	return 0;
}
