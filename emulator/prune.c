/* Input as operations may keep it. */
#include <string.h>

#include "emulator/validate.h"

static void prune_elements(const struct shape *shape, struct json_object *v)
{
	for (size_t i = 0; i < json_object_array_length(v); i++)
		validate_prune(shape->element, json_object_array_get_idx(v, i));
}

static const struct shape_member *member_of(const struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->member_count; i++) {
		if (strcmp(s->members[i].name, name) == 0)
			return &s->members[i];
	}
	return NULL;
}

static void prune_structure(const struct shape *shape, struct json_object *v)
{
	/* This form of the loop allows to take out the member it is at. */
	json_object_object_foreach(v, key, value)
	{
		const struct shape_member *m = member_of(shape, key);

		if (m == NULL || value == NULL)
			json_object_object_del(v, key);
		else
			validate_prune(m->shape, value);
	}
}

/* Depth is bounded by the JSON reader's. */
void validate_prune(const struct shape *shape, struct json_object *v)
{
	if (shape->type == SHAPE_LIST && json_object_is_type(v, json_type_array)) {
		prune_elements(shape, v);
	} else if (shape->type == SHAPE_MAP && json_object_is_type(v, json_type_object)) {
		json_object_object_foreach(v, key, value)
		{
			(void)key; /* any key may be there */
			validate_prune(shape->element, value);
		}
	} else if (shape->type == SHAPE_STRUCTURE &&
		   json_object_is_type(v, json_type_object)) {
		prune_structure(shape, v);
	}
}
