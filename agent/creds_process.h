/*
 * One run of a program that prints a secret (a credential_process, or the command that
 * tells client tokens) on the loop: no shell, a process group of its own, nothing but
 * the output read. Its whole group is killed at the end, however it ends.
 *
 *	creds_process_start(loop, command, timeout_ms, done, ctx, &p, &err);
 *	... done(ctx, &found, NULL) or done(ctx, NULL, &err), once, later ...
 *	creds_process_cancel(p);      instead of waiting for it
 */
#ifndef MH_AGENT_CREDS_PROCESS_H
#define MH_AGENT_CREDS_PROCESS_H

#include "agent/creds_read.h"
#include "lib/net/loop.h"

struct creds_process;
/* found is the callee's to take from; NULL when it failed. p is gone after it. */
typedef void (*creds_process_done_fn)(void *ctx, struct creds_found *found,
				      const struct mh_err *err);

int creds_process_start(struct loop *loop, const char *command, int64_t timeout_ms,
			creds_process_done_fn done, void *ctx, struct creds_process **ret,
			struct mh_err *err) MH_MUST_CHECK;
/* The same for other secrets: `argument` is one more word for the command, and text is
 * what it printed, wiped after done; NULL when it failed. */
typedef void (*creds_process_text_fn)(void *ctx, const char *text, size_t len,
				      const struct mh_err *err);
struct creds_command {
	struct loop *loop;
	const char *what; /* names it in errors: "credential_process" */
	const char *command;
	const char *argument; /* or NULL */
	int64_t timeout_ms;
};
int creds_process_start_text(const struct creds_command *c, creds_process_text_fn done,
			     void *ctx, struct creds_process **ret,
			     struct mh_err *err) MH_MUST_CHECK;
/* Kills it; done will not be called. NULL is none. */
void creds_process_cancel(struct creds_process *p);

#endif
