/*
 * Pipelines: a row for each one that exists, and every version of its
 * declaration. The declaration is text to this file; who calls decides whether
 * it is sealed (emulator/engine/pipelines.c).
 *
 * A row's id is never used again, so what belonged to a deleted pipeline cannot
 * fall to a later one of the same name.
 */
#ifndef MH_EMULATOR_STORE_PIPELINES_H
#define MH_EMULATOR_STORE_PIPELINES_H

#include "emulator/store/store.h"

extern const char *const store_pipelines_schema;

struct store_pipeline {
	int64_t rowid;
	char *name;
	int64_t version; /* of this declaration */
	int64_t created_ms, updated_ms;
	char *declaration;
};
void store_pipeline_done(struct store_pipeline *p);
static inline void clean_store_pipeline(struct store_pipeline *p)
{
	store_pipeline_done(p);
}

enum store_pipeline_found {
	STORE_PIPELINE_NONE,
	STORE_PIPELINE_NO_VERSION,
	STORE_PIPELINE_OK
};

/* version 0: the newest. *ret is filled for OK alone. */
int store_pipeline_find(struct store *s, const char *name, int64_t version,
			struct store_pipeline *ret, enum store_pipeline_found *ret_found,
			struct mh_err *err) MH_MUST_CHECK;
int store_pipeline_exists(struct store *s, const char *name, bool *ret,
			  struct mh_err *err) MH_MUST_CHECK;
int store_pipeline_count(struct store *s, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;

/* Whether any version of any pipeline has a value that is sealed (seal.h). */
int store_pipeline_any_sealed(struct store *s, bool *ret,
			      struct mh_err *err) MH_MUST_CHECK;

/* What a listing shows, kept in columns. */
struct store_pipeline_summary {
	const char *pipeline_type;
	const char *execution_mode;
};
/* *ret_rowid is wanted before the declaration is written, for it is bound to it. */
int store_pipeline_insert(struct store *s, const char *name, const char *tags,
			  int64_t now_ms, int64_t *ret_rowid,
			  struct mh_err *err) MH_MUST_CHECK;
/* Adds a version and makes it the newest. */
int store_pipeline_add_version(struct store *s, int64_t rowid, int64_t version,
			       const char *declaration,
			       const struct store_pipeline_summary *summary,
			       int64_t now_ms, struct mh_err *err) MH_MUST_CHECK;
/* All versions with it. */
int store_pipeline_delete(struct store *s, int64_t rowid,
			  struct mh_err *err) MH_MUST_CHECK;

/* Rows by name, after that name ("" for all), at most limit: name, version,
 * pipeline_type, execution_mode, created_ms, updated_ms. */
void store_pipeline_list(struct store *s, struct stmt *q, const char *after,
			 int64_t limit);

#endif
