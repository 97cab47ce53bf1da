#include "lib/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* Digits alone, no overflow; *end is the first byte that is no digit. */
static bool parse_digits(const char *s, int64_t *ret, const char **end)
{
	int64_t value = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *s - '0', &value))
			return false;
	}
	*ret = value;
	*end = s;
	return true;
}

int str_to_i64(const char *s, int64_t min, int64_t max, const char *what, int64_t *ret,
	       struct mh_err *err)
{
	bool negative = s[0] == '-' && min < 0;
	const char *end;
	int64_t value;

	if (!parse_digits(s + negative, &value, &end) || *end != '\0')
		return mh_err_set(err, MH_E_PROTO, "%s: '%s' is not a whole number", what,
				  s);
	if (negative)
		value = -value;
	if (value < min || value > max)
		return mh_err_set(err, MH_E_PROTO, "%s: %s is not between %lld and %lld",
				  what, s, (long long)min, (long long)max);
	*ret = value;
	return 0;
}

struct unit {
	const char *suffix;
	int64_t factor;
};

static int parse_with_unit(const char *s, const struct unit *units, const char *what,
			   int64_t *ret, struct mh_err *err)
{
	const char *end;
	int64_t value;

	if (!parse_digits(s, &value, &end))
		return mh_err_set(err, MH_E_PROTO, "'%s' is not a %s", s, what);
	for (; units->suffix; units++) {
		if (strcmp(end, units->suffix) != 0)
			continue;
		if (__builtin_mul_overflow(value, units->factor, &value))
			return mh_err_set(err, MH_E_PROTO, "'%s' is too large", s);
		*ret = value;
		return 0;
	}
	return mh_err_set(err, MH_E_PROTO, "'%s' is not a %s", s, what);
}

int str_to_duration_ms(const char *s, int64_t *ret, struct mh_err *err)
{
	static const struct unit units[] = { { "ms", 1 },          { "", 1000 },
					     { "s", 1000 },        { "m", 60 * 1000 },
					     { "h", 3600 * 1000 }, { "d", 86400 * 1000 },
					     { NULL, 0 } };

	return parse_with_unit(s, units, "duration (such as 250ms, 30s, 5m, 1h, 2d)", ret,
			       err);
}

int str_to_size(const char *s, int64_t *ret, struct mh_err *err)
{
	static const struct unit units[] = { { "", 1 },          { "k", 1LL << 10 },
					     { "K", 1LL << 10 }, { "M", 1LL << 20 },
					     { "G", 1LL << 30 }, { "T", 1LL << 40 },
					     { NULL, 0 } };

	return parse_with_unit(s, units, "size (such as 512, 64k, 10M, 2G)", ret, err);
}

void str_hex(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;
	size_t i;

	for (i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
}

int str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool str_unhex(const char *hex, void *data, size_t len)
{
	unsigned char *p = data;
	size_t i;

	if (strlen(hex) != 2 * len)
		return false;
	for (i = 0; i < len; i++) {
		int high = str_hex_digit(hex[2 * i]), low = str_hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		p[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *str_base64(const void *data, size_t len)
{
	const unsigned char *p = data;
	char *out = mh_alloc((len + 2) / 3 * 4 + 1);
	size_t i, o = 0;

	for (i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16;

		if (i + 1 < len)
			bits |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			bits |= p[i + 2];
		out[o++] = base64_digits[bits >> 18];
		out[o++] = base64_digits[bits >> 12 & 63];
		out[o++] = i + 1 < len ? base64_digits[bits >> 6 & 63] : '=';
		out[o++] = i + 2 < len ? base64_digits[bits & 63] : '=';
	}
	return out;
}

int str_unbase64(const char *s, unsigned char **ret, size_t *ret_len, struct mh_err *err)
{
	CLEAN(free) unsigned char *out = NULL;
	size_t len = strlen(s), padding = 0, i, o = 0;

	if (len % 4 != 0)
		return mh_err_set(err, MH_E_PROTO, "base64: length is no multiple of 4");
	if (len && s[len - 1] == '=')
		padding = s[len - 2] == '=' ? 2 : 1;
	out = mh_alloc(len / 4 * 3 + 1);
	for (i = 0; i < len; i += 4) {
		uint32_t bits = 0;
		size_t k, digits = i + 4 == len ? 4 - padding : 4;

		for (k = 0; k < 4; k++) {
			const char *at = k < digits && s[i + k]
						 ? strchr(base64_digits, s[i + k])
						 : NULL;

			if (k < digits && !at)
				return mh_err_set(err, MH_E_PROTO,
						  "base64: byte %zu is no digit", i + k);
			bits = bits << 6 | (uint32_t)(at ? at - base64_digits : 0);
		}
		/* Bits that the padding leaves over must be zero, or two texts mean one
		 * value. */
		if ((digits == 2 && (bits & 0xffff)) || (digits == 3 && (bits & 0xff)))
			return mh_err_set(err, MH_E_PROTO,
					  "base64: stray bits before the padding");
		out[o++] = (unsigned char)(bits >> 16);
		if (digits > 2)
			out[o++] = (unsigned char)(bits >> 8);
		if (digits > 3)
			out[o++] = (unsigned char)bits;
	}
	*ret = STEAL_PTR(out);
	*ret_len = o;
	return 0;
}

void str_uuid(char out[STR_UUID_SIZE])
{
	unsigned char bytes[16];
	char hex[33];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		MH_BUG("getrandom");
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	str_hex(bytes, sizeof bytes, hex);
	memcpy(out, hex, 8);
	memcpy(out + 9, hex + 8, 4);
	memcpy(out + 14, hex + 12, 4);
	memcpy(out + 19, hex + 16, 4);
	memcpy(out + 24, hex + 20, 12);
	out[8] = out[13] = out[18] = out[23] = '-';
	out[36] = '\0';
}

bool str_is_uuid(const char *s)
{
	size_t i;

	if (strlen(s) != STR_UUID_SIZE - 1)
		return false;
	for (i = 0; i < STR_UUID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-'
			 : !(isdigit((unsigned char)s[i]) ||
			     (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	}
	return true;
}

/* Length of the well-formed character at p (1 to 4), or 0. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		n = 3;
		if (p[0] == 0xe0)
			low = 0xa0; /* shorter forms exist */
		if (p[0] == 0xed)
			high = 0x9f; /* surrogates */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		if (p[0] == 0xf4)
			high = 0x8f; /* past U+10FFFF */
	} else {
		return 0;
	}
	if (left < n || p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

static bool is_ascii8(const unsigned char *p)
{
	uint64_t bytes;

	memcpy(&bytes, p, sizeof bytes);
	return (bytes & UINT64_C(0x8080808080808080)) == 0;
}

bool str_is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t at = 0;

	while (at < len) {
		size_t n;

		while (len - at >= 8 && is_ascii8(p + at))
			at += 8;
		if (at == len)
			break;
		n = utf8_length(p + at, len - at);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

size_t str_utf8_floor(const char *s, size_t len, size_t max_bytes)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t end = len < max_bytes ? len : max_bytes, start = end;

	/* Step back to the last lead byte; keep it when its character is whole. */
	while (start > 0 && end - start < 4 && (p[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0 || p[start - 1] < 0xc0)
		return end;
	start--;
	return utf8_length(p + start, end - start) == end - start ? end : start;
}

size_t str_utf8_count(const char *s, size_t len)
{
	size_t count = 0, i;

	for (i = 0; i < len; i++)
		count += ((unsigned char)s[i] & 0xc0) != 0x80;
	return count;
}

bool str_starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), suffix_len = strlen(suffix);

	return len >= suffix_len && memcmp(s + len - suffix_len, suffix, suffix_len) == 0;
}

bool str_equal_secret(const char *a, const char *b)
{
	size_t len = strlen(a), i;
	unsigned char difference = 0;

	if (strlen(b) != len)
		return false;
	for (i = 0; i < len; i++)
		difference |= (unsigned char)(a[i] ^ b[i]);
	return difference == 0;
}
