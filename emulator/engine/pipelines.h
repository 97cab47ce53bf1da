/*
 * Where declarations and the engine meet. The declaration side (emulator/api/
 * pipelines.c, emulator/store/pipelines.c) keeps what pipelines and action types
 * say; the engine (emulator/engine/) runs them.
 */
#ifndef MH_EMULATOR_ENGINE_PIPELINES_H
#define MH_EMULATOR_ENGINE_PIPELINES_H

#include "emulator/op.h"

/* ---- provided by the declaration side (emulator/engine/pipelines.c) ---- */

struct pipeline {
	int64_t rowid;
	char *name;
	int64_t version;
	int64_t created_ms, updated_ms; /* of the pipeline, of its newest version */
	struct json_object *declaration; /* PipelineDeclaration, defaults filled, secrets
					    in clear; owned */
};
/* version 0: the newest. PipelineNotFoundException, PipelineVersionNotFoundException. */
int pipeline_load(struct op_ctx *ctx, const char *name, int64_t version,
		  struct pipeline *ret, struct api_error *err);
void pipeline_done(struct pipeline *p);
static inline void clean_pipeline(struct pipeline *p)
{
	pipeline_done(p);
}

/* Writes declaration (with its `version`) as the newest one of the pipeline's; secret
 * values are sealed on disk. For the pipeline operations alone. */
struct declare_env;
int pipeline_save(struct op_ctx *ctx, const struct declare_env *env, int64_t rowid,
		  struct json_object *declaration, struct api_error *err);

/* An action type: a custom one, one of the built-in catalogue (semantics E21), or one of
 * the integration model (C15). */
struct action_type {
	struct json_object *definition; /* the API's ActionType; owned */
	bool deleted; /* tombstone (D2) */
	bool open; /* takes configuration keys that it does not name */
	int64_t in_max, out_max; /* artifacts; the definition shows no more than 5 */
	/* Of the integration model. */
	bool polled; /* workers poll for its jobs as third parties */
	bool may_poll; /* this account is one whose workers may */
	int64_t job_timeout_ms; /* of each job; 0: none of its own (C11) */
};
/* *ret_found false when there never was one. id is an ActionTypeId object. */
int action_type_load(struct op_ctx *ctx, struct json_object *id, struct action_type *ret,
		     bool *ret_found, struct api_error *err);
/* Takes the definition over. */
struct action_type action_type_of(struct json_object *definition);
struct catalogue_entry;
struct action_type action_type_of_entry(const struct catalogue_entry *entry);
void action_type_done(struct action_type *t);
static inline void clean_action_type(struct action_type *t)
{
	action_type_done(t);
}
/* ActionTypeNotFoundException for an ActionTypeId; answers -1. */
int action_type_not_available(struct json_object *id, struct api_error *err);
/* {"minimumCount","maximumCount"} of a type that is declared: ValidationException. */
int action_type_check_counts(struct json_object *counts, struct api_error *err);
/* Name of its queryable property, or NULL. Borrowed from t. */
const char *action_type_queryable(const struct action_type *t);
enum value_fault { VALUE_FITS, VALUE_NO_NUMBER, VALUE_NO_BOOLEAN, VALUE_NOT_QUERYABLE };
/* Whether a value without variables is what its property asks for (semantics D1, C7).
 * queryable_max: characters that one may have which workers ask for. */
enum value_fault property_judge(struct json_object *property, const char *value,
				size_t queryable_max);
/* The same for a configuration whose variables are resolved: REFUSED for the first value
 * that does not fit. */
int action_type_check_resolved(const struct action_type *t,
			       struct json_object *configuration,
			       struct mh_err *err) MH_MUST_CHECK;
/* A copy of configuration with every secret property's value as "****". */
struct json_object *action_type_mask(const struct action_type *t,
				     struct json_object *configuration);
/* url template with {Config:x} and {ExternalExecutionId} filled in and escaped; NULL
 * when the type has no such template or a value is missing (D4). which:
 * "entityUrlTemplate", "executionUrlTemplate", "revisionUrlTemplate". The caller frees
 * it. */
char *action_type_url(const struct action_type *t, const char *which,
		      struct json_object *configuration,
		      const char *external_execution_id);

/* Variables (semantics E11), pure: every #{namespace.key} in text replaced from values
 * ({"namespace":{"key":"value"}}). -1 with ConfigurationError text in *err (class
 * REFUSED) when a known form cannot be resolved. *ret is the caller's to free. */
int variables_resolve(const char *text, struct json_object *values, char **ret,
		      struct mh_err *err) MH_MUST_CHECK;

/* ---- provided by the engine, called by the pipeline operations ---- */

/* After CreatePipeline: starts the first execution (trigger CreatePipeline). */
int engine_pipeline_created(struct op_ctx *ctx, const struct pipeline *p,
			    struct api_error *err);
/* After UpdatePipeline: cancels what is active and pending (semantics E5). */
int engine_pipeline_updated(struct op_ctx *ctx, const struct pipeline *old,
			    const struct pipeline *p, struct api_error *err);
/* Before DeletePipeline removes the declaration: its jobs become unknown (G18). */
int engine_pipeline_deleted(struct op_ctx *ctx, const struct pipeline *p,
			    struct api_error *err);

#endif
