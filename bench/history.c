/*
 * Fills a data directory as years of use would: pipelines with past executions, and
 * executions that are under way. Operations and engine are the emulator's own; only the
 * commits are fewer.
 *
 *	history DATA_DIR PIPELINES EXECUTIONS UNDER_WAY
 *
 * Every pipeline has a source and a build action of custom types; EXECUTIONS of each have
 * succeeded, and of UNDER_WAY pipelines one more waits for its build. Prints how many
 * operations it took.
 */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "emulator/engine/engine.h"
#include "emulator/jobcreds.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "emulator/store/store.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"

#define CALLS_PER_COMMIT 1000

static struct {
	struct store *store;
	struct settings settings;
	struct creds_key *key;
	long calls;
} world;

MH_NORETURN static void die(const char *what, const char *why)
{
	fprintf(stderr, "history: %s: %s\n", what, why);
	exit(1);
}

static void must(int rc, const char *what, const struct mh_err *err)
{
	if (rc != 0)
		die(what, err->text);
}

static const struct op *find(const char *name)
{
	for (const struct op *op = op_table; op->name; op++)
		if (strcmp(op->name, name) == 0)
			return op;
	die(name, "no such operation");
}

/* The answer is the caller's. */
static struct json_object *call(const char *name, const char *input)
{
	struct op_ctx ctx = { .store = world.store,
			      .now_ms = clock_wall_ms(),
			      .ids = &ids_random,
			      .settings = &world.settings,
			      .creds_key = world.key,
			      .caller_arn = "" };
	struct json_object *out = json_object_new_object();
	CLEAN(json) struct json_object *in = NULL;
	struct api_error failed = { 0 };
	struct mh_err err = MH_ERR_INIT;

	must(json_parse_object(input, strlen(input), &in, &err), name, &err);
	if (find(name)->run(&ctx, in, out, &failed) != 0)
		die(name, failed.message);
	if (++world.calls % CALLS_PER_COMMIT == 0) {
		must(store_commit(world.store, &err), "commit", &err);
		must(store_begin(world.store, &err), "begin", &err);
	}
	return out;
}

static void do_call(const char *name, const char *input)
{
	json_object_put(call(name, input));
}

static void make_type(const char *category, int inputs, int outputs)
{
	CLEAN(free)
	char *input = mh_format(
		"{\"category\":\"%s\",\"provider\":\"Bench\",\"version\":\"1\","
		"\"inputArtifactDetails\":{\"minimumCount\":%d,\"maximumCount\":%d},"
		"\"outputArtifactDetails\":{\"minimumCount\":%d,\"maximumCount\":%d}}",
		category, inputs, inputs, outputs, outputs);

	do_call("CreateCustomActionType", input);
}

#define ACTION(name, category)                                                           \
	"{\"name\":\"" name "\",\"runOrder\":1,\"configuration\":{},"                    \
	"\"actionTypeId\":{\"category\":\"" category                                     \
	"\",\"owner\":\"Custom\",\"provider\":\"Bench\",\"version\":\"1\"},"

static void make_pipeline(long n)
{
	CLEAN(free)
	char *input = mh_format(
		"{\"pipeline\":{\"name\":\"p-%06ld\",\"version\":1,"
		"\"roleArn\":\"arn:aws:iam::000000000000:role/bench\","
		"\"artifactStore\":{\"type\":\"S3\",\"location\":\"bench-artifacts\"},"
		"\"stages\":[{\"name\":\"Source\",\"actions\":[" ACTION(
			"Fetch",
			"Source") "\"inputArtifacts\":[],\"outputArtifacts\":[{\"name\":"
				  "\"Src\"}]}]},"
				  "{\"name\":\"Build\",\"actions\":[" ACTION(
					  "Make", "Build") "\"inputArtifacts\":[{"
							   "\"name\":\"Src\"}],"
							   "\"outputArtifacts\":[]}]}]}}",
		n);

	do_call("CreatePipeline", input);
}

static void finish(struct json_object *job)
{
	const char *id = json_opt_str(job, "id", "");
	CLEAN(free)
	char *acknowledge = mh_format("{\"jobId\":\"%s\",\"nonce\":\"%s\"}", id,
				      json_opt_str(job, "nonce", ""));
	CLEAN(free) char *success = mh_format("{\"jobId\":\"%s\"}", id);

	do_call("AcknowledgeJob", acknowledge);
	do_call("PutJobSuccessResult", success);
}

/* Works until there is nothing left of that category. */
static void work_off(const char *category)
{
	CLEAN(free)
	char *poll = mh_format(
		"{\"maxBatchSize\":100,\"actionTypeId\":{\"category\":\"%s\","
		"\"owner\":\"Custom\",\"provider\":\"Bench\","
		"\"version\":\"1\"}}",
		category);
	size_t count;

	do {
		CLEAN(json) struct json_object *out = call("PollForJobs", poll);
		struct json_object *jobs = NULL;

		if (!json_object_object_get_ex(out, "jobs", &jobs))
			die("PollForJobs", "no jobs in its answer");
		count = json_object_array_length(jobs);
		for (size_t i = 0; i < count; i++)
			finish(json_object_array_get_idx(jobs, i));
	} while (count > 0);
}

static void start(long n)
{
	CLEAN(free) char *input = mh_format("{\"name\":\"p-%06ld\"}", n);

	do_call("StartPipelineExecution", input);
}

static void open_world(const char *dir)
{
	CLEAN(free) char *path = mh_format("%s/emulator.db", dir);
	struct mh_err err = MH_ERR_INIT;

	if (sodium_init() < 0)
		die("libsodium", "it does not start");
	must(settings_read(NULL, &world.settings, &err), "settings", &err);
	world.settings.max_pipelines = 1000000;
	must(fs_mkdir_p(dir, 0700, &err), dir, &err);
	must(store_open(path, &world.store, &err), path, &err);
	must(creds_key_open(dir, &world.key, &err), dir, &err);
	must(store_begin(world.store, &err), "begin", &err);
}

int main(int argc, char **argv)
{
	struct mh_err err = MH_ERR_INIT;
	long pipelines, executions, under_way;

	if (argc != 5) {
		fputs("usage: history DATA_DIR PIPELINES EXECUTIONS UNDER_WAY\n", stderr);
		return 2;
	}
	pipelines = strtol(argv[2], NULL, 10);
	executions = strtol(argv[3], NULL, 10);
	under_way = strtol(argv[4], NULL, 10);
	open_world(argv[1]);
	make_type("Source", 0, 1);
	make_type("Build", 1, 0);
	for (long n = 0; n < pipelines; n++)
		make_pipeline(n); /* which starts the first execution */
	for (long e = 0; e < executions; e++) {
		for (long n = 0; n < pipelines && e > 0; n++)
			start(n);
		work_off("Source");
		work_off("Build");
	}
	for (long n = 0; n < under_way; n++)
		start(n);
	work_off("Source");
	must(store_commit(world.store, &err), "commit", &err);
	store_close(world.store);
	creds_key_free(world.key);
	settings_done(&world.settings);
	printf("%ld\n", world.calls);
	return 0;
}
