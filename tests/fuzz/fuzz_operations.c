/*
 * Calls of the API one after the other, on a store in memory. A line of the input is
 * "Operation {json}", or "+SECONDS" for time that passes. The calls see one transaction,
 * which is rolled back at the end. Ids are the same for each input; "$id", "$nonce" and
 * so on in a request stand for the last text that an answer had under that name.
 *
 * No call may end in an InternalFailure, and every answer is held against the model.
 */
#include <fcntl.h>
#include <stdio.h>

#include <sodium.h>

#include "emulator/engine/engine.h"
#include "emulator/jobcreds.h"
#include "emulator/settings.h"
#include "emulator/store/store.h"
#include "emulator/validate.h"
#include "lib/base/fsio.h"
#include "tests/fuzz/fuzz.h"

#define CALLS_MAX 24
#define FIRED_MAX 1000
#define DAY_S     86400

static struct world {
	struct store *store;
	struct model *model;
	struct creds_key *creds_key;
	struct settings settings;
	struct ids ids;
	int64_t now_ms;
	struct json_object *seen; /* name to the last text under it, by answers */
} world;

/* A job's credentials need one; it is made in a directory that goes again. */
static void make_creds_key(void)
{
	char dir[] = "/tmp/mh-fuzz-XXXXXX";
	struct mh_err err = MH_ERR_INIT;

	MH_ASSERT(mkdtemp(dir) != NULL);
	MH_ASSERT(creds_key_open(dir, &world.creds_key, &err) == 0);
	MH_ASSERT(fs_remove_tree_at(AT_FDCWD, dir, &err) == 0);
}

static void open_world(void)
{
	struct mh_err err = MH_ERR_INIT;

	if (!world.store) {
		MH_ASSERT(sodium_init() >= 0);
		MH_ASSERT(settings_read(NULL, &world.settings, &err) == 0);
		MH_ASSERT(model_new(&world.model, &err) == 0);
		make_creds_key();
		MH_ASSERT(store_open(":memory:", &world.store, &err) == 0);
	}
	ids_init_seeded(&world.ids, 1);
	world.now_ms = INT64_C(1763635143250);
	world.seen = json_object_new_object();
	MH_ASSERT(store_begin(world.store, &err) == 0);
}

static struct op_ctx make_ctx(const char *caller)
{
	return (struct op_ctx){ .store = world.store,
				.now_ms = world.now_ms,
				.ids = &world.ids,
				.settings = &world.settings,
				.creds_key = world.creds_key,
				.caller_arn = caller };
}

static const struct op *find_op(const char *name)
{
	for (const struct op *op = op_table; op->name; op++) {
		if (strcmp(op->name, name) == 0)
			return op->run ? op : NULL;
	}
	return NULL;
}

/* Calls fn with each member and element of v, at every depth; it answers what takes its
 * place, or NULL. */
static void walk(struct json_object *v,
		 struct json_object *(*fn)(const char *name, struct json_object *v))
{
	size_t count = json_object_is_type(v, json_type_array)
			       ? json_object_array_length(v)
			       : 0;
	struct json_object_iter it;

	for (size_t i = 0; i < count; i++) {
		struct json_object *element = json_object_array_get_idx(v, i);
		struct json_object *other = fn("", element);

		walk(element, fn);
		if (other)
			(void)json_object_array_put_idx(v, i, other);
	}
	if (!json_object_is_type(v, json_type_object))
		return;
	json_object_object_foreachC(v, it)
	{
		struct json_object *other = fn(it.key, it.val);

		walk(it.val, fn);
		if (other) /* replaces the value alone: the loop is not disturbed */
			(void)json_object_object_add(v, it.key, other);
	}
}

static struct json_object *remember(const char *name, struct json_object *v)
{
	if (*name && json_object_is_type(v, json_type_string))
		json_put_str(world.seen, name, json_object_get_string(v));
	return NULL;
}

static struct json_object *fill_in(const char *name, struct json_object *v)
{
	const char *text = json_object_is_type(v, json_type_string)
				   ? json_object_get_string(v)
				   : "";

	(void)name; /* any may have one */
	if (*text != '$')
		return NULL;
	return json_object_get(json_object_object_get(world.seen, text + 1));
}

/* As the writer does it: a savepoint, kept when the call went well. */
static int run(const struct op *op, struct json_object *in, struct json_object *out,
	       struct api_error *error)
{
	struct op_ctx ctx = make_ctx("arn:aws:iam::000000000000:user/fuzz");
	struct mh_err err = MH_ERR_INIT;
	int rc;

	MH_ASSERT(store_savepoint(world.store, &err) == 0);
	rc = op->run(&ctx, in, out, error);
	if (rc == 0)
		MH_ASSERT(store_release(world.store, &err) == 0);
	else
		store_rollback_to(world.store);
	MH_ASSERT(store_in_transaction(world.store));
	return rc;
}

static void call(char *line)
{
	char *space = strchr(line, ' ');
	const char *text = space ? space + 1 : "{}";
	CLEAN(json) struct json_object *in = NULL;
	CLEAN(json) struct json_object *out = json_object_new_object();
	struct api_error error = { .status = 0 };
	struct mh_err err = MH_ERR_INIT;
	const struct model_op *shapes;
	const struct op *op;

	if (space)
		*space = '\0';
	op = find_op(line);
	if (!op || json_parse_object(text, strlen(text), &in, &err) != 0)
		return;
	walk(in, fill_in);
	shapes = model_find(world.model, line);
	if (validate_input(shapes->input, in, &error) != 0)
		return;
	if (run(op, in, out, &error) != 0) {
		if (error.status < 500)
			return;
		(void)fprintf(stderr, "%s: %s: %s\n", line, error.code, error.message);
		MH_BUG("a call ended in an internal failure");
	}
	if (validate_output(shapes->output, out, &err) != 0) {
		(void)fprintf(stderr, "%s: %s\n%s\n", line, err.text, json_text(out));
		MH_BUG("an answer is not as the model has it");
	}
	walk(out, remember);
}

static void pass_time(const char *seconds)
{
	struct mh_err err = MH_ERR_INIT;
	int fired = 0;
	bool more = true;
	int64_t s;

	if (str_to_i64(seconds, 0, 10 * DAY_S, "seconds", &s, &err) != 0)
		return;
	world.now_ms += s * 1000;
	while (more) {
		struct op_ctx ctx = make_ctx("");
		struct api_error error = { .status = 0 };

		more = false;
		MH_ASSERT(engine_fire_due(&ctx, &more, &error) == 0);
		MH_ASSERT(fired++ < FIRED_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	open_world();
	for (int i = 0; i < CALLS_MAX && in.left > 0; i++) {
		CLEAN(free) char *line = fuzz_line(&in);

		if (*line == '+')
			pass_time(line + 1);
		else
			call(line);
	}
	store_rollback(world.store);
	json_object_put(world.seen);
	return 0;
}
