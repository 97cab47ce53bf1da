#include "emulator/type_name.h"

#include <string.h>

#include "lib/base/json.h"
#include "lib/base/str.h"

/* As the service model has them. */
#define PROVIDER_MAX 35
#define VERSION_MAX  9
#define NAME_CHARS   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static const char *const categories[] = { "Source", "Build", "Deploy", "Test", "Invoke" };

enum { CATEGORY, OWNER, PROVIDER, VERSION, PARTS };

static bool is_word(const char *s, size_t max)
{
	size_t len = strlen(s);

	return len > 0 && len <= max && strspn(s, NAME_CHARS) == len;
}

static bool is_category(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
		if (strcmp(s, categories[i]) == 0)
			return true;
	}
	return false;
}

bool type_name_split(char *text, char **parts, unsigned want)
{
	for (unsigned i = 0; i < want; i++) {
		parts[i] = text;
		text += strcspn(text, "/");
		if ((*text == '/') != (i + 1 < want))
			return false;
		*text++ = '\0';
	}
	return true;
}

bool type_name_is(const char *type, const char *owner)
{
	CLEAN(free) char *text = mh_strdup(type);
	char *part[PARTS];

	return type_name_split(text, part, PARTS) && is_category(part[CATEGORY]) &&
	       strcmp(part[OWNER], owner) == 0 && is_word(part[PROVIDER], PROVIDER_MAX) &&
	       is_word(part[VERSION], VERSION_MAX);
}

bool type_name_is_custom(const char *type)
{
	const char *slash = strchr(type, '/');

	return slash && str_starts_with(slash, "/Custom/");
}

struct json_object *type_name_id(const char *type)
{
	static const char *const keys[] = { "category", "owner", "provider", "version" };
	struct json_object *o = json_object_new_object();
	CLEAN(free) char *text = mh_strdup(type);
	char *part[PARTS];

	if (!type_name_split(text, part, PARTS))
		MH_BUG("an action type's name that is none");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_put_str(o, keys[i], part[i]);
	return o;
}

char *type_name_of(struct json_object *id)
{
	return mh_format("%s/%s/%s/%s", json_opt_str(id, "category", ""),
			 json_opt_str(id, "owner", ""), json_opt_str(id, "provider", ""),
			 json_opt_str(id, "version", ""));
}
