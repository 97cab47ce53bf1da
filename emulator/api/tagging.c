/* TagResource, UntagResource, ListTagsForResource. */
#include <string.h>

#include "emulator/api/arn.h"
#include "emulator/api/ops.h"
#include "emulator/api/page.h"
#include "emulator/api/tags.h"

/* The resource that the input names, and its tags as a list. */
struct resource {
	const char *arn; /* borrowed */
	struct tagged key;
	struct json_object *tags;
};

static void clean_resource(struct resource *r)
{
	tagged_done(&r->key);
	json_object_put(r->tags);
}

static int find(struct op_ctx *ctx, struct json_object *in, struct resource *r,
		struct api_error *err)
{
	CLEAN(free) char *text = NULL;
	struct mh_err e = MH_ERR_INIT;
	bool found;

	r->arn = json_opt_str(in, "resourceArn", "");
	if (arn_parse(ctx, r->arn, &r->key, err) != 0)
		return -1;
	if (store_tags_get(ctx->store, &r->key, &text, &found, &e) != 0)
		return api_fail_internal(err, &e);
	if (!found)
		return api_fail(err, "ResourceNotFoundException",
				"The resource '%.256s' was not found", r->arn);
	if (text == NULL) {
		r->tags = json_object_new_array();
		return 0;
	}
	return json_parse(text, strlen(text), &r->tags, &e) == 0
		       ? 0
		       : api_fail_internal(err, &e);
}

static int save(struct op_ctx *ctx, const struct resource *r, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (store_tags_set(ctx->store, &r->key, tags_text(r->tags), &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

static const char *key_at(struct json_object *tags, size_t i)
{
	return json_opt_str(json_object_array_get_idx(tags, i), "key", "");
}

/* Its index, or the list's length. */
static size_t index_of(struct json_object *tags, const char *key)
{
	size_t count = json_object_array_length(tags);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(key_at(tags, i), key) == 0)
			return i;
	}
	return count;
}

int op_tag_resource(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		    struct api_error *err)
{
	struct json_object *given = json_opt_array(in, "tags");
	CLEAN(resource) struct resource r = { 0 };

	(void)out; /* an empty object */
	if (find(ctx, in, &r, err) != 0 || tags_check(given, r.arn, err) != 0)
		return -1;
	for (size_t i = 0; i < json_object_array_length(given); i++) {
		struct json_object *tag = json_object_array_get_idx(given, i);

		/* fails without memory alone */
		(void)json_object_array_put_idx(
			r.tags, index_of(r.tags, key_at(given, i)), json_object_get(tag));
	}
	/* What was there counts, too. */
	if (tags_check(r.tags, r.arn, err) != 0)
		return -1;
	return save(ctx, &r, err);
}

int op_untag_resource(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		      struct api_error *err)
{
	struct json_object *keys = json_opt_array(in, "tagKeys");
	CLEAN(resource) struct resource r = { 0 };

	(void)out; /* an empty object */
	if (find(ctx, in, &r, err) != 0)
		return -1;
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		const char *key = json_object_get_string(
			json_object_array_get_idx(keys, i));
		size_t at = index_of(r.tags, key);

		if (tags_key_is_reserved(key))
			return api_fail(
				err, "InvalidTagsException",
				"Tag key '%s' begins with 'aws:', which is reserved",
				key);
		if (at < json_object_array_length(r.tags))
			(void)json_object_array_del_idx(r.tags, at, 1); /* it is there */
	}
	return save(ctx, &r, err);
}

static int by_key(const void *a, const void *b)
{
	struct json_object *const *x = a, *const *y = b;

	return strcmp(json_opt_str(*x, "key", ""), json_opt_str(*y, "key", ""));
}

int op_list_tags_for_resource(struct op_ctx *ctx, struct json_object *in,
			      struct json_object *out, struct api_error *err)
{
	struct json_object *page = json_object_new_array();
	int64_t limit = json_opt_i64(in, "maxResults", TAGS_MAX);
	CLEAN(resource) struct resource r = { 0 };
	CLEAN(free) char *what = NULL, *after = NULL;

	json_put_obj(out, "tags", page);
	if (find(ctx, in, &r, err) != 0)
		return -1;
	what = mh_format("ListTagsForResource/%s", r.arn);
	if (page_open(ctx, what, json_opt_str(in, "nextToken", NULL), &after, err) != 0)
		return -1;
	json_object_array_sort(r.tags, by_key);
	for (size_t i = 0; i < json_object_array_length(r.tags); i++) {
		struct json_object *tag = json_object_array_get_idx(r.tags, i);

		if (after != NULL && strcmp(key_at(r.tags, i), after) <= 0)
			continue;
		if ((int64_t)json_object_array_length(page) == limit) {
			CLEAN(free)
			char *token = page_token(ctx, what, key_at(r.tags, i - 1));

			json_put_str(out, "nextToken", token);
			break;
		}
		(void)json_object_array_add(page, json_object_get(tag)); /* as above */
	}
	return 0;
}
