/*
 * The agent: everything put together on one loop.
 *
 *	agent_new(&settings, &options, &agent, &err);   ledger, lock, recovery
 *	code = agent_run(agent);                        until drained, or told to stop
 *	agent_free(agent);
 *
 * Signals are the agent's from agent_new() on (docs/architecture.md lists them).
 */
#ifndef MH_AGENT_AGENT_H
#define MH_AGENT_AGENT_H

#include "agent/settings.h"
#include "lib/base/err.h"

struct agent;

struct agent_options {
	const char *config; /* the file that settings came from, for reload; borrowed */
	bool verbose; /* whatever log_level says */
	int64_t max_jobs; /* end after so many; 0: any number */
	int64_t idle_timeout_ms; /* end after so long without a job; 0: never */
	int64_t max_uptime_ms; /* drain after so long; 0: never */
};

/* Exit codes (peers.md section 5). */
#define EXIT_OK       0
#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_TEMPFAIL 75
#define EXIT_CONFIG   78

/* settings are borrowed, and changed in place by a reload. */
int agent_new(struct settings *settings, const struct agent_options *options,
	      struct agent **ret, struct mh_err *err) MH_MUST_CHECK;
/* Answers an exit code. */
int agent_run(struct agent *agent);
/* Leaves running jobs to their shims. */
void agent_free(struct agent *agent);

#endif
