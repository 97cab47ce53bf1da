/*
 * GET /_millhand/events: the events as they are committed, as server-sent events
 * (text/event-stream), until the client goes away or the server stops.
 *
 *	id: 4711
 *	data: {"version":"0",...}
 *
 * Last-Event-ID, which clients send when they connect again, or ?after=ID, says where to
 * go on; without it, it begins with what comes next. Where events in between were dropped
 * already, an event of the type "gap" says how many.
 *
 * A stream reads from the store what its client has taken, and keeps no more than one
 * piece in memory. A client that takes nothing is cut off by the server's idle_timeout,
 * one that is alive and hears nothing gets a comment from time to time.
 *
 *	streams_open(streams, last_id, after, &stream, &err)
 *	n = stream_read(stream, buf, max)      blocks; 0: it is over
 *	stream_close(stream)
 */
#ifndef MH_EMULATOR_EVENTS_STREAM_H
#define MH_EMULATOR_EVENTS_STREAM_H

#include "emulator/bell.h"
#include "emulator/settings.h"
#include "emulator/writer.h"

#define STREAM_CONTENT_TYPE "text/event-stream"

struct streams; /* those that are open */
struct stream;

/* All borrowed. */
struct streams *streams_new(const struct settings *settings, struct writer *writer,
			    struct bell *bell);
void streams_free(struct streams *s);
/* How many may be open at the same time; none before this is said. s may be
 * NULL. */
void streams_limit(struct streams *s, int limit);

/* Both may be NULL. ValidationException; ServiceUnavailable (503) when too many are
 * open; NotFound (404) when there are no events (the setting `events`). */
int streams_open(struct streams *s, const char *last_event_id, const char *after,
		 struct stream **ret, struct api_error *err) MH_MUST_CHECK;
size_t stream_read(struct stream *s, char *buf, size_t max);
void stream_close(struct stream *s);

#endif
