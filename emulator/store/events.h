/*
 * The outbox: events that were written in the transaction of what they tell, in their
 * order, until they are delivered. seq has no gaps but at its beginning, where old ones
 * were dropped.
 */
#ifndef MH_EMULATOR_STORE_EVENTS_H
#define MH_EMULATOR_STORE_EVENTS_H

#include "emulator/store/store.h"

extern const char *const events_schema;

/* Names of marks (marks.h) that say how far somebody has delivered. */
#define EVENTS_MARK_PREFIX "events:"

struct event {
	int64_t seq;
	char *topic; /* of a notification: the ARN it goes to, "" without one; else NULL
		      */
	char *body; /* JSON */
};
struct event_list {
	struct event *items;
	size_t count;
};
void event_list_done(struct event_list *list);
static inline void clean_event_list(struct event_list *list)
{
	event_list_done(list);
}

int events_insert(struct store *s, const char *topic, const char *body, int64_t *ret_seq,
		  struct mh_err *err) MH_MUST_CHECK;
/* Those behind after_seq, in order. */
int events_after(struct store *s, int64_t after_seq, int64_t limit,
		 struct event_list *ret, struct mh_err *err) MH_MUST_CHECK;
/* The greatest seq ever given; 0 before the first. */
int events_last(struct store *s, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;
/* Drops those up to keep_after that every mark has passed, and those up to drop_upto,
 * delivered or not. */
int events_prune(struct store *s, int64_t keep_after, int64_t drop_upto,
		 struct mh_err *err) MH_MUST_CHECK;
/* The next one gets a greater number than this, in any case. */
int events_skip_to(struct store *s, int64_t seq, struct mh_err *err) MH_MUST_CHECK;
/* Forgets marks of the prefix whose name is not among these (NULL ends them). */
int events_forget_marks(struct store *s, const char *const *names,
			struct mh_err *err) MH_MUST_CHECK;

#endif
