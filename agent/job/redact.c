#include "agent/job/redact.h"

#include <string.h>

#define SECRET_MAX_BYTES (64 * 1024)

void redact_done(struct redact *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->secrets[i].text);
	free(r->secrets);
	buf_done(&r->held);
	*r = (struct redact)REDACT_INIT;
}

static struct redact_secret *find(const struct redact *r, const char *text, size_t len)
{
	for (size_t i = 0; i < r->count; i++) {
		struct redact_secret *s = &r->secrets[i];

		if (s->len == len && memcmp(s->text, text, len) == 0)
			return s;
	}
	return NULL;
}

static void add_one(struct redact *r, const char *text, size_t len)
{
	struct redact_secret *s = find(r, text, len);

	if (s) {
		s->uses++;
		return;
	}
	r->secrets = mh_realloc(r->secrets, (r->count + 1) * sizeof *r->secrets);
	r->secrets[r->count++] = (struct redact_secret){
		.text = mh_strndup(text, len),
		.len = len,
		.uses = 1,
	};
	r->first[(unsigned char)text[0]] = true;
}

static void remove_one(struct redact *r, const char *text, size_t len)
{
	struct redact_secret *s = find(r, text, len);

	if (!s || --s->uses > 0)
		return;
	free(s->text);
	*s = r->secrets[--r->count];
	memset(r->first, 0, sizeof r->first);
	for (size_t i = 0; i < r->count; i++)
		r->first[(unsigned char)r->secrets[i].text[0]] = true;
}

/* Calls `each` for the value and, when it has several, for its lines. */
static void for_each_secret(struct redact *r, const char *value,
			    void (*each)(struct redact *, const char *, size_t))
{
	size_t len = strnlen(value, SECRET_MAX_BYTES);
	const char *end = value + len, *line = value;

	if (len < REDACT_MIN_BYTES)
		return;
	each(r, value, len);
	if (!memchr(value, '\n', len))
		return;
	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t line_len = (size_t)((stop ? stop : end) - line);

		if (line_len >= REDACT_MIN_BYTES)
			each(r, line, line_len);
		line += line_len + 1;
	}
}

void redact_add(struct redact *r, const char *value)
{
	for_each_secret(r, value, add_one);
}

void redact_remove(struct redact *r, const char *value)
{
	for_each_secret(r, value, remove_one);
}

/* The longest secret that stands at p. *ret_open: a longer one may stand there too,
 * once more bytes are known. */
static size_t match_at(const struct redact *r, const char *p, size_t avail,
		       bool *ret_open)
{
	size_t longest = 0;

	*ret_open = false;
	for (size_t i = 0; i < r->count; i++) {
		const struct redact_secret *s = &r->secrets[i];

		if (s->len <= avail) {
			if (s->len > longest && memcmp(s->text, p, s->len) == 0)
				longest = s->len;
		} else if (memcmp(s->text, p, avail) == 0) {
			*ret_open = true;
		}
	}
	return longest;
}

/* Decides about the held bytes as far as they can be decided. Answers how many. */
static size_t decide(struct redact *r, bool at_end, redact_sink sink, void *ctx)
{
	const char *p = r->held.data;
	size_t len = r->held.len, plain = 0, i;

	for (i = 0; i < len; i++) {
		if (r->first[(unsigned char)p[i]]) {
			bool open;
			size_t n = match_at(r, p + i, len - i, &open);

			if (open && !at_end)
				break;
			if (i + n > r->covered)
				r->covered = i + n;
		}
		if (i >= r->covered) {
			r->in_secret = false;
			continue;
		}
		if (i > plain)
			sink(ctx, p + plain, i - plain);
		plain = i + 1;
		if (!r->in_secret)
			sink(ctx, "****", 4);
		r->in_secret = true;
	}
	if (i > plain)
		sink(ctx, p + plain, i - plain);
	return i;
}

static void drop_decided(struct redact *r, size_t count)
{
	r->held.len -= count;
	if (r->held.len)
		memmove(r->held.data, r->held.data + count, r->held.len);
	r->covered = r->covered > count ? r->covered - count : 0;
}

void redact_feed(struct redact *r, const char *data, size_t len, redact_sink sink,
		 void *ctx)
{
	struct mh_err err;

	if (len == 0)
		return;
	if (len > REDACT_FEED_MAX || buf_add(&r->held, data, len, &err) != 0)
		MH_BUG("redact_feed: piece too large");
	drop_decided(r, decide(r, false, sink, ctx));
}

void redact_flush(struct redact *r, redact_sink sink, void *ctx)
{
	if (r->held.len)
		drop_decided(r, decide(r, true, sink, ctx));
	r->in_secret = false;
	r->covered = 0;
}

static void append(void *ctx, const char *data, size_t len)
{
	struct mh_err err;

	if (buf_add(ctx, data, len, &err) != 0)
		MH_BUG("redact_text: out of bounds");
}

char *redact_text(const struct redact *r, const char *text)
{
	size_t len = strlen(text);
	CLEAN(buf) struct buf out = BUF_INIT(len + 1);
	struct redact once = *r;

	/* The secrets are shared, the state of the stream is not. */
	buf_init(&once.held, len + 1);
	once.covered = 0;
	once.in_secret = false;
	append(&once.held, text, len);
	if (len)
		(void)decide(&once, true, append, &out); /* at the end: all of it */
	buf_done(&once.held);
	return mh_strdup(buf_text(&out));
}
