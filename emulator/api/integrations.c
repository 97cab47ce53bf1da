/* GetActionType, UpdateActionType: the integration model (semantics C15). */
#include <string.h>

#include "emulator/api/ops.h"
#include "emulator/engine/catalogue.h"
#include "emulator/engine/integration.h"
#include "emulator/settings.h"
#include "emulator/store/integrations.h"
#include "emulator/type_name.h"

#define INVALID "ValidationException"

static size_t list_length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

static const struct catalogue_entry *find_in_catalogue(struct json_object *id)
{
	return catalogue_find(
		json_opt_str(id, "category", ""), json_opt_str(id, "owner", ""),
		json_opt_str(id, "provider", ""), json_opt_str(id, "version", ""));
}

/* ---- GetActionType ---- */

int op_get_action_type(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	const struct catalogue_entry *entry = find_in_catalogue(in);
	CLEAN(free) char *name = type_name_of(in);
	struct json_object *declaration = NULL;
	struct mh_err e = MH_ERR_INIT;

	if (entry) {
		CLEAN(json) struct json_object *definition = catalogue_definition(entry);

		declaration = integration_of_catalogue(definition);
	} else if (integration_load(ctx, name, &declaration, &e) != 0) {
		return api_fail_internal(err, &e);
	}
	if (!declaration)
		return action_type_not_available(in, err);
	json_put_obj(out, "actionType", declaration);
	return 0;
}

/* ---- UpdateActionType ---- */

/* Exactly the branch that belongs to the executor's type. */
static int check_executor(struct json_object *executor, struct api_error *err)
{
	static const char *const branches[][2] = {
		{ "JobWorker", "jobWorkerExecutorConfiguration" },
		{ "Lambda", "lambdaExecutorConfiguration" },
	};
	struct json_object *configuration = json_opt_object(executor, "configuration");
	const char *type = json_opt_str(executor, "type", "");

	for (size_t i = 0; i < ARRAY_LEN(branches); i++) {
		bool wanted = strcmp(branches[i][0], type) == 0;

		if (wanted != (json_opt_object(configuration, branches[i][1]) != NULL))
			return api_fail(err, INVALID, "An executor of type '%s' %s '%s'",
					type, wanted ? "must have a" : "cannot have a",
					branches[i][1]);
	}
	return 0;
}

static struct json_object *find_property(struct json_object *list, const char *name,
					 size_t before)
{
	for (size_t i = 0; i < list_length(list) && i < before; i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		if (strcmp(json_opt_str(p, "name", ""), name) == 0)
			return p;
	}
	return NULL;
}

static int check_properties(struct json_object *list, struct api_error *err)
{
	const char *queryable = NULL;

	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);
		const char *name = json_opt_str(p, "name", "");

		if (find_property(list, name, i))
			return api_fail(err, INVALID,
					"Property '%s' is declared more than once", name);
		if (!json_opt_bool(p, "queryable", false))
			continue;
		if (json_opt_bool(p, "optional", false) ||
		    json_opt_bool(p, "noEcho", false))
			return api_fail(err, INVALID,
					"Invalid queryable property '%s'. Queryable "
					"configuration properties must be required and "
					"non-secret.",
					name);
		if (queryable)
			return api_fail(
				err, INVALID,
				"Multiple queryable configuration properties found with "
				"names '%s, %s'. Up to one queryable property may be "
				"specified.",
				queryable, name);
		queryable = name;
	}
	return 0;
}

/* What pipelines have must stay good: nothing new may be required of them. */
static int check_change(struct json_object *before, struct json_object *after,
			struct api_error *err)
{
	struct json_object *old = json_opt_array(before, "properties");
	struct json_object *list = json_opt_array(after, "properties");

	for (size_t i = 0; i < list_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);
		const char *name = json_opt_str(p, "name", "");
		struct json_object *was = find_property(old, name, SIZE_MAX);

		if (json_opt_bool(p, "optional", false) ||
		    (was && !json_opt_bool(was, "optional", false)))
			continue;
		return api_fail(err, INVALID,
				was ? "Property '%s' is optional and cannot be made "
				      "required"
				    : "Property '%s' is new and must be optional",
				name);
	}
	return 0;
}

static int check_declaration(struct json_object *declaration, struct api_error *err)
{
	if (check_executor(json_opt_object(declaration, "executor"), err) != 0 ||
	    action_type_check_counts(json_opt_object(declaration, "inputArtifactDetails"),
				     err) != 0 ||
	    action_type_check_counts(
		    json_opt_object(declaration, "outputArtifactDetails"), err) != 0)
		return -1;
	return check_properties(json_opt_array(declaration, "properties"), err);
}

/* Whether it may be declared, given what there is (NULL: nothing). */
static int check_existence(struct op_ctx *ctx, struct json_object *id,
			   struct json_object *before, struct api_error *err)
{
	if (find_in_catalogue(id))
		return api_fail(err, "RequestFailedException",
				"The action type %s belongs to AWS and cannot be updated",
				json_opt_str(id, "provider", ""));
	if (!before && !ctx->settings->register_types)
		return action_type_not_available(id, err);
	return 0;
}

int op_update_action_type(struct op_ctx *ctx, struct json_object *in,
			  struct json_object *out, struct api_error *err)
{
	struct json_object *declaration = json_opt_object(in, "actionType");
	struct json_object *id = json_opt_object(declaration, "id");
	CLEAN(free) char *name = type_name_of(id);
	CLEAN(json) struct json_object *before = NULL;
	struct mh_err e = MH_ERR_INIT;

	(void)out; /* the operation answers nothing */
	if (integration_load(ctx, name, &before, &e) != 0)
		return api_fail_internal(err, &e);
	if (check_existence(ctx, id, before, err) != 0 ||
	    check_declaration(declaration, err) != 0)
		return -1;
	/* One that is open in the settings has no properties that could be broken. */
	if (json_opt_array(before, "properties") &&
	    check_change(before, declaration, err) != 0)
		return -1;
	if (!json_opt_array(declaration, "properties"))
		json_put_obj(declaration, "properties", json_object_new_array());
	if (integrations_put(ctx->store, name, json_text(declaration), &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}
