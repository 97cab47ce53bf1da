/* DeleteObjects: up to 1000 keys in one document. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/s3/xml_read.h"

#define DELETE_MAX 1000

struct delete_list {
	char *keys[DELETE_MAX];
	char *files[DELETE_MAX]; /* to remove after the commit */
	size_t count;
	bool quiet;
	const char *bucket;
};

static int take_element(void *ctx, int depth, const char *name, const char *text)
{
	struct delete_list *d = ctx;

	if (depth == 2 && strcmp(name, "Quiet") == 0)
		d->quiet = strcmp(text, "true") == 0;
	if (depth != 3 || strcmp(name, "Key") != 0)
		return 0;
	if (d->count == DELETE_MAX || text[0] == '\0')
		return -1;
	d->keys[d->count++] = mh_strdup(text);
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
		struct tx_delete one = { .bucket = d->bucket, .key = d->keys[i] };

		if (tx_delete(ctx, &one, err) != 0)
			return -1;
		d->files[i] = one.file;
	}
	return 0;
}

static void answer_deleted(struct s3_request *r, const struct delete_list *d)
{
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<DeleteResult" XML_NS ">");
	for (size_t i = 0; i < d->count && !d->quiet; i++) {
		buf_puts(&b, "<Deleted>");
		xml_element(&b, "Key", d->keys[i]);
		buf_puts(&b, "</Deleted>");
	}
	buf_puts(&b, "</DeleteResult>");
	s3_answer_xml(r, 200, &b);
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
			blob_remove(&r->s3->blobs, d->files[i]);
		free(d->files[i]);
		free(d->keys[i]);
	}
	free(d);
	return rc;
}
