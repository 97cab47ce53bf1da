/*
 * XML on the way in: the small documents that S3's clients send. Namespaces are
 * taken off, attributes have no meaning, document types (and with them entities that
 * grow) are refused.
 */
#ifndef MH_EMULATOR_S3_XML_READ_H
#define MH_EMULATOR_S3_XML_READ_H

#include <stddef.h>

#include "lib/base/err.h"

/* At the end of each element: how deep it is (the root is 1), its name, and the text
 * directly in it. Answers -1 to refuse the document. */
typedef int (*xml_read_fn)(void *ctx, int depth, const char *name, const char *text);

/* PROTO when it is not well formed, is refused, or its root is another element. */
int xml_read(const char *data, size_t len, const char *root, xml_read_fn fn, void *ctx,
	     struct mh_err *err) MH_MUST_CHECK;

#endif
