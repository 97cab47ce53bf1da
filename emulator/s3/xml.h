/*
 * XML on the way out: text that may hold anything, and S3's error document.
 */
#ifndef MH_EMULATOR_S3_XML_H
#define MH_EMULATOR_S3_XML_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XML_NS   " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

/* The text with & < > " ' and control characters escaped. */
void xml_text(struct buf *b, const char *s);
/* "<name>text</name>"; nothing when text is NULL. */
void xml_element(struct buf *b, const char *name, const char *text);
void xml_element_i64(struct buf *b, const char *name, int64_t value);
/* "<name>2026-11-20T10:39:03.250Z</name>" */
void xml_element_time(struct buf *b, const char *name, int64_t wall_ms);

struct xml_detail {
	const char *name;
	char *text;
};
struct xml_error {
	const char *code, *message;
	const char *resource, *request_id;
	/* More elements, as some errors carry. */
	const struct xml_detail *details;
	size_t detail_count;
};
void xml_error_document(struct buf *b, const struct xml_error *e);

#endif
