/*
 * What a pipeline declaration must be (semantics E1 to E3): defaults, the
 * structure rules behind the service model with the service's own words, and
 * secrets. Functions of the declaration and a look-up of action types alone.
 *
 *	declaration = declare_complete(input);      a copy with defaults
 *	declare_keep_secrets(&env, old, ...);       "****" back to the stored values
 *	declare_check(&env, declaration, err);      all rules, first violation wins
 *	... store it ...
 *	answer = declare_masked(&env, declaration, ...);
 *
 * The service model was checked before: members have their types, lengths and
 * patterns.
 */
#ifndef MH_EMULATOR_ENGINE_DECLARE_H
#define MH_EMULATOR_ENGINE_DECLARE_H

#include "emulator/engine/pipelines.h"

#define DECLARE_STAGES_MIN        2
#define DECLARE_STAGES_MAX        50
#define DECLARE_STAGE_ACTIONS_MAX 50
#define DECLARE_ACTIONS_MAX       1000

struct declare_env {
	const char *region; /* where the pipeline lives */
	/* As action_type_load(). A deleted type is not available to a declaration: answer
	 * *ret_found false unless the pipeline may keep it. */
	int (*find_type)(void *arg, struct json_object *id, struct action_type *ret,
			 bool *ret_found, struct api_error *err);
	void *arg;
};

/* A copy with every default filled in (E1); whatever `version` said is replaced. */
struct json_object *declare_complete(struct json_object *pipeline, int64_t version);

/* 0, or -1 with the first rule that is broken. */
int declare_check(const struct declare_env *env, struct json_object *pipeline,
		  struct api_error *err);

/* Replaces "****" in secret properties of pipeline by what old (NULL: there is none)
 * holds for the same stage, action, type and key properties; an error where it holds
 * nothing (D1). */
int declare_keep_secrets(const struct declare_env *env, struct json_object *old,
			 struct json_object *pipeline, struct api_error *err);

/* *ret: a copy that shows every secret as "****". find_type must also find deleted types.
 */
int declare_masked(const struct declare_env *env, struct json_object *pipeline,
		   struct json_object **ret, struct api_error *err);

/* *ret: a copy with instead(arg, value) in the place of every secret value. */
typedef struct json_object *(*declare_secret_fn)(void *arg, const char *value);
int declare_replace_secrets(const struct declare_env *env, struct json_object *pipeline,
			    declare_secret_fn instead, void *arg,
			    struct json_object **ret, struct api_error *err);

#endif
