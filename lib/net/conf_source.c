#include "lib/net/conf_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/fsio.h"

/* What the scanner is inside of when a line begins. */
enum scan_state { IN_CODE, IN_STRING, IN_COMMENT };

struct scan {
	struct conf_source *out;
	const char *file;
	size_t file_index;
	unsigned line;
	unsigned opened_line; /* where the string or comment began */
	enum scan_state state;
	unsigned depth;
};

static int load_file(struct conf_source *s, const char *path, const char *text,
		     unsigned depth, struct mh_err *err);

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_byte(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c == '*' || c == '-';
}

static int too_large(const struct scan *s, const char *number, size_t len, bool fits_64,
		     struct mh_err *err)
{
	if (fits_64)
		return mh_err_set(err, MH_E_CONFIG,
				  "%s:%u: %.*s is past 32 bits: write %.*sL", s->file,
				  s->line, (int)len, number, (int)len, number);
	return mh_err_set(err, MH_E_CONFIG, "%s:%u: %.*s... is too large a number",
			  s->file, s->line, (int)(len < 20 ? len : 20), number);
}

/* Numbers that libconfig would wrap around. Answers how many bytes it took, or -1. */
static int scan_number(const struct scan *s, const char *p, const char *end,
		       struct mh_err *err)
{
	const char *start = p;
	bool negative = *p == '-';
	bool hex, fits = true;
	uint64_t value = 0;

	p += *p == '-' || *p == '+';
	hex = end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
	for (p += hex ? 2 : 0; p < end; p++) {
		unsigned digit;

		if (is_digit(*p))
			digit = (unsigned)(*p - '0');
		else if (hex && ((*p | 32) >= 'a' && (*p | 32) <= 'f'))
			digit = (unsigned)((*p | 32) - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(value, hex ? 16U : 10U, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			fits = false;
	}
	if (p < end && (*p == '.' || (!hex && (*p == 'e' || *p == 'E')))) {
		while (p < end && (is_name_byte(*p) || *p == '.' || *p == '+'))
			p++;
		return (int)(p - start); /* a fraction: no integer key takes one */
	}
	if (!fits || value > (uint64_t)INT64_MAX)
		return too_large(s, start, (size_t)(p - start), false, err);
	if (p < end && *p == 'L')
		return (int)(p + 1 - start);
	if (value > (uint64_t)INT_MAX + negative)
		return too_large(s, start, (size_t)(p - start), true, err);
	return (int)(p - start);
}

/* One piece of code: a name, a number, the start of a comment or string, or one
 * byte of something else. Answers its length, or -1. */
static int scan_code(struct scan *s, const char *p, const char *end, struct mh_err *err)
{
	const char *start = p;

	if (*p == '#' || (end - p > 1 && p[0] == '/' && p[1] == '/'))
		return (int)(end - p);
	if (end - p > 1 && p[0] == '/' && p[1] == '*') {
		s->state = IN_COMMENT;
		s->opened_line = s->line;
		return 2;
	}
	if (*p == '"') {
		s->state = IN_STRING;
		s->opened_line = s->line;
		return 1;
	}
	if (is_digit(*p) || ((*p == '-' || *p == '+') && end - p > 1 && is_digit(p[1])))
		return scan_number(s, p, end, err);
	while (p < end && is_name_byte(*p))
		p++;
	return p > start ? (int)(p - start) : 1;
}

static int scan_line(struct scan *s, const char *p, const char *end, struct mh_err *err)
{
	while (p < end) {
		int taken = 1;

		if (s->state == IN_COMMENT) {
			if (end - p > 1 && p[0] == '*' && p[1] == '/') {
				s->state = IN_CODE;
				taken = 2;
			}
		} else if (s->state == IN_STRING) {
			if (*p == '\\' && end - p > 1)
				taken = 2;
			else if (*p == '"')
				s->state = IN_CODE;
		} else {
			taken = scan_code(s, p, end, err);
			if (taken < 0)
				return -1;
		}
		p += taken;
	}
	return 0;
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* `@include "name"` at the start of a line: the name, or NULL when it is not one. */
static int parse_include(const struct scan *s, const char *p, const char *end,
			 char **ret_name, struct mh_err *err)
{
	static const char word[] = "@include";
	const char *name, *close;

	p = skip_blanks(p, end);
	if ((size_t)(end - p) < sizeof word - 1 || memcmp(p, word, sizeof word - 1) != 0)
		return 0;
	p = skip_blanks(p + sizeof word - 1, end);
	name = p + 1;
	close = p < end && *p == '"' ? memchr(name, '"', (size_t)(end - name)) : NULL;
	if (!close || close == name)
		return mh_err_set(err, MH_E_CONFIG,
				  "%s:%u: @include wants a file name in quotes", s->file,
				  s->line);
	p = skip_blanks(close + 1, end);
	if (p < end && *p != '#' && *p != '/')
		return mh_err_set(err, MH_E_CONFIG,
				  "%s:%u: nothing may follow @include on its line",
				  s->file, s->line);
	*ret_name = mh_strndup(name, (size_t)(close - name));
	return 0;
}

static int follow_include(const struct scan *s, const char *name, struct mh_err *err)
{
	const char *slash = name[0] == '/' ? NULL : strrchr(s->file, '/');
	CLEAN(free)
	char *path = slash ? mh_format("%.*s/%s", (int)(slash - s->file), s->file, name)
			   : mh_strdup(name);

	if (s->depth >= CONF_SOURCE_MAX_DEPTH)
		return mh_err_set(err, MH_E_CONFIG, "%s:%u: more than %d nested includes",
				  s->file, s->line, CONF_SOURCE_MAX_DEPTH);
	if (load_file(s->out, path, NULL, s->depth + 1, err) != 0)
		return err->cls == MH_E_CONFIG
			       ? -1
			       : mh_err_wrap(err, "%s:%u", s->file, s->line);
	return 0;
}

static int add_line(const struct scan *s, const char *p, size_t len, struct mh_err *err)
{
	struct conf_source *out = s->out;

	if (buf_add(&out->text, p, len, err) != 0 ||
	    buf_add(&out->text, "\n", 1, err) != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "%s: more than 1 MiB of configuration", s->file);
	if (out->line_count == out->line_room) {
		out->line_room = out->line_room ? 2 * out->line_room : 64;
		out->lines = mh_realloc(out->lines, out->line_room * sizeof *out->lines);
	}
	out->lines[out->line_count++] = (struct conf_line){ .file = s->file_index,
							    .line = s->line };
	return 0;
}

static int take_line(struct scan *s, const char *p, const char *end, struct mh_err *err)
{
	CLEAN(free) char *include = NULL;

	if (s->state == IN_CODE && parse_include(s, p, end, &include, err) != 0)
		return -1;
	if (include)
		return follow_include(s, include, err);
	if (scan_line(s, p, end, err) != 0)
		return -1;
	return add_line(s, p, (size_t)(end - p), err);
}

static int scan_text(struct scan *s, const char *text, size_t len, struct mh_err *err)
{
	const char *end = text + len;

	if (memchr(text, '\0', len))
		return mh_err_set(err, MH_E_CONFIG, "%s: not a text file", s->file);
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;

		s->line++;
		if (take_line(s, text, stop, err) != 0)
			return -1;
		text = newline ? newline + 1 : end;
	}
	if (s->state != IN_CODE)
		return mh_err_set(err, MH_E_CONFIG, "%s:%u: this %s has no end", s->file,
				  s->opened_line,
				  s->state == IN_STRING ? "string" : "comment");
	return 0;
}

static size_t remember_file(struct conf_source *s, const char *path)
{
	s->files = mh_realloc(s->files, (s->file_count + 1) * sizeof *s->files);
	s->files[s->file_count] = mh_strdup(path);
	return s->file_count++;
}

static int load_file(struct conf_source *s, const char *path, const char *text,
		     unsigned depth, struct mh_err *err)
{
	size_t index = remember_file(s, path);
	CLEAN(buf) struct buf read = BUF_INIT(CONF_SOURCE_MAX_BYTES);
	struct scan scan = {
		.out = s, .file = s->files[index], .file_index = index, .depth = depth
	};

	if (!text) {
		if (fs_read_at(AT_FDCWD, path, &read, err) != 0)
			return -1;
		return scan_text(&scan, buf_text(&read), read.len, err);
	}
	return scan_text(&scan, text, strlen(text), err);
}

int conf_source_load(struct conf_source *s, const char *path, const char *text,
		     struct mh_err *err)
{
	if (load_file(s, path, text, 0, err) != 0) {
		err->cls = MH_E_CONFIG; /* a missing or unreadable file too */
		return -1;
	}
	return 0;
}

void conf_source_where(const struct conf_source *s, unsigned line, const char **ret_file,
		       unsigned *ret_line)
{
	const struct conf_line *at;

	if (s->line_count == 0 || line == 0) {
		*ret_file = s->files[0];
		*ret_line = 1;
		return;
	}
	/* An error at the end of the text is told one line past it. */
	at = &s->lines[line > s->line_count ? s->line_count - 1 : line - 1];
	*ret_file = s->files[at->file];
	*ret_line = at->line;
}

void conf_source_done(struct conf_source *s)
{
	for (size_t i = 0; i < s->file_count; i++)
		free(s->files[i]);
	free(s->files);
	free(s->lines);
	buf_done(&s->text);
	*s = (struct conf_source)CONF_SOURCE_INIT;
}
