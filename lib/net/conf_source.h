/*
 * The text of a configuration file with its @include directives followed,
 * before libconfig reads it. Internal to conf.c.
 *
 * libconfig is not let near files itself, for three reasons seen with 1.5: a
 * number past 32 bits wraps around silently, an included directory ends the
 * process, and absolute paths cannot be included. Here each output line
 * remembers the file and line it came from, so that errors still name both.
 */
#ifndef MH_NET_CONF_SOURCE_H
#define MH_NET_CONF_SOURCE_H

#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define CONF_SOURCE_MAX_BYTES (1024 * 1024) /* all files together */
#define CONF_SOURCE_MAX_DEPTH 10 /* of includes within includes */

struct conf_line {
	size_t file; /* index into files */
	unsigned line;
};

struct conf_source {
	struct buf text;
	struct conf_line *lines; /* owned; one for each line of text */
	size_t line_count;
	size_t line_room;
	char **files; /* owned */
	size_t file_count;
};

#define CONF_SOURCE_INIT                                                                 \
	{                                                                                \
		.text = BUF_INIT(CONF_SOURCE_MAX_BYTES)                                  \
	}

/* Reads path, or takes text (when not NULL) as its contents. Relative includes
 * count from the directory of the file that has them. CONFIG on error. */
int conf_source_load(struct conf_source *s, const char *path, const char *text,
		     struct mh_err *err) MH_MUST_CHECK;
/* Where line (from 1) of the joined text came from; *ret_file is borrowed. */
void conf_source_where(const struct conf_source *s, unsigned line, const char **ret_file,
		       unsigned *ret_line);
void conf_source_done(struct conf_source *s);
static inline void clean_conf_source(struct conf_source *s)
{
	conf_source_done(s);
}

#endif
