/*
 * Operations on a store in memory, as the server calls them: input held against the
 * service model, the operation in a savepoint, the answer held against the model.
 * Time and ids are the test's.
 *
 *	struct ops ops;
 *	ops_open(&ops);
 *	CLEAN(json) struct json_object *out = ops_ok(&ops, "GetPipeline",
 *"{\"name\":\"P\"}"); ops_fail(&ops, "GetPipeline", "{\"name\":\"Q\"}",
 *"PipelineNotFoundException", "text"); ops_close(&ops);
 */
#ifndef MH_TESTS_UNIT_OPS_H
#define MH_TESTS_UNIT_OPS_H

#include "tests/unit/test.h"

#include "emulator/model.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "emulator/store/store.h"
#include "emulator/validate.h"

struct ops {
	struct store *store;
	struct model *model;
	struct settings settings;
	struct ids ids;
	struct op_ctx ctx;
	struct api_error err; /* of the last call */
};

static inline void ops_open(struct ops *o)
{
	static char region[] = "us-east-1", account[] = "000000000000";
	struct mh_err err;

	*o = (struct ops){ .settings = { .region = region, .account = account } };
	assert_ok(store_open(":memory:", &o->store, &err), &err);
	assert_ok(model_new(&o->model, &err), &err);
	ids_init_seeded(&o->ids, 1);
	o->ctx = (struct op_ctx){ .store = o->store,
				  .now_ms = 1700000000000,
				  .ids = &o->ids,
				  .settings = &o->settings,
				  .caller_arn = "" };
	assert_ok(store_begin(o->store, &err), &err);
}

static inline void ops_close(struct ops *o)
{
	store_rollback(o->store);
	store_close(o->store);
	model_free(o->model);
}

static inline int ops_run(struct ops *o, const char *name, struct json_object *in,
			  struct json_object *out)
{
	const struct model_op *m = model_find(o->model, name);
	const struct op *op = op_table;
	struct mh_err err = MH_ERR_INIT;

	while (op->name != NULL && strcmp(op->name, name) != 0)
		op++;
	assert_non_null(op->run);
	o->err = (struct api_error){ 0 };
	if (validate_input(m->input, in, &o->err) != 0)
		return -1;
	assert_ok(store_savepoint(o->store, &err), &err);
	if (op->run(&o->ctx, in, out, &o->err) != 0) {
		store_rollback_to(o->store);
		if (o->err.status == 400)
			assert_ok(validate_error(m, &o->err, &err), &err);
		return -1;
	}
	assert_ok(store_release(o->store, &err), &err);
	assert_ok(validate_output(m->output, out, &err), &err);
	return 0;
}

/* in is text (taken as JSON). */
static inline int ops_call(struct ops *o, const char *name, const char *text,
			   struct json_object *out)
{
	CLEAN(json) struct json_object *in = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(json_parse_object(text, strlen(text), &in, &err), &err);
	return ops_run(o, name, in, out);
}

/* The answer; the caller releases it. */
static inline struct json_object *ops_ok(struct ops *o, const char *name,
					 const char *text)
{
	struct json_object *out = json_object_new_object();

	if (ops_call(o, name, text, out) != 0)
		fail_msg("%s: %s: %s", name, o->err.code, o->err.message);
	return out;
}

/* The same, and the answer is of no interest. */
static inline void ops_do(struct ops *o, const char *name, const char *text)
{
	json_object_put(ops_ok(o, name, text));
}

static inline void ops_fail(struct ops *o, const char *name, const char *text,
			    const char *code, const char *message)
{
	CLEAN(json) struct json_object *out = json_object_new_object();

	if (ops_call(o, name, text, out) == 0)
		fail_msg("%s succeeded, expected %s: %s", name, code, message);
	assert_string_equal(o->err.message, message);
	assert_string_equal(o->err.code, code);
	assert_int_equal(o->err.status, 400);
}

#endif
