/* Ending a job: by its deadline, an agent, a broken protocol, or the host going down;
 * and killing what a handler leaves behind. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "agent/job/shim.h"
#include "agent/job/tree.h"
#include "include/millhand/plugin.h"
#include "lib/base/log.h"

/* SIGKILL takes effect at once, but for a process that waits for a broken disk. */
#define KILL_PATIENCE_MS 15000
#define SWEEP_EVERY_MS   20

/* Whose descendants are the job's? */
static pid_t tree_root(const struct shim *s)
{
	/* With detach, what left the handler's tree was meant to live on. */
	if (s->handler.namespaces || s->spec.detach)
		return s->handler.pid;
	return getpid();
}

static void signal_job(struct shim *s, int signal_number)
{
	struct handler *h = &s->handler;
	struct mh_err err;
	size_t count;

	if (h->pid == 0)
		return;
	if (tree_signal(tree_root(s), signal_number, &count, &err) != 0) {
		logpipe_note(&s->log, "%s: only the handler's group is signalled",
			     err.text);
		(void)kill(-h->pid, signal_number); /* may be gone */
	}
	/* The root itself: process 1 of namespaces takes no TERM, it goes with KILL. */
	if (!h->namespaces || signal_number == SIGKILL)
		(void)kill(h->pid, signal_number); /* not reaped yet, so it is ours */
}

void shim_kill(struct shim *s)
{
	s->stop.kill_at_ms = NEVER_MS;
	s->stop.give_up_at_ms = clock_mono_ms() + KILL_PATIENCE_MS;
	signal_job(s, SIGKILL);
}

void shim_stop(struct shim *s, int failure, int64_t grace_ms, const char *fmt, ...)
{
	va_list args;

	if (s->stop.active || s->step >= STEP_FINISH)
		return;
	s->stop.active = true;
	s->stop.failure = failure;
	va_start(args, fmt);
	(void)vsnprintf(s->stop.message, sizeof s->stop.message, fmt, args);
	va_end(args);
	logpipe_note(&s->log, "%s", s->stop.message);
	if (s->archiver.pid) /* it leaves nothing behind that counts */
		(void)kill(s->archiver.pid, SIGKILL); /* not reaped yet, so it is ours */
	if (s->space_at_ms != NEVER_MS)
		s->space_at_ms = clock_mono_ms(); /* no use in waiting any longer */
	if (s->step != STEP_RUN)
		return;
	(void)eventfd_write(s->handler.cancel_fd, 1); /* an eventfd takes a 1 */
	if (grace_ms > 0) {
		s->stop.kill_at_ms = clock_mono_ms() + grace_ms;
		signal_job(s, SIGTERM);
	} else {
		shim_kill(s);
	}
}

void shim_deadline_passed(struct shim *s)
{
	int64_t ran_ms = clock_mono_ms() - s->started_ms;

	shim_stop(s, MH_FAIL_JOB_FAILED, s->spec.grace_ms, "timed out after %.*f s",
		  ran_ms < 10000 ? 1 : 0, (double)ran_ms / 1000.0);
}

/* How many are still there. Namespaces took theirs along. */
static size_t kill_rest(struct shim *s)
{
	struct mh_err err;
	size_t count = 0;

	if (s->handler.namespaces || s->spec.detach)
		return 0;
	if (tree_signal(getpid(), SIGKILL, &count, &err) != 0)
		logpipe_note(&s->log, "%s: processes may be left", err.text);
	return count;
}

void shim_sweep(struct shim *s)
{
	int64_t now = clock_mono_ms();
	size_t left = kill_rest(s);

	if (left && !s->swept_any && !s->stop.active)
		logpipe_note(&s->log, "%zu processes were left running and are killed",
			     left);
	if (left && s->stop.give_up_at_ms == NEVER_MS)
		s->stop.give_up_at_ms = now + KILL_PATIENCE_MS;
	s->swept_any = s->swept_any || left;
	if (left && now < s->stop.give_up_at_ms) {
		s->sweep_at_ms = now + SWEEP_EVERY_MS;
		return;
	}
	if (left)
		logpipe_note(&s->log, "%zu processes cannot be killed", left);
	s->sweep_at_ms = NEVER_MS;
	handler_conclude(s);
	shim_advance(s);
}
