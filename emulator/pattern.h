/*
 * The service model's regular expressions, and those of VariableCheck rules. They are
 * Java's: literals, classes, groups, alternatives, `* + ? {n} {n,} {n,m}` (also lazy),
 * `.`, and the escapes \d \w \s \D \W \S \t \n \r; a text matches when all of it
 * does. Anything else in a pattern is an error when it is compiled. Matching takes time
 * linear in the text, whatever the pattern: the text comes from outside.
 */
#ifndef MH_EMULATOR_PATTERN_H
#define MH_EMULATOR_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct pattern;

int pattern_new(const char *source, struct pattern **ret,
		struct mh_err *err) MH_MUST_CHECK;
void pattern_free(struct pattern *p);
/* text is well-formed UTF-8 and may hold NULs; one character is one code point. */
bool pattern_matches(const struct pattern *p, const char *text, size_t len);

#endif
