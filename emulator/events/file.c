/*
 * A file that gets a line of JSON for each event. It is opened for each delivery, so that
 * it may be renamed or removed at any time. A line that a crash or a full disk cut short
 * is taken away before the next: its event comes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "emulator/events/sink.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"

#define LINES_MAX_BYTES (16 << 20)

static bool wants(const struct sink *s, const struct event *e)
{
	(void)s;
	(void)e; /* notifications too */
	return true;
}

/* Where the last whole line ends. */
static int whole_lines(int fd, off_t size, off_t *ret, struct mh_err *err)
{
	char piece[4096];

	while (size > 0) {
		size_t n = size < (off_t)sizeof(piece) ? (size_t)size : sizeof(piece);
		ssize_t got = pread(fd, piece, n, size - (off_t)n);

		if (got != (ssize_t)n)
			return mh_err_sys(err, "cannot read its end");
		for (; n > 0 && piece[n - 1] != '\n'; n--)
			size--;
		if (n > 0)
			break;
	}
	*ret = size;
	return 0;
}

/* *ret_size: to which it is cut back when something goes wrong; -1: no ordinary file. */
static int open_file(const char *path, int *ret_fd, off_t *ret_size, struct mh_err *err)
{
	CLEAN(fd)
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	struct stat st;
	off_t size;

	if (fd < 0 || fstat(fd, &st) != 0)
		return mh_err_sys(err, "cannot open it");
	*ret_size = -1;
	if (S_ISREG(st.st_mode)) {
		if (whole_lines(fd, st.st_size, &size, err) != 0)
			return -1;
		if (size < st.st_size && ftruncate(fd, size) != 0)
			return mh_err_sys(err, "cannot take half a line away");
		*ret_size = size;
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int append(int fd, off_t size, const struct buf *lines, struct mh_err *err)
{
	if (fs_write_fd(fd, lines->data, lines->len, err) == 0 &&
	    (size < 0 || fs_sync_fd(fd, "its lines", err) == 0))
		return 0;
	/* Else half a line may stay, which the next delivery takes away. */
	if (size >= 0)
		(void)!ftruncate(fd, size);
	return -1;
}

static int deliver(struct sink *s, const struct event *const *events, size_t count,
		   size_t *ret_done, struct mh_err *err)
{
	CLEAN(buf) struct buf lines = BUF_INIT(LINES_MAX_BYTES);
	CLEAN(fd) int fd = -1;
	off_t size;
	size_t n = 0;

	*ret_done = 0;
	for (; n < count &&
	       (n == 0 || lines.len + strlen(events[n]->body) + 1 < LINES_MAX_BYTES);
	     n++) {
		buf_puts(&lines, events[n]->body);
		buf_putc(&lines, '\n');
	}
	if (open_file(s->path, &fd, &size, err) != 0 ||
	    append(fd, size, &lines, err) != 0)
		return -1;
	*ret_done = n;
	return 0;
}

static void close_file(struct sink *s)
{
	(void)s; /* nothing stays open */
}

const struct sink_kind sink_file = {
	.wants = wants,
	.deliver = deliver,
	.close = close_file,
	.drains = true,
};
