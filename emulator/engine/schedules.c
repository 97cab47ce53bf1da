/* Scheduled starts (semantics E13, H 001-1): when they are due is a row. */
#include "emulator/schedules.h"

#include <string.h>

#include "emulator/engine/engine.h"
#include "emulator/engine/internal.h"
#include "emulator/engine/schedules.h"
#include "emulator/store/sources.h"

/* A row that is due stays due: what was missed starts once. Where the clock was set back,
 * the time that comes first counts. */
static int add_row(struct op_ctx *ctx, const struct settings_schedule *row,
		   struct mh_err *err)
{
	CLEAN(free) char *name = schedule_name(row);
	int64_t next_ms = schedule_next(row, ctx->now_ms), due_ms;

	if (schedules_get(ctx->store, name, &due_ms, err) != 0)
		return -1;
	if (next_ms < 0 || (due_ms >= 0 && due_ms <= next_ms))
		return 0;
	return schedules_put(ctx->store, name, next_ms, err);
}

/* The first row of the store that the settings do not have; NULL: none. */
static int find_stray(struct op_ctx *ctx, char **ret, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	*ret = NULL;
	schedules_list(ctx->store, &q);
	while ((rc = stmt_next(&q, err)) == 1) {
		if (!schedule_of(ctx->settings, stmt_text(&q, 0))) {
			*ret = mh_strdup(stmt_text(&q, 0));
			return 0;
		}
	}
	return rc;
}

static int drop_strays(struct op_ctx *ctx, struct mh_err *err)
{
	for (;;) {
		CLEAN(free) char *name = NULL;

		if (find_stray(ctx, &name, err) != 0)
			return -1;
		if (!name)
			return 0;
		if (schedules_delete(ctx->store, name, err) != 0)
			return -1;
	}
}

int engine_schedules_set(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)arg; /* the settings have it all */
	if (drop_strays(ctx, &e) != 0)
		return api_fail_internal(err, &e);
	for (size_t i = 0; i < ctx->settings->schedules.count; i++) {
		const struct settings_schedule *rows = ctx->settings->schedules.items;

		if (add_row(ctx, &rows[i], &e) != 0)
			return api_fail_internal(err, &e);
	}
	return 0;
}

/* One that cannot be started (no such pipeline, too many executions) is passed over. */
static int start(struct op_ctx *ctx, const struct settings_schedule *row,
		 struct api_error *err)
{
	CLEAN(pipeline) struct pipeline p = { 0 };
	CLEAN(free)
	char *rule = mh_format("arn:aws:events:%s:%s:rule/%s-schedule",
			       ctx->settings->region, ctx->settings->account,
			       row->pipeline);
	const struct execution_start how = { .trigger_type = "CloudWatchEvent",
					     .trigger_detail = rule,
					     .automatic = true };
	char id[STR_UUID_SIZE];

	if (pipeline_load(ctx, row->pipeline, 0, &p, err) != 0 ||
	    execution_start(ctx, &p, &how, id, err) != 0) {
		if (err->status != 400)
			return -1;
		*err = (struct api_error){ 0 };
	}
	return 0;
}

static int put_next(struct op_ctx *ctx, const struct settings_schedule *row,
		    const char *name, struct mh_err *err)
{
	int64_t due_ms = row ? schedule_next(row, ctx->now_ms) : -1;

	return due_ms < 0 ? schedules_delete(ctx->store, name, err)
			  : schedules_put(ctx->store, name, due_ms, err);
}

int schedule_fire(struct op_ctx *ctx, bool *ret_fired, struct api_error *err)
{
	CLEAN(free) char *name = NULL;
	const struct settings_schedule *row;
	struct mh_err e = MH_ERR_INIT;
	int64_t due_ms;

	if (schedules_due(ctx->store, ctx->now_ms, &name, &due_ms, &e) != 0)
		return api_fail_internal(err, &e);
	*ret_fired = name != NULL;
	if (!name)
		return 0;
	row = schedule_of(ctx->settings, name);
	if (put_next(ctx, row, name, &e) != 0)
		return api_fail_internal(err, &e);
	return row ? start(ctx, row, err) : 0;
}
