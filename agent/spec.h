/*
 * The job spec: what the agent tells a shim about its job, as one JSON object
 * (docs/architecture.md), and the rules for configuration that decide what gets
 * into it.
 */
#ifndef MH_AGENT_SPEC_H
#define MH_AGENT_SPEC_H

#include <stdint.h>

#include <json-c/json.h>

#include "agent/jobdata.h"
#include "agent/settings.h"

struct spec_input {
	const struct settings *settings;
	const struct action_settings *action;
	const struct jobdata *data;
	const char *job_id;
	int64_t n, deadline_ms;
	const char *work_dir; /* of this job */
};

/* Holds a job against its action entry: artifact counts, and the command that may
 * not come from the pipeline. CONFIG, worded for the pipeline's owner. */
int spec_check(const struct settings *settings, const struct action_settings *action,
	       const struct jobdata *data, struct mh_err *err) MH_MUST_CHECK;

/* The pipeline's configuration under the agent's own; the caller owns it. */
struct json_object *spec_merge_config(const struct settings *settings,
				      const struct action_settings *action,
				      const struct jobdata *data) MH_MUST_CHECK;

/* The whole spec; the caller owns it. */
struct json_object *spec_build(const struct spec_input *in) MH_MUST_CHECK;

#endif
