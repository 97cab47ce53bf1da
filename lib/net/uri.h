/*
 * RFC 3986 as SigV4 and S3 need it: encode, decode, and lists of query pairs
 * kept apart (never sorted as a joined string).
 */
#ifndef MH_NET_URI_H
#define MH_NET_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Everything but A-Z a-z 0-9 - . _ ~ becomes %XX (upper case); '/' stays when
 * keep_slash. The answer is the caller's to free. */
char *uri_encode(const char *s, size_t len, bool keep_slash) MH_MUST_CHECK;
/* "%41" to "A"; plus_is_space for form-encoded queries. PROTO for a broken escape
 * or %00. The answer is the caller's to free. */
int uri_decode(const char *s, size_t len, bool plus_is_space, char **ret,
	       struct mh_err *err) MH_MUST_CHECK;

struct uri_pair {
	char *name; /* decoded, owned */
	char *value; /* decoded, owned; "" for a valueless name */
};
struct uri_query {
	struct uri_pair *pairs;
	size_t count;
};
/* "a=1&b&c=%20" into pairs, in order of appearance; NULL is an empty query. '+' is
 * itself, as SigV4 signs it. PROTO for a broken escape or %00. */
int uri_query_parse(const char *raw, struct uri_query *ret,
		    struct mh_err *err) MH_MUST_CHECK;
void uri_query_add(struct uri_query *q, const char *name, const char *value);
/* The first value of that name, or NULL. Borrowed. */
const char *uri_query_get(const struct uri_query *q, const char *name);
/* "name=value&..." with both sides encoded, sorted by (encoded name, encoded
 * value): SigV4's canonical query, and fit to be sent. The caller frees it. */
char *uri_query_canonical(const struct uri_query *q) MH_MUST_CHECK;
void uri_query_done(struct uri_query *q);
static inline void clean_uri_query(struct uri_query *q)
{
	uri_query_done(q);
}

struct uri {
	char *scheme; /* "http" or "https", lower case */
	char *host; /* without brackets for IPv6, lower case */
	int port; /* the scheme's own when none was written */
	char *path; /* raw, begins with '/', never NULL */
	char *query; /* raw, or NULL */
};
/* http and https alone; user info and fragments are refused. CONFIG on error. */
int uri_parse(const char *text, struct uri *ret, struct mh_err *err) MH_MUST_CHECK;
void uri_done(struct uri *u);
static inline void clean_uri(struct uri *u)
{
	uri_done(u);
}
/* "host[:port]" as the Host header wants it; port left out when the scheme's own. */
char *uri_host_header(const struct uri *u) MH_MUST_CHECK;
/* 127.0.0.0/8, ::1, "localhost" and names below it. */
bool uri_is_loopback(const struct uri *u);

#endif
