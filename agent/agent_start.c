/* The agent's parts put together in their order, run, and taken apart. */
#include <fcntl.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "agent/metrics.h"
#include "agent/creds_process.h"
#include "agent/trim.h"
#include "config.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

static int open_network(struct agent *a, struct mh_err *err)
{
	struct creds_tools tools = { .loop = a->loop, .settings = a->settings };
	struct http_options http = { .ca_file = a->settings->ca_file,
				     .user_agent = "millhand-agent/" PACKAGE_VERSION,
				     .insecure_plain_ok = a->settings->allow_plain_http };
	struct cp_options cp = { .settings = a->settings,
				 .heard = agent_heard_api,
				 .heard_ctx = a };

	if (http_client_new(a->loop, &http, &a->http, err) != 0)
		return -1;
	a->aws = aws_new(a->http, a->settings->region);
	tools.http = a->http;
	tools.aws = a->aws;
	if (creds_store_new(&tools, &a->creds, err) != 0)
		return -1;
	cp.aws = a->aws;
	cp.creds = a->creds;
	if (cp_new(&cp, &a->cp, err) != 0 ||
	    s3_new(a->aws, a->settings, &a->s3, err) != 0)
		return -1;
	return 0;
}

void agent_open_poller(struct agent *a)
{
	const struct settings *s = a->settings;
	struct poller_options o = { .min_ms = s->poll_interval_min_ms,
				    .max_ms = s->poll_interval_max_ms,
				    .retry_base_ms = s->retry_base_ms,
				    .rate = (double)s->poll_rate,
				    .max_jobs = (int)s->max_jobs,
				    .poll = agent_poll,
				    .ctx = a };

	a->poller = poller_new(&o, clock_mono_ms());
	a->entries = mh_alloc(s->actions.count * sizeof(*a->entries));
	a->polls = mh_alloc(s->actions.count * sizeof(*a->polls));
	for (size_t i = 0; i < s->actions.count; i++) {
		(void)poller_add(a->poller, (int)settings_action(s, i)->max_jobs);
		a->entries[i] = settings_entry_name(settings_action(s, i));
		a->polls[i] = (struct poll_call){ .agent = a, .entry = i };
	}
	(void)poller_add(a->poller, POLLER_NO_POLLS);
}

void agent_close_poller(struct agent *a)
{
	poller_free(STEAL_PTR(a->poller));
	for (size_t i = 0; a->entries && i < a->settings->actions.count; i++)
		free(a->entries[i]);
	free(STEAL_PTR(a->entries));
	free(STEAL_PTR(a->polls));
	free(STEAL_PTR(a->plugins));
}

/* A full disk at the start: what was kept back lets results that are owed be delivered.
 * No jobs are taken before there is a reserve again. */
static bool give_reserve(const struct settings *s, const struct mh_err *err)
{
	CLEAN(fd) int fd = -1;
	struct mh_err ignored;

	if (err->cls != MH_E_FULL ||
	    fs_open_dir(AT_FDCWD, s->state_dir, &fd, &ignored) != 0 ||
	    !host_reserve_give(fd))
		return false;
	log_event(LOG_LEVEL_WARN, "disk.reserve_used",
		  "the disk is full: the space kept back for results is used", LOG_END);
	return true;
}

static int open_ledger(struct agent *a, struct mh_err *err)
{
	const char *dir = a->settings->state_dir;

	if (ledger_open(dir, &a->ledger, err) == 0)
		return 0;
	return give_reserve(a->settings, err) ? ledger_open(dir, &a->ledger, err) : -1;
}

static int open_dirs(struct agent *a, struct mh_err *err)
{
	const struct settings *s = a->settings;

	if (jobdirs_open(s->state_dir, s->work_dir, a->loop, &a->dirs, err) == 0)
		return 0;
	return give_reserve(s, err)
		       ? jobdirs_open(s->state_dir, s->work_dir, a->loop, &a->dirs, err)
		       : -1;
}

static int open_all(struct agent *a, struct mh_err *err)
{
	const struct settings *s = a->settings;
	int64_t highest = 0;

	/* Before it takes jobs that it could not run. */
	if (shim_check_kernel(err) != 0)
		return -1;
	a->plugins = mh_alloc(s->actions.count * sizeof(*a->plugins));
	if (describe_all(s, -1, a->plugins, err) != 0)
		return -1;
	if (clock_boot_id(a->boot_id, err) != 0 || open_ledger(a, err) != 0)
		return -1;
	FAULT_POINT("start.ledger_opened");
	if (loop_new(&a->loop, err) != 0 || open_network(a, err) != 0 ||
	    open_dirs(a, err) != 0 || jobdirs_highest(a->dirs, &highest, err) != 0)
		return -1;
	ledger_skip_n(a->ledger, highest);
	(void)uv_timer_init(loop_uv(a->loop), &a->timer); /* always 0 */
	agent_open_poller(a);
	agent_third_start(a);
	loop_set_after(a->loop, agent_turn, a);
	if (agent_start_signals(a, err) != 0 || agent_recover(a, err) != 0)
		return -1;
	FAULT_POINT("start.recovered");
	agent_host_start(a);
	agent_open_control(a);
	return agent_sweep(a, err);
}

int agent_new(struct settings *settings, const struct agent_options *options,
	      struct agent **ret, struct mh_err *err)
{
	CLEAN(free)
	char *job_program = mh_format("%s/millhand-job", settings->libexec_dir);
	struct agent *a = mh_alloc(sizeof(*a));

	a->settings = settings;
	a->settings_place = settings;
	a->options = *options;
	a->quota = (struct retry_quota)RETRY_QUOTA_INIT;
	a->active_ms = clock_mono_ms();
	a->started_ms = a->active_ms;
	a->started_wall_ms = clock_wall_ms();
	agent_notify_open(a);
	host_raise_files();
	a->zygote = zygote_new(job_program);
	zygote_log_json(a->zygote, settings->log_format == LOG_FORMAT_JSON);
	if (open_all(a, err) != 0) {
		agent_free(a);
		return -1;
	}
	*ret = a;
	return 0;
}

int agent_run(struct agent *a)
{
	log_event(
		LOG_LEVEL_INFO, "agent.ready", "polling",
		LOG_S("endpoint", a->settings->endpoint ? a->settings->endpoint : "AWS"),
		LOG_S("region", a->settings->region),
		LOG_I("action_types", (int64_t)a->settings->actions.count),
		LOG_I("max_jobs", a->settings->max_jobs), LOG_END);
	agent_observe_start(a);
	agent_status_start(a);
	agent_notify_ready(a);
	trim_resident();
	if (!a->stopped)
		loop_run(a->loop);
	log_event(LOG_LEVEL_INFO, "agent.ended", "the agent ends",
		  LOG_I("exit", a->exit_code), LOG_I("jobs", a->jobs_taken), LOG_END);
	return a->exit_code;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	agent_forget_jobs(a);
	if (a->polls)
		agent_stop_signals(a);
	agent_wait_stop(a);
	creds_process_cancel(a->check.process);
	agent_reload_drop(a);
	control_close(a->control);
	status_http_close(a->status);
	agent_third_end(a);
	cp_free(a->cp);
	creds_store_free(a->creds);
	s3_free(a->s3);
	aws_free(a->aws);
	http_client_free(a->http);
	loop_free(a->loop); /* waits for removals under way */
	jobdirs_close(a->dirs);
	agent_close_poller(a);
	ledger_close(a->ledger);
	zygote_free(a->zygote);
	notify_done(&a->manager);
	metrics_free();
	free(a);
}
