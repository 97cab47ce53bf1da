/* A small world to test the engine in. */
#include "tests/unit/engine_world.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "emulator/store/transitions.h"
#include "emulator/validate.h"
#include "lib/base/fsio.h"

struct world *world_new(uint64_t seed)
{
	struct world *w = mh_alloc(sizeof(*w));
	char dir[] = "/tmp/mh-engine-XXXXXX";
	struct mh_err err = MH_ERR_INIT;

	w->now_ms = 1763635143250;
	w->settings = (struct settings){
		.region = mh_strdup("us-east-1"),
		.account = mh_strdup("000000000000"),
		.ack_timeout_ms = 60 * SECOND,
		.job_credentials_ms = 900 * SECOND,
		.custom_timeout_ms = DAY,
		.max_batch = 100,
		.events = true,
		.events_keep = 1000,
		.events_backlog = 1000,
	};
	ids_init_seeded(&w->ids, seed);
	assert_ok(store_open(":memory:", &w->store, &err), &err);
	invariants_prepare(w);
	assert_ok(model_new(&w->model, &err), &err);
	assert_non_null(mkdtemp(dir));
	assert_ok(creds_key_open(dir, &w->key, &err), &err);
	assert_ok(fs_remove_tree_at(AT_FDCWD, dir, &err), &err);
	return w;
}

void world_free(struct world *w)
{
	for (size_t i = 0; i < w->answer_count; i++)
		json_object_put(w->answers[i]);
	event_paths_done(&w->events);
	store_close(w->store);
	model_free(w->model);
	creds_key_free(w->key);
	free(w->settings.region);
	free(w->settings.account);
	free(w);
}

/* ---- calls ---- */

static struct json_object *keep(struct world *w, struct json_object *o)
{
	assert_true(w->answer_count < ARRAY_LEN(w->answers));
	return w->answers[w->answer_count++] = o;
}

static int (*find_op(const char *name))(struct op_ctx *, struct json_object *,
					struct json_object *, struct api_error *)
{
	for (const struct op *op = op_table; op->name; op++) {
		if (strcmp(op->name, name) == 0)
			return op->run;
	}
	return NULL;
}

static struct op_ctx make_ctx(struct world *w)
{
	return (struct op_ctx){
		.store = w->store,
		.now_ms = w->now_ms,
		.ids = &w->ids,
		.settings = &w->settings,
		.creds_key = w->key,
		.caller_arn = "arn:aws:iam::000000000000:user/tester",
	};
}

/* As the writer does it: a savepoint, kept when the call went well. */
static int run(struct world *w, const struct model_op *op, struct json_object *in,
	       struct json_object *out)
{
	struct op_ctx ctx = make_ctx(w);
	struct mh_err err = MH_ERR_INIT;
	int rc;

	assert_ok(store_begin(w->store, &err), &err);
	assert_ok(store_savepoint(w->store, &err), &err);
	rc = find_op(op->name)(&ctx, in, out, &w->error);
	if (rc == 0)
		assert_ok(store_release(w->store, &err), &err);
	else
		store_rollback_to(w->store);
	assert_ok(store_commit(w->store, &err), &err);
	w->woke |= ctx.wake_builtin;
	return rc;
}

struct json_object *try_call(struct world *w, const char *name, const char *input)
{
	CLEAN(free) char *text = mh_strdup(input);
	CLEAN(json) struct json_object *in = NULL;
	struct json_object *out = json_object_new_object();
	const struct model_op *op = model_find(w->model, name);
	struct mh_err err = MH_ERR_INIT;
	int rc;

	for (char *c = text; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	assert_non_null(op);
	assert_ok(json_parse_object(text, strlen(text), &in, &err), &err);
	rc = validate_input(op->input, in, &w->error);
	if (rc == 0)
		rc = run(w, op, in, out);
	if (w->tell) /* longer than cmocka's own function can print */
		(void)printf("#\t%s %s: %s\n", name, input,
			     rc == 0 ? "ok" : w->error.code);
	/* What was refused was rolled back. */
	if (rc == 0 || w->history_every == 0)
		check_invariants(w);
	if (rc == 0)
		assert_ok(validate_output(op->output, out, &err), &err);
	else if (w->error.status == 400 &&
		 strcmp(w->error.code, "SerializationException") != 0)
		assert_ok(validate_error(op, &w->error, &err), &err);
	(void)keep(w, out); /* freed at the end */
	return rc == 0 ? out : NULL;
}

struct json_object *call(struct world *w, const char *op, const char *fmt, ...)
{
	char *input = NULL;
	struct json_object *out;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&input, fmt, ap) >= 0);
	va_end(ap);
	out = try_call(w, op, input);
	if (!out)
		fail_msg("%s: %s: %s", op, w->error.code, w->error.message);
	free(input);
	return out;
}

const char *fails(struct world *w, const char *op, const char *fmt, ...)
{
	char *input = NULL;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&input, fmt, ap) >= 0);
	va_end(ap);
	if (try_call(w, op, input))
		fail_msg("%s went well: %s", op, input);
	free(input);
	return w->error.code;
}

void pass_time(struct world *w, int64_t ms)
{
	struct mh_err err = MH_ERR_INIT;
	bool fired;

	if (w->tell)
		(void)printf("#\t(%" PRId64 " ms pass)\n", ms);
	w->now_ms += ms;
	do {
		struct op_ctx ctx = make_ctx(w);

		ctx.caller_arn = "";
		fired = false;
		assert_ok(store_begin(w->store, &err), &err);
		if (engine_fire_due(&ctx, &fired, &w->error) != 0)
			fail_msg("fire_due: %s", w->error.message);
		assert_ok(store_commit(w->store, &err), &err);
		check_invariants(w);
	} while (fired);
}

struct json_object *at(struct json_object *o, const char *path)
{
	while (o && *path) {
		if (*path == '[') {
			char *end;
			size_t i = strtoul(path + 1, &end, 10);

			o = i < json_object_array_length(o)
				    ? json_object_array_get_idx(o, i)
				    : NULL;
			path = end + 1;
		} else {
			size_t len = strcspn(path, ".[");
			CLEAN(free) char *key = mh_strndup(path, len);
			struct json_object *next = NULL;

			if (!json_object_object_get_ex(o, key, &next))
				return NULL;
			o = next;
			path += len;
		}
		path += *path == '.';
	}
	return o;
}

const char *text_at(struct json_object *o, const char *path)
{
	struct json_object *found = at(o, path);

	if (!found)
		fail_msg("'%s' is not in: %s", path, json_text(o));
	return json_object_get_string(found);
}

static char rule_types_offered[][20] = { "Rule/LambdaInvoke/1", "Rule/Commands/1" };
static char rule_types_as[][24] = { "Invoke/Custom/Lambda/1", "Invoke/Custom/Lambda/1" };
static struct settings_offer rule_offers[] = {
	{ rule_types_offered[0], rule_types_as[0] },
	{ rule_types_offered[1], rule_types_as[1] },
};

void offer_rules(struct world *w)
{
	w->settings.offers = (struct conf_list){ rule_offers, ARRAY_LEN(rule_offers) };
}

void set_alarm(struct world *w, const char *name, const char *state)
{
	struct op_ctx ctx = make_ctx(w);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_begin(w->store, &err), &err);
	if (engine_alarm_set(&ctx, name, state, &w->error) != 0)
		fail_msg("alarm: %s", w->error.message);
	assert_ok(store_commit(w->store, &err), &err);
	check_invariants(w);
}

/* ---- pipelines ---- */

void create_types(struct world *w)
{
	static const struct {
		const char *category, *provider;
		int in, out;
	} types[] = {
		{ "Source", "Src", 0, 1 },
		{ "Build", "Make", 5, 5 },
		{ "Test", "Check", 5, 5 },
		{ "Deploy", "Ship", 5, 5 },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		call(w, "CreateCustomActionType",
		     "{'category':'%s','provider':'%s','version':'1','"
		     "configurationProperties':["
		     "{'name':'Target','required':false,'key':true,'secret':false},"
		     "{'name':'Password','required':false,'key':false,'secret':true}],"
		     "'settings':{'executionUrlTemplate':'https://x/"
		     "{ExternalExecutionId}'},"
		     "'inputArtifactDetails':{'minimumCount':0,'maximumCount':%d},"
		     "'outputArtifactDetails':{'minimumCount':0,'maximumCount':%d}}",
		     types[i].category, types[i].provider, types[i].in, types[i].out);
}

#define ACTION(name, category, provider)                                                 \
	"{'name':'" name "','actionTypeId':{'category':'" category "','owner':'Custom'," \
	"'provider':'" provider "','version':'1'}"

const char three_stages[] = "[{'name':'Source','actions':[" ACTION(
	"S", "Source", "Src") ",'outputArtifacts':[{'name':'Code'}],'namespace':'src'}]},"
			      "{'name':'Build','actions':[" ACTION(
				      "B", "Build",
				      "Make") ",'inputArtifacts':[{'name':'Code'}],'"
					      "outputArtifacts':[{'name':'Program'}],"
					      "'configuration':{'Target':'all','Password'"
					      ":'hunter2-secret'}}]},"
					      "{'name':'Deploy','actions':[" ACTION(
						      "D", "Deploy",
						      "Ship") ",'inputArtifacts':[{'name'"
							      ":'Program'}]}]}]";

char *declare(const char *name, const char *mode, const char *stages)
{
	return mh_format(
		"{'pipeline':{'name':'%s','roleArn':'arn:aws:iam::000000000000:role/r',"
		"'artifactStore':{'type':'S3','location':'artifacts'},"
		"'pipelineType':'V2','executionMode':'%s','stages':%s}}",
		name, mode, stages);
}

const char *create_pipeline(struct world *w, const char *name, const char *mode)
{
	CLEAN(free) char *input = declare(name, mode, three_stages);

	call(w, "CreatePipeline", "%s", input);
	return newest(w, name);
}

const char *start(struct world *w, const char *pipeline)
{
	return text_at(call(w, "StartPipelineExecution", "{'name':'%s'}", pipeline),
		       "pipelineExecutionId");
}

const char *newest(struct world *w, const char *pipeline)
{
	return text_at(call(w, "ListPipelineExecutions",
			    "{'pipelineName':'%s','maxResults':1}", pipeline),
		       "pipelineExecutionSummaries[0].pipelineExecutionId");
}

const char *execution_state(struct world *w, const char *pipeline, const char *id)
{
	return text_at(call(w, "GetPipelineExecution",
			    "{'pipelineName':'%s','pipelineExecutionId':'%s'}", pipeline,
			    id),
		       "pipelineExecution.status");
}

static struct json_object *named(struct json_object *list, const char *member,
				 const char *name)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (strcmp(text_at(o, member), name) == 0)
			return o;
	}
	fail_msg("no %s %s", member, name);
	return NULL;
}

static struct json_object *stage_of(struct world *w, const char *pipeline,
				    const char *stage)
{
	struct json_object *state = call(w, "GetPipelineState", "{'name':'%s'}",
					 pipeline);

	return named(at(state, "stageStates"), "stageName", stage);
}

static const char *or_empty(struct json_object *o)
{
	return o ? json_object_get_string(o) : "";
}

const char *latest_in(struct world *w, const char *pipeline, const char *stage)
{
	return or_empty(
		at(stage_of(w, pipeline, stage), "latestExecution.pipelineExecutionId"));
}

const char *stage_state(struct world *w, const char *pipeline, const char *stage)
{
	return or_empty(at(stage_of(w, pipeline, stage), "latestExecution.status"));
}

const char *action_state(struct world *w, const char *pipeline, const char *stage,
			 const char *action, const char *member)
{
	struct json_object *o = named(at(stage_of(w, pipeline, stage), "actionStates"),
				      "actionName", action);

	return or_empty(at(at(o, "latestExecution"), member));
}

size_t inbound_count(struct world *w, const char *pipeline, const char *stage)
{
	return json_object_array_length(
		at(stage_of(w, pipeline, stage), "inboundExecutions"));
}

const char *inbound_id(struct world *w, const char *pipeline, const char *stage, size_t i)
{
	CLEAN(free)
	char *path = mh_format("inboundExecutions[%zu].pipelineExecutionId", i);

	return text_at(stage_of(w, pipeline, stage), path);
}

void set_transition(struct world *w, const char *pipeline, const char *stage,
		    bool enabled)
{
	call(w, enabled ? "EnableStageTransition" : "DisableStageTransition",
	     "{'pipelineName':'%s','stageName':'%s','transitionType':'Inbound'%s}",
	     pipeline, stage, enabled ? "" : ",'reason':'freeze'");
}

/* ---- workers ---- */

static const char *category_of(const char *provider)
{
	return strcmp(provider, "Lambda") == 0  ? "Invoke"
	       : strcmp(provider, "Src") == 0   ? "Source"
	       : strcmp(provider, "Make") == 0  ? "Build"
	       : strcmp(provider, "Check") == 0 ? "Test"
						: "Deploy";
}

struct handed poll_one(struct world *w, const char *provider)
{
	struct json_object *jobs = at(
		call(w, "PollForJobs",
		     "{'actionTypeId':{'category':'%s','owner':'Custom','provider':'%s',"
		     "'version':'1'}}",
		     category_of(provider), provider),
		"jobs");

	if (json_object_array_length(jobs) == 0)
		return (struct handed){ 0 };
	return (struct handed){
		.id = text_at(jobs, "[0].id"),
		.nonce = text_at(jobs, "[0].nonce"),
		.execution = text_at(jobs,
				     "[0].data.pipelineContext.pipelineExecutionId"),
		.action = text_at(jobs, "[0].data.pipelineContext.action.name"),
		.data = at(jobs, "[0].data"),
	};
}

const char *acknowledge(struct world *w, const char *job, const char *nonce)
{
	CLEAN(free) char *input = mh_format("{'jobId':'%s','nonce':'%s'}", job, nonce);
	struct json_object *out = try_call(w, "AcknowledgeJob", input);

	return out ? text_at(out, "status") : w->error.code;
}

struct handed take(struct world *w, const char *provider)
{
	struct handed h = poll_one(w, provider);

	if (!h.id)
		fail_msg("no job for %s", provider);
	assert_string_equal(acknowledge(w, h.id, h.nonce), "InProgress");
	return h;
}

void succeed(struct world *w, const char *job)
{
	call(w, "PutJobSuccessResult", "{'jobId':'%s'}", job);
}

void fail_job(struct world *w, const char *job)
{
	call(w, "PutJobFailureResult",
	     "{'jobId':'%s','failureDetails':{'type':'JobFailed','message':'it broke'}}",
	     job);
}

const char *work(struct world *w, const char *provider)
{
	struct handed h = take(w, provider);

	succeed(w, h.id);
	return h.execution;
}

/* ---- the store ---- */

int64_t count_rows(struct world *w, const char *sql)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;

	store_query(w->store, &q, sql, "");
	if (stmt_next(&q, &err) != 1)
		fail_msg("%s: %s", sql, err.text);
	return stmt_i64(&q, 0);
}
