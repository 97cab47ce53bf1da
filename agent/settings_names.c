/* How an action entry is called, and what follows from its names. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/settings.h"
#include "lib/base/macros.h"

char *settings_entry_name(const struct action_settings *a)
{
	if (a->query && json_object_object_length(a->query) > 0) {
		json_object_object_foreach(a->query, name, value)
		{
			return mh_format("%s/%s/%s/%s?%s=%s", a->category, a->owner,
					 a->provider, a->version, name,
					 json_object_get_string(value));
		}
	}
	return mh_format("%s/%s/%s/%s", a->category, a->owner, a->provider, a->version);
}

bool settings_is_third_party(const struct action_settings *a)
{
	return strcmp(a->owner, "ThirdParty") == 0;
}

char *settings_plugin_path(const struct settings *s, const struct action_settings *a)
{
	if (a->plugin[0] == '/')
		return mh_strdup(a->plugin);
	return mh_format("%s/%s.so", s->plugin_dir, a->plugin);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *settings_find_program(const char *word)
{
	const char *path = getenv("PATH");

	if (strchr(word, '/'))
		return is_program(word) ? mh_strdup(word) : NULL;
	path = path ? path : "/bin:/usr/bin"; /* as the C library does */
	while (*word) {
		size_t len = strcspn(path, ":");
		CLEAN(free)
		char *file = mh_format("%.*s%s%s", (int)len, path, len ? "/" : "", word);

		if (is_program(file))
			return STEAL_PTR(file);
		if (!path[len])
			break;
		path += len + 1;
	}
	return NULL;
}

enum log_level settings_log_level(const struct settings *s)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
						 LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	return levels[s->log_level]; /* an index into log_levels */
}

/* --- the health command's keys ---------------------------------------------------------
 */

#define AT(f) .offset = offsetof(struct health_settings, f)
const struct conf_key settings_health_keys[] = {
	{ .path = "command",
	  .type = CONF_STRING,
	  AT(command),
	  .example = "/usr/local/bin/host-is-well",
	  .help = "a program and its arguments, run without a shell while no job runs; "
		  "while it ends with another code than 0 no jobs are taken" },
	{ .path = "interval",
	  .type = CONF_DURATION,
	  AT(interval_ms),
	  .min = 100,
	  .max = INT64_C(24) * 3600 * 1000,
	  .def = "1m",
	  .help = "time from its end to its next run" },
	{ .path = "timeout",
	  .type = CONF_DURATION,
	  AT(timeout_ms),
	  .min = 100,
	  .max = INT64_C(3600) * 1000,
	  .def = "30s",
	  .help = "when it takes longer it is killed, and has failed" },
	{ 0 },
};
#undef AT
