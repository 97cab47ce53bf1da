/*
 * The agent from within, for agent*.c alone.
 *
 * Every callback (an answer, a message, a timer) becomes an event of one job:
 * agent_event() runs the table's handler, notes what the ledger must learn, does
 * the local steps, and leaves the effects. Once a turn, agent_turn() commits what
 * changed and only then carries the effects out; they may bring new events, so it
 * goes on until nothing is left. Then it polls, and sets the one timer.
 */
#ifndef MH_AGENT_AGENT_IMPL_H
#define MH_AGENT_AGENT_IMPL_H

#include "agent/agent.h"
#include "agent/cp_api.h"
#include "agent/describe.h"
#include "agent/host.h"
#include "agent/job.h"
#include "agent/jobdir.h"
#include "agent/ledger.h"
#include "agent/poller.h"
#include "agent/retry.h"
#include "agent/s3.h"
#include "agent/shim.h"
#include "agent/status_http.h"
#include "agent/transfer.h"
#include "lib/base/notify.h"
#include "lib/net/loop.h"

#define WANTED_MAX 8 /* questions of one handler that wait for an answer */

/* Settings that a reload has replaced, for the jobs that began with them. */
struct past_settings {
	struct settings settings;
	size_t users; /* freed with the last */
};

/* What is under way for a job. */
struct job_run {
	struct agent *agent;
	struct job *job;
	struct past_settings *past; /* NULL: the present ones */
	size_t entry; /* index of its action entry there; ENTRY_GONE when there is none */
	size_t slot; /* its entry of the poller */
	struct jobdata *data;
	int bad_details; /* answers to GetJobDetails in a row that made no sense */
	struct cp_call *call; /* one of these two at most: a request about the job */
	struct third_call *third_call;
	struct transfer *transfer;
	struct shim *shim;
	bool handed; /* it gave us its result, and waits to hear that it is recorded */
	bool mute; /* it speaks a protocol that we do not know */
	int dir_fd, lock_fd; /* -1: not open */
	int listen_fd; /* where its shim listens; -1: the shim alone knows, or none does
			*/
	int target_fd; /* lock of what it needs alone, until its shim has it; -1: none */
	int64_t target_at_ms; /* look at that lock again then (monotonic) */
	bool holds_slot, has_dirs;
	bool work_dropped; /* its work directory went to make room */
	bool told_queued; /* the log says what it waits for */
	int quota_taken; /* by its last retry */
	int64_t stage_ms; /* since when in this stage (monotonic); 0: from an earlier life
			   */
	int unread; /* times its result could not be read */
	int64_t adopt_at_ms; /* look at its lock again then (monotonic); 0: no need */

	/* Offered again while its acknowledgement was under way; "" nonce: it was not. */
	char reoffer_nonce[JOB_NONCE_SIZE];
	int64_t reoffer_wall_ms, reoffer_mono_ms;
	bool reoffered; /* a third party's: the nonce is still to be asked for */

	struct watch *watch; /* whether its action was abandoned (agent_watch.c) */
	struct wanted {
		int64_t id;
		int64_t round; /* of the watch, the first that answers it */
	} wanted[WANTED_MAX]; /* questions that wait */
	size_t wanted_count;
};
#define ENTRY_GONE SIZE_MAX

enum agent_mode {
	MODE_RUN,
	MODE_DRAIN, /* no new jobs; end when those there are are done */
	MODE_CANCEL, /* the same, and they are asked to end */
	MODE_HANDOVER, /* no new jobs; end when nothing is in flight, leave jobs running
			*/
};

struct poll_call {
	struct agent *agent;
	size_t entry;
	int batch;
	bool failing; /* said so already */
	int64_t sent_ms, answered_ms, good_ms; /* monotonic, the last; 0: never */
	int64_t good_wall_ms;
	enum cp_result result; /* of the last */
	struct cp_call *call;
};

/* What agent_host.c knows; of numbers also for those who show them. */
struct agent_host {
	struct host_space space; /* at the last look, of the file system that lacks it */
	bool reserved; /* the reserve is there */
	bool reserve_missed; /* said so already */
	bool collecting; /* a directory is being removed to make room */
	int64_t collected_to; /* number of the last one */
	uint64_t collected;
	int64_t swept_ms; /* monotonic */
	int64_t jobs_by_files; /* as many may be at once */
};

/* agent_check.c */
struct agent_check {
	struct creds_process *process; /* under way */
	int64_t due_ms; /* monotonic; 0: now */
	bool failing;
};

struct wait_call; /* agent_wait.c */
struct reload; /* agent_reload.c */
struct watch; /* agent_watch.c */
struct control;
struct third; /* agent_third.c */

struct agent {
	const struct settings *settings; /* stays where it is, also when reloaded */
	struct settings *settings_place; /* the same, for agent_reload.c */
	struct agent_options options;
	struct loop *loop;
	struct http_client *http;
	struct aws *aws;
	struct creds_store *creds;
	struct cp *cp;
	struct s3 *s3;
	struct ledger *ledger;
	struct jobdirs *dirs;
	struct poller *poller; /* one entry per action entry; the last is for jobs of none
				*/
	struct reload *reload; /* under way */
	struct retry_quota quota;
	struct retry_outage api_outage, store_outage;
	char boot_id[CLOCK_BOOT_ID_SIZE];
	struct zygote *zygote;

	struct plugin_info *plugins; /* one per action entry */
	char **entries; /* names of the action entries, as in the ledger */
	struct poll_call *polls; /* one per entry */
	struct third *third;
	struct wait_call *waits; /* under way */
	int64_t wait_at_ms; /* when to ask whether the endpoint lets us wait; 0: now */
	int wait_failures; /* in a row */
	bool wait_known; /* it did once */
	bool wait_on; /* it does now */
	struct job *jobs; /* all that are not freed yet */

	uv_timer_t timer;
	uv_signal_t signals[7];
	size_t signal_count;

	struct control *control; /* NULL: it could not be had */
	enum agent_mode mode;
	bool paused; /* by an operator: no new jobs, and no end */
	int terms; /* TERM and INT received so far */
	int64_t mode_ends_ms; /* monotonic: leave the rest then */
	int64_t started_ms; /* monotonic */
	int64_t jobs_taken; /* acknowledged as ours in this life */
	int64_t active_ms; /* monotonic: when there last was a job */
	int64_t ledger_at_ms; /* the ledger refused; try again then; 0: all is well */
	int ledger_failures;
	int64_t gather_until_ms; /* what changed waits for more (monotonic); 0: it does
				    not */
	int64_t pruned_ms;
	struct watch *watches; /* one for each execution that has jobs here */
	bool watch_denied; /* ListActionExecutions is not ours to call */
	int64_t disk_at_ms; /* when to look for free space again; 0: now */
	bool disk_full; /* too little of it, or of inodes, to take jobs */
	struct agent_host host;
	struct agent_check check;
	bool stopped;
	int exit_code;
	uint64_t ended[JOB_END_COUNT]; /* jobs by how they were closed */
	uint64_t doubts_kept; /* in doubt, and taken as ours by policy */

	/* What others are told of it. */
	struct status_http *status; /* NULL: nobody may ask */
	struct notify manager;
	int64_t started_wall_ms;
	int64_t unwritten_ms; /* since when changes wait for the ledger (monotonic); 0: no
			       */
	int64_t owed_ms; /* since when a poll is owed and none is under way; 0: none is */
	int64_t fed_ms, told_ms; /* the watchdog; the manager's status line (monotonic) */
	char told[128];
	bool starved; /* the watchdog, because something is overdue */
};

/* agent.c */
void agent_event(struct agent *a, struct job *job, const struct job_event *ev);
void agent_simple_event(struct agent *a, struct job *job, enum job_event_type type);
void agent_fail_job(struct agent *a, struct job *job, const char *failure,
		    const char *text);
struct job *agent_add_job(struct agent *a, const struct job_record *take_record,
			  size_t entry);
struct job *agent_find_job(struct agent *a, const char *id);
void agent_forget_jobs(struct agent *a); /* running ones go on */
/* What the job began with, whatever was reloaded since. */
const struct settings *agent_job_settings(const struct agent *a, const struct job *job);
const struct action_settings *agent_action(const struct agent *a, const struct job *job);
size_t agent_find_entry(const struct agent *a, const char *name);
void agent_turn(void *ctx);
void agent_stop(struct agent *a, int exit_code);

/* agent_log.c: what is said about jobs. */
void agent_log_change(struct agent *a, struct job *job, enum job_state before,
		      const struct job_event *ev);
void agent_log_dump(struct agent *a);
/* The service's errors in the course of a job, said once each time they happen: retries
 * are spaced. */
void agent_log_trouble(const struct job *job, const struct cp_op *op,
		       const struct cp_answer *answer, const struct mh_err *err);

/* agent_observe.c: what is counted */
void agent_observe_change(struct agent *a, struct job *job, enum job_state before,
			  const struct job_event *ev);
void agent_observe_retry(const struct job *job);
void agent_observe_poll_sent(struct poll_call *p);
/* jobs: -1 when it failed. */
void agent_observe_poll(struct agent *a, struct poll_call *p, enum cp_result result,
			int jobs);
/* Counters that begin at 0 rather than with their first event. */
void agent_observe_start(struct agent *a);
void agent_observe_gauges(struct agent *a);
/* How polls went, over a reload: what is not there any more is forgotten. */
struct poll_memory;
struct poll_memory *agent_observe_remember(const struct agent *a);
void agent_observe_recall(struct agent *a, struct poll_memory *take);

/* agent_health.c: whether it is well */
#define HEALTH_WHY_SIZE 160
/* At the end of a turn: notes what it owes from here on. */
void agent_health_turn(struct agent *a, int64_t now_ms);
/* False: something it owes is overdue, *ret_why says what. */
bool agent_is_well(const struct agent *a, int64_t now_ms, char ret_why[HEALTH_WHY_SIZE]);
enum ready_check { READY_RUNNING, READY_LEDGER, READY_DISK, READY_POLLS, READY_CHECKS };
extern const char *const ready_check_names[READY_CHECKS];
bool agent_is_ready(const struct agent *a, enum ready_check check, int64_t now_ms,
		    char ret_why[HEALTH_WHY_SIZE]);
const char *agent_mode_name(const struct agent *a);

/* agent_status.c: the HTTP server (metrics_listen) */
void agent_status_start(struct agent *a);

/* agent_notify.c: the service manager */
void agent_notify_open(struct agent *a);
void agent_notify_ready(struct agent *a);
void agent_notify_mode(struct agent *a);
/* A reload begins, or has ended. */
void agent_notify_reload(struct agent *a, bool begins);
/* Feeds the watchdog when there is something to feed it for; answers when to be called
 * again. */
int64_t agent_notify_turn(struct agent *a, int64_t now_ms);

/* agent_retry.c. The quota slows retrying down when most of it fails; it never ends it,
 * because results must get through. To be called after the event set the job's timer. */
void agent_note_quota(struct agent *a, struct job *job, enum job_event_type type);
/* An answer, or none: the first good one after an outage ends all waiting for it. */
void agent_heard_api(void *ctx, enum cp_result result);
void agent_heard_store(struct agent *a, enum transfer_end end);

/* agent_effects.c */
/* Whether the data are of the action type that the job was asked for as. */
bool agent_is_of_entry(const struct agent *a, const struct job *job,
		       const struct jobdata *d);
void agent_prepare(struct agent *a, struct job *job);
void agent_carry_out(struct agent *a, struct job *job, unsigned effects);

/* agent_shim.c: processes */
void agent_spawn(struct agent *a, struct job *job);
void agent_adopt(struct agent *a, struct job *job);
void agent_ask_shim_to_stop(struct job *job);
void agent_read_result(struct agent *a, struct job *job);
/* After the commit of a result that its shim handed over. */
void agent_result_is_taken(struct job *job);
/* Ends a shim that lets its deadline pass; answers when to look (monotonic), or 0. */
int64_t agent_backstop(struct agent *a, struct job *job, int64_t now_ms);

/* agent_clean.c: what is left of jobs */
void agent_clean(struct agent *a, struct job *job);
int agent_sweep(struct agent *a, struct mh_err *err) MH_MUST_CHECK;
void agent_release_run(struct job_run *run);
void agent_close_listener(struct job_run *run);

/* agent_poll.c */
void agent_poll(void *ctx, size_t entry, int batch);
bool agent_may_poll(struct agent *a);
/* In plain words, or NULL when it polls. */
const char *agent_why_no_polls(const struct agent *a);
void agent_open_poller(struct agent *a);
void agent_close_poller(struct agent *a);
/* Where the job belongs, from its data into its record. */
void agent_note_context(struct job_record *rec, const struct jobdata *d);
/* Acknowledges the job by the nonce it was offered with again; false when it was not. */
bool agent_take_reoffer(struct agent *a, struct job *job);

/* agent_third.c: a third party's jobs */
void agent_third_start(struct agent *a);
void agent_third_end(struct agent *a);
void agent_third_reload(struct agent *a);
/* A request about a job of either family: op and body are a custom job's. */
void agent_send(struct agent *a, struct job *job, const struct cp_op *op,
		struct json_object *body, cp_done_fn done);
/* What is sent in the place of a custom job's operation. */
const struct cp_op *agent_op(const struct job *job, const struct cp_op *op);
bool agent_is_asking(const struct job_run *run);
void agent_stop_asking(struct job_run *run);
void agent_third_offer(struct agent *a, size_t entry, const struct cp_offer *offer,
		       const struct cp_answer *answer);
void agent_third_reoffer(struct agent *a, struct job *job,
			 const struct cp_answer *answer);
/* Looked at a moment ago, and left. */
bool agent_third_was_passed(struct agent *a, const struct cp_offer *offer);
/* Before it is acknowledged, its details are asked for their nonce. */
bool agent_third_wants_nonce(const struct job *job);
void agent_third_ask_nonce(struct agent *a, struct job *job);

/* agent_wait.c: being told when there is work; answers when to be called again. */
int64_t agent_wait(struct agent *a, int64_t now_ms);
void agent_wait_stop(struct agent *a);

/* agent_control.c: what operators ask; without its socket the agent goes on */
void agent_open_control(struct agent *a);

/* agent_reload.c: HUP */
void agent_reload(struct agent *a);
/* Once a turn: swaps when everything is ready. */
void agent_reload_turn(struct agent *a);
/* True while polls must wait for the swap. */
bool agent_reload_holds(const struct agent *a);
/* At the end, before the loop's: which waits for a thread under way. */
void agent_reload_drop(struct agent *a);
void agent_release_past(struct past_settings *past);

/* agent_host.c: room on the disk, descriptors, what is kept of finished jobs */
void agent_host_start(struct agent *a); /* and after each reload */
/* Answers when to be called again. */
int64_t agent_host_turn(struct agent *a, int64_t now_ms);
/* For a commit that found no space: false when nothing was kept back. */
bool agent_give_reserve(struct agent *a);
/* For one that found none even so: what jobs filled may be what is missing, and those
 * that are over need their workspaces no more, recorded or not. */
void agent_drop_workspaces(struct agent *a);
/* How many jobs more there are descriptors for. */
int64_t agent_host_jobs(const struct agent *a);

/* agent_check.c: the operator's health command. Answers when to be called again. */
int64_t agent_check_turn(struct agent *a, int64_t now_ms);
/* True while nothing may be polled because of it. */
bool agent_check_holds(const struct agent *a, int64_t now_ms);

/* agent_recover.c */
int agent_recover(struct agent *a, struct mh_err *err) MH_MUST_CHECK;

/* agent_watch.c: abandoned actions. Answers when to be called again, 0: by itself. */
int64_t agent_watch(struct agent *a, struct job *job, int64_t now_ms);
void agent_watch_leave(struct job_run *run);
/* Its handler asks; the answer goes to the shim. */
void agent_wanted(struct agent *a, struct job *job, int64_t id);

/* agent_exclusive.c: starts what waits for another job, when its turn has come. */
void agent_give_turns(struct agent *a);
void agent_leave_target(struct job_run *run);

/* agent_life.c: signals, and when it is over */
int agent_start_signals(struct agent *a, struct mh_err *err) MH_MUST_CHECK;
void agent_stop_signals(struct agent *a);
/* Ends the loop when there is nothing left to stay for; answers when to look again. */
int64_t agent_judge_life(struct agent *a, int64_t now_ms);
bool agent_takes_jobs(const struct agent *a);
bool agent_is_live(const struct job *job);

#endif
