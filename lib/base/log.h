/*
 * The log: one line per event on standard error, in text or JSON.
 *
 *	log_init("millhand-agent", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
 *	log_event(LOG_LEVEL_INFO, "job.owned", "acknowledged",
 *		  LOG_S("job", id), LOG_I("n", n), LOG_END);
 *
 * The event id ("job.owned") is stable and meant for machines; docs/events.md has
 * them all, and the grammar of both formats. Messages and values are quoted and
 * control characters escaped, so nothing from outside can forge a line or a field;
 * long ones are cut ("..."). A line is at most 4096 bytes and leaves by one write,
 * so that none is torn where several processes share a pipe. The level comes first
 * as <N> when standard error is systemd's journal (JOURNAL_STREAM).
 *
 * Secrets are never handed to these functions; as a second wall, every value
 * registered with log_redact() is shown as ****.
 */
#ifndef MH_BASE_LOG_H
#define MH_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
	const char *key; /* NULL ends the list */
	const char *text; /* NULL: number is meant */
	int64_t number;
};

#define LOG_S(k, v) ((struct log_field){ .key = (k), .text = (v) ? (v) : "" })
#define LOG_I(k, v) ((struct log_field){ .key = (k), .text = NULL, .number = (v) })
#define LOG_ERR(e)  LOG_S("error", (e)->text), LOG_S("class", mh_err_class_name((e)->cls))
#define LOG_END     ((struct log_field){ .key = NULL })

/* program is borrowed and must live on. Thread-safe from then on. */
void log_init(const char *program, enum log_format format, enum log_level level);
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
int log_level_parse(const char *s, enum log_level *ret, struct mh_err *err) MH_MUST_CHECK;

void log_event_fields(enum log_level level, const char *event, const char *message,
		      const struct log_field *fields);
/* The list is ended once more: a forgotten LOG_END must not read past it. */
#define log_event(level, event, message, ...)                                            \
	log_event_fields((level), (event), (message),                                    \
			 (const struct log_field[]){ __VA_ARGS__, LOG_END })

/* From now on, show this value as ****. Values under 6 bytes are not taken (they
 * would blot out ordinary words). Thread-safe; forgotten with log_unredact_all. */
void log_redact(const char *secret);
/* Takes back one log_redact() of this value; NULL is none. For secrets that are
 * replaced all the time. */
void log_unredact(const char *secret);
void log_unredact_all(void);

#endif
