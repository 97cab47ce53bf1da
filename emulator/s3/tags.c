/* An object's tags: by header at a PUT, or by GetObjectTagging and its like. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/s3/xml_read.h"
#include "lib/base/str.h"
#include "lib/net/uri.h"

#define TAGS_MAX      10
#define TAG_KEY_MAX   128 /* characters, as S3 counts */
#define TAG_VALUE_MAX 256

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* NULL, or what S3 says of it. */
static const char *add_tag(struct json_object *tags, const char *key, const char *value)
{
	if (key[0] == '\0' || characters(key) > TAG_KEY_MAX ||
	    !str_is_utf8(key, strlen(key)))
		return "The TagKey you have provided is invalid";
	if (characters(value) > TAG_VALUE_MAX || !str_is_utf8(value, strlen(value)))
		return "The TagValue you have provided is invalid";
	if (json_opt_str(tags, key, NULL) != NULL)
		return "Cannot provide multiple Tags with the same key";
	if (json_object_object_length(tags) == TAGS_MAX)
		return "Object tags cannot be greater than 10";
	json_put_str(tags, key, value);
	return NULL;
}

static char *tags_text(struct json_object *tags)
{
	return json_object_object_length(tags) > 0 ? mh_strdup(json_text(tags)) : NULL;
}

int64_t tags_count(const char *tags)
{
	CLEAN(json) struct json_object *object = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (tags == NULL || json_parse_object(tags, strlen(tags), &object, &err) != 0)
		return 0;
	return json_object_object_length(object);
}

int tags_from_header(struct s3_request *r, const char *header, char **ret)
{
	CLEAN(json) struct json_object *tags = json_object_new_object();
	CLEAN(uri_query) struct uri_query pairs = { 0 };
	const char *wrong = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (header == NULL || header[0] == '\0')
		return 0;
	if (uri_query_parse(header, &pairs, &err) != 0)
		return s3_fail_text(
			r, "InvalidArgument",
			"The header 'x-amz-tagging' shall be encoded as UTF-8 "
			"then URLEncoded URL query parameters without tag name "
			"duplicates.");
	for (size_t i = 0; i < pairs.count && wrong == NULL; i++)
		wrong = add_tag(tags, pairs.pairs[i].name, pairs.pairs[i].value);
	if (wrong != NULL)
		return s3_fail_text(r, "InvalidTag", "%s", wrong);
	*ret = tags_text(tags);
	return 0;
}

/* ---- GetObjectTagging ---- */

static void put_tags(struct buf *b, const char *tags)
{
	CLEAN(json) struct json_object *object = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (tags == NULL || json_parse_object(tags, strlen(tags), &object, &err) != 0)
		return;
	json_object_object_foreach(object, key, value)
	{
		buf_puts(b, "<Tag>");
		xml_element(b, "Key", key);
		xml_element(b, "Value", json_object_get_string(value));
		buf_puts(b, "</Tag>");
	}
}

static int find(struct s3_request *r, struct tx_find *f)
{
	f->bucket = r->target.bucket;
	f->key = r->target.key;
	f->version = s3_param(r, "versionId");
	if (s3_call(r, tx_find, f) != 0)
		return -1;
	r->versioned = f->versioned;
	return 0;
}

int op_get_tagging(struct s3_request *r)
{
	CLEAN(tx_find) struct tx_find f = { 0 };
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (find(r, &f) != 0)
		return -1;
	buf_puts(&b, XML_HEAD "<Tagging" XML_NS "><TagSet>");
	put_tags(&b, f.row.tags);
	buf_puts(&b, "</TagSet></Tagging>");
	s3_answer_xml(r, 200, &b);
	s3_answer_version(r, f.row.version_id);
	return 0;
}

/* ---- PutObjectTagging, DeleteObjectTagging ---- */

struct reading {
	struct json_object *tags;
	char *key, *value; /* of the tag being read */
	const char *wrong;
};

static int take_element(void *ctx, int depth, const char *name, const char *text)
{
	struct reading *t = ctx;

	if (depth == 4 && strcmp(name, "Key") == 0) {
		free(t->key);
		t->key = mh_strdup(text);
	}
	if (depth == 4 && strcmp(name, "Value") == 0) {
		free(t->value);
		t->value = mh_strdup(text);
	}
	if (depth != 3 || strcmp(name, "Tag") != 0)
		return 0;
	if (t->key == NULL || t->value == NULL)
		return -1;
	if (t->wrong == NULL)
		t->wrong = add_tag(t->tags, t->key, t->value);
	free(t->key);
	free(t->value);
	t->key = t->value = NULL;
	return 0;
}

static int read_document(struct s3_request *r, char **ret)
{
	CLEAN(json) struct json_object *tags = json_object_new_object();
	struct reading t = { .tags = tags };
	struct mh_err err = MH_ERR_INIT;
	int rc = xml_read(buf_text(&r->body), r->body.len, "Tagging", take_element, &t,
			  &err);

	free(t.key);
	free(t.value);
	if (rc != 0)
		return s3_fail(r, "MalformedXML");
	if (t.wrong != NULL)
		return s3_fail_text(r, "InvalidTag", "%s", t.wrong);
	*ret = tags_text(tags);
	return 0;
}

struct tx_tag {
	struct tx_find find;
	const char *tags;
};

static int tx_tag(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct tx_tag *t = arg;
	struct mh_err cause = MH_ERR_INIT;

	if (tx_find(ctx, &t->find, err) != 0)
		return -1;
	if (object_set_tags(ctx->store, t->find.bucket, t->find.key,
			    t->find.row.version_id, t->tags, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

static int set_tags(struct s3_request *r, const char *tags, int status)
{
	struct tx_tag t = { .find = { .bucket = r->target.bucket,
				      .key = r->target.key,
				      .version = s3_param(r, "versionId") },
			    .tags = tags };
	int rc = s3_call(r, tx_tag, &t);

	if (rc == 0) {
		r->versioned = t.find.versioned;
		s3_answer_empty(r, status);
		s3_answer_version(r, t.find.row.version_id);
	}
	tx_find_done(&t.find);
	return rc;
}

int op_put_tagging(struct s3_request *r)
{
	CLEAN(free) char *tags = NULL;

	return read_document(r, &tags) != 0 ? -1 : set_tags(r, tags, 200);
}

int op_delete_tagging(struct s3_request *r)
{
	return set_tags(r, NULL, 204);
}
