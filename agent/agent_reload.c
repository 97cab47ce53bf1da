/*
 * Reload on HUP: the new configuration takes the place of the old one whole, or not at
 * all. A thread of libuv's pool reads and checks the file and asks its plugins what they
 * are, which may take seconds, while the loop goes on. Then no new poll leaves until
 * those under way are answered, and everything is swapped in one step.
 *
 * The settings stay where they are in memory, so that who borrowed them sees the new
 * values; keys that are not reloadable keep theirs (conf_keep). Jobs that have begun are
 * given the old settings for the rest of their lives.
 */
#include <sys/eventfd.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define NAMES_MAX 4096 /* of all keys there are */

struct reload {
	struct agent *agent;
	uv_work_t work;
	int stop_fd; /* an eventfd: the agent ends, and plugins need not answer */
	struct settings next;
	struct plugin_info *plugins;
	struct mh_err err; /* class OK: next can take over */
	bool ready; /* the thread is done */
	bool again; /* another HUP came meanwhile: the file may have changed since */
};

static void reload_free(struct reload *r)
{
	settings_done(&r->next);
	clean_fd(&r->stop_fd);
	free(r->plugins);
	free(r);
}

/* --- reading, in a thread ------------------------------------------------------------
 */

static void read_in_thread(uv_work_t *work)
{
	struct reload *r = work->data;

	if (settings_read(r->agent->options.config, NULL, &r->next, &r->err) != 0)
		return;
	if (creds_store_check(&r->next, &r->err) != 0) {
		(void)mh_err_wrap(&r->err, "%s", r->agent->options.config);
		return;
	}
	r->plugins = mh_alloc(r->next.actions.count * sizeof(*r->plugins));
	if (describe_all(&r->next, r->stop_fd, r->plugins, &r->err) != 0)
		(void)mh_err_wrap(&r->err, "%s", r->agent->options.config);
}

static void start(struct agent *a);

static void was_read(uv_work_t *work, int status)
{
	struct reload *r = work->data;
	struct agent *a = r->agent;
	bool again = r->again;

	(void)status; /* nobody cancels it */
	r->ready = true;
	if (r->err.cls == MH_OK && !again && !a->stopped)
		return; /* agent_reload_turn() swaps */
	if (r->err.cls != MH_OK && !again && !a->stopped) {
		METRIC_INC(METRIC_CONFIG_RELOADS, "false");
		log_event(LOG_LEVEL_ERROR, "agent.not_reloaded",
			  "the new configuration is wrong; the old one stays in force",
			  LOG_ERR(&r->err), LOG_END);
		agent_notify_reload(a, false);
	}
	a->reload = NULL;
	reload_free(r);
	if (again && !a->stopped)
		start(a);
}

static void start(struct agent *a)
{
	struct reload *r = mh_alloc(sizeof(*r));

	*r = (struct reload){ .agent = a, .err = MH_ERR_INIT };
	r->stop_fd = eventfd(0, EFD_CLOEXEC); /* -1: the end may take longer */
	r->work.data = r;
	a->reload = r;
	if (uv_queue_work(loop_uv(a->loop), &r->work, read_in_thread, was_read) != 0)
		MH_BUG("uv_queue_work"); /* fails for a missing callback alone */
}

void agent_reload(struct agent *a)
{
	log_event(LOG_LEVEL_INFO, "agent.reload", "reading the configuration again",
		  LOG_S("file", a->options.config), LOG_END);
	agent_notify_reload(a, true);
	if (!a->reload) {
		start(a);
	} else if (a->reload->ready) {
		reload_free(STEAL_PTR(a->reload)); /* it waits for polls: overtaken */
		start(a);
	} else {
		a->reload->again = true;
	}
}

bool agent_reload_holds(const struct agent *a)
{
	return a->reload && a->reload->ready;
}

/* --- swapping ------------------------------------------------------------------------
 */

void agent_reload_drop(struct agent *a)
{
	if (agent_reload_holds(a))
		reload_free(STEAL_PTR(a->reload));
	else if (a->reload && a->reload->stop_fd >= 0)
		(void)eventfd_write(a->reload->stop_fd, 1); /* an eventfd takes a 1 */
}

void agent_release_past(struct past_settings *past)
{
	if (!past || --past->users > 0)
		return;
	settings_done(&past->settings);
	free(past);
}

/* The old settings go to the jobs that began with them. */
static void pin_jobs(struct agent *a, const struct settings *old)
{
	struct past_settings *past = mh_alloc(sizeof(*past));

	*past = (struct past_settings){ .settings = *old, .users = 1 };
	for (struct job *job = a->jobs; job; job = job->next) {
		if (job->run->past)
			continue;
		job->run->past = past;
		past->users++;
	}
	agent_release_past(past);
}

/* Jobs take their slots of the new poller. */
static void move_slots(struct agent *a)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		size_t entry = agent_find_entry(a, job->rec.entry);

		job->run->slot = entry == ENTRY_GONE ? a->settings->actions.count : entry;
		if (job->run->holds_slot)
			poller_take(a->poller, job->run->slot);
	}
	if (a->wait_on)
		poller_waiting(a->poller, true, clock_mono_ms());
}

static void set_log(const struct agent *a)
{
	if (!a->options.verbose)
		log_set_level(settings_log_level(a->settings));
	log_set_format((enum log_format)a->settings->log_format);
	zygote_log_json(a->zygote, a->settings->log_format == LOG_FORMAT_JSON);
}

static void log_reloaded(const struct agent *a, const struct buf *kept)
{
	if (kept->len > 0)
		log_event(LOG_LEVEL_WARN, "agent.reload_kept",
			  "some keys are taken over by a new start alone and were kept; "
			  "hand over with SIGUSR2 and start anew, running jobs go on",
			  LOG_S("keys", buf_text(kept)), LOG_END);
	if (settings_exposed(a->options.config, a->settings))
		log_event(LOG_LEVEL_WARN, "agent.exposed",
			  "the configuration holds a secret and everybody may read it; "
			  "chmod o-r",
			  LOG_S("file", a->options.config), LOG_END);
	log_event(LOG_LEVEL_INFO, "agent.reloaded", "the new configuration is in force",
		  LOG_S("file", a->options.config),
		  LOG_I("action_types", (int64_t)a->settings->actions.count),
		  LOG_I("max_jobs", a->settings->max_jobs), LOG_END);
}

static void swap(struct agent *a, struct reload *r)
{
	CLEAN(buf) struct buf kept = BUF_INIT(NAMES_MAX);

	struct poll_memory *polls = agent_observe_remember(a);

	agent_wait_stop(a);
	agent_close_poller(a); /* knows the old entries */
	conf_keep(settings_keys, a->settings_place, &r->next, &kept);
	pin_jobs(a, a->settings);
	*a->settings_place = r->next;
	r->next = (struct settings){ 0 };
	a->plugins = STEAL_PTR(r->plugins);
	agent_open_poller(a);
	agent_third_reload(a);
	agent_observe_recall(a, polls);
	move_slots(a);
	set_log(a);
	creds_store_reload(a->creds);
	a->disk_at_ms = 0; /* min_free may be another */
	agent_host_start(a);
	METRIC_INC(METRIC_CONFIG_RELOADS, "true");
	log_reloaded(a, &kept);
	agent_notify_reload(a, false);
}

void agent_reload_turn(struct agent *a)
{
	if (!agent_reload_holds(a) || poller_in_flight(a->poller))
		return;
	swap(a, a->reload);
	reload_free(STEAL_PTR(a->reload));
}
