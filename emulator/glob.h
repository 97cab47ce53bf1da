/*
 * The patterns of triggers (semantics E13):
 *
 *	*	any characters of one segment (all but /)
 *	**	any characters
 *	?	one character of a segment
 *	[a-z]	one character of a set, [!a-z] of its complement; never a /. Within, * ?
 *		and \ stand for themselves, and so does - where it is first (or last)
 *	{a,b}	one of the patterns; they cannot hold braces again
 *	\x	x itself
 *
 * A text matches when all of it does. Time is linear in the text, whatever the pattern.
 */
#ifndef MH_EMULATOR_GLOB_H
#define MH_EMULATOR_GLOB_H

#include <stdbool.h>

#include "lib/base/err.h"

#define GLOB_MAX_CHARS 255

/* PROTO: an open bracket or brace, braces in braces, a lone backslash, too long. */
int glob_check(const char *pattern, struct mh_err *err) MH_MUST_CHECK;
/* false for a pattern that glob_check() refuses. */
bool glob_matches(const char *pattern, const char *text);

#endif
