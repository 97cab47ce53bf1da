/*
 * The journal of an upload in parts: a file beside the output.
 *
 *	millhand-upload 1 <size> <part bytes> <sha256> <upload id>
 *	<part> <etag>
 *	...
 *
 * It is no promise, only a help: not synced, and what does not read well is taken
 * for not there. A part that it names wrongly is refused by the store in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/transfer_impl.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define JOURNAL_MAX_BYTES (2 * 1024 * 1024)
#define LINE_MAX_BYTES    (S3_UPLOAD_ID_SIZE + 256)
#define MAGIC             "millhand-upload 1 "

static void add_line(int fd, const char *line)
{
	struct mh_err ignored;

	if (fd >= 0) /* without it the next agent uploads anew */
		(void)!fs_write_fd(fd, line, strlen(line), &ignored);
}

int journal_begin(int dir_fd, const char *name, const struct journal_head *head)
{
	CLEAN(free)
	char *line = mh_format(MAGIC "%lld %lld %s %s\n", (long long)head->size,
			       (long long)head->part_bytes, head->sha256,
			       head->upload_id);
	int fd = openat(dir_fd, name,
			O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
			0600);

	add_line(fd, line);
	return fd;
}

void journal_add(int fd, size_t part, const char *etag)
{
	CLEAN(free) char *line = mh_format("%zu %s\n", part, etag);

	add_line(fd, line);
}

/* The next whole line without its end, or NULL. */
static char *next_line(char **at)
{
	char *line = *at;
	char *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line;
}

/* The next word of the line, or NULL. */
static char *next_word(char **at)
{
	char *word = *at;

	if (!word || !*word)
		return NULL;
	*at = strchr(word, ' ');
	if (*at)
		*(*at)++ = '\0';
	return word;
}

static bool read_head(char *line, struct journal_head *head)
{
	char *at = line + strlen(MAGIC);
	const char *size, *part, *sha256, *id;
	struct journal_head h = *head;
	struct mh_err ignored;

	if (!str_starts_with(line, MAGIC) || strlen(line) > LINE_MAX_BYTES)
		return false;
	size = next_word(&at);
	part = next_word(&at);
	sha256 = next_word(&at);
	id = next_word(&at);
	if (!id || at || strlen(id) >= sizeof(h.upload_id) ||
	    str_to_i64(size, 1, INT64_MAX, "size", &h.size, &ignored) != 0 ||
	    str_to_i64(part, 1, INT64_MAX, "part", &h.part_bytes, &ignored) != 0 ||
	    h.size != head->size || strcmp(sha256, head->sha256) != 0)
		return false;
	(void)snprintf(h.upload_id, sizeof(h.upload_id), "%s", id);
	*head = h;
	return true;
}

int journal_read(int dir_fd, const char *name, struct journal_head *head)
{
	CLEAN(buf) struct buf b = BUF_INIT(JOURNAL_MAX_BYTES);
	struct mh_err ignored;
	char *at, *line;

	if (fs_read_at(dir_fd, name, &b, &ignored) != 0 || b.len == 0)
		return -1;
	at = b.data;
	line = next_line(&at);
	if (!line || !read_head(line, head))
		return -1;
	return openat(dir_fd, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
}

void journal_each(int dir_fd, const char *name, journal_part_fn part, void *ctx)
{
	CLEAN(buf) struct buf b = BUF_INIT(JOURNAL_MAX_BYTES);
	struct mh_err ignored;
	char *at, *line;
	int64_t n;

	if (fs_read_at(dir_fd, name, &b, &ignored) != 0 || b.len == 0)
		return;
	at = b.data;
	(void)next_line(&at); /* the head */
	while ((line = next_line(&at))) {
		const char *number = next_word(&line);

		if (number && line && *line && strlen(line) < S3_ETAG_SIZE &&
		    str_to_i64(number, 0, INT32_MAX, "part", &n, &ignored) == 0)
			part(ctx, (size_t)n, line);
	}
}
