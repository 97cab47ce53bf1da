#include "emulator/offer.h"

#include <string.h>

#include "emulator/engine/catalogue.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

/* As the service model has them. */
#define PROVIDER_MAX 35
#define VERSION_MAX  9
#define NAME_CHARS   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static const char *const categories[] = { "Source", "Build", "Deploy", "Test", "Invoke" };

static const struct settings_offer *offer_at(const struct settings *s, size_t i)
{
	return (const struct settings_offer *)s->offers.items + i;
}

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

/* "a/b/c" into exactly `want` parts, in place; NULL parts never. */
static bool split(char *text, char **parts, size_t want)
{
	for (size_t i = 0; i < want; i++) {
		parts[i] = text;
		text += strcspn(text, "/");
		if ((*text == '/') != (i + 1 < want))
			return false;
		*text++ = '\0';
	}
	return true;
}

static int check_aws(const struct settings_offer *o, struct mh_err *err)
{
	CLEAN(free) char *text = mh_strdup(o->aws);
	char *part[3];

	if (!split(text, part, ARRAY_LEN(part)) ||
	    !catalogue_find(part[0], "AWS", part[1], part[2]))
		return mh_err_set(err, MH_E_CONFIG,
				  "offer: aws = \"%s\" is no action type of AWS that is "
				  "known here: name one like Build/CodeBuild/1",
				  o->aws);
	if (strcmp(part[0], "Approval") == 0)
		return mh_err_set(
			err, MH_E_CONFIG,
			"offer: aws = \"%s\": an approval is given by a person, "
			"not by a worker",
			o->aws);
	return 0;
}

bool is_custom_type(const char *type)
{
	CLEAN(free) char *text = mh_strdup(type);
	char *part[4];

	return split(text, part, ARRAY_LEN(part)) && is_category(part[0]) &&
	       strcmp(part[1], "Custom") == 0 && is_word(part[2], PROVIDER_MAX) &&
	       is_word(part[3], VERSION_MAX);
}

static int check_as(const struct settings_offer *o, struct mh_err *err)
{
	if (!is_custom_type(o->as))
		return mh_err_set(err, MH_E_CONFIG,
				  "offer: as = \"%s\" is no custom action type: write it "
				  "like Build/Custom/CodeBuild/1",
				  o->as);
	return 0;
}

int offers_check(const struct settings *s, struct mh_err *err)
{
	for (size_t i = 0; i < s->offers.count; i++) {
		const struct settings_offer *o = offer_at(s, i);

		if (check_aws(o, err) != 0 || check_as(o, err) != 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (strcmp(offer_at(s, k)->aws, o->aws) == 0)
				return mh_err_set(err, MH_E_CONFIG,
						  "offer: aws = \"%s\" is offered twice",
						  o->aws);
		}
	}
	return 0;
}

const char *offer_of(const struct settings *s, struct json_object *id)
{
	CLEAN(free) char *text = NULL;

	if (s->offers.count == 0 || strcmp(json_opt_str(id, "owner", ""), "AWS") != 0)
		return NULL;
	text = mh_format("%s/%s/%s", json_opt_str(id, "category", ""),
			 json_opt_str(id, "provider", ""),
			 json_opt_str(id, "version", ""));
	for (size_t i = 0; i < s->offers.count; i++) {
		if (strcmp(offer_at(s, i)->aws, text) == 0)
			return offer_at(s, i)->as;
	}
	return NULL;
}

bool offer_has(const struct settings *s, const char *custom_type)
{
	for (size_t i = 0; i < s->offers.count; i++) {
		if (strcmp(offer_at(s, i)->as, custom_type) == 0)
			return true;
	}
	return false;
}
