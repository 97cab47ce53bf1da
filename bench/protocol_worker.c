/*
 * The agent's own protocol code, and nothing else of the agent: its loop, HTTP client,
 * signer, request bodies and checked answers (libagent, libmhnet as they ship), without
 * ledger, directories and processes. What this costs over raw_worker is what signing,
 * checking and the loop cost.
 *
 *	protocol_worker CONFIG BATCH WARM_UP JOBS    (BATCH 0: JOBS empty polls)
 *
 * CONFIG is an agent's configuration; its first action is polled for. As in the agent,
 * the jobs of one batch are acknowledged and reported side by side.
 */
#include <stdio.h>
#include <string.h>

#include "agent/cp_api.h"
#include "agent/outcome.h"
#include "bench/report.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define BATCH_MAX 100

struct worker {
	struct loop *loop;
	struct cp *cp;
	const struct action_settings *action;
	int batch; /* 0: empty polls */
	int open; /* jobs of this batch that are not reported yet */
	long warm_up, jobs, done;
	struct cost cost;
	bool measuring;
};

struct task {
	struct worker *worker;
	struct cp_offer offer;
};

MH_NORETURN static void die(const char *what, const struct mh_err *err)
{
	fprintf(stderr, "protocol_worker: %s: %s\n", what, err->text);
	exit(1);
}

static void poll(struct worker *w);

static void count(struct worker *w, int jobs)
{
	w->done += jobs;
	if (!w->measuring && w->done >= w->warm_up) {
		w->measuring = true;
		w->done = 0;
		cost_begin(&w->cost);
	}
	if (w->measuring && w->done >= w->jobs) {
		cost_print(&w->cost, w->done);
		loop_stop(w->loop);
		return;
	}
	poll(w);
}

static void on_put(void *ctx, const struct cp_answer *a)
{
	struct task *task = ctx;
	struct worker *w = task->worker;

	if (a->result != CP_OK)
		die("PutJobSuccessResult", &a->err);
	jobdata_free(task->offer.data);
	free(task);
	if (--w->open == 0)
		count(w, w->batch);
}

static void on_ack(void *ctx, const struct cp_answer *a)
{
	static const char outcome[] =
		"{\"kind\":\"success\",\"summary\":\"done\",\"outputs\":[]}";
	struct task *task = ctx;
	struct mh_err err = a->err;
	const char *status;
	CLEAN(json) struct json_object *doc = NULL;
	CLEAN(json) struct json_object *body = NULL;

	if (a->result != CP_OK || cp_read_status(a->body, &status, &err) != 0 ||
	    outcome_doc(outcome, &doc, &err) != 0)
		die("AcknowledgeJob", &err);
	body = outcome_put_body(doc, task->offer.id);
	(void)cp_send(task->worker->cp, &cp_op_put_success, body, on_put, task);
}

static void on_poll(void *ctx, const struct cp_answer *a)
{
	struct worker *w = ctx;
	struct cp_offer offers[BATCH_MAX];
	struct mh_err err = a->err, why = MH_ERR_INIT;
	size_t n = 0, bad = 0, max = w->batch ? (size_t)w->batch : 1;

	if (a->result != CP_OK || cp_read_offers(a->body, w->action, max, clock_mono_ms(),
						 offers, &n, &bad, &why, &err) != 0)
		die("PollForJobs", &err);
	if (n != (size_t)w->batch) {
		(void)mh_err_set(&err, MH_E_PROTO, "%zu jobs came, not %d; %s", n,
				 w->batch, why.text);
		die("PollForJobs", &err);
	}
	w->open = w->batch;
	for (size_t i = 0; i < n; i++) {
		CLEAN(json)
		struct json_object *body = cp_ack_body(offers[i].id, offers[i].nonce);
		struct task *task = mh_alloc(sizeof(*task));

		*task = (struct task){ .worker = w, .offer = offers[i] };
		(void)cp_send(w->cp, &cp_op_ack, body, on_ack, task);
	}
	if (n == 0)
		count(w, 1);
}

static void poll(struct worker *w)
{
	CLEAN(json)
	struct json_object *body = cp_poll_body(w->action, w->batch ? w->batch : 1);

	(void)cp_send(w->cp, &cp_op_poll, body, on_poll, w);
}

int main(int argc, char **argv)
{
	struct worker w = { 0 };
	struct settings settings = { 0 };
	struct creds_tools tools = { .settings = &settings };
	struct http_client *http = NULL;
	struct http_options http_options = { .user_agent = "millhand-agent/bench" };
	struct cp_options cp_options = { .settings = &settings };
	struct mh_err err = MH_ERR_INIT;

	if (argc != 5) {
		fputs("usage: protocol_worker CONFIG BATCH WARM_UP JOBS\n", stderr);
		return 2;
	}
	w.batch = (int)strtol(argv[2], NULL, 10);
	w.warm_up = strtol(argv[3], NULL, 10);
	w.jobs = strtol(argv[4], NULL, 10);
	MH_ASSERT(w.batch <= BATCH_MAX);
	if (settings_read(argv[1], NULL, &settings, &err) != 0 ||
	    loop_new(&w.loop, &err) != 0 ||
	    http_client_new(w.loop, &http_options, &http, &err) != 0)
		die("start", &err);
	tools.loop = w.loop;
	tools.http = http;
	tools.aws = cp_options.aws = aws_new(http, settings.region);
	if (creds_store_new(&tools, &cp_options.creds, &err) != 0 ||
	    cp_new(&cp_options, &w.cp, &err) != 0)
		die("start", &err);
	w.action = settings_action(&settings, 0);
	poll(&w);
	loop_run(w.loop);
	cp_free(w.cp);
	creds_store_free(cp_options.creds);
	aws_free(cp_options.aws);
	http_client_free(http);
	loop_free(w.loop);
	settings_done(&settings);
	return 0;
}
