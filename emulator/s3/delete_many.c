/* DeleteObjects: up to 1000 keys in one document. */
#include <string.h>

#include <expat.h>

#include "emulator/s3/private.h"
#include "lib/base/str.h"

#define DELETE_MAX 1000
#define DEPTH_MAX  8

struct delete_list {
	char *keys[DELETE_MAX];
	char *files[DELETE_MAX]; /* to remove after the commit */
	size_t count;
	bool quiet;
	const char *bucket;

	/* While parsing: */
	int depth;
	bool in_key, in_quiet, broken;
	struct buf text;
};

/* A name may come with its namespace in front. */
static bool is_element(const char *name, const char *want)
{
	const char *local = strrchr(name, '|');

	return strcmp(local ? local + 1 : name, want) == 0;
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct delete_list *d = ctx;

	(void)attributes; /* none has a meaning */
	d->depth++;
	buf_clear(&d->text);
	d->in_key = d->depth == 3 && is_element(name, "Key");
	d->in_quiet = d->depth == 2 && is_element(name, "Quiet");
	if ((d->depth == 1 && !is_element(name, "Delete")) || d->depth > DEPTH_MAX)
		d->broken = true;
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct delete_list *d = ctx;

	(void)name; /* expat has matched it */
	if (d->in_quiet)
		d->quiet = strcmp(buf_text(&d->text), "true") == 0;
	if (d->in_key && (d->count == DELETE_MAX || d->text.len == 0))
		d->broken = true;
	else if (d->in_key)
		d->keys[d->count++] = mh_strdup(buf_text(&d->text));
	d->in_key = d->in_quiet = false;
	d->depth--;
}

static void XMLCALL on_text(void *ctx, const XML_Char *s, int len)
{
	struct delete_list *d = ctx;
	struct mh_err err = MH_ERR_INIT;

	if ((d->in_key || d->in_quiet) && buf_add(&d->text, s, (size_t)len, &err) != 0)
		d->broken = true;
}

/* Entities beyond XML's own five could grow without bound. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal_subset)
{
	struct delete_list *d = ctx;

	(void)name; /* any document type is refused */
	(void)sysid;
	(void)pubid;
	(void)has_internal_subset;
	d->broken = true;
}

static int parse_list(struct s3_request *r, struct delete_list *d)
{
	XML_Parser parser = XML_ParserCreateNS("UTF-8", '|');
	enum XML_Status status;

	MH_ASSERT(parser != NULL);
	buf_init(&d->text, S3_KEY_MAX_BYTES);
	XML_SetUserData(parser, d);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartDoctypeDeclHandler(parser, on_doctype);
	status = XML_Parse(parser, buf_text(&r->body), (int)r->body.len, XML_TRUE);
	XML_ParserFree(parser);
	buf_done(&d->text);
	if (status != XML_STATUS_OK || d->broken || d->count == 0)
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
