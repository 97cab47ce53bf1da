#include <string.h>

#include "emulator/engine/pipelines.h"
#include "emulator/engine/variables.h"
#include "lib/base/buf.h"

static const char namespace_chars[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	"0123456789@-_";
/* The quota page allows more in keys than the API's pattern does. */
static const char key_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789@-_^[]*$";

/* Whether a reference begins at p, which points at "#{". */
static bool reference_at(const char *p, struct variable_ref *ret)
{
	struct variable_ref ref = { .start = p, .ns = p + 2 };

	ref.ns_len = strspn(ref.ns, namespace_chars);
	if (ref.ns_len == 0 || ref.ns[ref.ns_len] != '.')
		return false;
	ref.key = ref.ns + ref.ns_len + 1;
	ref.key_len = strspn(ref.key, key_chars);
	if (ref.key_len == 0 || ref.key[ref.key_len] != '}')
		return false;
	ref.len = (size_t)(ref.key + ref.key_len + 1 - p);
	*ret = ref;
	return true;
}

bool variables_next(const char *text, struct variable_ref *ret)
{
	for (const char *p = strstr(text, "#{"); p != NULL; p = strstr(p + 2, "#{")) {
		if (reference_at(p, ret))
			return true;
	}
	return false;
}

bool variables_present(const char *text)
{
	struct variable_ref ref;

	return variables_next(text, &ref);
}

/* The value of a reference, borrowed from values; NULL when there is none. */
static const char *value_of(const struct variable_ref *ref, struct json_object *values)
{
	CLEAN(free) char *ns = mh_strndup(ref->ns, ref->ns_len);
	CLEAN(free) char *key = mh_strndup(ref->key, ref->key_len);

	return json_opt_str(json_opt_object(values, ns), key, NULL);
}

static int over_limit(struct mh_err *err)
{
	return mh_err_set(
		err, MH_E_REFUSED,
		"the configuration is over %zu bytes after its variables were resolved",
		VARIABLES_RESOLVED_MAX_BYTES);
}

int variables_resolve(const char *text, struct json_object *values, char **ret,
		      struct mh_err *err)
{
	CLEAN(buf) struct buf out = BUF_INIT(VARIABLES_RESOLVED_MAX_BYTES);
	struct mh_err full = MH_ERR_INIT;
	struct variable_ref ref;

	while (variables_next(text, &ref)) {
		const char *value = value_of(&ref, values);

		if (value == NULL)
			return mh_err_set(
				err, MH_E_REFUSED,
				"the variable %.*s has no value: nothing before this "
				"action produced it",
				(int)ref.len, ref.start);
		if (buf_add(&out, text, (size_t)(ref.start - text), &full) != 0 ||
		    buf_add(&out, value, strlen(value), &full) != 0)
			return over_limit(err);
		text = ref.start + ref.len;
	}
	/* What was produced is not searched again: a value may hold "#{" as text. */
	if (buf_add(&out, text, strlen(text), &full) != 0)
		return over_limit(err);
	*ret = mh_strdup(buf_text(&out));
	return 0;
}

int variables_resolve_all(struct json_object *configuration, struct json_object *values,
			  struct json_object **ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *out = json_object_new_object();

	if (configuration != NULL) {
		json_object_object_foreach(configuration, key, value)
		{
			CLEAN(free) char *text = NULL;
			const char *raw = json_object_get_string(value);

			if (variables_resolve(raw != NULL ? raw : "", values, &text,
					      err) != 0)
				return mh_err_wrap(err, "configuration %s", key);
			json_put_str(out, key, text);
		}
	}
	if (variables_bytes(out) > VARIABLES_RESOLVED_MAX_BYTES)
		return over_limit(err);
	*ret = STEAL_PTR(out);
	return 0;
}

size_t variables_bytes(struct json_object *map)
{
	size_t bytes = 0;

	if (map == NULL)
		return 0;
	json_object_object_foreach(map, key, value)
	{
		bytes += strlen(key);
		if (json_object_is_type(value, json_type_string))
			bytes += (size_t)json_object_get_string_len(value);
	}
	return bytes;
}
