#include "emulator/options.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "lib/base/str.h"

#define EXIT_USAGE 2

static int usage_error(const char *what, const char *why)
{
	/* Nobody to tell when this fails. */
	(void)fprintf(stderr, "millhand-emulator: %s%s\nTry: millhand-emulator --help\n",
		      what, why);
	return EXIT_USAGE;
}

void options_print_help(void)
{
	/* A closed stdout is seen when it is flushed. */
	(void)puts(
		"Usage: millhand-emulator --listen 127.0.0.1:4599 --data-dir DIR "
		"[option]...\n"
		"\n"
		"A CodePipeline-compatible server with its own artifact store (S3).\n"
		"\n"
		"  --config FILE             read settings from a file; options win over "
		"it\n"
		"  --new-key                 make a new creds.key where it is lost\n"
		"  --check                   look at the settings, start nothing\n"
		"  --dump                    print the settings as a configuration file\n"
		"  --sample                  print a commented configuration file\n"
		"  --version, --help\n");
	settings_print_options(stdout);
	(void)puts("\nTIME: 250ms, 30s, 5m, 1h, 2d. SIZE: 512, 64k, 10M, 2G. NAME: see "
		   "--sample.\n"
		   "`keys` and `offer` are taken from a file alone.");
}

static bool is_bool(const char *name)
{
	const struct conf_key *key = settings_find_option(name);

	return key && key->type == CONF_BOOL;
}

/* --name=value, --name value, or --name alone for a yes-or-no key. */
static int take_option(struct command_line *c, char **argv, int *at, const char *equals)
{
	const char *argument = argv[*at] + 2, *value = NULL;
	CLEAN(free)
	char *name = equals ? mh_strndup(argument, (size_t)(equals - argument))
			    : mh_strdup(argument);
	bool is_config = strcmp(name, "config") == 0;

	if (!is_config && !settings_find_option(name))
		return usage_error(argv[*at], " is no option");
	if (equals)
		value = equals + 1;
	else if (!is_bool(name))
		value = argv[++*at];
	if (!value && !is_bool(name))
		return usage_error(argv[*at - 1], " wants a value");
	if (is_config)
		c->config = value;
	else
		c->options[c->option_count++] = (struct option_value){ STEAL_PTR(name),
								       value };
	return 0;
}

/* One argument and perhaps its value; 0, or the exit code. */
static int take_argument(struct command_line *c, char **argv, int *at)
{
	static const struct {
		const char *name;
		enum wish wish;
	} wishes[] = { { "check", WISH_CHECK },
		       { "dump", WISH_DUMP },
		       { "sample", WISH_SAMPLE },
		       { "man-keys", WISH_MAN_KEYS }, /* for docs/man/ */
		       { "help", WISH_HELP },
		       { "version", WISH_VERSION } };
	const char *argument = argv[*at];

	if (!str_starts_with(argument, "--") || argument[2] == '\0')
		return usage_error(argument, " is not understood");
	argument += 2;
	if (strcmp(argument, "new-key") == 0) {
		c->new_key = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		if (strcmp(argument, wishes[i].name) == 0) {
			c->wish = wishes[i].wish;
			return 0;
		}
	}
	return take_option(c, argv, at, strchr(argument, '='));
}

int options_read(struct command_line *c, int argc, char **argv)
{
	int rc = 0;

	if (argc > OPTIONS_MAX)
		return usage_error("too many options", "");
	for (int i = 1; i < argc && rc == 0; i++)
		rc = take_argument(c, argv, &i);
	return rc;
}

void options_done(struct command_line *c)
{
	for (size_t i = 0; i < c->option_count; i++)
		free(c->options[i].name);
	c->option_count = 0;
}

static int config_error(const struct mh_err *err, int exit_code)
{
	(void)fprintf(stderr, "millhand-emulator: %s\n",
		      err->text); /* nobody else to tell */
	return exit_code;
}

int options_settings(const struct command_line *c, struct settings *s)
{
	struct mh_err err = MH_ERR_INIT;

	if (settings_read(c->config, s, &err) != 0)
		return config_error(&err, EX_CONFIG);
	for (size_t i = 0; i < c->option_count; i++) {
		if (settings_set_option(s, c->options[i].name, c->options[i].value,
					&err) != 0)
			return config_error(&err, EXIT_USAGE);
	}
	if ((c->wish == WISH_RUN || c->wish == WISH_CHECK) &&
	    settings_check(s, &err) != 0)
		return config_error(&err, c->config ? EX_CONFIG : EXIT_USAGE);
	return 0;
}
