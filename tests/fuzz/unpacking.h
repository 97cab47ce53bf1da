/*
 * Unpacking one input, for the archive targets: into an empty directory, with low
 * limits, without millhand-archive's sandbox. What must hold: a failure leaves the
 * directory empty, a success leaves what it counted, no link in it leads outside, and
 * nothing comes to lie beside it.
 */
#ifndef MH_TESTS_FUZZ_UNPACKING_H
#define MH_TESTS_FUZZ_UNPACKING_H

#include <stdbool.h>
#include <stddef.h>

/* The file holds size bytes of data, and its descriptor is closed by the caller. */
int unpacking_file(const void *data, size_t size);
/* Whether it was taken: a zip, by both of its ways. */
bool unpacking_try(int archive_fd);

#endif
