/*
 * The name of an action type as text: "Build/Custom/Make/1", which is category, owner,
 * provider and version. Settings, rows and /_millhand/wait write types so.
 */
#ifndef MH_EMULATOR_TYPE_NAME_H
#define MH_EMULATOR_TYPE_NAME_H

#include <stdbool.h>

#include <json-c/json.h>

/* Whether it is one of this owner ("Custom", "ThirdParty"), in a category that workers
 * can serve. */
bool type_name_is(const char *text, const char *owner);
/* Whether PollForJobs, and not PollForThirdPartyJobs, hands out its jobs. The text is
 * well formed. */
bool type_name_is_custom(const char *text);
/* {"category","owner","provider","version"} of a well-formed one. */
struct json_object *type_name_id(const char *text);
/* The reverse. The caller frees it. */
char *type_name_of(struct json_object *action_type_id);
/* "a/b/c" into exactly `want` parts, in place. */
bool type_name_split(char *text, char **parts, unsigned want);

#endif
