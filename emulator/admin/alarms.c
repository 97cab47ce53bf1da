/* Alarms, which CloudWatchAlarm rules look at: this is all that there is of CloudWatch.
 */
#include "emulator/admin/handlers.h"

#include "emulator/engine/engine.h"
#include "emulator/store/conditions.h"

#define NAME_MAX_BYTES 255 /* CloudWatch's own limit */

static int tx_list(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct json_object *list = arg;
	struct mh_err e = MH_ERR_INIT;

	return alarms_list(ctx->store, list, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

int admin_alarms_get(const struct admin_call *call, struct json_object *out,
		     struct api_error *err)
{
	static const char *const none[] = { NULL };
	struct json_object *list = json_object_new_array();

	json_put_obj(out, "alarms", list);
	if (admin_only(call->in, none, err) != 0)
		return -1;
	return admin_write(call, tx_list, list, err);
}

struct setting {
	const char *name, *state;
};

static int tx_set(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct setting *s = arg;

	return engine_alarm_set(ctx, s->name, s->state, err);
}

int admin_alarms_put(const struct admin_call *call, struct json_object *out,
		     struct api_error *err)
{
	static const char *const names[] = { "name", "state", NULL };
	struct setting s = { .name = "", .state = "" };

	if (admin_only(call->in, names, err) != 0 ||
	    admin_str(call->in, "name", NAME_MAX_BYTES, &s.name, err) != 0 ||
	    admin_str(call->in, "state", NAME_MAX_BYTES, &s.state, err) != 0 ||
	    admin_write(call, tx_set, &s, err) != 0)
		return -1;
	json_put_str(out, "name", s.name);
	json_put_str(out, "state", s.state);
	return 0;
}
