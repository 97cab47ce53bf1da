#include "emulator/model.h"

#include <string.h>

#include "emulator/model_text.h"
#include "lib/base/json.h"

struct model {
	char *target_prefix;
	struct shape *shapes; /* sorted by name; never moved: they point at each other */
	size_t shape_count;
	struct model_op *ops; /* sorted by name */
	size_t op_count;
	struct pattern **patterns; /* each distinct one once */
	size_t pattern_count;
};

static const struct {
	const char *name;
	enum shape_type type;
} type_names[] = {
	{ "string", SHAPE_STRING },       { "integer", SHAPE_INTEGER },
	{ "boolean", SHAPE_BOOLEAN },     { "timestamp", SHAPE_TIMESTAMP },
	{ "list", SHAPE_LIST },           { "map", SHAPE_MAP },
	{ "structure", SHAPE_STRUCTURE },
};

/* ---- looking up ---- */

static int compare_shape(const void *name, const void *shape)
{
	return strcmp(name, ((const struct shape *)shape)->name);
}

static int compare_op(const void *name, const void *op)
{
	return strcmp(name, ((const struct model_op *)op)->name);
}

static int order_shapes(const void *a, const void *b)
{
	return compare_shape(((const struct shape *)a)->name, b);
}

static int order_ops(const void *a, const void *b)
{
	return compare_op(((const struct model_op *)a)->name, b);
}

const struct shape *model_shape(const struct model *m, const char *name)
{
	return bsearch(name, m->shapes, m->shape_count, sizeof(*m->shapes),
		       compare_shape);
}

const struct model_op *model_find(const struct model *m, const char *name)
{
	return bsearch(name, m->ops, m->op_count, sizeof(*m->ops), compare_op);
}

const struct model_op *model_ops(const struct model *m, size_t *ret_count)
{
	*ret_count = m->op_count;
	return m->ops;
}

const char *model_target_prefix(const struct model *m)
{
	return m->target_prefix;
}

/* ---- indexing ---- */

/* A reference { "shape": "Name" } under key; *ret NULL when the key is absent. */
static int resolve(const struct model *m, struct json_object *o, const char *key,
		   const struct shape **ret, struct mh_err *err)
{
	struct json_object *reference = json_opt_object(o, key);
	const char *name;

	*ret = NULL;
	if (!reference)
		return 0;
	if (json_get_str(reference, "shape", &name, err) != 0)
		return mh_err_wrap(err, "%s", key);
	*ret = model_shape(m, name);
	return *ret ? 0 : mh_err_set(err, MH_E_PROTO, "%s: no shape '%s'", key, name);
}

static int read_pattern(struct model *m, struct shape *s, const char *text,
			struct mh_err *err)
{
	struct pattern *p = NULL;

	s->pattern_text = mh_strdup(text);
	for (size_t i = 0; i < m->shape_count; i++) {
		const struct shape *other = &m->shapes[i];

		if (other->pattern && strcmp(other->pattern_text, text) == 0) {
			s->pattern = other->pattern;
			return 0;
		}
	}
	if (pattern_new(text, &p, err) != 0)
		return -1;
	m->patterns = mh_realloc(m->patterns,
				 (m->pattern_count + 1) * sizeof(*m->patterns));
	m->patterns[m->pattern_count++] = p;
	s->pattern = p;
	return 0;
}

static void read_values(struct shape *s, struct json_object *values)
{
	size_t n = json_object_array_length(values);

	s->values = mh_alloc((n + 1) * sizeof(*s->values));
	for (size_t i = 0; i < n; i++)
		s->values[i] = mh_strdup(
			json_object_get_string(json_object_array_get_idx(values, i)));
}

static void mark_required(struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->member_count; i++) {
		if (strcmp(s->members[i].name, name) == 0)
			s->members[i].required = true;
	}
}

static int read_members(const struct model *m, struct shape *s, struct json_object *o,
			struct mh_err *err)
{
	struct json_object *members, *required = json_opt_array(o, "required");
	struct json_object_iter it;

	if (json_get_object(o, "members", &members, err) != 0)
		return -1;
	s->members = mh_alloc(((size_t)json_object_object_length(members) + 1) *
			      sizeof(*s->members));
	json_object_object_foreachC(members, it)
	{
		struct shape_member *member = &s->members[s->member_count++];

		member->name = mh_strdup(it.key);
		if (resolve(m, members, it.key, &member->shape, err) != 0)
			return -1;
	}
	for (size_t i = 0; required && i < json_object_array_length(required); i++)
		mark_required(s, json_object_get_string(
					 json_object_array_get_idx(required, i)));
	return 0;
}

static int read_shape(struct model *m, struct shape *s, struct json_object *o,
		      struct mh_err *err)
{
	struct json_object *values = json_opt_array(o, "enum");
	const char *type, *pattern = json_opt_str(o, "pattern", NULL);
	size_t i = 0;

	if (json_get_str(o, "type", &type, err) != 0)
		return -1;
	while (i < ARRAY_LEN(type_names) && strcmp(type_names[i].name, type) != 0)
		i++;
	if (i == ARRAY_LEN(type_names))
		return mh_err_set(err, MH_E_PROTO, "unknown type '%s'", type);
	s->type = type_names[i].type;
	s->min = json_opt_i64(o, "min", INT64_MIN);
	s->max = json_opt_i64(o, "max", INT64_MAX);
	s->sensitive = json_opt_bool(o, "sensitive", false);
	if (values)
		read_values(s, values);
	if (pattern && read_pattern(m, s, pattern, err) != 0)
		return -1;
	if (s->type == SHAPE_STRUCTURE)
		return read_members(m, s, o, err);
	if (resolve(m, o, "key", &s->key, err) != 0)
		return -1;
	return resolve(m, o, s->type == SHAPE_MAP ? "value" : "member", &s->element, err);
}

static int read_shapes(struct model *m, struct json_object *shapes, struct mh_err *err)
{
	struct json_object_iter it;

	m->shapes = mh_alloc(((size_t)json_object_object_length(shapes) + 1) *
			     sizeof(*m->shapes));
	json_object_object_foreachC(shapes, it)
	{
		m->shapes[m->shape_count++].name = mh_strdup(it.key);
	}
	qsort(m->shapes, m->shape_count, sizeof(*m->shapes), order_shapes);
	for (size_t i = 0; i < m->shape_count; i++) {
		struct json_object *o = json_opt_object(shapes, m->shapes[i].name);

		if (read_shape(m, &m->shapes[i], o, err) != 0)
			return mh_err_wrap(err, "shape %s", m->shapes[i].name);
	}
	return 0;
}

static char **read_errors(struct json_object *op)
{
	struct json_object *list = json_opt_array(op, "errors");
	size_t count = list ? json_object_array_length(list) : 0;
	char **errors = mh_alloc((count + 1) * sizeof(*errors));

	for (size_t i = 0; i < count; i++)
		errors[i] = mh_strdup(
			json_opt_str(json_object_array_get_idx(list, i), "shape", ""));
	return errors;
}

static int read_ops(struct model *m, struct json_object *ops, struct mh_err *err)
{
	struct json_object_iter it;

	m->ops = mh_alloc(((size_t)json_object_object_length(ops) + 1) * sizeof(*m->ops));
	json_object_object_foreachC(ops, it)
	{
		struct model_op *op = &m->ops[m->op_count++];

		op->name = mh_strdup(it.key);
		op->errors = read_errors(it.val);
		if (resolve(m, it.val, "input", &op->input, err) != 0 ||
		    resolve(m, it.val, "output", &op->output, err) != 0)
			return mh_err_wrap(err, "operation %s", it.key);
	}
	qsort(m->ops, m->op_count, sizeof(*m->ops), order_ops);
	return 0;
}

static int index_model(struct model *m, struct json_object *doc, struct mh_err *err)
{
	struct json_object *metadata, *shapes, *ops;
	const char *prefix;

	if (json_get_object(doc, "metadata", &metadata, err) != 0 ||
	    json_get_str(metadata, "targetPrefix", &prefix, err) != 0 ||
	    json_get_object(doc, "shapes", &shapes, err) != 0 ||
	    json_get_object(doc, "operations", &ops, err) != 0)
		return -1;
	m->target_prefix = mh_strdup(prefix);
	return read_shapes(m, shapes, err) == 0 ? read_ops(m, ops, err) : -1;
}

int model_parse(const char *text, size_t len, struct model **ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct model *m = mh_alloc(sizeof(*m));

	if (json_parse_object(text, len, &doc, err) != 0 ||
	    index_model(m, doc, err) != 0) {
		model_free(m);
		return mh_err_wrap(err, "service model");
	}
	*ret = m;
	return 0;
}

int model_new(struct model **ret, struct mh_err *err)
{
	return model_parse(mh_model_text, (size_t)mh_model_text_size, ret, err);
}

/* ---- freeing ---- */

static void free_shape(struct shape *s)
{
	for (size_t i = 0; i < s->member_count; i++)
		free(s->members[i].name);
	for (size_t i = 0; s->values && s->values[i]; i++)
		free(s->values[i]);
	free(s->members);
	free(s->values);
	free(s->pattern_text);
	free(s->name);
}

static void free_op(struct model_op *op)
{
	for (size_t i = 0; op->errors && op->errors[i]; i++)
		free(op->errors[i]);
	free(op->errors);
	free(op->name);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->shape_count; i++)
		free_shape(&m->shapes[i]);
	for (size_t i = 0; i < m->op_count; i++)
		free_op(&m->ops[i]);
	for (size_t i = 0; i < m->pattern_count; i++)
		pattern_free(m->patterns[i]);
	free(m->shapes);
	free(m->ops);
	free(m->patterns);
	free(m->target_prefix);
	free(m);
}
