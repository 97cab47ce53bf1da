/*
 * Hashing beside writing. A large body's digests cost as much time as its disk does, so a
 * thread of its own hashes one piece while the next one comes in and is written:
 *
 *	lane_init(&lane, &digests);
 *	lane_room(&lane, &size)      where the next bytes go; waits when all pieces are
 *full lane_filled(&lane, n)        so many more are there; a full piece is for the caller
 *to lane_piece(&lane, &len)      write, before lane_pass(&lane)             hands it on
 *to be hashed lane_end(&lane)              everything is hashed: the digests may be asked
 *
 * Bodies of one piece are hashed by the caller, without a thread. Memory is LANE_PIECES *
 * LANE_PIECE_BYTES at most, whatever the body's size.
 */
#ifndef MH_EMULATOR_S3_LANE_H
#define MH_EMULATOR_S3_LANE_H

#include <pthread.h>
#include <stdbool.h>

#include "emulator/s3/digest.h"

#define LANE_PIECES      4
#define LANE_PIECE_BYTES (256 * 1024)

struct lane {
	struct digests *digests; /* borrowed; the thread's until lane_end */
	struct lane_piece {
		char *data; /* allocated when first needed */
		size_t len;
	} pieces[LANE_PIECES];
	unsigned filling; /* counts pieces begun; the current one is filling % LANE_PIECES
			   */
	bool has_thread;
	pthread_t thread;
	pthread_mutex_t lock; /* of the next two */
	unsigned hashed; /* counts pieces done */
	bool ending;
	pthread_cond_t changed;
};

void lane_init(struct lane *l, struct digests *digests);
char *lane_room(struct lane *l, size_t *ret_size);
/* Whether the piece is full. */
bool lane_filled(struct lane *l, size_t n);
const char *lane_piece(struct lane *l, size_t *ret_len);
void lane_pass(struct lane *l);
/* Any number of times; also to give up. */
void lane_end(struct lane *l);
void lane_done(struct lane *l);

#endif
