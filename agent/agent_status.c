/* What the status server shows: /metrics, /healthz, /readyz, /status.json. Never a
 * job's id, a pipeline's name, or anything that an endpoint or a job said. */
#include <stdio.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "config.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define JSON_TYPE       "application/json"
#define NOT_FOUND       404
#define NOT_AVAILABLE   503
#define STATUS_JOBS_MAX JOB_STATE_COUNT

static void put_json(struct status_answer *a, struct json_object *doc)
{
	a->type = JSON_TYPE;
	buf_printf(&a->body, "%s\n", json_text(doc));
}

static void show_metrics(struct agent *a, const struct status_request *r,
			 struct status_answer *ret)
{
	(void)r;
	agent_observe_gauges(a);
	ret->type = METRICS_TYPE;
	metrics_text(&ret->body);
}

static void show_health(struct agent *a, const struct status_request *r,
			struct status_answer *ret)
{
	char why[HEALTH_WHY_SIZE];
	bool well = agent_is_well(a, clock_mono_ms(), why);
	CLEAN(json) struct json_object *doc = NULL;

	ret->status = well ? ret->status : NOT_AVAILABLE;
	if (!r->wants_json) {
		buf_printf(&ret->body, "%s%s\n", well ? "ok" : "overdue: ", why);
		return;
	}
	doc = json_object_new_object();
	json_put_bool(doc, "ok", well);
	if (!well)
		json_put_str(doc, "why", why);
	put_json(ret, doc);
}

/* Answers whether all is well; lines: NULL, or where to write them. */
static bool run_checks(const struct agent *a, struct json_object *checks,
		       struct buf *lines)
{
	char why[HEALTH_WHY_SIZE];
	bool ready = true;

	for (enum ready_check c = 0; c < READY_CHECKS; c++) {
		bool ok = agent_is_ready(a, c, clock_mono_ms(), why);
		struct json_object *row = json_object_new_object();

		ready = ready && ok;
		json_put_str(row, "name", ready_check_names[c]);
		json_put_bool(row, "ok", ok);
		if (!ok)
			json_put_str(row, "why", why);
		(void)json_object_array_add(checks, row); /* fails without memory */
		buf_printf(lines, "%s %s%s%s\n", ok ? "+" : "-", ready_check_names[c],
			   ok ? "" : ": ", why);
	}
	return ready;
}

static void show_ready(struct agent *a, const struct status_request *r,
		       struct status_answer *ret)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	CLEAN(buf) struct buf lines = BUF_INIT(READY_CHECKS * (HEALTH_WHY_SIZE + 32));
	struct json_object *checks = json_object_new_array();
	bool ready = run_checks(a, checks, &lines);

	ret->status = ready ? ret->status : NOT_AVAILABLE;
	json_put_bool(doc, "ready", ready);
	json_put_obj(doc, "checks", checks);
	if (r->wants_json)
		put_json(ret, doc);
	else
		buf_printf(&ret->body, "%s\n%s", ready ? "ready" : "not ready",
			   buf_text(&lines));
}

static struct json_object *jobs_by_state(const struct agent *a)
{
	struct json_object *states = json_object_new_object();
	int64_t count[JOB_STATE_COUNT] = { 0 };

	for (const struct job *job = a->jobs; job; job = job->next)
		count[job->rec.state]++;
	for (enum job_state s = 0; s < JOB_CLOSED; s++)
		json_put_i64(states, job_state_name(s), count[s]);
	return states;
}

static void show_status(struct agent *a, const struct status_request *r,
			struct status_answer *ret)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	CLEAN(buf) struct buf lines = BUF_INIT(READY_CHECKS * (HEALTH_WHY_SIZE + 32));
	struct json_object *checks = json_object_new_array();
	char why[HEALTH_WHY_SIZE];

	(void)r;
	json_put_str(doc, "version", PACKAGE_VERSION);
	json_put_str(doc, "mode", agent_mode_name(a));
	json_put_i64(doc, "uptime_seconds", (clock_mono_ms() - a->started_ms) / 1000);
	json_put_bool(doc, "ok", agent_is_well(a, clock_mono_ms(), why));
	json_put_bool(doc, "ready", run_checks(a, checks, &lines));
	json_put_obj(doc, "checks", checks);
	json_put_i64(doc, "max_jobs", a->settings->max_jobs);
	json_put_obj(doc, "jobs", jobs_by_state(a));
	put_json(ret, doc);
}

static const struct page {
	const char *path;
	void (*show)(struct agent *a, const struct status_request *r,
		     struct status_answer *ret);
} pages[] = {
	{ "/metrics", show_metrics },
	{ "/healthz", show_health },
	{ "/readyz", show_ready },
	{ "/status.json", show_status },
};

static void on_request(void *ctx, const struct status_request *r,
		       struct status_answer *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		if (strcmp(pages[i].path, r->path) == 0) {
			pages[i].show(ctx, r, ret);
			return;
		}
	}
	ret->status = strcmp(r->path, "/") == 0 ? ret->status : NOT_FOUND;
	buf_puts(&ret->body, "millhand-agent\n");
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		buf_printf(&ret->body, "%s\n", pages[i].path);
}

/* A port that somebody else has is no reason to leave jobs alone. */
void agent_status_start(struct agent *a)
{
	const char *listen = a->settings->metrics_listen;
	struct mh_err err = MH_ERR_INIT;

	if (!listen || !*listen || a->stopped)
		return;
	if (status_http_open(a->loop, listen, on_request, a, &a->status, &err) == 0)
		log_event(LOG_LEVEL_INFO, "status.listening",
			  "metrics and health are shown here", LOG_S("listen", listen),
			  LOG_I("port", status_http_port(a->status)), LOG_END);
	else
		log_event(LOG_LEVEL_ERROR, "status.not_listening",
			  "metrics and health cannot be shown", LOG_ERR(&err), LOG_END);
}
