#include "emulator/s3/target.h"

#include <string.h>
#include <strings.h>

#include "lib/base/str.h"

static bool is_alnum_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Four groups of digits: S3 refuses bucket names that look like an address. */
static bool looks_like_ipv4(const char *s)
{
	int dots = 0;

	for (; *s != '\0'; s++) {
		if (*s == '.')
			dots++;
		else if (*s < '0' || *s > '9')
			return false;
	}
	return dots == 3;
}

bool bucket_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len < 3 || len > 63)
		return false;
	if (!is_alnum_lower(name[0]) || !is_alnum_lower(name[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum_lower(name[i]) && name[i] != '.' && name[i] != '-')
			return false;
		if (name[i] == '.' && name[i + 1] == '.')
			return false;
	}
	return !looks_like_ipv4(name);
}

/* The bucket in front of S3's own part of the host name, or NULL. */
static char *bucket_from_host(const char *host)
{
	static const char *const marks[] = { ".s3.", ".s3-", ".localhost" };
	size_t len = strcspn(host, ":");
	CLEAN(free) char *name = mh_strndup(host, len);

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		char *at = strcasestr(name, marks[i]);

		if (at == NULL || at == name)
			continue;
		if (i == 2 && at[strlen(marks[i])] != '\0')
			continue;
		/* "s3.localhost" and "s3.us-east-1.localhost" are the service itself. */
		if (i == 2 && (strncasecmp(name, "s3.", 3) == 0 ||
			       strncasecmp(name, "s3-", 3) == 0))
			continue;
		*at = '\0';
		return mh_strdup(name);
	}
	return NULL;
}

static int decode_key(const char *raw, struct target *ret, struct mh_err *err)
{
	if (*raw == '\0')
		return 0;
	if (uri_decode(raw, strlen(raw), false, &ret->key, err) != 0)
		return -1;
	if (!str_is_utf8(ret->key, strlen(ret->key)))
		return mh_err_set(err, MH_E_PROTO, "the key is not UTF-8");
	return 0;
}

static int split_path(const char *host, struct target *ret, struct mh_err *err)
{
	const char *p = ret->path + 1;
	size_t len;

	if (host != NULL)
		ret->bucket = bucket_from_host(host);
	if (ret->bucket != NULL)
		return decode_key(p, ret, err);
	len = strcspn(p, "/");
	if (len == 0)
		return *p == '\0'
			       ? 0
			       : mh_err_set(err, MH_E_PROTO, "the path names no bucket");
	if (uri_decode(p, len, false, &ret->bucket, err) != 0)
		return -1;
	if (!str_is_utf8(ret->bucket, strlen(ret->bucket)))
		return mh_err_set(err, MH_E_PROTO, "the bucket's name is not UTF-8");
	return p[len] == '/' ? decode_key(p + len + 1, ret, err) : 0;
}

/* An absolute target, as proxies get it, is its path and query. */
static const char *skip_authority(const char *raw)
{
	const char *p;

	if (strncasecmp(raw, "http://", 7) != 0 && strncasecmp(raw, "https://", 8) != 0)
		return raw;
	p = strstr(raw, "//") + 2;
	return p + strcspn(p, "/?");
}

int target_parse(const char *raw_target, const char *host, struct target *ret,
		 struct mh_err *err)
{
	const char *raw = skip_authority(raw_target);
	size_t path_len = strcspn(raw, "?");
	struct target t = { 0 };

	if (path_len == 0)
		t.path = mh_strdup("/");
	else if (raw[0] == '/')
		t.path = mh_strndup(raw, path_len);
	else
		return mh_err_set(err, MH_E_PROTO, "the request target is no path");
	if (uri_query_parse(raw[path_len] == '?' ? raw + path_len + 1 : NULL, &t.query,
			    err) != 0 ||
	    split_path(host, &t, err) != 0) {
		target_done(&t);
		return -1;
	}
	*ret = t;
	return 0;
}

void target_done(struct target *t)
{
	free(t->path);
	free(t->bucket);
	free(t->key);
	uri_query_done(&t->query);
	*t = (struct target){ 0 };
}
