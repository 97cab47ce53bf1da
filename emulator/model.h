/*
 * The service model: what operations there are, and what their input and output
 * look like. The JSON (emulator/model/) is in the program; model_new() indexes it
 * once at start, after which it is read by many threads and changed by none.
 */
#ifndef MH_EMULATOR_MODEL_H
#define MH_EMULATOR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emulator/pattern.h"
#include "lib/base/err.h"

enum shape_type {
	SHAPE_STRING,
	SHAPE_INTEGER,
	SHAPE_BOOLEAN,
	SHAPE_TIMESTAMP,
	SHAPE_LIST,
	SHAPE_MAP,
	SHAPE_STRUCTURE,
};

struct shape_member {
	char *name;
	const struct shape *shape;
	bool required;
};

struct shape {
	char *name;
	enum shape_type type;
	/* Of characters, of a number's value, of elements; absent: INT64_MIN, INT64_MAX.
	 */
	int64_t min, max;
	char *pattern_text; /* as the model has it; NULL: none */
	const struct pattern *pattern;
	char **values; /* enumeration; NULL-terminated, or NULL */
	bool sensitive;
	const struct shape *element; /* of a list, of a map's values */
	const struct shape *key; /* of a map */
	struct shape_member *members;
	size_t member_count;
};

struct model_op {
	char *name;
	const struct shape *input; /* NULL: it takes nothing */
	const struct shape *output; /* NULL: it answers an empty body (semantics A3) */
	char **errors; /* the exceptions that it declares; NULL-terminated */
};

struct model;

int model_new(struct model **ret, struct mh_err *err) MH_MUST_CHECK;
/* From another text, for tests. */
int model_parse(const char *text, size_t len, struct model **ret,
		struct mh_err *err) MH_MUST_CHECK;
void model_free(struct model *m);

/* "CodePipeline_20150709": what stands before the dot in X-Amz-Target. */
const char *model_target_prefix(const struct model *m);
/* NULL when there is no such operation. */
const struct model_op *model_find(const struct model *m, const char *name);
/* All of them, sorted by name. */
const struct model_op *model_ops(const struct model *m, size_t *ret_count);
/* NULL when there is no such shape. */
const struct shape *model_shape(const struct model *m, const char *name);

#endif
