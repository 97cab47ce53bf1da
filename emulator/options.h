/*
 * The command line: what is wished for, and settings out of file and options.
 * Errors are told on standard error; what comes back is the exit code (0: go on).
 */
#ifndef MH_EMULATOR_OPTIONS_H
#define MH_EMULATOR_OPTIONS_H

#include "emulator/settings.h"

#define OPTIONS_MAX 128

enum wish {
	WISH_RUN,
	WISH_CHECK,
	WISH_DUMP,
	WISH_SAMPLE,
	WISH_MAN_KEYS,
	WISH_HELP,
	WISH_VERSION
};

struct option_value {
	char *name; /* owned, without the dashes */
	const char *value; /* of argv, or NULL */
};

struct command_line {
	enum wish wish;
	const char *config; /* or NULL */
	bool new_key; /* in place of one that is lost */
	struct option_value options[OPTIONS_MAX];
	size_t option_count;
};

/* 0, or 2 for a usage error. */
int options_read(struct command_line *c, int argc, char **argv);
void options_done(struct command_line *c);
/* 0; 2 when an option is wrong, 78 when the file is. */
int options_settings(const struct command_line *c, struct settings *s);
void options_print_help(void);

#endif
