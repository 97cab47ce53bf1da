/*
 * Tags of whatever can have them: each resource's table has a column with its tags, a
 * JSON list as the API has it, or NULL when there are none.
 */
#ifndef MH_EMULATOR_STORE_TAGS_H
#define MH_EMULATOR_STORE_TAGS_H

#include "emulator/store/store.h"

enum tagged_kind { TAGGED_PIPELINE, TAGGED_ACTION_TYPE, TAGGED_WEBHOOK };

struct tagged {
	enum tagged_kind kind;
	char *name; /* of a pipeline or a webhook */
	char *category, *provider, *version; /* of a custom action type */
};
void tagged_done(struct tagged *t);
static inline void clean_tagged(struct tagged *t)
{
	tagged_done(t);
}

/* *ret_tags is NULL when there are none; the caller frees it. A deleted action type is
 * not found. */
int store_tags_get(struct store *s, const struct tagged *t, char **ret_tags,
		   bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
int store_tags_set(struct store *s, const struct tagged *t, const char *tags,
		   struct mh_err *err) MH_MUST_CHECK;

#endif
