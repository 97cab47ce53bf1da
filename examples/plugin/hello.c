/*
 * A whole plugin: writes a greeting into its first output artifact.
 *
 *	make                        builds hello.so against the installed header
 *	cp hello.so <plugin_dir>/   owned by root, not writable by others
 *
 * and in the agent's configuration:
 *
 *	{ category = "Build"; owner = "Custom"; provider = "Hello"; version = "1";
 *	  plugin = "hello"; outputs = [1, 1]; config = { greeting = "good morning"; }; }
 */
#include <millhand/plugin.h>

#include <stdio.h>

static const struct mh_option options[] = { { "greeting", "what to say", "hello",
					      MH_OPTION_STRING, MH_OPTION_PUBLIC, 0, 0 },
					    MH_OPTIONS_END };

static int32_t run(struct mh_job *job, const struct mh_host *host)
{
	const char *greeting = host->config(job, "greeting");
	const char *dir = host->output_dir(job, 0);
	char path[4096];
	FILE *file;

	if (!dir)
		return host->fail(job, MH_FAIL_CONFIGURATION_ERROR,
				  "the action needs an output artifact");
	(void)snprintf(path, sizeof path, "%s/greeting.txt", dir);
	file = fopen(path, "w");
	if (!file || fprintf(file, "%s\n", greeting) < 0 || fclose(file) != 0)
		return host->fail(job, MH_FAIL_SYSTEM_UNAVAILABLE,
				  "the greeting cannot be written");
	host->log(job, MH_LOG_INFO, "greeted");
	(void)host->set_summary(job, greeting);
	return host->succeed(job);
}

MH_PLUGIN_DEFINE("hello", "1.0", "greets", MH_PLUGIN_IDEMPOTENT, options, run)
