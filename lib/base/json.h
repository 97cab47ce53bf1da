/*
 * JSON from outside and to outside, on json-c.
 *
 * json_parse() is the only way in: a strict reader of our own (RFC 8259 to the
 * letter, UTF-8, no duplicate keys, depth and size limits) that makes json-c's
 * objects. json-c's own strict mode lets NaN, -01, raw control characters and more
 * pass (measurements, "json-c as gate").
 *
 * Getters borrow: what they answer belongs to the document. They report the
 * member's path, and treat null as absent (semantics A4). One owner per
 * document: `CLEAN(json) struct json_object *doc = NULL;`.
 */
#ifndef MH_BASE_JSON_H
#define MH_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "lib/base/err.h"

#define JSON_DEPTH_MAX 64

static inline void clean_json(struct json_object **doc)
{
	json_object_put(*doc);
}

/* Any JSON value; PROTO with the byte offset when it breaks a rule. A top-level
 * null gives *ret == NULL. */
int json_parse(const char *text, size_t len, struct json_object **ret,
	       struct mh_err *err) MH_MUST_CHECK;
/* The same, and the top level must be an object. */
int json_parse_object(const char *text, size_t len, struct json_object **ret,
		      struct mh_err *err) MH_MUST_CHECK;

/* A required member of that type; PROTO "<key>: missing" or "<key>: not a string". */
int json_get_str(struct json_object *o, const char *key, const char **ret,
		 struct mh_err *err) MH_MUST_CHECK;
int json_get_i64(struct json_object *o, const char *key, int64_t *ret,
		 struct mh_err *err) MH_MUST_CHECK;
int json_get_bool(struct json_object *o, const char *key, bool *ret,
		  struct mh_err *err) MH_MUST_CHECK;
int json_get_object(struct json_object *o, const char *key, struct json_object **ret,
		    struct mh_err *err) MH_MUST_CHECK;
int json_get_array(struct json_object *o, const char *key, struct json_object **ret,
		   struct mh_err *err) MH_MUST_CHECK;

/* An optional member: fallback when absent, null, of another type, or o is NULL. */
const char *json_opt_str(struct json_object *o, const char *key, const char *fallback);
int64_t json_opt_i64(struct json_object *o, const char *key, int64_t fallback);
bool json_opt_bool(struct json_object *o, const char *key, bool fallback);
struct json_object *json_opt_object(struct json_object *o, const char *key); /* NULL */
struct json_object *json_opt_array(struct json_object *o, const char *key); /* NULL */

/* Adding members; NULL strings and NULL objects are left out (semantics A4). */
void json_put_str(struct json_object *o, const char *key, const char *value);
void json_put_i64(struct json_object *o, const char *key, int64_t value);
void json_put_bool(struct json_object *o, const char *key, bool value);
void json_put_obj(struct json_object *o, const char *key, struct json_object *take_value);
/* Epoch seconds with three decimals, as the API sends times (semantics A5). */
void json_put_time(struct json_object *o, const char *key, int64_t wall_ms);

/* Compact text, slashes not escaped. Borrowed until the next call on o. */
const char *json_text(struct json_object *o);

#endif
