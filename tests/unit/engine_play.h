/*
 * Random play: a few pipelines of every mode, and starts, polls, acknowledgements,
 * results, approvals, transitions, updates, deletions, stops, retries, rollbacks,
 * conditions with their rules, alarms and leaps of the clock, valid or not. What a step
 * does depends on the seed, its number and what it finds, and on nothing else: any step
 * of a run can be left out.
 *
 *	struct play *p = play_new(seed);
 *	for (uint32_t i = 0; i < steps; i++)
 *		play_step(p, i);
 *	play_free(p);
 */
#ifndef MH_TESTS_UNIT_ENGINE_PLAY_H
#define MH_TESTS_UNIT_ENGINE_PLAY_H

#include "tests/unit/engine_world.h"

#define HELD_MAX 16

struct held {
	char id[STR_UUID_SIZE], nonce[24];
	bool acknowledged; /* an acknowledgement answered InProgress */
};

struct play {
	struct world *w;
	uint64_t seed, random;
	struct held held[HELD_MAX];
	size_t held_count;
	struct json_object *ended; /* what is over, by its id: what it looked like */
	struct json_object *acked; /* job id to the nonce that won */
	int64_t finished; /* results that were accepted */
};

struct play *play_new(uint64_t seed);
void play_free(struct play *p);
void play_step(struct play *p, uint32_t n);
/* What has ended never changes again (semantics I2, I8, E22): held against the last
 * look. */
void play_check_ended(struct play *p);

#endif
