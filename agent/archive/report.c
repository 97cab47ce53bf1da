#include "agent/archive/report.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/archive/limits.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

#define REPORT_FD  3
#define REPORT_MAX (8 * 1024) /* an error's text, each byte escaped, and more */

void report_find_fd(struct report *r)
{
	r->fd = fcntl(REPORT_FD, F_GETFD) < 0 ? STDERR_FILENO : REPORT_FD;
}

/* A JSON string. Written here, because json-c costs this program a tenth of its start. */
static void put_string(struct buf *b, const char *s)
{
	size_t left = strlen(s);

	buf_putc(b, '"');
	while (left) {
		unsigned char c = (unsigned char)*s;
		size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (n > left || !str_is_utf8(s, n)) {
			buf_puts(b, "\\ufffd"); /* bytes that are no text */
			n = 1;
		} else if (c < 0x20) {
			buf_printf(b, "\\u%04x", c);
		} else {
			if (c == '"' || c == '\\')
				buf_putc(b, '\\');
			buf_printf(b, "%.*s", (int)n, s);
		}
		s += n;
		left -= n;
	}
	buf_putc(b, '"');
}

int report_send(const struct report *r, const char *program, const struct mh_err *failure)
{
	CLEAN(buf) struct buf line = BUF_INIT(REPORT_MAX);
	struct mh_err err = MH_ERR_INIT;

	if (failure) {
		buf_printf(&line, "{\"ok\":false,\"kind\":\"%s\",\"message\":",
			   archive_error_kind(failure));
		put_string(&line, failure->text);
		buf_puts(&line, "}\n");
	} else {
		buf_printf(&line,
			   "{\"ok\":true,\"bytes\":%" PRIu64 ",\"entries\":%" PRIu64
			   ",\"sha256\":\"%s\"}\n",
			   r->bytes, r->entries, r->sha256);
	}
	if (fs_write_fd(r->fd, line.data, line.len, &err) == 0)
		return failure ? 1 : 0;
	(void)fprintf(stderr, "%s: the report: %s\n", program, err.text);
	return 1;
}
