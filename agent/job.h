/*
 * One job's life, as a table: state x event -> handler (job_table.c). Nothing
 * else sets a state. The table touches no file, socket or clock: a handler reads
 * the event and the environment it is given, changes the record, and asks for
 * what must follow:
 *
 *	todo      local steps, done at once, in the same turn (checks, directories)
 *	effects   what leaves the process (requests, processes): done only after the
 *	          record was committed to the ledger (design section 3)
 *	retry_at  when to send it the event JOB_EV_TIMER
 *
 *	offered -> acking -> owned -> fetching -> started -> storing -> outcome
 *	             |  ^             (queued)                             |
 *	          in_doubt                     closed <- reporting <- (waiting)
 *
 * Times ending in _ms are wall clock in records and monotonic in retry_at_ms.
 */
#ifndef MH_AGENT_JOB_H
#define MH_AGENT_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/outcome.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define JOB_STATES(X)                                                                    \
	X(OFFERED, offered) /* a poll brought it; a slot is kept. A third party's waits  \
			       here for its details, which have the nonce */             \
	X(ACKING, acking) /* AcknowledgeJob may have been sent */                        \
	X(IN_DOUBT, in_doubt) /* it was sent, and its answer is lost (C4) */             \
	X(OWNED, owned) /* acknowledged: one outcome is owed from here on */             \
	X(FETCHING, fetching) /* its inputs are on their way */                          \
	X(QUEUED, queued) /* ... complete; another job has its target (exclusive) */     \
	X(STARTED, started) /* a shim may have been started for it */                    \
	X(STORING, storing) /* the handler succeeded, its outputs are on their way */    \
	X(OUTCOME, outcome) /* how it ended is settled and will not change kind */       \
	X(WAITING, waiting) /* a continuation whose delay has not passed */              \
	X(REPORTING, reporting) /* Put*Result may have been sent */                      \
	X(CLOSED, closed)

#define JOB_EVENTS(X)                                                                    \
	X(ADMIT, admit) /* acknowledge it */                                             \
	X(DECLINE, decline) /* it cannot run here now: let it be offered again */        \
	X(REOFFER, reoffer) /* a poll offers it again; the nonce is new */               \
	X(ACK_OURS, ack_ours) /* status InProgress */                                    \
	X(ACK_TAKEN, ack_taken) /* InvalidNonce, or InvalidJobState (D18) */             \
	X(ACK_OVER, ack_over) /* another status, or JobNotFound */                       \
	X(ACK_REFUSED, ack_refused) /* refused for good: validation, access */           \
	X(ACK_AGAIN, ack_again) /* certainly not processed */                            \
	X(ACK_UNKNOWN, ack_unknown) /* may have been processed: no answer, or 5xx */     \
	X(DETAILS, details) /* GetJobDetails brought data, and what comes with them */   \
	X(DETAILS_AGAIN, details_again)                                                  \
	X(EXPIRED, expired) /* the store says the credentials are too old */             \
	X(GONE, gone) /* JobNotFound: nobody waits for it any more */                    \
	X(PREPARED, prepared) /* checked, its directories are there */                   \
	X(FETCHED, fetched) /* every input is complete */                                \
	X(TURN, turn) /* no other job has, or comes first for, what it needs */          \
	X(TRANSFER_AGAIN, transfer_again)                                                \
	X(ENDED, ended) /* result.json was read */                                       \
	X(NOT_BEGUN, not_begun) /* its shim certainly never got the lock */              \
	X(VANISHED, vanished) /* the shim is gone and left no result */                  \
	X(STORED, stored) /* every output was taken by the store */                      \
	X(FAIL, fail) /* it cannot go on: type and message say why */                    \
	X(REPORT, report) /* the outcome is recorded: send it, or wait */                \
	X(PUT_DONE, put_done)                                                            \
	X(PUT_STATE, put_state) /* InvalidJobState */                                    \
	X(PUT_REFUSED, put_refused) /* refused for good */                               \
	X(PUT_AGAIN, put_again) /* certainly not processed */                            \
	X(PUT_UNKNOWN, put_unknown) /* may have been processed */                        \
	X(TIMER, timer)                                                                  \
	X(CANCEL, cancel) /* by a signal, or the action was abandoned */                 \
	X(RESTART, restart) /* this agent found it in the ledger */

enum job_state {
#define X(name, text) JOB_##name,
	JOB_STATES(X)
#undef X
		JOB_STATE_COUNT
};

enum job_event_type {
#define X(name, text) JOB_EV_##name,
	JOB_EVENTS(X)
#undef X
		JOB_EVENT_COUNT
};

/* Why a job is closed. */
#define JOB_ENDS(X)                                                                      \
	X(NONE, none) /* it is not */                                                    \
	X(DELIVERED, delivered) /* the service took its outcome */                       \
	X(REFUSED, refused) /* the service refused it for good */                        \
	X(GONE, gone) /* the service does not know the job */                            \
	X(EXPIRED, expired) /* its outcome could not be delivered in time */             \
	X(LOST, lost) /* another worker has it */                                        \
	X(LAPSED, lapsed) /* could not be acknowledged in time */                        \
	X(DROPPED, dropped) /* in doubt, and dropped by policy */                        \
	X(DECLINED, declined)

enum job_end {
#define X(name, text) JOB_END_##name,
	JOB_ENDS(X)
#undef X
		JOB_END_COUNT
};

const char *job_state_name(enum job_state state);
const char *job_event_name(enum job_event_type type);
const char *job_end_name(enum job_end end);
/* False when there is no such name (a ledger of another version, or damaged). */
bool job_state_parse(const char *name, enum job_state *ret);
bool job_end_parse(const char *name, enum job_end *ret);

/* How an InvalidNonce after a lost answer is settled (design promise 4). */
enum in_doubt { IN_DOUBT_FRESH, IN_DOUBT_ADOPT, IN_DOUBT_DROP };

#define JOB_FRESH_MS   15000 /* sooner than any redelivery */
#define JOB_LAPSE_MS   60000 /* an offer nobody acknowledged is handed out again */
#define JOB_ID_SIZE    2049 /* a third party's: 512 characters of up to 4 bytes */
#define JOB_NONCE_SIZE 256 /* 50 characters of up to 4 bytes, and room */
#define JOB_NAME_SIZE  128 /* API names have at most 100 characters, ASCII */

/* What the ledger keeps of a job: ids, nonce, state, attempts. Never
 * configuration, artifact locations, credentials or client tokens. */
struct job_record {
	int64_t n; /* our own number, names its directories */
	char id[JOB_ID_SIZE]; /* data, never a path */
	char client_id[STR_UUID_SIZE]; /* whose a third-party job is; "": a custom job */
	char *entry; /* the action entry it came by ("Build/Custom/Make/1"), owned */
	char nonce[JOB_NONCE_SIZE]; /* wiped once closed */
	enum job_state state;
	enum job_end end;
	bool owned; /* acknowledged by us at some time */
	bool put_doubt; /* a Put*Result may have been processed */
	int ack_attempts, put_attempts, runs;
	int64_t offered_ms; /* when the poll that brought it was sent */
	int64_t owned_ms, deadline_ms, started_ms, outcome_ms, due_ms, closed_ms;
	char boot_id[CLOCK_BOOT_ID_SIZE]; /* of the last start */
	char *outcome; /* outcome.h text, owned; NULL before there is one and once closed
			*/
	enum outcome_kind kind;
	char failure[24]; /* failure type, "" when none */
	/* Where it belongs; for people, and to ask what became of it. */
	char pipeline[JOB_NAME_SIZE], stage[JOB_NAME_SIZE], action[JOB_NAME_SIZE];
	char execution_id[STR_UUID_SIZE];
	char action_execution_id[JOB_NAME_SIZE]; /* what to look for to see an abandonment
						  */
};

/* Local steps. */
#define JOB_TODO_PREPARE                                                                 \
	0x01u /* check it against its action entry, make its directories */
#define JOB_TODO_REPORT 0x02u /* send it JOB_EV_REPORT */

/* Effects, in the order in which they are carried out. */
#define JOB_DO_ABORT   0x001u /* give up requests and transfers under way */
#define JOB_DO_ACK     0x002u
#define JOB_DO_DETAILS 0x004u
#define JOB_DO_FETCH   0x008u /* begin, or go on */
#define JOB_DO_SPAWN   0x010u
#define JOB_DO_ADOPT   0x020u /* find the running shim */
#define JOB_DO_STOP    0x040u /* ask the shim to cancel */
#define JOB_DO_STORE   0x080u /* begin, or go on */
#define JOB_DO_PUT     0x100u
#define JOB_DO_CLEAN   0x200u /* it is over: free what it holds */

struct job {
	struct job_record rec;
	unsigned todo, effects;
	int64_t retry_at_ms; /* monotonic; 0: no timer */
	int retries; /* in this state, since something last went well */
	int renewals; /* of artifact credentials in this state */
	int64_t offered_mono_ms; /* 0 after a restart */
	int64_t timeout_ms; /* of its action entry */
	bool idempotent; /* its handler may be started again */
	bool exclusive; /* it waits for its turn before it is started */
	bool cancelled;
	char cancel_reason[128];
	bool dirty; /* the record differs from the ledger's */
	struct job_run *run; /* the agent's: what is under way for it */
	struct job *prev, *next;
};

/* What handlers may know of the world. */
struct job_env {
	int64_t wall_ms, mono_ms;
	enum in_doubt in_doubt;
	int64_t retry_base_ms; /* the first retry comes after about so long */
	int64_t result_timeout_ms; /* outcomes older than this are given up */
	const char *boot_id;
};

struct job_event {
	enum job_event_type type;
	int64_t asked_ms; /* *_AGAIN: what the server asked for, or -1 */
	bool progress; /* TRANSFER_AGAIN, EXPIRED: a good part of it went well */
	const char *failure; /* FAIL: one of outcome_failure_types */
	/* FAIL, CANCEL: for people. REOFFER, and DETAILS of an offer: the nonce. */
	const char *text;
	struct outcome *take_outcome; /* ENDED: emptied by the table */
	int64_t offered_ms, offered_mono_ms; /* REOFFER */
};

struct job *job_new(const struct job_record *take_record);
void job_free(struct job *job);
void job_record_done(struct job_record *rec);

/* Runs the handler of (state, event). False when the table has none: the event
 * comes too late or makes no sense, and nothing was changed. */
bool job_dispatch(struct job *job, const struct job_env *env, const struct job_event *ev);

/* Whether the table has a handler for it (tests, diagnostics). */
bool job_accepts(enum job_state state, enum job_event_type type);

/* Whether this moment is sooner after its offer than any redelivery. */
bool job_is_fresh(const struct job *job, const struct job_env *env);
/* Until when (wall clock) its outputs may be uploaded. */
int64_t job_store_until_ms(const struct job *job);
/* How long the transfer that its state asks for may still take, at least 1. */
int64_t job_transfer_ms(const struct job *job, int64_t wall_ms);

/* A third party's: other operations, and a client token for each. */
static inline bool job_is_third_party(const struct job *job)
{
	return job->rec.client_id[0] != '\0';
}

/* Whether it takes one of the slots of max_jobs. */
bool job_holds_slot(const struct job *job);

#endif
