/*
 * The one writer. Every change (and every read that must be exact) is a
 * function handed to one thread, which takes what is queued, runs each in a
 * savepoint of one transaction, commits once with synchronous=FULL, and only
 * then answers all of them: a 200 means committed (design promise 9).
 *
 * It does no file, git or network work, and sleeps until the next call or the
 * next due timer row. A savepoint that fails is rolled back alone. When the
 * commit fails (disk full, say), every call of that batch is answered with an
 * error and nothing of it is kept.
 */
#ifndef MH_EMULATOR_WRITER_H
#define MH_EMULATOR_WRITER_H

#include "emulator/bell.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "emulator/vclock.h"

struct writer;

/* Runs in the writer thread; 0, or -1 with *err set. */
typedef int (*writer_fn)(struct op_ctx *ctx, void *arg, struct api_error *err);

struct writer_options {
	struct store *store; /* borrowed; only the writer thread uses it from now on */
	const struct settings *settings;
	struct settings *knobs; /* the same, where its knobs may be changed in calls: then
				   the writer's alone; or NULL */
	const struct creds_key *creds_key;
	struct ids *ids;
	struct vclock *clock; /* borrowed; NULL: real time */
	struct bell *bell; /* borrowed; rung after a commit with changes; may be NULL */
	/* Fires what is due at ctx->now_ms, one timer row a call: *ret_fired false when
	 * none was due. (engine_fire_due) */
	int (*fire_due)(struct op_ctx *ctx, bool *ret_fired, struct api_error *err);
	/* When the next timer row is due, or -1. (engine_next_due) */
	int64_t (*next_due)(struct op_ctx *ctx);
	/* Called after a commit that set wake_builtin. */
	void (*wake_builtin)(void *arg);
	void *wake_arg;
	/* Called after a commit of which some call set new_work (wait_hub_wake). */
	void (*wake_workers)(void *arg, uint64_t types);
	void *workers_arg;
};

int writer_start(const struct writer_options *options, struct writer **ret,
		 struct mh_err *err) MH_MUST_CHECK;
/* Finishes what is queued, refuses what comes after, joins the thread. */
void writer_stop(struct writer *w);

/* Blocks the calling thread until fn's work is committed (or failed). */
int writer_call(struct writer *w, writer_fn fn, void *arg, const char *caller_arn,
		struct api_error *err) MH_MUST_CHECK;

/* The same for what needs the whole store: it runs alone, between two transactions. What
 * it leaves half done is its own affair. */
int writer_call_alone(struct writer *w, writer_fn fn, void *arg,
		      struct api_error *err) MH_MUST_CHECK;

/* The emulator's time, for any thread. */
int64_t writer_now_ms(const struct writer *w);

#endif
