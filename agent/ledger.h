/*
 * The ledger: one SQLite database in the state directory, written by this agent
 * alone. A row is a job_record. What the agent decided in one turn of its loop
 * goes into one transaction, committed before the effects leave the process:
 *
 *	ledger_open(state_dir, &ledger, &err);      takes agent.lock too
 *	ledger_load(ledger, &records, &count, &err);  what was left open
 *	ledger_begin(ledger, true, &err);
 *	ledger_put(ledger, &job->rec, &err);        for each changed record
 *	ledger_commit(ledger, &err);
 *	ledger_close(ledger);
 *
 * WAL with synchronous=FULL: after the commit of a durable transaction a power
 * loss leaves the rows. One that is not durable survives a killed process, and reaches
 *the disk with the next durable one.
 *
 * A database that an older version of the program made gets the columns it lacks, in
 * one transaction (that version cannot use it any more); one that a newer version made
 * is refused with VERSION, never changed; one that is damaged with PROTO.
 */
#ifndef MH_AGENT_LEDGER_H
#define MH_AGENT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/job.h"
#include "lib/base/err.h"

#define LEDGER_VERSION 2

struct ledger;

/* Makes the directory (0700) and the database where there is none. DENIED when
 * another agent holds the directory. */
int ledger_open(const char *state_dir, struct ledger **ret,
		struct mh_err *err) MH_MUST_CHECK;
void ledger_close(struct ledger *ledger);

/* Every record that is not closed, in order of n. The caller owns the array and
 * what the records hold (job_record_done). */
int ledger_load(struct ledger *ledger, struct job_record **ret, size_t *ret_count,
		struct mh_err *err) MH_MUST_CHECK;

/* A number no job ever had in this state directory. */
int64_t ledger_next_n(struct ledger *ledger);
/* No number up to n is given any more. */
void ledger_skip_n(struct ledger *ledger, int64_t n);

int ledger_begin(struct ledger *ledger, bool durable, struct mh_err *err) MH_MUST_CHECK;
int ledger_put(struct ledger *ledger, const struct job_record *rec,
	       struct mh_err *err) MH_MUST_CHECK;
int ledger_commit(struct ledger *ledger, struct mh_err *err) MH_MUST_CHECK;
void ledger_rollback(struct ledger *ledger);

/* Whether a job of that id was acknowledged by us and is closed: an offer of it
 * is not for us (a job we only lost the race for may come to us again). */
int ledger_was_ours(struct ledger *ledger, const char *job_id, bool *ret,
		    struct mh_err *err) MH_MUST_CHECK;

/* Numbers of the newest closed jobs that ran, ended so, and were closed since; newest
 * first: their directories may be worth keeping. Answers how many (at most max). */
int ledger_finished(struct ledger *ledger, enum outcome_kind kind, int64_t since_ms,
		    int64_t *ret_n, size_t max, size_t *ret_count,
		    struct mh_err *err) MH_MUST_CHECK;

/* Forgets closed rows older than before_ms, but for those of the `keep` newest. */
int ledger_prune(struct ledger *ledger, int64_t before_ms, int64_t keep,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
