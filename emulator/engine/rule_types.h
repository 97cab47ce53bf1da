/*
 * The rules that a stage's condition can have (semantics E10): what ListRuleTypes shows
 * of them, what declarations are held against, and what they compare. Pure.
 */
#ifndef MH_EMULATOR_ENGINE_RULE_TYPES_H
#define MH_EMULATOR_ENGINE_RULE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

enum rule_kind {
	RULE_ALARM,
	RULE_COMMANDS,
	RULE_WINDOW,
	RULE_LAMBDA,
	RULE_VARIABLE,
};

struct rule_type {
	const char *provider;
	enum rule_kind kind;
	/* As in catalogue.h. */
	const char *keys;
	int in_max; /* input artifacts */
	bool with_skip; /* may stand in a condition whose result is SKIP */
	int64_t worker_limit_ms; /* done by workers, in this time; 0: judged here */
};

/* By provider; ends with a NULL provider. */
extern const struct rule_type rule_types[];

/* By a RuleTypeId, whose owner and version may be left out; NULL: there is none. */
const struct rule_type *rule_type_find(struct json_object *id);
/* The complete RuleTypeId; the caller's to release. */
struct json_object *rule_type_id(const struct rule_type *type);
/* The API's RuleType; the caller's to release. */
struct json_object *rule_type_definition(const struct rule_type *type);

/* ---- what rules compare ----
 *
 * Each works on a configuration whose variables are resolved. REFUSED says what is wrong
 * with it; declarations are held against the same functions. */

/* Characters of a value that MATCHES looks at. */
#define RULE_MATCH_MAX_BYTES ((size_t)8192)

/* VariableCheck. MATCHES takes what emulator/pattern.h knows of Java's expressions, and
 * the whole value must match. */
int rule_compare(struct json_object *config, bool *ret_met,
		 struct mh_err *err) MH_MUST_CHECK;
/* DeploymentWindow: whether the minute of at_ms is in the window. */
int rule_window(struct json_object *config, int64_t at_ms, bool *ret_met,
		struct mh_err *err) MH_MUST_CHECK;
/* CloudWatchAlarm: the states it wants; failure: where AlarmStates says nothing, those
 * that speak of a failure. */
int rule_alarm_wants(struct json_object *config, bool failure, const char *state,
		     bool *ret_met, struct mh_err *err) MH_MUST_CHECK;
/* How long it waits for such a state. */
int rule_alarm_wait_ms(struct json_object *config, int64_t *ret_ms,
		       struct mh_err *err) MH_MUST_CHECK;
bool rule_is_alarm_state(const char *state, size_t len);

#endif
