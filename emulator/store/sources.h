/*
 * What source actions watch, and what they have seen (semantics E13, E15). A source is
 * text: "git:<repository>" or "s3:<bucket>/<key>".
 */
#ifndef MH_EMULATOR_STORE_SOURCES_H
#define MH_EMULATOR_STORE_SOURCES_H

#include "emulator/store/store.h"
#include "lib/base/str.h"

extern const char *const sources_schema;

/* ---- revisions that executions of a pipeline have taken from a source action ---- */

/* The newest execution of a revision is the one that is kept. */
int source_revisions_put(struct store *s, const char *pipeline, const char *action,
			 const char *revision, int64_t execution,
			 struct mh_err *err) MH_MUST_CHECK;
int source_revisions_find(struct store *s, const char *pipeline, const char *action,
			  const char *revision, char ret_id[STR_UUID_SIZE],
			  bool *ret_found, struct mh_err *err) MH_MUST_CHECK;

/* ---- who watches what: the source actions of each pipeline's newest version ---- */

int source_watches_put(struct store *s, const char *source, const char *pipeline,
		       struct mh_err *err) MH_MUST_CHECK;
int source_watches_clear(struct store *s, const char *pipeline,
			 struct mh_err *err) MH_MUST_CHECK;
/* The names of the pipelines that watch a source, in order. */
void source_watches_list(struct store *s, struct stmt *q, const char *source);
/* All repositories that are watched, in order: name, and whether its refs are known. */
void source_watches_repositories(struct store *s, struct stmt *q);

/* ---- repositories as they were last seen: {"refs/heads/main":"<commit>"} ---- */

/* *ret_refs is NULL when it was not looked at yet; the caller frees it. */
int source_refs_get(struct store *s, const char *repository, char **ret_refs,
		    struct mh_err *err) MH_MUST_CHECK;
int source_refs_put(struct store *s, const char *repository, const char *refs,
		    struct mh_err *err) MH_MUST_CHECK;
/* Forgets those that nobody watches any more. */
int source_refs_tidy(struct store *s, struct mh_err *err) MH_MUST_CHECK;

/* ---- scheduled starts: when each row of the settings is due ---- */

/* *ret_due_ms is -1 when there is no such row. */
int schedules_get(struct store *s, const char *name, int64_t *ret_due_ms,
		  struct mh_err *err) MH_MUST_CHECK;
int schedules_put(struct store *s, const char *name, int64_t due_ms,
		  struct mh_err *err) MH_MUST_CHECK;
/* The first one's time, or -1. */
int schedules_next(struct store *s, int64_t *ret_due_ms,
		   struct mh_err *err) MH_MUST_CHECK;
/* The first that is due at now_ms; *ret_name is NULL when none is, else the caller's. */
int schedules_due(struct store *s, int64_t now_ms, char **ret_name, int64_t *ret_due_ms,
		  struct mh_err *err) MH_MUST_CHECK;
int schedules_delete(struct store *s, const char *name, struct mh_err *err) MH_MUST_CHECK;
/* All names. */
void schedules_list(struct store *s, struct stmt *q);

#endif
