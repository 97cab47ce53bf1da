/* What somebody asks of the status server: text from outside, read strictly. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "agent/status_http.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define BAD_REQUEST   400
#define NOT_ALLOWED   405
#define TOO_LARGE     413
#define TOO_LONG      414
#define MISDIRECTED   421
#define WRONG_VERSION 505

#define TOKEN_CHARS                                                                      \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

/* --- the address ------------------------------------------------------------------ */

static int bad_address(const char *listen, const char *why, struct mh_err *err)
{
	return mh_err_set(err, MH_E_CONFIG,
			  "'%s' %s: \"127.0.0.1:9464\" and \"[::1]:9464\" are good ones",
			  listen, why);
}

static bool is_loopback(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	if (a->ss_family == AF_INET)
		return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

int status_http_address(const char *listen, struct sockaddr_storage *ret,
			struct mh_err *err)
{
	const char *colon = strrchr(listen, ':');
	CLEAN(free) char *host = NULL;
	struct sockaddr_storage a;
	struct mh_err ignored;
	size_t len = colon ? (size_t)(colon - listen) : 0;
	bool v6 = len > 2 && listen[0] == '[' && colon[-1] == ']';
	int64_t port;
	int rc;

	if (!colon)
		return bad_address(listen, "has no port", err);
	if (str_to_i64(colon + 1, 0, 65535, "port", &port, &ignored) != 0)
		return bad_address(listen, "has no port between 0 and 65535", err);
	host = v6 ? mh_strndup(listen + 1, len - 2) : mh_strndup(listen, len);
	memset(&a, 0, sizeof(a));
	rc = v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)&a)
		: uv_ip4_addr(host, (int)port, (struct sockaddr_in *)&a);
	if (rc != 0)
		return bad_address(listen, "is no IP address and port", err);
	if (!is_loopback(&a))
		return bad_address(listen, "is not an address of this host alone", err);
	*ret = a;
	return 0;
}

/* --- the request ------------------------------------------------------------------ */

size_t status_http_head(const char *data, size_t len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - data) + 4 : 0;
}

/* A piece of the head, not terminated. */
struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

/* Cuts off what is before the mark, or all when there is none. */
static struct span cut(struct span *rest, const char *mark)
{
	const char *at = memmem(rest->at, rest->len, mark, strlen(mark));
	struct span first = { rest->at, at ? (size_t)(at - rest->at) : rest->len };
	size_t gone = at ? first.len + strlen(mark) : first.len;

	rest->at += gone;
	rest->len -= gone;
	return first;
}

static struct span trimmed(struct span s)
{
	while (s.len > 0 && (*s.at == ' ' || *s.at == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\0' || !strchr(TOKEN_CHARS, s.at[i]))
			return false;
	}
	return s.len > 0;
}

static int take_target(struct span target, struct status_request *ret)
{
	struct span path;

	if (target.len == 0)
		return BAD_REQUEST;
	if (*target.at != '/') { /* the absolute form: http://host/path */
		(void)cut(&target, "://");
		path = cut(&target, "/");
		if (path.len == 0 || target.at[-1] != '/')
			return BAD_REQUEST;
		target.at--;
		target.len++;
	}
	path = cut(&target, "?");
	if (path.len >= sizeof(ret->path))
		return TOO_LONG;
	memcpy(ret->path, path.at, path.len);
	ret->path[path.len] = '\0';
	while (target.len > 0) {
		if (span_is(cut(&target, "&"), "format=json"))
			ret->wants_json = true;
	}
	return 0;
}

static int take_request_line(struct span line, struct status_request *ret)
{
	struct span method = cut(&line, " ");
	struct span target = cut(&line, " ");

	if (!is_token(method) || !is_printable(target) ||
	    line.len != strlen("HTTP/1.1") || memcmp(line.at, "HTTP/", 5) != 0)
		return BAD_REQUEST;
	if (memcmp(line.at, "HTTP/1.1", 8) != 0 && memcmp(line.at, "HTTP/1.0", 8) != 0)
		return WRONG_VERSION;
	ret->is_head = method.len == 4 && memcmp(method.at, "HEAD", 4) == 0;
	if (!ret->is_head && (method.len != 3 || memcmp(method.at, "GET", 3) != 0))
		return NOT_ALLOWED;
	return take_target(target, ret);
}

/* An address, or localhost; with or without a port. */
static bool is_this_host(struct span host)
{
	unsigned char address[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	struct span name = host;

	if (host.len > 0 && *host.at == '[') {
		name.at++;
		name.len--;
		name = cut(&name, "]");
	} else {
		name = cut(&name, ":");
	}
	if (span_is(name, "localhost"))
		return true;
	if (name.len == 0 || name.len >= sizeof(text))
		return false;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return inet_pton(*host.at == '[' ? AF_INET6 : AF_INET, text, address) == 1;
}

struct header_seen {
	bool host;
};

static int take_header(struct span line, struct header_seen *seen,
		       struct status_request *ret)
{
	struct span value = line;
	struct span name = cut(&value, ":");

	if (name.len == line.len || !is_token(name) || !is_printable(value))
		return BAD_REQUEST;
	value = trimmed(value);
	if (span_is(name, "Host")) {
		if (seen->host)
			return BAD_REQUEST;
		seen->host = true;
		return is_this_host(value) ? 0 : MISDIRECTED;
	}
	if (span_is(name, "Transfer-Encoding") ||
	    (span_is(name, "Content-Length") && !span_is(value, "0")))
		return TOO_LARGE; /* no request here has a body */
	if (span_is(name, "Accept") &&
	    memmem(value.at, value.len, "application/json", strlen("application/json")))
		ret->wants_json = true;
	return 0;
}

int status_http_parse(const char *head, size_t len, struct status_request *ret)
{
	struct span rest = { head, len };
	struct span line = cut(&rest, "\r\n");
	bool is_1_1 = line.len > 0 && line.at[line.len - 1] == '1';
	struct header_seen seen = { false };
	int refusal;

	*ret = (struct status_request){ 0 };
	refusal = take_request_line(line, ret);
	while (refusal == 0 && (line = cut(&rest, "\r\n")).len > 0)
		refusal = take_header(line, &seen, ret);
	if (refusal == 0 && is_1_1 && !seen.host)
		refusal = BAD_REQUEST;
	return refusal;
}
