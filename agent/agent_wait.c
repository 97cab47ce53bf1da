/*
 * Being told when there is work. millhand-emulator answers GET /_millhand/wait as soon as
 * one of the asked action types has a job (design section 6); where the endpoint does so,
 * the agent sleeps there instead of polling blind. The poller decides for which entries
 * (poller_may_wait); what is told is a hint and no more: an ordinary poll follows.
 *
 * Whether the endpoint does is asked once, with a wait of 0 seconds. When it says no, the
 * question is not put again for an hour. When a wait breaks, makes no sense, or comes
 * back with nothing before its time, the agent polls again and asks anew later. AWS
 * itself is never asked.
 */
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "lib/base/fault.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define TYPES_MAX      64 /* of one request */
#define UNKNOWN_MS     (3600 * INT64_C(1000))
#define RETRY_CAP_MS   60000
#define EARLY_MS       1000 /* an empty answer sooner than so long before its time */
#define ANSWER_MAX     (64 * 1024)
#define STATUS_OK      200
#define STATUS_TOOMANY 429

struct wait_call {
	struct agent *agent;
	struct aws_call *http;
	bool *covers; /* by entry */
	int64_t sent_ms, held_ms; /* held 0: asks whether it can wait there at all */
	struct wait_call *prev, *next;
};

static void wait_unlink(struct wait_call *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->agent->waits = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

static void wait_free(struct wait_call *w)
{
	free(w->covers);
	free(w);
}

void agent_wait_stop(struct agent *a)
{
	while (a->waits) {
		struct wait_call *w = a->waits;

		aws_cancel(w->http);
		wait_unlink(w);
		wait_free(w);
	}
}

static char *type_of(const struct agent *a, size_t entry)
{
	const struct action_settings *s = settings_action(a->settings, entry);

	return mh_format("%s/%s/%s/%s", s->category, s->owner, s->provider, s->version);
}

/* --- answers ---------------------------------------------------------------------- */

/* Polls take over; when to ask again depends on why. */
static void give_up(struct agent *a, int64_t delay_ms, const char *why)
{
	int64_t now = clock_mono_ms();
	bool was_on = a->wait_on;

	agent_wait_stop(a);
	a->wait_on = false;
	a->wait_at_ms = now + delay_ms;
	poller_waiting(a->poller, false, now);
	log_event(was_on ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "wait.off",
		  "polling: the endpoint does not tell when there is work",
		  LOG_S("why", why), LOG_I("ask_again_ms", delay_ms), LOG_END);
}

static void wait_failed(struct agent *a, const struct http_answer *answer)
{
	bool passing = answer->status == 0 || answer->status >= 500 ||
		       answer->status == STATUS_TOOMANY;
	CLEAN(free)
	char *why = answer->status == 0 ? mh_strdup(answer->err.text)
					: mh_format("status %ld", answer->status);

	if (passing || a->wait_known)
		give_up(a,
			retry_patient_ms(a->wait_failures++, a->settings->retry_base_ms,
					 RETRY_CAP_MS),
			why);
	else
		give_up(a, UNKNOWN_MS, why);
}

/* Whether one of our entries was meant. */
static bool take_hint(struct agent *a, const bool *covers, const char *type)
{
	bool any = false;

	for (size_t i = 0; i < a->settings->actions.count; i++) {
		CLEAN(free) char *ours = type_of(a, i);

		if (covers[i] && strcmp(ours, type) == 0) {
			poller_hint(a->poller, i, clock_mono_ms());
			any = true;
		}
	}
	return any;
}

static bool take_hints(struct agent *a, const bool *covers, struct json_object *types)
{
	size_t count = json_object_array_length(types);
	bool any = false;

	for (size_t i = 0; i < count && i < TYPES_MAX; i++) {
		struct json_object *type = json_object_array_get_idx(types, i);

		if (json_object_is_type(type, json_type_string))
			any |= take_hint(a, covers, json_object_get_string(type));
	}
	return any;
}

static void wait_works(struct agent *a, bool held)
{
	if (held)
		a->wait_failures = 0; /* asking alone proves nothing */
	if (a->wait_on)
		return;
	a->wait_on = a->wait_known = true;
	poller_waiting(a->poller, true, clock_mono_ms());
	log_event(LOG_LEVEL_INFO, "wait.on",
		  "the endpoint tells when there is work: waiting instead of polling",
		  LOG_END);
}

static void wait_answered(struct agent *a, const struct wait_call *w,
			  const struct http_answer *answer)
{
	int64_t early_ms = w->held_ms - (clock_mono_ms() - w->sent_ms);
	CLEAN(json) struct json_object *body = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct json_object *types;

	if (answer->status != STATUS_OK) {
		wait_failed(a, answer);
		return;
	}
	if (answer->body.len > ANSWER_MAX ||
	    json_parse_object(answer->body.data, answer->body.len, &body, &err) != 0 ||
	    !(types = json_opt_array(body, "types"))) {
		give_up(a, UNKNOWN_MS, "its answer makes no sense");
		return;
	}
	if (!take_hints(a, w->covers, types) && early_ms > EARLY_MS) {
		/* It is shutting down, or does not do what it promises. */
		give_up(a,
			retry_patient_ms(a->wait_failures++, a->settings->retry_base_ms,
					 RETRY_CAP_MS),
			"it answered nothing before the time");
		return;
	}
	wait_works(a, w->held_ms > 0);
}

static void on_wait(void *ctx, struct http_answer *answer)
{
	struct wait_call *w = ctx;

	FAULT_POINT("wait.answer");
	wait_unlink(w);
	METRIC_INC(METRIC_API_REQUESTS, "wait",
		   answer->status == STATUS_OK ? "ok"
		   : answer->status == 0       ? "no_answer"
		   : answer->status >= 500     ? "http_5xx"
					       : "http_4xx");
	wait_answered(w->agent, w, answer);
	wait_free(w);
}

/* --- asking ----------------------------------------------------------------------- */

static void start_wait(struct agent *a, bool *take_covers, const char *types,
		       int64_t seconds)
{
	struct wait_call *w = mh_alloc(sizeof(*w));

	*w = (struct wait_call){ .agent = a,
				 .covers = take_covers,
				 .sent_ms = clock_mono_ms(),
				 .held_ms = seconds * 1000,
				 .next = a->waits };
	if (w->next)
		w->next->prev = w;
	a->waits = w;
	FAULT_POINT("wait.send");
	w->http = cp_wait(a->cp, types, seconds, on_wait, w);
	FAULT_POINT("wait.sent");
}

static bool is_covered(const struct agent *a, size_t entry)
{
	for (const struct wait_call *w = a->waits; w; w = w->next) {
		if (w->covers[entry])
			return true;
	}
	return false;
}

static bool *no_entries(const struct agent *a)
{
	return mh_alloc((a->settings->actions.count + 1) * sizeof(bool));
}

static void add_type(char **types, const char *type)
{
	char *longer = *types ? mh_format("%s,%s", *types, type) : mh_strdup(type);

	free(*types);
	*types = longer;
}

/* One request for all entries that may wait and do not yet. Each that comes later has
 * one of its own until both are over: nothing is cut off for it. */
static int64_t wait_for_all(struct agent *a, int64_t now_ms)
{
	int64_t next = POLLER_NEVER;
	bool *covers = no_entries(a);
	CLEAN(free) char *types = NULL;
	size_t count = 0;

	for (size_t i = 0; i < a->settings->actions.count && count < TYPES_MAX; i++) {
		int64_t from = poller_may_wait(a->poller, i, now_ms);
		CLEAN(free) char *type = NULL;

		if (from > now_ms || is_covered(a, i)) {
			if (from < next && from > now_ms)
				next = from;
			continue;
		}
		type = type_of(a, i);
		add_type(&types, type);
		covers[i] = true;
		count++;
	}
	if (count > 0)
		start_wait(a, covers, types, (a->settings->poll_wait_ms + 999) / 1000);
	else
		free(covers);
	return next;
}

int64_t agent_wait(struct agent *a, int64_t now_ms)
{
	if (a->settings->poll_wait_ms == 0 || !a->settings->endpoint)
		return POLLER_NEVER;
	if (a->wait_on)
		return wait_for_all(a, now_ms);
	if (a->waits)
		return POLLER_NEVER; /* its answer comes */
	if (a->wait_at_ms <= now_ms) {
		CLEAN(free) char *type = type_of(a, 0);

		start_wait(a, no_entries(a), type, 0);
		return POLLER_NEVER;
	}
	return a->wait_at_ms;
}
