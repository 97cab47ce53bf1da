/*
 * Tells threads that something has changed: the writer rings after a commit that changed
 * the state of an execution, stage or action. Who waits looks again at what it waits for.
 *
 *	uint64_t seen = bell_count(bell);
 *	while (not there yet && bell_wait(bell, &seen, ms))
 *		;
 */
#ifndef MH_EMULATOR_BELL_H
#define MH_EMULATOR_BELL_H

#include <stdbool.h>
#include <stdint.h>

struct bell;

struct bell *bell_new(void);
void bell_free(struct bell *b); /* nobody waits any more */
void bell_ring(struct bell *b); /* NULL: nobody listens */
/* Whoever waits, or will, is answered at once: the server stops. */
void bell_stop(struct bell *b);
bool bell_is_stopped(struct bell *b);
/* To be had before the first look, so that no ring in between is missed. */
uint64_t bell_count(struct bell *b);
/* Until it rang since *seen, which it brings up to date; false after so long (real time),
 * or when it is stopped. */
bool bell_wait(struct bell *b, uint64_t *seen, int64_t ms);
/* So long, whatever rings; false when it is stopped. */
bool bell_rest(struct bell *b, int64_t ms);

#endif
