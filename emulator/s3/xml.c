#include "emulator/s3/xml.h"

#include "lib/base/clock.h"

void xml_text(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		switch (c) {
		case '&':
			buf_puts(b, "&amp;");
			break;
		case '<':
			buf_puts(b, "&lt;");
			break;
		case '>':
			buf_puts(b, "&gt;");
			break;
		case '"':
			buf_puts(b, "&quot;");
			break;
		case '\'':
			buf_puts(b, "&apos;");
			break;
		default:
			/* A blank control character would be normalised away by the
			 * reader; the others XML 1.0 cannot hold, and S3 sends them in
			 * this form too. */
			if (c < 0x20)
				buf_printf(b, "&#x%x;", c);
			else
				buf_putc(b, (char)c);
		}
	}
}

void xml_element(struct buf *b, const char *name, const char *text)
{
	if (text == NULL)
		return;
	buf_printf(b, "<%s>", name);
	xml_text(b, text);
	buf_printf(b, "</%s>", name);
}

void xml_element_i64(struct buf *b, const char *name, int64_t value)
{
	buf_printf(b, "<%s>%lld</%s>", name, (long long)value, name);
}

void xml_element_time(struct buf *b, const char *name, int64_t wall_ms)
{
	char iso[CLOCK_ISO_SIZE];

	clock_format_iso(wall_ms, iso);
	buf_printf(b, "<%s>%s</%s>", name, iso, name);
}

void xml_error_document(struct buf *b, const struct xml_error *e)
{
	buf_puts(b, XML_HEAD "<Error>");
	xml_element(b, "Code", e->code);
	xml_element(b, "Message", e->message);
	for (size_t i = 0; i < e->detail_count; i++)
		xml_element(b, e->details[i].name, e->details[i].text);
	xml_element(b, "Resource", e->resource);
	xml_element(b, "RequestId", e->request_id);
	buf_puts(b, "</Error>");
}
