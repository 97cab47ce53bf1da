/*
 * Runs a helper program to its end: no shell, a clean environment, capped output,
 * a deadline after which its whole process group is killed.
 */
#ifndef MH_EMULATOR_BUILTIN_SPAWN_H
#define MH_EMULATOR_BUILTIN_SPAWN_H

#include <stdint.h>

#include "lib/base/buf.h"

#define SPAWN_OUTPUTS 3

struct spawn_request {
	const char *const *argv; /* argv[0] without a slash is looked for in PATH */
	const char *const *envp; /* the whole environment */
	int stdin_fd; /* -1: nothing to read */
	int stdout_fd; /* -1: thrown away, unless out is set */
	/* What the program writes to 1, 2 and 3; NULL: 1 goes to stdout_fd, 2 is thrown
	 * away, 3 is closed. Over a buffer's maximum, the rest is thrown away. */
	struct buf *out, *errors, *report;
	int cancel_fd; /* -1: none; once it is readable, the program is killed */
	int64_t timeout_ms;
	int64_t file_max_bytes; /* of a file it may write; 0: no limit */
};

/* 0 with the exit code, or 128 + signal; -1 when it could not be run (NOTFOUND when
 * there is no such program), the deadline passed (TIMEOUT) or cancel_fd said so
 * (CANCELLED). */
int spawn_run(const struct spawn_request *r, int *ret_code,
	      struct mh_err *err) MH_MUST_CHECK;

#endif
