/*
 * Secret properties (semantics D1). They are shown as "****"; "****" that comes
 * back with an update means: keep what is stored. What is stored belongs to a
 * stage, an action in it, its type, and the values of its key properties: when
 * one of these is another, so is the resource, and the secret is asked for anew.
 */
#include <string.h>

#include "emulator/engine/declare_parts.h"

#define MASK "****"

static bool same_type(const struct declared_action *a, const struct declared_action *b)
{
	return strcmp(a->category, b->category) == 0 && strcmp(a->owner, b->owner) == 0 &&
	       strcmp(a->provider, b->provider) == 0 &&
	       strcmp(a->version, b->version) == 0;
}

static const struct declared_action *same_action(const struct declaration *old,
						 const struct declared_action *a)
{
	for (size_t i = 0; i < old->action_count; i++) {
		const struct declared_action *o = &old->actions[i];

		if (strcmp(o->stage, a->stage) == 0 && strcmp(o->name, a->name) == 0)
			return same_type(o, a) ? o : NULL;
	}
	return NULL;
}

static bool equal_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_keys(struct json_object *properties, struct json_object *old_config,
		      struct json_object *config)
{
	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);
		const char *name = json_opt_str(p, "name", "");
		const char *value = json_opt_str(config, name, NULL);

		if (!json_opt_bool(p, "key", false))
			continue;
		if (json_opt_bool(p, "secret", false) && equal_text(value, MASK))
			continue; /* unchanged, if anything is stored for it */
		if (!equal_text(json_opt_str(old_config, name, NULL), value))
			return false;
	}
	return true;
}

static int keep_in_action(const struct declaration *old, struct declared_action *a,
			  struct api_error *err)
{
	struct json_object *config = json_opt_object(a->action, "configuration");
	struct json_object *properties = json_opt_array(a->type.definition,
							"actionConfigurationProperties");
	const struct declared_action *before = old != NULL ? same_action(old, a) : NULL;
	struct json_object *old_config =
		before != NULL ? json_opt_object(before->action, "configuration") : NULL;
	/* Asked before the first one is put back: a secret may be a key, too. */
	bool same = before != NULL && same_keys(properties, old_config, config);

	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);
		const char *name = json_opt_str(p, "name", "");
		const char *stored = same ? json_opt_str(old_config, name, NULL) : NULL;

		if (!json_opt_bool(p, "secret", false) ||
		    !equal_text(json_opt_str(config, name, NULL), MASK))
			continue;
		/* The mask itself is stored where the key of the data directory is gone.
		 */
		if (stored == NULL || equal_text(stored, MASK))
			return api_fail(err, "InvalidActionDeclarationException",
					"Action configuration for the new action '%s' "
					"contains an "
					"invalid configuration for the secret property "
					"'%s'. '****' may "
					"be used in secret properties only when updating "
					"an existing "
					"action.",
					a->name, name);
		json_put_str(config, name, stored);
	}
	return 0;
}

int declare_keep_secrets(const struct declare_env *env, struct json_object *old,
			 struct json_object *pipeline, struct api_error *err)
{
	CLEAN(declaration) struct declaration before = { 0 };
	CLEAN(declaration) struct declaration d = { 0 };

	if (declaration_open(env, pipeline, &d, err) != 0 ||
	    (old != NULL && declaration_open(env, old, &before, err) != 0))
		return -1;
	for (size_t i = 0; i < d.action_count; i++) {
		if (keep_in_action(old != NULL ? &before : NULL, &d.actions[i], err) != 0)
			return -1;
	}
	return 0;
}

static void replace_in_action(const struct declared_action *a, declare_secret_fn instead,
			      void *arg)
{
	struct json_object *config = json_opt_object(a->action, "configuration");
	struct json_object *properties = json_opt_array(a->type.definition,
							"actionConfigurationProperties");

	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);
		const char *name = json_opt_str(p, "name", "");
		const char *value = json_opt_str(config, name, NULL);

		if (json_opt_bool(p, "secret", false) && value != NULL)
			json_put_obj(config, name, instead(arg, value));
	}
}

int declare_replace_secrets(const struct declare_env *env, struct json_object *pipeline,
			    declare_secret_fn instead, void *arg,
			    struct json_object **ret, struct api_error *err)
{
	CLEAN(json) struct json_object *copy = NULL;
	CLEAN(declaration) struct declaration d = { 0 };

	if (json_object_deep_copy(pipeline, &copy, NULL) != 0)
		MH_BUG("out of memory");
	if (declaration_open(env, copy, &d, err) != 0)
		return -1;
	for (size_t i = 0; i < d.action_count; i++)
		replace_in_action(&d.actions[i], instead, arg);
	*ret = STEAL_PTR(copy);
	return 0;
}

static struct json_object *mask_of(void *arg, const char *value)
{
	(void)arg, (void)value; /* the mask is the same for all */
	return json_object_new_string(MASK);
}

int declare_masked(const struct declare_env *env, struct json_object *pipeline,
		   struct json_object **ret, struct api_error *err)
{
	return declare_replace_secrets(env, pipeline, mask_of, NULL, ret, err);
}
