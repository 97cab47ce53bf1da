/*
 * What source actions watch, and starts that come from there (semantics E13, E15).
 */
#ifndef MH_EMULATOR_ENGINE_SOURCES_H
#define MH_EMULATOR_ENGINE_SOURCES_H

#include "emulator/engine/internal.h"

/* A declared source action of the first stage, borrowed; NULL when there is none of
 * that name. */
struct json_object *source_find(const struct pipeline *p, const char *action);

/* "git:<repository>" or "s3:<bucket>/<key>": what a source action that the emulator does
 * itself watches. NULL for any other. The caller frees it. */
char *source_of(struct json_object *action);

/* Notes what the pipeline's source actions watch from now on. */
int sources_watch(struct op_ctx *ctx, const struct pipeline *p,
		  struct mh_err *err) MH_MUST_CHECK;
int sources_forget(struct op_ctx *ctx, const char *pipeline,
		   struct mh_err *err) MH_MUST_CHECK;

/* Adds an override (semantics E12) to *list, which is made when it is NULL. value NULL:
 * nothing is added. */
void source_pin(struct json_object **list, const char *action, const char *revision_type,
		const char *value);

/* Remembers that the execution took that revision from the source action. */
int source_taken(struct op_ctx *ctx, const struct action_execution *a,
		 struct mh_err *err) MH_MUST_CHECK;

#endif
