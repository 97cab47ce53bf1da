/*
 * Requests against the service model, for any operation: the first byte names it. When
 * the rest is a JSON object it is the request; else the rest is read as choices, and a
 * request is made from the operation's shape that is mostly right.
 *
 * What is taken is taken again unchanged, and would do as an answer of ours: nothing
 * unknown and no null is left in it.
 */
#include "emulator/validate.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH_MAX 12

static const struct model *load_model(void)
{
	static struct model *model;
	struct mh_err err = MH_ERR_INIT;

	if (!model)
		MH_ASSERT(model_new(&model, &err) == 0);
	return model;
}

static struct json_object *make(struct fuzz_in *in, const struct shape *s, int depth);

static struct json_object *make_string(struct fuzz_in *in, const struct shape *s)
{
	static const char *const texts[] = {
		"",
		"a",
		"1",
		"Build",
		"my-name",
		"****",
		"#{a.b}",
		"a b",
		"/x",
		"A_B-1",
		"x.y",
		"\xc3\xa9",
		"{",
		"https://x.example/{a}",
		"true",
		"11111111-2222-3333-4444-555555555555",
		"arn:aws:codepipeline:us-east-1:000000000000:p",
	};
	unsigned choice = fuzz_byte(in);
	CLEAN(free) char *text = NULL;
	size_t count = 0;

	if (s->values && choice < 200) {
		while (s->values[count])
			count++;
		return json_object_new_string(s->values[choice % count]);
	}
	if (choice < 200)
		return json_object_new_string(texts[choice % ARRAY_LEN(texts)]);
	if (choice < 220) { /* about as long as may be */
		size_t len = s->max < 5000 ? (size_t)s->max + choice % 2 : 50;

		text = mh_alloc(len + 1);
		memset(text, 'a', len);
		return json_object_new_string(text);
	}
	text = fuzz_take(in, choice % 32);
	if (!str_is_utf8(text, strlen(text)))
		text[0] = '\0';
	return json_object_new_string(text);
}

static struct json_object *make_structure(struct fuzz_in *in, const struct shape *s,
					  int depth)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < s->member_count; i++) {
		const struct shape_member *m = &s->members[i];
		unsigned choice = fuzz_byte(in);

		if (choice < (m->required ? 4U : 150U))
			continue;
		if (choice == 255)
			(void)json_object_object_add(o, m->name, NULL);
		else if (choice == 254)
			json_put_str(o, "unknown", "x");
		else
			json_put_obj(o, m->name, make(in, m->shape, depth + 1));
	}
	return o;
}

static struct json_object *make_list(struct fuzz_in *in, const struct shape *s, int depth)
{
	struct json_object *list = json_object_new_array();

	for (unsigned n = fuzz_byte(in) % 4; n > 0; n--)
		(void)json_object_array_add(list, make(in, s->element, depth + 1));
	return list;
}

static struct json_object *make_map(struct fuzz_in *in, const struct shape *s, int depth)
{
	struct json_object *map = json_object_new_object();

	for (unsigned n = fuzz_byte(in) % 4; n > 0; n--) {
		CLEAN(json) struct json_object *key = make_string(in, s->key);

		json_put_obj(map, json_object_get_string(key),
			     make(in, s->element, depth + 1));
	}
	return map;
}

static struct json_object *make(struct fuzz_in *in, const struct shape *s, int depth)
{
	unsigned choice = fuzz_byte(in);

	if (choice == 255 || depth > DEPTH_MAX)
		return choice % 2 ? json_object_new_int64(INT64_MAX) : NULL;
	switch (s->type) {
	case SHAPE_STRING:
		return make_string(in, s);
	case SHAPE_BOOLEAN:
		return json_object_new_boolean(choice % 2);
	case SHAPE_INTEGER:
		return json_object_new_int64((int64_t)choice - 20);
	case SHAPE_TIMESTAMP:
		return json_object_new_double(choice * 1e7 + 0.5);
	case SHAPE_LIST:
		return make_list(in, s, depth);
	case SHAPE_MAP:
		return make_map(in, s, depth);
	case SHAPE_STRUCTURE:
		return make_structure(in, s, depth);
	}
	return NULL;
}

static void check(const struct shape *shape, struct json_object *request)
{
	struct api_error error = { .status = 0 };
	CLEAN(free) char *before = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (validate_input(shape, request, &error) != 0) {
		MH_ASSERT(error.status == 400 && *error.message);
		MH_ASSERT(strcmp(error.code, "ValidationException") == 0 ||
			  strcmp(error.code, "SerializationException") == 0);
		return;
	}
	before = mh_strdup(json_text(request));
	MH_ASSERT(validate_input(shape, request, &error) == 0);
	MH_ASSERT(strcmp(before, json_text(request)) == 0);
	if (shape)
		MH_ASSERT(validate_output(shape, request, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(json) struct json_object *request = NULL;
	struct mh_err err = MH_ERR_INIT;
	const struct model_op *ops;
	const struct shape *shape;
	size_t count;

	ops = model_ops(load_model(), &count);
	shape = ops[fuzz_byte(&in) % count].input;
	if (json_parse_object((const char *)in.data, in.left, &request, &err) != 0)
		request = shape ? make_structure(&in, shape, 0)
				: json_object_new_object();
	check(shape, request);
	return 0;
}
