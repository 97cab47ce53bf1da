/*
 * Reading the outbox (store/events.h) from other threads than the writer's.
 *
 * A reader knows the seq of the last event it has; a position of -1 stands for "from now
 * on". What it has not taken before it was dropped is lost to it, and it is told how
 * many.
 */
#ifndef MH_EMULATOR_EVENTS_FEED_H
#define MH_EMULATOR_EVENTS_FEED_H

#include "emulator/store/events.h"
#include "emulator/writer.h"

#define FEED_NOW ((int64_t)-1)

struct feed {
	struct event_list list; /* what comes next; the reader's */
	int64_t lost; /* events between the reader's last and the first that is there */
};
/* *at is brought behind what was read: the seq of the last one. */
int feed_read(struct writer *writer, int64_t *at, int64_t limit, struct feed *ret,
	      struct api_error *err) MH_MUST_CHECK;
void feed_done(struct feed *f);

/* Where a deliverer stands that keeps its position under this mark; 0 when it is new. */
int feed_position(struct writer *writer, const char *mark, int64_t *ret,
		  struct api_error *err) MH_MUST_CHECK;
int feed_advance(struct writer *writer, const char *mark, int64_t at,
		 struct api_error *err) MH_MUST_CHECK;
/* These and no others hold events back from now on; NULL ends them. */
int feed_keep_marks(struct writer *writer, const char *const *marks,
		    struct api_error *err) MH_MUST_CHECK;

#endif
