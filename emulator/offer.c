#include "emulator/offer.h"

#include <string.h>

#include "emulator/engine/catalogue.h"
#include "emulator/engine/rule_types.h"
#include "emulator/type_name.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

static const struct settings_offer *offer_at(const struct settings *s, size_t i)
{
	return (const struct settings_offer *)s->offers.items + i;
}

/* Rules of conditions that workers do. */
static bool is_rule(char *const part[3])
{
	CLEAN(json) struct json_object *id = json_object_new_object();
	const struct rule_type *type;

	json_put_str(id, "provider", part[1]);
	json_put_str(id, "version", part[2]);
	type = rule_type_find(id);
	return strcmp(part[0], "Rule") == 0 && type && type->worker_limit_ms > 0;
}

static int check_aws(const struct settings_offer *o, struct mh_err *err)
{
	CLEAN(free) char *text = mh_strdup(o->aws);
	char *part[3];

	if (!type_name_split(text, part, ARRAY_LEN(part)) ||
	    (!catalogue_find(part[0], "AWS", part[1], part[2]) && !is_rule(part)))
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

static int check_as(const struct settings_offer *o, struct mh_err *err)
{
	if (!type_name_is(o->as, "Custom"))
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
