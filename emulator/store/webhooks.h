/*
 * Webhooks (semantics B). The definition is kept as the API shows it, its secret apart
 * from it and sealed (emulator/seal.h).
 */
#ifndef MH_EMULATOR_STORE_WEBHOOKS_H
#define MH_EMULATOR_STORE_WEBHOOKS_H

#include "emulator/store/store.h"

extern const char *const webhooks_schema;

struct webhook {
	char *name;
	char *token; /* the last part of its URL */
	char *definition; /* the API's WebhookDefinition as JSON, its secret masked */
	char *secret; /* sealed; NULL: none */
	char *tags; /* JSON list, or NULL */
	char *error_code, *error_message; /* of the last delivery; NULL: it went well */
	int64_t triggered_ms; /* when it last started its pipeline; 0: never */
};
void webhook_done(struct webhook *w);
static inline void clean_webhook(struct webhook *w)
{
	webhook_done(w);
}

int webhooks_find(struct store *s, const char *name, struct webhook *ret, bool *ret_found,
		  struct mh_err *err) MH_MUST_CHECK;
int webhooks_find_token(struct store *s, const char *token, struct webhook *ret,
			bool *ret_found, struct mh_err *err) MH_MUST_CHECK;
/* Inserts it, or replaces the one of that name. */
int webhooks_save(struct store *s, const struct webhook *w,
		  struct mh_err *err) MH_MUST_CHECK;
int webhooks_delete(struct store *s, const char *name, struct mh_err *err) MH_MUST_CHECK;
int webhooks_count(struct store *s, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;
/* Whether any has a secret. */
int webhooks_any_sealed(struct store *s, bool *ret, struct mh_err *err) MH_MUST_CHECK;

/* By name, after that name ("" for all), at most limit; *ret_found false at the end:
 *	webhooks_list(s, &q, "", 101);
 *	while (webhooks_next(&q, &w, &found, err) == 0 && found)
 *		... webhook_done(&w) ...
 *	stmt_end(&q); */
void webhooks_list(struct store *s, struct stmt *q, const char *after, int64_t limit);
int webhooks_next(struct stmt *q, struct webhook *ret, bool *ret_found,
		  struct mh_err *err) MH_MUST_CHECK;

#endif
