#include "emulator/events/stream.h"

#include <pthread.h>
#include <string.h>

#include "emulator/events/feed.h"
#include "lib/base/buf.h"

#define AT_ONCE      32 /* events read at a time */
#define HEARTBEAT_MS 15000 /* so long nothing is sent at most; half of idle_timeout */
#define PIECE_MAX    (64 << 20)

struct streams {
	const struct settings *settings;
	struct writer *writer;
	struct bell *bell;
	pthread_mutex_t lock; /* of the following; a plain one: its calls cannot fail */
	int open, limit;
};

struct stream {
	struct streams *all;
	int64_t at;
	struct buf piece; /* what the client is to get next */
	size_t sent; /* of it */
};

struct streams *streams_new(const struct settings *settings, struct writer *writer,
			    struct bell *bell)
{
	struct streams *s = mh_alloc(sizeof(*s));

	*s = (struct streams){ .settings = settings, .writer = writer, .bell = bell };
	(void)pthread_mutex_init(&s->lock, NULL);
	return s;
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void streams_limit(struct streams *s, int limit)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->limit = limit;
	pthread_mutex_unlock(&s->lock);
}

static int enter(struct streams *s, struct api_error *err)
{
	bool room;

	pthread_mutex_lock(&s->lock);
	room = s->open < s->limit;
	s->open += room;
	pthread_mutex_unlock(&s->lock);
	if (room)
		return 0;
	(void)api_fail(err, "ServiceUnavailable", "Too many clients listen already.");
	err->status = 503;
	return -1;
}

static void leave(struct streams *s)
{
	pthread_mutex_lock(&s->lock);
	s->open--;
	pthread_mutex_unlock(&s->lock);
}

static int read_start(const char *last_event_id, const char *after, int64_t *ret,
		      struct api_error *err)
{
	const char *what = after ? "after" : "Last-Event-ID";
	const char *text = after ? after : last_event_id;
	struct mh_err why = MH_ERR_INIT;

	*ret = FEED_NOW;
	if (!text || str_to_i64(text, 0, INT64_MAX, what, ret, &why) == 0)
		return 0;
	return api_fail(err, "ValidationException", "%s.", why.text);
}

int streams_open(struct streams *s, const char *last_event_id, const char *after,
		 struct stream **ret, struct api_error *err)
{
	struct feed none = { 0 };
	struct stream *st;
	int64_t at;

	if (!s || !s->settings->events) {
		(void)api_fail(err, "NotFound",
			       "There are no events: see the setting `events`.");
		err->status = 404;
		return -1;
	}
	if (read_start(last_event_id, after, &at, err) != 0 || enter(s, err) != 0)
		return -1;
	/* "From now on" is the time of the answer, not of the first read. */
	if (at == FEED_NOW && feed_read(s->writer, &at, 1, &none, err) != 0) {
		leave(s);
		return -1;
	}
	st = mh_alloc(sizeof(*st));
	*st = (struct stream){ .all = s, .at = at };
	buf_init(&st->piece, PIECE_MAX);
	/* Sent at once, so that the client knows that it hears. */
	buf_puts(&st->piece, "retry: 1000\n\n");
	*ret = st;
	return 0;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	leave(s->all);
	buf_done(&s->piece);
	free(s);
}

static void put_feed(struct stream *s, const struct feed *f)
{
	if (f->lost > 0)
		buf_printf(&s->piece, "event: gap\ndata: {\"lost\":%lld}\n\n",
			   (long long)f->lost);
	for (size_t i = 0; i < f->list.count; i++)
		buf_printf(&s->piece, "id: %lld\ndata: %s\n\n",
			   (long long)f->list.items[i].seq, f->list.items[i].body);
}

/* false: it is over. */
static bool refill(struct stream *s)
{
	int64_t beat = s->all->settings->idle_timeout_ms / 2;
	uint64_t seen = bell_count(s->all->bell);
	struct api_error err = { 0 };
	struct feed f = { 0 };

	buf_clear(&s->piece);
	s->sent = 0;
	if (feed_read(s->all->writer, &s->at, AT_ONCE, &f, &err) != 0)
		return false; /* it connects again */
	put_feed(s, &f);
	feed_done(&f);
	if (s->piece.len == 0 &&
	    !bell_wait(s->all->bell, &seen, beat < HEARTBEAT_MS ? beat : HEARTBEAT_MS))
		buf_puts(&s->piece, ":\n\n");
	return !bell_is_stopped(s->all->bell);
}

size_t stream_read(struct stream *s, char *buf, size_t max)
{
	size_t n;

	while (s->sent == s->piece.len) {
		if (!refill(s))
			return 0;
	}
	n = s->piece.len - s->sent;
	if (n > max)
		n = max;
	memcpy(buf, s->piece.data + s->sent, n);
	s->sent += n;
	return n;
}
