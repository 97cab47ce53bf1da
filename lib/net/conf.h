/*
 * Configuration files (libconfig) read by tables: one row per key yields
 * parsing, range check, --check, --dump, the commented sample in etc/ and the
 * manual page's list.
 *
 *	static const struct conf_key keys[] = {
 *		{ .path = "max_jobs", .type = CONF_INT,
 *		  .offset = offsetof(struct settings, max_jobs),
 *		  .min = 1, .max = 10000, .def = "8", .unit = "jobs",
 *		  .reloadable = true, .help = "jobs at once on this host" },
 *		{ .path = "actions", .type = CONF_GROUPS, ...
 *		  .sub = action_keys, .sub_size = sizeof(struct action) },
 *		{ 0 } };
 *
 * An unknown key, a wrong type or a value out of range is one CONFIG error that
 * names file and line, says what was found and what is allowed. @include works,
 * relative to the file that has it.
 *
 * def and example hold a value as a person thinks of it: bare text for STRING,
 * DURATION, SIZE and CHOICE ("30s", not "\"30s\""), libconfig's own notation for
 * the rest ("8", "true", "(\"a\", \"b\")", "[0, 1]"). A wrong def is a bug and aborts.
 *
 * An absent GROUP has its keys' defaults, and its required keys stay absent: give
 * such a group at least one required STRING if its presence matters. An absent
 * GROUPS is an empty list, an absent MAP is NULL.
 */
#ifndef MH_NET_CONF_H
#define MH_NET_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum conf_type {
	CONF_STRING, /* char *, owned; NULL when absent and no default */
	CONF_INT, /* int64_t */
	CONF_BOOL, /* bool */
	CONF_DURATION, /* int64_t milliseconds; "30s" or a number of seconds */
	CONF_SIZE, /* int64_t bytes; "10M" or a number */
	CONF_CHOICE, /* int: index into choices */
	CONF_STRINGS, /* struct conf_strings: list or array of strings */
	CONF_PAIR, /* struct conf_pair: [min, max] */
	CONF_MAP, /* struct json_object *, owned: a group of scalars, kept as strings */
	CONF_GROUP, /* a nested group: sub's offsets count from this key's offset */
	CONF_GROUPS, /* struct conf_list of structs: a list of groups */
};

struct conf_strings {
	char **items; /* owned */
	size_t count;
};
struct conf_pair {
	int64_t min, max;
	bool set;
};
struct conf_list {
	void *items; /* array of sub_size bytes each, owned */
	size_t count;
};

struct conf_key {
	const char *path; /* the key's name within its group; NULL ends the table */
	enum conf_type type;
	size_t offset; /* of the field in the struct */
	int64_t min, max; /* INT, DURATION (ms), SIZE, PAIR; both 0 = any >= 0 */
	const char *def; /* default, NULL = absent */
	const char *example; /* for the sample, where there is no default */
	bool required;
	bool secret; /* --dump shows **** */
	size_t shown_by; /* of a secret MAP: offset of a STRINGS that names what is shown
			  */
	bool reloadable; /* conf_keep() leaves it as it is in the new settings; decided by
			    the outermost key, and for types up to CHOICE and GROUP alone
			  */
	const char *unit;
	const char *help;
	const char *const *choices; /* CHOICE; NULL-terminated */
	const struct conf_key *sub; /* GROUP, GROUPS */
	size_t sub_size; /* GROUPS: sizeof one item */
};

/* Fills *settings (zeroed by the caller) with defaults, then the file's values.
 * text != NULL: parse that string instead, `path` names it in errors. On error
 * *settings is released. */
int conf_read(const char *path, const char *text, const struct conf_key *keys,
	      void *settings, struct mh_err *err) MH_MUST_CHECK;
void conf_free(const struct conf_key *keys, void *settings);

/* Before `next` (read and checked) takes the place of `now`: every key that is not
 * reloadable gets its present value, strings as the very pointers, so that who
 * borrowed one may go on; `now` keeps copies. Names of keys whose values differed are
 * added to kept, ("state_dir, region"). */
void conf_keep(const struct conf_key *keys, void *now, void *next, struct buf *kept);

/* For what is found wrong with values after reading: "FILE:LINE" of the key
 * ("region", "actions.[0].plugin"), or "FILE" when it is not there. Reads path or
 * text once more; the caller frees the answer. */
char *conf_where(const char *path, const char *text, const char *key) MH_MUST_CHECK;

/* Writes every key that has a value: reading it back gives the same settings,
 * but for secrets, which appear as "****". Write errors show in ferror(out). */
void conf_dump(FILE *out, const struct conf_key *keys, const void *settings);
/* A commented sample with every key (etc/): lines that begin with "# " explain,
 * lines that begin with '#' and no blank are settings at their default (or with
 * their example), to be used by taking the '#' away. Required keys stand
 * uncommented, so the sample can be read as it is when they have examples. */
void conf_sample(FILE *out, const struct conf_key *keys);
/* The list of keys for a manual page, in mdoc(7): what each means, what it may be,
 * and its default. docs/man/ holds it; a test compares. */
void conf_man(FILE *out, const struct conf_key *keys);

#endif
