/* What the views of executions, stages and actions share. */
#ifndef MH_EMULATOR_API_VIEW_H
#define MH_EMULATOR_API_VIEW_H

#include "emulator/op.h"
#include "emulator/store/action_executions.h"
#include "emulator/store/executions.h"

/* Every execution is one, until there are rollbacks. */
#define VIEW_EXECUTION_TYPE "STANDARD"
#define VIEW_PAGE_MAX       100

/* PipelineExecutionNotFoundException, also when the id is another pipeline's. */
int view_find_execution(struct op_ctx *ctx, const char *pipeline, const char *id,
			struct execution *ret, struct api_error *err) MH_MUST_CHECK;
struct pipeline;
/* A declared action, borrowed. An execution of an older version may be in a stage that is
 * no longer declared. StageNotFoundException, ActionNotFoundException. */
int view_find_action(const struct pipeline *p, const char *stage, const char *action,
		     struct json_object **ret, struct api_error *err) MH_MUST_CHECK;
/* Paging by seq, newest first: the seq to go on before, 0 on the first page. */
int view_page_open(struct op_ctx *ctx, const char *what, struct json_object *in,
		   int64_t *ret_before, struct api_error *err) MH_MUST_CHECK;
void view_page_next(struct op_ctx *ctx, const char *what, struct json_object *out,
		    int64_t last_seq);
/* The token of an action that waits for approval; "" when it does not. */
int view_approval_token(struct op_ctx *ctx, const struct action_execution *a,
			char ret[STR_UUID_SIZE], struct mh_err *err) MH_MUST_CHECK;
/* errorDetails, or NULL while nothing went wrong. */
struct json_object *view_error(const struct action_execution *a);

#endif
