/* The threads that deliver, and what they do when it does not work. */
#include "emulator/events/delivery.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "emulator/events/feed.h"
#include "emulator/events/sink.h"
#include "lib/base/log.h"

#define AT_ONCE        64 /* events read at a time */
#define TARGETS_MAX    32
#define BACKOFF_MS     500
#define BACKOFF_MAX_MS 60000
#define REST_MS        3600000 /* nobody wakes it: it looks all the same */

struct courier { /* a sink and its thread */
	struct sink sink;
	struct delivery_options *o;
	pthread_t thread;
	bool started;
	bool known; /* `at` is: where it stands */
	int64_t at;
	int64_t backoff_ms; /* of the last failure; 0: none */
};

struct delivery {
	struct delivery_options o;
	struct courier couriers[TARGETS_MAX + 1];
	size_t count;
};

/* ---- when it does not work ---- */

/* false when the server stops. */
static bool back_off(struct courier *c, const char *why)
{
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_MS;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	if (!bell_is_stopped(c->o->bell))
		log_event(LOG_LEVEL_WARN, "events.not_delivered",
			  "events are kept for this target, which is tried again",
			  LOG_S("target", c->sink.name), LOG_S("error", why),
			  LOG_I("retry_in_ms", c->backoff_ms), LOG_END);
	return bell_rest(c->o->bell, c->backoff_ms);
}

static void note_success(struct courier *c)
{
	if (c->backoff_ms)
		log_event(LOG_LEVEL_INFO, "events.delivered_again",
			  "events reach this target again", LOG_S("target", c->sink.name),
			  LOG_END);
	c->backoff_ms = 0;
}

/* The writer refuses when the server stops, and fails when the disk is full. */
static bool keep_position(struct courier *c, int64_t at)
{
	struct api_error err = { 0 };

	while (feed_advance(c->o->writer, c->sink.mark, at, &err) != 0) {
		if (err.status == 503 || !back_off(c, err.message))
			return false;
	}
	return true;
}

/* ---- delivering ---- */

struct parcel { /* what this sink wants of what was read */
	const struct event *items[AT_ONCE];
	size_t count;
};

static struct parcel pick(const struct courier *c, const struct event_list *list)
{
	struct parcel p = { .count = 0 };

	for (size_t i = 0; i < list->count; i++) {
		if (c->sink.kind->wants(&c->sink, &list->items[i]))
			p.items[p.count++] = &list->items[i];
	}
	return p;
}

/* One that is refused for what it is is not sent for ever. */
static bool skips(const struct courier *c, const struct event *e,
		  const struct mh_err *err)
{
	if (err->cls != MH_E_REFUSED)
		return false;
	log_event(LOG_LEVEL_ERROR, "events.refused", "the target does not take an event",
		  LOG_S("target", c->sink.name), LOG_I("seq", e->seq), LOG_ERR(err),
		  LOG_END);
	return true;
}

/* Until all of it is there; false when the server stops before. */
static bool deliver_parcel(struct courier *c, const struct parcel *p)
{
	size_t at = 0;

	while (at < p->count) {
		struct mh_err err = MH_ERR_INIT;
		size_t done = 0;
		int rc = c->sink.kind->deliver(&c->sink, p->items + at, p->count - at,
					       &done, &err);

		at += done;
		if (rc == 0) {
			note_success(c);
			continue;
		}
		if (skips(c, p->items[at], &err)) {
			at++;
			continue;
		}
		if (at > 0 && !keep_position(c, p->items[at - 1]->seq))
			return false;
		if (!back_off(c, err.text))
			return false;
	}
	return true;
}

static bool deliver_feed(struct courier *c, const struct feed *f)
{
	struct parcel p = pick(c, &f->list);

	if (f->lost > 0)
		log_event(LOG_LEVEL_ERROR, "events.lost",
			  "events were dropped before this target took them "
			  "(events_backlog)",
			  LOG_S("target", c->sink.name), LOG_I("count", f->lost),
			  LOG_END);
	return deliver_parcel(c, &p);
}

/* All that is committed; false when it cannot go on. */
static bool deliver_all(struct courier *c)
{
	for (;;) {
		struct api_error err = { 0 };
		struct feed f = { 0 };
		int64_t next = c->at;
		bool done;

		if (feed_read(c->o->writer, &next, AT_ONCE, &f, &err) != 0) {
			if (err.status == 503 || !back_off(c, err.message))
				return false;
			continue;
		}
		if (next == c->at)
			return true;
		done = deliver_feed(c, &f);
		feed_done(&f);
		if (!done || !keep_position(c, next))
			return false;
		c->at = next;
	}
}

static bool find_position(struct courier *c)
{
	struct api_error err = { 0 };

	while (feed_position(c->o->writer, c->sink.mark, &c->at, &err) != 0) {
		if (err.status == 503 || !back_off(c, err.message))
			return false;
	}
	c->known = true;
	return true;
}

static void *courier_main(void *arg)
{
	struct courier *c = arg;
	bool going = find_position(c);

	while (going && !bell_is_stopped(c->o->bell)) {
		uint64_t seen = bell_count(c->o->bell);

		going = deliver_all(c);
		if (going)
			(void)bell_wait(c->o->bell, &seen, REST_MS); /* it looks anyway */
	}
	return NULL;
}

/* ---- the targets of the settings ---- */

static const struct settings_event_target *event_target(const struct settings *s,
							size_t i)
{
	return (const struct settings_event_target *)s->event_targets.items + i;
}

static const struct settings_approval_target *approval_target(const struct settings *s,
							      size_t i)
{
	return (const struct settings_approval_target *)s->approval_targets.items + i;
}

/* "http://host:port/path": without user, password and query. */
static char *public_url(const char *url)
{
	size_t scheme = (size_t)(strstr(url, "//") + 2 - url);
	size_t end = strcspn(url, "?#");
	size_t host = scheme + strcspn(url + scheme, "/?#");
	const char *at = memchr(url + scheme, '@', host - scheme);
	size_t from = at ? (size_t)(at + 1 - url) : scheme;

	return mh_format("%.*s%.*s", (int)scheme, url, (int)(end - from), url + from);
}

static struct courier *add(struct delivery *d, const struct sink_kind *kind)
{
	struct courier *c = &d->couriers[d->count++];

	c->sink = (struct sink){ .kind = kind, .bell = d->o.bell };
	c->o = &d->o;
	return c;
}

static void add_http(struct delivery *d, const char *url, const char *authorization,
		     const char *topic)
{
	struct courier *c = add(d, &sink_http);

	c->sink.url = url;
	c->sink.authorization = authorization;
	c->sink.topic = topic;
	c->sink.name = public_url(url);
	c->sink.mark = mh_format(EVENTS_MARK_PREFIX "%s %s", topic ? topic : "http", url);
}

static void add_all(struct delivery *d)
{
	const struct settings *s = d->o.settings;

	if (s->events_file) {
		struct courier *c = add(d, &sink_file);

		c->sink.path = s->events_file;
		c->sink.name = mh_strdup(s->events_file);
		c->sink.mark = mh_format(EVENTS_MARK_PREFIX "file %s", s->events_file);
	}
	for (size_t i = 0; i < s->event_targets.count; i++)
		add_http(d, event_target(s, i)->url, event_target(s, i)->authorization,
			 NULL);
	for (size_t i = 0; i < s->approval_targets.count; i++)
		add_http(d, approval_target(s, i)->url,
			 approval_target(s, i)->authorization,
			 approval_target(s, i)->topic);
}

static int check_url(const char *key, const char *url, struct mh_err *err)
{
	const char *rest = str_starts_with(url, "http://")    ? url + 7
			   : str_starts_with(url, "https://") ? url + 8
							      : "";

	if (*rest == '\0' || strchr("/?#", *rest))
		return mh_err_set(err, MH_E_CONFIG,
				  "%s: url = \"%s\" is no URL of HTTP: write it like "
				  "http://127.0.0.1:8080/events",
				  key, url);
	return 0;
}

int delivery_check(const struct settings *s, struct mh_err *err)
{
	if (s->event_targets.count + s->approval_targets.count > TARGETS_MAX)
		return mh_err_set(
			err, MH_E_CONFIG,
			"event_targets and approval_targets: at most %d in all are "
			"possible",
			TARGETS_MAX);
	for (size_t i = 0; i < s->event_targets.count; i++) {
		if (check_url("event_targets", event_target(s, i)->url, err) != 0)
			return -1;
	}
	for (size_t i = 0; i < s->approval_targets.count; i++) {
		const char *topic = approval_target(s, i)->topic;

		if (check_url("approval_targets", approval_target(s, i)->url, err) != 0)
			return -1;
		if (strcmp(topic, "*") != 0 && !str_starts_with(topic, "arn:"))
			return mh_err_set(err, MH_E_CONFIG,
					  "approval_targets: topic = \"%s\" is neither "
					  "an ARN nor \"*\"",
					  topic);
	}
	return 0;
}

/* ---- starting and stopping ---- */

/* A target that is not there any more must not hold events back. */
static int keep_marks(struct delivery *d, struct mh_err *err)
{
	const char *marks[TARGETS_MAX + 2] = { NULL };
	struct api_error failed = { 0 };

	for (size_t i = 0; i < d->count; i++)
		marks[i] = d->couriers[i].sink.mark;
	if (feed_keep_marks(d->o.writer, marks, &failed) != 0)
		return mh_err_set(err, MH_E_SYS, "events: %s", failed.message);
	return 0;
}

int delivery_start(const struct delivery_options *options, struct delivery **ret,
		   struct mh_err *err)
{
	struct delivery *d = mh_alloc(sizeof(*d));

	d->o = *options;
	*ret = d; /* delivery_stop() ends what was started */
	if (d->o.settings->events)
		add_all(d);
	if (keep_marks(d, err) != 0)
		return -1;
	for (size_t i = 0; i < d->count; i++) {
		struct courier *c = &d->couriers[i];
		int rc = pthread_create(&c->thread, NULL, courier_main, c);

		if (rc != 0) {
			errno = rc;
			return mh_err_sys(err, "cannot start a thread for events");
		}
		c->started = true;
	}
	return 0;
}

void delivery_stop(struct delivery *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++) {
		struct courier *c = &d->couriers[i];

		if (c->started)
			pthread_join(c->thread, NULL);
		if (c->known && c->sink.kind->drains)
			(void)deliver_all(c); /* else the next start does it */
		c->sink.kind->close(&c->sink);
		free(c->sink.mark);
		free(c->sink.name);
	}
	free(d);
}
