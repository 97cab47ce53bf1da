/*
 * A small world to test the engine in: a store in memory, a clock and ids of the test's
 * own, and every call held against the service model, going in and coming out. After
 * each call the invariants of the engine are checked (semantics I).
 *
 *	struct world *w = world_new(seed);
 *	call(w, "CreatePipeline", "{'pipeline': ...}");      ' stands for "
 *	assert_string_equal(fails(w, "PollForJobs", ...), "ValidationException");
 *	world_free(w);
 */
#ifndef MH_TESTS_UNIT_ENGINE_WORLD_H
#define MH_TESTS_UNIT_ENGINE_WORLD_H

#include "tests/unit/test.h"

#include "emulator/engine/engine.h"
#include "emulator/jobcreds.h"
#include "emulator/model.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "emulator/store/store.h"
#include "lib/base/json.h"
#include "tests/unit/event_paths.h"

#define SECOND ((int64_t)1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

struct world {
	struct store *store;
	struct model *model;
	struct settings settings;
	struct ids ids;
	struct creds_key *key;
	int64_t now_ms;
	bool woke; /* a call wanted the built-in workers */
	bool tell; /* prints each call */
	/* What of the invariants looks through the whole history is checked after each
	 * call, or once in so many. */
	unsigned history_every, checks;
	int64_t changes; /* of rows, up to the last check */
	struct json_object
		*answers[4096]; /* kept until the end, so that tests may borrow */
	size_t answer_count;
	struct api_error error; /* of the last call that failed */
	struct event_paths events; /* what was told so far (settings.events) */
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w);

/* Calls an operation; it must succeed. The answer is the world's. */
struct json_object *call(struct world *w, const char *op, const char *fmt, ...)
	MH_PRINTF(3, 4);
/* It must fail; its code. */
const char *fails(struct world *w, const char *op, const char *fmt, ...) MH_PRINTF(3, 4);
/* Either; NULL when it failed, and then w->error says why. */
struct json_object *try_call(struct world *w, const char *op, const char *input);

/* Moves the clock and fires what became due. */
void pass_time(struct world *w, int64_t ms);

/* An alarm of CloudWatch's is in a state from now on. */
void set_alarm(struct world *w, const char *name, const char *state);
/* Rules that workers do are offered to those of provider "Lambda". */
void offer_rules(struct world *w);

/* A rule of a condition; a list of them; a condition. */
#define RULE(name, provider, config)                                                     \
	"{'name':'" name                                                                 \
	"','ruleTypeId':{'category':'Rule','owner':'AWS','provider':'" provider          \
	"','version':'1'},'configuration':{" config "}}"
#define CHECK(name, variable, op, value)                                                 \
	RULE(name, "VariableCheck",                                                      \
	     "'Variable':'" variable "','Operator':'" op "','Value':'" value "'")
#define CONDITIONS(result, rules)                                                        \
	"{'conditions':[{'result':'" result "','rules':[" rules "]}]}"

/* An answer's member by path: "a.b[0].c". NULL when it is not there. */
struct json_object *at(struct json_object *o, const char *path);
/* Its text; fails when it is not there. */
const char *text_at(struct json_object *o, const char *path);

/* ---- pipelines ---- */

/* Types Source/Src, Build/Make, Test/Check and Deploy/Ship, all Custom and version 1. */
void create_types(struct world *w);
/* Source (Src) -> Build (Make) -> Deploy (Ship). Answers the first execution's id. */
const char *create_pipeline(struct world *w, const char *name, const char *mode);
/* The pipeline's declaration as JSON text with '; stages is the text of an array. The
 * caller frees it. */
char *declare(const char *name, const char *mode, const char *stages);
/* The three stages of create_pipeline. */
extern const char three_stages[];
const char *start(struct world *w, const char *pipeline);
const char *newest(struct world *w, const char *pipeline);

const char *execution_state(struct world *w, const char *pipeline, const char *id);
/* Which execution is in the stage or was last; "" for none. */
const char *latest_in(struct world *w, const char *pipeline, const char *stage);
const char *stage_state(struct world *w, const char *pipeline, const char *stage);
/* The latest action execution's member, "" when absent. */
const char *action_state(struct world *w, const char *pipeline, const char *stage,
			 const char *action, const char *member);
/* How many executions wait in front of the stage; the i-th one's id. */
size_t inbound_count(struct world *w, const char *pipeline, const char *stage);
const char *inbound_id(struct world *w, const char *pipeline, const char *stage,
		       size_t i);
/* Opens or shuts the way into a stage. */
void set_transition(struct world *w, const char *pipeline, const char *stage,
		    bool enabled);

/* ---- workers ---- */

/* What a poll hands out; id NULL when it is nothing. */
struct handed {
	const char *id, *nonce, *execution, *action;
	struct json_object *data;
};
/* provider: "Src", "Make", "Check", "Ship" or "Lambda". */
struct handed poll_one(struct world *w, const char *provider);
/* Polls, acknowledges; there must be a job. */
struct handed take(struct world *w, const char *provider);
void succeed(struct world *w, const char *job);
void fail_job(struct world *w, const char *job);
/* take and succeed: the execution it was for. */
const char *work(struct world *w, const char *provider);
/* The answer of an acknowledgement: its status, or the error's code. */
const char *acknowledge(struct world *w, const char *job, const char *nonce);

/* ---- the store, for what no view shows ---- */

int64_t count_rows(struct world *w, const char *sql);
void check_invariants(struct world *w);
/* Once, for a new store. */
void invariants_prepare(struct world *w);

#endif
