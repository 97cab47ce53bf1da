/* Whether the agent is well, and whether it is of use now. Well: the loop turns and
 * nothing it owes is overdue; else a new process would do better, and the watchdog is
 * fed no more. Ready: it can take jobs; when it cannot, a new process would not help. */
#include <stdio.h>

#include "agent/agent_impl.h"
#include "lib/base/macros.h"

#define SECOND          INT64_C(1000)
#define UNWRITTEN_MS    (30 * SECOND) /* changes that wait for the ledger */
#define ANSWER_LATE_MS  (60 * SECOND) /* past the time limit of a request */
#define POLL_LATE_MS    (60 * SECOND)
#define LONGEST_WAIT_MS (70 * SECOND) /* of the poller: 60 s and a tenth */
#define FAILING_MS      (10 * SECOND) /* a poll that fails once is no reason */

static int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* --- well ------------------------------------------------------------------------- */

/* Whether it polls at all now, so that a poll that does not leave is a fault. */
static bool owes_polls(const struct agent *a)
{
	if (!agent_takes_jobs(a) || a->disk_full || a->ledger_failures > 0 ||
	    agent_reload_holds(a) || agent_check_holds(a, clock_mono_ms()) ||
	    poller_in_flight(a->poller))
		return false;
	for (size_t i = 0; i < a->settings->actions.count; i++) {
		if (poller_has_room(a->poller, i))
			return true;
	}
	return false;
}

void agent_health_turn(struct agent *a, int64_t now_ms)
{
	if (!owes_polls(a))
		a->owed_ms = 0;
	else if (a->owed_ms == 0)
		a->owed_ms = now_ms;
}

static bool poll_is_overdue(const struct agent *a, int64_t now_ms)
{
	int64_t pause = at_least(LONGEST_WAIT_MS, 2 * a->settings->poll_interval_max_ms);
	int64_t answer = 2 * a->settings->api_timeout_ms + ANSWER_LATE_MS;

	for (size_t i = 0; i < a->settings->actions.count; i++) {
		if (a->polls[i].call && now_ms - a->polls[i].sent_ms > answer)
			return true;
	}
	return a->owed_ms && now_ms - a->owed_ms > pause + POLL_LATE_MS;
}

bool agent_is_well(const struct agent *a, int64_t now_ms, char ret_why[HEALTH_WHY_SIZE])
{
	if (a->unwritten_ms && now_ms - a->unwritten_ms > UNWRITTEN_MS) {
		(void)snprintf(ret_why, HEALTH_WHY_SIZE,
			       "changes wait for the ledger since %lld s",
			       (long long)((now_ms - a->unwritten_ms) / SECOND));
		return false;
	}
	if (poll_is_overdue(a, now_ms)) {
		(void)snprintf(ret_why, HEALTH_WHY_SIZE, "a poll is overdue");
		return false;
	}
	*ret_why = '\0';
	return true;
}

/* --- ready ------------------------------------------------------------------------ */

const char *const ready_check_names[READY_CHECKS] = {
	[READY_RUNNING] = "running",
	[READY_LEDGER] = "ledger",
	[READY_DISK] = "disk",
	[READY_POLLS] = "polls",
};

const char *agent_mode_name(const struct agent *a)
{
	static const char *const names[] = { [MODE_RUN] = "run",
					     [MODE_DRAIN] = "drain",
					     [MODE_CANCEL] = "cancel",
					     [MODE_HANDOVER] = "handover" };

	return a->mode == MODE_RUN && a->paused ? "paused" : names[a->mode];
}

static bool entry_polls(const struct agent *a, const struct poll_call *p, int64_t now_ms)
{
	int64_t fresh = at_least(LONGEST_WAIT_MS, 2 * a->settings->poll_interval_max_ms) +
			a->settings->api_timeout_ms;

	if (p->good_ms == 0)
		return false;
	if (p->result != CP_OK)
		return now_ms - p->good_ms <
		       at_least(FAILING_MS, 2 * a->settings->poll_interval_max_ms);
	return now_ms - p->good_ms < fresh || !poller_has_room(a->poller, p->entry);
}

static bool polls_go_well(const struct agent *a, int64_t now_ms,
			  char ret_why[HEALTH_WHY_SIZE])
{
	const struct poll_call *first = &a->polls[0];

	for (size_t i = 0; i < a->settings->actions.count; i++) {
		if (entry_polls(a, &a->polls[i], now_ms))
			return true;
	}
	if (first->result != CP_OK)
		(void)snprintf(ret_why, HEALTH_WHY_SIZE,
			       "polling fails (%s): see poll.failed in the log",
			       cp_result_name(first->result));
	else
		(void)snprintf(ret_why, HEALTH_WHY_SIZE, "%s",
			       first->good_ms ? "no poll has gone well lately"
					      : "no poll has been answered yet");
	return false;
}

bool agent_is_ready(const struct agent *a, enum ready_check check, int64_t now_ms,
		    char ret_why[HEALTH_WHY_SIZE])
{
	const char *why = NULL;

	*ret_why = '\0';
	switch (check) {
	case READY_RUNNING:
		if (a->mode != MODE_RUN || a->stopped)
			why = "it takes no new jobs, because it is to end";
		else if (a->paused)
			why = "it takes no new jobs until it is resumed";
		else if (a->check.failing)
			why = "the health command fails";
		break;
	case READY_LEDGER:
		if (a->ledger_failures > 0)
			why = "the ledger cannot be written";
		break;
	case READY_DISK:
		if (a->disk_full)
			why = "too little room on the disk";
		break;
	case READY_POLLS:
		return polls_go_well(a, now_ms, ret_why);
	case READY_CHECKS:
		break;
	}
	if (why)
		(void)snprintf(ret_why, HEALTH_WHY_SIZE, "%s", why);
	return !why;
}
