/*
 * What fuzz_json holds the reader of lib/base against: a check that RFC 8259 is kept to
 * the letter, which builds nothing, and behind it json-c's own parser.
 */
#include "tests/fuzz/json_reference.h"

#include <string.h>

#include "lib/base/str.h"

struct key {
	const char *at; /* as written, between the quotes */
	size_t len;
};

struct check {
	const char *text;
	size_t len, pos;
	int depth;
	struct key *keys; /* of all objects open now, inner ones last */
	size_t key_count, key_cap;
	struct mh_err *err;
};

static int check_value(struct check *c);

static int fail(struct check *c, const char *what)
{
	return mh_err_set(c->err, MH_E_PROTO, "JSON: byte %zu: %s", c->pos, what);
}

/* The byte at hand, or -1 at the end. */
static int peek(const struct check *c)
{
	return c->pos < c->len ? (unsigned char)c->text[c->pos] : -1;
}

static void skip_blanks(struct check *c)
{
	while (peek(c) == ' ' || peek(c) == '\t' || peek(c) == '\n' || peek(c) == '\r')
		c->pos++;
}

static int hex4(struct check *c, unsigned *ret)
{
	unsigned value = 0;
	int i;

	for (i = 0; i < 4; i++, c->pos++) {
		int d = peek(c);

		if (d >= '0' && d <= '9')
			d -= '0';
		else if (d >= 'a' && d <= 'f')
			d -= 'a' - 10;
		else if (d >= 'A' && d <= 'F')
			d -= 'A' - 10;
		else
			return fail(c, "\\u wants four hexadecimal digits");
		value = value << 4 | (unsigned)d;
	}
	*ret = value;
	return 0;
}

/* After the backslash. Surrogates must come in pairs. */
static int check_escape(struct check *c)
{
	unsigned unit, low;
	int e = peek(c);

	if (e <= 0 || !strchr("\"\\/bfnrtu", e))
		return fail(c, "unknown escape");
	c->pos++;
	if (e != 'u')
		return 0;
	if (hex4(c, &unit) != 0)
		return -1;
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return fail(c, "lone low surrogate");
	if (unit < 0xd800 || unit > 0xdbff)
		return 0;
	if (c->len - c->pos < 2 || c->text[c->pos] != '\\' || c->text[c->pos + 1] != 'u')
		return fail(c, "lone high surrogate");
	c->pos += 2;
	if (hex4(c, &low) != 0)
		return -1;
	return low >= 0xdc00 && low <= 0xdfff ? 0 : fail(c, "lone high surrogate");
}

static int check_string(struct check *c)
{
	size_t start;

	if (peek(c) != '"')
		return fail(c, "a string was expected");
	start = ++c->pos;
	for (;;) {
		int b = peek(c);

		if (b < 0)
			return fail(c, "the string does not end");
		if (b < 0x20)
			return fail(c, "raw control character in a string");
		c->pos++;
		if (b == '"')
			break;
		if (b == '\\' && check_escape(c) != 0)
			return -1;
	}
	if (!str_is_utf8(c->text + start, c->pos - 1 - start))
		return fail(c, "not UTF-8");
	return 0;
}

static int digits(struct check *c)
{
	size_t start = c->pos;

	while (peek(c) >= '0' && peek(c) <= '9')
		c->pos++;
	return c->pos > start ? 0 : fail(c, "a digit was expected");
}

static int check_number(struct check *c)
{
	if (peek(c) == '-')
		c->pos++;
	if (peek(c) == '0')
		c->pos++;
	else if (digits(c) != 0)
		return -1;
	if (peek(c) == '.') {
		c->pos++;
		if (digits(c) != 0)
			return -1;
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		c->pos++;
		if (peek(c) == '+' || peek(c) == '-')
			c->pos++;
		if (digits(c) != 0)
			return -1;
	}
	return 0;
}

static int check_word(struct check *c, const char *word)
{
	size_t len = strlen(word);

	if (c->len - c->pos < len || memcmp(c->text + c->pos, word, len) != 0)
		return fail(c, "a value was expected");
	c->pos += len;
	return 0;
}

static int key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t shorter = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->at, y->at, shorter);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Duplicate keys of the object whose keys begin at `first`; then forgets them. Keys are
 * compared as written: two spellings of one key (escapes) are caught by the reader's
 * last-one-wins only in what people do not write. */
static int check_duplicates(struct check *c, size_t first)
{
	size_t i, count = c->key_count - first;
	struct key *keys = c->keys + first;

	if (count > 1)
		qsort(keys, count, sizeof *keys, key_compare);
	for (i = 1; i < count; i++) {
		if (key_compare(&keys[i - 1], &keys[i]) == 0)
			return mh_err_set(c->err, MH_E_PROTO,
					  "JSON: byte %zu: the key \"%.*s\" comes twice",
					  (size_t)(keys[i].at - c->text),
					  (int)(keys[i].len < 100 ? keys[i].len : 100),
					  keys[i].at);
	}
	c->key_count = first;
	return 0;
}

static void keep_key(struct check *c, size_t start)
{
	if (c->key_count == c->key_cap) {
		c->key_cap = c->key_cap ? c->key_cap * 2 : 32;
		c->keys = mh_realloc(c->keys, c->key_cap * sizeof *c->keys);
	}
	c->keys[c->key_count++] = (struct key){ .at = c->text + start + 1,
						.len = c->pos - start - 2 };
}

static int check_object(struct check *c)
{
	size_t first = c->key_count;

	c->pos++;
	skip_blanks(c);
	if (peek(c) == '}') {
		c->pos++;
		return 0;
	}
	for (;;) {
		size_t start;

		skip_blanks(c);
		start = c->pos;
		if (check_string(c) != 0)
			return -1;
		keep_key(c, start);
		skip_blanks(c);
		if (peek(c) != ':')
			return fail(c, "':' was expected");
		c->pos++;
		if (check_value(c) != 0)
			return -1;
		skip_blanks(c);
		if (peek(c) == '}') {
			c->pos++;
			return check_duplicates(c, first);
		}
		if (peek(c) != ',')
			return fail(c, "',' or '}' was expected");
		c->pos++;
	}
}

static int check_array(struct check *c)
{
	c->pos++;
	skip_blanks(c);
	if (peek(c) == ']') {
		c->pos++;
		return 0;
	}
	for (;;) {
		if (check_value(c) != 0)
			return -1;
		skip_blanks(c);
		if (peek(c) == ']') {
			c->pos++;
			return 0;
		}
		if (peek(c) != ',')
			return fail(c, "',' or ']' was expected");
		c->pos++;
	}
}

static int check_nested(struct check *c)
{
	int rc;

	if (++c->depth > JSON_DEPTH_MAX)
		return fail(c, "nested too deeply");
	rc = peek(c) == '{' ? check_object(c) : check_array(c);
	c->depth--;
	return rc;
}

static int check_value(struct check *c)
{
	skip_blanks(c);
	switch (peek(c)) {
	case '{':
	case '[':
		return check_nested(c);
	case '"':
		return check_string(c);
	case 't':
		return check_word(c, "true");
	case 'f':
		return check_word(c, "false");
	case 'n':
		return check_word(c, "null");
	case '-':
	case '0' ... '9':
		return check_number(c);
	default:
		return fail(c, "a value was expected");
	}
}

static int check_all(const char *text, size_t len, struct mh_err *err)
{
	struct check c = { .text = text, .len = len, .err = err };
	int rc = check_value(&c);

	if (rc == 0) {
		skip_blanks(&c);
		if (c.pos != len)
			rc = fail(&c, "something follows the value");
	}
	free(c.keys);
	return rc;
}

int json_reference_parse(const char *text, size_t len, struct json_object **ret,
			 struct mh_err *err)
{
	struct json_tokener *tok;
	enum json_tokener_error error;

	if (check_all(text, len, err) != 0)
		return -1;
	tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	MH_ASSERT(tok);
	/* The NUL tells json-c that a number at the end is over. */
	*ret = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) == json_tokener_continue)
		*ret = json_tokener_parse_ex(tok, "", 1);
	error = json_tokener_get_error(tok);
	json_tokener_free(tok);
	return error == json_tokener_success ? 0
					     : mh_err_set(err, MH_E_PROTO, "JSON: %s",
							  json_tokener_error_desc(error));
}
