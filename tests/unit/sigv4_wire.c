#include "tests/unit/sigv4_wire.h"

#include "tests/unit/test.h"

static char *cut(char *text, const char *at)
{
	char *p = strstr(text, at);

	if (!p)
		return NULL;
	*p = '\0';
	return p + strlen(at);
}

static void parse_target(struct wire *w, char *line)
{
	struct mh_err err = MH_ERR_INIT;
	char *target = cut(line, " ");
	char *version;

	assert_non_null(target);
	version = strstr(target, " HTTP/1.1"); /* a target may have blanks itself */
	assert_non_null(version);
	*version = '\0';
	w->method = line;
	w->path = target;
	w->raw_query = cut(target, "?");
	assert_ok(uri_query_parse(w->raw_query, &w->query, &err), &err);
}

static void parse_headers(struct wire *w, char *p)
{
	while (p && *p) {
		char *end = p;
		char *colon = strchr(p, ':');

		/* A line that begins with a blank goes on with the one before. */
		do {
			end = strchr(end + 1, '\n');
		} while (end && (end[1] == ' ' || end[1] == '\t'));
		if (end)
			*end = '\0';
		assert_non_null(colon);
		*colon = '\0';
		wire_add(w, p, colon + 1 + (colon[1] == ' ')); /* as servers do */
		p = end ? end + 1 : NULL;
	}
}

void wire_add(struct wire *w, const char *name, const char *value)
{
	assert_true(w->header_count < WIRE_HEADERS_MAX);
	w->headers[w->header_count++] = (struct sigv4_header){ .name = name,
							       .value = value };
	w->request.header_count = w->header_count;
}

void wire_parse(struct wire *w, const char *text)
{
	char *headers;

	*w = (struct wire){ .text = mh_alloc(strlen(text) + 1) };
	/* Line ends are one byte from here on. */
	for (char *out = w->text; *text; text++) {
		if (!(text[0] == '\r' && text[1] == '\n'))
			*out++ = *text;
	}
	w->body = cut(w->text, "\n\n");
	headers = cut(w->text, "\n");
	parse_target(w, w->text);
	parse_headers(w, headers);
	if (!w->body)
		w->body = w->text + strlen(w->text);
	sigv4_hash_hex(w->body, strlen(w->body), w->hash);
	w->request = (struct sigv4_request){ .method = w->method,
					     .path = w->path,
					     .query = &w->query,
					     .headers = w->headers,
					     .header_count = w->header_count,
					     .payload_hash = w->hash };
}

void wire_done(struct wire *w)
{
	uri_query_done(&w->query);
	free(w->text);
	w->text = NULL;
}
