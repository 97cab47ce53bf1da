/*
 * Knobs: settings that change while the emulator runs. They are the writer's alone, and
 * changed in it. A restart begins with the configuration's again.
 */
#include "emulator/admin/handlers.h"

#include <string.h>

/* Names of settings; times are told and given in milliseconds, with "_ms" behind. */
static const char *const knobs[] = {
	"ack_timeout",         "continuation_delay", "custom_timeout",
	"duplicate_dispatch",  "idempotent_results", "job_credentials",
	"max_batch",           "result_owner_check", "strict_ack",
	"third_party_timeout",
};

static const struct conf_key *key_of(const char *name)
{
	for (const struct conf_key *k = settings_keys; k->path; k++) {
		if (strcmp(k->path, name) == 0)
			return k;
	}
	MH_BUG("a knob that is no setting");
}

static char *member_of(const struct conf_key *key)
{
	return mh_format("%s%s", key->path, key->type == CONF_DURATION ? "_ms" : "");
}

static void *field_of(struct settings *s, const struct conf_key *key)
{
	return (char *)s + key->offset;
}

struct change {
	struct json_object *in, *out;
};

static int set_one(struct op_ctx *ctx, struct json_object *in, const struct conf_key *key,
		   struct api_error *err)
{
	CLEAN(free) char *name = member_of(key);
	void *field = field_of(ctx->knobs, key);

	if (key->type == CONF_BOOL)
		return admin_bool(in, name, field, NULL, err);
	return admin_i64(in, name, key->min, key->max, field, NULL, err);
}

static void put_one(struct json_object *out, struct settings *s,
		    const struct conf_key *key)
{
	CLEAN(free) char *name = member_of(key);

	if (key->type == CONF_BOOL)
		json_put_bool(out, name, *(bool *)field_of(s, key));
	else
		json_put_i64(out, name, *(int64_t *)field_of(s, key));
}

/* All of them, or none. */
static int tx_change(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct change *c = arg;
	struct settings before = *ctx->knobs;

	for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
		if (set_one(ctx, c->in, key_of(knobs[i]), err) != 0) {
			*ctx->knobs = before;
			return -1;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
		put_one(c->out, ctx->knobs, key_of(knobs[i]));
	ctx->new_work = UINT64_MAX; /* jobs may be visible that were not */
	return 0;
}

static int check_names(struct json_object *in, struct api_error *err)
{
	const char *names[ARRAY_LEN(knobs) + 1] = { NULL };
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
		names[i] = member_of(key_of(knobs[i]));
	rc = admin_only(in, names, err);
	for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
		free((void *)(uintptr_t)names[i]); /* made above */
	return rc;
}

int admin_knobs_put(const struct admin_call *call, struct json_object *out,
		    struct api_error *err)
{
	struct change c = { .in = call->in, .out = out };

	return check_names(call->in, err) == 0 ? admin_write(call, tx_change, &c, err)
					       : -1;
}

int admin_knobs_get(const struct admin_call *call, struct json_object *out,
		    struct api_error *err)
{
	CLEAN(json) struct json_object *nothing = json_object_new_object();
	struct change c = { .in = nothing, .out = out };

	return admin_write(call, tx_change, &c, err);
}
