/*
 * Tags as they come with a create operation (semantics F): at most 50, keys not
 * empty and not of AWS's own prefix, a limited set of characters.
 */
#ifndef MH_EMULATOR_API_TAGS_H
#define MH_EMULATOR_API_TAGS_H

#include "emulator/op.h"

#define TAGS_MAX 50

/* tags may be NULL; arn names the resource. TooManyTagsException, InvalidTagsException.
 */
int tags_check(struct json_object *tags, const char *arn, struct api_error *err);
bool tags_key_is_reserved(const char *key);
/* Text for the store, borrowed from tags; NULL when there are none. */
const char *tags_text(struct json_object *tags);
/* Into an answer's `tags`, from what the store has (NULL: left out). */
int tags_answer(struct json_object *out, const char *text, struct api_error *err);

#endif
