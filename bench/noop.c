/* The least a plugin can do: what a job costs besides its work. */
#include <millhand/plugin.h>

static const struct mh_option options[] = { MH_OPTIONS_END };

static int32_t run(struct mh_job *job, const struct mh_host *host)
{
	return host->succeed(job);
}

MH_PLUGIN_DEFINE("noop", "1.0", "does nothing", MH_PLUGIN_OPEN_OPTIONS, options, run)
