/*
 * The shim: one small process per job. It outlives the agent, and is the only one
 * that says how the job ended.
 *
 *	unpack each input -> run the handler -> sweep what it left -> pack each output
 *	-> write result.json -> gone
 *
 * It holds the job's lock from start to end, keeps the deadline, the log and the
 * process tree, and answers to whichever agent connects. Whatever goes wrong, from a
 * spec that makes no sense to a handler that tears down its own process, ends in a
 * result.json with one failure; only the death of the shim itself leaves none.
 *
 *	shim.c         the steps and what follows what
 *	shim_handler.c the handler: start, messages, how its end is understood
 *	shim_stop.c    deadline, cancellation, killing
 *	shim_loop.c    poll(2) and the timers
 *	shim_finish.c  result.json
 *
 * Everything is driven by events in one loop: no call waits for a child, an agent or
 * a timer. Times are absolute, on the monotonic clock: the spec's wall clock deadline
 * is converted once, so that a step of the clock neither kills nor spares a job.
 */
#ifndef MH_JOB_SHIM_H
#define MH_JOB_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/job/agents.h"
#include "agent/job/archiver.h"
#include "agent/job/logpipe.h"
#include "agent/job/result.h"
#include "agent/job/spec.h"
#include "lib/base/clock.h"

/* What the agent hands over. */
enum shim_fd {
	SHIM_FD_SPEC = 3,
	SHIM_FD_JOBDIR = 4,
	SHIM_FD_SOCKET = 5,
	SHIM_FD_KEEP = 6, /* perhaps: a lock, open until the shim ends */
};

enum shim_step {
	STEP_UNPACK,
	STEP_RUN,
	STEP_SWEEP, /* the handler ended; what it left is killed */
	STEP_PACK,
	STEP_FINISH, /* result.json is to be written */
	STEP_DONE,
};

#define NEVER_MS INT64_MAX

/* The handler's process and what it said. */
struct handler {
	pid_t pid; /* process 1 of the namespaces, or the guard; 0: none */
	bool namespaces;
	int channel_fd, cancel_fd;
	int status_fd; /* the handler's wait status comes here */
	bool reaped;
	int wait_status;
	bool outcome_seen;
	bool public_seen;
	char breach[MH_ERR_TEXT_MAX]; /* how it broke the protocol; "" if it did not */
};

/* Why the job is being ended before its time. */
struct stop {
	bool active;
	int failure; /* MH_FAIL_* */
	char message[MH_ERR_TEXT_MAX];
	int64_t kill_at_ms; /* NEVER_MS once killed */
	int64_t give_up_at_ms; /* no process may hold up the result longer */
};

struct shim {
	struct spec spec;
	char boot_id[CLOCK_BOOT_ID_SIZE];
	int jobdir_fd, socket_fd, lock_fd, signal_fd, workdir_fd;
	char *jobdir; /* path, NULL when unknown; owned */
	struct logpipe log;
	struct agents agents;

	enum shim_step step;
	size_t artifact; /* which one is unpacked or packed */
	struct archiver archiver;
	struct handler handler;
	struct stop stop;
	struct result result;
	struct json_object *packed; /* "outputs" of result.json; owned */

	int64_t started_ms, deadline_ms; /* monotonic */
	int64_t sweep_at_ms, retry_at_ms;
	int64_t space_at_ms; /* when the archiver is tried again */
	unsigned space_tries;
	int64_t progress_at_ms; /* when progress may go out next */
	bool progress_due;
	int64_t question; /* id of the pending "wanted", -1: none */
	int64_t question_until_ms;
	size_t retries;
	bool swept_any;
	bool cleared; /* the workspace was given up for want of space */
};

/* From the lock to result.json; answers the exit code. lock_fd is held. */
int shim_main(int take_lock_fd);

/* --- shim.c --- */
/* The current step ended well: begin the next. */
void shim_advance(struct shim *s);
/* The job has failed: straight to result.json. */
void shim_fail(struct shim *s, int failure, const char *fmt, ...) MH_PRINTF(3, 4);
void shim_enter_step(struct shim *s, enum shim_step step);
/* {"m":"state",...}; caller puts. */
struct json_object *shim_state_message(const struct shim *s);
void shim_archiver_ended(struct shim *s, int wait_status);

/* --- shim_handler.c --- */
int handler_start(struct shim *s, struct mh_err *err) MH_MUST_CHECK;
void handler_done(struct handler *h);
/* Reads one message; false when there was none. */
bool handler_read(struct shim *s);
void handler_ended(struct shim *s, int wait_status);
/* All is over: what was the outcome? */
void handler_conclude(struct shim *s);
void handler_answer_wanted(struct shim *s, bool wanted);
struct json_object *handler_progress_message(const struct shim *s);

/* --- shim_stop.c --- */
/* Ends the job: TERM, grace, KILL. The first reason counts. */
void shim_stop(struct shim *s, int failure, int64_t grace_ms, const char *fmt, ...)
	MH_PRINTF(4, 5);
void shim_deadline_passed(struct shim *s);
void shim_kill(struct shim *s);
/* Kills what the handler left; enters the next step once nothing is left. */
void shim_sweep(struct shim *s);

/* --- shim_finish.c --- */
/* Tries to write result.json: STEP_DONE, or retry_at_ms is set. */
void shim_finish(struct shim *s);
/* What stands in it. Caller puts. */
struct json_object *shim_result(struct shim *s);

/* --- shim_loop.c --- */
int loop_open(struct shim *s, struct mh_err *err) MH_MUST_CHECK;
void loop_turn(struct shim *s);
/* Tells who is connected the result, while its file cannot be written. */
void shim_hand_over(struct shim *s);

#endif
