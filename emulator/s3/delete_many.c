/* DeleteObjects: up to 1000 keys, or versions of keys, in one document. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/s3/xml_read.h"

#define DELETE_MAX 1000

struct delete_one {
	char *key, *version, *etag; /* version, etag: NULL when the document has none */
	struct tx_delete done;
	bool failed; /* its condition does not hold; all else goes on */
};

struct delete_list {
	struct delete_one items[DELETE_MAX];
	size_t count;
	struct delete_one next; /* being read */
	bool quiet;
	const char *bucket;
};

static int take_object(struct delete_list *d)
{
	if (d->count == DELETE_MAX || d->next.key == NULL || d->next.key[0] == '\0')
		return -1;
	d->items[d->count++] = d->next;
	d->next = (struct delete_one){ 0 };
	return 0;
}

static int take_element(void *ctx, int depth, const char *name, const char *text)
{
	struct delete_list *d = ctx;
	char **field = NULL;

	if (depth == 2 && strcmp(name, "Quiet") == 0)
		d->quiet = strcmp(text, "true") == 0;
	if (depth == 2 && strcmp(name, "Object") == 0)
		return take_object(d);
	if (depth != 3)
		return 0;
	if (strcmp(name, "Key") == 0)
		field = &d->next.key;
	else if (strcmp(name, "VersionId") == 0)
		field = &d->next.version;
	else if (strcmp(name, "ETag") == 0)
		field = &d->next.etag;
	if (field != NULL) {
		free(*field);
		*field = mh_strdup(text);
	}
	return 0;
}

static int parse_list(struct s3_request *r, struct delete_list *d)
{
	struct mh_err err = MH_ERR_INIT;

	if (xml_read(buf_text(&r->body), r->body.len, "Delete", take_element, d, &err) !=
		    0 ||
	    d->count == 0)
		return s3_fail(r, "MalformedXML");
	return 0;
}

static int tx_delete_many(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct delete_list *d = arg;

	for (size_t i = 0; i < d->count; i++) {
		struct delete_one *one = &d->items[i];

		one->done = (struct tx_delete){ .bucket = d->bucket,
						.key = one->key,
						.version = one->version,
						.if_match = one->etag };
		if (tx_delete(ctx, &one->done, err) == 0)
			continue;
		if (one->etag == NULL || err->status >= 500 ||
		    strcmp(err->code, "NoSuchBucket") == 0)
			return -1;
		one->failed = true;
	}
	return 0;
}

static void put_deleted(struct buf *b, const struct delete_one *one)
{
	buf_puts(b, "<Deleted>");
	xml_element(b, "Key", one->key);
	xml_element(b, "VersionId", one->version);
	if (one->done.marker) {
		buf_puts(b, "<DeleteMarker>true</DeleteMarker>");
		xml_element(b, "DeleteMarkerVersionId", one->done.told);
	}
	buf_puts(b, "</Deleted>");
}

static void put_failed(struct buf *b, const struct delete_one *one)
{
	buf_puts(b, "<Error>");
	xml_element(b, "Key", one->key);
	xml_element(b, "VersionId", one->version);
	xml_element(b, "Code", "PreconditionFailed");
	xml_element(b, "Message", s3_error_find("PreconditionFailed")->message);
	buf_puts(b, "</Error>");
}

static void answer_deleted(struct s3_request *r, const struct delete_list *d)
{
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<DeleteResult" XML_NS ">");
	for (size_t i = 0; i < d->count; i++) {
		if (d->items[i].failed)
			put_failed(&b, &d->items[i]);
		else if (!d->quiet)
			put_deleted(&b, &d->items[i]);
	}
	buf_puts(&b, "</DeleteResult>");
	s3_answer_xml(r, 200, &b);
}

static void one_done(struct delete_one *one)
{
	free(one->key);
	free(one->version);
	free(one->etag);
	tx_delete_done(&one->done);
}

int op_delete_objects(struct s3_request *r)
{
	struct delete_list *d = mh_alloc(sizeof(*d));
	int rc = parse_list(r, d);

	d->bucket = r->target.bucket;
	if (rc == 0)
		rc = s3_call(r, tx_delete_many, d);
	if (rc == 0)
		answer_deleted(r, d);
	for (size_t i = 0; i < d->count; i++) {
		if (rc == 0)
			blob_remove(&r->s3->blobs, d->items[i].done.file);
		one_done(&d->items[i]);
	}
	one_done(&d->next);
	free(d);
	return rc;
}
