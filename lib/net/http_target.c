/* What the URL of a call says about how it goes out. */
#include <string.h>

#include "lib/base/str.h"
#include "lib/net/http_call.h"

void http_target_done(struct http_target *t)
{
	free(t->url);
	free(t->name);
	*t = (struct http_target){ 0 };
}

int http_target_find(struct http_target *t, const char *url, struct mh_err *err)
{
	CLEAN(uri) struct uri u = { 0 };
	CLEAN(free) char *host = NULL;

	if (t->url && strcmp(t->url, url) == 0)
		return 0;
	http_target_done(t);
	if (uri_parse(url, &u, err) != 0)
		return -1;
	host = uri_host_header(&u);
	t->name = mh_concat(u.scheme, "://", host, u.path);
	t->is_plain = strcmp(u.scheme, "http") == 0 && !uri_is_loopback(&u);
	t->is_near = uri_is_loopback(&u) || str_starts_with(u.host, "169.254.") ||
		     str_starts_with(u.host, "fe80:") ||
		     strcmp(u.host, "fd00:ec2::254") == 0;
	t->url = strchr(url, '?') ? NULL : mh_strdup(url);
	return 0;
}
