#include "agent/archive/names.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool is_separator(char c)
{
	return c == '/' || c == '\\';
}

/* Length of the character at s when it may be shown as it is, else 0. */
static size_t shown_length(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];
	size_t want = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (is_control(c) || c == '"' || want > len || !str_is_utf8(s, want))
		return 0;
	/* U+0080 to U+009F steer terminals as ESC does */
	if (c == 0xc2 && (unsigned char)s[1] < 0xa0)
		return 0;
	return want;
}

const char *name_show(char out[NAME_SHOWN_SIZE], const char *raw, size_t len)
{
	/* what one step may add, the ending `..."` and the NUL */
	const size_t room = NAME_SHOWN_SIZE - 4 - 5;
	size_t at = 0, used = 0;

	out[used++] = '"';
	while (at < len && used < room) {
		size_t n = shown_length(raw + at, len - at);

		if (n) {
			memcpy(out + used, raw + at, n);
			used += n;
			at += n;
		} else {
			(void)snprintf(out + used, 5, "\\x%02x", (unsigned char)raw[at]);
			used += 4;
			at++;
		}
	}
	(void)snprintf(out + used, NAME_SHOWN_SIZE - used, "%s\"", at < len ? "..." : "");
	return out;
}

/* True when a component between / and \ is exactly "..". */
static bool climbs(const char *raw, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && !is_separator(raw[i]))
			continue;
		if (i - start == 2 && raw[start] == '.' && raw[start + 1] == '.')
			return true;
		start = i + 1;
	}
	return false;
}

static bool names_drive(const char *raw, size_t len)
{
	char letter = len >= 3 ? (char)(raw[0] | 0x20) : '\0';

	return letter >= 'a' && letter <= 'z' && raw[1] == ':' && is_separator(raw[2]);
}

static int check_text(const char *raw, size_t len, struct mh_err *err)
{
	if (len > NAME_PATH_MAX)
		return mh_err_set(err, MH_E_FULL, "%s: the name is longer than %d bytes",
				  NAME_SHOWN(raw, len), NAME_PATH_MAX);
	for (size_t i = 0; i < len; i++)
		if (is_control((unsigned char)raw[i]))
			return mh_err_set(
				err, MH_E_DENIED,
				"%s: the name holds a control character (byte %02x)",
				NAME_SHOWN(raw, len), (unsigned char)raw[i]);
	if (len && is_separator(raw[0]))
		return mh_err_set(err, MH_E_DENIED, "%s: the name is absolute",
				  NAME_SHOWN(raw, len));
	if (names_drive(raw, len))
		return mh_err_set(err, MH_E_DENIED, "%s: the name begins with a drive",
				  NAME_SHOWN(raw, len));
	return 0;
}

/* Appends one component to path; "" and "." add nothing. */
static int add_part(const struct name_rules *rules, const char *part, size_t len,
		    char *path, size_t *path_len, unsigned *depth, struct mh_err *err)
{
	if (len == 0 || (len == 1 && part[0] == '.'))
		return 0;
	if (len > NAME_PART_MAX)
		return mh_err_set(err, MH_E_FULL,
				  "%s: a part of the name is longer than %d bytes",
				  NAME_SHOWN(part, len), NAME_PART_MAX);
	if (++*depth > rules->depth_max)
		return mh_err_set(err, MH_E_FULL, "%s... lies deeper than %u directories",
				  NAME_SHOWN(path, *path_len), rules->depth_max);
	if (*path_len)
		path[(*path_len)++] = '/';
	memcpy(path + *path_len, part, len);
	*path_len += len;
	return 0;
}

int name_judge(const struct name_rules *rules, const char *raw, size_t len, char **ret,
	       struct mh_err *err)
{
	CLEAN(free) char *path = NULL;
	size_t path_len = 0, start = 0;
	unsigned depth = 0;

	if (len == 0)
		return mh_err_set(err, MH_E_PROTO, "a member has an empty name");
	if (check_text(raw, len, err) != 0)
		return -1;
	if (climbs(raw, len))
		return mh_err_set(err, MH_E_DENIED, "%s: the name climbs out with \"..\"",
				  NAME_SHOWN(raw, len));
	if (rules->dos && memchr(raw, '\\', len))
		return mh_err_set(err, MH_E_DENIED,
				  "%s: the name is written with backslashes; pack it "
				  "with a program that writes /",
				  NAME_SHOWN(raw, len));
	path = mh_alloc(len + 1);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && raw[i] != '/')
			continue;
		if (add_part(rules, raw + start, i - start, path, &path_len, &depth, err))
			return -1;
		start = i + 1;
	}
	*ret = STEAL_PTR(path);
	return 0;
}

int name_judge_target(const char *raw, size_t len, struct mh_err *err)
{
	if (len == 0)
		return mh_err_set(err, MH_E_PROTO, "a symbolic link points nowhere");
	if (check_text(raw, len, err) != 0)
		return mh_err_wrap(err, "where a symbolic link points");
	return 0;
}
