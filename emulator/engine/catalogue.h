/*
 * The action types that AWS owns (semantics E21, F): what ListActionTypes shows
 * for them and what declarations are held against. Version is "1" for all.
 */
#ifndef MH_EMULATOR_ENGINE_CATALOGUE_H
#define MH_EMULATOR_ENGINE_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/json.h"

struct catalogue_entry {
	const char *category;
	const char *provider;
	int in_min, in_max, out_min, out_max; /* artifact counts */
	/* Configuration keys, separated by blanks, in the order they are shown: "Key!" is
	 * required. A last "*" says that further keys are accepted. */
	const char *keys;
	bool v2_only;
};

/* Ends with a NULL category. */
extern const struct catalogue_entry catalogue[];

const struct catalogue_entry *catalogue_find(const char *category, const char *owner,
					     const char *provider, const char *version);
bool catalogue_is_open(const struct catalogue_entry *e);
/* The API's ActionType for an entry; the caller's to release. */
struct json_object *catalogue_definition(const struct catalogue_entry *e);
/* The properties that a list of keys stands for; the caller's to release. */
struct json_object *catalogue_properties(const char *keys);

#endif
