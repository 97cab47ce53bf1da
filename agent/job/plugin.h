/*
 * Loads a plugin and checks it before anything of it is trusted: the file's owner
 * and mode, then abi, size, name and options (include/millhand/plugin.h).
 * Used in the handler, and by `millhand-job --describe`; never in the shim.
 */
#ifndef MH_JOB_PLUGIN_H
#define MH_JOB_PLUGIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "include/millhand/plugin.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

#define PLUGIN_OPTIONS_MAX 64
#define PLUGIN_NAME_MAX    64

struct plugin {
	const struct mh_plugin *mh; /* lives in the shared object */
	size_t option_count;
};

/* Classes: CONFIG (no such file, or not ours to trust), PLUGIN (a broken one). The
 * shared object stays loaded until the process ends. */
int plugin_load(const char *path, uid_t trusted_uid, struct plugin *ret,
		struct mh_err *err) MH_MUST_CHECK;

const struct mh_option *plugin_option(const struct plugin *p, size_t index);
/* NULL when it has no such option. */
const struct mh_option *plugin_find_option(const struct plugin *p, const char *name);

/* Holds a configuration (all strings) against the options; CONFIG on the first
 * fault, naming the key. */
int plugin_check_config(const struct plugin *p, struct json_object *config,
			struct mh_err *err) MH_MUST_CHECK;
/* Whether this text is right for the option; CONFIG. */
int plugin_check_value(const struct mh_option *o, const char *value,
		       struct mh_err *err) MH_MUST_CHECK;

/* Name, version, ABI, flags and options, for people and the agent. Caller puts. */
struct json_object *plugin_describe(const struct plugin *p);

#endif
