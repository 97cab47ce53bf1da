/* What the views of executions, stages and actions share. */
#include "emulator/api/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "emulator/api/page.h"
#include "emulator/engine/pipelines.h"
#include "emulator/store/approvals.h"

int view_find_execution(struct op_ctx *ctx, const char *pipeline, const char *id,
			struct execution *ret, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (executions_find(ctx->store, pipeline, id, ret, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "PipelineExecutionNotFoundException",
				"Pipeline '%s' does not have an execution with ID '%s'",
				pipeline, id);
	return 0;
}

static struct json_object *find_named(struct json_object *list, const char *name)
{
	size_t count = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (strcmp(json_opt_str(item, "name", ""), name) == 0)
			return item;
	}
	return NULL;
}

int view_find_action(const struct pipeline *p, const char *stage, const char *action,
		     struct json_object **ret, struct api_error *err)
{
	struct json_object *s = find_named(json_opt_array(p->declaration, "stages"),
					   stage);
	struct json_object *a = find_named(json_opt_array(s, "actions"), action);

	if (!s)
		return api_fail(err, "StageNotFoundException",
				"Pipeline '%s' does not have a stage with name '%s'",
				p->name, stage);
	if (!a)
		return api_fail(err, "ActionNotFoundException",
				"Stage '%s' of pipeline '%s' does not have an action "
				"with name '%s'",
				stage, p->name, action);
	*ret = a;
	return 0;
}

const char *view_execution_type(bool rollback)
{
	return rollback ? "ROLLBACK" : "STANDARD";
}

int view_source_execution(struct op_ctx *ctx, const struct execution *e, int64_t *ret_seq,
			  struct mh_err *err)
{
	CLEAN(execution) struct execution target = { 0 };
	bool found = false;

	if (e->rollback_target &&
	    executions_find(ctx->store, e->pipeline, e->rollback_target, &target, &found,
			    err) != 0)
		return -1;
	*ret_seq = found ? target.seq : e->seq;
	return 0;
}

void view_filter_done(struct view_filter *f)
{
	free(f->what);
}

int view_filter_read(struct op_ctx *ctx, const char *op, const char *pipeline,
		     struct json_object *in, struct view_filter *ret,
		     struct api_error *err)
{
	struct json_object *filter = json_opt_object(in, "filter");
	struct json_object *latest = json_opt_object(filter, "latestInPipelineExecution");
	const char *range = json_opt_str(latest, "startTimeRange", "All");
	const char *id = json_opt_str(latest ? latest : filter, "pipelineExecutionId",
				      NULL);
	CLEAN(execution) struct execution e = { 0 };

	if (id && view_find_execution(ctx, pipeline, id, &e, err) != 0)
		return -1;
	*ret = (struct view_filter){
		.execution = e.seq,
		/* Latest: of the last attempt alone. */
		.from_seq = strcmp(range, "Latest") == 0 ? e.first_action : 0,
		.what = mh_format("%s %s %s %s", op, pipeline, id ? id : "", range),
	};
	return 0;
}

struct json_object *view_artifacts(struct json_object *list)
{
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *from = json_object_array_get_idx(list, i);
		struct json_object *o = json_object_new_object();
		struct json_object *location = json_object_new_object();

		json_put_str(location, "bucket", json_opt_str(from, "bucket", ""));
		json_put_str(location, "key", json_opt_str(from, "key", ""));
		json_put_str(o, "name", json_opt_str(from, "name", ""));
		json_put_obj(o, "s3location", location);
		json_object_array_add(out, o);
	}
	return out;
}

int view_page_open(struct op_ctx *ctx, const char *what, struct json_object *in,
		   int64_t *ret_before, struct api_error *err)
{
	CLEAN(free) char *last = NULL;
	struct mh_err e = MH_ERR_INIT;

	if (page_open(ctx, what, json_opt_str(in, "nextToken", NULL), &last, err) != 0)
		return -1;
	*ret_before = 0;
	/* The token is ours and unaltered: it holds a number. */
	if (last && str_to_i64(last, 1, INT64_MAX, "page", ret_before, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

void view_page_next(struct op_ctx *ctx, const char *what, struct json_object *out,
		    int64_t last_seq)
{
	CLEAN(free) char *token = NULL;
	char last[24];

	(void)snprintf(last, sizeof(last), "%" PRId64, last_seq); /* it fits */
	token = page_token(ctx, what, last);
	json_put_str(out, "nextToken", token);
}

int view_approval_token(struct op_ctx *ctx, const struct action_execution *a,
			char ret[STR_UUID_SIZE], struct mh_err *err)
{
	CLEAN(approval) struct approval request = { 0 };
	bool found;

	ret[0] = '\0';
	if (a->status != ACTION_IN_PROGRESS)
		return 0;
	if (approvals_of(ctx->store, a->seq, &request, &found, err) != 0)
		return -1;
	if (found && request.open)
		(void)snprintf(ret, STR_UUID_SIZE, "%s", request.token); /* same size */
	return 0;
}

struct json_object *view_error(const struct action_execution *a)
{
	struct json_object *o;

	if (!a->error_code)
		return NULL;
	o = json_object_new_object();
	json_put_str(o, "code", a->error_code);
	json_put_str(o, "message", a->error_message);
	return o;
}
