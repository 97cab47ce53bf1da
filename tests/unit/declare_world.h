/* Declarations without a store: the base pipeline, edits of it, and a look-up that knows
 * the catalogue and one custom type. */
#ifndef MH_TESTS_UNIT_DECLARE_WORLD_H
#define MH_TESTS_UNIT_DECLARE_WORLD_H

#include "tests/unit/test.h"

#include <json-c/json_pointer.h>

#include "emulator/engine/catalogue.h"
#include "emulator/engine/declare.h"
#include "tests/unit/declare_types.h"

static inline struct json_object *parse(const char *text)
{
	struct json_object *doc = NULL;
	struct mh_err err;

	assert_ok(json_parse(text, strlen(text), &doc, &err), &err);
	return doc;
}

/* The one custom type, as the API tells it. */
static inline struct json_object *make_definition(void)
{
	struct json_object *def = parse(MAKE_TYPE);
	struct json_object *properties = json_opt_array(def, "configurationProperties");

	json_put_obj(def, "actionConfigurationProperties", json_object_get(properties));
	return def;
}

static inline int find_type(void *arg, struct json_object *id, struct action_type *ret,
			    bool *ret_found, struct api_error *err)
{
	const char *owner = json_opt_str(id, "owner", "");
	const char *provider = json_opt_str(id, "provider", "");
	const char *category = json_opt_str(id, "category", "");
	const struct catalogue_entry *entry = catalogue_find(
		category, owner, provider, json_opt_str(id, "version", ""));

	(void)arg, (void)err; /* nothing here can fail */
	*ret_found = true;
	if (entry != NULL)
		*ret = action_type_of_entry(entry);
	else if (strcmp(owner, "Custom") == 0 && strcmp(provider, "Make") == 0)
		*ret = action_type_of(make_definition());
	else
		*ret_found = false;
	return 0;
}

static const struct declare_env env = { .region = "us-east-1", .find_type = find_type };

/* Sets the value at an RFC 6901 pointer; NULL text removes the member. */
static inline void patch(struct json_object **doc, const char *pointer, const char *text)
{
	CLEAN(free) char *parent_pointer = mh_strdup(pointer);
	char *slash = strrchr(parent_pointer, '/');
	struct json_object *parent = NULL;

	if (text != NULL) {
		assert_int_equal(json_pointer_set(doc, pointer, parse(text)), 0);
		return;
	}
	*slash = '\0';
	assert_int_equal(json_pointer_get(*doc, parent_pointer, &parent), 0);
	json_object_object_del(parent, slash + 1);
}

#define ACTION "InvalidActionDeclarationException"

#define MAKE_CONFIG "/stages/1/actions/0/configuration"
#define EDITS_MAX   4

struct edit {
	const char *pointer;
	const char *text; /* JSON; NULL removes */
};

#endif
