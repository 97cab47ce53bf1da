/*
 * Inside of declare_*.c: a declaration laid out for its rules, and the rules by
 * concern. Each check answers 0, or -1 with *err set.
 */
#ifndef MH_EMULATOR_ENGINE_DECLARE_PARTS_H
#define MH_EMULATOR_ENGINE_DECLARE_PARTS_H

#include "emulator/engine/catalogue.h"
#include "emulator/engine/declare.h"

struct declared_action {
	struct json_object *action; /* borrowed, as all strings here */
	const char *name;
	const char *stage;
	size_t stage_index;
	int64_t run_order;
	const char *category, *owner, *provider, *version;
	struct action_type type; /* owned; definition NULL when there is none */
	const struct catalogue_entry *entry; /* of an AWS type, or NULL */
};

struct declaration {
	const struct declare_env *env;
	struct json_object *pipeline, *stages;
	size_t stage_count;
	struct declared_action *actions; /* in declared order; owned */
	size_t action_count;
	bool v2;
	const char *mode;
};

/* Looks up every action's type. */
int declaration_open(const struct declare_env *env, struct json_object *pipeline,
		     struct declaration *ret, struct api_error *err);
void declaration_done(struct declaration *d);
static inline void clean_declaration(struct declaration *d)
{
	declaration_done(d);
}

/* Whether everything a has produced is there before b starts: an earlier stage, or a
 * lower run order in the same one. */
bool declared_before(const struct declared_action *a, const struct declared_action *b);

/* A rule of a stage's condition. */
struct declared_rule {
	struct json_object *rule; /* borrowed, as all strings here */
	const char *name, *stage;
	const char *gate; /* "beforeEntry", ... */
	size_t stage_index;
	bool after; /* it is asked after its stage's actions */
};
typedef int (*declare_rule_fn)(const struct declaration *d, const struct declared_rule *r,
			       void *arg, struct api_error *err);
/* Every rule of the declaration, in its order, until one is refused. */
int declare_each_rule(const struct declaration *d, declare_rule_fn check, void *arg,
		      struct api_error *err);
/* Whether everything a has produced is there when the rule is asked. */
bool declared_before_rule(const struct declared_action *a, const struct declared_rule *r);

static inline struct json_object *declared_stage(const struct declaration *d, size_t i)
{
	return json_object_array_get_idx(d->stages, i);
}
/* Length of an optional list; 0 for NULL. */
static inline size_t list_length(struct json_object *list)
{
	return list != NULL ? json_object_array_length(list) : 0;
}

/* The index under which a name was first seen, or -1; a json object is the map. */
static inline int64_t names_find(struct json_object *names, const char *name)
{
	return json_opt_i64(names, name, -1);
}

int declare_check_stages(const struct declaration *d, struct api_error *err);
int declare_check_modes(const struct declaration *d, struct api_error *err);
int declare_check_conditions(const struct declaration *d, struct api_error *err);
int declare_check_actions(const struct declaration *d, struct api_error *err);
int declare_check_regions(const struct declaration *d, struct api_error *err);
int declare_check_artifacts(const struct declaration *d, struct api_error *err);
int declare_check_variables(const struct declaration *d, struct api_error *err);
int declare_check_namespaces(const struct declaration *d, struct api_error *err);
int declare_check_triggers(const struct declaration *d, struct api_error *err);

#endif
