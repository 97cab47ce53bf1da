#include "emulator/api/tags.h"

#include <string.h>

/* Besides letters of any script. */
static const char allowed[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	" +-=._:/@";

static bool is_allowed(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x80 && strchr(allowed, *text) == NULL)
			return false;
	}
	return true;
}

bool tags_key_is_reserved(const char *key)
{
	return strncasecmp(key, "aws:", 4) == 0;
}

static int check_tag(struct json_object *tag, struct json_object *seen,
		     struct api_error *err)
{
	const char *key = json_opt_str(tag, "key", "");

	if (tags_key_is_reserved(key))
		return api_fail(err, "InvalidTagsException",
				"Tag key '%s' begins with 'aws:', which is reserved",
				key);
	if (!is_allowed(key) || !is_allowed(json_opt_str(tag, "value", "")))
		return api_fail(err, "InvalidTagsException",
				"Tag '%s' holds a character that tags cannot have: "
				"letters, digits, "
				"spaces and + - = . _ : / @ are allowed",
				key);
	if (json_opt_bool(seen, key, false))
		return api_fail(err, "InvalidTagsException",
				"Tag key '%s' is used more than once", key);
	json_put_bool(seen, key, true);
	return 0;
}

int tags_check(struct json_object *tags, const char *arn, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();
	size_t count = tags != NULL ? json_object_array_length(tags) : 0;

	if (count > TAGS_MAX)
		return api_fail(err, "TooManyTagsException",
				"Tag limit exceeded for resource [%s].", arn);
	for (size_t i = 0; i < count; i++) {
		if (check_tag(json_object_array_get_idx(tags, i), seen, err) != 0)
			return -1;
	}
	return 0;
}

const char *tags_text(struct json_object *tags)
{
	return tags != NULL && json_object_array_length(tags) > 0 ? json_text(tags)
								  : NULL;
}

int tags_answer(struct json_object *out, const char *text, struct api_error *err)
{
	struct json_object *tags = NULL;
	struct mh_err e = MH_ERR_INIT;

	if (text == NULL)
		return 0;
	if (json_parse(text, strlen(text), &tags, &e) != 0)
		return api_fail_internal(err, &e);
	json_put_obj(out, "tags", tags);
	return 0;
}
