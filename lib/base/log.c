#include "lib/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

/* Together with keys, numbers, time and ids a line stays under PIPE_BUF (4096). */
#define LOG_VALUES_MAX 3072 /* all values of a line, as they are shown */
#define LOG_VALUE_MAX  1280 /* one of them */
#define LOG_LINE_ROOM  65536 /* never reached: going over it would be a bug */
#define LOG_SECRET_MIN 6
#define LOG_SHOWN_SIZE 8

static struct {
	pthread_mutex_t lock;
	const char *program;
	enum log_format format;
	enum log_level level;
	bool journal;
	char **secrets;
	size_t secret_count;
} sink = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.program = "millhand",
	.format = LOG_FORMAT_TEXT,
	.level = LOG_LEVEL_INFO,
};

void log_init(const char *program, enum log_format format, enum log_level level)
{
	pthread_mutex_lock(&sink.lock);
	sink.program = program;
	sink.format = format;
	sink.level = level;
	sink.journal = getenv("JOURNAL_STREAM") != NULL;
	pthread_mutex_unlock(&sink.lock);
}

void log_set_level(enum log_level level)
{
	pthread_mutex_lock(&sink.lock);
	sink.level = level;
	pthread_mutex_unlock(&sink.lock);
}

void log_set_format(enum log_format format)
{
	pthread_mutex_lock(&sink.lock);
	sink.format = format;
	pthread_mutex_unlock(&sink.lock);
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	MH_BUG("log level");
}

int log_level_parse(const char *s, enum log_level *ret, struct mh_err *err)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
						 LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	size_t i;

	for (i = 0; i < ARRAY_LEN(levels); i++) {
		if (strcmp(s, level_name(levels[i])) == 0) {
			*ret = levels[i];
			return 0;
		}
	}
	return mh_err_set(err, MH_E_CONFIG,
			  "log level '%s' is not error, warn, info or debug", s);
}

void log_redact(const char *secret)
{
	if (!secret || strlen(secret) < LOG_SECRET_MIN)
		return;
	pthread_mutex_lock(&sink.lock);
	sink.secrets = mh_realloc(sink.secrets,
				  (sink.secret_count + 1) * sizeof *sink.secrets);
	sink.secrets[sink.secret_count++] = mh_strdup(secret);
	pthread_mutex_unlock(&sink.lock);
}

void log_unredact(const char *secret)
{
	size_t i = 0;

	if (!secret)
		return;
	pthread_mutex_lock(&sink.lock);
	while (i < sink.secret_count && strcmp(sink.secrets[i], secret) != 0)
		i++;
	if (i < sink.secret_count) {
		free(sink.secrets[i]);
		sink.secrets[i] = sink.secrets[--sink.secret_count];
	}
	pthread_mutex_unlock(&sink.lock);
}

void log_unredact_all(void)
{
	size_t i;

	pthread_mutex_lock(&sink.lock);
	for (i = 0; i < sink.secret_count; i++)
		free(sink.secrets[i]);
	free(sink.secrets);
	sink.secrets = NULL;
	sink.secret_count = 0;
	pthread_mutex_unlock(&sink.lock);
}

/* The longest secret that s begins with, 0 for none: a text that was cut may end in
 * the beginning of one, which counts as well. Under the lock. */
static size_t secret_at(const char *s)
{
	size_t i, longest = 0;

	for (i = 0; i < sink.secret_count; i++) {
		const char *secret = sink.secrets[i];
		size_t same = 0;

		while (secret[same] && s[same] == secret[same])
			same++;
		if (same > longest && (!secret[same] || !s[same]) &&
		    same >= LOG_SECRET_MIN)
			longest = same;
	}
	return longest;
}

/* How many bytes of s are one character that people would not see, or that a
 * terminal or a viewer takes for a command: C1 controls, line and paragraph
 * separators, directions of writing. Its number goes to ret. */
static size_t hidden_char(const char *s, unsigned int *ret)
{
	const unsigned char *c = (const unsigned char *)s;

	if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
		*ret = c[1];
		return 2;
	}
	if (c[0] != 0xe2 || (c[1] != 0x80 && c[1] != 0x81) || (c[2] & 0xc0) != 0x80)
		return 0;
	*ret = 0x2000u | (unsigned int)(c[1] & 1) << 6 | (c[2] & 0x3fu);
	return (*ret >= 0x200b && *ret <= 0x200f) || (*ret >= 0x2028 && *ret <= 0x202e) ||
			       (*ret >= 0x2060 && *ret <= 0x206f)
		       ? 3
		       : 0;
}

/* The first character of s as it is shown; answers how many bytes it had. */
static size_t show_char(const char *s, char ret[LOG_SHOWN_SIZE])
{
	unsigned char c = (unsigned char)s[0];
	unsigned int number = c;
	size_t n = hidden_char(s, &number), hidden;

	hidden = sink.secret_count ? secret_at(s) : 0;
	if (hidden) {
		(void)snprintf(ret, LOG_SHOWN_SIZE, "****");
		return hidden;
	}
	if (n > 0 || (c != '\n' && c < 0x20) || c == 0x7f) {
		(void)snprintf(ret, LOG_SHOWN_SIZE, "\\u%04x", number);
		return n > 0 ? n : 1;
	}
	if (c == '"' || c == '\\' || c == '\n') {
		(void)snprintf(ret, LOG_SHOWN_SIZE, "\\%c", c == '\n' ? 'n' : c);
		return 1;
	}
	for (n = 1; n < 4 && ((unsigned char)s[n] & 0xc0) == 0x80;)
		n++;
	if (!str_is_utf8(s, n)) {
		(void)snprintf(ret, LOG_SHOWN_SIZE, "\\ufffd");
		return 1;
	}
	memcpy(ret, s, n);
	ret[n] = '\0';
	return n;
}

/* One value: secrets blotted out, and nothing in it that could end the line or
 * forge a field. *room is what all values of the line have left. The same in both
 * formats, so that both say the same. */
static void put_escaped(struct buf *line, size_t *room, const char *s)
{
	size_t end = line->len + (*room < LOG_VALUE_MAX ? *room : LOG_VALUE_MAX);
	size_t begin = line->len;

	while (*s) {
		char shown[LOG_SHOWN_SIZE];
		size_t n = show_char(s, shown);

		if (line->len + strlen(shown) > end) {
			buf_puts(line, "...");
			break;
		}
		buf_puts(line, shown);
		s += n;
	}
	*room -= line->len - begin < *room ? line->len - begin : *room;
}

static void put_quoted(struct buf *line, size_t *room, const char *s)
{
	buf_putc(line, '"');
	put_escaped(line, room, s);
	buf_putc(line, '"');
}

static bool is_plain(const char *s)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+,%";

	return *s && s[strspn(s, plain)] == '\0';
}

/* A message stands bare where its end cannot be mistaken: the first '=' of the rest
 * of the line belongs to the first field. */
static void put_message(struct buf *line, size_t *room, const char *s)
{
	bool bare = *s && *s != ' ' && s[strlen(s) - 1] != ' ';

	for (const char *c = s; *c && bare; c++)
		bare = *c >= ' ' && *c < 0x7f && !strchr("=\"\\", *c);
	if (bare)
		put_escaped(line, room, s);
	else
		put_quoted(line, room, s);
}

static void put_text(struct buf *line, const char *event, const char *message,
		     const struct log_field *f)
{
	size_t room = LOG_VALUES_MAX;

	buf_printf(line, "%s ", event);
	put_message(line, &room, message);
	for (; f->key; f++) {
		buf_printf(line, " %s=", f->key);
		if (!f->text)
			buf_printf(line, "%lld", (long long)f->number);
		else if (is_plain(f->text))
			put_escaped(line, &room, f->text);
		else
			put_quoted(line, &room, f->text);
	}
}

static void put_json(struct buf *line, const char *event, const char *message,
		     const struct log_field *f)
{
	size_t room = LOG_VALUES_MAX;
	const char *comma = "";

	buf_printf(line, ",\"program\":\"%s\",\"event\":\"%s\",\"msg\":", sink.program,
		   event);
	put_quoted(line, &room, message);
	buf_puts(line, ",\"fields\":{");
	for (; f->key; f++, comma = ",") {
		buf_printf(line, "%s\"%s\":", comma, f->key);
		if (f->text)
			put_quoted(line, &room, f->text);
		else
			buf_printf(line, "%lld", (long long)f->number);
	}
	buf_puts(line, "}}");
}

/* By one write: up to PIPE_BUF bytes no other process's line comes in between, and
 * agent and shims share this descriptor. */
static void write_line(const struct buf *line)
{
	size_t done = 0;

	while (done < line->len) {
		ssize_t n = write(STDERR_FILENO, line->data + done, line->len - done);

		if (n < 0 && errno != EINTR)
			return; /* nowhere to tell of a broken log */
		done += n > 0 ? (size_t)n : 0;
	}
}

void log_event_fields(enum log_level level, const char *event, const char *message,
		      const struct log_field *fields)
{
	CLEAN(buf) struct buf line = BUF_INIT(LOG_LINE_ROOM);
	char now[CLOCK_ISO_SIZE];

	pthread_mutex_lock(&sink.lock);
	if (level > sink.level) {
		pthread_mutex_unlock(&sink.lock);
		return;
	}
	clock_format_iso(clock_wall_ms(), now);
	if (sink.journal)
		buf_printf(&line, "<%d>", (int)level);
	if (sink.format == LOG_FORMAT_JSON) {
		buf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\"", now,
			   level_name(level));
		put_json(&line, event, message, fields);
	} else {
		buf_printf(&line, "%s %-5s ", now, level_name(level));
		put_text(&line, event, message, fields);
	}
	buf_putc(&line, '\n');
	write_line(&line);
	pthread_mutex_unlock(&sink.lock);
}
