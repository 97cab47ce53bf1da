/* What handlers read from their input, with one clear error for what is wrong. */
#include "emulator/admin/admin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

int admin_fail(struct api_error *err, int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		MH_BUG("no memory");
	va_end(ap);
	(void)api_fail(err, code, "%s", text); /* -1, as here */
	err->status = status;
	free(text);
	return -1;
}

static bool is_one_of(const char *key, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(key, *names) == 0)
			return true;
	}
	return false;
}

int admin_only(struct json_object *in, const char *const *names, struct api_error *err)
{
	json_object_object_foreach(in, key, value)
	{
		CLEAN(buf) struct buf list = BUF_INIT(4096);

		(void)value; /* its name alone is looked at */
		if (is_one_of(key, names))
			continue;
		for (size_t i = 0; names[i]; i++) {
			buf_puts(&list, i ? ", " : "");
			buf_puts(&list, names[i]);
		}
		return api_fail(err, "ValidationException",
				"'%.100s' is no member here: there may be %s.", key,
				names[0] ? buf_text(&list) : "none");
	}
	return 0;
}

/* NULL: absent, or null. */
static struct json_object *member(struct json_object *in, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(in, key, &value) ? value : NULL;
}

int admin_i64(struct json_object *in, const char *key, int64_t min, int64_t max,
	      int64_t *ret, bool *ret_given, struct api_error *err)
{
	struct json_object *value = member(in, key);

	if (ret_given)
		*ret_given = value != NULL;
	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_int) ||
	    json_object_get_int64(value) < min || json_object_get_int64(value) > max)
		return api_fail(err, "ValidationException",
				"%s must be a whole number from %lld to %lld.", key,
				(long long)min, (long long)max);
	*ret = json_object_get_int64(value);
	return 0;
}

int admin_bool(struct json_object *in, const char *key, bool *ret, bool *ret_given,
	       struct api_error *err)
{
	struct json_object *value = member(in, key);

	if (ret_given)
		*ret_given = value != NULL;
	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return api_fail(err, "ValidationException", "%s must be true or false.",
				key);
	*ret = json_object_get_boolean(value);
	return 0;
}

int admin_number(struct json_object *in, const char *key, double min, double max,
		 double *ret, bool *ret_given, struct api_error *err)
{
	struct json_object *value = member(in, key);
	double number;

	if (ret_given)
		*ret_given = value != NULL;
	if (!value)
		return 0;
	number = json_object_get_double(value);
	if ((!json_object_is_type(value, json_type_int) &&
	     !json_object_is_type(value, json_type_double)) ||
	    !(number >= min && number <= max))
		return api_fail(err, "ValidationException",
				"%s must be a number from %g to %g.", key, min, max);
	*ret = number;
	return 0;
}

int admin_str(struct json_object *in, const char *key, size_t max_bytes, const char **ret,
	      struct api_error *err)
{
	struct json_object *value = member(in, key);

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_string) ||
	    (size_t)json_object_get_string_len(value) > max_bytes)
		return api_fail(err, "ValidationException",
				"%s must be a string of at most %zu bytes.", key,
				max_bytes);
	*ret = json_object_get_string(value);
	return 0;
}

int admin_object(struct json_object *in, const char *key, struct json_object **ret,
		 struct api_error *err)
{
	struct json_object *value = member(in, key);

	if (value && !json_object_is_type(value, json_type_object))
		return api_fail(err, "ValidationException", "%s must be an object.", key);
	*ret = value;
	return 0;
}

int admin_time(struct json_object *in, const char *key, int64_t *ret_ms, bool *ret_given,
	       struct api_error *err)
{
	CLEAN(free) char *key_ms = mh_format("%s_ms", key);
	struct mh_err why = MH_ERR_INIT;
	const char *text = NULL;
	bool given = false;

	if (admin_i64(in, key_ms, 0, VCLOCK_MAX_MS, ret_ms, &given, err) != 0 ||
	    admin_str(in, key, 64, &text, err) != 0)
		return -1;
	if (text && given)
		return api_fail(err, "ValidationException",
				"%s and %s say the same: give one of them.", key, key_ms);
	if (text && vclock_parse(text, ret_ms, &why) != 0)
		return api_fail(err, "ValidationException", "%s: %s.", key, why.text);
	*ret_given = given || text;
	return 0;
}

void admin_put_time(struct json_object *out, const char *key, int64_t ms)
{
	CLEAN(free) char *key_ms = mh_format("%s_ms", key);
	char text[CLOCK_ISO_SIZE];

	clock_format_iso(ms, text);
	json_put_str(out, key, text);
	json_put_i64(out, key_ms, ms);
}
