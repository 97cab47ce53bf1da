/*
 * Action types of the integration model (semantics C15): declared by UpdateActionType,
 * or named by a row of third_party in the settings and then open to anything. Their
 * declaration (ActionTypeDeclaration) speaks another language than the ActionType of
 * everybody else: `optional` for `required`, `noEcho` for `secret`. This is where one is
 * made of the other.
 */
#ifndef MH_EMULATOR_ENGINE_INTEGRATION_H
#define MH_EMULATOR_ENGINE_INTEGRATION_H

#include "emulator/engine/pipelines.h"

/* The declaration of a type ("Deploy/ThirdParty/Acme/1"), the caller's to release; NULL
 * when there is none. Types of the catalogue have none here. */
int integration_load(struct op_ctx *ctx, const char *type, struct json_object **ret,
		     struct mh_err *err) MH_MUST_CHECK;
/* The declaration that shows a type of the catalogue. The caller releases it. */
struct json_object *integration_of_catalogue(struct json_object *definition);
/* What pipelines and listings make of a declaration. allowed false: this account may not
 * use it in a pipeline. The caller releases ret->definition. */
void integration_type(struct op_ctx *ctx, const char *type,
		      struct json_object *declaration, struct action_type *ret,
		      bool *ret_allowed);
/* Calls each(arg, declaration) for every one: declared first, then those of the
 * settings. */
int integration_each(struct op_ctx *ctx,
		     void (*each)(void *arg, const char *type,
				  struct json_object *declaration),
		     void *arg, struct mh_err *err) MH_MUST_CHECK;

#endif
