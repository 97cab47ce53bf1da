/*
 * Variables (semantics E11): #{namespace.key} in the configuration of actions.
 * Pure text work. Where values come from and when is the engine's business;
 * which references a declaration may hold is declare_variables.c's.
 *
 * A reference is exactly `#{`, a namespace, a dot, a key, `}`. There is no
 * escape; whatever begins with `#{` and is not of that form stays as it is.
 */
#ifndef MH_EMULATOR_ENGINE_VARIABLES_H
#define MH_EMULATOR_ENGINE_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

/* Bytes of the resolved configuration of one action, keys and values together. */
#define VARIABLES_RESOLVED_MAX_BYTES ((size_t)100 * 1024)
/* Bytes of the output variables of one action, keys and values together. */
#define VARIABLES_OUTPUT_MAX_BYTES ((size_t)122880)

#define VARIABLES_NS_PIPELINE      "variables" /* pipeline level variables */
#define VARIABLES_NS_EXECUTION     "codepipeline" /* of the service itself */
#define VARIABLES_KEY_EXECUTION_ID "PipelineExecutionId"

struct variable_ref {
	const char *start; /* its '#', inside the text that was searched */
	size_t len; /* up to and including its '}' */
	const char *ns, *key; /* not NUL-terminated */
	size_t ns_len, key_len;
};

/* The first reference in text; false when there is none. Goes on with
 * text = ref->start + ref->len. */
bool variables_next(const char *text, struct variable_ref *ret);
bool variables_present(const char *text);

/* variables_resolve() for one text is in emulator/engine/pipelines.h; it refuses what
 * grows over VARIABLES_RESOLVED_MAX_BYTES. */

/* A copy of configuration (string to string) with every value resolved. -1 (REFUSED)
 * when a reference cannot be, or when all together is over the limit; the text names
 * the configuration key. */
int variables_resolve_all(struct json_object *configuration, struct json_object *values,
			  struct json_object **ret, struct mh_err *err) MH_MUST_CHECK;

/* Bytes of a map of strings, keys and values together: what the limits count. */
size_t variables_bytes(struct json_object *map);

#endif
