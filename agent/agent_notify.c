/* What the service manager is told (sd_notify): ready, ending, what it does, and that it
 * is well. The watchdog is fed at the end of a turn of the loop, and only when nothing
 * that the agent owes is overdue: a loop that hangs in a callback, a ledger on a disk
 * that does not answer, a poll that never comes back all end the feed. */
#include <stdio.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define TELL_EVERY_MS 1000
#define END_ROOM_MS   10000 /* past the time limit of an end, for what comes after */

/* One line for `systemctl status`. */
static void describe(const struct agent *a, char *ret, size_t size)
{
	int64_t live = 0, owed = 0;
	char why[HEALTH_WHY_SIZE];
	const char *doing = a->mode == MODE_RUN      ? "taking jobs"
			    : a->mode == MODE_DRAIN  ? "draining"
			    : a->mode == MODE_CANCEL ? "cancelling jobs"
						     : "handing over";

	if (a->mode == MODE_RUN && a->paused)
		doing = "drained: taking no jobs until it is resumed";
	else if (a->mode == MODE_RUN && a->disk_full)
		doing = "taking no jobs: the disk is full";
	else if (a->mode == MODE_RUN && a->ledger_failures > 0)
		doing = "taking no jobs: the ledger cannot be written";
	else if (a->mode == MODE_RUN && a->polls[0].result != CP_OK &&
		 !agent_is_ready(a, READY_POLLS, clock_mono_ms(), why))
		doing = "polling fails";
	for (const struct job *job = a->jobs; job; job = job->next) {
		live += job_holds_slot(job);
		owed += job->rec.state >= JOB_OUTCOME && job->rec.state < JOB_CLOSED;
	}
	(void)snprintf(ret, size, "%s; %lld of %lld slots used, %lld results to deliver",
		       doing, (long long)live, (long long)a->settings->max_jobs,
		       (long long)owed);
}

void agent_notify_open(struct agent *a)
{
	if (!notify_init(&a->manager))
		log_event(LOG_LEVEL_WARN, "agent.no_manager",
			  "NOTIFY_SOCKET cannot be used; the service manager is told "
			  "nothing",
			  LOG_END);
}

void agent_notify_ready(struct agent *a)
{
	a->told_ms = a->fed_ms = clock_mono_ms();
	describe(a, a->told, sizeof(a->told));
	(void)notify_send(&a->manager, "READY=1\nSTATUS=%s%s", a->told,
			  a->manager.watchdog_ms ? "\nWATCHDOG=1" : "");
}

/* A drain may take longer than the manager would wait. */
void agent_notify_mode(struct agent *a)
{
	int64_t left = a->mode_ends_ms - clock_mono_ms() + END_ROOM_MS;

	describe(a, a->told, sizeof(a->told));
	a->told_ms = clock_mono_ms();
	(void)notify_send(&a->manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nSTATUS=%s",
			  (long long)(left > 0 ? left * 1000 : 0), a->told);
}

/* Since systemd 253 (Type=notify-reload) the time comes with RELOADING=1. */
void agent_notify_reload(struct agent *a, bool begins)
{
	if (begins)
		(void)notify_send(&a->manager, "RELOADING=1\nMONOTONIC_USEC=%lld",
				  (long long)clock_awake_us());
	else if (a->mode == MODE_RUN)
		(void)notify_send(&a->manager, "READY=1");
}

/* Not more than once a second: the manager passes it on to whoever listens. */
static void tell(struct agent *a, int64_t now_ms)
{
	char line[sizeof(a->told)];

	if (a->manager.fd < 0 || now_ms - a->told_ms < TELL_EVERY_MS)
		return;
	describe(a, line, sizeof(line));
	if (strcmp(line, a->told) == 0 || !notify_send(&a->manager, "STATUS=%s", line))
		return;
	memcpy(a->told, line, sizeof(a->told));
	a->told_ms = now_ms;
}

static void feed(struct agent *a, int64_t now_ms)
{
	char why[HEALTH_WHY_SIZE];

	a->fed_ms = now_ms;
	if (agent_is_well(a, now_ms, why)) {
		(void)notify_send(&a->manager, "WATCHDOG=1");
		a->starved = false;
		return;
	}
	if (!a->starved)
		log_event(LOG_LEVEL_ERROR, "agent.overdue",
			  "something the agent owes is overdue; its watchdog is not fed",
			  LOG_S("why", &why[0]), LOG_END);
	a->starved = true;
}

int64_t agent_notify_turn(struct agent *a, int64_t now_ms)
{
	int64_t every = a->manager.watchdog_ms / 2;

	tell(a, now_ms);
	if (every == 0)
		return POLLER_NEVER;
	/* Whatever else woke the loop serves; a wake-up of its own comes at half time. */
	if (now_ms - a->fed_ms >= every / 2)
		feed(a, now_ms);
	return a->fed_ms + every;
}
