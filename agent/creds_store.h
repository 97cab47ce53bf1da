/*
 * Keeps the agent's credentials fresh: fetched before they are needed and renewed
 * before they end, one fetch at a time for all who ask, the old set used for as long
 * as it lives, back-off while there is no new one.
 *
 *	creds_store_new(&tools, &store, &err);      CONFIG or AUTH: nothing to go on with
 *	keys = creds_store_now(store);              NULL: none that can be used now
 *	w = creds_store_wait(store, done, ctx);     done later, with keys or with why not
 *	w = creds_store_refused(store, generation, done, ctx);
 *
 * Expiry counts from the answer's own clock in monotonic time, so that neither a wrong
 * clock nor one that is set meanwhile matters. The plan is made anew for each fetch:
 * files that were replaced are seen. What is learned is kept from the log.
 */
#ifndef MH_AGENT_CREDS_STORE_H
#define MH_AGENT_CREDS_STORE_H

#include "agent/creds_fetch.h"

struct creds_store;
int creds_store_new(const struct creds_tools *tools, struct creds_store **ret,
		    struct mh_err *err) MH_MUST_CHECK;
/* Whether these settings name credentials that can be tried; asks nobody. Any thread. */
int creds_store_check(const struct settings *settings, struct mh_err *err) MH_MUST_CHECK;
/* The settings are others: what they name is fetched, also when it is the same; the set
 * in use is used until then. */
void creds_store_reload(struct creds_store *s);
/* Cancels what is under way, without callbacks; before the loop is freed. */
void creds_store_free(struct creds_store *s);

/* Borrowed until the next turn of the loop. */
const struct creds *creds_store_now(const struct creds_store *s);
/* Which set that is: another number means other keys. */
uint64_t creds_store_generation(const struct creds_store *s);
/* "environment", "role of profile x"; borrowed. */
const char *creds_store_source(const struct creds_store *s);
/* Left of the set in use; CREDS_NEVER when it has no end, 0 when there is none. */
int64_t creds_store_life_ms(const struct creds_store *s);

struct creds_wait;
/* err NULL: creds_store_now() has keys, or after a refusal other keys. Called once,
 * never from inside; w is gone after it. */
typedef void (*creds_wait_fn)(void *ctx, const struct mh_err *err);
struct creds_wait *creds_store_wait(struct creds_store *s, creds_wait_fn done, void *ctx);
/* A service refused the set of that generation: fetches another, unless one is there
 * or one was asked for a moment ago. */
struct creds_wait *creds_store_refused(struct creds_store *s, uint64_t generation,
				       creds_wait_fn done, void *ctx);
void creds_wait_cancel(struct creds_wait *w); /* NULL is none */

/* Exposed for tests: how long to use a set that lives so long before asking for the
 * next one: to ten minutes before its end, or half its life. */
int64_t creds_refresh_after_ms(int64_t life_ms);

#endif
