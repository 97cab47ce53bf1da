/* States and their names. */
#include "emulator/store/status.h"

#include <string.h>

#include "lib/base/macros.h"

static const char *const mode_names[] = {
	[MODE_SUPERSEDED] = "SUPERSEDED",
	[MODE_QUEUED] = "QUEUED",
	[MODE_PARALLEL] = "PARALLEL",
};
static const char *const execution_names[] = {
	[EXECUTION_IN_PROGRESS] = "InProgress", [EXECUTION_STOPPING] = "Stopping",
	[EXECUTION_STOPPED] = "Stopped",        [EXECUTION_SUCCEEDED] = "Succeeded",
	[EXECUTION_SUPERSEDED] = "Superseded",  [EXECUTION_FAILED] = "Failed",
	[EXECUTION_CANCELLED] = "Cancelled",
};
static const char *const stage_names[] = {
	[STAGE_INBOUND] = "Inbound",     [STAGE_IN_PROGRESS] = "InProgress",
	[STAGE_STOPPING] = "Stopping",   [STAGE_STOPPED] = "Stopped",
	[STAGE_SUCCEEDED] = "Succeeded", [STAGE_FAILED] = "Failed",
	[STAGE_CANCELLED] = "Cancelled", [STAGE_SKIPPED] = "Skipped",
};
static const char *const phase_names[] = {
	[PHASE_ENTRY] = "entry",
	[PHASE_ACTIONS] = "actions",
	[PHASE_SUCCESS] = "success",
	[PHASE_FAILURE] = "failure",
};
static const char *const condition_names[] = {
	[CONDITION_IN_PROGRESS] = "InProgress", [CONDITION_SUCCEEDED] = "Succeeded",
	[CONDITION_FAILED] = "Failed",          [CONDITION_ERRORED] = "Errored",
	[CONDITION_CANCELLED] = "Cancelled",    [CONDITION_ABANDONED] = "Abandoned",
	[CONDITION_OVERRIDDEN] = "Overridden",
};
static const char *const action_names[] = {
	[ACTION_IN_PROGRESS] = "InProgress",
	[ACTION_SUCCEEDED] = "Succeeded",
	[ACTION_FAILED] = "Failed",
	[ACTION_ABANDONED] = "Abandoned",
};
static const char *const job_names[] = {
	[JOB_CREATED] = "Created",       [JOB_QUEUED] = "Queued",
	[JOB_DISPATCHED] = "Dispatched", [JOB_IN_PROGRESS] = "InProgress",
	[JOB_SUCCEEDED] = "Succeeded",   [JOB_FAILED] = "Failed",
	[JOB_TIMED_OUT] = "TimedOut",
};

/* The words come from our own tables or from validated input: another one is a bug. */
static int parse(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	MH_BUG("a state that no table knows");
}

const char *execution_mode_name(enum execution_mode mode)
{
	return mode_names[mode];
}

enum execution_mode execution_mode_parse(const char *name)
{
	return (enum execution_mode)parse(mode_names, ARRAY_LEN(mode_names), name);
}

const char *execution_status_name(enum execution_status status)
{
	return execution_names[status];
}

enum execution_status execution_status_parse(const char *name)
{
	return (enum execution_status)parse(execution_names, ARRAY_LEN(execution_names),
					    name);
}

bool execution_status_is_open(enum execution_status status)
{
	return status == EXECUTION_IN_PROGRESS || status == EXECUTION_STOPPING;
}

const char *stage_status_name(enum stage_status status)
{
	return stage_names[status];
}

enum stage_status stage_status_parse(const char *name)
{
	return (enum stage_status)parse(stage_names, ARRAY_LEN(stage_names), name);
}

const char *stage_phase_name(enum stage_phase phase)
{
	return phase_names[phase];
}

enum stage_phase stage_phase_parse(const char *name)
{
	return (enum stage_phase)parse(phase_names, ARRAY_LEN(phase_names), name);
}

const char *condition_status_name(enum condition_status status)
{
	return condition_names[status];
}

enum condition_status condition_status_parse(const char *name)
{
	return (enum condition_status)parse(condition_names, ARRAY_LEN(condition_names),
					    name);
}

const char *action_status_name(enum action_status status)
{
	return action_names[status];
}

enum action_status action_status_parse(const char *name)
{
	return (enum action_status)parse(action_names, ARRAY_LEN(action_names), name);
}

const char *job_state_name(enum job_state state)
{
	return job_names[state];
}

enum job_state job_state_parse(const char *name)
{
	return (enum job_state)parse(job_names, ARRAY_LEN(job_names), name);
}

bool job_state_is_open(enum job_state state)
{
	return state <= JOB_IN_PROGRESS;
}
