/* CreateCustomActionType, DeleteCustomActionType, ListActionTypes (semantics D). */
#include <string.h>

#include "emulator/api/ops.h"
#include "emulator/api/page.h"
#include "emulator/api/tags.h"
#include "emulator/engine/catalogue.h"
#include "emulator/engine/integration.h"
#include "emulator/settings.h"
#include "emulator/store/action_types.h"
#include "lib/base/buf.h"

#define INVALID           "ValidationException"
#define CUSTOM_TYPES_MAX  50
#define LIST_PAGE_ENTRIES 50
#define NAMES_MAX_BYTES   4096 /* ten names of 50 characters */

/* ---- the definition (D1, D4) ---- */

static int check_category(const char *category, struct api_error *err)
{
	static const char *const allowed[] = { "Source", "Build", "Deploy", "Test",
					       "Invoke" };

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (strcmp(category, allowed[i]) == 0)
			return 0;
	}
	return api_fail(err, INVALID,
			"A custom action type cannot have the category '%s': Source, "
			"Build, Deploy, "
			"Test and Invoke are available",
			category);
}

static size_t list_length(struct json_object *list)
{
	return list != NULL ? json_object_array_length(list) : 0;
}

static int check_names(struct json_object *properties, struct api_error *err)
{
	CLEAN(json) struct json_object *seen = json_object_new_object();

	for (size_t i = 0; i < list_length(properties); i++) {
		const char *name = json_opt_str(json_object_array_get_idx(properties, i),
						"name", "");

		if (json_opt_bool(seen, name, false))
			return api_fail(
				err, INVALID,
				"Configuration property '%s' is declared more than once",
				name);
		json_put_bool(seen, name, true);
	}
	return 0;
}

static int check_queryable(struct json_object *properties, struct api_error *err)
{
	CLEAN(buf) struct buf names = BUF_INIT(NAMES_MAX_BYTES);
	size_t queryable = 0;

	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);
		const char *name = json_opt_str(p, "name", "");

		if (!json_opt_bool(p, "queryable", false))
			continue;
		if (!json_opt_bool(p, "required", false) ||
		    json_opt_bool(p, "secret", false))
			return api_fail(err, INVALID,
					"Invalid queryable property '%s'. Queryable "
					"configuration "
					"properties must be required and non-secret.",
					name);
		buf_printf(&names, "%s%s", queryable++ == 0 ? "" : ", ", name);
	}
	if (queryable > 1)
		return api_fail(err, INVALID,
				"Multiple queryable configuration properties found with "
				"names '%s'. "
				"Up to one queryable property may be specified.",
				buf_text(&names));
	return 0;
}

/* {Config:name}, of a property that is always there and may be shown. */
static bool may_be_shown(struct json_object *properties, const char *name)
{
	for (size_t i = 0; i < list_length(properties); i++) {
		struct json_object *p = json_object_array_get_idx(properties, i);

		if (strcmp(json_opt_str(p, "name", ""), name) == 0)
			return json_opt_bool(p, "required", false) &&
			       !json_opt_bool(p, "secret", false);
	}
	return false;
}

static int check_placeholder(const char *template, const char *name,
			     struct json_object *properties, struct api_error *err)
{
	if (strcmp(name, "ExternalExecutionId") == 0 &&
	    strcmp(template, "executionUrlTemplate") == 0)
		return 0;
	if (str_starts_with(name, "Config:")) {
		if (may_be_shown(properties, name + strlen("Config:")))
			return 0;
		return api_fail(err, INVALID,
				"settings.%s: {%s} does not name a required, non-secret "
				"configuration "
				"property",
				template, name);
	}
	return api_fail(
		err, INVALID,
		"settings.%s: {%s} is not available there: {Config:property} is, and "
		"{ExternalExecutionId} in executionUrlTemplate",
		template, name);
}

static int check_template(struct json_object *settings, const char *template,
			  struct json_object *properties, struct api_error *err)
{
	const char *p = json_opt_str(settings, template, "");

	while ((p = strpbrk(p, "{}")) != NULL) {
		const char *end = *p == '{' ? strpbrk(p + 1, "{}") : NULL;
		CLEAN(free) char *name = NULL;

		if (end == NULL || *end != '}')
			return api_fail(err, INVALID,
					"settings.%s: a brace without its partner",
					template);
		name = mh_strndup(p + 1, (size_t)(end - p - 1));
		if (check_placeholder(template, name, properties, err) != 0)
			return -1;
		p = end + 1;
	}
	return 0;
}

static int check_definition(struct json_object *in, struct api_error *err)
{
	static const char *const templates[] = { "entityUrlTemplate",
						 "executionUrlTemplate",
						 "revisionUrlTemplate" };
	struct json_object *properties = json_opt_array(in, "configurationProperties");
	struct json_object *settings = json_opt_object(in, "settings");

	if (check_category(json_opt_str(in, "category", ""), err) != 0 ||
	    action_type_check_counts(json_opt_object(in, "inputArtifactDetails"), err) !=
		    0 ||
	    action_type_check_counts(json_opt_object(in, "outputArtifactDetails"), err) !=
		    0 ||
	    check_names(properties, err) != 0 || check_queryable(properties, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
		if (check_template(settings, templates[i], properties, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- the API's ActionType, member by member in a fixed form, so that the same input
 * gives the same text ---- */

static void copy_str(struct json_object *to, struct json_object *from, const char *key)
{
	json_put_str(to, key, json_opt_str(from, key, NULL));
}

static struct json_object *make_settings(struct json_object *in)
{
	static const char *const keys[] = { "thirdPartyConfigurationUrl",
					    "entityUrlTemplate", "executionUrlTemplate",
					    "revisionUrlTemplate" };
	struct json_object *out = json_object_new_object();

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		copy_str(out, in, keys[i]);
	if (json_object_object_length(out) > 0)
		return out;
	json_object_put(out);
	return NULL;
}

static struct json_object *make_properties(struct json_object *in)
{
	static const char *const flags[] = { "required", "key", "secret", "queryable" };
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < list_length(in); i++) {
		struct json_object *from = json_object_array_get_idx(in, i);
		struct json_object *p = json_object_new_object();

		copy_str(p, from, "name");
		for (size_t f = 0; f < ARRAY_LEN(flags); f++)
			json_put_bool(p, flags[f], json_opt_bool(from, flags[f], false));
		copy_str(p, from, "description");
		copy_str(p, from, "type");
		(void)json_object_array_add(out, p); /* fails without memory alone */
	}
	return out;
}

static struct json_object *make_counts(struct json_object *in)
{
	struct json_object *out = json_object_new_object();

	json_put_i64(out, "minimumCount", json_opt_i64(in, "minimumCount", 0));
	json_put_i64(out, "maximumCount", json_opt_i64(in, "maximumCount", 0));
	return out;
}

static struct json_object *make_definition(struct json_object *in)
{
	struct json_object *out = json_object_new_object();
	struct json_object *id = json_object_new_object();

	copy_str(id, in, "category");
	json_put_str(id, "owner", "Custom"); /* always (D2) */
	copy_str(id, in, "provider");
	copy_str(id, in, "version");
	json_put_obj(out, "id", id);
	json_put_obj(out, "settings", make_settings(json_opt_object(in, "settings")));
	json_put_obj(out, "actionConfigurationProperties",
		     make_properties(json_opt_array(in, "configurationProperties")));
	json_put_obj(out, "inputArtifactDetails",
		     make_counts(json_opt_object(in, "inputArtifactDetails")));
	json_put_obj(out, "outputArtifactDetails",
		     make_counts(json_opt_object(in, "outputArtifactDetails")));
	return out;
}

/* ---- create (D2) ---- */

static int check_quota(struct op_ctx *ctx, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;
	int64_t live;

	if (store_action_type_count_live(ctx->store, &live, &e) != 0)
		return api_fail_internal(err, &e);
	if (live >= CUSTOM_TYPES_MAX)
		return api_fail(
			err, "LimitExceededException",
			"There can only be up to %d custom action types in a region",
			CUSTOM_TYPES_MAX);
	return 0;
}

/* The identity was used before: only the same definition is taken. */
static int create_again(struct op_ctx *ctx, const struct store_action_type *old,
			const char *definition, const char *tags, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	/* The service has ActionTypeAlreadyExistsException, but declares it for no
	 * operation: clients would not know it. */
	if (strcmp(old->definition, definition) != 0)
		return api_fail(err, INVALID,
				"ActionType (Category: '%s', Owner: 'Custom', Provider: "
				"'%s', Version: "
				"'%s') %s with another definition; use another version",
				old->category, old->provider, old->version,
				old->deleted_ms != 0 ? "was deleted, and existed"
						     : "already exists");
	if (old->deleted_ms == 0)
		return 0;
	if (check_quota(ctx, err) != 0)
		return -1;
	if (store_action_type_restore(ctx->store, old->category, old->provider,
				      old->version, tags, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

static int create_new(struct op_ctx *ctx, struct json_object *in, const char *definition,
		      const char *tags, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (check_quota(ctx, err) != 0)
		return -1;
	if (store_action_type_insert(ctx->store, json_opt_str(in, "category", ""),
				     json_opt_str(in, "provider", ""),
				     json_opt_str(in, "version", ""), definition, tags,
				     ctx->now_ms, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

static int check_tags(struct op_ctx *ctx, struct json_object *in, struct api_error *err)
{
	CLEAN(free)
	char *arn = mh_format("arn:aws:codepipeline:%s:%s:actiontype:Custom/%s/%s/%s",
			      ctx->settings->region, ctx->settings->account,
			      json_opt_str(in, "category", ""),
			      json_opt_str(in, "provider", ""),
			      json_opt_str(in, "version", ""));

	return tags_check(json_opt_array(in, "tags"), arn, err);
}

int op_create_custom_action_type(struct op_ctx *ctx, struct json_object *in,
				 struct json_object *out, struct api_error *err)
{
	CLEAN(store_action_type) struct store_action_type old = { 0 };
	CLEAN(json) struct json_object *definition = NULL;
	const char *tags = tags_text(json_opt_array(in, "tags"));
	struct mh_err e = MH_ERR_INIT;
	const char *text;
	bool found;
	int rc;

	if (check_definition(in, err) != 0 || check_tags(ctx, in, err) != 0)
		return -1;
	definition = make_definition(in);
	text = json_text(definition);
	if (store_action_type_find(ctx->store, json_opt_str(in, "category", ""),
				   json_opt_str(in, "provider", ""),
				   json_opt_str(in, "version", ""), &old, &found,
				   &e) != 0)
		return api_fail_internal(err, &e);
	rc = found ? create_again(ctx, &old, text, tags, err)
		   : create_new(ctx, in, text, tags, err);
	if (rc != 0)
		return -1;
	json_put_obj(out, "actionType", STEAL_PTR(definition));
	return tags_answer(out, found && old.deleted_ms == 0 ? old.tags : tags, err);
}

/* ---- delete ---- */

int op_delete_custom_action_type(struct op_ctx *ctx, struct json_object *in,
				 struct json_object *out, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)out; /* this operation has no output */
	if (store_action_type_delete(ctx->store, json_opt_str(in, "category", ""),
				     json_opt_str(in, "provider", ""),
				     json_opt_str(in, "version", ""), ctx->now_ms,
				     &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

/* ---- list ---- */

/* The listing: custom types first, so that the first page has them, then the
 * catalogue. A key orders a type within it. */
static char *list_key(struct json_object *definition)
{
	struct json_object *id = json_opt_object(definition, "id");
	const char *owner = json_opt_str(id, "owner", "");

	return mh_format("%d/%s/%s/%s/%s", strcmp(owner, "Custom") == 0 ? 0 : 1,
			 json_opt_str(id, "category", ""), owner,
			 json_opt_str(id, "provider", ""),
			 json_opt_str(id, "version", ""));
}

static int add_custom(struct op_ctx *ctx, struct json_object *list, struct api_error *err)
{
	CLEAN(stmt) struct stmt q;
	struct mh_err e = MH_ERR_INIT;
	int rc;

	store_action_type_list(ctx->store, &q);
	while ((rc = stmt_next(&q, &e)) == 1) {
		const char *text = stmt_text(&q, 0);
		struct json_object *definition = NULL;

		if (json_parse_object(text, strlen(text), &definition, &e) != 0)
			return api_fail_internal(err, &e);
		(void)json_object_array_add(list,
					    definition); /* fails without memory alone */
	}
	return rc == 0 ? 0 : api_fail_internal(err, &e);
}

static int by_key(const void *a, const void *b)
{
	struct json_object *const *x = a, *const *y = b;
	CLEAN(free) char *x_key = list_key(*x);
	CLEAN(free) char *y_key = list_key(*y);

	return strcmp(x_key, y_key);
}

static bool wants(struct json_object *in, const char *owner)
{
	const char *filter = json_opt_str(in, "actionOwnerFilter", NULL);

	return filter == NULL || strcmp(filter, owner) == 0;
}

struct integrations {
	struct op_ctx *ctx;
	struct json_object *in, *list;
};

static void add_integration(void *arg, const char *type, struct json_object *declaration)
{
	const struct integrations *i = arg;
	const char *owner = json_opt_str(json_opt_object(declaration, "id"), "owner", "");
	struct action_type t = { 0 };
	bool allowed;

	if (!wants(i->in, owner))
		return;
	integration_type(i->ctx, type, declaration, &t, &allowed);
	if (allowed) /* fails without memory alone */
		(void)json_object_array_add(i->list, json_object_get(t.definition));
	action_type_done(&t);
}

static int collect(struct op_ctx *ctx, struct json_object *in, struct json_object *list,
		   struct api_error *err)
{
	const char *region = json_opt_str(in, "regionFilter", ctx->settings->region);
	struct integrations integrations = { .ctx = ctx, .in = in, .list = list };
	struct mh_err e = MH_ERR_INIT;

	/* AWS has its types everywhere; ours are in the one region there is. */
	if (wants(in, "Custom") && strcmp(region, ctx->settings->region) == 0 &&
	    add_custom(ctx, list, err) != 0)
		return -1;
	if (integration_each(ctx, add_integration, &integrations, &e) != 0)
		return api_fail_internal(err, &e);
	for (const struct catalogue_entry *c = catalogue; wants(in, "AWS") && c->category;
	     c++)
		(void)json_object_array_add(list, catalogue_definition(c)); /* as above */
	json_object_array_sort(list, by_key);
	return 0;
}

int op_list_action_types(struct op_ctx *ctx, struct json_object *in,
			 struct json_object *out, struct api_error *err)
{
	CLEAN(json) struct json_object *all = json_object_new_array();
	CLEAN(free)
	char *what = mh_format("ListActionTypes/%s/%s",
			       json_opt_str(in, "actionOwnerFilter", ""),
			       json_opt_str(in, "regionFilter", ""));
	CLEAN(free) char *after = NULL, *last = NULL;
	struct json_object *page = json_object_new_array();

	json_put_obj(out, "actionTypes", page);
	if (page_open(ctx, what, json_opt_str(in, "nextToken", NULL), &after, err) != 0 ||
	    collect(ctx, in, all, err) != 0)
		return -1;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *definition = json_object_array_get_idx(all, i);
		CLEAN(free) char *key = list_key(definition);

		if (after != NULL && strcmp(key, after) <= 0)
			continue;
		if (json_object_array_length(page) == LIST_PAGE_ENTRIES) {
			CLEAN(free) char *token = page_token(ctx, what, last);

			json_put_str(out, "nextToken", token);
			break;
		}
		(void)json_object_array_add(page,
					    json_object_get(definition)); /* as above */
		free(last);
		last = STEAL_PTR(key);
	}
	return 0;
}
