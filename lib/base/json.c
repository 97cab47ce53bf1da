#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

int json_parse_object(const char *text, size_t len, struct json_object **ret,
		      struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;

	if (json_parse(text, len, &doc, err) != 0)
		return -1;
	if (!json_object_is_type(doc, json_type_object))
		return mh_err_set(err, MH_E_PROTO, "JSON: not an object");
	*ret = STEAL_PTR(doc);
	return 0;
}

/* The member, null and absent alike NULL. */
static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	(void)json_object_object_get_ex(o, key, &value); /* absent: value stays NULL */
	return value;
}

static int typed_member(struct json_object *o, const char *key, json_type type,
			const char *name, struct json_object **ret, struct mh_err *err)
{
	struct json_object *value = member(o, key);

	if (!value)
		return mh_err_set(err, MH_E_PROTO, "%s: missing", key);
	if (!json_object_is_type(value, type))
		return mh_err_set(err, MH_E_PROTO, "%s: not %s", key, name);
	*ret = value;
	return 0;
}

int json_get_str(struct json_object *o, const char *key, const char **ret,
		 struct mh_err *err)
{
	struct json_object *value;

	if (typed_member(o, key, json_type_string, "a string", &value, err) != 0)
		return -1;
	/* A NUL inside would cut the text for everyone who reads it as C string. */
	if (strlen(json_object_get_string(value)) !=
	    (size_t)json_object_get_string_len(value))
		return mh_err_set(err, MH_E_PROTO, "%s: holds a NUL character", key);
	*ret = json_object_get_string(value);
	return 0;
}

int json_get_i64(struct json_object *o, const char *key, int64_t *ret, struct mh_err *err)
{
	struct json_object *value;

	if (typed_member(o, key, json_type_int, "a whole number", &value, err) != 0)
		return -1;
	*ret = json_object_get_int64(value);
	return 0;
}

int json_get_bool(struct json_object *o, const char *key, bool *ret, struct mh_err *err)
{
	struct json_object *value;

	if (typed_member(o, key, json_type_boolean, "true or false", &value, err) != 0)
		return -1;
	*ret = json_object_get_boolean(value);
	return 0;
}

int json_get_object(struct json_object *o, const char *key, struct json_object **ret,
		    struct mh_err *err)
{
	return typed_member(o, key, json_type_object, "an object", ret, err);
}

int json_get_array(struct json_object *o, const char *key, struct json_object **ret,
		   struct mh_err *err)
{
	return typed_member(o, key, json_type_array, "a list", ret, err);
}

const char *json_opt_str(struct json_object *o, const char *key, const char *fallback)
{
	struct mh_err err;
	const char *text;

	return json_get_str(o, key, &text, &err) == 0 ? text : fallback;
}

int64_t json_opt_i64(struct json_object *o, const char *key, int64_t fallback)
{
	struct json_object *value = member(o, key);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value)
							 : fallback;
}

bool json_opt_bool(struct json_object *o, const char *key, bool fallback)
{
	struct json_object *value = member(o, key);

	return json_object_is_type(value, json_type_boolean)
		       ? json_object_get_boolean(value)
		       : fallback;
}

struct json_object *json_opt_object(struct json_object *o, const char *key)
{
	struct json_object *value = member(o, key);

	return json_object_is_type(value, json_type_object) ? value : NULL;
}

struct json_object *json_opt_array(struct json_object *o, const char *key)
{
	struct json_object *value = member(o, key);

	return json_object_is_type(value, json_type_array) ? value : NULL;
}

void json_put_obj(struct json_object *o, const char *key, struct json_object *take_value)
{
	if (take_value && json_object_object_add(o, key, take_value) != 0)
		MH_BUG("out of memory");
}

void json_put_str(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_put_obj(o, key, json_object_new_string(value));
}

void json_put_i64(struct json_object *o, const char *key, int64_t value)
{
	json_put_obj(o, key, json_object_new_int64(value));
}

void json_put_bool(struct json_object *o, const char *key, bool value)
{
	json_put_obj(o, key, json_object_new_boolean(value));
}

void json_put_time(struct json_object *o, const char *key, int64_t wall_ms)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%lld.%03d", (long long)(wall_ms / 1000),
		       (int)(wall_ms % 1000));
	json_put_obj(o, key, json_object_new_double_s((double)wall_ms / 1000.0, text));
}

const char *json_text(struct json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}
