/*
 * Custom action types (semantics D2): one row for each identity ever used. A
 * deleted one stays as a tombstone, because pipelines keep their declarations
 * and a version may only come back with the same definition.
 */
#ifndef MH_EMULATOR_STORE_ACTION_TYPES_H
#define MH_EMULATOR_STORE_ACTION_TYPES_H

#include "emulator/store/store.h"

extern const char *const store_action_types_schema;

struct store_action_type {
	char *category, *provider, *version;
	char *definition; /* the API's ActionType as JSON */
	char *tags; /* JSON list, or NULL */
	int64_t deleted_ms; /* 0: live */
};
void store_action_type_done(struct store_action_type *t);
static inline void clean_store_action_type(struct store_action_type *t)
{
	store_action_type_done(t);
}

int store_action_type_find(struct store *s, const char *category, const char *provider,
			   const char *version, struct store_action_type *ret,
			   bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
int store_action_type_insert(struct store *s, const char *category, const char *provider,
			     const char *version, const char *definition,
			     const char *tags, int64_t now_ms,
			     struct mh_err *err) MH_MUST_CHECK;
/* Nothing happens when there is none. */
int store_action_type_delete(struct store *s, const char *category, const char *provider,
			     const char *version, int64_t now_ms,
			     struct mh_err *err) MH_MUST_CHECK;
/* Brings a deleted one back, with these tags (NULL: none). */
int store_action_type_restore(struct store *s, const char *category, const char *provider,
			      const char *version, const char *tags,
			      struct mh_err *err) MH_MUST_CHECK;
int store_action_type_count_live(struct store *s, int64_t *ret,
				 struct mh_err *err) MH_MUST_CHECK;

/* Live ones, by category, provider, version:
 *	store_action_type_list(s, &q);
 *	while ((rc = stmt_next(&q, err)) == 1)
 *		... stmt_text(&q, 0) is the definition ...
 *	stmt_end(&q); */
void store_action_type_list(struct store *s, struct stmt *q);

#endif
