#include "lib/base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define LOG_LINE_MAX   (64 * 1024)
#define LOG_VALUE_MAX  8192
#define LOG_SECRET_MIN 6

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

/* The longest secret that s begins with, 0 for none. Under the lock. */
static size_t secret_at(const char *s)
{
	size_t i, longest = 0;

	for (i = 0; i < sink.secret_count; i++) {
		size_t len = strlen(sink.secrets[i]);

		if (len > longest && strncmp(s, sink.secrets[i], len) == 0)
			longest = len;
	}
	return longest;
}

/* One value: secrets blotted out, control characters and broken UTF-8 escaped, so
 * that it cannot end the line or forge a field. */
static void put_escaped(struct buf *line, const char *s)
{
	size_t len = strnlen(s, LOG_VALUE_MAX), at = 0;

	if (len == LOG_VALUE_MAX)
		len = str_utf8_floor(s, len, len);
	while (at < len) {
		unsigned char c = (unsigned char)s[at];
		size_t hidden = sink.secret_count ? secret_at(s + at) : 0, n = 1;

		if (hidden) {
			buf_puts(line, "****");
			at += hidden;
			continue;
		}
		while (n < 4 && at + n < len && ((unsigned char)s[at + n] & 0xc0) == 0x80)
			n++;
		if (c == '"' || c == '\\')
			buf_printf(line, "\\%c", c);
		else if (c == '\n')
			buf_puts(line, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(line, "\\u%04x", c);
		else if (!str_is_utf8(s + at, n)) {
			buf_puts(line, "\\ufffd");
			n = 1;
		} else {
			struct mh_err err;

			if (buf_add(line, s + at, n, &err) != 0)
				return; /* the line is full: cut */
		}
		at += n;
		if (line->len > LOG_LINE_MAX - 1024)
			return;
	}
}

static void put_field_text(struct buf *line, const struct log_field *f)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+,%";

	buf_printf(line, " %s=", f->key);
	if (!f->text) {
		buf_printf(line, "%lld", (long long)f->number);
		return;
	}
	if (*f->text && strlen(f->text) < LOG_VALUE_MAX &&
	    f->text[strspn(f->text, plain)] == '\0') {
		put_escaped(line, f->text);
		return;
	}
	buf_putc(line, '"');
	put_escaped(line, f->text);
	buf_putc(line, '"');
}

static void put_field_json(struct buf *line, const char *key, const struct log_field *f)
{
	buf_printf(line, ",\"%s\":", key);
	if (!f->text) {
		buf_printf(line, "%lld", (long long)f->number);
		return;
	}
	buf_putc(line, '"');
	put_escaped(line, f->text);
	buf_putc(line, '"');
}

void log_event_fields(enum log_level level, const char *event, const char *message,
		      const struct log_field *fields)
{
	CLEAN(buf) struct buf line = BUF_INIT(4 * LOG_LINE_MAX);
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
		struct log_field text = LOG_S("message", message);

		buf_printf(&line,
			   "{\"ts\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"event\":"
			   "\"%s\"",
			   now, level_name(level), sink.program, event);
		put_field_json(&line, "message", &text);
		for (; fields->key && line.len < LOG_LINE_MAX; fields++)
			put_field_json(&line, fields->key, fields);
		buf_putc(&line, '}');
	} else {
		buf_printf(&line, "%s %-5s %s ", now, level_name(level), event);
		put_escaped(&line, message);
		for (; fields->key && line.len < LOG_LINE_MAX; fields++)
			put_field_text(&line, fields);
	}
	buf_putc(&line, '\n');
	(void)fwrite(line.data, 1, line.len,
		     stderr); /* nowhere to tell of a broken log */
	(void)fflush(stderr);
	pthread_mutex_unlock(&sink.lock);
}
