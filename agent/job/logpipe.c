#include "agent/job/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/job/result.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

/* What a pipe holds by default is read at once; no hostile writer keeps drain busy. */
#define DRAIN_MAX_READS 64

int logpipe_open(struct logpipe *lp, int jobdir_fd, int64_t max_bytes, struct mh_err *err)
{
	struct stat st;
	int fds[2];

	lp->file_fd = openat(jobdir_fd, "log",
			     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
			     0600);
	if (lp->file_fd < 0 || fstat(lp->file_fd, &st) != 0)
		return mh_err_sys(err, "open the job's log");
	if (pipe2(fds, O_CLOEXEC) != 0)
		return mh_err_sys(err, "pipe");
	lp->read_fd = fds[0];
	lp->write_fd = fds[1];
	/* The reader alone: the children's end stays blocking, a pipe has two files. */
	if (fcntl(lp->read_fd, F_SETFL, O_NONBLOCK) != 0)
		return mh_err_sys(err, "fcntl");
	lp->max_bytes = max_bytes;
	lp->written = st.st_size;
	return 0;
}

void logpipe_done(struct logpipe *lp)
{
	clean_fd(&lp->read_fd);
	clean_fd(&lp->write_fd);
	clean_fd(&lp->file_fd);
	redact_done(&lp->redact);
	free(lp->recent);
	*lp = (struct logpipe)LOGPIPE_INIT;
}

static void remember(struct logpipe *lp, const char *data, size_t len)
{
	size_t room = LOGPIPE_RECENT_BYTES;

	if (!lp->recent) /* grows as it is written: most jobs say little */
		lp->recent = mh_realloc(NULL, room);
	if (len > room) {
		data += len - room;
		len = room;
	}
	if (lp->recent_len + len > room) {
		size_t drop = lp->recent_len + len - room;

		lp->recent_len -= drop;
		memmove(lp->recent, lp->recent + drop, lp->recent_len);
	}
	memcpy(lp->recent + lp->recent_len, data, len);
	lp->recent_len += len;
}

static void write_file(struct logpipe *lp, const char *data, size_t len)
{
	struct mh_err err;

	if (lp->file_fd < 0 || fs_write_fd(lp->file_fd, data, len, &err) == 0) {
		lp->written += (int64_t)len;
		return;
	}
	log_event(LOG_LEVEL_WARN, "job.log_failed",
		  "the job's log cannot be written and ends here", LOG_ERR(&err),
		  LOG_END);
	(void)close(steal_fd(&lp->file_fd)); /* the write's error was the news */
}

/* Up to the maximum, which is rounded down to the last newline of the piece. */
static void write_capped(struct logpipe *lp, const char *data, size_t len)
{
	char line[96];
	const char *newline;
	size_t room;

	if (lp->cut)
		return;
	if (lp->written + (int64_t)len <= lp->max_bytes) {
		write_file(lp, data, len);
		return;
	}
	room = lp->written < lp->max_bytes ? (size_t)(lp->max_bytes - lp->written) : 0;
	newline = memrchr(data, '\n', room);
	if (newline)
		room = (size_t)(newline - data) + 1;
	write_file(lp, data, room);
	(void)snprintf(line, sizeof line,
		       "%smillhand: the log reached its maximum of %lld bytes and was "
		       "cut here\n",
		       newline ? "" : "\n", (long long)lp->max_bytes);
	write_file(lp, line, strlen(line));
	lp->cut = true;
}

static void take(void *ctx, const char *data, size_t len)
{
	struct logpipe *lp = ctx;

	if (len == 0)
		return;
	lp->mid_line = data[len - 1] != '\n';
	remember(lp, data, len);
	write_capped(lp, data, len);
}

bool logpipe_read(struct logpipe *lp)
{
	static char chunk[REDACT_FEED_MAX];
	ssize_t n;

	do {
		n = read(lp->read_fd, chunk, sizeof chunk);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	redact_feed(&lp->redact, chunk, (size_t)n, take, lp);
	return true;
}

void logpipe_drain(struct logpipe *lp)
{
	int reads = 0;

	while (reads < DRAIN_MAX_READS && logpipe_read(lp))
		reads++;
	redact_flush(&lp->redact, take, lp);
}

void logpipe_note(struct logpipe *lp, const char *fmt, ...)
{
	char text[1024];
	CLEAN(free) char *clean = NULL, *line = NULL;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args); /* cut is fine */
	va_end(args);
	redact_flush(&lp->redact, take, lp);
	clean = redact_text(&lp->redact, text);
	line = mh_format("%smillhand: %s\n", lp->mid_line ? "\n" : "", clean);
	take(lp, line, strlen(line));
}

/* Copies s without escape sequences and other control characters; a carriage return
 * without newline starts a line, as progress bars mean it. */
static void strip_controls(const char *s, struct buf *out)
{
	for (; *s; s++) {
		if (*s == '\033') {
			if (s[1] == '[') {
				s += 2;
				while (*s && (*s < '@' || *s > '~'))
					s++;
			} else if (s[1]) {
				s++;
				while (((unsigned char)s[1] & 0xc0) == 0x80)
					s++; /* a character of several bytes */
			}
			if (!*s)
				return;
			continue;
		}
		if (*s == '\r')
			buf_puts(out, s[1] == '\n' || s[1] == '\r' ? "" : "\n");
		else if ((unsigned char)*s >= ' ' ? *s != '\177'
						  : *s == '\n' || *s == '\t')
			buf_putc(out, *s);
	}
}

/* What the sandbox could not have is said in the log; why a job failed is not among it.
 */
static void drop_sandbox_lines(struct buf *text)
{
	static const char ours[] = "millhand: sandbox: ";
	size_t kept = 0, at = 0;

	while (at < text->len) {
		const char *line = text->data + at, *newline = strchr(line, '\n');
		size_t len = newline ? (size_t)(newline + 1 - line) : text->len - at;

		if (!str_starts_with(line, ours)) {
			memmove(text->data + kept, line, len);
			kept += len;
		}
		at += len;
	}
	text->len = kept;
	if (text->data)
		text->data[kept] = '\0';
}

char *logpipe_tail(const struct logpipe *lp)
{
	CLEAN(free) char *clean = result_clean_text(lp->recent, lp->recent_len);
	CLEAN(buf) struct buf out = BUF_INIT(LOGPIPE_RECENT_BYTES + 1);
	const char *text, *newline;

	strip_controls(clean, &out);
	drop_sandbox_lines(&out);
	text = buf_text(&out);
	while (out.len && text[out.len - 1] == '\n')
		out.data[--out.len] = '\0';
	if (out.len <= LOGPIPE_TAIL_BYTES)
		return mh_strdup(text);
	text += out.len - LOGPIPE_TAIL_BYTES;
	/* text[-1] is there: does a line begin exactly here? */
	if (text[-1] == '\n')
		return mh_strdup(text);
	newline = strchr(text, '\n');
	if (newline)
		return mh_strdup(newline + 1);
	while (((unsigned char)*text & 0xc0) == 0x80) /* not amid a character */
		text++;
	return mh_strdup(text);
}
