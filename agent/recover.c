#include "agent/recover.h"

#include "lib/base/macros.h"

static const char *const names[] = {
	[RECOVER_NOTHING] = "nothing", [RECOVER_FORGET] = "forget",
	[RECOVER_ACK] = "ack",         [RECOVER_PREPARE] = "prepare",
	[RECOVER_ADOPT] = "adopt",     [RECOVER_TAKE_RESULT] = "take_result",
	[RECOVER_RUN] = "run",         [RECOVER_VANISHED] = "vanished",
	[RECOVER_STORE] = "store",     [RECOVER_REPORT] = "report",
	[RECOVER_WAIT] = "wait",       [RECOVER_PUT] = "put",
};

const char *recover_action_name(enum recover_action a)
{
	MH_ASSERT(a < ARRAY_LEN(names));
	return names[a];
}

/* A lock that is held is a shim that lives, whatever else is recorded: the
 * kernel drops it at any death. */
static enum recover_action started(const struct recover_facts *f)
{
	if (f->dir_there && f->lock_held)
		return RECOVER_ADOPT;
	if (f->dir_there && f->never_begun)
		return RECOVER_RUN;
	if (f->dir_there && f->result_there)
		return RECOVER_TAKE_RESULT;
	return RECOVER_VANISHED;
}

enum recover_action recover_decide(enum job_state state, const struct recover_facts *f)
{
	switch (state) {
	case JOB_OFFERED:
		return RECOVER_FORGET;
	case JOB_ACKING:
	case JOB_IN_DOUBT:
		return RECOVER_ACK;
	case JOB_OWNED:
	case JOB_FETCHING:
	case JOB_QUEUED:
		return RECOVER_PREPARE;
	case JOB_STARTED:
		return started(f);
	case JOB_STORING:
		return RECOVER_STORE;
	case JOB_OUTCOME:
		return RECOVER_REPORT;
	case JOB_WAITING:
		return RECOVER_WAIT;
	case JOB_REPORTING:
		return RECOVER_PUT;
	case JOB_CLOSED:
	case JOB_STATE_COUNT:
		break;
	}
	return RECOVER_NOTHING;
}
