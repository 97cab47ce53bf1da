#include "emulator/engine/rule_types.h"

#include <string.h>

#include "emulator/cron.h"
#include "emulator/engine/catalogue.h"
#include "emulator/pattern.h"
#include "lib/base/str.h"

#define MINUTE_MS        ((int64_t)60 * 1000)
#define WAIT_MAX_MINUTES 86400

const struct rule_type rule_types[] = {
	{ "CloudWatchAlarm", RULE_ALARM, "AlarmName! AlarmStates WaitTime", 0, false, 0 },
	{ "Commands", RULE_COMMANDS, "", 5, false, 55 * MINUTE_MS },
	{ "DeploymentWindow", RULE_WINDOW, "Cron! TimeZone", 0, false, 0 },
	{ "LambdaInvoke", RULE_LAMBDA, "FunctionName! UserParameters", 5, true,
	  60 * MINUTE_MS },
	{ "VariableCheck", RULE_VARIABLE, "Variable! Value! Operator!", 0, true, 0 },
	{ NULL, RULE_VARIABLE, NULL, 0, false, 0 },
};

const struct rule_type *rule_type_find(struct json_object *id)
{
	const char *provider = json_opt_str(id, "provider", "");

	if (strcmp(json_opt_str(id, "owner", "AWS"), "AWS") != 0 ||
	    strcmp(json_opt_str(id, "version", "1"), "1") != 0)
		return NULL;
	for (const struct rule_type *t = rule_types; t->provider; t++) {
		if (strcmp(t->provider, provider) == 0)
			return t;
	}
	return NULL;
}

struct json_object *rule_type_id(const struct rule_type *type)
{
	struct json_object *id = json_object_new_object();

	json_put_str(id, "category", "Rule");
	json_put_str(id, "owner", "AWS");
	json_put_str(id, "provider", type->provider);
	json_put_str(id, "version", "1");
	return id;
}

struct json_object *rule_type_definition(const struct rule_type *type)
{
	struct json_object *def = json_object_new_object();
	struct json_object *counts = json_object_new_object();

	json_put_obj(def, "id", rule_type_id(type));
	json_put_obj(def, "ruleConfigurationProperties",
		     catalogue_properties(type->keys));
	json_put_i64(counts, "minimumCount", 0);
	json_put_i64(counts, "maximumCount", type->in_max);
	json_put_obj(def, "inputArtifactDetails", counts);
	return def;
}

/* ---- VariableCheck ---- */

static int matches(const char *text, const char *expression, bool *ret,
		   struct mh_err *err)
{
	struct pattern *p = NULL;
	struct mh_err why = MH_ERR_INIT;

	if (strlen(text) > RULE_MATCH_MAX_BYTES)
		return mh_err_set(err, MH_E_REFUSED,
				  "MATCHES looks at values of up to %zu bytes, this one "
				  "has %zu",
				  RULE_MATCH_MAX_BYTES, strlen(text));
	if (pattern_new(expression, &p, &why) != 0)
		return mh_err_set(err, MH_E_REFUSED,
				  "Value is no regular expression that is understood "
				  "here: %s",
				  why.text);
	*ret = pattern_matches(p, text, strlen(text));
	pattern_free(p);
	return 0;
}

int rule_compare(struct json_object *config, bool *ret_met, struct mh_err *err)
{
	const char *variable = json_opt_str(config, "Variable", "");
	const char *value = json_opt_str(config, "Value", "");
	const char *op = json_opt_str(config, "Operator", "");

	if (strcmp(op, "EQ") == 0)
		*ret_met = strcmp(variable, value) == 0;
	else if (strcmp(op, "NE") == 0)
		*ret_met = strcmp(variable, value) != 0;
	else if (strcmp(op, "CONTAINS") == 0)
		*ret_met = strstr(variable, value) != NULL;
	else if (strcmp(op, "MATCHES") == 0)
		return matches(variable, value, ret_met, err);
	else
		return mh_err_set(err, MH_E_REFUSED,
				  "Operator is '%.40s': it must be EQ, NE, CONTAINS or "
				  "MATCHES",
				  op);
	return 0;
}

/* ---- DeploymentWindow ---- */

int rule_window(struct json_object *config, int64_t at_ms, bool *ret_met,
		struct mh_err *err)
{
	const char *name = json_opt_str(config, "TimeZone", NULL);
	CLEAN(zone) struct zone *zone = NULL;
	struct mh_err why = MH_ERR_INIT;
	struct cron cron;

	if (cron_parse(json_opt_str(config, "Cron", ""), CRON_QUARTZ, &cron, &why) != 0)
		return mh_err_set(err, MH_E_REFUSED, "Cron: %s", why.text);
	if (name && zone_open(name, &zone, &why) != 0)
		return mh_err_set(err, MH_E_REFUSED, "TimeZone: %s", why.text);
	*ret_met = cron_matches(&cron, zone, at_ms);
	return 0;
}

/* ---- CloudWatchAlarm ---- */

bool rule_is_alarm_state(const char *state, size_t len)
{
	static const char *const states[] = { "OK", "ALARM", "INSUFFICIENT_DATA" };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strlen(states[i]) == len && memcmp(states[i], state, len) == 0)
			return true;
	}
	return false;
}

int rule_alarm_wants(struct json_object *config, bool failure, const char *state,
		     bool *ret_met, struct mh_err *err)
{
	const char *word = json_opt_str(config, "AlarmStates", NULL);
	bool met = false, any = false;

	if (!word)
		word = failure ? "ALARM" : "OK,INSUFFICIENT_DATA";
	for (size_t len; *word; word += len) {
		len = strspn(word, " ,");
		if (len > 0)
			continue;
		len = strcspn(word, " ,");
		if (!rule_is_alarm_state(word, len))
			return mh_err_set(
				err, MH_E_REFUSED,
				"AlarmStates holds '%.*s': a state is OK, ALARM "
				"or INSUFFICIENT_DATA",
				len > 40 ? 40 : (int)len, word);
		any = true;
		met |= strlen(state) == len && memcmp(word, state, len) == 0;
	}
	if (!any)
		return mh_err_set(err, MH_E_REFUSED, "AlarmStates names no state");
	*ret_met = met;
	return 0;
}

int rule_alarm_wait_ms(struct json_object *config, int64_t *ret_ms, struct mh_err *err)
{
	const char *text = json_opt_str(config, "WaitTime", NULL);
	struct mh_err why = MH_ERR_INIT;
	int64_t minutes = 0;

	if (text &&
	    str_to_i64(text, 0, WAIT_MAX_MINUTES, "WaitTime", &minutes, &why) != 0)
		return mh_err_set(err, MH_E_REFUSED, "WaitTime, in minutes: %s",
				  why.text);
	*ret_ms = minutes * MINUTE_MS;
	return 0;
}
