/*
 * The files behind objects: <data_dir>/objects/<xx>/<id>, where id is 32 random
 * hex digits and xx the first two. A file is written under objects/tmp, synced,
 * and renamed to its place before its row is written; rows name only whole files.
 *
 *	struct blob b = BLOB_INIT;
 *	blob_create(store, &b, err);
 *	blob_write(&b, data, len, err);      any number of times
 *	blob_keep(store, &b, err);           durable under b.id from here on
 *	... write the row; when that fails: blob_remove(store, b.id) ...
 *	blob_done(store, &b);                 removes what was not kept
 */
#ifndef MH_EMULATOR_S3_BLOB_H
#define MH_EMULATOR_S3_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/s3/digest.h"
#include "lib/base/err.h"

#define BLOB_ID_SIZE 33

struct blobs {
	int root_fd; /* <data_dir>/objects */
	int tmp_fd; /* objects/tmp */
};
#define BLOBS_INIT                                                                       \
	{                                                                                \
		.root_fd = -1, .tmp_fd = -1                                              \
	}

struct blob {
	char id[BLOB_ID_SIZE];
	int fd; /* open for reading and writing; -1: none */
	bool kept;
	int64_t written, flushing; /* bytes; up to where the disk was set to work */
};
#define BLOB_INIT                                                                        \
	{                                                                                \
		.fd = -1                                                                 \
	}

int blobs_open(const char *data_dir, struct blobs *ret, struct mh_err *err) MH_MUST_CHECK;
void blobs_close(struct blobs *s);

int blob_create(const struct blobs *s, struct blob *ret,
		struct mh_err *err) MH_MUST_CHECK;
int blob_write(struct blob *b, const void *data, size_t len,
	       struct mh_err *err) MH_MUST_CHECK;
/* At most max bytes of fd from its position; d takes the same bytes (may be NULL),
 * *ret_size says how many they were. */
int blob_copy_from(struct blob *b, int fd, int64_t max, struct digests *d,
		   int64_t *ret_size, struct mh_err *err) MH_MUST_CHECK;
int blob_keep(const struct blobs *s, struct blob *b, struct mh_err *err) MH_MUST_CHECK;
void blob_done(const struct blobs *s, struct blob *b);

/* NOTFOUND when there is no such file. */
int blob_open(const struct blobs *s, const char *id, int *ret_fd,
	      struct mh_err *err) MH_MUST_CHECK;
/* Readers that have it open go on reading. id NULL or not there: nothing happens. */
void blob_remove(const struct blobs *s, const char *id);

/*
 * At start: empties objects/tmp and removes every file that has no row. known says
 * which ids have one: for each of count ids, known[i] is set.
 */
typedef int (*blob_known_fn)(void *ctx, char (*ids)[BLOB_ID_SIZE], size_t count,
			     bool *known, struct mh_err *err);
int blobs_sweep(const struct blobs *s, blob_known_fn known, void *ctx,
		int64_t *ret_removed, struct mh_err *err) MH_MUST_CHECK;

#endif
