/*
 * When to poll for which action type, and for how many jobs. Arithmetic on times
 * the caller hands in; sending is the caller's.
 *
 *	p = poller_new(&options, now);
 *	i = poller_add(p, max_jobs);          one entry per action type
 *	next = poller_run(p, now);            calls poll() for what is due
 *	poller_answered(p, i, jobs, now) or poller_failed(p, i, &failure, now)
 *	poller_take(p, i), poller_give(p, i, now)   a job got a slot, gave it back
 *
 * A slot is reserved before a poll leaves, so never more jobs come than can run;
 * a poll asks for all slots that are free. Types that share slots take turns.
 * After a full batch, and when a slot frees, the next poll follows at once; while
 * jobs arrive, after the short interval; from 20 empty answers on the interval
 * grows to the long one (measurements 8). Errors back off to 60 s. One token
 * bucket holds all of it. Between polls nothing wakes up.
 *
 * Where the endpoint tells when there is work (agent_wait.c), poller_waiting() stops the
 * blind polls, but for one a minute: poller_may_wait() says for which entries to wait,
 * poller_hint() that one has work. Hints that bring nothing (another worker was quicker,
 * or the job's queryable value is another) are believed again after the interval only.
 */
#ifndef MH_AGENT_POLLER_H
#define MH_AGENT_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct poller;

struct poller_options {
	int64_t min_ms, max_ms, retry_base_ms;
	double rate; /* polls a second */
	int max_jobs;
	void (*poll)(void *ctx, size_t entry, int batch);
	void *ctx;
};

#define POLLER_NEVER INT64_MAX

struct poller *poller_new(const struct poller_options *options, int64_t now_ms);
void poller_free(struct poller *p);

/* max_jobs 0: the host's limit alone. POLLER_NO_POLLS: its jobs take slots, and it is
 * never polled. */
#define POLLER_NO_POLLS (-1)
size_t poller_add(struct poller *p, int max_jobs);

/* Polls what is due; answers when to be called again (POLLER_NEVER: not before
 * something happens). To be called after anything else here was. */
int64_t poller_run(struct poller *p, int64_t now_ms);

/* The poll of this entry is over; what it had reserved is free again. */
void poller_answered(struct poller *p, size_t entry, int jobs, int64_t now_ms);
struct poller_failure {
	bool throttled;
	int64_t asked_ms; /* what the server asked for, or -1 */
};
/* Answers the delay until the next poll of the entry. */
int64_t poller_failed(struct poller *p, size_t entry, const struct poller_failure *f,
		      int64_t now_ms);

/* The service is back after an outage: who kept its distance is due now. */
void poller_recovered(struct poller *p, int64_t now_ms);

void poller_take(struct poller *p, size_t entry);
void poller_give(struct poller *p, size_t entry, int64_t now_ms);

/* Whether the endpoint tells when there is work. */
void poller_waiting(struct poller *p, bool on, int64_t now_ms);
/* From when on to wait for work of this entry: now_ms or earlier for at once,
 * POLLER_NEVER when it is polled anyway or could take nothing. */
int64_t poller_may_wait(const struct poller *p, size_t entry, int64_t now_ms);
/* Whatever was planned: polls all entries as soon as slots and rate allow; answers how
 * many have a slot. */
size_t poller_poll_now(struct poller *p, int64_t now_ms);

/* There is said to be work. */
void poller_hint(struct poller *p, size_t entry, int64_t now_ms);

/* At most so many jobs may come from now on (-1: any number). */
void poller_limit(struct poller *p, int jobs);
bool poller_in_flight(const struct poller *p);
/* Whether a poll of this entry could bring a job now. */
bool poller_has_room(const struct poller *p, size_t entry);

#endif
