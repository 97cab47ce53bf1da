/* What no single key can tell about a configuration. */
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/settings.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/net/uri.h"

#define PROVIDER_MAX 35
#define VERSION_MAX  9
#define QUERY_MAX    50
#define NAME_CHARS   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

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

int settings_complete(struct settings *s, struct mh_err *err)
{
	bool env_ok = !env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") ||
		      strcmp(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") != 0;
	const char *any = env_ok ? env("AWS_ENDPOINT_URL") : NULL;

	fall_back(&s->s3_endpoint, s->endpoint);
	fall_back(&s->s3_endpoint, env_ok ? env("AWS_ENDPOINT_URL_S3") : NULL);
	fall_back(&s->s3_endpoint, any);
	fall_back(&s->endpoint, env_ok ? env("AWS_ENDPOINT_URL_CODEPIPELINE") : NULL);
	fall_back(&s->endpoint, any);
	fall_back(&s->region, env("AWS_REGION"));
	fall_back(&s->region, env("AWS_DEFAULT_REGION"));
	fall_back(&s->ca_file, env("AWS_CA_BUNDLE"));
	if (!s->region)
		return mh_err_set(
			err, MH_E_CONFIG,
			"region: is missing; name one, as region = \"us-east-1\" or in "
			"AWS_REGION");
	if (!s->work_dir)
		s->work_dir = mh_format("%s/work", s->state_dir);
	return 0;
}

bool settings_exposed(const char *path, const struct settings *s)
{
	struct stat st;

	return s->credentials.secret_access_key && stat(path, &st) == 0 &&
	       (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
}

static int check_file_mode(const char *path, struct mh_err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return 0; /* the text came from elsewhere */
	if (st.st_mode & S_IWOTH)
		return mh_err_set(
			err, MH_E_CONFIG,
			"%s: everybody may write it; take that away (chmod o-w)", path);
	return 0;
}

static int check_endpoint(const char *path, const char *key, const char *value,
			  bool plain_ok, struct mh_err *err)
{
	CLEAN(uri) struct uri u = { 0 };

	if (!value)
		return 0;
	if (uri_parse(value, &u, err) != 0)
		return mh_err_wrap(err, "%s: %s", path, key);
	if (u.query)
		return mh_err_set(err, MH_E_CONFIG, "%s: %s: an endpoint has no query",
				  path, key);
	if (strcmp(u.scheme, "http") == 0 && !uri_is_loopback(&u) && !plain_ok)
		return mh_err_set(
			err, MH_E_CONFIG,
			"%s: %s: %s is not encrypted and not on this host; use https, or "
			"set allow_plain_http = true",
			path, key, value);
	return 0;
}

static int check_absolute(const char *path, const char *key, const char *value,
			  struct mh_err *err)
{
	if (value[0] == '/')
		return 0;
	return mh_err_set(err, MH_E_CONFIG, "%s: %s: \"%s\" is not an absolute path",
			  path, key, value);
}

static int check_directories(const char *path, const struct settings *s,
			     struct mh_err *err)
{
	static const char *const programs[] = { "millhand-job", "millhand-archive" };

	if (check_absolute(path, "state_dir", s->state_dir, err) != 0 ||
	    check_absolute(path, "work_dir", s->work_dir, err) != 0 ||
	    check_absolute(path, "plugin_dir", s->plugin_dir, err) != 0 ||
	    check_absolute(path, "libexec_dir", s->libexec_dir, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		CLEAN(free)
		char *program = mh_format("%s/%s", s->libexec_dir, programs[i]);

		if (access(program, X_OK) != 0)
			return mh_err_set(err, MH_E_CONFIG,
					  "%s: libexec_dir: there is no program %s", path,
					  program);
	}
	return 0;
}

/* --- one action entry --------------------------------------------------------- */

struct entry {
	const char *path; /* of the file */
	size_t index;
	const struct settings *settings;
	const struct action_settings *action;
};

static int bad(const struct entry *e, struct mh_err *err, const char *key,
	       const char *fmt, ...) MH_PRINTF(4, 5);
static int bad(const struct entry *e, struct mh_err *err, const char *key,
	       const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a long text is cut */
	va_end(args);
	return mh_err_set(err, MH_E_CONFIG, "%s: actions[%zu].%s: %s", e->path, e->index,
			  key, text);
}

static bool is_name(const char *s, size_t max)
{
	size_t len = strlen(s);

	return len > 0 && len <= max && strspn(s, NAME_CHARS) == len;
}

static int check_type(const struct entry *e, struct mh_err *err)
{
	const struct action_settings *a = e->action;
	size_t i = 0;

	if (strcmp(a->owner, "AWS") == 0)
		return bad(e, err, "owner",
			   "PollForJobs does not serve action types owned by AWS; create "
			   "a custom "
			   "action type and use owner = \"Custom\"");
	if (strcmp(a->owner, "ThirdParty") == 0)
		return bad(e, err, "owner",
			   "third-party jobs are not served by this version; use "
			   "\"Custom\"");
	if (strcmp(a->owner, "Custom") != 0)
		return bad(e, err, "owner", "\"%s\" is not known; use \"Custom\"",
			   a->owner);
	while (i < ARRAY_LEN(categories) && strcmp(categories[i], a->category) != 0)
		i++;
	if (i == ARRAY_LEN(categories))
		return bad(e, err, "category",
			   "\"%s\" is none of Source, Build, Deploy, Test, Invoke",
			   a->category);
	if (!is_name(a->provider, PROVIDER_MAX))
		return bad(e, err, "provider",
			   "\"%s\" must be 1 to %d letters, digits, '_' or '-'",
			   a->provider, PROVIDER_MAX);
	if (!is_name(a->version, VERSION_MAX))
		return bad(e, err, "version",
			   "\"%s\" must be 1 to %d letters, digits, '_' or '-'",
			   a->version, VERSION_MAX);
	return 0;
}

static int check_query(const struct entry *e, struct mh_err *err)
{
	struct json_object *query = e->action->query;

	if (!query)
		return 0;
	if (json_object_object_length(query) > 1)
		return bad(e, err, "query",
			   "an action type has at most one queryable property");
	json_object_object_foreach(query, name, value)
	{
		const char *text = json_object_get_string(value);

		if (strlen(name) > QUERY_MAX || !is_name(text, QUERY_MAX))
			return bad(e, err, "query",
				   "%s = \"%s\": a value must be 1 to %d letters, "
				   "digits, '_' or '-'",
				   name, text, QUERY_MAX);
	}
	return 0;
}

static int check_plugin(const struct entry *e, struct mh_err *err)
{
	const char *plugin = e->action->plugin;
	CLEAN(free) char *file = NULL;
	struct stat st;

	if (plugin[0] != '/' && !is_name(plugin, 100))
		return bad(e, err, "plugin",
			   "\"%s\" is neither a name (letters, digits, '_', '-') nor an "
			   "absolute "
			   "path",
			   plugin);
	file = settings_plugin_path(e->settings, e->action);
	if (stat(file, &st) != 0 || !S_ISREG(st.st_mode))
		return bad(e, err, "plugin", "\"%s\": there is no plugin file %s", plugin,
			   file);
	if (st.st_mode & S_IWOTH)
		return bad(e, err, "plugin", "everybody may write %s", file);
	return 0;
}

static int check_sandbox(const struct entry *e, struct mh_err *err)
{
	const struct conf_strings *lists[] = { &e->action->sandbox.read,
					       &e->action->sandbox.write };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (size_t k = 0; k < lists[i]->count; k++) {
			if (lists[i]->items[k][0] != '/')
				return bad(e, err, i ? "sandbox.write" : "sandbox.read",
					   "\"%s\" is not an absolute path",
					   lists[i]->items[k]);
		}
	}
	return 0;
}

static int check_once(const struct entry *e, struct mh_err *err)
{
	CLEAN(free) char *name = settings_entry_name(e->action);

	for (size_t i = 0; i < e->index; i++) {
		CLEAN(free)
		char *other = settings_entry_name(settings_action(e->settings, i));

		if (strcmp(name, other) == 0)
			return bad(e, err, "provider",
				   "%s is already served by actions[%zu]", name, i);
	}
	return 0;
}

int settings_check(const char *path, const struct settings *s, struct mh_err *err)
{
	if (check_file_mode(path, err) != 0 || check_directories(path, s, err) != 0 ||
	    check_endpoint(path, "endpoint", s->endpoint, s->allow_plain_http, err) !=
		    0 ||
	    check_endpoint(path, "s3_endpoint", s->s3_endpoint, s->allow_plain_http,
			   err) != 0)
		return -1;
	if (s->poll_interval_min_ms > s->poll_interval_max_ms)
		return mh_err_set(
			err, MH_E_CONFIG,
			"%s: poll_interval_min is longer than poll_interval_max", path);
	if ((s->credentials.access_key_id != NULL) !=
	    (s->credentials.secret_access_key != NULL))
		return mh_err_set(
			err, MH_E_CONFIG,
			"%s: credentials: access_key_id and secret_access_key belong "
			"together",
			path);
	if (s->actions.count == 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "%s: actions: there is none, so there is nothing to do",
				  path);
	for (size_t i = 0; i < s->actions.count; i++) {
		struct entry e = { path, i, s, settings_action(s, i) };

		if (check_type(&e, err) != 0 || check_query(&e, err) != 0 ||
		    check_plugin(&e, err) != 0 || check_sandbox(&e, err) != 0 ||
		    check_once(&e, err) != 0)
			return -1;
	}
	return 0;
}
