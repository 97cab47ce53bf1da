/*
 * What to do with a job that a restarted agent finds in its ledger: a pure
 * function from what was recorded and what is seen now.
 */
#ifndef MH_AGENT_RECOVER_H
#define MH_AGENT_RECOVER_H

#include <stdbool.h>

#include "agent/job.h"

struct recover_facts {
	bool dir_there; /* the job's directory */
	bool lock_held; /* by a shim; otherwise by us from here on */
	bool never_begun; /* no shim ever held the lock, and none can now */
	bool result_there;
};

enum recover_action {
	RECOVER_NOTHING, /* it is closed */
	RECOVER_FORGET, /* it never left the first state */
	RECOVER_ACK, /* in doubt: send the same nonce again */
	RECOVER_PREPARE, /* ours, not started: data, credentials and inputs anew */
	RECOVER_ADOPT, /* it runs: connect, and go on */
	RECOVER_TAKE_RESULT, /* it ended without us */
	RECOVER_RUN, /* no shim began: start it */
	RECOVER_VANISHED, /* it may have run, and left nothing */
	RECOVER_STORE, /* upload anew */
	RECOVER_REPORT, /* its outcome was not sent */
	RECOVER_WAIT, /* a continuation that may not be due */
	RECOVER_PUT, /* its outcome may have been sent */
};
const char *recover_action_name(enum recover_action a);

enum recover_action recover_decide(enum job_state state,
				   const struct recover_facts *facts);

#endif
