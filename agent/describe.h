/*
 * What a plugin is, without loading it here: millhand-job --describe loads it in a
 * process of its own and prints it. Blocks: for start-up, and for a thread of its own.
 *
 *	describe_all(&settings, -1, infos, &err);
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

/* stop_fd: what becomes readable when the answer is wanted no more, or -1.
 * Every action entry's plugin, each file once; ret has one item per entry. CONFIG,
 * naming the entry: its plugin cannot be loaded, or cannot take the entry's
 * configuration. */
int describe_all(const struct settings *settings, int stop_fd, struct plugin_info *ret,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
