/*
 * What a GET or HEAD asks for beyond the object's name: a byte range, and
 * conditions on what is there. Pure functions.
 */
#ifndef MH_EMULATOR_S3_RANGE_H
#define MH_EMULATOR_S3_RANGE_H

#include <stdint.h>

enum range_kind {
	RANGE_WHOLE, /* no range, or one that HTTP says to ignore */
	RANGE_PART, /* 206 */
	RANGE_UNSATISFIABLE, /* 416 */
};

struct range {
	enum range_kind kind;
	int64_t start, len; /* set for WHOLE and PART */
};

/* header is the Range header or NULL. One range of bytes, as S3 serves it: "a-b",
 * "a-" and "-n"; several ranges, other units and nonsense mean the whole object. */
struct range range_parse(const char *header, int64_t size);

/* The bytes of the n-th part of an object that came in parts of these lengths ("5,5,2";
 * NULL: it came whole, and is its own first part). UNSATISFIABLE when there is none;
 * *ret_count: how many there are. */
struct range range_of_part(const char *parts, int64_t number, int64_t size,
			   int64_t *ret_count);

struct conditions {
	/* The headers as they came; NULL when absent. */
	const char *if_match, *if_none_match;
	const char *if_modified_since, *if_unmodified_since;
};

/* 200: go on; 304 or 412. etag has no quotes. RFC 9110 13.2.2: If-Match stands
 * before If-Unmodified-Since, If-None-Match before If-Modified-Since. */
int conditions_check(const struct conditions *c, const char *etag, int64_t modified_ms);

/* Whether a list like `"a", W/"b"` or `*` names this entity tag. */
int etag_in_list(const char *list, const char *etag);

#endif
