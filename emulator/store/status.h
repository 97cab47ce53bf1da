/*
 * The states of executions, stages, actions and jobs, in the API's own words
 * (semantics E17, C1). The tables hold the words; the program holds the enums.
 */
#ifndef MH_EMULATOR_STORE_STATUS_H
#define MH_EMULATOR_STORE_STATUS_H

#include <stdbool.h>

enum execution_mode { MODE_SUPERSEDED, MODE_QUEUED, MODE_PARALLEL };
const char *execution_mode_name(enum execution_mode mode);
enum execution_mode execution_mode_parse(const char *name);

enum execution_status {
	EXECUTION_IN_PROGRESS,
	EXECUTION_STOPPING,
	EXECUTION_STOPPED,
	EXECUTION_SUCCEEDED,
	EXECUTION_SUPERSEDED,
	EXECUTION_FAILED,
	EXECUTION_CANCELLED,
};
const char *execution_status_name(enum execution_status status);
enum execution_status execution_status_parse(const char *name);
bool execution_status_is_open(enum execution_status status);

/* INBOUND is ours: waiting in front of the stage. The API shows such an execution as
 * inbound, never as the stage's latest. */
enum stage_status {
	STAGE_INBOUND,
	STAGE_IN_PROGRESS,
	STAGE_STOPPING,
	STAGE_STOPPED,
	STAGE_SUCCEEDED,
	STAGE_FAILED,
	STAGE_CANCELLED,
	STAGE_SKIPPED,
};
const char *stage_status_name(enum stage_status status);
enum stage_status stage_status_parse(const char *name);

/* What a stage that was entered is about (semantics E10): the conditions of its entry,
 * its actions, the conditions of their success or of their failure. */
enum stage_phase { PHASE_ENTRY, PHASE_ACTIONS, PHASE_SUCCESS, PHASE_FAILURE };
const char *stage_phase_name(enum stage_phase phase);
enum stage_phase stage_phase_parse(const char *name);

/* Of a stage's condition; each but the first is an end. */
enum condition_status {
	CONDITION_IN_PROGRESS,
	CONDITION_SUCCEEDED,
	CONDITION_FAILED,
	CONDITION_ERRORED, /* a rule could not be asked */
	CONDITION_CANCELLED, /* the pipeline was updated */
	CONDITION_ABANDONED, /* the execution was stopped */
	CONDITION_OVERRIDDEN,
};
const char *condition_status_name(enum condition_status status);
enum condition_status condition_status_parse(const char *name);

enum action_status {
	ACTION_IN_PROGRESS,
	ACTION_SUCCEEDED,
	ACTION_FAILED,
	ACTION_ABANDONED,
};
const char *action_status_name(enum action_status status);
enum action_status action_status_parse(const char *name);

enum job_state {
	JOB_CREATED,
	JOB_QUEUED,
	JOB_DISPATCHED,
	JOB_IN_PROGRESS,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_TIMED_OUT,
};
const char *job_state_name(enum job_state state);
enum job_state job_state_parse(const char *name);
bool job_state_is_open(enum job_state state);

#endif
