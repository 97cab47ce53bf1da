/*
 * The virtual clock. It moves from timer to timer, so that each fires at its own time;
 * between two, the emulator's own workers finish what they have in hand, which takes no
 * time by this clock.
 */
#include "emulator/admin/handlers.h"

#include <string.h>

#include "emulator/engine/engine.h"
#include "emulator/quiet.h"
#include "emulator/store/executions.h"
#include "lib/base/clock.h"

#define QUIET_MS 60000 /* built-in work may take so long */
/* Timers in one transaction, so that an advance over many is no flood of commits, and
 * keeps nobody waiting for long. */
#define TIMERS_AT_ONCE 64

/* ---- looking ---- */

struct look {
	const struct admin_options *options;
	int64_t virtual_ms, now_ms, next_ms;
	bool history; /* an execution was started */
};

static int tx_look(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct look *l = arg;
	struct mh_err e = MH_ERR_INIT;

	l->virtual_ms = vclock_virtual_ms(ctx->clock);
	l->now_ms = ctx->now_ms;
	l->next_ms = l->options->next_due(ctx);
	if (executions_any(ctx->store, &l->history, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

static int tell(const struct admin_call *call, struct json_object *out,
		struct api_error *err)
{
	struct look l = { .options = admin_options_of(call->admin) };

	if (admin_write(call, tx_look, &l, err) != 0)
		return -1;
	json_put_str(out, "mode", l.virtual_ms == VCLOCK_REAL ? "real" : "virtual");
	admin_put_time(out, "now", l.now_ms);
	if (l.next_ms >= 0)
		admin_put_time(out, "next_timer", l.next_ms);
	return 0;
}

int admin_clock_get(const struct admin_call *call, struct json_object *out,
		    struct api_error *err)
{
	static const char *const none[] = { NULL };

	return admin_only(call->in, none, err) != 0 ? -1 : tell(call, out, err);
}

/* ---- setting ---- */

static int fail_backwards(struct api_error *err)
{
	return admin_fail(err, 409, "Conflict",
			  "The emulator's time would go back, and executions have "
			  "started: restore a snapshot, or use a new data directory.");
}

/* Time goes back only while nothing has happened. */
static int tx_set(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const int64_t *wanted = arg;
	struct mh_err e = MH_ERR_INIT;
	int64_t to = *wanted == VCLOCK_REAL ? clock_wall_ms() : *wanted;
	bool history = false;

	if (to < ctx->now_ms && executions_any(ctx->store, &history, &e) != 0)
		return api_fail_internal(err, &e);
	if (history)
		return fail_backwards(err);
	if (vclock_set(ctx->clock, ctx->store, *wanted, &e) != 0)
		return api_fail_internal(err, &e);
	ctx->new_work = UINT64_MAX; /* who waits for jobs looks at the new time */
	ctx->now_ms = to;
	return engine_schedules_set(ctx, NULL, err); /* they may be due sooner now */
}

static int read_mode(const struct admin_call *call, int64_t *ret, struct api_error *err)
{
	static const char *const names[] = { "mode", "start", "start_ms", NULL };
	const char *mode = NULL;
	bool given = false;

	*ret = writer_now_ms(admin_options_of(call->admin)->writer);
	if (admin_only(call->in, names, err) != 0 ||
	    admin_str(call->in, "mode", 16, &mode, err) != 0 ||
	    admin_time(call->in, "start", ret, &given, err) != 0)
		return -1;
	if (mode && strcmp(mode, "virtual") == 0)
		return 0;
	if (!mode || strcmp(mode, "real") != 0 || given)
		return api_fail(err, "ValidationException",
				"mode must be \"virtual\" (with or without a start) or "
				"\"real\" (without).");
	*ret = VCLOCK_REAL;
	return 0;
}

int admin_clock_put(const struct admin_call *call, struct json_object *out,
		    struct api_error *err)
{
	int64_t wanted;
	int rc;

	if (read_mode(call, &wanted, err) != 0)
		return -1;
	admin_lock(call->admin);
	rc = admin_write(call, tx_set, &wanted, err);
	admin_unlock(call->admin);
	return rc == 0 ? tell(call, out, err) : -1;
}

/* ---- advancing ---- */

struct advance {
	const struct admin_options *options;
	int64_t by_ms, to_ms; /* by_ms 0: to to_ms */
	int64_t fired;
	bool started, arrived;
};

static int move(struct op_ctx *ctx, int64_t to_ms, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (vclock_set(ctx->clock, ctx->store, to_ms, &e) != 0)
		return api_fail_internal(err, &e);
	ctx->now_ms = to_ms;
	ctx->new_work = UINT64_MAX;
	return 0;
}

/* Where to; once, at the first step: what comes in between counts from there. */
static int aim(struct op_ctx *ctx, struct advance *a, struct api_error *err)
{
	if (vclock_virtual_ms(ctx->clock) == VCLOCK_REAL)
		return admin_fail(err, 409, "Conflict",
				  "The clock is real: PUT clock {\"mode\":\"virtual\"} "
				  "first.");
	if (a->by_ms > 0)
		a->to_ms = ctx->now_ms + a->by_ms;
	if (a->to_ms > VCLOCK_MAX_MS)
		return api_fail(err, "ValidationException",
				"The clock ends with the year 9999.");
	if (a->to_ms < ctx->now_ms)
		return admin_fail(err, 409, "Conflict",
				  "The clock stands after that time already.");
	a->started = true;
	return 0;
}

/* Timers in their order, until built-in workers have something to do. */
static int tx_step(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct advance *a = arg;

	if (!a->started && aim(ctx, a, err) != 0)
		return -1;
	for (int n = 0; n < TIMERS_AT_ONCE && !ctx->wake_builtin; n++) {
		int64_t due = a->options->next_due(ctx);
		bool fired = false;

		if (due < 0 || due > a->to_ms) {
			a->arrived = true;
			return move(ctx, a->to_ms, err);
		}
		if (due > ctx->now_ms && move(ctx, due, err) != 0)
			return -1;
		if (a->options->fire_due(ctx, &fired, err) != 0)
			return -1;
		a->fired += fired;
	}
	return 0;
}

static int advance(const struct admin_call *call, struct advance *a,
		   struct api_error *err)
{
	const struct admin_options *o = a->options;

	while (!a->arrived) {
		if (quiet_wait(o->writer, o->bell, QUIET_MS, err) != 0 ||
		    admin_write(call, tx_step, a, err) != 0)
			return -1;
	}
	return quiet_wait(o->writer, o->bell, QUIET_MS, err);
}

int admin_clock_advance(const struct admin_call *call, struct json_object *out,
			struct api_error *err)
{
	static const char *const names[] = { "by_ms", "to", "to_ms", NULL };
	struct advance a = { .options = admin_options_of(call->admin) };
	bool by = false, to = false;
	int rc;

	if (admin_only(call->in, names, err) != 0 ||
	    admin_i64(call->in, "by_ms", 1, VCLOCK_MAX_MS, &a.by_ms, &by, err) != 0 ||
	    admin_time(call->in, "to", &a.to_ms, &to, err) != 0)
		return -1;
	if (by == to)
		return api_fail(err, "ValidationException",
				"Say how far: by_ms (milliseconds), or to (a time).");
	admin_lock(call->admin);
	rc = advance(call, &a, err);
	admin_unlock(call->admin);
	if (rc != 0)
		return -1;
	json_put_i64(out, "timers_fired", a.fired);
	return tell(call, out, err);
}
