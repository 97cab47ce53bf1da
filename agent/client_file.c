#include "agent/client_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/creds.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"

#define FILE_MAX_BYTES (4 << 20)
#define TOKEN_MAX      256

int client_token_check(const char *token, size_t len, struct mh_err *err)
{
	size_t chars;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)token[i] < ' ' || token[i] == 0x7f)
			return mh_err_set(err, MH_E_PROTO,
					  "a token has control characters in it");
	}
	if (!str_is_utf8(token, len))
		return mh_err_set(err, MH_E_PROTO, "a token is no UTF-8 text");
	chars = str_utf8_count(token, len);
	if (chars < 1 || chars > TOKEN_MAX)
		return mh_err_set(err, MH_E_PROTO,
				  "a token has 1 to %d characters, this one has %zu",
				  TOKEN_MAX, chars);
	return 0;
}

void client_file_done(struct client_file *f)
{
	for (size_t i = 0; i < f->count; i++)
		creds_wipe(&f->rows[i].token);
	free(f->rows);
	*f = (struct client_file){ 0 };
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct client_row *)a)->id,
		      ((const struct client_row *)b)->id);
}

/* line is one line without its end; NUL-terminated. */
static int take_line(struct client_file *f, char *line, struct mh_err *err)
{
	size_t id_len = strcspn(line, " \t");
	char *token = line + id_len + strspn(line + id_len, " \t");
	struct client_row row = { .token = NULL };

	line[id_len] = token == line + id_len ? line[id_len] : '\0';
	if (!str_is_uuid(line))
		return mh_err_set(err, MH_E_CONFIG,
				  "a line begins with a client id, a UUID in lower case");
	if (client_token_check(token, strlen(token), err) != 0) {
		err->cls = MH_E_CONFIG;
		return mh_err_wrap(err, "client %s", line);
	}
	memcpy(row.id, line, sizeof(row.id));
	row.token = mh_strdup(token);
	f->rows = mh_realloc(f->rows, (f->count + 1) * sizeof(*f->rows));
	f->rows[f->count++] = row;
	return 0;
}

static int take_lines(struct client_file *f, char *text, size_t len, struct mh_err *err)
{
	size_t number = 0;

	if (memchr(text, '\0', len))
		return mh_err_set(err, MH_E_CONFIG, "is no text");
	for (char *line = text, *next; line; line = next) {
		size_t n = strcspn(line, "\n");

		number++;
		next = line[n] ? line + n + 1 : NULL;
		line[n] = '\0';
		if (n > 0 && line[n - 1] == '\r')
			line[n - 1] = '\0';
		if (*line == '#' || line[strspn(line, " \t")] == '\0')
			continue;
		if (take_line(f, line, err) != 0)
			return mh_err_wrap(err, "line %zu", number);
	}
	return 0;
}

int client_file_parse(char *text, size_t len, struct client_file *ret, struct mh_err *err)
{
	CLEAN(client_file) struct client_file f = { 0 };

	if (len > 0 && take_lines(&f, text, len, err) != 0)
		return -1;
	if (f.count > 0)
		qsort(f.rows, f.count, sizeof(*f.rows), by_id);
	for (size_t i = 1; i < f.count; i++) {
		if (strcmp(f.rows[i - 1].id, f.rows[i].id) == 0)
			return mh_err_set(err, MH_E_CONFIG, "client %s is there twice",
					  f.rows[i].id);
	}
	*ret = f;
	f = (struct client_file){ 0 };
	return 0;
}

static int check_owner(const struct stat *st, struct mh_err *err)
{
	if (!S_ISREG(st->st_mode))
		return mh_err_set(err, MH_E_CONFIG, "is no file");
	if (st->st_mode & (S_IRWXG | S_IRWXO))
		return mh_err_set(err, MH_E_CONFIG,
				  "holds secrets, and others than its owner may use it; "
				  "take that away (chmod 600)");
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "belongs to user %u, neither the agent's (%u) nor root",
				  (unsigned)st->st_uid, (unsigned)geteuid());
	return 0;
}

static void remember(struct client_file *f, const struct stat *st)
{
	f->device = st->st_dev;
	f->inode = st->st_ino;
	f->size = st->st_size;
	f->mtime_s = st->st_mtim.tv_sec;
	f->mtime_ns = st->st_mtim.tv_nsec;
}

static void wipe_buf(struct buf *b)
{
	if (b->data)
		sodium_memzero(b->data, b->cap);
	buf_done(b);
}

int client_file_read(const char *path, struct client_file *ret, struct mh_err *err)
{
	CLEAN(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	struct client_file f = { 0 };
	struct stat st;
	int rc = -1;

	if (fd < 0 || fstat(fd, &st) != 0)
		return mh_err_sys(err, "%s", path);
	if (check_owner(&st, err) == 0 && fs_read_fd(fd, &text, err) == 0)
		rc = client_file_parse(text.data, text.len, &f, err);
	wipe_buf(&text);
	if (rc != 0)
		return mh_err_wrap(err, "%s", path);
	remember(&f, &st);
	*ret = f;
	return 0;
}

bool client_file_changed(const char *path, const struct client_file *f)
{
	struct client_file now = { 0 };
	struct stat st;

	if (stat(path, &st) != 0)
		return true;
	remember(&now, &st);
	return now.device != f->device || now.inode != f->inode || now.size != f->size ||
	       now.mtime_s != f->mtime_s || now.mtime_ns != f->mtime_ns;
}

const char *client_file_find(const struct client_file *f, const char *id)
{
	struct client_row key = { .token = NULL };
	const struct client_row *row;

	if (strlen(id) >= sizeof(key.id) || f->count == 0)
		return NULL;
	memcpy(key.id, id, strlen(id) + 1);
	row = bsearch(&key, f->rows, f->count, sizeof(*f->rows), by_id);
	return row ? row->token : NULL;
}
