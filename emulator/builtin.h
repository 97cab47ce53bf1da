/*
 * Built-in workers: the threads that do the file and git work of the actions the
 * emulator brings along (sources, S3 deploy). Every action runs through the one
 * job mechanism (design section 6); a built-in action's job is taken by these
 * threads instead of by a poll, and reported by the engine's own functions.
 *
 * A job claimed and not reported (the process died) is claimed again after a
 * restart: its work is idempotent, because its output keys were fixed when the
 * action started.
 */
#ifndef MH_EMULATOR_BUILTIN_H
#define MH_EMULATOR_BUILTIN_H

#include "emulator/op.h"
#include "emulator/writer.h"

struct s3;

struct builtin_artifact {
	char *name, *bucket, *key;
};
/* What the engine hands out: everything the work needs, nothing it must look up. */
struct builtin_job {
	char id[STR_UUID_SIZE];
	char *category,
		*provider; /* "Source"/"CodeCommit", "Source"/"S3", "Deploy"/"S3" */
	/* Resolved; owned. A git source: "CommitId" is there when the start names
	 * the commit to take instead of the branch's head (a COMMIT_ID source revision);
	 * so does "S3ObjectVersionId" of an S3 source. */
	struct json_object *config;
	char *pipeline, *execution_id;
	struct builtin_artifact *inputs;
	size_t input_count;
	struct builtin_artifact *outputs;
	size_t output_count;
};
void builtin_job_done(struct builtin_job *job);

struct builtin_result {
	const char *failure_type; /* NULL: success; else one of the six types */
	const char *message; /* failure */
	const char *summary, *external_id, *external_url; /* may be NULL */
	const char *revision_id, *revision_summary,
		*revision_url; /* sources; may be NULL */
	int64_t revision_created_ms; /* 0: unknown */
	struct json_object *variables; /* string to string; may be NULL; borrowed */
};

/* In the engine (emulator/engine/builtin_jobs.c), run by writer_call. The next built-in
 * job that is queued, or claimed in an earlier life of the process (claim_epoch
 * differs); *ret_found false when there is none. */
int engine_claim_builtin(struct op_ctx *ctx, const char *claim_epoch,
			 struct builtin_job *ret, bool *ret_found, struct api_error *err);
/* First report wins; a report for a job that ended meanwhile is dropped silently. */
int engine_finish_builtin(struct op_ctx *ctx, const char *job_id,
			  const struct builtin_result *result, struct api_error *err);

/* In emulator/builtin/. Starts the threads; wake is for writer_options. */
struct builtin_pool;
int builtin_pool_new(struct builtin_pool **ret, struct mh_err *err) MH_MUST_CHECK;
int builtin_pool_start(struct builtin_pool *pool, struct writer *writer, struct s3 *s3,
		       const struct settings *settings, struct mh_err *err) MH_MUST_CHECK;
void builtin_pool_wake(void *pool);
/* Ends what is in hand (programs are stopped, nothing is reported: the next life of the
 * process does it again), joins. */
void builtin_pool_stop(struct builtin_pool *pool);

#endif
