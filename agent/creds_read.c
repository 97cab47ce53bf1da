#include "agent/creds_read.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define KEY_ID_MAX  256
#define SECRET_MAX  1024
#define TOKEN_MAX   16384
#define WORDS_MAX   256
#define HIDE_MIN    16
#define TIME_MAX    64
#define MINUTE_MS   60000
#define TIME_PREFIX 19 /* "2026-11-20T15:10:00" */

void creds_found_done(struct creds_found *f)
{
	creds_done(&f->keys);
	f->expires_wall_ms = CREDS_NEVER;
}

static int check_text(const char *s, size_t max, const char *what, struct mh_err *err)
{
	size_t len = s ? strlen(s) : 0;

	if (len == 0)
		return mh_err_set(err, MH_E_PROTO, "%s: missing", what);
	if (len > max)
		return mh_err_set(err, MH_E_PROTO, "%s: longer than %zu bytes", what,
				  max);
	for (size_t i = 0; i < len; i++) {
		if (s[i] <= ' ' || s[i] > '~')
			return mh_err_set(err, MH_E_PROTO,
					  "%s: a byte that no key has at %zu", what, i);
	}
	return 0;
}

int creds_check(const struct creds *c, struct mh_err *err)
{
	if (check_text(c->access_key_id, KEY_ID_MAX, "access key id", err) != 0 ||
	    check_text(c->secret_access_key, SECRET_MAX, "secret access key", err) != 0)
		return -1;
	return c->session_token
		       ? check_text(c->session_token, TOKEN_MAX, "session token", err)
		       : 0;
}

/* --- times ----------------------------------------------------------------------------
 */

/* "Z", "+01:00", "+0100", "-05:30" in minutes; false for anything else. */
static bool read_offset(const char *s, int64_t *ret_minutes)
{
	char digits[5] = "";
	int64_t value;
	struct mh_err ignored;
	int n;

	*ret_minutes = 0;
	if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
		return true;
	if (*s != '+' && *s != '-')
		return false;
	n = strlen(s) == 6 && s[3] == ':'
		    ? snprintf(digits, sizeof(digits), "%.2s%.2s", s + 1, s + 4)
		    : snprintf(digits, sizeof(digits), "%s", s + 1);
	if (n != 4 || strspn(digits, "0123456789") != 4 ||
	    str_to_i64(digits + 2, 0, 59, "minutes", ret_minutes, &ignored) != 0)
		return false;
	digits[2] = '\0';
	if (str_to_i64(digits, 0, 23, "hours", &value, &ignored) != 0)
		return false;
	*ret_minutes = (*s == '-' ? -1 : 1) * (*ret_minutes + 60 * value);
	return true;
}

int creds_read_time(const char *s, int64_t *ret_ms, struct mh_err *err)
{
	char amz[CLOCK_AMZ_SIZE];
	const char *rest;
	int64_t ms, minutes;

	if (strlen(s) < TIME_PREFIX + 1 || strlen(s) > TIME_MAX || s[4] != '-' ||
	    s[7] != '-' || (s[10] != 'T' && s[10] != ' ') || s[13] != ':' || s[16] != ':')
		return mh_err_set(err, MH_E_PROTO,
				  "Expiration: not of the form 2026-01-31T23:59:59Z");
	(void)snprintf(amz, sizeof(amz), "%.4s%.2s%.2sT%.2s%.2s%.2sZ", s, s + 5, s + 8,
		       s + 11, s + 14, s + 17);
	rest = s + TIME_PREFIX;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!read_offset(rest, &minutes) || clock_parse_amz(amz, &ms, err) != 0)
		return mh_err_set(err, MH_E_PROTO,
				  "Expiration: not of the form 2026-01-31T23:59:59Z");
	*ret_ms = ms - minutes * MINUTE_MS;
	return 0;
}

/* --- JSON
 * -------------------------------------------------------------------------------- */

static int take_json(struct json_object *doc, const char *token_key, bool must_expire,
		     struct creds_found *ret, struct mh_err *err)
{
	CLEAN(creds_found) struct creds_found f = { .expires_wall_ms = CREDS_NEVER };
	const char *id = json_opt_str(doc, "AccessKeyId", NULL);
	const char *secret = json_opt_str(doc, "SecretAccessKey", NULL);
	const char *token = json_opt_str(doc, token_key, NULL);
	const char *expires = json_opt_str(doc, "Expiration", NULL);

	if (!id || !secret)
		return mh_err_set(err, MH_E_PROTO, "%s: missing, or not a string",
				  id ? "SecretAccessKey" : "AccessKeyId");
	if (!expires && (must_expire || json_object_object_get(doc, "Expiration")))
		return mh_err_set(err, MH_E_PROTO,
				  "Expiration: missing, or not a string");
	if (!token && (must_expire || json_object_object_get(doc, token_key)))
		return mh_err_set(err, MH_E_PROTO, "%s: missing, or not a string",
				  token_key);
	creds_set(&f.keys, id, secret, token && *token ? token : NULL);
	if (creds_check(&f.keys, err) != 0 ||
	    (expires && creds_read_time(expires, &f.expires_wall_ms, err) != 0))
		return -1;
	*ret = f;
	f = (struct creds_found){ 0 };
	return 0;
}

int creds_read_process(const char *text, size_t len, struct creds_found *ret,
		       struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;

	if (len == 0)
		return mh_err_set(err, MH_E_PROTO, "it printed nothing");
	if (json_parse_object(text, len, &doc, err) != 0)
		return -1;
	if (json_opt_i64(doc, "Version", -1) != 1)
		return mh_err_set(err, MH_E_PROTO, "Version: must be 1");
	return take_json(doc, "SessionToken", false, ret, err);
}

int creds_read_metadata(const char *text, size_t len, struct creds_found *ret,
			struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;
	const char *code;

	if (len == 0)
		return mh_err_set(err, MH_E_PROTO, "an empty answer");
	if (json_parse_object(text, len, &doc, err) != 0)
		return -1;
	code = json_opt_str(doc, "Code", json_opt_str(doc, "code", "Success"));
	if (strcmp(code, "Success") != 0)
		return mh_err_set(err, MH_E_AUTH, "Code: %.60s", code);
	return take_json(doc, "Token", true, ret, err);
}

/* --- XML
 * --------------------------------------------------------------------------------- */

struct span {
	const char *from, *to;
};

/* The one element of that name within s, without its tags; false when there is none or
 * more than one. Enough for documents without attributes below the root. */
static bool find_element(struct span s, const char *name, struct span *ret)
{
	CLEAN(free) char *open = mh_format("<%s>", name);
	CLEAN(free) char *close = mh_format("</%s>", name);
	size_t len = (size_t)(s.to - s.from);
	const char *from = memmem(s.from, len, open, strlen(open));
	const char *to;

	if (!from)
		return false;
	from += strlen(open);
	len = (size_t)(s.to - from);
	to = memmem(from, len, close, strlen(close));
	if (!to || memmem(from, len, open, strlen(open)))
		return false;
	*ret = (struct span){ from, to };
	return true;
}

/* Its text, entities resolved; NULL for one that has elements, or an entity unknown. */
static char *element_text(struct span s, const char *name)
{
	static const char *const entities[][2] = { { "&amp;", "&" },  { "&lt;", "<" },
						   { "&gt;", ">" },   { "&quot;", "\"" },
						   { "&apos;", "'" }, { "&#xD;", "\r" },
						   { "&#xA;", "\n" } };
	struct span in;
	char *text, *out;

	if (!find_element(s, name, &in) ||
	    memchr(in.from, '<', (size_t)(in.to - in.from)))
		return NULL;
	text = out = mh_alloc((size_t)(in.to - in.from) + 1);
	while (in.from < in.to) {
		size_t i = 0;

		if (*in.from != '&') {
			*out++ = *in.from++;
			continue;
		}
		while (i < ARRAY_LEN(entities) &&
		       !str_starts_with(in.from, entities[i][0]))
			i++;
		if (i == ARRAY_LEN(entities)) {
			creds_wipe(&text);
			return NULL;
		}
		*out++ = entities[i][1][0];
		in.from += strlen(entities[i][0]);
	}
	return text;
}

static bool is_document(const char *text, size_t len, struct span *ret)
{
	if (len == 0 || strlen(text) != len || strstr(text, "<!"))
		return false;
	*ret = (struct span){ text, text + len };
	return text[strspn(text, " \t\r\n")] == '<';
}

int creds_read_sts(const char *text, size_t len, struct creds_found *ret,
		   struct mh_err *err)
{
	CLEAN(creds_found) struct creds_found f = { .expires_wall_ms = CREDS_NEVER };
	CLEAN(free) char *expires = NULL;
	struct span doc, in;

	if (!is_document(text, len, &doc) || !find_element(doc, "Credentials", &in))
		return mh_err_set(err, MH_E_PROTO,
				  "the answer is no XML with one <Credentials>");
	f.keys.access_key_id = element_text(in, "AccessKeyId");
	f.keys.secret_access_key = element_text(in, "SecretAccessKey");
	f.keys.session_token = element_text(in, "SessionToken");
	expires = element_text(in, "Expiration");
	if (!f.keys.session_token || !expires)
		return mh_err_set(err, MH_E_PROTO, "%s: missing",
				  expires ? "SessionToken" : "Expiration");
	if (creds_check(&f.keys, err) != 0 ||
	    creds_read_time(expires, &f.expires_wall_ms, err) != 0)
		return -1;
	*ret = f;
	f = (struct creds_found){ 0 };
	return 0;
}

void creds_read_sts_error(const char *text, size_t len, char code[CREDS_CODE_SIZE],
			  char message[CREDS_TEXT_SIZE])
{
	CLEAN(free) char *c = NULL, *m = NULL;
	struct span doc;

	if (text && is_document(text, len, &doc)) {
		c = element_text(doc, "Code");
		m = element_text(doc, "Message");
	}
	(void)snprintf(code, CREDS_CODE_SIZE, "%s", c ? c : ""); /* may be cut */
	(void)snprintf(message, CREDS_TEXT_SIZE, "%s", m ? m : "");
	code[strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz."
			  "0123456789")] = '\0';
	creds_hide(message);
}

/* --- command lines
 * ------------------------------------------------------------------------ */

void creds_words_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		creds_wipe(&words[i]);
	free(words);
}

/* One word off *line into out (room enough); false for an open quote. */
static bool next_word(const char **line, char *out)
{
	const char *s = *line;
	char quote = '\0';

	for (; *s && (quote || !isspace((unsigned char)*s)); s++) {
		if (quote && *s == quote)
			quote = '\0';
		else if (!quote && (*s == '\'' || *s == '"'))
			quote = *s;
		else if (*s == '\\' && quote != '\'' && !s[1])
			return false;
		else if (*s == '\\' &&
			 (!quote || (quote == '"' && (s[1] == '"' || s[1] == '\\'))))
			*out++ = *++s;
		else
			*out++ = *s;
	}
	*out = '\0';
	*line = s;
	return quote == '\0';
}

int creds_split_command(const char *line, char ***ret, struct mh_err *err)
{
	char **words = mh_alloc((WORDS_MAX + 1) * sizeof(*words));
	size_t count = 0;

	for (;;) {
		line += strspn(line, " \t\r\n");
		if (!*line)
			break;
		if (count < WORDS_MAX)
			words[count] = mh_alloc(strlen(line) + 1);
		if (count == WORDS_MAX || !next_word(&line, words[count++])) {
			creds_words_free(words);
			return mh_err_set(err, MH_E_CONFIG,
					  "a quote is left open, or there are more than "
					  "%d words",
					  WORDS_MAX);
		}
	}
	if (count == 0 || !*words[0]) {
		creds_words_free(words);
		return mh_err_set(err, MH_E_CONFIG, "names no program");
	}
	*ret = words;
	return 0;
}

/* --- what may be shown
 * ------------------------------------------------------------------- */

static bool looks_secret(const char *s, size_t len)
{
	bool digit = false, upper = false, lower = false;

	for (size_t i = 0; i < len; i++) {
		digit = digit || isdigit((unsigned char)s[i]);
		upper = upper || isupper((unsigned char)s[i]);
		lower = lower || islower((unsigned char)s[i]);
	}
	return len >= HIDE_MIN && (digit || (upper && lower));
}

void creds_hide(char *text)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789+=_-/";
	char *in = text, *out = text;

	while (*in) {
		/* A path's parts are judged one by one. */
		char part[sizeof(all)];
		size_t n;

		memcpy(part, all, sizeof(all));
		if (*in == '/')
			part[sizeof(all) - 2] = '\0';
		n = strspn(in + (*in == '/'), part) + (*in == '/');
		if (n == 0) {
			*out++ = *in == '\n' || *in == '\r' ? ' ' : *in;
			in++;
			continue;
		}
		if (looks_secret(in, n)) {
			memset(out, '*', 4);
			out += 4;
		} else {
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	*out = '\0';
}
