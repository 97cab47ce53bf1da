/*
 * Rules of a condition, from their start to their end (semantics E10). A rule is an
 * action execution of its own kind: what workers do of them are jobs like any other, the
 * rest is judged here, at once; an alarm may be waited for.
 */
#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/rule_types.h"
#include "emulator/offer.h"

#include <string.h>

#define MINUTE_MS     ((int64_t)60 * 1000)
#define SHOWN_MAX     200 /* bytes of a value in a summary */
#define NOT_MET       "RuleNotMet"
#define MISCONFIGURED "ConfigurationError"

static void set_text(char **field, const char *value)
{
	char *copy = mh_strdup(value);

	free(*field);
	*field = copy;
}

/* ---- ending ---- */

static int succeed(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		   const char *summary, struct mh_err *err)
{
	if (summary)
		set_text(&rule->summary, summary);
	return change_rule(ctx, r, rule, ACTION_SUCCEEDED, err);
}

static int fail(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		const char *code, const char *message, struct mh_err *err)
{
	set_text(&rule->error_code, code);
	set_text(&rule->error_message, message);
	return change_rule(ctx, r, rule, ACTION_FAILED, err);
}

int rule_end(struct op_ctx *ctx, struct work *w, const char *code, const char *message,
	     struct mh_err *err)
{
	if (timers_delete_of(ctx->store, w->action.seq, err) != 0 ||
	    (code ? fail(ctx, &w->run, &w->action, code, message, err)
		  : succeed(ctx, &w->run, &w->action, NULL, err)) != 0)
		return -1;
	return stage_advance(ctx, &w->run, &w->stage, err);
}

int rule_abandon(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		 struct mh_err *err)
{
	if (job_end_of(ctx, rule->seq, JOB_FAILED, err) != 0 ||
	    timers_delete_of(ctx->store, rule->seq, err) != 0)
		return -1;
	return change_rule(ctx, r, rule, ACTION_ABANDONED, err);
}

/* ---- judging ---- */

enum verdict { MET, UNMET, WAIT };

/* A rule that is judged here; config is resolved. */
struct question {
	const struct action_execution *rule;
	struct json_object *config;
	enum stage_phase phase;
	char *summary; /* owned */
	int64_t until_ms; /* with WAIT */
};

static void clean_question(struct question *q)
{
	free(q->summary);
}

static enum verdict verdict_of(bool met)
{
	return met ? MET : UNMET;
}

static int judge_variable(struct op_ctx *ctx, struct question *q, enum verdict *ret,
			  struct mh_err *err)
{
	const char *value = json_opt_str(q->config, "Variable", "");
	int shown = (int)str_utf8_floor(value, strlen(value), SHOWN_MAX);
	bool met;

	(void)ctx; /* the values decide alone */
	if (rule_compare(q->config, &met, err) != 0)
		return -1;
	q->summary = mh_format("The variable is '%.*s': %s %s the value", shown, value,
			       json_opt_str(q->config, "Operator", ""),
			       met ? "holds for" : "does not hold for");
	*ret = verdict_of(met);
	return 0;
}

static int judge_window(struct op_ctx *ctx, struct question *q, enum verdict *ret,
			struct mh_err *err)
{
	bool met;

	if (rule_window(q->config, ctx->now_ms, &met, err) != 0)
		return -1;
	q->summary = mh_format("The time is %s the deployment window %.*s",
			       met ? "in" : "not in", SHOWN_MAX,
			       json_opt_str(q->config, "Cron", ""));
	*ret = verdict_of(met);
	return 0;
}

static int judge_alarm(struct op_ctx *ctx, struct question *q, enum verdict *ret,
		       struct mh_err *err)
{
	const char *name = json_opt_str(q->config, "AlarmName", "");
	CLEAN(free) char *state = NULL;
	int64_t wait_ms;
	bool met;

	if (alarm_get(ctx->store, name, &state, err) != 0)
		return -1;
	if (!state)
		return mh_err_set(err, MH_E_REFUSED,
				  "there is no alarm '%.200s' here: set its state, PUT "
				  "/_millhand/admin/alarms",
				  name);
	if (rule_alarm_wants(q->config, q->phase == PHASE_FAILURE, state, &met, err) !=
		    0 ||
	    rule_alarm_wait_ms(q->config, &wait_ms, err) != 0)
		return -1;
	q->summary = mh_format("The alarm %.*s is in the state %s", SHOWN_MAX, name,
			       state);
	q->until_ms = q->rule->started_ms + wait_ms;
	*ret = !met && ctx->now_ms < q->until_ms ? WAIT : verdict_of(met);
	return 0;
}

/* Ends the rule, unless it is to wait. */
static int judge(struct op_ctx *ctx, struct run *r, struct action_execution *rule,
		 const struct rule_type *type, struct question *q, enum verdict *ret,
		 struct mh_err *err)
{
	struct mh_err why = MH_ERR_INIT;
	int rc = type->kind == RULE_VARIABLE ? judge_variable(ctx, q, ret, &why)
		 : type->kind == RULE_WINDOW ? judge_window(ctx, q, ret, &why)
					     : judge_alarm(ctx, q, ret, &why);

	if (rc != 0 && why.cls != MH_E_REFUSED) {
		*err = why;
		return -1;
	}
	if (rc != 0) {
		*ret = UNMET;
		return fail(ctx, r, rule, MISCONFIGURED, why.text, err);
	}
	if (*ret == WAIT)
		return 0;
	if (*ret == MET)
		return succeed(ctx, r, rule, q->summary, err);
	return fail(ctx, r, rule, NOT_MET, q->summary, err);
}

/* ---- starting ---- */

static struct json_object *declared_config(struct json_object *declared)
{
	struct json_object *out = json_object_new_object();
	struct json_object *config = json_opt_object(declared, "configuration");

	if (config) {
		json_object_object_foreach(config, key, value)
			json_put_obj(out, key, json_object_get(value));
	}
	return out;
}

static int resolve(struct op_ctx *ctx, const struct run *r, struct json_object *declared,
		   int64_t before_seq, struct json_object **ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *as_action = json_object_new_object();

	json_put_obj(as_action, "configuration", declared_config(declared));
	json_put_obj(as_action, "commands",
		     json_object_get(json_opt_array(declared, "commands")));
	return action_config(ctx, r, as_action, before_seq, ret, err);
}

struct rule_begin {
	struct run *run;
	const struct condition *condition;
	struct json_object *declared;
	const struct rule_type *type; /* NULL: nobody knows it */
	const char *offered_as; /* for workers */
	struct json_object *config; /* resolved; NULL while it could not be */
	struct action_execution rule;
};

static void clean_rule_begin(struct rule_begin *b)
{
	action_execution_done(&b->rule);
	json_object_put(b->config);
}

static void describe(struct op_ctx *ctx, struct rule_begin *b,
		     const struct stage_execution *s)
{
	struct json_object *id = json_opt_object(b->declared, "ruleTypeId");

	b->type = rule_type_find(id);
	b->rule = (struct action_execution){
		.execution = b->run->exec.seq,
		.stage_execution = s->seq,
		.condition = b->condition->seq,
		.pipeline = mh_strdup(s->pipeline),
		.stage = mh_strdup(s->stage),
		.action = mh_strdup(json_opt_str(b->declared, "name", "")),
		.locked = s->locked,
		.type = b->type ? rule_type_id(b->type) : json_object_get(id),
		.role_arn = mh_strdup(json_opt_str(b->declared, "roleArn", NULL)),
		.region = mh_strdup(
			json_opt_str(b->declared, "region", ctx->settings->region)),
		.config_masked = declared_config(b->declared),
		.inputs = json_object_new_array(),
		.outputs = json_object_new_array(),
		.percent = -1,
	};
	ctx->ids->uuid(ctx->ids, b->rule.id);
}

static int check_served(struct op_ctx *ctx, struct rule_begin *b, struct mh_err *err)
{
	const char *provider = json_opt_str(b->rule.type, "provider", "");

	if (!b->type)
		return mh_err_set(err, MH_E_REFUSED, "there is no rule of type %s",
				  provider);
	b->offered_as = b->type->worker_limit_ms ? offer_of(ctx->settings, b->rule.type)
						 : NULL;
	if (b->type->worker_limit_ms && !b->offered_as)
		return mh_err_set(
			err, MH_E_REFUSED,
			"no worker does rules of type %s here: offer them to workers, "
			"offer = ( { aws = \"Rule/%s/1\"; as = \"Invoke/Custom/%s/1\"; } "
			")",
			provider, provider, provider);
	return 0;
}

static int prepare(struct op_ctx *ctx, struct rule_begin *b, struct mh_err *err)
{
	if (check_served(ctx, b, err) != 0 ||
	    resolve(ctx, b->run, b->declared, INT64_MAX, &b->config, err) != 0)
		return -1;
	b->rule.resolved_masked = json_object_get(b->config);
	return action_artifacts(ctx, b->run, b->declared, &b->rule, err);
}

static int64_t limit_ms(struct json_object *declared, int64_t otherwise_ms)
{
	int64_t minutes = json_opt_i64(declared, "timeoutInMinutes", 0);

	return minutes > 0 ? minutes * MINUTE_MS : otherwise_ms;
}

static int hand_over(struct op_ctx *ctx, struct rule_begin *b, struct mh_err *err)
{
	int64_t limit = limit_ms(b->declared, b->type->worker_limit_ms);

	if (job_create_offered(ctx, b->rule.seq, b->offered_as, b->config, err) != 0)
		return -1;
	return timers_insert(ctx->store, ctx->now_ms + limit, b->rule.seq, err);
}

static int begin(struct op_ctx *ctx, struct rule_begin *b, struct mh_err *err)
{
	CLEAN(question)
	struct question q = { .rule = &b->rule,
			      .config = b->config,
			      .phase = b->condition->phase };
	enum verdict verdict;
	int64_t limit;

	if (b->offered_as)
		return hand_over(ctx, b, err);
	if (judge(ctx, b->run, &b->rule, b->type, &q, &verdict, err) != 0)
		return -1;
	if (verdict != WAIT)
		return 0;
	limit = ctx->now_ms + limit_ms(b->declared, q.until_ms - ctx->now_ms);
	return timers_insert(ctx->store, limit < q.until_ms ? limit : q.until_ms,
			     b->rule.seq, err);
}

int rule_start(struct op_ctx *ctx, struct run *r, const struct stage_execution *s,
	       const struct condition *c, struct json_object *declared,
	       struct mh_err *err)
{
	CLEAN(rule_begin)
	struct rule_begin b = { .run = r, .condition = c, .declared = declared };
	struct mh_err why = MH_ERR_INIT;
	int prepared;

	describe(ctx, &b, s);
	prepared = prepare(ctx, &b, &why);
	if (prepared != 0 && why.cls != MH_E_REFUSED) {
		*err = why;
		return -1;
	}
	if (change_rule(ctx, r, &b.rule, ACTION_IN_PROGRESS, err) != 0)
		return -1;
	if (prepared != 0)
		return fail(ctx, r, &b.rule, MISCONFIGURED, why.text, err);
	return begin(ctx, &b, err);
}

/* ---- while it runs ---- */

static struct json_object *declared_rule(struct op_ctx *ctx, const struct work *w,
					 struct mh_err *err)
{
	CLEAN(condition) struct condition c = { 0 };
	struct json_object *rules;

	if (conditions_get(ctx->store, w->action.condition, &c, err) != 0)
		return NULL;
	rules = json_opt_array(condition_declared(&w->run, w->stage.stage_index, c.phase),
			       "rules");
	for (size_t i = 0; rules && i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);

		if (strcmp(json_opt_str(rule, "name", ""), w->action.action) == 0)
			return rule;
	}
	(void)mh_err_set(err, MH_E_NOTFOUND, "rule %s is not in version %lld of %s",
			 w->action.action, (long long)w->run.pipeline.version,
			 w->action.pipeline); /* NULL says it */
	return NULL;
}

int rule_config(struct op_ctx *ctx, const struct work *w, struct json_object **ret,
		struct mh_err *err)
{
	struct json_object *declared = declared_rule(ctx, w, err);

	if (!declared)
		return -1;
	return resolve(ctx, &w->run, declared, w->action.seq, ret, err);
}

int rule_time_out(struct op_ctx *ctx, struct work *w, struct mh_err *err)
{
	if (rule_type_find(w->action.type)->kind == RULE_ALARM)
		return rule_end(ctx, w, NOT_MET,
				"The alarm did not come to a state that is wanted in "
				"time",
				err);
	if (job_end_of(ctx, w->action.seq, JOB_TIMED_OUT, err) != 0)
		return -1;
	return rule_end(ctx, w, "Timeout", "The rule was not finished in time", err);
}

/* ---- alarms ---- */

static int look_again(struct op_ctx *ctx, int64_t rule, struct mh_err *err)
{
	CLEAN(work) struct work w = { 0 };
	enum verdict verdict;

	if (work_load(ctx, rule, &w, err) != 0)
		return -1;
	if (w.action.status != ACTION_IN_PROGRESS)
		return 0; /* the one before it ended it too */
	CLEAN(question)
	struct question q = {
		.rule = &w.action,
		.config = w.action.resolved_masked, /* it holds no secret */
		.phase = w.stage.phase,
	};
	if (judge(ctx, &w.run, &w.action, rule_type_find(w.action.type), &q, &verdict,
		  err) != 0)
		return -1;
	if (verdict == WAIT)
		return 0;
	if (timers_delete_of(ctx->store, rule, err) != 0)
		return -1;
	return stage_advance(ctx, &w.run, &w.stage, err);
}

static int set_alarm(struct op_ctx *ctx, const char *name, const char *state,
		     struct mh_err *err)
{
	CLEAN(action_execution_list) struct action_execution_list rules = { 0 };

	if (alarm_set(ctx->store, name, state, ctx->now_ms, err) != 0 ||
	    action_executions_rules_running(ctx->store, &rules, err) != 0)
		return -1;
	for (size_t i = 0; i < rules.count; i++) {
		const struct action_execution *rule = &rules.items[i];

		if (rule_type_find(rule->type)->kind == RULE_ALARM &&
		    strcmp(json_opt_str(rule->resolved_masked, "AlarmName", ""), name) ==
			    0 &&
		    look_again(ctx, rule->seq, err) != 0)
			return -1;
	}
	return 0;
}

int engine_alarm_set(struct op_ctx *ctx, const char *name, const char *state,
		     struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (name[0] == '\0' || !rule_is_alarm_state(state, strlen(state)))
		return api_fail(err, "ValidationException",
				"An alarm has a name, and one of the states OK, ALARM "
				"and INSUFFICIENT_DATA");
	return set_alarm(ctx, name, state, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
