#include "emulator/s3/chunked.h"

#include <string.h>
#include <strings.h>

#include "lib/base/str.h"

enum { AT_SIZE, AT_DATA, AT_DATA_END, AT_TRAILER, AT_END };

#define LINE_MAX_BYTES 8192
/* No chunk of a real client comes near: 1 TiB. */
#define CHUNK_MAX_BYTES ((int64_t)1 << 40)

void chunked_init(struct chunked *c, const struct chunked_sink *sink)
{
	*c = (struct chunked){ .sink = *sink, .state = AT_SIZE };
	buf_init(&c->line, LINE_MAX_BYTES);
}

void chunked_done(struct chunked *c)
{
	buf_done(&c->line);
	for (size_t i = 0; i < c->trailer_count; i++)
		free(c->trailers[i]);
	c->trailer_count = 0;
}

bool chunked_is_complete(const struct chunked *c)
{
	return c->state == AT_END;
}

const char *chunked_trailer(const struct chunked *c, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < c->trailer_count; i++) {
		const char *t = c->trailers[i];

		if (strncasecmp(t, name, len) == 0 && t[len] == ':')
			return t + len + 1 + strspn(t + len + 1, " \t");
	}
	return NULL;
}

char *chunked_signed_trailers(const struct chunked *c)
{
	CLEAN(buf) struct buf b = BUF_INIT((LINE_MAX_BYTES + 2) * CHUNKED_TRAILERS_MAX);

	for (size_t i = 0; i < c->trailer_count; i++) {
		const char *t = c->trailers[i];
		size_t len = strcspn(t, ":"), end;

		if (strncasecmp(t, CHUNKED_TRAILER_SIGNATURE ":", len + 1) == 0)
			continue;
		for (size_t n = 0; n < len; n++)
			buf_putc(&b,
				 t[n] >= 'A' && t[n] <= 'Z' ? (char)(t[n] + 32) : t[n]);
		t += len + 1;
		t += strspn(t, " \t");
		end = strlen(t);
		while (end > 0 && (t[end - 1] == ' ' || t[end - 1] == '\t'))
			end--;
		buf_printf(&b, ":%.*s\n", (int)end, t);
	}
	return b.len > 0 ? buf_steal(&b) : mh_strdup("");
}

/* "<hex>" or "<hex>;chunk-signature=<64 hex>" */
static int parse_size_line(struct chunked *c, const char *line, struct mh_err *err)
{
	static const char mark[] = ";chunk-signature=";
	const char *p = line;
	int64_t size = 0;

	for (; str_hex_digit(*p) >= 0; p++) {
		size = size * 16 + str_hex_digit(*p);
		if (size > CHUNK_MAX_BYTES)
			return mh_err_set(err, MH_E_PROTO,
					  "aws-chunked: a chunk is too large");
	}
	if (p == line)
		return mh_err_set(err, MH_E_PROTO, "aws-chunked: a chunk has no size");
	c->signature[0] = '\0';
	if (str_starts_with(p, mark)) {
		unsigned char raw[32];

		p += strlen(mark);
		if (strlen(p) != 64 || !str_unhex(p, raw, sizeof(raw)))
			return mh_err_set(err, MH_E_PROTO,
					  "aws-chunked: a chunk's signature is no hash");
		memcpy(c->signature, p, sizeof(c->signature));
	} else if (*p != '\0' && *p != ';') {
		return mh_err_set(err, MH_E_PROTO,
				  "aws-chunked: a chunk's size is no number");
	}
	c->left = size;
	c->last = size == 0;
	return 0;
}

static int end_chunk(struct chunked *c, struct mh_err *err)
{
	if (c->sink.chunk_end == NULL)
		return 0;
	return c->sink.chunk_end(c->sink.ctx, c->signature, err);
}

static int take_size(struct chunked *c, const char *line, struct mh_err *err)
{
	if (parse_size_line(c, line, err) != 0)
		return -1;
	if (!c->last) {
		c->state = AT_DATA;
		return 0;
	}
	c->state = AT_TRAILER;
	return end_chunk(c, err);
}

/* The documented form of a signed trailer has a blank line before the signature,
 * so what follows the first one is read like the trailers before it. */
static int take_trailer(struct chunked *c, const char *line, struct mh_err *err)
{
	if (*line == '\0') {
		c->state = AT_END;
		return 0;
	}
	if (strchr(line, ':') == NULL)
		return mh_err_set(err, MH_E_PROTO,
				  "aws-chunked: a trailing header has no colon");
	if (c->trailer_count == CHUNKED_TRAILERS_MAX)
		return mh_err_set(err, MH_E_PROTO,
				  "aws-chunked: too many trailing headers");
	c->trailers[c->trailer_count++] = mh_strdup(line);
	return 0;
}

/* A whole line, its end cut off. */
static int take_line(struct chunked *c, const char *line, struct mh_err *err)
{
	switch (c->state) {
	case AT_SIZE:
		return take_size(c, line, err);
	case AT_DATA_END:
		if (*line != '\0')
			return mh_err_set(err, MH_E_PROTO,
					  "aws-chunked: a chunk is longer than its size");
		c->state = AT_SIZE;
		return 0;
	case AT_TRAILER:
	case AT_END:
		return take_trailer(c, line, err);
	default:
		MH_BUG("a line where none is read");
	}
}

/* Collects up to a line feed; *ret_used says how much of data it took. */
static int feed_line(struct chunked *c, const char *data, size_t len, size_t *ret_used,
		     struct mh_err *err)
{
	const char *end = memchr(data, '\n', len);
	size_t n = end != NULL ? (size_t)(end - data) : len;
	int rc;

	if (buf_add(&c->line, data, n, err) != 0)
		return mh_err_set(err, MH_E_PROTO, "aws-chunked: a line is too long");
	*ret_used = n;
	if (end == NULL)
		return 0;
	*ret_used = n + 1;
	if (memchr(buf_text(&c->line), '\0', c->line.len) != NULL)
		return mh_err_set(err, MH_E_PROTO,
				  "aws-chunked: a line holds a zero byte");
	if (c->line.len > 0 && c->line.data[c->line.len - 1] == '\r')
		c->line.data[c->line.len - 1] = '\0';
	rc = take_line(c, buf_text(&c->line), err);
	buf_clear(&c->line);
	return rc;
}

static int feed_data(struct chunked *c, const char *data, size_t len, size_t *ret_used,
		     struct mh_err *err)
{
	size_t n = (int64_t)len > c->left ? (size_t)c->left : len;

	if (c->sink.data(c->sink.ctx, data, n, err) != 0)
		return -1;
	*ret_used = n;
	c->left -= (int64_t)n;
	c->total += (int64_t)n;
	if (c->left > 0)
		return 0;
	c->state = AT_DATA_END;
	return end_chunk(c, err);
}

int chunked_feed(struct chunked *c, const void *data, size_t len, struct mh_err *err)
{
	const char *p = data;

	while (len > 0) {
		size_t used = 0;
		int rc;

		if (c->state == AT_DATA)
			rc = feed_data(c, p, len, &used, err);
		else
			rc = feed_line(c, p, len, &used, err);
		if (rc != 0)
			return -1;
		p += used;
		len -= used;
	}
	return 0;
}
