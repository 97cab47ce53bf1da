/*
 * Starts by git (semantics E13). What happened in a repository is found out elsewhere
 * (emulator/builtin/watch.c, a pull request's delivery); here is decided which pipelines
 * it starts.
 */
#ifndef MH_EMULATOR_ENGINE_TRIGGERS_H
#define MH_EMULATOR_ENGINE_TRIGGERS_H

#include "emulator/op.h"
#include "lib/base/json.h"

struct git_event {
	const char *repository; /* as source actions name it */
	const char *branch; /* pushed to, or a pull request's destination; NULL: a tag */
	const char *tag; /* NULL: a branch */
	const char *pull_request; /* NULL: a push; else OPEN, UPDATED or CLOSED */
	const char *source_branch; /* of a pull request: where the commit is */
	const char *commit; /* what it points to now */
	bool created; /* the branch is new: file paths never match */
	struct json_object *files; /* changed ones, the first 100; NULL: not known */
	struct json_object *origin; /* what events tell of it; NULL: nothing */
};

#define GIT_EVENT_FILES_MAX 100

/* Whether the filters of a trigger (its gitConfiguration) let the event pass. branch:
 * the source action's own, which counts when there are no filters. */
bool trigger_matches(struct json_object *git_configuration, const char *branch,
		     const struct git_event *e);

/* Starts what the event starts; *ret_started is how many. */
int engine_git_event(struct op_ctx *ctx, const struct git_event *e, int64_t *ret_started,
		     struct api_error *err) MH_MUST_CHECK;
/* The same for one pipeline. *ret_id is "" when it is not started. */
struct pipeline;
int engine_git_event_for(struct op_ctx *ctx, const struct pipeline *p,
			 const struct git_event *e, char ret_id[STR_UUID_SIZE],
			 struct api_error *err) MH_MUST_CHECK;

/* An object of the artifact store has new content. version: of a bucket with versions,
 * else NULL. */
int engine_object_changed(struct op_ctx *ctx, const char *bucket, const char *key,
			  const char *version, struct api_error *err) MH_MUST_CHECK;

#endif
