#include "emulator/s3/xml_read.h"

#include <string.h>

#include <expat.h>

#include "lib/base/buf.h"

#define DEPTH_MAX 8
#define TEXT_MAX  4096 /* of one element: a key of 1024 bytes at most */

struct reader {
	XML_Parser parser;
	const char *root;
	xml_read_fn fn;
	void *ctx;
	int depth;
	bool broken;
	struct buf text[DEPTH_MAX + 1]; /* of the elements that are open */
};

/* Expat puts the namespace in front of the name. */
static const char *local_name(const char *name)
{
	const char *bar = strrchr(name, '|');

	return bar ? bar + 1 : name;
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = ctx;

	(void)attributes; /* none has a meaning */
	if (r->depth == DEPTH_MAX ||
	    (r->depth == 0 && strcmp(local_name(name), r->root) != 0))
		r->broken = true;
	if (r->broken)
		return;
	r->depth++;
	buf_clear(&r->text[r->depth]);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct reader *r = ctx;

	if (r->broken)
		return;
	if (r->fn(r->ctx, r->depth, local_name(name), buf_text(&r->text[r->depth])) != 0)
		r->broken = true;
	r->depth--;
}

static void XMLCALL on_text(void *ctx, const XML_Char *s, int len)
{
	struct reader *r = ctx;
	struct mh_err err = MH_ERR_INIT;

	if (!r->broken && buf_add(&r->text[r->depth], s, (size_t)len, &err) != 0)
		r->broken = true;
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal_subset)
{
	struct reader *r = ctx;

	(void)name; /* any document type is refused */
	(void)sysid;
	(void)pubid;
	(void)has_internal_subset;
	r->broken = true;
	/* Not one of its entities is to be expanded. */
	(void)XML_StopParser(r->parser, XML_FALSE); /* it is parsing: cannot fail */
}

int xml_read(const char *data, size_t len, const char *root, xml_read_fn fn, void *ctx,
	     struct mh_err *err)
{
	XML_Parser parser = XML_ParserCreateNS("UTF-8", '|');
	struct reader r = { .parser = parser, .root = root, .fn = fn, .ctx = ctx };
	enum XML_Status status;

	MH_ASSERT(parser != NULL); /* only without memory */
	for (int i = 0; i <= DEPTH_MAX; i++)
		buf_init(&r.text[i], TEXT_MAX);
	XML_SetUserData(parser, &r);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartDoctypeDeclHandler(parser, on_doctype);
	status = XML_Parse(parser, data, (int)len, XML_TRUE);
	XML_ParserFree(parser);
	for (int i = 0; i <= DEPTH_MAX; i++)
		buf_done(&r.text[i]);
	if (status != XML_STATUS_OK || r.broken)
		return mh_err_set(err, MH_E_PROTO, "the XML is no %s document", root);
	return 0;
}
