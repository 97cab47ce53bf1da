/*
 * The JSON paths of webhook filters: `$`, then any of
 *
 *	.name  ['name']  ["name"]	a member
 *	[0]  [-1]			an element, from the end when negative
 *	.*  [*]				every member or element
 *
 * Anything else in a path is refused when the webhook is made.
 */
#ifndef MH_EMULATOR_JSONPATH_H
#define MH_EMULATOR_JSONPATH_H

#include "lib/base/json.h"

/* PROTO with the place and what is wrong there. */
int jsonpath_check(const char *path, struct mh_err *err) MH_MUST_CHECK;
/* Whether the path, which was checked, selects anything in doc; with `equals`, whether
 * it selects that text, or a number, true or false that is written so. */
bool jsonpath_matches(const char *path, struct json_object *doc, const char *equals);

#endif
