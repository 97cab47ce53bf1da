/* What the URL of a call says about how it goes out. */
#include <string.h>

#include "lib/base/str.h"
#include "lib/net/http_call.h"
#include "lib/net/uri.h"

void http_target_put(struct http_target *t)
{
	if (!t || --t->users > 0)
		return;
	free(t->url);
	free(t->name);
	free(t->origin);
	free(t);
}

static struct http_target *target_of(const char *url, const struct uri *u)
{
	struct http_target *t = mh_alloc(sizeof *t);
	CLEAN(free) char *host = uri_host_header(u);
	const char *authority = strstr(url, "://") + 3; /* uri_parse() saw it */

	t->origin = mh_concat(u->scheme, "://", host);
	t->host = t->origin + strlen(u->scheme) + 3;
	t->name = mh_concat(t->origin, u->path);
	t->path_at = (size_t)(authority - url) + strcspn(authority, "/?");
	t->is_https = strcmp(u->scheme, "https") == 0;
	t->is_plain = !t->is_https && !uri_is_loopback(u);
	t->is_near = uri_is_loopback(u) || str_starts_with(u->host, "169.254.") ||
		     str_starts_with(u->host, "fe80:") ||
		     strcmp(u->host, "fd00:ec2::254") == 0;
	t->url = strchr(url, '?') ? NULL : mh_strdup(url);
	return t;
}

int http_target_get(struct http_target **last, const char *url, struct http_target **ret,
		    struct mh_err *err)
{
	CLEAN(uri) struct uri u = { 0 };

	if (!*last || !(*last)->url || strcmp((*last)->url, url) != 0) {
		if (uri_parse(url, &u, err) != 0)
			return -1;
		http_target_put(*last);
		*last = target_of(url, &u);
		(*last)->users = 1;
	}
	(*last)->users++;
	*ret = *last;
	return 0;
}
