/* What the views of executions, stages and actions share. */
#ifndef MH_EMULATOR_API_VIEW_H
#define MH_EMULATOR_API_VIEW_H

#include "emulator/op.h"
#include "emulator/store/action_executions.h"
#include "emulator/store/executions.h"

#define VIEW_PAGE_MAX 100

/* PipelineExecutionNotFoundException, also when the id is another pipeline's. */
int view_find_execution(struct op_ctx *ctx, const char *pipeline, const char *id,
			struct execution *ret, struct api_error *err) MH_MUST_CHECK;
struct pipeline;
/* A declared action, borrowed. An execution of an older version may be in a stage that is
 * no longer declared. StageNotFoundException, ActionNotFoundException. */
int view_find_action(const struct pipeline *p, const char *stage, const char *action,
		     struct json_object **ret, struct api_error *err) MH_MUST_CHECK;
/* Whose source actions brought an execution's revisions: its own, or those of the one it
 * rolls back to. */
int view_source_execution(struct op_ctx *ctx, const struct execution *e, int64_t *ret_seq,
			  struct mh_err *err) MH_MUST_CHECK;
/* "STANDARD", "ROLLBACK". */
const char *view_execution_type(bool rollback);
/* s3location with bucket and key, as details of executions have it; jobs say it
 * otherwise. */
struct json_object *view_artifacts(struct json_object *list);

/* What the lists of actions' and of rules' executions are filtered by. */
struct view_filter {
	int64_t execution; /* seq; 0: all of the pipeline */
	int64_t from_seq;
	char *what; /* what a page token is bound to */
};
void view_filter_done(struct view_filter *f);
static inline void clean_view_filter(struct view_filter *f)
{
	view_filter_done(f);
}
/* PipelineExecutionNotFoundException. */
int view_filter_read(struct op_ctx *ctx, const char *op, const char *pipeline,
		     struct json_object *in, struct view_filter *ret,
		     struct api_error *err) MH_MUST_CHECK;
/* Paging by seq, newest first: the seq to go on before, 0 on the first page. */
int view_page_open(struct op_ctx *ctx, const char *what, struct json_object *in,
		   int64_t *ret_before, struct api_error *err) MH_MUST_CHECK;
void view_page_next(struct op_ctx *ctx, const char *what, struct json_object *out,
		    int64_t last_seq);
/* Puts the states of a declared stage's conditions into its state. with_latest: also how
 * the last one ended. */
int view_put_conditions(struct op_ctx *ctx, const char *pipeline, bool with_latest,
			struct json_object *stage, struct json_object *out,
			struct mh_err *err) MH_MUST_CHECK;
/* The token of an action that waits for approval; "" when it does not. */
int view_approval_token(struct op_ctx *ctx, const struct action_execution *a,
			char ret[STR_UUID_SIZE], struct mh_err *err) MH_MUST_CHECK;
/* errorDetails, or NULL while nothing went wrong. */
struct json_object *view_error(const struct action_execution *a);

#endif
