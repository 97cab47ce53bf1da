/*
 * What a plugin is, without loading it here: millhand-job --describe loads it in a
 * process of its own and prints it. Blocks, for start-up alone.
 *
 *	describe_plugin("/usr/libexec/millhand/millhand-job", path, &info, &err);
 */
#ifndef MH_AGENT_DESCRIBE_H
#define MH_AGENT_DESCRIBE_H

#include <stdbool.h>

#include "agent/settings.h"
#include "lib/base/err.h"

#define DESCRIBE_TIMEOUT_MS 10000

struct plugin_info {
	bool idempotent; /* a job may be started again after its processes vanished */
};

/* PLUGIN with the reason when it cannot be loaded, or does not answer in time. */
int describe_plugin(const char *job_program, const char *plugin, struct plugin_info *ret,
		    struct mh_err *err) MH_MUST_CHECK;

/* Every action entry's plugin, each file once; ret has one item per entry. CONFIG,
 * naming the entry. */
int describe_all(const struct settings *settings, struct plugin_info *ret,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
