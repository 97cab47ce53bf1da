/*
 * RFC 8259 to the letter, and json-c objects made in the same pass: json-c's own parser
 * lets too much pass, and costs twice as much as all of this (bench/README.md).
 * tests/fuzz/fuzz_json.c holds the two against each other.
 */
#include <limits.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/str.h"

#define AT_LEAST(minor) (JSON_C_VERSION_NUM >= ((minor) << 8))
#define NUMBER_USUAL    64 /* longer ones are read from a copy on the heap */

struct reader {
	const char *text, *at, *end;
	int depth;
	char *scratch; /* keys, and strings with escapes */
	size_t scratch_size;
	struct mh_err *err;
};

/* *ret is the caller's, NULL for a null. */
static int read_value(struct reader *r, struct json_object **ret);

static int fail(struct reader *r, const char *what)
{
	return mh_err_set(r->err, MH_E_PROTO, "JSON: byte %zu: %s",
			  (size_t)(r->at - r->text), what);
}

static struct json_object *made(struct json_object *o)
{
	if (!o)
		MH_BUG("out of memory");
	return o;
}

/* The byte at hand, or -1 at the end. */
static int peek(const struct reader *r)
{
	return r->at < r->end ? (unsigned char)*r->at : -1;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

/* --- strings ------------------------------------------------------------------- */

/* What lies between the quotes, as written and found to be right. */
struct raw_string {
	const char *at;
	size_t len;
	bool has_escapes;
};

static int hex4(struct reader *r, unsigned *ret)
{
	unsigned value = 0;
	int i;

	for (i = 0; i < 4; i++, r->at++) {
		int d = peek(r);

		if (d >= '0' && d <= '9')
			d -= '0';
		else if (d >= 'a' && d <= 'f')
			d -= 'a' - 10;
		else if (d >= 'A' && d <= 'F')
			d -= 'A' - 10;
		else
			return fail(r, "\\u wants four hexadecimal digits");
		value = value << 4 | (unsigned)d;
	}
	*ret = value;
	return 0;
}

/* After the backslash. Surrogates must come in pairs. */
static int check_escape(struct reader *r)
{
	unsigned unit, low;
	int e = peek(r);

	if (e <= 0 || !strchr("\"\\/bfnrtu", e))
		return fail(r, "unknown escape");
	r->at++;
	if (e != 'u')
		return 0;
	if (hex4(r, &unit) != 0)
		return -1;
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return fail(r, "lone low surrogate");
	if (unit < 0xd800 || unit > 0xdbff)
		return 0;
	if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
		return fail(r, "lone high surrogate");
	r->at += 2;
	if (hex4(r, &low) != 0)
		return -1;
	return low >= 0xdc00 && low <= 0xdfff ? 0 : fail(r, "lone high surrogate");
}

/* Whether eight bytes are ASCII without quote, backslash and control characters. It may
 * deny that of some that are, never the other way: each such byte sets its own top bit,
 * borrowed from or not. */
static bool is_plain8(const char *at)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
	uint64_t bytes, quote, backslash;

	memcpy(&bytes, at, sizeof(bytes));
	quote = bytes ^ ones * '"';
	backslash = bytes ^ ones * '\\';
	return (((bytes - ones * 0x20) | (quote - ones) | (backslash - ones) | bytes) &
		tops) == 0;
}

static int read_raw(struct reader *r, struct raw_string *ret)
{
	const char *start;
	bool is_ascii = true;

	if (peek(r) != '"')
		return fail(r, "a string was expected");
	start = ++r->at;
	ret->has_escapes = false;
	for (;;) {
		int b;

		while (r->end - r->at >= 8 && is_plain8(r->at))
			r->at += 8;
		b = peek(r);
		if (b < 0)
			return fail(r, "the string does not end");
		if (b < 0x20)
			return fail(r, "raw control character in a string");
		r->at++;
		if (b == '"')
			break;
		is_ascii = is_ascii && b < 0x80;
		if (b != '\\')
			continue;
		ret->has_escapes = true;
		if (check_escape(r) != 0)
			return -1;
	}
	ret->at = start;
	ret->len = (size_t)(r->at - 1 - start);
	return is_ascii || str_is_utf8(start, ret->len) ? 0 : fail(r, "not UTF-8");
}

static unsigned unhex4(const char *at)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)at[i];

		value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static char *put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = (char)(0xe0 | c >> 12);
		} else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

/* One escape that read_raw() has checked, from its letter on; answers what follows. */
static const char *put_escape(const char *at, char **out)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	unsigned unit;

	if (*at != 'u') {
		*(*out)++ = means[strchr(letters, *at) - letters];
		return at + 1;
	}
	unit = unhex4(at + 1);
	at += 5;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		unit = 0x10000 + ((unit - 0xd800) << 10) + (unhex4(at + 2) - 0xdc00);
		at += 6;
	}
	*out = put_utf8(*out, unit);
	return at;
}

/* The string as meant, with a NUL after it, in the scratch memory; answers its length.
 * No escape means more bytes than it has. */
static size_t decode(struct reader *r, const struct raw_string *raw)
{
	const char *at = raw->at, *end = raw->at + raw->len;
	char *out;

	if (raw->len >= r->scratch_size) {
		r->scratch_size = raw->len * 2 + NUMBER_USUAL;
		r->scratch = mh_realloc(r->scratch, r->scratch_size);
	}
	out = r->scratch;
	if (!raw->has_escapes) {
		memcpy(out, at, raw->len);
		out += raw->len;
		at = end;
	}
	while (at < end) {
		if (*at == '\\')
			at = put_escape(at + 1, &out);
		else
			*out++ = *at++;
	}
	*out = '\0';
	return (size_t)(out - r->scratch);
}

static int read_string(struct reader *r, struct json_object **ret)
{
	struct raw_string raw;
	const char *text;
	size_t len;

	if (read_raw(r, &raw) != 0)
		return -1;
	text = raw.at;
	len = raw.len;
	if (raw.has_escapes) {
		len = decode(r, &raw);
		text = r->scratch;
	}
	*ret = made(json_object_new_string_len(text, (int)len));
	return 0;
}

/* --- numbers and words ----------------------------------------------------------- */

static int digits(struct reader *r)
{
	const char *start = r->at;

	while (peek(r) >= '0' && peek(r) <= '9')
		r->at++;
	return r->at > start ? 0 : fail(r, "a digit was expected");
}

static int check_number(struct reader *r, bool *ret_whole)
{
	*ret_whole = true;
	if (peek(r) == '-')
		r->at++;
	if (peek(r) == '0')
		r->at++;
	else if (digits(r) != 0)
		return -1;
	if (peek(r) == '.') {
		*ret_whole = false;
		r->at++;
		if (digits(r) != 0)
			return -1;
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		*ret_whole = false;
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		if (digits(r) != 0)
			return -1;
	}
	return 0;
}

/* Whole numbers beyond 64 bits become the nearest there is, as in json-c. */
static struct json_object *number(const char *text, bool is_whole)
{
	unsigned long long u;

	if (!is_whole)
		return made(json_object_new_double_s(strtod(text, NULL), text));
	if (*text == '-')
		return made(json_object_new_int64(strtoll(text, NULL, 10)));
	u = strtoull(text, NULL, 10);
#if AT_LEAST(14)
	if (u > INT64_MAX)
		return made(json_object_new_uint64(u));
#endif
	return made(json_object_new_int64(u > INT64_MAX ? INT64_MAX : (int64_t)u));
}

static int read_number(struct reader *r, struct json_object **ret)
{
	const char *start = r->at;
	char usual[NUMBER_USUAL];
	CLEAN(free) char *longer = NULL;
	char *text = usual;
	bool is_whole;
	size_t len;

	if (check_number(r, &is_whole) != 0)
		return -1;
	len = (size_t)(r->at - start);
	if (len >= sizeof(usual))
		text = longer = mh_alloc(len + 1);
	memcpy(text, start, len);
	text[len] = '\0';
	*ret = number(text, is_whole);
	return 0;
}

static int read_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return fail(r, "a value was expected");
	r->at += len;
	return 0;
}

static int read_bool(struct reader *r, bool value, struct json_object **ret)
{
	if (read_word(r, value ? "true" : "false") != 0)
		return -1;
	*ret = made(json_object_new_boolean(value));
	return 0;
}

/* --- objects and arrays ------------------------------------------------------------- */

/* Keys are compared as meant, whatever escapes they are written with, and as json-c
 * keeps them: up to a NUL. */
static int add_member(struct reader *r, struct json_object *o,
		      const struct raw_string *key, struct json_object *take_value)
{
	int before = json_object_object_length(o);

	(void)decode(r, key); /* json-c measures it */
	if (json_object_object_add(o, r->scratch, take_value) != 0)
		MH_BUG("out of memory");
	if (json_object_object_length(o) > before)
		return 0;
	return mh_err_set(r->err, MH_E_PROTO,
			  "JSON: byte %zu: the key \"%.*s\" comes twice",
			  (size_t)(key->at - r->text),
			  (int)(key->len < 100 ? key->len : 100), key->at);
}

static int read_member(struct reader *r, struct json_object *o)
{
	struct json_object *value = NULL;
	struct raw_string key;

	skip_blanks(r);
	if (read_raw(r, &key) != 0)
		return -1;
	skip_blanks(r);
	if (peek(r) != ':')
		return fail(r, "':' was expected");
	r->at++;
	if (read_value(r, &value) != 0)
		return -1;
	return add_member(r, o, &key, value);
}

static int read_element(struct reader *r, struct json_object *array)
{
	struct json_object *value = NULL;

	if (read_value(r, &value) != 0)
		return -1;
	if (json_object_array_add(array, value) != 0)
		MH_BUG("out of memory");
	return 0;
}

/* The members of an object, or the elements of an array, into `into`. */
static int read_all(struct reader *r, struct json_object *into, bool is_object)
{
	char closing = is_object ? '}' : ']';

	r->at++;
	skip_blanks(r);
	if (peek(r) == closing) {
		r->at++;
		return 0;
	}
	for (;;) {
		if ((is_object ? read_member(r, into) : read_element(r, into)) != 0)
			return -1;
		skip_blanks(r);
		if (peek(r) == closing) {
			r->at++;
			return 0;
		}
		if (peek(r) != ',')
			return fail(r, is_object ? "',' or '}' was expected"
						 : "',' or ']' was expected");
		r->at++;
	}
}

static struct json_object *new_array(void)
{
#if AT_LEAST(15)
	return json_object_new_array_ext(4); /* not 32 */
#else
	return json_object_new_array();
#endif
}

static int read_nested(struct reader *r, bool is_object, struct json_object **ret)
{
	CLEAN(json) struct json_object *o = NULL;

	if (++r->depth > JSON_DEPTH_MAX)
		return fail(r, "nested too deeply");
	o = made(is_object ? json_object_new_object() : new_array());
	if (read_all(r, o, is_object) != 0)
		return -1;
	r->depth--;
	*ret = STEAL_PTR(o);
	return 0;
}

static int read_value(struct reader *r, struct json_object **ret)
{
	skip_blanks(r);
	switch (peek(r)) {
	case '{':
	case '[':
		return read_nested(r, *r->at == '{', ret);
	case '"':
		return read_string(r, ret);
	case 't':
		return read_bool(r, true, ret);
	case 'f':
		return read_bool(r, false, ret);
	case 'n':
		*ret = NULL;
		return read_word(r, "null");
	case '-':
	case '0' ... '9':
		return read_number(r, ret);
	default:
		return fail(r, "a value was expected");
	}
}

int json_parse(const char *text, size_t len, struct json_object **ret, struct mh_err *err)
{
	struct reader r = { .text = text, .at = text, .end = text + len, .err = err };
	CLEAN(json) struct json_object *doc = NULL;
	int rc;

	if (len > INT_MAX - 1)
		return mh_err_set(err, MH_E_PROTO, "JSON: %zu bytes are too many", len);
	rc = read_value(&r, &doc);
	if (rc == 0) {
		skip_blanks(&r);
		if (r.at != r.end)
			rc = fail(&r, "something follows the value");
	}
	free(r.scratch);
	if (rc == 0)
		*ret = STEAL_PTR(doc);
	return rc;
}
