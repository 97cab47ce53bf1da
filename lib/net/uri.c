#include "lib/net/uri.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/base/str.h"

#define URI_MAX_BYTES 65536

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

char *uri_encode(const char *s, size_t len, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = mh_alloc(3 * len + 1);
	char *p = out;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_unreserved(c) || (keep_slash && c == '/')) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = digits[c >> 4];
		*p++ = digits[c & 15];
	}
	*p = '\0';
	return out;
}

int uri_decode(const char *s, size_t len, bool plus_is_space, char **ret,
	       struct mh_err *err)
{
	CLEAN(free) char *out = mh_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)s[i];

		if (byte == '%') {
			if (len - i < 3 ||
			    !str_unhex((char[]){ s[i + 1], s[i + 2], 0 }, &byte, 1))
				return mh_err_set(err, MH_E_PROTO,
						  "broken %% escape at byte %zu", i);
			i += 2;
		} else if (byte == '+' && plus_is_space) {
			byte = ' ';
		}
		if (byte == '\0')
			return mh_err_set(err, MH_E_PROTO, "NUL at byte %zu", i);
		out[n++] = (char)byte;
	}
	*ret = STEAL_PTR(out);
	return 0;
}

static void add_pair(struct uri_query *q, char *take_name, char *take_value)
{
	/* Doubles at each power of two; a query seldom has more than a dozen pairs. */
	if ((q->count & (q->count - 1)) == 0)
		q->pairs = mh_realloc(q->pairs,
				      (q->count ? 2 * q->count : 1) * sizeof *q->pairs);
	q->pairs[q->count++] = (struct uri_pair){ .name = take_name,
						  .value = take_value };
}

static int parse_pair(struct uri_query *q, const char *piece, size_t len,
		      struct mh_err *err)
{
	const char *equals = memchr(piece, '=', len);
	size_t name_len = equals ? (size_t)(equals - piece) : len;
	size_t value_len = equals ? len - name_len - 1 : 0;
	CLEAN(free) char *name = NULL;
	CLEAN(free) char *value = NULL;

	if (uri_decode(piece, name_len, false, &name, err) != 0 ||
	    uri_decode(piece + len - value_len, value_len, false, &value, err) != 0)
		return mh_err_wrap(err, "query");
	add_pair(q, STEAL_PTR(name), STEAL_PTR(value));
	return 0;
}

int uri_query_parse(const char *raw, struct uri_query *ret, struct mh_err *err)
{
	CLEAN(uri_query) struct uri_query q = { 0 };

	while (raw && *raw) {
		size_t len = strcspn(raw, "&");

		if (len && parse_pair(&q, raw, len, err) != 0)
			return -1;
		raw += len + (raw[len] == '&');
	}
	*ret = q;
	q = (struct uri_query){ 0 };
	return 0;
}

void uri_query_add(struct uri_query *q, const char *name, const char *value)
{
	add_pair(q, mh_strdup(name), mh_strdup(value));
}

const char *uri_query_get(const struct uri_query *q, const char *name)
{
	for (size_t i = 0; i < q->count; i++) {
		if (strcmp(q->pairs[i].name, name) == 0)
			return q->pairs[i].value;
	}
	return NULL;
}

static int compare_pairs(const void *a, const void *b)
{
	const struct uri_pair *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->value, y->value);
}

char *uri_query_canonical(const struct uri_query *q)
{
	CLEAN(uri_query) struct uri_query encoded = { 0 };
	size_t len = 0;
	char *out, *p;

	for (size_t i = 0; i < q->count; i++) {
		const struct uri_pair *pair = &q->pairs[i];
		char *name = uri_encode(pair->name, strlen(pair->name), false);
		char *value = uri_encode(pair->value, strlen(pair->value), false);

		len += strlen(name) + strlen(value) + 2;
		add_pair(&encoded, name, value);
	}
	if (encoded.count > 1)
		qsort(encoded.pairs, encoded.count, sizeof *encoded.pairs, compare_pairs);
	p = out = mh_alloc(len + 1);
	for (size_t i = 0; i < encoded.count; i++) {
		if (i)
			*p++ = '&';
		p = stpcpy(p, encoded.pairs[i].name);
		*p++ = '=';
		p = stpcpy(p, encoded.pairs[i].value);
	}
	return out;
}

void uri_query_done(struct uri_query *q)
{
	for (size_t i = 0; i < q->count; i++) {
		free(q->pairs[i].name);
		free(q->pairs[i].value);
	}
	free(q->pairs);
	*q = (struct uri_query){ 0 };
}

/* A user name, password or signed query may be secret: such text is not repeated. */
static int bad_uri(const char *text, const char *why, struct mh_err *err)
{
	if (strchr(text, '@'))
		return mh_err_set(err, MH_E_CONFIG, "not a usable URL: %s", why);
	return mh_err_set(err, MH_E_CONFIG, "'%.*s' is not a usable URL: %s",
			  (int)strcspn(text, "?"), text, why);
}

static char *lower_copy(const char *s, size_t len)
{
	char *out = mh_strndup(s, len);

	for (char *p = out; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	return out;
}

static bool is_host_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_unreserved((unsigned char)s[i]) || s[i] == '~')
			return false;
	}
	return len > 0 && len <= 255;
}

static bool is_ipv6(const char *s)
{
	struct in6_addr address;

	return inet_pton(AF_INET6, s, &address) == 1;
}

/* "host", "host:port", "[v6]" or "[v6]:port" of len bytes. */
static int parse_authority(const char *text, const char *p, size_t len, struct uri *u,
			   struct mh_err *err)
{
	const char *end = p + len;
	bool bracket = len > 0 && *p == '[';
	const char *close = memchr(p, bracket ? ']' : ':', len);
	const char *port;
	int64_t number;

	if (memchr(p, '@', len))
		return bad_uri(text, "it must not carry a user name or password", err);
	if (bracket && !close)
		return bad_uri(text, "'[' has no ']'", err);
	u->host = bracket ? lower_copy(p + 1, (size_t)(close - p) - 1)
			  : lower_copy(p, (size_t)((close ? close : end) - p));
	if (bracket ? !is_ipv6(u->host) : !is_host_name(u->host, strlen(u->host)))
		return bad_uri(text, "no such host name can be", err);
	port = close ? close + bracket : end;
	if (port == end)
		return 0;
	{
		CLEAN(free) char *digits = mh_strndup(port + 1, (size_t)(end - port) - 1);

		if (*port != ':' || strlen(digits) > 5 ||
		    str_to_i64(digits, 1, 65535, "port", &number, err) != 0)
			return bad_uri(text, "the port must be 1 to 65535", err);
	}
	u->port = (int)number;
	return 0;
}

static int parse_into(const char *text, struct uri *u, struct mh_err *err)
{
	const char *rest, *query;
	size_t len;

	for (const char *p = text; *p; p++) {
		if (*p <= ' ' || *p == 0x7f || *p == '\\' || *p == '"')
			return bad_uri(text, "it holds a byte that must be %-encoded",
				       err);
		if (*p == '#')
			return bad_uri(text, "it has a fragment (#)", err);
	}
	if (strncasecmp(text, "http://", 7) == 0)
		*u = (struct uri){ .scheme = mh_strdup("http"), .port = 80 };
	else if (strncasecmp(text, "https://", 8) == 0)
		*u = (struct uri){ .scheme = mh_strdup("https"), .port = 443 };
	else
		return bad_uri(text, "it must begin with http:// or https://", err);
	rest = text + strlen(u->scheme) + 3;
	len = strcspn(rest, "/?");
	if (parse_authority(text, rest, len, u, err) != 0)
		return -1;
	rest += len;
	query = strchr(rest, '?');
	len = query ? (size_t)(query - rest) : strlen(rest);
	u->path = len ? mh_strndup(rest, len) : mh_strdup("/");
	u->query = query ? mh_strdup(query + 1) : NULL;
	return 0;
}

int uri_parse(const char *text, struct uri *ret, struct mh_err *err)
{
	CLEAN(uri) struct uri u = { 0 };

	if (strlen(text) > URI_MAX_BYTES)
		return mh_err_set(err, MH_E_CONFIG, "a URL of more than %d bytes",
				  URI_MAX_BYTES);
	if (parse_into(text, &u, err) != 0)
		return -1;
	*ret = u;
	u = (struct uri){ 0 };
	return 0;
}

void uri_done(struct uri *u)
{
	free(u->scheme);
	free(u->host);
	free(u->path);
	free(u->query);
	*u = (struct uri){ 0 };
}

char *uri_host_header(const struct uri *u)
{
	bool v6 = strchr(u->host, ':') != NULL;
	bool usual = u->port == (strcmp(u->scheme, "https") == 0 ? 443 : 80);

	if (usual)
		return mh_format("%s%s%s", v6 ? "[" : "", u->host, v6 ? "]" : "");
	return mh_format("%s%s%s:%d", v6 ? "[" : "", u->host, v6 ? "]" : "", u->port);
}

bool uri_is_loopback(const struct uri *u)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, u->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, u->host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	/* Names below it are the same host (RFC 6761); libcurl does not ask for them. */
	return strcmp(u->host, "localhost") == 0 || str_ends_with(u->host, ".localhost");
}
