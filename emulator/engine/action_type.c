/* Action types as everybody but ListActionTypes sees them: found by id, and asked for
 * what their properties say. */
#include <string.h>

#include "emulator/engine/catalogue.h"
#include "emulator/engine/integration.h"
#include "emulator/store/action_types.h"
#include "emulator/type_name.h"
#include "lib/base/buf.h"
#include "lib/net/uri.h"

#define MASK            "****"
#define QUERY_VALUE_MAX 50 /* characters of PollForJobs' queryParam */
#define URL_MAX_BYTES   2048 /* what an answer can show */

static int load_custom(struct op_ctx *ctx, struct json_object *id,
		       struct action_type *ret, bool *ret_found, struct api_error *err)
{
	CLEAN(store_action_type) struct store_action_type row = { 0 };
	struct json_object *definition = NULL;
	struct mh_err e = MH_ERR_INIT;
	bool found;

	if (store_action_type_find(ctx->store, json_opt_str(id, "category", ""),
				   json_opt_str(id, "provider", ""),
				   json_opt_str(id, "version", ""), &row, &found,
				   &e) != 0)
		return api_fail_internal(err, &e);
	if (found && json_parse_object(row.definition, strlen(row.definition),
				       &definition, &e) != 0)
		return api_fail_internal(err, &e);
	if (found) {
		*ret = action_type_of(definition);
		ret->deleted = row.deleted_ms != 0;
	}
	*ret_found = found;
	return 0;
}

static int load_integration(struct op_ctx *ctx, struct json_object *id,
			    struct action_type *ret, bool *ret_found,
			    struct api_error *err)
{
	CLEAN(free) char *name = type_name_of(id);
	CLEAN(json) struct json_object *declaration = NULL;
	struct mh_err e = MH_ERR_INIT;
	bool allowed = false;

	if (integration_load(ctx, name, &declaration, &e) != 0)
		return api_fail_internal(err, &e);
	if (declaration) {
		integration_type(ctx, name, declaration, ret, &allowed);
		/* Like a deleted one: kept where it is, not available anew. */
		ret->deleted = !allowed;
	}
	*ret_found = declaration != NULL;
	return 0;
}

struct action_type action_type_of(struct json_object *definition)
{
	struct json_object *in = json_opt_object(definition, "inputArtifactDetails");
	struct json_object *out = json_opt_object(definition, "outputArtifactDetails");

	return (struct action_type){
		.definition = definition,
		.in_max = json_opt_i64(in, "maximumCount", 0),
		.out_max = json_opt_i64(out, "maximumCount", 0),
	};
}

struct action_type action_type_of_entry(const struct catalogue_entry *entry)
{
	struct action_type t = action_type_of(catalogue_definition(entry));

	t.open = catalogue_is_open(entry);
	t.in_max = entry->in_max;
	t.out_max = entry->out_max;
	return t;
}

int action_type_load(struct op_ctx *ctx, struct json_object *id, struct action_type *ret,
		     bool *ret_found, struct api_error *err)
{
	const char *owner = json_opt_str(id, "owner", "");
	const struct catalogue_entry *entry;

	if (strcmp(owner, "Custom") == 0)
		return load_custom(ctx, id, ret, ret_found, err);
	entry = catalogue_find(json_opt_str(id, "category", ""), owner,
			       json_opt_str(id, "provider", ""),
			       json_opt_str(id, "version", ""));
	if (entry == NULL)
		return load_integration(ctx, id, ret, ret_found, err);
	*ret = action_type_of_entry(entry);
	*ret_found = true;
	return 0;
}

int action_type_not_available(struct json_object *id, struct api_error *err)
{
	return api_fail(
		err, "ActionTypeNotFoundException",
		"ActionType (Category: '%s', Owner: '%s', Provider: '%s', Version: '%s')"
		" is not available",
		json_opt_str(id, "category", ""), json_opt_str(id, "owner", ""),
		json_opt_str(id, "provider", ""), json_opt_str(id, "version", ""));
}

int action_type_check_counts(struct json_object *counts, struct api_error *err)
{
	int64_t min = json_opt_i64(counts, "minimumCount", 0);
	int64_t max = json_opt_i64(counts, "maximumCount", 0);

	if (max >= min)
		return 0;
	return api_fail(
		err, "ValidationException",
		"Maximum Number of Artifacts (%lld) has to be greater than or equal to "
		"minimum (%lld).",
		(long long)max, (long long)min);
}

void action_type_done(struct action_type *t)
{
	json_object_put(t->definition);
	t->definition = NULL;
}

static struct json_object *properties_of(const struct action_type *t)
{
	return json_opt_array(t->definition, "actionConfigurationProperties");
}

/* The property of that name, or NULL. */
static struct json_object *property_of(const struct action_type *t, const char *name)
{
	struct json_object *list = properties_of(t);
	size_t count = list != NULL ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		if (strcmp(json_opt_str(p, "name", ""), name) == 0)
			return p;
	}
	return NULL;
}

const char *action_type_queryable(const struct action_type *t)
{
	struct json_object *list = properties_of(t);
	size_t count = list != NULL ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		if (json_opt_bool(p, "queryable", false))
			return json_opt_str(p, "name", NULL);
	}
	return NULL;
}

/* ---- values ---- */

static bool is_number(const char *text)
{
	CLEAN(json) struct json_object *value = NULL;
	struct mh_err e = MH_ERR_INIT;

	return strpbrk(text, " \t\r\n") == NULL &&
	       json_parse(text, strlen(text), &value, &e) == 0 &&
	       (json_object_is_type(value, json_type_int) ||
		json_object_is_type(value, json_type_double));
}

static bool can_be_asked_for(const char *text, size_t max)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_-";
	size_t len = strlen(text);

	return len >= 1 && len <= max && strspn(text, chars) == len;
}

enum value_fault property_judge(struct json_object *property, const char *value,
				size_t queryable_max)
{
	const char *type = json_opt_str(property, "type", "String");

	if (strcmp(type, "Number") == 0 && !is_number(value))
		return VALUE_NO_NUMBER;
	if (strcmp(type, "Boolean") == 0 && strcmp(value, "true") != 0 &&
	    strcmp(value, "false") != 0)
		return VALUE_NO_BOOLEAN;
	if (json_opt_bool(property, "queryable", false) &&
	    !can_be_asked_for(value, queryable_max))
		return VALUE_NOT_QUERYABLE;
	return VALUE_FITS;
}

int action_type_check_resolved(const struct action_type *t,
			       struct json_object *configuration, struct mh_err *err)
{
	static const char *const faults[] = {
		[VALUE_NO_NUMBER] = "is not a number",
		[VALUE_NO_BOOLEAN] = "is neither 'true' nor 'false'",
		[VALUE_NOT_QUERYABLE] = "cannot be asked for by a worker's queryParam, "
					"which takes 1 to 50 characters of a-z, A-Z, "
					"0-9, _ and -",
	};

	json_object_object_foreach(configuration, key, value)
	{
		enum value_fault fault = property_judge(property_of(t, key),
							json_object_get_string(value),
							QUERY_VALUE_MAX);

		/* The value is not shown: it may be secret. */
		if (fault != VALUE_FITS)
			return mh_err_set(err, MH_E_REFUSED,
					  "configuration %s: the value %s", key,
					  faults[fault]);
	}
	return 0;
}

struct json_object *action_type_mask(const struct action_type *t,
				     struct json_object *configuration)
{
	struct json_object *out = json_object_new_object();

	if (configuration == NULL)
		return out;
	json_object_object_foreach(configuration, key, value)
	{
		if (json_opt_bool(property_of(t, key), "secret", false))
			json_put_str(out, key, MASK);
		else
			json_put_obj(out, key, json_object_get(value));
	}
	return out;
}

/* What stands for the placeholder between the braces, borrowed; NULL when there is
 * nothing that may be shown. */
static const char *placeholder_value(const struct action_type *t, const char *name,
				     struct json_object *configuration,
				     const char *external_id)
{
	struct json_object *property;

	if (strcmp(name, "ExternalExecutionId") == 0)
		return external_id;
	if (!str_starts_with(name, "Config:"))
		return NULL;
	property = property_of(t, name + strlen("Config:"));
	if (property == NULL || json_opt_bool(property, "secret", false))
		return NULL;
	return json_opt_str(configuration, name + strlen("Config:"), NULL);
}

char *action_type_url(const struct action_type *t, const char *which,
		      struct json_object *configuration,
		      const char *external_execution_id)
{
	CLEAN(buf) struct buf out = BUF_INIT(URL_MAX_BYTES);
	const char *p = json_opt_str(json_opt_object(t->definition, "settings"), which,
				     NULL);
	struct mh_err full = MH_ERR_INIT;

	if (p == NULL)
		return NULL;
	for (const char *begin; (begin = strchr(p, '{')) != NULL;) {
		const char *end = strchr(begin, '}');
		CLEAN(free) char *name = NULL, *escaped = NULL;
		const char *value;

		if (end == NULL)
			break;
		name = mh_strndup(begin + 1, (size_t)(end - begin - 1));
		value = placeholder_value(t, name, configuration, external_execution_id);
		if (value == NULL || value[0] == '\0')
			return NULL;
		escaped = uri_encode(value, strlen(value), false);
		if (buf_add(&out, p, (size_t)(begin - p), &full) != 0 ||
		    buf_add(&out, escaped, strlen(escaped), &full) != 0)
			return NULL;
		p = end + 1;
	}
	if (buf_add(&out, p, strlen(p), &full) != 0)
		return NULL;
	return buf_steal(&out);
}
