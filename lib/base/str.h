/*
 * Strict parsing and printing of small values: numbers, durations, sizes, hex,
 * base64, UUIDs, UTF-8. Parsers take the whole string or refuse it; they never
 * skip blanks, accept signs they were not asked for, or wrap around.
 */
#ifndef MH_BASE_STR_H
#define MH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Decimal, min <= value <= max, else PROTO naming `what`. */
int str_to_i64(const char *s, int64_t min, int64_t max, const char *what, int64_t *ret,
	       struct mh_err *err) MH_MUST_CHECK;

/* "250ms", "30s", "5m", "1h", "2d", or a bare number of seconds; in milliseconds. */
int str_to_duration_ms(const char *s, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;

/* "512", "64k", "10M", "2G", "1T" (powers of 1024); in bytes. */
int str_to_size(const char *s, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;

/* out has room for 2 * len + 1. Lower case. */
void str_hex(const void *data, size_t len, char *out);
/* The value of one digit of either case, or -1. */
int str_hex_digit(char c);
/* Either case; exactly 2 * len digits, else false. */
bool str_unhex(const char *hex, void *data, size_t len);

/* Standard alphabet with padding; the answer is the caller's to free. */
char *str_base64(const void *data, size_t len) MH_MUST_CHECK;
/* Strict; *ret is the caller's to free. */
int str_unbase64(const char *s, unsigned char **ret, size_t *ret_len,
		 struct mh_err *err) MH_MUST_CHECK;

#define STR_UUID_SIZE 37
/* A random version 4 UUID in lower case. */
void str_uuid(char out[STR_UUID_SIZE]);
/* The API's pattern: lower-case hex, 8-4-4-4-12. */
bool str_is_uuid(const char *s);

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool str_is_utf8(const char *s, size_t len);
/* The largest length <= max_bytes that does not cut a character of s. */
size_t str_utf8_floor(const char *s, size_t len, size_t max_bytes);
/* Characters (code points) in well-formed UTF-8. */
size_t str_utf8_count(const char *s, size_t len);

bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);

/* Compares in time that depends on the lengths alone. */
bool str_equal_secret(const char *a, const char *b);

#endif
