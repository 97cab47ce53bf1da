#include "emulator/engine/triggers.h"

#include <string.h>

#include "emulator/engine/engine.h"
#include "emulator/engine/sources.h"
#include "emulator/glob.h"
#include "emulator/store/sources.h"

/* ---- filters ---- */

static size_t list_length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

static const char *text_item(struct json_object *list, size_t i)
{
	struct json_object *o = json_object_array_get_idx(list, i);

	return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
}

static bool any_matches(struct json_object *patterns, const char *value)
{
	for (size_t i = 0; i < list_length(patterns); i++) {
		if (glob_matches(text_item(patterns, i), value))
			return true;
	}
	return false;
}

/* Excludes win; without includes all are in. */
static bool lets_pass(struct json_object *filter, const char *value)
{
	struct json_object *includes = json_opt_array(filter, "includes");

	if (any_matches(json_opt_array(filter, "excludes"), value))
		return false;
	return list_length(includes) == 0 || any_matches(includes, value);
}

/* Each file is judged alone; one that passes suffices. */
static bool lets_files_pass(struct json_object *filter, const struct git_event *e)
{
	for (size_t i = 0; !e->created && i < list_length(e->files); i++) {
		if (i < GIT_EVENT_FILES_MAX && lets_pass(filter, text_item(e->files, i)))
			return true;
	}
	return false;
}

static bool lets_event_pass(struct json_object *events, const char *event)
{
	for (size_t i = 0; i < list_length(events); i++) {
		if (strcmp(text_item(events, i), event) == 0)
			return true;
	}
	return list_length(events) == 0;
}

/* All parts of an entry must let it pass. */
static bool entry_matches(struct json_object *entry, const struct git_event *e)
{
	struct json_object *tags = json_opt_object(entry, "tags");
	struct json_object *branches = json_opt_object(entry, "branches");
	struct json_object *paths = json_opt_object(entry, "filePaths");

	if (e->tag)
		return tags && lets_pass(tags, e->tag);
	if (tags)
		return false;
	if (e->pull_request &&
	    !lets_event_pass(json_opt_array(entry, "events"), e->pull_request))
		return false;
	return (!branches || lets_pass(branches, e->branch)) &&
	       (!paths || lets_files_pass(paths, e));
}

bool trigger_matches(struct json_object *git_configuration, const char *branch,
		     const struct git_event *e)
{
	struct json_object *push = json_opt_array(git_configuration, "push");
	struct json_object *pulls = json_opt_array(git_configuration, "pullRequest");
	struct json_object *entries = e->pull_request ? pulls : push;

	/* No filters at all: pushes to the action's own branch. */
	if (!push && !pulls)
		return !e->pull_request && e->branch && strcmp(e->branch, branch) == 0;
	for (size_t i = 0; i < list_length(entries); i++) {
		if (entry_matches(json_object_array_get_idx(entries, i), e))
			return true;
	}
	return false;
}

/* ---- which source action an event is for ---- */

/* How an event starts a pipeline. */
struct cause {
	const char *trigger_type; /* NULL: it does not */
	const char *detail; /* borrowed from the declaration */
};

static struct json_object *trigger_of(const struct pipeline *p, const char *action)
{
	struct json_object *list = json_opt_array(p->declaration, "triggers");

	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *git = json_opt_object(
			json_object_array_get_idx(list, i), "gitConfiguration");

		if (strcmp(json_opt_str(git, "sourceActionName", ""), action) == 0)
			return git;
	}
	return NULL;
}

/* Connections: declared triggers, or else every push to the branch, unless DetectChanges
 * says no. Where a pipeline has triggers, no connection of it is looked at otherwise. */
static struct cause connection_cause(const struct pipeline *p, struct json_object *action,
				     const struct git_event *e)
{
	struct json_object *config = json_opt_object(action, "configuration");
	struct json_object *git = trigger_of(p, json_opt_str(action, "name", ""));
	const char *branch = json_opt_str(config, "BranchName", "");
	struct cause c = { .detail = json_opt_str(config, "ConnectionArn", "") };

	if (list_length(json_opt_array(p->declaration, "triggers")) > 0) {
		if (git && trigger_matches(git, branch, e))
			c.trigger_type = "WebhookV2";
	} else if (!e->pull_request && e->branch && strcmp(e->branch, branch) == 0 &&
		   strcmp(json_opt_str(config, "DetectChanges", "true"), "false") != 0) {
		c.trigger_type = "Webhook";
	}
	return c;
}

/* CodeCommit and S3: polled, unless PollForSourceChanges says no. Then an event's rule
 * would start the pipeline: there is one for every such source when the settings say so.
 */
static struct cause polled_cause(struct op_ctx *ctx, struct json_object *action)
{
	struct json_object *config = json_opt_object(action, "configuration");
	struct cause c = { .detail = json_opt_str(action, "name", "") };

	if (strcmp(json_opt_str(config, "PollForSourceChanges", "true"), "false") != 0)
		c.trigger_type = "PollForSourceChanges";
	else if (ctx->settings->source_events)
		c.trigger_type = "CloudWatchEvent";
	return c;
}

static struct cause git_cause(struct op_ctx *ctx, const struct pipeline *p,
			      struct json_object *action, const struct git_event *e)
{
	struct json_object *config = json_opt_object(action, "configuration");
	const char *provider = json_opt_str(json_opt_object(action, "actionTypeId"),
					    "provider", "");

	if (strcmp(provider, "CodeStarSourceConnection") == 0)
		return connection_cause(p, action, e);
	if (e->pull_request || !e->branch ||
	    strcmp(e->branch, json_opt_str(config, "BranchName", "")) != 0)
		return (struct cause){ 0 };
	return polled_cause(ctx, action);
}

/* ---- starting ---- */

static bool is_parallel(const struct pipeline *p)
{
	return strcmp(json_opt_str(p->declaration, "executionMode", ""), "PARALLEL") == 0;
}

/* The execution gets what the event was about, and not what is newest when its source
 * action runs; PARALLEL ones get what is newest on the branch (semantics E4). */
static void pin_git(struct json_object **pins, const struct pipeline *p,
		    struct json_object *action, const struct git_event *e)
{
	const char *name = json_opt_str(action, "name", "");

	if (!is_parallel(p) || e->tag)
		source_pin(pins, name, "COMMIT_ID", e->commit);
	source_pin(pins, name, "BRANCH_NAME",
		   e->pull_request ? e->source_branch : e->branch);
}

static struct json_object *origin_for(const struct git_event *e, const char *detail,
				      bool connection)
{
	struct json_object *o = json_object_new_object();

	if (e->origin) {
		json_object_object_foreach(e->origin, key, value)
			json_put_obj(o, key, json_object_get(value));
	}
	json_put_str(o, "full-repository-name", e->repository);
	json_put_str(o, "commit-id", e->commit);
	json_put_str(o, "branch-name", e->branch);
	json_put_str(o, "tag-name", e->tag);
	if (connection)
		json_put_str(o, "connection-arn", detail);
	return o;
}

static bool watches(struct json_object *action, const char *source)
{
	CLEAN(free) char *own = source_of(action);

	return own && strcmp(own, source) == 0;
}

static struct json_object *first_actions(const struct pipeline *p)
{
	struct json_object *stages = json_opt_array(p->declaration, "stages");

	return list_length(stages) > 0
		       ? json_opt_array(json_object_array_get_idx(stages, 0), "actions")
		       : NULL;
}

static int start(struct op_ctx *ctx, const struct pipeline *p, const struct cause *cause,
		 struct json_object *pins, struct json_object *origin,
		 char ret_id[STR_UUID_SIZE], struct api_error *err)
{
	const struct execution_start how = {
		.trigger_type = cause->trigger_type,
		.trigger_detail = cause->detail,
		.revisions = pins,
		.origin = origin,
		.automatic = true,
	};

	return execution_start(ctx, p, &how, ret_id, err);
}

int engine_git_event_for(struct op_ctx *ctx, const struct pipeline *p,
			 const struct git_event *e, char ret_id[STR_UUID_SIZE],
			 struct api_error *err)
{
	CLEAN(free) char *source = mh_concat("git:", e->repository);
	CLEAN(json) struct json_object *pins = NULL;
	CLEAN(json) struct json_object *origin = NULL;
	struct json_object *actions = first_actions(p);
	struct cause cause = { 0 };

	ret_id[0] = '\0';
	/* Several source actions of one pipeline may be concerned: it starts once. */
	for (size_t i = 0; i < list_length(actions); i++) {
		struct json_object *a = json_object_array_get_idx(actions, i);
		struct cause c = { 0 };

		if (watches(a, source))
			c = git_cause(ctx, p, a, e);
		if (!c.trigger_type)
			continue;
		pin_git(&pins, p, a, e);
		if (!cause.trigger_type)
			cause = c;
	}
	if (!cause.trigger_type)
		return 0;
	origin = origin_for(e, cause.detail,
			    strcmp(cause.trigger_type, "WebhookV2") == 0 ||
				    strcmp(cause.trigger_type, "Webhook") == 0);
	return start(ctx, p, &cause, pins, origin, ret_id, err);
}

/* The names of the pipelines that watch a source; a JSON list, so that starting them does
 * not run inside the query. */
static int watchers(struct op_ctx *ctx, const char *source, struct json_object **ret,
		    struct api_error *err)
{
	CLEAN(json) struct json_object *names = json_object_new_array();
	CLEAN(stmt) struct stmt q;
	struct mh_err e = MH_ERR_INIT;
	int rc;

	source_watches_list(ctx->store, &q, source);
	while ((rc = stmt_next(&q, &e)) == 1) /* fails without memory alone */
		(void)json_object_array_add(names,
					    json_object_new_string(stmt_text(&q, 0)));
	if (rc < 0)
		return api_fail_internal(err, &e);
	*ret = STEAL_PTR(names);
	return 0;
}

/* An automatic start that is refused (too many executions) is none: nobody waits for it.
 */
static int settle(int rc, struct api_error *err, bool *ret_started)
{
	*ret_started = rc == 0;
	if (rc != 0 && err->status != 400)
		return -1;
	*err = (struct api_error){ 0 };
	return 0;
}

int engine_git_event(struct op_ctx *ctx, const struct git_event *e, int64_t *ret_started,
		     struct api_error *err)
{
	CLEAN(free) char *source = mh_concat("git:", e->repository);
	CLEAN(json) struct json_object *names = NULL;

	*ret_started = 0;
	if (watchers(ctx, source, &names, err) != 0)
		return -1;
	for (size_t i = 0; i < list_length(names); i++) {
		CLEAN(pipeline) struct pipeline p = { 0 };
		char id[STR_UUID_SIZE] = "";
		bool done;

		if (pipeline_load(ctx, text_item(names, i), 0, &p, err) != 0)
			return -1;
		if (settle(engine_git_event_for(ctx, &p, e, id, err), err, &done) != 0)
			return -1;
		*ret_started += done && id[0] ? 1 : 0;
	}
	return 0;
}

/* ---- objects ---- */

static int object_changed_for(struct op_ctx *ctx, const char *name, const char *source,
			      const char *version, struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(json) struct json_object *pins = NULL;
	struct json_object *actions;
	struct cause cause = { 0 };
	char id[STR_UUID_SIZE];

	if (pipeline_load(ctx, name, 0, &p, err) != 0)
		return -1;
	actions = first_actions(&p);
	for (size_t i = 0; i < list_length(actions); i++) {
		struct json_object *a = json_object_array_get_idx(actions, i);
		struct cause c = { 0 };

		if (watches(a, source))
			c = polled_cause(ctx, a);
		if (!c.trigger_type)
			continue;
		if (!is_parallel(&p))
			source_pin(&pins, json_opt_str(a, "name", ""),
				   "S3_OBJECT_VERSION_ID", version);
		if (!cause.trigger_type)
			cause = c;
	}
	return cause.trigger_type ? start(ctx, &p, &cause, pins, NULL, id, err) : 0;
}

int engine_object_changed(struct op_ctx *ctx, const char *bucket, const char *key,
			  const char *version, struct api_error *err)
{
	CLEAN(free) char *source = mh_concat("s3:", bucket, "/", key);
	CLEAN(json) struct json_object *names = NULL;
	bool done;

	if (watchers(ctx, source, &names, err) != 0)
		return -1;
	for (size_t i = 0; i < list_length(names); i++) {
		if (settle(object_changed_for(ctx, text_item(names, i), source, version,
					      err),
			   err, &done) != 0)
			return -1;
	}
	return 0;
}
