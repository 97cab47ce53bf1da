#include "tests/unit/engine_play.h"

#include <stdio.h>

#define PIPELINES 4

static uint32_t dice(struct play *p, uint32_t sides)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return (uint32_t)(p->random >> 33) % sides;
}

static const char *const providers[] = { "Src", "Make", "Check", "Ship", "Lambda" };
static const char *const modes[] = { "SUPERSEDED", "QUEUED", "PARALLEL", "SUPERSEDED" };
static const char *const stage_names[] = { "Source", "Build", "Gate", "Deploy" };

#define ACTION(name, order, category, provider)                                          \
	"{'name':'" name "','runOrder':" order ",'actionTypeId':{'category':'" category  \
	"','owner':'Custom','provider':'" provider "','version':'1'}"

static const char stages[] = "[{'name':'Source','actions':[" ACTION("S1", "1", "Source", "Src") ",'namespace':'src'}," ACTION(
	"S2", "1", "Source",
	"Src") ",'outputArtifacts':[{'name':'A'}]}]},"
	       "{'name':'Build','actions':[" ACTION(
		       "B1", "1", "Build",
		       "Make") ",'inputArtifacts':[{'name':'A'}],'outputArtifacts':[{'"
			       "name':'P'}],"
			       "'configuration':{'Target':'#{src.v}'}}," ACTION(
				       "B2", "1", "Build",
				       "Make") "}," ACTION("T", "2", "Test",
							   "Check") ",'inputArtifacts':[{"
								    "'name':'P'}]}]},"
								    "{'name':'Gate','"
								    "actions':[{'name':'"
								    "Ask','actionTypeId':"
								    "{'category':'"
								    "Approval',"
								    "'owner':'AWS','"
								    "provider':'Manual','"
								    "version':'1'}}]},"
								    "{'name':'Deploy','"
								    "actions':[" ACTION(
									    "D", "1",
									    "Deploy",
									    "Ship") ",'"
										    "inpu"
										    "tArt"
										    "ifac"
										    "ts':"
										    "[{'"
										    "name"
										    "':'"
										    "P'}]"
										    "}]}"
										    "]";

/* Another structure for updates: a stage fewer, one by another name. */
static const char other_stages[] = "[{'name':'Source','actions':[" ACTION(
	"S1", "1", "Source",
	"Src") ",'outputArtifacts':[{'name':'A'}],'namespace':'src'}]},"
	       "{'name':'Compile','actions':[" ACTION(
		       "B1", "1", "Build",
		       "Make") ",'inputArtifacts':[{'name':'A'}],'configuration':{'"
			       "Target':'#{src.v}'}}]},"
			       "{'name':'Deploy','actions':[" ACTION(
				       "D", "1", "Deploy",
				       "Ship") ",'inputArtifacts':[{'name':'A'}]}]}]";

#define WAITED_FOR                                                                       \
	RULE("W", "LambdaInvoke", "'FunctionName':'f'")                                  \
	"," RULE("X", "CloudWatchAlarm", "'AlarmName':'a','WaitTime':'2'")

/* One with conditions everywhere; %s: ROLLBACK where the mode has rollbacks, or FAIL. */
static const char guarded_stages[] =
	"[{'name':'Source','onFailure':{'result':'RETRY'},'actions':[" ACTION(
		"S1", "1", "Source",
		"Src") ",'outputArtifacts':[{'name':'A'}],"
		       "'namespace':'src'}]},"
		       "{'name':'Build','beforeEntry':" CONDITIONS("SKIP", CHECK("V", "#{src.v}", "MATCHES", "[12]")) ",'onSuccess':" CONDITIONS("%s", WAITED_FOR) ",'actions':[" ACTION(
			       "B1", "1", "Build",
			       "Make") "}," ACTION("B2", "2", "Build",
						   "Make") "}]},"
							   "{'name':'Gate','onFailure':{'"
							   "result':'RETRY','"
							   "retryConfiguration':{'"
							   "retryMode':"
							   "'ALL_ACTIONS'}},'actions':[{'"
							   "name':'Ask','actionTypeId':{'"
							   "category':'Approval',"
							   "'owner':'AWS','provider':'"
							   "Manual','version':'1'}}]},"
							   "{'name':'Deploy','"
							   "beforeEntry':" CONDITIONS(
								   "FAIL",
								   WAITED_FOR) "%s,"
									       "'actions'"
									       ":"
									       "[" ACTION(
										       "D",
										       "1",
										       "D"
										       "e"
										       "p"
										       "l"
										       "o"
										       "y",
										       "S"
										       "h"
										       "i"
										       "p") ",'inputArtifacts':[{'name':'A'}]}]}]";

static char *declare_guarded(const char *name, const char *mode)
{
	bool parallel = strcmp(mode, "PARALLEL") == 0;
	CLEAN(free)
	char *text = mh_format(
		guarded_stages, parallel ? "FAIL" : "ROLLBACK",
		parallel ? "" : ",'onFailure':" CONDITIONS("ROLLBACK", WAITED_FOR));

	return declare(name, mode, text);
}

static char *pick_name(struct play *p)
{
	return mh_format("p%u", dice(p, PIPELINES));
}

/* ---- steps ---- */

static void may_call(struct play *p, const char *op, char *input)
{
	struct world *w = p->w;

	if (!try_call(w, op, input) && w->error.status != 400)
		fail_msg("%s: %s: %s", op, w->error.code, w->error.message);
	free(input);
}

static void step_create(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	const char *mode = modes[name[1] - '0'];

	may_call(p, "CreatePipeline",
		 dice(p, 2) ? declare(name, mode, stages) : declare_guarded(name, mode));
}

static void step_update(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	const char *mode = modes[dice(p, 4)];

	may_call(p, "UpdatePipeline",
		 dice(p, 2) ? declare_guarded(name, mode)
			    : declare(name, mode, dice(p, 2) ? stages : other_stages));
}

static void step_delete(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	may_call(p, "DeletePipeline", mh_format("{'name':'%s'}", name));
}

/* Now and then a start that may be one that was made already. */
static void step_start(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);
	CLEAN(free)
	char *token = dice(p, 4) ? NULL
				 : mh_format(",'clientRequestToken':'t%u'", dice(p, 3));

	may_call(p, "StartPipelineExecution",
		 mh_format("{'name':'%s'%s}", name, token ? token : ""));
}

/* Of a few revisions, which are known sooner or later. */
static void step_revision(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	may_call(p, "PutActionRevision",
		 mh_format("{'pipelineName':'%s','stageName':'Source','actionName':'S1',"
			   "'actionRevision':{'revisionId':'r%u','revisionChangeId':'c',"
			   "'created':1}}",
			   name, dice(p, 4)));
}

static void step_poll(struct play *p)
{
	struct handed h = poll_one(p->w, providers[dice(p, ARRAY_LEN(providers))]);
	const char *target;
	struct held *slot;

	if (!h.id)
		return;
	target = json_opt_str(at(h.data, "actionConfiguration.configuration"), "Target",
			      "");
	assert_null(strstr(target, "#{src"));
	/* An acknowledged job is never handed out again. */
	assert_null(at(p->acked, h.id));
	slot = &p->held[p->held_count < HELD_MAX ? p->held_count++ : dice(p, HELD_MAX)];
	*slot = (struct held){ 0 };
	(void)snprintf(slot->id, sizeof(slot->id), "%s", h.id);
	(void)snprintf(slot->nonce, sizeof(slot->nonce), "%s", h.nonce);
}

/* What is over is mostly put away, now and then tried once more. */
static void put_away(struct play *p, struct held *h)
{
	if (dice(p, 4) > 0)
		*h = p->held[--p->held_count];
}

static struct held *pick_held(struct play *p)
{
	return p->held_count ? &p->held[dice(p, (uint32_t)p->held_count)] : NULL;
}

static void step_acknowledge(struct play *p)
{
	struct held *h = pick_held(p);
	const char *status, *winner;

	if (!h)
		return;
	status = acknowledge(p->w, h->id, h->nonce);
	if (strcmp(status, "InProgress") != 0) {
		put_away(p, h);
		return;
	}
	h->acknowledged = true;
	winner = json_opt_str(p->acked, h->id, NULL);
	if (winner)
		assert_string_equal(winner, h->nonce);
	json_put_str(p->acked, h->id, h->nonce);
}

/* Mostly one that was acknowledged. */
static struct held *pick_finished(struct play *p)
{
	for (size_t i = 0; dice(p, 4) > 0 && i < p->held_count; i++) {
		if (p->held[i].acknowledged)
			return &p->held[i];
	}
	return pick_held(p);
}

static void put_success(struct play *p, bool more)
{
	struct held *h = pick_finished(p);
	CLEAN(free) char *input = NULL;

	if (!h)
		return;
	input = mh_format("{'jobId':'%s',%s}", h->id,
			  more         ? "'continuationToken':'t'"
			  : dice(p, 4) ? "'outputVariables':{'v':'1'}"
				       : "'outputVariables':{'v':'3'}");
	if (try_call(p->w, "PutJobSuccessResult", input)) {
		assert_non_null(at(p->acked, h->id));
		p->finished++;
		put_away(p, h);
	} else if (strcmp(p->w->error.code, "InvalidJobStateException") != 0 ||
		   h->acknowledged) {
		put_away(p, h);
	}
}

static void step_success(struct play *p)
{
	put_success(p, false);
}

static void step_continuation(struct play *p)
{
	put_success(p, true);
}

static void step_failure(struct play *p)
{
	struct held *h = pick_held(p);

	if (h)
		may_call(p, "PutJobFailureResult",
			 mh_format("{'jobId':'%s','failureDetails':{'type':'JobFailed',"
				   "'message':'no'}}",
				   h->id));
}

static void step_approve(struct play *p)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;
	char *input = NULL;
	int64_t skip = dice(p, 3);

	store_query(
		p->w->store, &q,
		"SELECT pipeline, token FROM approvals ORDER BY open DESC, action LIMIT 1"
		" OFFSET ?",
		"i", skip);
	if (stmt_next(&q, &err) == 1)
		input = mh_format(
			"{'pipelineName':'%s','stageName':'Gate','actionName':'Ask',"
			"'token':'%s','result':{'summary':'s','status':'%s'}}",
			stmt_text(&q, 0), stmt_text(&q, 1),
			dice(p, 10) ? "Approved" : "Rejected");
	stmt_end(&q);
	if (input)
		may_call(p, "PutApprovalResult", input);
}

static void step_transition(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	bool enable = dice(p, 6) > 0;

	may_call(p, enable ? "EnableStageTransition" : "DisableStageTransition",
		 mh_format(
			 "{'pipelineName':'%s','stageName':'%s','transitionType':'%s'%s}",
			 name, stage_names[dice(p, 4)],
			 dice(p, 3) ? "Inbound" : "Outbound",
			 enable ? "" : ",'reason':'r'"));
}

/* Of any execution, the newest most likely; NULL when there is none. */
static char *pick_execution(struct play *p, char **ret_pipeline)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;
	int64_t skip = dice(p, 4) ? dice(p, 3) : dice(p, 20);

	store_query(p->w->store, &q,
		    "SELECT pipeline, id FROM executions ORDER BY seq DESC LIMIT 1"
		    " OFFSET ?",
		    "i", skip);
	if (stmt_next(&q, &err) != 1)
		return NULL;
	*ret_pipeline = mh_strdup(stmt_text(&q, 0));
	return mh_strdup(stmt_text(&q, 1));
}

static void step_stop(struct play *p)
{
	CLEAN(free) char *pipeline = NULL;
	CLEAN(free) char *id = pick_execution(p, &pipeline);

	if (id)
		may_call(p, "StopPipelineExecution",
			 mh_format("{'pipelineName':'%s','pipelineExecutionId':'%s',"
				   "'abandon':%s}",
				   pipeline, id, dice(p, 2) ? "true" : "false"));
}

static void step_retry(struct play *p)
{
	CLEAN(free) char *pipeline = NULL;
	CLEAN(free) char *id = pick_execution(p, &pipeline);

	if (id)
		may_call(p, "RetryStageExecution",
			 mh_format("{'pipelineName':'%s','pipelineExecutionId':'%s',"
				   "'stageName':'%s','retryMode':'%s'}",
				   pipeline, id, stage_names[dice(p, 4)],
				   dice(p, 2) ? "ALL_ACTIONS" : "FAILED_ACTIONS"));
}

/* A place where the call may go well: sql answers pipeline, execution, stage, newest
 * first. Everything else is tried by the dice besides. */
struct place {
	char *pipeline, *id, *stage;
};

static void clean_place(struct place *at)
{
	free(at->pipeline);
	free(at->id);
	free(at->stage);
}

static struct place first_place(struct play *p, const char *sql)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;

	store_query(p->w->store, &q, sql, "i", (int64_t)dice(p, 4));
	if (stmt_next(&q, &err) != 1)
		return (struct place){ 0 };
	return (struct place){
		.pipeline = mh_strdup(stmt_text(&q, 0)),
		.id = mh_strdup(stmt_text(&q, 1)),
		.stage = mh_strdup(stmt_text(&q, 2)),
	};
}

static struct place pick_place(struct play *p, const char *sql)
{
	struct place at = { 0 };

	if (dice(p, 4) > 0)
		return first_place(p, sql);
	at.id = pick_execution(p, &at.pipeline);
	at.stage = mh_strdup(stage_names[dice(p, 4)]);
	return at;
}

static void step_rollback(struct play *p)
{
	CLEAN(place)
	struct place at = pick_place(
		p,
		"SELECT s.pipeline, e.id, s.stage FROM stage_executions s JOIN"
		" executions e ON e.seq = s.execution WHERE s.status = 'Succeeded' AND"
		" s.locked AND s.stage_index > 0 ORDER BY s.seq DESC LIMIT 1 OFFSET ?");

	if (at.id)
		may_call(p, "RollbackStage",
			 mh_format("{'pipelineName':'%s','targetPipelineExecutionId':"
				   "'%s','stageName':'%s'}",
				   at.pipeline, at.id, at.stage));
}

static void step_override(struct play *p)
{
	CLEAN(place)
	struct place at = pick_place(
		p, "SELECT c.pipeline, e.id, c.stage FROM conditions c JOIN executions e"
		   " ON e.seq = c.execution WHERE c.status IN ('InProgress', 'Failed')"
		   " ORDER BY c.seq DESC LIMIT 1 OFFSET ?");

	if (at.id)
		may_call(p, "OverrideStageCondition",
			 mh_format("{'pipelineName':'%s','pipelineExecutionId':'%s',"
				   "'stageName':'%s','conditionType':'%s'}",
				   at.pipeline, at.id, at.stage,
				   dice(p, 2) ? "BEFORE_ENTRY" : "ON_SUCCESS"));
}

static void step_alarm(struct play *p)
{
	static const char *const states[] = { "OK", "ALARM", "INSUFFICIENT_DATA" };

	set_alarm(p->w, "a", states[dice(p, ARRAY_LEN(states))]);
}

/* Moments mostly; now and then so long that jobs and approvals time out, or that a
 * transition lets nobody in any more. */
static void step_time(struct play *p)
{
	static const int64_t leaps[] = { 1, SECOND, 10 * SECOND, 61 * SECOND };
	uint32_t n = dice(p, 200);

	if (n == 0)
		pass_time(p->w, 31 * DAY);
	else if (n < 4)
		pass_time(p->w, (int64_t)dice(p, 8 * 24) * HOUR);
	else
		pass_time(p->w, leaps[dice(p, ARRAY_LEN(leaps))]);
}

static void step_look(struct play *p)
{
	CLEAN(free) char *name = pick_name(p);

	may_call(p, "GetPipelineState", mh_format("{'name':'%s'}", name));
	may_call(p, "ListPipelineExecutions", mh_format("{'pipelineName':'%s'}", name));
	may_call(p, "ListActionExecutions", mh_format("{'pipelineName':'%s'}", name));
	may_call(p, "ListRuleExecutions", mh_format("{'pipelineName':'%s'}", name));
}

/* Each with its share of the steps. */
static const struct {
	uint32_t share;
	void (*run)(struct play *p);
} kinds[] = {
	{ 250, step_poll },      { 200, step_acknowledge }, { 260, step_success },
	{ 40, step_start },      { 60, step_approve },      { 20, step_continuation },
	{ 15, step_transition }, { 15, step_retry },        { 8, step_create },
	{ 8, step_alarm },       { 7, step_override },      { 6, step_failure },
	{ 6, step_rollback },    { 5, step_stop },          { 4, step_revision },
	{ 3, step_look },        { 2, step_update },        { 1, step_delete },
	{ 20, step_time },
};

static void step(struct play *p)
{
	uint32_t all = 0, at;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		all += kinds[i].share;
	at = dice(p, all);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (at < kinds[i].share) {
			kinds[i].run(p);
			return;
		}
		at -= kinds[i].share;
	}
}

/* ---- what ended stays as it is (semantics I2, I8) ---- */

static void check_ended(struct play *p, const char *sql)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;

	store_query(p->w->store, &q, sql, "");
	while (stmt_next(&q, &err) == 1) {
		const char *before = json_opt_str(p->ended, stmt_text(&q, 0), NULL);

		if (before)
			assert_string_equal(before, stmt_text(&q, 1));
		else
			json_put_str(p->ended, stmt_text(&q, 0), stmt_text(&q, 1));
	}
}

void play_check_ended(struct play *p)
{
	check_ended(p, "SELECT id, status || '|' || updated_ms || '|' || "
		       "coalesce(variables, '') || '|' || outputs || '|' || "
		       "coalesce(error_code, '') FROM action_executions"
		       " WHERE status <> 'InProgress'");
	check_ended(p, "SELECT id, status FROM executions WHERE status IN"
		       " ('Succeeded','Superseded','Cancelled')");
}

/* ---- the whole ---- */

/* Different for each step, whatever was played before (splitmix64). */
static uint64_t mixed(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

struct play *play_new(uint64_t seed)
{
	struct play *p = mh_alloc(sizeof(*p));

	p->w = world_new(seed);
	p->seed = mixed(seed);
	p->ended = json_object_new_object();
	p->acked = json_object_new_object();
	create_types(p->w);
	offer_rules(p->w);
	return p;
}

void play_free(struct play *p)
{
	json_object_put(p->ended);
	json_object_put(p->acked);
	world_free(p->w);
	free(p);
}

/* Answers are kept for the tests that borrow from them; here they would pile up. */
static void drop_answers(struct world *w)
{
	while (w->answer_count > 0)
		json_object_put(w->answers[--w->answer_count]);
}

void play_step(struct play *p, uint32_t n)
{
	p->random = mixed(p->seed + n) | 1;
	step(p);
	drop_answers(p->w);
}
