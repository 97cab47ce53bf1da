#include "emulator/engine/integration.h"

#include <string.h>

#include "emulator/settings.h"
#include "emulator/store/integrations.h"
#include "emulator/third_party.h"
#include "emulator/type_name.h"

#define SHOWN_COUNT_MAX 5 /* the model's ActionType knows no more artifacts */
#define OPEN_COUNT_MAX  5

static size_t list_length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

static struct json_object *counts(int64_t min, int64_t max)
{
	struct json_object *o = json_object_new_object();

	json_put_i64(o, "minimumCount", min);
	json_put_i64(o, "maximumCount", max);
	return o;
}

static struct json_object *list_of(const char *item)
{
	struct json_object *list = json_object_new_array();

	json_object_array_add(list, json_object_new_string(item));
	return list;
}

/* {"type":"JobWorker","configuration":{"jobWorkerExecutorConfiguration":{key:[item]}}} */
static struct json_object *job_worker(const char *key, const char *item)
{
	struct json_object *executor = json_object_new_object();
	struct json_object *configuration = json_object_new_object();
	struct json_object *worker = json_object_new_object();

	json_put_obj(worker, key, list_of(item));
	json_put_obj(configuration, "jobWorkerExecutorConfiguration", worker);
	json_put_obj(executor, "configuration", configuration);
	json_put_str(executor, "type", "JobWorker");
	return executor;
}

/* ---- declarations ---- */

/* Of a row of the settings: anything goes. */
static struct json_object *open_declaration(const struct settings *s, const char *type)
{
	struct json_object *o = json_object_new_object();
	struct json_object *permissions = json_object_new_object();

	json_put_obj(permissions, "allowedAccounts", list_of("*"));
	json_put_obj(o, "executor", job_worker("pollingAccounts", s->account));
	json_put_obj(o, "id", type_name_id(type));
	json_put_obj(o, "inputArtifactDetails", counts(0, OPEN_COUNT_MAX));
	json_put_obj(o, "outputArtifactDetails", counts(0, OPEN_COUNT_MAX));
	json_put_obj(o, "permissions", permissions);
	return o;
}

static int declared(struct op_ctx *ctx, const char *type, struct json_object **ret,
		    struct mh_err *err)
{
	CLEAN(free) char *text = NULL;

	*ret = NULL;
	if (integrations_find(ctx->store, type, &text, err) != 0)
		return -1;
	return text ? json_parse_object(text, strlen(text), ret, err) : 0;
}

int integration_load(struct op_ctx *ctx, const char *type, struct json_object **ret,
		     struct mh_err *err)
{
	struct json_object *declaration;

	if (declared(ctx, type, &declaration, err) != 0)
		return -1;
	if (!declaration && third_party_of(ctx->settings, type))
		declaration = open_declaration(ctx->settings, type);
	*ret = declaration;
	return 0;
}

static int each_declared(struct op_ctx *ctx,
			 void (*each)(void *arg, const char *type,
				      struct json_object *declaration),
			 void *arg, struct mh_err *err)
{
	CLEAN(stmt) struct stmt q;
	int rc;

	integrations_list(ctx->store, &q);
	while ((rc = stmt_next(&q, err)) == 1) {
		CLEAN(json) struct json_object *declaration = NULL;
		const char *text = stmt_text(&q, 1);

		if (json_parse_object(text, strlen(text), &declaration, err) != 0)
			return -1;
		each(arg, stmt_text(&q, 0), declaration);
	}
	return rc;
}

int integration_each(struct op_ctx *ctx,
		     void (*each)(void *arg, const char *type,
				  struct json_object *declaration),
		     void *arg, struct mh_err *err)
{
	const struct settings_third_party *rows = ctx->settings->third_parties.items;

	if (each_declared(ctx, each, arg, err) != 0)
		return -1;
	for (size_t i = 0; i < ctx->settings->third_parties.count; i++) {
		CLEAN(json) struct json_object *declaration = NULL;

		if (declared(ctx, rows[i].type, &declaration, err) != 0)
			return -1;
		if (declaration)
			continue; /* shown above */
		declaration = open_declaration(ctx->settings, rows[i].type);
		each(arg, rows[i].type, declaration);
	}
	return 0;
}

/* ---- ActionType and back ---- */

static struct json_object *property_of_declaration(struct json_object *from)
{
	struct json_object *p = json_object_new_object();

	json_put_str(p, "name", json_opt_str(from, "name", ""));
	json_put_bool(p, "required", !json_opt_bool(from, "optional", false));
	json_put_bool(p, "key", json_opt_bool(from, "key", false));
	json_put_bool(p, "secret", json_opt_bool(from, "noEcho", false));
	json_put_bool(p, "queryable", json_opt_bool(from, "queryable", false));
	return p;
}

static struct json_object *property_of_type(struct json_object *from)
{
	struct json_object *p = json_object_new_object();

	json_put_str(p, "name", json_opt_str(from, "name", ""));
	json_put_bool(p, "optional", !json_opt_bool(from, "required", false));
	json_put_bool(p, "key", json_opt_bool(from, "key", false));
	json_put_bool(p, "noEcho", json_opt_bool(from, "secret", false));
	json_put_bool(p, "queryable", json_opt_bool(from, "queryable", false));
	return p;
}

static struct json_object *properties(
	struct json_object *from, struct json_object *(*convert)(struct json_object *))
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < list_length(from); i++)
		json_object_array_add(list, convert(json_object_array_get_idx(from, i)));
	return list;
}

static struct json_object *settings_of(struct json_object *urls)
{
	static const char *const keys[][2] = {
		{ "thirdPartyConfigurationUrl", "configurationUrl" },
		{ "entityUrlTemplate", "entityUrlTemplate" },
		{ "executionUrlTemplate", "executionUrlTemplate" },
		{ "revisionUrlTemplate", "revisionUrlTemplate" },
	};
	struct json_object *o;

	if (!urls || json_object_object_length(urls) == 0)
		return NULL;
	o = json_object_new_object();
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_put_str(o, keys[i][0], json_opt_str(urls, keys[i][1], NULL));
	return o;
}

static int64_t shown(int64_t count)
{
	return count < SHOWN_COUNT_MAX ? count : SHOWN_COUNT_MAX;
}

static struct json_object *definition_of(struct json_object *declaration)
{
	struct json_object *o = json_object_new_object();
	struct json_object *in = json_opt_object(declaration, "inputArtifactDetails");
	struct json_object *out = json_opt_object(declaration, "outputArtifactDetails");

	json_put_obj(o, "id", json_object_get(json_opt_object(declaration, "id")));
	json_put_obj(o, "settings", settings_of(json_opt_object(declaration, "urls")));
	json_put_obj(o, "actionConfigurationProperties",
		     properties(json_opt_array(declaration, "properties"),
				property_of_declaration));
	json_put_obj(o, "inputArtifactDetails",
		     counts(shown(json_opt_i64(in, "minimumCount", 0)),
			    shown(json_opt_i64(in, "maximumCount", 0))));
	json_put_obj(o, "outputArtifactDetails",
		     counts(shown(json_opt_i64(out, "minimumCount", 0)),
			    shown(json_opt_i64(out, "maximumCount", 0))));
	return o;
}

struct json_object *integration_of_catalogue(struct json_object *definition)
{
	static const char *const kept[] = { "id", "inputArtifactDetails",
					    "outputArtifactDetails" };
	struct json_object *o = json_object_new_object();

	json_put_obj(
		o, "executor",
		job_worker("pollingServicePrincipals", "codepipeline.amazonaws.com"));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_put_obj(o, kept[i],
			     json_object_get(json_opt_object(definition, kept[i])));
	json_put_obj(
		o, "properties",
		properties(json_opt_array(definition, "actionConfigurationProperties"),
			   property_of_type));
	return o;
}

/* ---- who may ---- */

/* An absent list names everybody. */
static bool names(struct json_object *list, const char *account)
{
	for (size_t i = 0; i < list_length(list); i++) {
		const char *item = json_object_get_string(
			json_object_array_get_idx(list, i));

		if (strcmp(item, "*") == 0 || strcmp(item, account) == 0)
			return true;
	}
	return !list;
}

void integration_type(struct op_ctx *ctx, const char *type,
		      struct json_object *declaration, struct action_type *ret,
		      bool *ret_allowed)
{
	struct json_object *executor = json_opt_object(declaration, "executor");
	struct json_object *worker = json_opt_object(
		json_opt_object(executor, "configuration"),
		"jobWorkerExecutorConfiguration");
	const char *account = ctx->settings->account;

	*ret = action_type_of(definition_of(declaration));
	ret->in_max = json_opt_i64(json_opt_object(declaration, "inputArtifactDetails"),
				   "maximumCount", 0);
	ret->out_max = json_opt_i64(json_opt_object(declaration, "outputArtifactDetails"),
				    "maximumCount", 0);
	/* Only the open ones of the settings name no properties at all. */
	ret->open = third_party_of(ctx->settings, type) &&
		    !json_opt_array(declaration, "properties");
	ret->polled = strcmp(json_opt_str(executor, "type", ""), "JobWorker") == 0;
	ret->may_poll = names(json_opt_array(worker, "pollingAccounts"), account);
	ret->job_timeout_ms = json_opt_i64(executor, "jobTimeout", 0) * 1000;
	*ret_allowed = names(json_opt_array(json_opt_object(declaration, "permissions"),
					    "allowedAccounts"),
			     account);
}
